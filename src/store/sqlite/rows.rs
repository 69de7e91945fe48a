//! Between columns and types. What cannot be read is said, with where it stands; it is never guessed.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, ValueRef};

use crate::engine::Status;
use crate::event::{ForgeKind, Trigger};
use crate::store::{PipelineRow, Repo, Scope, SealedSecret, StoreError, Token};

type Read_<T> = Result<T, StoreError>;

fn corrupt(what: &str, why: impl ToString) -> StoreError {
    StoreError::Corrupt {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

/// One column, its name in the error.
pub(super) fn column<'r, T>(row: &'r SqliteRow, name: &'static str) -> Read_<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(|error| corrupt(name, error))
}

pub(super) fn number(row: &SqliteRow, name: &'static str) -> Read_<u64> {
    let value: i64 = column(row, name)?;
    u64::try_from(value).map_err(|error| corrupt(name, error))
}

fn number_if_any(row: &SqliteRow, name: &'static str) -> Read_<Option<u64>> {
    match row.try_get_raw(name).map_err(|error| corrupt(name, error))?.is_null() {
        true => Ok(None),
        false => number(row, name).map(Some),
    }
}

/// Ids and counters fit SQLite's signed 64 bits.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn time(row: &SqliteRow, name: &'static str) -> Read_<Timestamp> {
    let ms: i64 = column(row, name)?;
    Timestamp::from_millisecond(ms).map_err(|error| corrupt(name, error))
}

fn time_if_any(row: &SqliteRow, name: &'static str) -> Read_<Option<Timestamp>> {
    let ms: Option<i64> = column(row, name)?;
    ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|error| corrupt(name, error)))
        .transpose()
}

/// A word of one of our enums, written as serde writes it.
pub(super) fn word<T: DeserializeOwned>(row: &SqliteRow, name: &'static str) -> Read_<T> {
    let text: String = column(row, name)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| corrupt(name, error))
}

/// The word for a value of one of our enums.
pub(super) fn as_word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

pub(super) fn repo(row: &SqliteRow) -> Read_<Repo> {
    Ok(Repo {
        id: number(row, "id")?,
        forge: forge(row)?,
        name: column(row, "name")?,
        clone_url: column(row, "clone_url")?,
        default_branch: column(row, "default_branch")?,
        webhook_secret: column(row, "webhook_secret")?,
        dialect: column(row, "dialect")?,
        added_by: column(row, "added_by")?,
        added_at: time(row, "added_ms")?,
    })
}

pub(super) fn forge(row: &SqliteRow) -> Read_<ForgeKind> {
    let text: String = column(row, "forge")?;
    text.parse().map_err(|why: String| corrupt("forge", why))
}

pub(super) fn secret(row: &SqliteRow) -> Read_<SealedSecret> {
    let repo = number(row, "repo")?;
    Ok(SealedSecret {
        repo: (repo != 0).then_some(repo),
        name: column(row, "name")?,
        sealed: column(row, "sealed")?,
        protected_only: column(row, "protected_only")?,
        updated_at: time(row, "updated_ms")?,
    })
}

pub(super) fn token(row: &SqliteRow) -> Read_<Token> {
    let scope: String = column(row, "scope")?;
    Ok(Token {
        id: number(row, "id")?,
        name: column(row, "name")?,
        scope: scope.parse::<Scope>().map_err(|why| corrupt("scope", why))?,
        created_at: time(row, "created_ms")?,
        expires_at: time_if_any(row, "expires_ms")?,
    })
}

pub(super) fn status(row: &SqliteRow) -> Read_<Status> {
    word(row, "status")
}

/// Columns of [`pipeline`], in every query that lists pipelines.
macro_rules! pipeline_columns {
    () => {
        "id, repo, forge, repo_name, event, branch, tag, pull_request, git_ref, sha, title, actor, trust, status, why, \
         created_ms, started_ms, finished_ms, last_seq, rerun_of, approved_by, cancel_by"
    };
}
pub(super) use pipeline_columns;

pub(super) fn pipeline(row: &SqliteRow) -> Read_<PipelineRow> {
    let cancel_by: Option<String> = column(row, "cancel_by")?;
    let status = status(row)?;
    Ok(PipelineRow {
        number: number(row, "id")?,
        repo_id: number(row, "repo")?,
        forge: forge(row)?,
        repo: column(row, "repo_name")?,
        event: column(row, "event")?,
        branch: column(row, "branch")?,
        tag: column(row, "tag")?,
        pull_request: number_if_any(row, "pull_request")?,
        git_ref: column(row, "git_ref")?,
        sha: column(row, "sha")?,
        title: column(row, "title")?,
        actor: column(row, "actor")?,
        trust: word(row, "trust")?,
        status,
        why: column(row, "why")?,
        created_at: time(row, "created_ms")?,
        started_at: time_if_any(row, "started_ms")?,
        finished_at: time_if_any(row, "finished_ms")?,
        rerun_of: number_if_any(row, "rerun_of")?,
        approved_by: column(row, "approved_by")?,
        last_seq: number(row, "last_seq")?,
        cancelling: cancel_by.is_some() && !status.is_final(),
    })
}

/// A trigger holds the forge's whole payload, so it is kept compressed: a line with the trigger, then the payload. Two
/// documents, because a payload may be nested as deep as the reader allows, and must not get one level deeper here.
pub(super) fn pack(trigger: &Trigger) -> Read_<Vec<u8>> {
    let write = || -> std::io::Result<Vec<u8>> {
        let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
        let bare = Trigger {
            payload: Arc::new(serde_json::Value::Null),
            ..trigger.clone()
        };
        serde_json::to_writer(&mut out, &bare)?;
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, &*trigger.payload)?;
        out.finish()
    };
    write().map_err(|error| corrupt("trigger", error))
}

pub(super) fn unpack(packed: &[u8]) -> Read_<Trigger> {
    let mut plain = Vec::new();
    ZlibDecoder::new(packed)
        .read_to_end(&mut plain)
        .map_err(|error| corrupt("trigger", error))?;
    let end = plain
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| corrupt("trigger", "it has no payload"))?;
    let bare: Trigger = serde_json::from_slice(&plain[..end]).map_err(|error| corrupt("trigger", error))?;
    let payload = serde_json::from_slice(&plain[end + 1..]).map_err(|error| corrupt("trigger", error))?;
    Ok(Trigger {
        payload: Arc::new(payload),
        ..bare
    })
}
