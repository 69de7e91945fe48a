//! The store: what must survive: repositories, sealed secrets, accepted events, pipelines with their events and logs,
//! and the statuses that commits still have to be told.
//!
//! Sole owner of sqlx. Must not know the server, forges' HTTP or executors; it seals nothing and decides nothing about trust.

mod chunk;
mod error;
mod model;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

use std::time::Duration;

use async_trait::async_trait;

use crate::engine::PipelineEvent;
use crate::event::ForgeKind;

pub use error::StoreError;
pub use model::*;
pub use sqlite::SqliteStore;

pub type Stored<T> = Result<T, StoreError>;

/// Everything durable, behind one seam. A call that returned `Ok` has committed; those marked *flushed* also survive a power cut.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a repository, or changes the one of that forge and name. *Flushed.*
    async fn put_repo(&self, repo: &NewRepo) -> Stored<Repo>;
    async fn repo(&self, id: u64) -> Stored<Option<Repo>>;
    /// Names are compared without case, as forges do.
    async fn repo_named(&self, forge: ForgeKind, name: &str) -> Stored<Option<Repo>>;
    /// In order of forge and name.
    async fn repos(&self) -> Stored<Vec<Repo>>;
    /// Removes a repository with its secrets; its pipelines stay to be looked at. False when there is none. *Flushed.*
    async fn remove_repo(&self, id: u64) -> Stored<bool>;

    /// Sets a repository's secret; without repository, one for all of them. *Flushed.*
    async fn put_secret(&self, secret: &SealedSecret) -> Stored<()>;
    /// The secrets that a repository's pipelines may use: those for all, overruled by its own.
    async fn secrets_for(&self, repo: u64) -> Stored<Vec<SealedSecret>>;
    /// Of exactly this scope, by name.
    async fn secrets_of(&self, repo: Option<u64>) -> Stored<Vec<SealedSecret>>;
    /// False when there is none. *Flushed.*
    async fn remove_secret(&self, repo: Option<u64>, name: &str) -> Stored<bool>;

    /// *Flushed.*
    async fn add_token(&self, token: &NewToken) -> Stored<Token>;
    async fn token(&self, hash: &TokenHash) -> Stored<Option<Token>>;
    async fn tokens(&self) -> Stored<Vec<Token>>;
    /// False when there is none. *Flushed.*
    async fn remove_token(&self, id: u64) -> Stored<bool>;

    /// Remembers an accepted event: the delivery's id, the pipeline and its first commit status in one transaction.
    /// The same delivery of the same repository comes only once, however often and however parallel it arrives. *Flushed.*
    async fn enqueue(&self, pipeline: &NewPipeline) -> Stored<Enqueued>;

    /// Takes the oldest queued pipeline for `runner`. The claim's fence is proved by every later write; a claim that is not
    /// renewed within `lease` may be taken by others.
    async fn claim(&self, runner: &str, lease: Duration) -> Stored<Option<Claim>>;
    /// Takes over, with new fences, running pipelines that nobody runs any more: what a crash left.
    async fn reclaim(&self, runner: &str, lease: Duration, left: LeftBy) -> Stored<Vec<Claim>>;
    /// Prolongs a claim; says whether somebody wants the pipeline cancelled.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Stored<Wanted>;
    /// Stores events whose `seq` follow on the last stored one, and folds them into the pipeline's status: a
    /// `PipelineFinished` ends the claim. `status` goes to the outbox in the same transaction. Refused when the fence is old.
    async fn append(&self, claim: &Claim, events: &[PipelineEvent], status: Option<&StatusNote>) -> Stored<()>;
    /// Gives a claimed pipeline back to the queue, or makes it wait for approval.
    async fn release(&self, claim: &Claim, to: Release, status: Option<&StatusNote>) -> Stored<()>;
    /// Binds the claimed pipeline to what its files say, for approvals; see [`Store::approve`].
    async fn note_config(&self, claim: &Claim, config_hash: &str) -> Stored<ConfigNoted>;

    /// Ends a pipeline that nobody runs, or asks its runner to end it. Idempotent. *Flushed.*
    async fn cancel(&self, pipeline: u64, by: &str, note: Option<&StatusNote>) -> Stored<Cancelled>;
    /// Lets a waiting pipeline run: its repository and commit are approved, and whatever its files say when it first runs.
    /// *Flushed.*
    async fn approve(&self, pipeline: u64, by: &str) -> Stored<Approved>;
    /// Whether this commit of this repository is approved.
    async fn approval(&self, repo: u64, sha: &str) -> Stored<Option<Approval>>;

    async fn pipeline(&self, id: u64) -> Stored<Option<PipelineRow>>;
    /// Newest first.
    async fn pipelines(&self, filter: &Filter) -> Stored<Vec<PipelineRow>>;
    /// What started it.
    async fn trigger(&self, id: u64) -> Stored<Option<crate::event::Trigger>>;
    /// Events with a `seq` above `after`, in order and without gaps, at most `limit` of them.
    async fn events(&self, pipeline: u64, after: u64, limit: u32) -> Stored<Vec<PipelineEvent>>;
    /// All events but log lines, in order.
    async fn outline(&self, pipeline: u64) -> Stored<Vec<PipelineEvent>>;
    /// Lines of one job's attempt from line `from` (0-based) on; of its last attempt when none is named.
    async fn lines(&self, of: &LinesOf<'_>, from: u64, limit: u32) -> Stored<Vec<PipelineEvent>>;
    /// How many lines that log has so far.
    async fn line_count(&self, of: &LinesOf<'_>) -> Stored<u64>;
    /// How many pipelines are in which status, for metrics.
    async fn counts(&self) -> Stored<Counts>;

    /// Statuses whose time has come, oldest first.
    async fn due_statuses(&self, limit: u32) -> Stored<Vec<DueStatus>>;
    /// The forge has it. Ignored when a newer status took its place meanwhile.
    async fn status_delivered(&self, id: u64, version: u64) -> Stored<()>;
    /// Try again after `wait`, or never. Ignored when a newer status took its place meanwhile.
    async fn status_failed(&self, id: u64, version: u64, why: &str, wait: Option<Duration>) -> Stored<()>;

    /// Removes finished pipelines and delivery ids that are older; how many of each. Works in small steps.
    async fn prune(&self, pipelines_older: Duration, deliveries_older: Duration) -> Stored<(u64, u64)>;

    async fn note(&self, key: &str) -> Stored<Option<String>>;
    /// *Flushed.*
    async fn put_note(&self, key: &str, value: &str) -> Stored<()>;
    /// Whether it can be read and written right now.
    async fn ping(&self) -> Stored<()>;
}
