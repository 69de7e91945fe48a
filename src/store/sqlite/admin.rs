//! Repositories, secrets, tokens and notes: what an operator sets.

use sqlx::SqliteConnection;

use super::rows::{self, signed};
use super::writer::Done;
use crate::store::{NewRepo, NewToken, Repo, SealedSecret, Token};

pub(super) async fn put_repo(to: &mut SqliteConnection, repo: &NewRepo, now_ms: i64) -> Done<Repo> {
    let row = sqlx::query(
        "INSERT INTO repos (forge, name, clone_url, default_branch, webhook_secret, dialect, added_by, added_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (forge, name) DO UPDATE SET \
         clone_url = COALESCE(excluded.clone_url, clone_url), default_branch = COALESCE(excluded.default_branch, default_branch), \
         webhook_secret = COALESCE(excluded.webhook_secret, webhook_secret), dialect = COALESCE(excluded.dialect, dialect) \
         RETURNING *",
    )
    .bind(repo.forge.name())
    .bind(&repo.name)
    .bind(&repo.clone_url)
    .bind(&repo.default_branch)
    .bind(&repo.webhook_secret)
    .bind(&repo.dialect)
    .bind(repo.added_by.word())
    .bind(now_ms)
    .fetch_one(to)
    .await?;
    Ok(rows::repo(&row)?)
}

pub(super) async fn remove_repo(from: &mut SqliteConnection, id: u64) -> Done<bool> {
    let removed = sqlx::query("DELETE FROM repos WHERE id = ?")
        .bind(signed(id))
        .execute(&mut *from)
        .await?;
    for statement in [
        "DELETE FROM secrets WHERE repo = ?",
        "DELETE FROM approvals WHERE repo = ?",
    ] {
        sqlx::query(statement).bind(signed(id)).execute(&mut *from).await?;
    }
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn put_secret(to: &mut SqliteConnection, secret: &SealedSecret) -> Done<()> {
    sqlx::query(
        "INSERT INTO secrets (repo, name, sealed, protected_only, updated_ms) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (repo, name) DO UPDATE SET sealed = excluded.sealed, protected_only = excluded.protected_only, \
         updated_ms = excluded.updated_ms",
    )
    .bind(signed(secret.repo.unwrap_or(0)))
    .bind(&secret.name)
    .bind(&secret.sealed)
    .bind(secret.protected_only)
    .bind(secret.updated_at.as_millisecond())
    .execute(to)
    .await?;
    Ok(())
}

pub(super) async fn remove_secret(from: &mut SqliteConnection, repo: Option<u64>, name: &str) -> Done<bool> {
    let removed = sqlx::query("DELETE FROM secrets WHERE repo = ? AND name = ?")
        .bind(signed(repo.unwrap_or(0)))
        .bind(name)
        .execute(from)
        .await?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn add_token(to: &mut SqliteConnection, token: &NewToken, now_ms: i64) -> Done<Token> {
    let row = sqlx::query(
        "INSERT INTO tokens (name, hash, scope, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?) RETURNING *",
    )
    .bind(&token.name)
    .bind(token.hash.as_slice())
    .bind(token.scope.word())
    .bind(now_ms)
    .bind(token.expires_at.map(|at| at.as_millisecond()))
    .fetch_one(to)
    .await?;
    Ok(rows::token(&row)?)
}

pub(super) async fn remove_token(from: &mut SqliteConnection, id: u64) -> Done<bool> {
    let removed = sqlx::query("DELETE FROM tokens WHERE id = ?")
        .bind(signed(id))
        .execute(from)
        .await?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn put_note(to: &mut SqliteConnection, key: &str, value: &str) -> Done<()> {
    sqlx::query("INSERT INTO notes (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(key)
        .bind(value)
        .execute(to)
        .await?;
    Ok(())
}

/// Finished pipelines of one step of [`prune`].
const PRUNED_AT_ONCE: i64 = 50;

/// One small step, so that nobody else waits long: how many pipelines and delivery ids went.
pub(super) async fn prune(from: &mut SqliteConnection, pipelines_ms: i64, deliveries_ms: i64) -> Done<(u64, u64)> {
    let old: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM pipelines WHERE finished_ms < ? ORDER BY finished_ms LIMIT ?")
            .bind(pipelines_ms)
            .bind(PRUNED_AT_ONCE)
            .fetch_all(&mut *from)
            .await?;
    for id in &old {
        for statement in [
            "DELETE FROM events WHERE pipeline = ?",
            "DELETE FROM chunks WHERE pipeline = ?",
            "DELETE FROM outbox WHERE pipeline = ? AND due_ms IS NULL",
            "DELETE FROM pipelines WHERE id = ?",
        ] {
            sqlx::query(statement).bind(id).execute(&mut *from).await?;
        }
    }
    let deliveries = sqlx::query(
        "DELETE FROM deliveries WHERE (repo, delivery) IN \
         (SELECT repo, delivery FROM deliveries WHERE received_ms < ? LIMIT 5000)",
    )
    .bind(deliveries_ms)
    .execute(from)
    .await?;
    Ok((old.len() as u64, deliveries.rows_affected()))
}
