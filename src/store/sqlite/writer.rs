//! The one connection that writes. What arrives while it is busy is committed together with one flush to disk.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::store::{StoreError, Stored};

/// Whether a commit must survive a power cut, or only the end of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    Disk,
    Process,
}

/// Why one piece of work did not succeed.
pub(super) enum Trouble {
    Sql(sqlx::Error),
    /// Understood and refused before anything was written.
    Refused(StoreError),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Trouble::Sql(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Refused(error)
    }
}

pub(super) type Done<T> = Result<T, Trouble>;

/// At most so many pieces of work share one transaction.
const BATCH_MAX: usize = 256;
/// At most so many wait; whoever comes then waits to get in.
const QUEUE_MAX: usize = 4096;
/// A database that another program has locked is waited for this long.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Work>>,
}

impl Writer {
    /// Takes the connection over; it is closed when the last `Writer` is dropped.
    pub fn start(connection: SqliteConnection) -> Self {
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(serve(connection, work));
        Writer { queue }
    }

    /// Runs `work` in a transaction that it shares with others. It may run more than once, so it must do the same each time;
    /// it must refuse before it writes. Whoever drops the returned future before the work began withdraws it.
    pub async fn run<T, F>(&self, operation: &'static str, flush: Flush, work: F) -> Stored<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Done<T>> + Send + Sync + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let piece = Piece {
            operation,
            flush,
            work,
            outcome: None,
            answer,
        };
        let gone = || StoreError::Busy { operation };
        self.queue.send(Box::new(piece)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// One piece of work whose result type is its own business.
trait Work: Send {
    fn flush(&self) -> Flush;
    fn is_withdrawn(&self) -> bool;
    /// An error means that the transaction must be rolled back.
    fn perform<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    fn answer(self: Box<Self>, failed: Option<&sqlx::Error>);
}

struct Piece<T, F> {
    operation: &'static str,
    flush: Flush,
    work: F,
    outcome: Option<Stored<T>>,
    answer: oneshot::Sender<Stored<T>>,
}

impl<T, F> Work for Piece<T, F>
where
    T: Send,
    F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Done<T>> + Send + Sync,
{
    fn flush(&self) -> Flush {
        self.flush
    }

    fn is_withdrawn(&self) -> bool {
        self.answer.is_closed()
    }

    fn perform<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            match (self.work)(connection).await {
                Ok(value) => self.outcome = Some(Ok(value)),
                Err(Trouble::Refused(error)) => self.outcome = Some(Err(error)),
                Err(Trouble::Sql(error)) => return Err(error),
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, failed: Option<&sqlx::Error>) {
        let operation = self.operation;
        let outcome = match (failed, self.outcome) {
            (Some(error), _) => Err(unavailable(operation, error)),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(StoreError::Busy { operation }),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.answer.send(outcome);
    }
}

/// The store's word for an error of the database.
pub(super) fn unavailable(operation: &'static str, error: &sqlx::Error) -> StoreError {
    if is_lock(error) {
        return StoreError::Busy { operation };
    }
    // sqlx's errors cannot be cloned, and one failed commit is told to everybody who shared it.
    StoreError::Unavailable {
        operation,
        cause: sqlx::Error::Protocol(error.to_string()),
    }
}

fn is_lock(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok())
        .is_some_and(|code| matches!(code & 0xFF, 5 | 6))
}

async fn serve(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Box<dyn Work>>) {
    let mut flushing = None;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        batch.retain(|work| !work.is_withdrawn());
        if batch.is_empty() {
            continue;
        }
        match commit(&mut connection, &mut flushing, &mut batch).await {
            Ok(()) => batch.into_iter().for_each(|work| work.answer(None)),
            // One of them spoiled it for all: each gets a transaction of its own.
            Err(_) if batch.len() > 1 => {
                for work in batch {
                    let mut alone = vec![work];
                    let failed = commit(&mut connection, &mut flushing, &mut alone).await.err();
                    alone.into_iter().for_each(|work| work.answer(failed.as_ref()));
                }
            }
            Err(error) => batch.into_iter().for_each(|work| work.answer(Some(&error))),
        }
    }
    let _ = connection.close().await;
}

/// All of the batch in one transaction, or nothing.
async fn commit(
    connection: &mut SqliteConnection,
    flushing: &mut Option<Flush>,
    batch: &mut [Box<dyn Work>],
) -> Result<(), sqlx::Error> {
    let wanted = if batch.iter().any(|work| work.flush() == Flush::Disk) {
        Flush::Disk
    } else {
        Flush::Process
    };
    if *flushing != Some(wanted) {
        let pragma = match wanted {
            Flush::Disk => "PRAGMA synchronous = FULL",
            Flush::Process => "PRAGMA synchronous = NORMAL",
        };
        sqlx::query(pragma).execute(&mut *connection).await?;
        *flushing = Some(wanted);
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for work in batch.iter_mut() {
        if let Err(error) = work.perform(connection).await {
            roll_back(connection).await;
            return Err(error);
        }
    }
    match sqlx::query("COMMIT").execute(&mut *connection).await {
        Ok(_) => Ok(()),
        Err(error) => {
            roll_back(connection).await;
            Err(error)
        }
    }
}

async fn roll_back(connection: &mut SqliteConnection) {
    if let Err(error) = sqlx::query("ROLLBACK").execute(connection).await {
        // Some errors (a full disk) roll back by themselves.
        tracing::debug!("rolling back: {error}");
    }
}
