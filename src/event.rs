//! Events: what happened, to which commit of which repository, and how far it is trusted.
//!
//! Must not know any forge's JSON; the `forge` room turns payloads into these types.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A forge that sends webhooks and takes commit statuses. Forgejo and Gogs speak Gitea's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    GitHub,
    GitLab,
    Gitea,
}

impl ForgeKind {
    pub const ALL: [ForgeKind; 3] = [ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea];

    pub fn name(self) -> &'static str {
        match self {
            ForgeKind::GitHub => "github",
            ForgeKind::GitLab => "gitlab",
            ForgeKind::Gitea => "gitea",
        }
    }
}

impl std::str::FromStr for ForgeKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        ForgeKind::ALL
            .into_iter()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| format!("`{word}` is no forge that Drydock knows; use github, gitlab or gitea"))
    }
}

impl std::fmt::Display for ForgeKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// A full commit id: 40 or 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(Arc<str>);

impl CommitSha {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }

    /// Git's all-zero id: a work tree without a commit.
    pub fn zero() -> Self {
        CommitSha("0".repeat(40).into())
    }

    /// Git's all-zero id, which forges send for "no commit" (a created or deleted ref).
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }
}

impl TryFrom<String> for CommitSha {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex && (text.len() == 40 || text.len() == 64) {
            Ok(CommitSha(text.to_ascii_lowercase().into()))
        } else {
            Err(format!(
                "`{}` is no commit id (40 or 64 hex digits)",
                text.chars().take(80).collect::<String>()
            ))
        }
    }
}

impl From<CommitSha> for String {
    fn from(sha: CommitSha) -> String {
        sha.0.to_string()
    }
}

impl std::fmt::Display for CommitSha {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// What happened. Branch and tag names are as the forge sent them: data, never to be spliced into a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Commits arrived on a branch. `before` is none for a new branch.
    Push {
        branch: String,
        before: Option<CommitSha>,
        forced: bool,
    },
    /// A tag was made or moved.
    Tag { tag: String },
    /// A pull (merge) request was opened, updated or otherwise touched.
    PullRequest(PullRequest),
    /// A cron schedule of the pipeline file came due.
    Schedule { cron: String, branch: String },
    /// A person asked for it, with inputs.
    Manual {
        branch: String,
        inputs: IndexMap<String, String>,
    },
}

/// * `action`: Drydock's word for what happened to it: `opened`, `reopened`, `synchronize`, `edited`, `labeled`, ...
/// * `source_repo`: `owner/name` of the head; differs from the event's repository for a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub number: u64,
    pub action: String,
    pub title: String,
    pub source_branch: String,
    pub source_repo: String,
    pub target_branch: String,
    pub base: Option<CommitSha>,
    pub draft: bool,
    pub labels: Vec<String>,
}

impl Event {
    /// The word used in files, on the command line and in the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Push { .. } => "push",
            Event::Tag { .. } => "tag",
            Event::PullRequest(_) => "pull_request",
            Event::Schedule { .. } => "schedule",
            Event::Manual { .. } => "manual",
        }
    }

    /// The branch that filters look at: pushed to, or the target of a pull request. None for a tag.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Event::Push { branch, .. } | Event::Schedule { branch, .. } | Event::Manual { branch, .. } => Some(branch),
            Event::PullRequest(request) => Some(&request.target_branch),
            Event::Tag { .. } => None,
        }
    }

    pub fn tag(&self) -> Option<&str> {
        match self {
            Event::Tag { tag } => Some(tag),
            Event::Push { .. } | Event::PullRequest(_) | Event::Schedule { .. } | Event::Manual { .. } => None,
        }
    }
}

/// How far the event's author is trusted; decided by the server, lowered by nothing but the event itself.
/// Ordered: a later variant may do less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The person at the keyboard: a local run, or an administrator of the server.
    Operator,
    /// A protected branch or tag of a trusted repository.
    Protected,
    /// Another branch, or a pull request from within the repository.
    Member,
    /// A fork's pull request that somebody approved for exactly this commit.
    ForkApproved,
    /// A fork's pull request: gets no secrets, and waits for approval.
    Fork,
}

impl Trust {
    /// Whether steps may be given secrets.
    pub fn may_have_secrets(self) -> bool {
        match self {
            Trust::Operator | Trust::Protected | Trust::Member => true,
            Trust::ForkApproved | Trust::Fork => false,
        }
    }

    pub fn must_wait_for_approval(self) -> bool {
        match self {
            Trust::Fork => true,
            Trust::Operator | Trust::Protected | Trust::Member | Trust::ForkApproved => false,
        }
    }
}

/// Which files an event changed, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// Every path is known, relative to the repository's root.
    Paths(Vec<String>),
    /// Not known (a new branch, a tag, a truncated payload): path filters let the event through and say so.
    Unknown,
}

/// Everything that starts a pipeline.
/// * `repo`: `owner/name` (GitLab: with subgroups) at the forge; for a local run the folder's name.
/// * `git_ref`: the full ref, e.g. `refs/heads/main`, `refs/tags/v1`, `refs/pull/7/head`.
/// * `clone_url`: where to fetch from; none for a local run.
/// * `delivery`: the forge's id of this delivery, by which duplicates are recognised.
/// * `payload`: the forge's own JSON, for dialects whose files can look into it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    pub forge: Option<ForgeKind>,
    pub repo: String,
    pub clone_url: Option<String>,
    pub event: Event,
    pub commit: CommitSha,
    pub git_ref: String,
    pub default_branch: Option<String>,
    pub changed: Changed,
    pub message: String,
    pub actor: String,
    pub delivery: Option<String>,
    pub trust: Trust,
    pub payload: Arc<serde_json::Value>,
}
