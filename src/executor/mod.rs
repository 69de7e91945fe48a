//! Executors: where jobs run. The seam between what is to be done and containers that do it.
//!
//! Must not know dialects, forges or the store. `docker/` talks to an engine; `fake.rs` enforces the contract in tests.

pub mod docker;
pub mod error;
#[cfg(test)]
pub mod fake;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::diag::Origin;
use crate::plan::{DockerAccess, Shell, StepFile};
use crate::secret::SecretSet;
use crate::stop::Stop;
use crate::tree::Tree;

pub use error::{Blame, ExecutorError};

/// Whose job it is; becomes labels (`io.drydock.server`, `.pipeline`, `.job`, `.attempt`) and names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The server (or local command) that owns what is made. Sweeping never touches another's.
    pub server: String,
    pub pipeline: u64,
    /// The job's instance: `KEY` or `KEY.INDEX`; letters, digits, `-`, `_`, `.`; at most 80 bytes.
    pub job: String,
    /// From 1.
    pub attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    Never,
    #[default]
    Missing,
    Always,
}

/// A job container and its services, ready to be opened. Holds no secrets but a service's environment.
#[derive(Clone)]
pub struct JobSpec {
    pub place: Place,
    pub image: String,
    pub pull: PullPolicy,
    pub services: Vec<ServiceSpec>,
    pub docker: DockerAccess,
    pub limits: JobLimits,
    pub workspace: Workspace,
    pub origin: Origin,
}

/// Limits of the job container; services get the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobLimits {
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: u32,
}

#[derive(Clone)]
pub enum Workspace {
    /// A volume filled from the tree.
    Copy(Arc<dyn Tree>),
    /// The user's own folder, mounted (local runs only).
    Bind(PathBuf),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Its host name on the job's network.
    pub name: String,
    pub image: String,
    pub env: Vec<(String, String)>,
    pub ready: Option<String>,
    pub ready_within: Duration,
    pub entrypoint: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub origin: Origin,
}

/// One step, everything resolved. `env` may hold secrets: it goes to the process only, never into a container's settings.
#[derive(Clone)]
pub struct StepSpec {
    /// Position in the job, from 1.
    pub number: u32,
    pub program: Program,
    pub env: Vec<(String, String)>,
    /// Absolute, or relative to the workspace.
    pub dir: Option<String>,
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    pub files: Vec<StepFile>,
    /// None: in the job container.
    pub image: Option<String>,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    Script {
        shell: Shell,
        text: String,
    },
    /// The image's own entrypoint and command, or these instead.
    Image {
        entrypoint: Option<Vec<String>>,
        args: Option<Vec<String>>,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnd {
    pub how: Ended,
    pub duration: Duration,
    pub cpu: Duration,
    pub max_rss_bytes: u64,
    /// By variable, the files that were asked back.
    pub files: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
    TimedOut {
        after: Duration,
    },
    /// The kernel killed a process of the job for its memory limit and the step failed.
    OutOfMemory,
    Cancelled,
    /// The step's program could not be started, e.g. its shell or directory is missing; the text says which.
    CannotStart(String),
}

/// Where output goes. Backpressure: a slow sink slows the step, it never grows memory.
#[async_trait]
pub trait LogSink: Send + Sync {
    async fn write(&self, stream: Stream, bytes: Bytes);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
    /// Drydock's own words: pulls, services, builds, pushes.
    System,
}

/// An image to be built from the tree.
#[derive(Clone)]
pub struct BuildSpec {
    pub place: Place,
    pub tree: Arc<dyn Tree>,
    /// Relative to the tree's root; `.` is the root.
    pub context: String,
    /// Relative to the tree's root.
    pub dockerfile: String,
    pub target: Option<String>,
    pub args: Vec<(String, String)>,
    pub secrets: SecretSet,
    pub platforms: Vec<String>,
    pub cache: bool,
    pub tags: Vec<String>,
    pub pull: PullPolicy,
    pub origin: Origin,
}

/// * `image`: the id by which later jobs run it, immutable (`sha256:...`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub image: String,
    /// Which builder made it, for people: `BuildKit` or `classic builder`.
    pub builder: &'static str,
}

#[derive(Debug, Clone)]
pub struct PushSpec {
    pub image: String,
    /// Repository with registry, without tag: `registry.example.com/team/web`.
    pub to: String,
    pub tags: Vec<String>,
    pub origin: Origin,
}

/// * `reference`: `registry/repo:tag`. * `digest`: as the registry reports it, `sha256:...`.
/// * `moved`: false when the registry had this digest under this tag already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub reference: String,
    pub digest: String,
    pub moved: bool,
}

/// Runs jobs. Every call that fails has undone what it began.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Services healthy, workspace filled, job container waiting for its first step.
    async fn open(&self, job: &JobSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Box<dyn Session>, ExecutorError>;

    async fn build(&self, build: &BuildSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Built, ExecutorError>;

    /// One entry per tag, in order.
    async fn push(&self, push: &PushSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Vec<Pushed>, ExecutorError>;

    /// Removes every container, network and volume of `server` whose pipeline is not in `alive`; what was removed, for people.
    async fn sweep(&self, server: &str, alive: &[u64]) -> Result<Vec<String>, ExecutorError>;

    /// Waits until nothing of what was closed is left, and lets go of what was kept ready. Call it before the process
    /// ends; the executor can be used again afterwards.
    async fn settle(&self) -> Result<(), ExecutorError> {
        Ok(())
    }
}

/// An open job. Dropping it without `close` leaves its containers to `sweep`.
#[async_trait]
pub trait Session: Send {
    async fn run(&mut self, step: &StepSpec, logs: &dyn LogSink, stop: &Stop) -> Result<StepEnd, ExecutorError>;

    /// Lets go of the job: everything it made is removed while the caller goes on ([`Executor::settle`] waits for it).
    async fn close(self: Box<Self>) -> Result<(), ExecutorError>;
}
