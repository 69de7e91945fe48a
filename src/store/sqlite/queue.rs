//! The queue: accepting, claiming, appending, ending. Every function runs inside a transaction and refuses before it writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::outbox;
use super::rows::{as_word, column, number, signed, status, unpack};
use super::writer::Done;
use crate::engine::{EventKind, PipelineEvent, Status};
use crate::event::{Event, Trigger};
use crate::store::chunk::{self, LineRef};
use crate::store::{
    Approved, Begin, Cancelled, Claim, ConfigNoted, Enqueued, LeftBy, NewPipeline, Release, StatusNote, StoreError,
    Wanted,
};

/// As much of a commit's message or a pull request's title as lists show.
const TITLE_CHARS_MAX: usize = 200;

/// A pipeline with what was worked out of it before the transaction began.
pub(super) struct Arrival {
    pub pipeline: NewPipeline,
    pub packed: Vec<u8>,
    pub now_ms: i64,
}

pub(super) async fn enqueue(to: &mut SqliteConnection, arrival: &Arrival) -> Done<Enqueued> {
    let Arrival {
        pipeline,
        packed,
        now_ms,
    } = arrival;
    let trigger = &pipeline.trigger;
    if let Some(delivery) = &pipeline.delivery {
        let seen: Option<i64> = sqlx::query_scalar("SELECT pipeline FROM deliveries WHERE repo = ? AND delivery = ?")
            .bind(signed(pipeline.repo))
            .bind(delivery)
            .fetch_optional(&mut *to)
            .await?;
        if let Some(seen) = seen {
            return Ok(Enqueued::SeenBefore(seen.unsigned_abs()));
        }
    }
    let (status, why, finished_ms) = match &pipeline.begin {
        Begin::Queued => (Status::Queued, None, None),
        Begin::Waiting { why } => (Status::Waiting, Some(why), None),
        Begin::Skipped { why } => (Status::Skipped, Some(why), Some(now_ms)),
    };
    let request = match &trigger.event {
        Event::PullRequest(request) => Some(request),
        Event::Push { .. } | Event::Tag { .. } | Event::Schedule { .. } | Event::Manual { .. } => None,
    };
    let title = request.map_or(trigger.message.as_str(), |request| request.title.as_str());
    let inserted = sqlx::query(
        "INSERT INTO pipelines (repo, forge, repo_name, event, branch, tag, git_name, pull_request, git_ref, sha, title, \
         actor, trust, status, why, created_ms, finished_ms, rerun_of, trigger) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(pipeline.repo))
    .bind(trigger.forge.map_or("", |forge| forge.name()))
    .bind(&trigger.repo)
    .bind(trigger.event.kind())
    .bind(trigger.event.branch())
    .bind(trigger.event.tag())
    .bind(git_name(&trigger.event))
    .bind(request.map(|request| signed(request.number)))
    .bind(&trigger.git_ref)
    .bind(trigger.commit.as_str())
    .bind(first_line(title))
    .bind(&trigger.actor)
    .bind(as_word(&trigger.trust))
    .bind(status.word())
    .bind(why)
    .bind(now_ms)
    .bind(finished_ms)
    .bind(pipeline.rerun_of.map(signed))
    .bind(packed)
    .execute(&mut *to)
    .await?;
    let id = inserted.last_insert_rowid();
    if let Some(delivery) = &pipeline.delivery {
        sqlx::query("INSERT INTO deliveries (repo, delivery, pipeline, received_ms) VALUES (?, ?, ?, ?)")
            .bind(signed(pipeline.repo))
            .bind(delivery)
            .bind(id)
            .bind(now_ms)
            .execute(&mut *to)
            .await?;
    }
    if let Some(note) = &pipeline.status {
        outbox::put(to, id.unsigned_abs(), note, *now_ms).await?;
    }
    Ok(Enqueued::New(id.unsigned_abs()))
}

/// Branch or tag under which GitLab files a status.
fn git_name(event: &Event) -> Option<&str> {
    match event {
        Event::Push { branch, .. } | Event::Schedule { branch, .. } | Event::Manual { branch, .. } => Some(branch),
        Event::Tag { tag } => Some(tag),
        Event::PullRequest(request) => Some(&request.source_branch),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(TITLE_CHARS_MAX)
        .collect()
}

/// Who asks for work, and until when it is theirs.
#[derive(Clone)]
pub(super) struct Asker {
    pub runner: String,
    pub now_ms: i64,
    pub until_ms: i64,
}

pub(super) async fn claim(from: &mut SqliteConnection, asker: &Asker) -> Done<Option<Claim>> {
    loop {
        let row = sqlx::query(
            "SELECT id, repo, fence, tries, last_seq, trigger FROM pipelines WHERE status = 'queued' ORDER BY id LIMIT 1",
        )
        .fetch_optional(&mut *from)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if let Some(claim) = take(from, &row, asker).await? {
            return Ok(Some(claim));
        }
    }
}

pub(super) async fn reclaim(from: &mut SqliteConnection, asker: &Asker, left: LeftBy) -> Done<Vec<Claim>> {
    let mine = match left {
        LeftBy::MeAndExpired => Some(&asker.runner),
        LeftBy::Expired => None,
    };
    let rows = sqlx::query(
        "SELECT id, repo, fence, tries, last_seq, trigger FROM pipelines \
         WHERE status = 'running' AND (runner = ? OR lease_ms IS NULL OR lease_ms < ?) ORDER BY id",
    )
    .bind(mine)
    .bind(asker.now_ms)
    .fetch_all(&mut *from)
    .await?;
    let mut claims = vec![];
    for row in rows {
        // It is not a new try: what becomes of the old one is decided by whoever took it over.
        claims.extend(take_over(from, &row, asker, 0).await?);
    }
    Ok(claims)
}

async fn take(from: &mut SqliteConnection, row: &SqliteRow, asker: &Asker) -> Done<Option<Claim>> {
    take_over(from, row, asker, 1).await
}

/// None when the row cannot be read: it is ended and said so, and the rest of the queue goes on.
async fn take_over(from: &mut SqliteConnection, row: &SqliteRow, asker: &Asker, tries: u32) -> Done<Option<Claim>> {
    let pipeline = number(row, "id")?;
    let packed: Vec<u8> = column(row, "trigger")?;
    let trigger = match unpack(&packed) {
        Ok(trigger) => Arc::new(trigger),
        Err(error) => {
            tracing::error!(pipeline, "{error}; the pipeline is given up");
            sqlx::query("UPDATE pipelines SET status = 'lost', why = ?, finished_ms = ?, runner = NULL WHERE id = ?")
                .bind(format!("its stored event cannot be read: {error}"))
                .bind(asker.now_ms)
                .bind(signed(pipeline))
                .execute(from)
                .await?;
            return Ok(None);
        }
    };
    let claim = Claim {
        pipeline,
        repo: number(row, "repo")?,
        fence: number(row, "fence")? + 1,
        tries: u32::try_from(number(row, "tries")?)
            .unwrap_or(u32::MAX)
            .saturating_add(tries),
        last_seq: number(row, "last_seq")?,
        runner: asker.runner.clone(),
        trigger,
    };
    sqlx::query(
        "UPDATE pipelines SET status = 'running', fence = ?, tries = ?, runner = ?, lease_ms = ?, \
         started_ms = COALESCE(started_ms, ?) WHERE id = ?",
    )
    .bind(signed(claim.fence))
    .bind(i64::from(claim.tries))
    .bind(&claim.runner)
    .bind(asker.until_ms)
    .bind(asker.now_ms)
    .bind(signed(pipeline))
    .execute(from)
    .await?;
    Ok(Some(claim))
}

/// The last stored `seq`, if the claim still holds.
async fn prove(on: &mut SqliteConnection, claim: &Claim) -> Done<u64> {
    let row = sqlx::query("SELECT fence, last_seq, status FROM pipelines WHERE id = ?")
        .bind(signed(claim.pipeline))
        .fetch_optional(on)
        .await?;
    let stale = StoreError::Stale {
        pipeline: claim.pipeline,
        fence: claim.fence,
    };
    let Some(row) = row else { return Err(stale.into()) };
    if number(&row, "fence")? != claim.fence || status(&row)? != Status::Running {
        return Err(stale.into());
    }
    Ok(number(&row, "last_seq")?)
}

pub(super) async fn renew(on: &mut SqliteConnection, claim: &Claim, until_ms: i64) -> Done<Wanted> {
    prove(on, claim).await?;
    let row = sqlx::query("UPDATE pipelines SET lease_ms = ? WHERE id = ? RETURNING cancel_by")
        .bind(until_ms)
        .bind(signed(claim.pipeline))
        .fetch_one(on)
        .await?;
    let cancel_by: Option<String> = column(&row, "cancel_by")?;
    Ok(if cancel_by.is_some() {
        Wanted::Cancel
    } else {
        Wanted::GoOn
    })
}

/// What an `append` writes, worked out before its transaction.
pub(super) struct Batch {
    pub claim: Claim,
    pub first_seq: u64,
    pub last_seq: u64,
    /// `seq`, milliseconds, JSON.
    pub events: Vec<(u64, i64, String)>,
    pub chunks: Vec<Chunk>,
    pub finish: Option<(Status, Option<String>)>,
    pub status: Option<StatusNote>,
    pub now_ms: i64,
}

pub(super) struct Chunk {
    job: Arc<str>,
    attempt: u32,
    first_seq: u64,
    last_seq: u64,
    lines: u64,
    body: Vec<u8>,
}

impl Batch {
    /// None for no events at all.
    pub fn new(
        claim: &Claim,
        events: &[PipelineEvent],
        note: Option<&StatusNote>,
        now_ms: i64,
    ) -> Result<Option<Batch>, StoreError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(None);
        };
        let corrupt = |why: String| StoreError::Corrupt {
            what: "events to be stored".to_owned(),
            why,
        };
        let mut batch = Batch {
            claim: claim.clone(),
            first_seq: first.seq,
            last_seq: last.seq,
            events: vec![],
            chunks: vec![],
            finish: None,
            status: note.cloned(),
            now_ms,
        };
        let mut logs: BTreeMap<(&Arc<str>, u32), Vec<LineRef<'_>>> = BTreeMap::new();
        for (nth, event) in events.iter().enumerate() {
            if event.seq != first.seq + nth as u64 {
                return Err(corrupt(format!(
                    "after {} comes {}",
                    first.seq + nth as u64 - 1,
                    event.seq
                )));
            }
            let at_ms = event.at.as_millisecond();
            if let EventKind::Log {
                job,
                attempt,
                step,
                stream,
                line,
                continues,
            } = &event.kind
            {
                let (seq, step, stream, continues) = (event.seq, *step, *stream, *continues);
                let line = LineRef {
                    seq,
                    at_ms,
                    step,
                    stream,
                    continues,
                    text: line,
                };
                logs.entry((job, *attempt)).or_default().push(line);
                continue;
            }
            if let EventKind::PipelineFinished { status, why, .. } = &event.kind {
                batch.finish = Some((*status, why.clone()));
            }
            let body = serde_json::to_string(&event.kind).map_err(|error| corrupt(error.to_string()))?;
            batch.events.push((event.seq, at_ms, body));
        }
        for ((job, attempt), lines) in logs {
            let (first_seq, last_seq) = (
                lines.first().map_or(0, |line| line.seq),
                lines.last().map_or(0, |line| line.seq),
            );
            let count = lines.len() as u64;
            let body = chunk::encode(lines.into_iter()).map_err(|error| corrupt(error.to_string()))?;
            batch.chunks.push(Chunk {
                job: job.clone(),
                attempt,
                first_seq,
                last_seq,
                lines: count,
                body,
            });
        }
        Ok(Some(batch))
    }
}

