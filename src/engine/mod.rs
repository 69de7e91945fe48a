//! The engine: states of steps, jobs and pipelines. A pure `apply(state, input) -> effects`, and `drive`, which performs
//! the effects through traits. Must not know Docker, SQL, HTTP or forges.

mod attempt;
mod drive;
pub mod event;
pub mod job;
mod log;
pub mod pipeline;
mod resolve;
mod step;

#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub use crate::executor::Stream;
pub use drive::{Ended, Hands, Keep, Run, Settings, WorkspaceMode, run};
pub use event::{EVENT_VERSION, EventKind, LINE_BYTES_MAX, Level, PipelineEvent, Status, WorkflowSeen};
pub use job::Why;
pub use log::LineSink;
pub use pipeline::{Bounds, Ground};

/// Who is told what happens, in order for each job. It stores first and shows then; while it works, the teller waits.
#[async_trait]
pub trait Observer: Send + Sync {
    async fn tell(&self, events: Vec<EventKind>);
}
