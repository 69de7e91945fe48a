//! Pipeline events: append-only facts. Page, terminal, statuses and the state after a restart are folds over them.

use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::executor::Stream;

/// Version of the event stream's format, `v` in each object.
pub const EVENT_VERSION: u32 = 1;

/// The longest line that one log event carries, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// One line of `-o json` and of `GET /api/v1/pipelines/N/events`.
/// * `seq`: from 1, without gaps within one pipeline. * `at`: RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineEvent {
    pub v: u32,
    pub seq: u64,
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    pub pipeline: u64,
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. `job` is a job instance's key: `KEY`, or `KEY (a, b)` for a member of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    PipelineStarted {
        repo: String,
        event: String,
        git_ref: String,
        sha: String,
        workflows: Vec<WorkflowSeen>,
    },
    PipelineFinished {
        status: Status,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
    },
    JobQueued {
        job: Arc<str>,
        workflow: String,
        needs: Vec<String>,
        /// The job as first queued, when this is a member of its matrix.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        of: Option<Arc<str>>,
    },
    JobStarted {
        job: Arc<str>,
        attempt: u32,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        image: Option<String>,
    },
    JobSkipped {
        job: Arc<str>,
        workflow: String,
        reason: String,
    },
    JobFinished {
        job: Arc<str>,
        attempt: u32,
        status: Status,
        duration_ms: u64,
        outputs: IndexMap<String, String>,
        /// Why it did not pass: what, where, what to do.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
        /// Whether another attempt follows.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        retried: bool,
    },
    StepStarted {
        job: Arc<str>,
        attempt: u32,
        step: u32,
        name: String,
    },
    StepFinished {
        job: Arc<str>,
        attempt: u32,
        step: u32,
        name: String,
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        exit_code: Option<i32>,
        duration_ms: u64,
        max_rss_bytes: u64,
        cpu_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
    },
    /// One line of output, secrets masked. `step` is 0 for what belongs to the job as a whole.
    /// A line over [`LINE_BYTES_MAX`] comes in pieces: all but the last have `continues`.
    Log {
        job: Arc<str>,
        attempt: u32,
        step: u32,
        stream: Stream,
        line: String,
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        continues: bool,
    },
    Annotation {
        job: Arc<str>,
        step: u32,
        level: Level,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        file: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        line: Option<u32>,
    },
    ImageBuilt {
        job: Arc<str>,
        image: String,
        builder: String,
    },
    ImagePushed {
        job: Arc<str>,
        reference: String,
        digest: String,
        moved: bool,
    },
}

impl EventKind {
    /// The instance the event belongs to, if it belongs to one.
    pub fn job(&self) -> Option<&str> {
        match self {
            EventKind::PipelineStarted { .. } | EventKind::PipelineFinished { .. } => None,
            EventKind::JobQueued { job, .. }
            | EventKind::JobStarted { job, .. }
            | EventKind::JobSkipped { job, .. }
            | EventKind::JobFinished { job, .. }
            | EventKind::StepStarted { job, .. }
            | EventKind::StepFinished { job, .. }
            | EventKind::Log { job, .. }
            | EventKind::Annotation { job, .. }
            | EventKind::ImageBuilt { job, .. }
            | EventKind::ImagePushed { job, .. } => Some(job),
        }
    }
}

/// A workflow file and whether the event starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowSeen {
    pub name: String,
    pub file: String,
    pub runs: bool,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Notice,
    Warning,
    Error,
}

/// The words for how something stands, everywhere a person or a program sees one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    /// Held by a gate.
    Waiting,
    Running,
    Passed,
    Failed,
    Cancelled,
    Skipped,
    /// The executor vanished.
    Lost,
}

impl Status {
    pub const ALL: [Status; 8] = [
        Status::Queued,
        Status::Waiting,
        Status::Running,
        Status::Passed,
        Status::Failed,
        Status::Cancelled,
        Status::Skipped,
        Status::Lost,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Waiting => "waiting",
            Status::Running => "running",
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
            Status::Lost => "lost",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        match self {
            Status::Queued | Status::Waiting | Status::Running => false,
            Status::Passed | Status::Failed | Status::Cancelled | Status::Skipped | Status::Lost => true,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.word())
    }
}
