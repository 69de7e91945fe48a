//! What can go wrong with what is stored.

/// Texts say what was to be done; causes are sources.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {operation}: the database cannot be used")]
    Unavailable {
        operation: &'static str,
        #[source]
        cause: sqlx::Error,
    },
    /// It is locked by another program, or its writer cannot keep up.
    #[error("cannot {operation}: the database is busy")]
    Busy { operation: &'static str },
    /// Another runner has the pipeline; whoever gets this must stop and write nothing more.
    #[error("pipeline {pipeline} was taken over: fence {fence} is no longer valid")]
    Stale { pipeline: u64, fence: u64 },
    /// The events do not follow on the stored ones.
    #[error("pipeline {pipeline} has events up to {stored}, which event {offered} does not follow")]
    OutOfOrder { pipeline: u64, stored: u64, offered: u64 },
    #[error("the database holds something unreadable in {what}: {why}")]
    Corrupt { what: String, why: String },
    #[error("cannot open the database `{path}`: {why}")]
    Open { path: String, why: String },
}

impl StoreError {
    /// Whether the call was understood and refused, so that nothing was written and trying again gives the same.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Stale { .. } | Self::OutOfOrder { .. } | Self::Corrupt { .. } => true,
            Self::Unavailable { .. } | Self::Busy { .. } | Self::Open { .. } => false,
        }
    }

    /// The error with its causes, one line.
    pub fn chain(&self) -> String {
        match self {
            Self::Unavailable { cause, .. } => format!("{self}: {cause}"),
            Self::Busy { .. }
            | Self::Stale { .. }
            | Self::OutOfOrder { .. }
            | Self::Corrupt { .. }
            | Self::Open { .. } => self.to_string(),
        }
    }
}
