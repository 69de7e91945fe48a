//! Forges: is this webhook genuine, what does it say, and how is a commit told what became of it.
//!
//! Sole owner of HTTP towards forges and of their JSON. Must not know the store, the server or any pipeline:
//! it turns headers and bytes into an [`event::Trigger`](crate::event::Trigger) and an outcome into a status.

mod backoff;
pub mod compose;
mod decide;
mod error;
mod gitea;
mod github;
mod gitlab;
mod headers;
mod hub;
mod read;
mod signature;
mod status;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Serialize;

use crate::event::{CommitSha, ForgeKind, Trigger};
use crate::secret::Secret;

pub use backoff::wait_before_retry;
pub use decide::{Protected, asked_to_skip, trust_of};
pub use error::{Blame, ForgeError, WebhookError};
pub use gitea::Gitea;
pub use github::GitHub;
pub use gitlab::GitLab;
pub use status::{Connection, StatusState, StatusUpdate};

/// One forge, as the server needs it. Nothing here starts a pipeline; the answers say whether one should.
#[async_trait]
pub trait Forge: Send + Sync {
    fn kind(&self) -> ForgeKind;

    /// Proves that the delivery comes from someone who knows one of the `secrets`, over the raw bytes and before anything
    /// is parsed. All secrets are tried, in the same time whichever fits; empty ones never fit.
    /// * `now`: for forges that sign a timestamp; more than five minutes off is refused.
    ///
    /// Returns the index of the secret that fitted: the caller must see to it that this secret may speak for the
    /// repository that [`Forge::parse`] then finds.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&Secret],
        now: Timestamp,
    ) -> Result<usize, WebhookError>;

    /// Reads a verified delivery. What starts nothing is an answer too, not an error; an error is a body that is not what
    /// the forge documents, with the place and what was expected there.
    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Understood, WebhookError>;

    /// Sets the status of a commit; done when the forge has it. Setting what is already set is fine.
    async fn set_status(&self, update: &StatusUpdate) -> Result<(), ForgeError>;
}

/// The forge of a kind, behind its seam.
pub fn forge(kind: ForgeKind, connection: Connection) -> Box<dyn Forge> {
    match kind {
        ForgeKind::GitHub => Box::new(GitHub::new(connection)),
        ForgeKind::GitLab => Box::new(GitLab::new(connection)),
        ForgeKind::Gitea => Box::new(Gitea::new(connection)),
    }
}

/// What a delivery is about, in the words of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Push,
    Tag,
    PullRequest,
    /// A branch or tag went away.
    Delete,
    Ping,
    Other,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// A pipeline.
    Pipeline(Box<Trigger>),
    /// None, because its author said so (`[skip ci]`): to be shown as skipped, never run.
    SkippedByAuthor(Box<Trigger>),
    /// None, unless a workflow names this very action of a pull request (`types: [labeled]`).
    OnlyIfNamed(Box<Trigger>),
    Nothing,
}

/// What was understood from one delivery.
/// * `repo`: `owner/name`; none where the delivery belongs to no repository.
/// * `sha`: the commit to build: the head of a branch or pull request, the commit (not the object) of a tag.
/// * `git_ref`: as the forge's own CI would call it: `refs/heads/…`, `refs/tags/…`, `refs/pull/7/merge`,
///   `refs/merge-requests/7/head`. What to fetch is [`Trigger::git_ref`], which may differ.
/// * `base`: the target branch of a pull request.
/// * `fork`: a pull request whose head is not known to be in the same repository.
/// * `reason`: one sentence: why a pipeline starts, or why not.
/// * `delivery`: the forge's id of this delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Understood {
    pub kind: Kind,
    pub repo: Option<String>,
    pub sha: Option<CommitSha>,
    pub git_ref: Option<String>,
    pub base: Option<String>,
    pub fork: bool,
    pub reason: String,
    pub delivery: Option<String>,
    pub start: Start,
}

impl Understood {
    /// Whether a pipeline starts.
    pub fn run(&self) -> bool {
        self.trigger().is_some()
    }

    /// What starts a pipeline; none when nothing starts without further ado.
    pub fn trigger(&self) -> Option<&Trigger> {
        match &self.start {
            Start::Pipeline(trigger) => Some(trigger),
            Start::SkippedByAuthor(_) | Start::OnlyIfNamed(_) | Start::Nothing => None,
        }
    }

    /// The body of the answer to the forge. `pipeline` is the number of the pipeline that was started.
    pub fn answer(&self, pipeline: Option<u64>) -> Answer<'_> {
        Answer {
            kind: self.kind,
            run: self.run(),
            repo: self.repo.as_deref(),
            sha: self.sha.as_ref().map(CommitSha::as_str),
            git_ref: self.git_ref.as_deref(),
            base: self.base.as_deref(),
            fork: self.fork,
            pipeline,
            reason: &self.reason,
        }
    }
}

/// The JSON that `POST /hooks/…` answers with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer<'a> {
    pub kind: Kind,
    pub run: bool,
    pub repo: Option<&'a str>,
    pub sha: Option<&'a str>,
    #[serde(rename = "ref")]
    pub git_ref: Option<&'a str>,
    pub base: Option<&'a str>,
    pub fork: bool,
    pub pipeline: Option<u64>,
    pub reason: &'a str,
}

#[cfg(test)]
mod tests;
