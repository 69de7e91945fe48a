//! The engine: states of steps, jobs and pipelines. A pure `apply(state, input) -> effects`, and `drive`, which performs
//! the effects through traits. Must not know Docker, SQL, HTTP or forges.

pub mod event;

pub use event::{EVENT_VERSION, EventKind, LINE_BYTES_MAX, Level, PipelineEvent, Status, WorkflowSeen};
