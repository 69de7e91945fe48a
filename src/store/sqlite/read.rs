//! Reading: lists, events, logs. Never waits for the writer.

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

use jiff::Timestamp;

use super::rows::{self, column, number, pipeline_columns, signed};
use super::writer::Done;
use crate::engine::{EVENT_VERSION, EventKind, PipelineEvent};
use crate::store::chunk::{self, Line};
use crate::store::{Counts, Filter, LinesOf, PipelineRow, StoreError};

/// Chunks read at once while a page of events is put together.
const CHUNKS_AT_ONCE: i64 = 64;

pub(super) async fn pipelines(from: &SqlitePool, filter: &Filter) -> Done<Vec<PipelineRow>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        pipeline_columns!(),
        " FROM pipelines WHERE (?1 IS NULL OR repo_name = ?1) AND (?2 IS NULL OR status = ?2) \
         AND (?3 IS NULL OR branch = ?3) AND (?4 IS NULL OR event = ?4) AND (?5 IS NULL OR id < ?5) \
         AND (?6 IS NULL OR sha = ?6) AND (?7 IS NULL OR forge = ?7) ORDER BY id DESC LIMIT ?8"
    ))
    .bind(&filter.repo)
    .bind(filter.status.map(|status| status.word()))
    .bind(&filter.branch)
    .bind(&filter.event)
    .bind(filter.before.map(signed))
    .bind(&filter.sha)
    .bind(filter.forge.map(|forge| forge.name()))
    .bind(i64::from(filter.limit.max(1)))
    .fetch_all(from)
    .await?;
    Ok(rows.iter().map(rows::pipeline).collect::<Result<_, StoreError>>()?)
}

fn corrupt(what: String, why: impl ToString) -> StoreError {
    StoreError::Corrupt {
        what,
        why: why.to_string(),
    }
}

fn event(pipeline: u64, row: &SqliteRow) -> Result<PipelineEvent, StoreError> {
    let (seq, body): (u64, String) = (number(row, "seq")?, column(row, "body")?);
    let kind =
        serde_json::from_str(&body).map_err(|error| corrupt(format!("event {seq} of pipeline {pipeline}"), error))?;
    Ok(PipelineEvent {
        v: EVENT_VERSION,
        seq,
        at: rows::time(row, "at_ms")?,
        pipeline,
        kind,
    })
}

fn log_event(pipeline: u64, job: &Arc<str>, attempt: u32, line: Line) -> Result<PipelineEvent, StoreError> {
    let (seq, at_ms) = (line.seq, line.at_ms);
    let at = Timestamp::from_millisecond(at_ms)
        .map_err(|error| corrupt(format!("line {seq} of pipeline {pipeline}"), error))?;
    let kind: EventKind = line.into_event(job, attempt);
    Ok(PipelineEvent {
        v: EVENT_VERSION,
        seq,
        at,
        pipeline,
        kind,
    })
}

/// A chunk's job, attempt and lines.
fn lines_of_chunk(row: &SqliteRow) -> Result<(Arc<str>, u32, Vec<Line>), StoreError> {
    let (id, body): (u64, Vec<u8>) = (number(row, "id")?, column(row, "body")?);
    let lines = chunk::decode(&body).ok_or_else(|| corrupt(format!("log chunk {id}"), "it is damaged"))?;
    let job: String = column(row, "job")?;
    let attempt = u32::try_from(number(row, "attempt")?).map_err(|error| corrupt(format!("log chunk {id}"), error))?;
    Ok((job.into(), attempt, lines))
}

/// Events and lines are kept apart; together their `seq` has no gaps, so the page is the run that follows on `after`.
pub(super) async fn events(from: &SqlitePool, pipeline: u64, after: u64, limit: u32) -> Done<Vec<PipelineEvent>> {
    // One read transaction: a page never sees an event without the lines before it.
    let mut from = from.begin().await?;
    let mut found = outline_after(&mut from, pipeline, after, limit).await?;
    let until = after.saturating_add(u64::from(limit));
    let mut past = 0i64;
    loop {
        let rows = sqlx::query(
            "SELECT id, job, attempt, last_seq, body FROM chunks WHERE pipeline = ? AND last_seq > ? AND first_seq <= ? \
             ORDER BY last_seq, id LIMIT ? OFFSET ?",
        )
        .bind(signed(pipeline))
        .bind(signed(after))
        .bind(signed(until))
        .bind(CHUNKS_AT_ONCE)
        .bind(past)
        .fetch_all(&mut *from)
        .await?;
        for row in &rows {
            let (job, attempt, lines) = lines_of_chunk(row)?;
            for line in lines.into_iter().filter(|line| line.seq > after && line.seq <= until) {
                found.push(log_event(pipeline, &job, attempt, line)?);
            }
        }
        past += CHUNKS_AT_ONCE;
        if (rows.len() as i64) < CHUNKS_AT_ONCE {
            break;
        }
    }
    found.sort_by_key(|event| event.seq);
    found.truncate(limit as usize);
    Ok(found)
}

