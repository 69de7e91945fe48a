//! Sources: the repository at the event's commit, from a mirror of the forge or from a work tree.
//!
//! Sole owner of git2. Must not know executors, forges' APIs or registries.

pub mod address;
pub mod git;
mod listing;
pub mod local;

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Changed, Trigger};
use crate::stop::Stop;
use crate::tree::Tree;

/// Who must act on a failed checkout is said by the text; `is_transient` says whether trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("`{url}` may not be fetched: {why}")]
    Forbidden { url: String, why: String },
    #[error("cannot fetch `{url}`: {why}")]
    Fetch { url: String, why: String, transient: bool },
    #[error("`{url}` has no commit {commit}: {why}")]
    Gone { url: String, commit: String, why: String },
    #[error("`{url}` is over the limit: {why}")]
    TooLarge { url: String, why: String },
    #[error("cannot read {what}: {why}")]
    Read { what: String, why: String },
    #[error("stopped")]
    Stopped,
}

impl SourceError {
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { transient, .. } => *transient,
            Self::Forbidden { .. } | Self::Gone { .. } | Self::TooLarge { .. } | Self::Read { .. } | Self::Stopped => {
                false
            }
        }
    }
}

#[async_trait]
pub trait Source: Send + Sync {
    /// The repository's files at the trigger's commit. URLs in errors carry no credentials.
    async fn checkout(&self, trigger: &Trigger, stop: &Stop) -> Result<Arc<dyn Tree>, SourceError>;

    /// The paths that the event changed, looked up in the repository when the forge did not say them.
    async fn changed(&self, trigger: &Trigger, stop: &Stop) -> Result<Changed, SourceError>;
}