pub(super) async fn append(to: &mut SqliteConnection, batch: &Batch) -> Done<()> {
    let claim = &batch.claim;
    let pipeline = signed(claim.pipeline);
    let stored = prove(to, claim).await?;
    if batch.first_seq != stored + 1 {
        return Err(StoreError::OutOfOrder {
            pipeline: claim.pipeline,
            stored,
            offered: batch.first_seq,
        }
        .into());
    }
    for (seq, at_ms, body) in &batch.events {
        sqlx::query("INSERT INTO events (pipeline, seq, at_ms, body) VALUES (?, ?, ?, ?)")
            .bind(pipeline)
            .bind(signed(*seq))
            .bind(at_ms)
            .bind(body)
            .execute(&mut *to)
            .await?;
    }
    for chunk in &batch.chunks {
        sqlx::query(
            "INSERT INTO chunks (pipeline, run, job, attempt, first_seq, last_seq, first_line, lines, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, COALESCE((SELECT first_line + lines FROM chunks WHERE pipeline = ?1 \
             AND job = ?3 AND run = ?2 AND attempt = ?4 ORDER BY first_line DESC LIMIT 1), 0), ?7, ?8)",
        )
        .bind(pipeline)
        .bind(signed(claim.fence))
        .bind(&*chunk.job)
        .bind(i64::from(chunk.attempt))
        .bind(signed(chunk.first_seq))
        .bind(signed(chunk.last_seq))
        .bind(signed(chunk.lines))
        .bind(&chunk.body)
        .execute(&mut *to)
        .await?;
    }
    match &batch.finish {
        None => {
            sqlx::query("UPDATE pipelines SET last_seq = ? WHERE id = ?")
                .bind(signed(batch.last_seq))
                .bind(pipeline)
                .execute(&mut *to)
                .await?;
        }
        Some((status, why)) => {
            sqlx::query(
                "UPDATE pipelines SET last_seq = ?, status = ?, why = ?, finished_ms = ?, runner = NULL, lease_ms = NULL \
                 WHERE id = ?",
            )
            .bind(signed(batch.last_seq))
            .bind(status.word())
            .bind(why)
            .bind(batch.now_ms)
            .bind(pipeline)
            .execute(&mut *to)
            .await?;
        }
    }
    if let Some(note) = &batch.status {
        outbox::put(to, claim.pipeline, note, batch.now_ms).await?;
    }
    Ok(())
}

