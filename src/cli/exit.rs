//! Exit statuses, and errors as a person reads them.

use std::process::ExitCode;

use crate::engine::Status;
use crate::executor::{Blame, ExecutorError};

/// What the process says to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything passed.
    Passed,
    /// 1: a job failed.
    Failed,
    /// 2: the files or the flags are wrong.
    Wrong,
    /// 3: the executor or the network failed.
    Machine,
    /// 4: the pipeline was cancelled or timed out.
    Cancelled,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Passed => 0,
            Exit::Failed => 1,
            Exit::Wrong => 2,
            Exit::Machine => 3,
            Exit::Cancelled => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Exit {
        match status {
            Status::Passed | Status::Skipped => Exit::Passed,
            Status::Failed => Exit::Failed,
            Status::Cancelled => Exit::Cancelled,
            Status::Lost | Status::Queued | Status::Waiting | Status::Running => Exit::Machine,
        }
    }
}

/// A command that did not do what was asked: its exit status, what went wrong, and what to do about it.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    pub what: String,
    pub hint: Option<String>,
}

impl Failed {
    /// The files or the flags are wrong.
    pub fn wrong(what: impl Into<String>) -> Self {
        Failed {
            exit: Exit::Wrong,
            what: what.into(),
            hint: None,
        }
    }

    /// The executor, the network or this machine failed.
    pub fn machine(what: impl Into<String>) -> Self {
        Failed {
            exit: Exit::Machine,
            what: what.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it to stderr and gives the process's exit status.
    pub fn report(self) -> ExitCode {
        let bold = anstyle::Style::new()
            .bold()
            .fg_color(Some(anstyle::AnsiColor::Red.into()));
        if !self.what.is_empty() {
            anstream::eprintln!("{bold}error{bold:#}: {}", self.what);
        }
        if let Some(hint) = &self.hint {
            anstream::eprintln!("  = help: {hint}");
        }
        self.exit.into()
    }
}

impl From<ExecutorError> for Failed {
    fn from(error: ExecutorError) -> Failed {
        let exit = match error.blame() {
            Blame::Pipeline => Exit::Failed,
            Blame::Machine => Exit::Machine,
            Blame::Nobody => Exit::Cancelled,
        };
        let hint = match &error {
            ExecutorError::Unreachable { .. } => {
                Some("`drydock doctor` says where it looked and what to do".to_owned())
            }
            ExecutorError::Daemon { .. }
            | ExecutorError::Hung { .. }
            | ExecutorError::ConnectionLost { .. }
            | ExecutorError::Pull { .. }
            | ExecutorError::ServiceNotReady { .. }
            | ExecutorError::Workspace { .. }
            | ExecutorError::Build { .. }
            | ExecutorError::Push { .. }
            | ExecutorError::Unsupported { .. }
            | ExecutorError::Stopped => None,
        };
        Failed {
            exit,
            what: error.chain(),
            hint,
        }
    }
}
