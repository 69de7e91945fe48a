//! The plan: a resolved, not yet run pipeline, whatever dialect it was written in.
//!
//! Pure data and pure functions. Must not know tokio, I/O or any dialect.

mod bind;
mod builder;
mod conventions;
mod files;
mod matrix;
pub mod picture;
mod rule;
mod secrets;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::diag::Origin;
use crate::expr::{Expr, Template};

pub use bind::{Binding, Facts, FactsScope, Finished, Instance, JobResult, Reason, Wrong, bind};
pub use builder::{PlanBuilder, PlanError, cycle};
pub use conventions::{AfterStep, BeforeStep, Conventions, StepFile, StepPast};
pub use files::TreeFiles;
pub use matrix::{Axis, Cell, INSTANCES_MAX, Matrix, Row, Rows};
pub use rule::{Decision, EventFilter, Globs, ManualInput, Rule, decide, manual_inputs};

/// At most so many bytes are read back from one step file.
pub const STEP_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A path inside the repository: relative, `/`-separated, without `..`.
pub type RelPath = Arc<str>;

/// The key of a job as its file names it, e.g. `unit`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct JobKey(Arc<str>);

impl JobKey {
    pub fn new(key: &str) -> Self {
        JobKey(key.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Environment as written: values may hold expressions; a secret stays a name until its step starts.
pub type Env = IndexMap<String, Template>;

/// One file's resolved pipeline. Jobs stand in file order; their keys are unique, their needs exist, there is no cycle.
#[derive(Clone)]
pub struct Plan {
    pub name: String,
    pub file: RelPath,
    /// The word for its dialect: `native`, `github`, `gitlab`.
    pub dialect: &'static str,
    pub on: Vec<Rule>,
    pub env: Env,
    pub group: Option<Group>,
    pub conventions: &'static dyn Conventions,
    jobs: Vec<Job>,
}

impl Plan {
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    pub fn job(&self, key: &JobKey) -> Option<&Job> {
        self.jobs.iter().find(|job| job.key == *key)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plan")
            .field("name", &self.name)
            .field("file", &self.file)
            .field("jobs", &self.jobs)
            .finish()
    }
}

/// At most one pipeline of a group runs at a time.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: Template,
    /// Whether a newer pipeline cancels the older one, instead of waiting for it.
    pub cancel_older: bool,
}

/// The scheduling unit: one workspace, one job container plus services.
#[derive(Debug, Clone)]
pub struct Job {
    pub key: JobKey,
    /// What people see; may use the matrix.
    pub name: Option<Template>,
    pub needs: Vec<JobKey>,
    /// None: runs when all needs passed.
    pub run_if: Option<Condition>,
    pub matrix: Option<Matrix>,
    pub image: ImageSource,
    pub services: Vec<Service>,
    pub docker: DockerAccess,
    pub steps: Vec<Step>,
    pub env: Env,
    pub limits: Limits,
    /// How many attempts a job gets when its steps fail; 1 is no retry. The machine's faults are counted apart.
    pub attempts_max: u32,
    pub on_failure: OnFailure,
    /// Outputs handed to the jobs that need this one; evaluated when its steps are done.
    pub outputs: IndexMap<String, Template>,
    /// The name of the environment it deploys to, if any.
    pub environment: Option<Template>,
    pub origin: Origin,
}

/// An `if:` with the place where it stands.
#[derive(Debug, Clone)]
pub struct Condition {
    pub expr: Expr,
    pub origin: Origin,
}

impl Condition {
    /// Whether it asks how things went; if not, a failure before it already answers "no".
    pub fn decides_itself(&self) -> bool {
        ["success", "failure", "cancelled", "always"]
            .iter()
            .any(|function| self.expr.calls(function))
    }
}

#[derive(Debug, Clone)]
pub enum ImageSource {
    /// No container: the job only builds or pushes.
    None,
    /// The configured default image.
    Default,
    /// A reference, possibly from an expression such as `${{ needs.image.image }}`.
    Named(Template),
    /// A runner label such as `ubuntu-latest`, resolved by the configuration's table.
    Label(Template),
}

#[derive(Debug, Clone)]
pub struct Service {
    /// Its host name on the job's network.
    pub name: String,
    pub image: Template,
    pub env: Env,
    /// A command that succeeds inside the service once it is ready; else its HEALTHCHECK, else its exposed ports.
    pub ready: Option<String>,
    /// How long it may take to become ready.
    pub ready_within: Duration,
    pub entrypoint: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub origin: Origin,
}

/// What a job may do with Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DockerAccess {
    #[default]
    None,
    /// A socket of its own, filtered.
    Socket,
    /// A daemon of its own in a sidecar.
    Dind { rootless: bool },
    /// The host's socket; only for repositories the operator trusts.
    Host,
}

/// Cgroup limits and wall time. None: the configuration's default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u32>,
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone)]
pub enum OnFailure {
    /// A failure fails the pipeline.
    Fail,
    /// A failure is shown and tolerated when the template says `true`.
    Tolerate(Template),
}

#[derive(Debug, Clone)]
pub struct Step {
    /// The key under which `steps.ID` finds it.
    pub id: Option<String>,
    pub name: Option<Template>,
    pub action: Action,
    pub run_if: Option<Condition>,
    pub env: Env,
    /// Relative to the workspace, or absolute.
    pub dir: Option<Template>,
    pub timeout: Option<Duration>,
    pub on_failure: OnFailure,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// A script, run by `shell` (argv; `{0}` is the script's path, else the script is its last argument's file).
    Script {
        shell: Shell,
        text: Template,
    },
    /// A container of its own on the job's workspace and network.
    Container {
        image: Template,
        entrypoint: Option<Vec<String>>,
        args: Vec<Template>,
        script: Option<(Shell, Template)>,
    },
    Build(ImageBuild),
    Push(ImagePush),
}

/// How a script is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shell {
    /// `bash -eo pipefail` where the image has bash, else `sh -e`.
    Default,
    /// A command with the script's path in place of `{0}`.
    Command(Vec<String>),
}

/// Everything in it may use expressions. `context` and `dockerfile` are relative to the repository's root.
#[derive(Debug, Clone)]
pub struct ImageBuild {
    pub context: Template,
    pub dockerfile: Option<Template>,
    pub target: Option<Template>,
    pub args: IndexMap<String, Template>,
    /// Names of secrets that `RUN --mount=type=secret` may read.
    pub secrets: Vec<String>,
    pub platforms: Vec<String>,
    pub cache: bool,
    /// Extra names for the image in the daemon.
    pub tags: Vec<Template>,
    pub origin: Origin,
}

/// Pushes `image` to `to` under each tag; empty tags (after evaluation) are left out.
#[derive(Debug, Clone)]
pub struct ImagePush {
    pub image: PushedImage,
    pub to: Template,
    pub tags: Vec<Template>,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub enum PushedImage {
    /// The image that another job built.
    BuiltBy(JobKey),
    Named(Template),
}