pub(super) async fn release(
    on: &mut SqliteConnection,
    claim: &Claim,
    to: &Release,
    note: Option<&StatusNote>,
    now_ms: i64,
) -> Done<()> {
    prove(on, claim).await?;
    let (status, why, uncounted) = match to {
        Release::Queue { counted: true } => (Status::Queued, None, 0),
        Release::Queue { counted: false } => (Status::Queued, None, 1),
        Release::Wait { why } => (Status::Waiting, Some(why), 1),
    };
    sqlx::query(
        "UPDATE pipelines SET status = ?, why = ?, tries = MAX(tries - ?, 0), runner = NULL, lease_ms = NULL WHERE id = ?",
    )
    .bind(status.word())
    .bind(why)
    .bind(uncounted)
    .bind(signed(claim.pipeline))
    .execute(&mut *on)
    .await?;
    if let Some(note) = note {
        outbox::put(on, claim.pipeline, note, now_ms).await?;
    }
    Ok(())
}

pub(super) async fn note_config(on: &mut SqliteConnection, claim: &Claim, hash: &str) -> Done<ConfigNoted> {
    prove(on, claim).await?;
    let noted: Option<Option<String>> =
        sqlx::query_scalar("SELECT config_hash FROM approvals WHERE repo = ? AND sha = ?")
            .bind(signed(claim.repo))
            .bind(claim.trigger.commit.as_str())
            .fetch_optional(&mut *on)
            .await?;
    match noted {
        // Without approval there is nothing to bind.
        None => Ok(ConfigNoted::Fine),
        Some(Some(other)) if other != hash => Ok(ConfigNoted::ApprovedForOther),
        Some(Some(_)) => Ok(ConfigNoted::Fine),
        Some(None) => {
            sqlx::query("UPDATE approvals SET config_hash = ? WHERE repo = ? AND sha = ?")
                .bind(hash)
                .bind(signed(claim.repo))
                .bind(claim.trigger.commit.as_str())
                .execute(on)
                .await?;
            Ok(ConfigNoted::Fine)
        }
    }
}

