//! SQLite: one file, one connection that writes, a few that read.

mod admin;
mod outbox;
mod queue;
mod read;
mod rows;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{
    Approval, Approved, Cancelled, Claim, ConfigNoted, Counts, DueStatus, Enqueued, Filter, LeftBy, LinesOf,
    NewPipeline, NewRepo, NewToken, PipelineRow, Release, Repo, SealedSecret, StatusNote, Store, StoreError, Stored,
    Token, TokenHash, Wanted,
};
use crate::clock::Clock;
use crate::engine::PipelineEvent;
use crate::event::{ForgeKind, Trigger};
use writer::{Flush, Writer};

/// Connections that read.
const READERS: u32 = 4;
/// Each connection's page cache.
const CACHE_KIB: &str = "-1024";
/// A database up to this size is checked whole when it is opened; a larger one only where it is read.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The store of a single server. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens or makes the database and brings its tables up to date. A database that is damaged, newer than this program or
    /// not to be read is an error: it never counts as empty.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Stored<Self> {
        let wrong = |why: String| StoreError::Open {
            path: path.display().to_string(),
            why,
        };
        let sql = |error: sqlx::Error| wrong(error.to_string());
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(writer::LOCK_WAIT)
            .foreign_keys(false)
            .pragma("cache_size", CACHE_KIB)
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        let mut connection: SqliteConnection = options.connect().await.map_err(sql)?;
        let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if bytes <= CHECKED_BYTES_MAX {
            let answer: String = sqlx::query_scalar("PRAGMA quick_check(1)")
                .fetch_one(&mut connection)
                .await
                .map_err(sql)?;
            if answer != "ok" {
                return Err(wrong(format!(
                    "it is damaged ({answer}); restore a backup, or move it away to start anew"
                )));
            }
        }
        let migrations = sqlx::migrate!("src/store/sqlite/migrations");
        migrations
            .run(&mut connection)
            .await
            .map_err(|error| wrong(migration_trouble(&error)))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(writer::LOCK_WAIT)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(sql)?;
        let store = SqliteStore {
            writer: Writer::start(connection),
            readers,
            clock,
        };
        // The queue must be readable before anything is accepted or run.
        store.counts().await.map_err(|error| wrong(error.chain()))?;
        Ok(store)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}

fn migration_trouble(error: &sqlx::migrate::MigrateError) -> String {
    match error {
        sqlx::migrate::MigrateError::VersionMissing(version) => {
            format!("a newer Drydock made it (step {version} is unknown here); start that version, or restore a backup")
        }
        other => format!("its tables cannot be brought up to date: {other}"),
    }
}

