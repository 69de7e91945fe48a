//! Statuses that commits still have to be told: one row for each commit and context, the newest wins.

use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use super::rows::{column, forge, number, signed, status, time};
use super::writer::Done;
use crate::event::CommitSha;
use crate::store::{DueStatus, StatusNote, StoreError};

/// An older pipeline's news never replaces a newer one's.
pub(super) async fn put(to: &mut SqliteConnection, pipeline: u64, note: &StatusNote, now_ms: i64) -> Done<()> {
    sqlx::query(
        "INSERT INTO outbox (repo, forge, repo_name, sha, context, git_name, pipeline, status, description, since_ms, due_ms) \
         SELECT repo, forge, repo_name, sha, ?2, git_name, id, ?3, ?4, ?5, ?5 FROM pipelines WHERE id = ?1 AND forge <> '' \
         ON CONFLICT (repo, sha, context) DO UPDATE SET pipeline = excluded.pipeline, status = excluded.status, \
         description = excluded.description, git_name = excluded.git_name, version = version + 1, tries = 0, \
         since_ms = excluded.since_ms, due_ms = excluded.due_ms, last_error = NULL \
         WHERE excluded.pipeline >= outbox.pipeline",
    )
    .bind(signed(pipeline))
    .bind(&note.context)
    .bind(note.status.word())
    .bind(&note.description)
    .bind(now_ms)
    .execute(to)
    .await?;
    Ok(())
}

pub(super) async fn due(from: &SqlitePool, now_ms: i64, limit: u32) -> Done<Vec<DueStatus>> {
    let rows = sqlx::query(
        "SELECT id, version, tries, forge, repo_name, sha, git_name, pipeline, context, status, description, since_ms \
         FROM outbox WHERE due_ms <= ? ORDER BY due_ms, id LIMIT ?",
    )
    .bind(now_ms)
    .bind(i64::from(limit))
    .fetch_all(from)
    .await?;
    Ok(rows.iter().map(read).collect::<Result<_, StoreError>>()?)
}

fn read(row: &SqliteRow) -> Result<DueStatus, StoreError> {
    let sha: String = column(row, "sha")?;
    Ok(DueStatus {
        id: number(row, "id")?,
        version: number(row, "version")?,
        tries: u32::try_from(number(row, "tries")?).unwrap_or(u32::MAX),
        forge: forge(row)?,
        repo: column(row, "repo_name")?,
        sha: CommitSha::try_from(sha).map_err(|why| StoreError::Corrupt {
            what: "sha".to_owned(),
            why,
        })?,
        git_name: column(row, "git_name")?,
        pipeline: number(row, "pipeline")?,
        note: StatusNote {
            context: column(row, "context")?,
            status: status(row)?,
            description: column(row, "description")?,
        },
        since: time(row, "since_ms")?,
    })
}

pub(super) async fn delivered(on: &mut SqliteConnection, id: u64, version: u64) -> Done<()> {
    sqlx::query("UPDATE outbox SET due_ms = NULL, last_error = NULL WHERE id = ? AND version = ?")
        .bind(signed(id))
        .bind(signed(version))
        .execute(on)
        .await?;
    Ok(())
}

/// `due_ms`: when to try again; none for never.
pub(super) async fn failed(
    on: &mut SqliteConnection,
    id: u64,
    version: u64,
    why: &str,
    due_ms: Option<i64>,
) -> Done<()> {
    sqlx::query("UPDATE outbox SET tries = tries + 1, last_error = ?, due_ms = ? WHERE id = ? AND version = ?")
        .bind(why)
        .bind(due_ms)
        .bind(signed(id))
        .bind(signed(version))
        .execute(on)
        .await?;
    Ok(())
}
