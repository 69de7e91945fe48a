//! What a dialect does around a step, as a seam: the engine calls it and knows no dialect.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::Facts;
use crate::expr::Value;

/// A file that a step finds under a path given in an environment variable, e.g. `DRYDOCK_OUTPUT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFile {
    /// The variable that holds the file's path inside the container.
    pub variable: String,
    pub content: Vec<u8>,
    /// Whether its content is wanted after the step (at most [`crate::plan::STEP_FILE_BYTES_MAX`]).
    pub read_back: bool,
}

/// What a dialect adds before a step starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BeforeStep {
    pub env: IndexMap<String, String>,
    pub files: Vec<StepFile>,
}

/// What a dialect read back after a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AfterStep {
    pub outputs: IndexMap<String, String>,
    /// Variables for the job's later steps.
    pub env: IndexMap<String, String>,
    /// What the step wrote wrongly; shown in the log.
    pub complaints: Vec<String>,
}

/// What a step that ended leaves to expressions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepPast {
    pub outputs: IndexMap<String, String>,
    /// `success`, `failure`, `cancelled` or `skipped`: before `on_failure` was applied, and after.
    pub outcome: &'static str,
    pub conclusion: &'static str,
}

/// One implementation per dialect; stateless.
pub trait Conventions: Send + Sync {
    /// The value of a root context such as `branch` or `needs`; `None` when the dialect has no such context.
    fn context(&self, name: &str, facts: &Facts<'_>) -> Option<Value>;

    /// Variables and files for a step that is about to start.
    fn before_step(&self, facts: &Facts<'_>) -> BeforeStep;

    /// Reads back the files of a step; keys are the variables of [`StepFile`].
    fn after_step(&self, files: &BTreeMap<String, Vec<u8>>) -> AfterStep;
}