fn past(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn ahead(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

impl SqliteStore {
    fn asker(&self, runner: &str, lease: Duration) -> queue::Asker {
        let now_ms = self.now_ms();
        queue::Asker {
            runner: runner.to_owned(),
            now_ms,
            until_ms: ahead(now_ms, lease),
        }
    }
}

/// What was read, or the store's word for why not.
fn answered<T>(operation: &'static str, done: writer::Done<T>) -> Stored<T> {
    done.map_err(|trouble| match trouble {
        writer::Trouble::Sql(error) => writer::unavailable(operation, &error),
        writer::Trouble::Refused(error) => error,
    })
}

/// Runs a function of this folder in the writer's transaction: what it is handed is shared, because it may run twice.
macro_rules! write {
    ($store:expr, $operation:literal, $flush:ident, $given:ident = $value:expr, |$connection:ident| $work:expr) => {{
        let shared = Arc::new($value);
        $store
            .writer
            .run($operation, Flush::$flush, move |$connection| {
                let $given = shared.clone();
                Box::pin(async move { $work.await })
            })
            .await
    }};
}

#[async_trait]
impl Store for SqliteStore {
    async fn put_repo(&self, repo: &NewRepo) -> Stored<Repo> {
        write!(
            self,
            "store a repository",
            Disk,
            given = (repo.clone(), self.now_ms()),
            |to| admin::put_repo(to, &given.0, given.1)
        )
    }

    async fn repo(&self, id: u64) -> Stored<Option<Repo>> {
        let row = sqlx::query("SELECT * FROM repos WHERE id = ?")
            .bind(rows::signed(id))
            .fetch_optional(&self.readers)
            .await;
        one(row, rows::repo, "read a repository")
    }

    async fn repo_named(&self, forge: ForgeKind, name: &str) -> Stored<Option<Repo>> {
        let row = sqlx::query("SELECT * FROM repos WHERE forge = ? AND name = ?")
            .bind(forge.name())
            .bind(name)
            .fetch_optional(&self.readers)
            .await;
        one(row, rows::repo, "read a repository")
    }

    async fn repos(&self) -> Stored<Vec<Repo>> {
        let rows = sqlx::query("SELECT * FROM repos ORDER BY forge, name")
            .fetch_all(&self.readers)
            .await;
        all(rows, rows::repo, "list repositories")
    }

    async fn remove_repo(&self, id: u64) -> Stored<bool> {
        write!(
            self,
            "remove a repository",
            Disk,
            given = id,
            |from| admin::remove_repo(from, *given)
        )
    }

    async fn put_secret(&self, secret: &SealedSecret) -> Stored<()> {
        write!(self, "store a secret", Disk, given = secret.clone(), |to| {
            admin::put_secret(to, &given)
        })
    }

    async fn secrets_for(&self, repo: u64) -> Stored<Vec<SealedSecret>> {
        let rows = sqlx::query(
            "SELECT * FROM secrets s WHERE repo = ?1 OR (repo = 0 AND NOT EXISTS \
             (SELECT 1 FROM secrets own WHERE own.repo = ?1 AND own.name = s.name)) ORDER BY name",
        )
        .bind(rows::signed(repo))
        .fetch_all(&self.readers)
        .await;
        all(rows, rows::secret, "read secrets")
    }

    async fn secrets_of(&self, repo: Option<u64>) -> Stored<Vec<SealedSecret>> {
        let rows = sqlx::query("SELECT * FROM secrets WHERE repo = ? ORDER BY name")
            .bind(rows::signed(repo.unwrap_or(0)))
            .fetch_all(&self.readers)
            .await;
        all(rows, rows::secret, "read secrets")
    }

    async fn remove_secret(&self, repo: Option<u64>, name: &str) -> Stored<bool> {
        write!(self, "remove a secret", Disk, given = (repo, name.to_owned()), |from| {
            admin::remove_secret(from, given.0, &given.1)
        })
    }

    async fn add_token(&self, token: &NewToken) -> Stored<Token> {
        write!(
            self,
            "store a token",
            Disk,
            given = (token.clone(), self.now_ms()),
            |to| admin::add_token(to, &given.0, given.1)
        )
    }

    async fn token(&self, hash: &TokenHash) -> Stored<Option<Token>> {
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = ?")
            .bind(hash.as_slice())
            .fetch_optional(&self.readers)
            .await;
        let token = one(row, rows::token, "read a token")?;
        Ok(token.filter(|token| token.expires_at.is_none_or(|at| at > self.now())))
    }

    async fn tokens(&self) -> Stored<Vec<Token>> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY id")
            .fetch_all(&self.readers)
            .await;
        all(rows, rows::token, "list tokens")
    }

    async fn remove_token(&self, id: u64) -> Stored<bool> {
        write!(self, "remove a token", Disk, given = id, |from| admin::remove_token(
            from, *given
        ))
    }

    async fn enqueue(&self, pipeline: &NewPipeline) -> Stored<Enqueued> {
        let packed = rows::pack(&pipeline.trigger)?;
        let arrival = queue::Arrival {
            pipeline: pipeline.clone(),
            packed,
            now_ms: self.now_ms(),
        };
        write!(self, "remember an event", Disk, given = arrival, |to| queue::enqueue(
            to, &given
        ))
    }

    async fn claim(&self, runner: &str, lease: Duration) -> Stored<Option<Claim>> {
        let asker = self.asker(runner, lease);
        write!(self, "claim a pipeline", Process, given = asker, |from| queue::claim(
            from, &given
        ))
    }

    async fn reclaim(&self, runner: &str, lease: Duration, left: LeftBy) -> Stored<Vec<Claim>> {
        let asker = self.asker(runner, lease);
        write!(self, "take over pipelines", Process, given = (asker, left), |from| {
            queue::reclaim(from, &given.0, given.1)
        })
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Stored<Wanted> {
        let given = (claim.clone(), ahead(self.now_ms(), lease));
        write!(self, "renew a claim", Process, given = given, |on| queue::renew(
            on, &given.0, given.1
        ))
    }

    async fn append(&self, claim: &Claim, events: &[PipelineEvent], status: Option<&StatusNote>) -> Stored<()> {
        match queue::Batch::new(claim, events, status, self.now_ms())? {
            Some(batch) => write!(self, "store events", Process, given = batch, |to| queue::append(
                to, &given
            )),
            None => Ok(()),
        }
    }

    async fn release(&self, claim: &Claim, to: Release, status: Option<&StatusNote>) -> Stored<()> {
        let given = (claim.clone(), to, status.cloned(), self.now_ms());
        write!(self, "release a pipeline", Process, given = given, |on| queue::release(
            on,
            &given.0,
            &given.1,
            given.2.as_ref(),
            given.3
        ))
    }

    async fn note_config(&self, claim: &Claim, config_hash: &str) -> Stored<ConfigNoted> {
        let given = (claim.clone(), config_hash.to_owned());
        write!(self, "bind an approval", Disk, given = given, |on| queue::note_config(
            on, &given.0, &given.1
        ))
    }

    async fn cancel(&self, pipeline: u64, by: &str, note: Option<&StatusNote>) -> Stored<Cancelled> {
        let given = (pipeline, by.to_owned(), note.cloned(), self.now_ms());
        write!(self, "cancel a pipeline", Disk, given = given, |on| queue::cancel(
            on,
            given.0,
            &given.1,
            given.2.as_ref(),
            given.3
        ))
    }

    async fn approve(&self, pipeline: u64, by: &str) -> Stored<Approved> {
        let given = (pipeline, by.to_owned(), self.now_ms());
        write!(self, "approve a pipeline", Disk, given = given, |on| queue::approve(
            on, given.0, &given.1, given.2
        ))
    }

    async fn approval(&self, repo: u64, sha: &str) -> Stored<Option<Approval>> {
        let row = sqlx::query("SELECT by, at_ms, config_hash FROM approvals WHERE repo = ? AND sha = ?")
            .bind(rows::signed(repo))
            .bind(sha)
            .fetch_optional(&self.readers)
            .await;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Approval {
                by: rows::column(row, "by")?,
                at: rows::time(row, "at_ms")?,
                config_hash: rows::column(row, "config_hash")?,
            })
        };
        one(row, read, "read an approval")
    }

    async fn pipeline(&self, id: u64) -> Stored<Option<PipelineRow>> {
        let row = sqlx::query(concat!(
            "SELECT ",
            rows::pipeline_columns!(),
            " FROM pipelines WHERE id = ?"
        ))
        .bind(rows::signed(id))
        .fetch_optional(&self.readers)
        .await;
        one(row, rows::pipeline, "read a pipeline")
    }

    async fn pipelines(&self, filter: &Filter) -> Stored<Vec<PipelineRow>> {
        answered("list pipelines", read::pipelines(&self.readers, filter).await)
    }

    async fn trigger(&self, id: u64) -> Stored<Option<Trigger>> {
        let row = sqlx::query("SELECT trigger FROM pipelines WHERE id = ?")
            .bind(rows::signed(id))
            .fetch_optional(&self.readers)
            .await;
        one(row, queue::trigger, "read a pipeline's event")
    }

    async fn events(&self, pipeline: u64, after: u64, limit: u32) -> Stored<Vec<PipelineEvent>> {
        answered("read events", read::events(&self.readers, pipeline, after, limit).await)
    }

    async fn outline(&self, pipeline: u64) -> Stored<Vec<PipelineEvent>> {
        answered("read events", read::outline(&self.readers, pipeline).await)
    }

    async fn lines(&self, of: &LinesOf<'_>, from: u64, limit: u32) -> Stored<Vec<PipelineEvent>> {
        answered("read a log", read::lines(&self.readers, of, from, limit).await)
    }

    async fn line_count(&self, of: &LinesOf<'_>) -> Stored<u64> {
        answered("read a log", read::line_count(&self.readers, of).await)
    }

    async fn counts(&self) -> Stored<Counts> {
        answered("read the queue", read::counts(&self.readers, self.now_ms()).await)
    }

    async fn due_statuses(&self, limit: u32) -> Stored<Vec<DueStatus>> {
        answered(
            "read the outbox",
            outbox::due(&self.readers, self.now_ms(), limit).await,
        )
    }

    async fn status_delivered(&self, id: u64, version: u64) -> Stored<()> {
        write!(self, "note a delivered status", Process, given = (id, version), |on| {
            outbox::delivered(on, given.0, given.1)
        })
    }

    async fn status_failed(&self, id: u64, version: u64, why: &str, wait: Option<Duration>) -> Stored<()> {
        let due_ms = wait.map(|wait| ahead(self.now_ms(), wait));
        let given = (id, version, why.to_owned(), due_ms);
        write!(self, "note a failed status", Process, given = given, |on| {
            outbox::failed(on, given.0, given.1, &given.2, given.3)
        })
    }

    async fn prune(&self, pipelines_older: Duration, deliveries_older: Duration) -> Stored<(u64, u64)> {
        let given = (
            past(self.now_ms(), pipelines_older),
            past(self.now_ms(), deliveries_older),
        );
        let mut total = (0, 0);
        loop {
            let (pipelines, deliveries) =
                write!(self, "remove what is old", Process, given = given, |from| admin::prune(
                    from, given.0, given.1
                ))?;
            total = (total.0 + pipelines, total.1 + deliveries);
            if pipelines == 0 && deliveries == 0 {
                return Ok(total);
            }
        }
    }

    async fn note(&self, key: &str) -> Stored<Option<String>> {
        let value = sqlx::query_scalar("SELECT value FROM notes WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.readers)
            .await;
        value.map_err(|error| writer::unavailable("read a note", &error))
    }

    async fn put_note(&self, key: &str, value: &str) -> Stored<()> {
        let given = (key.to_owned(), value.to_owned());
        write!(self, "store a note", Disk, given = given, |to| admin::put_note(
            to, &given.0, &given.1
        ))
    }

    async fn ping(&self) -> Stored<()> {
        write!(self, "write to the database", Process, given = "ping", |to| {
            admin::put_note(to, &given, "")
        })?;
        self.note("ping").await.map(|_| ())
    }
}

type Found<T> = Result<T, sqlx::Error>;

fn one<T>(
    row: Found<Option<sqlx::sqlite::SqliteRow>>,
    read: impl Fn(&sqlx::sqlite::SqliteRow) -> Stored<T>,
    operation: &'static str,
) -> Stored<Option<T>> {
    row.map_err(|error| writer::unavailable(operation, &error))?
        .as_ref()
        .map(read)
        .transpose()
}

fn all<T>(
    rows: Found<Vec<sqlx::sqlite::SqliteRow>>,
    read: impl Fn(&sqlx::sqlite::SqliteRow) -> Stored<T>,
    operation: &'static str,
) -> Stored<Vec<T>> {
    rows.map_err(|error| writer::unavailable(operation, &error))?
        .iter()
        .map(read)
        .collect()
}

#[cfg(test)]
mod tests;