async fn outline_after(
    from: &mut sqlx::SqliteConnection,
    pipeline: u64,
    after: u64,
    limit: u32,
) -> Done<Vec<PipelineEvent>> {
    let rows = sqlx::query(
        "SELECT seq, at_ms, body FROM events WHERE pipeline = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
    )
    .bind(signed(pipeline))
    .bind(signed(after))
    .bind(signed(after.saturating_add(u64::from(limit))))
    .bind(i64::from(limit))
    .fetch_all(from)
    .await?;
    Ok(rows
        .iter()
        .map(|row| event(pipeline, row))
        .collect::<Result<_, StoreError>>()?)
}

pub(super) async fn outline(from: &SqlitePool, pipeline: u64) -> Done<Vec<PipelineEvent>> {
    let rows = sqlx::query("SELECT seq, at_ms, body FROM events WHERE pipeline = ? ORDER BY seq")
        .bind(signed(pipeline))
        .fetch_all(from)
        .await?;
    Ok(rows
        .iter()
        .map(|row| event(pipeline, row))
        .collect::<Result<_, StoreError>>()?)
}

/// Run and attempt of the log that is meant: the last there is.
async fn which(from: &SqlitePool, of: &LinesOf<'_>) -> Done<Option<(i64, i64)>> {
    let last = sqlx::query_as(
        "SELECT run, attempt FROM chunks WHERE pipeline = ?1 AND job = ?2 AND (?3 IS NULL OR attempt = ?3) \
         ORDER BY run DESC, attempt DESC LIMIT 1",
    )
    .bind(signed(of.pipeline))
    .bind(of.job)
    .bind(of.attempt.map(i64::from))
    .fetch_optional(from)
    .await?;
    Ok(last)
}

pub(super) async fn line_count(from: &SqlitePool, of: &LinesOf<'_>) -> Done<u64> {
    let Some((run, attempt)) = which(from, of).await? else {
        return Ok(0);
    };
    let count: i64 = sqlx::query_scalar(
        "SELECT first_line + lines FROM chunks WHERE pipeline = ? AND job = ? AND run = ? AND attempt = ? \
         ORDER BY first_line DESC LIMIT 1",
    )
    .bind(signed(of.pipeline))
    .bind(of.job)
    .bind(run)
    .bind(attempt)
    .fetch_one(from)
    .await?;
    Ok(count.unsigned_abs())
}

pub(super) async fn lines(from: &SqlitePool, of: &LinesOf<'_>, first: u64, limit: u32) -> Done<Vec<PipelineEvent>> {
    let pipeline = signed(of.pipeline);
    let Some((run, attempt)) = which(from, of).await? else {
        return Ok(vec![]);
    };
    let until = first.saturating_add(u64::from(limit));
    let rows = sqlx::query(
        "SELECT id, job, attempt, first_line, body FROM chunks WHERE pipeline = ? AND job = ? AND run = ? AND attempt = ? \
         AND first_line + lines > ? AND first_line < ? ORDER BY first_line",
    )
    .bind(pipeline)
    .bind(of.job)
    .bind(run)
    .bind(attempt)
    .bind(signed(first))
    .bind(signed(until))
    .fetch_all(from)
    .await?;
    let mut found = vec![];
    for row in &rows {
        let first_line = number(row, "first_line")?;
        let (job, attempt, lines) = lines_of_chunk(row)?;
        for (at, line) in (first_line..).zip(lines) {
            if (first..until).contains(&at) {
                found.push(log_event(of.pipeline, &job, attempt, line)?);
            }
        }
    }
    Ok(found)
}

pub(super) async fn counts(from: &SqlitePool, now_ms: i64) -> Done<Counts> {
    let by_status: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT status, COUNT(*), MIN(created_ms) FROM pipelines WHERE status IN ('queued', 'waiting', 'running') GROUP BY status",
    )
    .fetch_all(from)
    .await?;
    let statuses: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE due_ms IS NOT NULL")
        .fetch_one(from)
        .await?;
    let mut counts = Counts {
        statuses_waiting: statuses.unsigned_abs(),
        ..Counts::default()
    };
    for (status, count, oldest_ms) in by_status {
        let count = count.unsigned_abs();
        match status.as_str() {
            "queued" => {
                counts.queued = count;
                counts.oldest_queued_seconds =
                    oldest_ms.map_or(0, |oldest| (now_ms - oldest).max(0).unsigned_abs() / 1000);
            }
            "waiting" => counts.waiting = count,
            _ => counts.running = count,
        }
    }
    Ok(counts)
}
