//! What is stored, as the rooms above see it. Times are UTC, ids count from 1.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::Status;
use crate::event::{CommitSha, ForgeKind, Trigger, Trust};

/// Where a repository's row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddedBy {
    Person,
    Configuration,
    FirstDelivery,
}

impl AddedBy {
    pub fn word(self) -> &'static str {
        match self {
            AddedBy::Person => "person",
            AddedBy::Configuration => "configuration",
            AddedBy::FirstDelivery => "first_delivery",
        }
    }
}

/// * `name`: `owner/name`. * `webhook_secret`: sealed. Fields that are `None` keep what is stored.
#[derive(Debug, Clone)]
pub struct NewRepo {
    pub forge: ForgeKind,
    pub name: String,
    pub clone_url: Option<String>,
    pub default_branch: Option<String>,
    pub webhook_secret: Option<Vec<u8>>,
    pub dialect: Option<String>,
    pub added_by: AddedBy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    pub id: u64,
    pub forge: ForgeKind,
    pub name: String,
    pub clone_url: Option<String>,
    pub default_branch: Option<String>,
    pub webhook_secret: Option<Vec<u8>>,
    pub dialect: Option<String>,
    pub added_by: String,
    pub added_at: Timestamp,
}

/// A secret as it rests: only its name can be read. `protected_only`: not for pull requests and unprotected branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    pub repo: Option<u64>,
    pub name: String,
    pub sealed: Vec<u8>,
    pub protected_only: bool,
    pub updated_at: Timestamp,
}

/// SHA-256 of a token of 256 random bits.
pub type TokenHash = [u8; 32];

/// What a token's holder may do; each allows what stands before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Read,
    /// Start, cancel, re-run and approve pipelines.
    Run,
    /// Repositories, secrets and tokens.
    Admin,
}

impl Scope {
    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Run => "run",
            Scope::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Scope::Read, Scope::Run, Scope::Admin]
            .into_iter()
            .find(|scope| scope.word() == word)
            .ok_or_else(|| format!("`{word}` is no scope; use read, run or admin"))
    }
}

#[derive(Debug, Clone)]
pub struct NewToken {
    pub name: String,
    pub hash: TokenHash,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    pub id: u64,
    pub name: String,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// How an accepted event begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    Queued,
    /// For approval.
    Waiting {
        why: String,
    },
    /// It is shown and never runs.
    Skipped {
        why: String,
    },
}

/// An event to be remembered.
/// * `delivery`: its id at the forge; none for what a person started, which is then never a duplicate.
/// * `status`: what its commit is told first.
#[derive(Debug, Clone)]
pub struct NewPipeline {
    pub repo: u64,
    pub trigger: Arc<Trigger>,
    pub delivery: Option<String>,
    pub begin: Begin,
    pub rerun_of: Option<u64>,
    pub status: Option<StatusNote>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    New(u64),
    /// The delivery was here before and started this pipeline.
    SeenBefore(u64),
}

impl Enqueued {
    pub fn pipeline(self) -> u64 {
        match self {
            Enqueued::New(id) | Enqueued::SeenBefore(id) => id,
        }
    }
}

/// The right to run one pipeline.
/// * `fence`: grows with every claim of it. * `tries`: from 1, without those that a person's shutdown interrupted.
/// * `last_seq`: of its stored events.
#[derive(Debug, Clone)]
pub struct Claim {
    pub pipeline: u64,
    pub repo: u64,
    pub fence: u64,
    pub tries: u32,
    pub last_seq: u64,
    pub runner: String,
    pub trigger: Arc<Trigger>,
}

/// Whose running pipelines are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftBy {
    /// Everybody's whose lease ran out, and all of the runner that asks: it has just started and runs nothing yet.
    MeAndExpired,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    GoOn,
    Cancel,
}

/// Where a claimed pipeline goes that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Back to its place in the queue. `counted`: the try counts against the pipeline.
    Queue { counted: bool },
    /// It waits for approval.
    Wait { why: String },
}

/// What became of binding a pipeline to its files' content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigNoted {
    Fine,
    /// Its approval was given for files with another content.
    ApprovedForOther,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not begun; it is over now.
    AtOnce,
    /// Its runner was asked.
    Asked,
    AlreadyOver(Status),
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved {
    Queued,
    /// It was not waiting.
    NotWaiting(Status),
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub by: String,
    pub at: Timestamp,
    pub config_hash: Option<String>,
}

/// A pipeline as lists show it; its status is the fold of its events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PipelineRow {
    pub number: u64,
    #[serde(skip)]
    pub repo_id: u64,
    pub forge: ForgeKind,
    pub repo: String,
    pub event: String,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub pull_request: Option<u64>,
    pub git_ref: String,
    pub sha: String,
    pub title: String,
    pub actor: String,
    pub trust: Trust,
    pub status: Status,
    pub why: Option<String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub rerun_of: Option<u64>,
    pub approved_by: Option<String>,
    pub last_seq: u64,
    /// Somebody asked for its end.
    pub cancelling: bool,
}

/// Which pipelines; everything that is `None` matches all.
/// * `before`: only numbers below it, the cursor of the next page. * `limit`: at least 1.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub repo: Option<String>,
    pub forge: Option<ForgeKind>,
    pub status: Option<Status>,
    pub branch: Option<String>,
    pub event: Option<String>,
    pub sha: Option<String>,
    pub before: Option<u64>,
    pub limit: u32,
}

/// Which log.
#[derive(Debug, Clone, Copy)]
pub struct LinesOf<'a> {
    pub pipeline: u64,
    pub job: &'a str,
    pub attempt: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    pub queued: u64,
    pub waiting: u64,
    pub running: u64,
    /// Since the oldest queued pipeline was accepted.
    pub oldest_queued_seconds: u64,
    pub statuses_waiting: u64,
}

/// What a commit is to be told. One per commit and context is kept, the newest wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusNote {
    pub context: String,
    pub status: Status,
    pub description: String,
}

/// A status on its way to a forge. `version` grows with each newer note of the same commit and context.
#[derive(Debug, Clone, PartialEq)]
pub struct DueStatus {
    pub id: u64,
    pub version: u64,
    pub tries: u32,
    pub forge: ForgeKind,
    pub repo: String,
    pub sha: CommitSha,
    /// Branch or tag under which GitLab files it.
    pub git_name: Option<String>,
    pub pipeline: u64,
    pub note: StatusNote,
    pub since: Timestamp,
}