pub(super) async fn cancel(
    on: &mut SqliteConnection,
    pipeline: u64,
    by: &str,
    note: Option<&StatusNote>,
    now_ms: i64,
) -> Done<Cancelled> {
    let row = sqlx::query("SELECT status FROM pipelines WHERE id = ?")
        .bind(signed(pipeline))
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = row else { return Ok(Cancelled::Unknown) };
    match status(&row)? {
        Status::Queued | Status::Waiting => {
            sqlx::query(
                "UPDATE pipelines SET status = 'cancelled', why = ?, cancel_by = ?, finished_ms = ?, \
                 started_ms = NULL WHERE id = ?",
            )
            .bind(format!("cancelled by {by} before it began"))
            .bind(by)
            .bind(now_ms)
            .bind(signed(pipeline))
            .execute(&mut *on)
            .await?;
            if let Some(note) = note {
                outbox::put(on, pipeline, note, now_ms).await?;
            }
            Ok(Cancelled::AtOnce)
        }
        Status::Running => {
            sqlx::query("UPDATE pipelines SET cancel_by = COALESCE(cancel_by, ?) WHERE id = ?")
                .bind(by)
                .bind(signed(pipeline))
                .execute(on)
                .await?;
            Ok(Cancelled::Asked)
        }
        over @ (Status::Passed | Status::Failed | Status::Cancelled | Status::Skipped | Status::Lost) => {
            Ok(Cancelled::AlreadyOver(over))
        }
    }
}

pub(super) async fn approve(on: &mut SqliteConnection, pipeline: u64, by: &str, now_ms: i64) -> Done<Approved> {
    let row = sqlx::query("SELECT status, repo, sha FROM pipelines WHERE id = ?")
        .bind(signed(pipeline))
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = row else { return Ok(Approved::Unknown) };
    let now = status(&row)?;
    if now != Status::Waiting {
        return Ok(Approved::NotWaiting(now));
    }
    let (repo, sha): (i64, String) = (row.try_get("repo")?, row.try_get("sha")?);
    sqlx::query(
        "INSERT INTO approvals (repo, sha, by, at_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (repo, sha) DO UPDATE SET by = excluded.by, at_ms = excluded.at_ms, config_hash = NULL",
    )
    .bind(repo)
    .bind(sha)
    .bind(by)
    .bind(now_ms)
    .execute(&mut *on)
    .await?;
    sqlx::query("UPDATE pipelines SET status = 'queued', why = NULL, approved_by = ? WHERE id = ?")
        .bind(by)
        .bind(signed(pipeline))
        .execute(on)
        .await?;
    Ok(Approved::Queued)
}

/// What a pipeline's row says of its trigger, for the caller's `trigger`.
pub(super) fn trigger(row: &SqliteRow) -> Result<Trigger, StoreError> {
    let packed: Vec<u8> = column(row, "trigger")?;
    unpack(&packed)
}
