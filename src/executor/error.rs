//! What can go wrong where jobs run, and whose fault it is.

use std::error::Error;
use std::time::Duration;

use crate::diag::Origin;

type Cause = Box<dyn Error + Send + Sync>;

/// Who must act; decides exit status, retry and commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The pipeline's files or what they name.
    Pipeline,
    /// The machine, its daemon or the network: worth one new attempt.
    Machine,
    /// Nobody: the user stopped it.
    Nobody,
}

/// Texts say what and on what; causes are sources.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("cannot reach the Docker daemon at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        cause: Cause,
    },
    #[error("the Docker daemon refused to {operation}")]
    Daemon {
        operation: String,
        #[source]
        cause: Cause,
    },
    #[error("the Docker daemon did not {operation} within {} s", .after.as_secs())]
    Hung { operation: String, after: Duration },
    #[error("the connection to the job's container was lost")]
    ConnectionLost {
        #[source]
        cause: Cause,
    },
    #[error("cannot pull image `{image}`, asked for at {asked_at}: {why}")]
    Pull {
        image: String,
        asked_at: Origin,
        why: String,
    },
    #[error("service `{service}`, asked for at {asked_at}, did not become ready: {why}")]
    ServiceNotReady {
        service: String,
        asked_at: Origin,
        why: String,
    },
    #[error("cannot fill the workspace: {why}")]
    Workspace { why: String },
    #[error("the build at {asked_at} failed: {why}")]
    Build { asked_at: Origin, why: String },
    #[error("cannot push to `{to}`, asked for at {asked_at}: {why}")]
    Push {
        to: String,
        asked_at: Origin,
        why: String,
        blame: Blame,
    },
    /// The job asks for something that this executor does not do.
    #[error("{what}, asked for at {asked_at}, cannot be had here: {why}")]
    Unsupported {
        what: String,
        asked_at: Origin,
        why: String,
    },
    #[error("stopped")]
    Stopped,
}

impl ExecutorError {
    /// Decides exit status, retry and commit status, here and nowhere else.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unreachable { .. } | Self::Daemon { .. } | Self::Hung { .. } | Self::ConnectionLost { .. } => {
                Blame::Machine
            }
            Self::Pull { .. }
            | Self::ServiceNotReady { .. }
            | Self::Workspace { .. }
            | Self::Build { .. }
            | Self::Unsupported { .. } => Blame::Pipeline,
            Self::Push { blame, .. } => *blame,
            Self::Stopped => Blame::Nobody,
        }
    }

    /// The error with its causes, one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            let said = cause.to_string();
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = cause.source();
        }
        text
    }
}
