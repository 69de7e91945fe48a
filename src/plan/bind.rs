//! Binding: what was kept as written because it hangs on earlier jobs is worked out once they are done.

use indexmap::IndexMap;

use super::{Conventions, Job, JobKey, StepPast};
use crate::diag::Origin;
use crate::event::Trigger;
use crate::expr::hash_files::{self, Files};
use crate::expr::{Scope, Value};
use crate::secret::SecretSet;

/// Why something runs or not: the rule, the place where it stands and the values that decided.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Expressions with their values, e.g. (`branch`, `dev`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
}

impl Reason {
    pub fn new(text: impl Into<String>) -> Self {
        Reason {
            text: text.into(),
            origin: None,
            values: vec![],
        }
    }

    #[must_use]
    pub fn at(mut self, origin: &Origin) -> Self {
        self.origin = Some(origin.clone());
        self
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)?;
        let mut separator = "; ";
        for (what, value) in &self.values {
            write!(out, "{separator}{what} is {value}")?;
            separator = ", ";
        }
        match &self.origin {
            Some(origin) => write!(out, " ({}:{})", origin.file, origin.line),
            None => Ok(()),
        }
    }
}

/// How a job that others need ended, as expressions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    pub result: JobResult,
    pub outputs: IndexMap<String, String>,
    /// The image it built, if it built one.
    pub image: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl JobResult {
    /// The word that expressions compare with, e.g. `needs.test.result == 'failure'`.
    pub fn word(self) -> &'static str {
        match self {
            JobResult::Success => "success",
            JobResult::Failure => "failure",
            JobResult::Cancelled => "cancelled",
            JobResult::Skipped => "skipped",
        }
    }
}

/// All that expressions of a pipeline may ask about; what is not known yet is empty.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub trigger: &'a Trigger,
    pub pipeline: u64,
    pub attempt: u32,
    pub vars: &'a IndexMap<String, String>,
    pub inputs: &'a IndexMap<String, Value>,
    pub job: Option<&'a JobKey>,
    pub needs: &'a IndexMap<JobKey, Finished>,
    pub matrix: &'a IndexMap<String, Value>,
    pub steps: &'a IndexMap<String, StepPast>,
    pub env: &'a IndexMap<String, String>,
    /// None while planning: a secret is then shown by its name.
    pub secrets: Option<&'a SecretSet>,
    /// How the job's earlier steps (or, for a job, its needs) went so far.
    pub so_far: JobResult,
    /// The repository's files, for `hashFiles`.
    pub files: Option<&'a (dyn Files + Sync)>,
}

/// Facts seen through a dialect's conventions.
#[derive(Clone, Copy)]
pub struct FactsScope<'a> {
    pub facts: &'a Facts<'a>,
    pub conventions: &'a dyn Conventions,
}

impl Scope for FactsScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.conventions.context(name, self.facts)
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let so_far = self.facts.so_far;
        match name.to_ascii_lowercase().as_str() {
            "success" => Some(Ok(Value::Bool(matches!(so_far, JobResult::Success)))),
            "failure" => Some(Ok(Value::Bool(matches!(so_far, JobResult::Failure)))),
            "cancelled" => Some(Ok(Value::Bool(matches!(so_far, JobResult::Cancelled)))),
            "always" => Some(Ok(Value::Bool(true))),
            "hashfiles" => {
                let files = self.facts.files?;
                let patterns: Vec<String> = args.iter().map(ToString::to_string).collect();
                Some(
                    hash_files::hash_files(files, &patterns)
                        .map(Value::from)
                        .map_err(|trouble| trouble.to_string()),
                )
            }
            _ => None,
        }
    }
}

/// One member of a job's matrix; a job without a matrix has exactly one, with no values.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Position within the job, from 0; part of names on disk and in Docker.
    pub index: u32,
    pub matrix: IndexMap<String, Value>,
}

impl Instance {
    /// What tells it from its siblings, e.g. `15, alpine`; empty without a matrix.
    pub fn label(&self) -> String {
        self.matrix.values().map(short).collect::<Vec<_>>().join(", ")
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_json().to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// Runs, as these instances (never empty).
    Bound {
        instances: Vec<Instance>,
        reason: Reason,
    },
    Skip(Reason),
    /// An expression of the file cannot be worked out.
    Wrong(Box<Wrong>),
}

/// An expression that failed while the pipeline was running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub origin: Origin,
    pub why: String,
}

impl Wrong {
    pub fn new(what: impl Into<String>, origin: &Origin, why: impl ToString) -> Self {
        Wrong {
            what: what.into(),
            origin: origin.clone(),
            why: why.to_string(),
        }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}: {}", self.origin, self.what, self.why)
    }
}

/// Decides whether a job whose needs are done runs, and as which instances.
/// A job without `if` runs when every need passed; one whose `if` calls a status function decides for itself.
pub fn bind(job: &Job, conventions: &dyn Conventions, facts: &Facts<'_>) -> Binding {
    let scope = FactsScope { facts, conventions };
    let reason = match runs(job, &scope) {
        Ok(Ok(reason)) => reason,
        Ok(Err(skip)) => return Binding::Skip(skip),
        Err(wrong) => return Binding::Wrong(Box::new(wrong)),
    };
    let instances = match &job.matrix {
        None => Ok(vec![Instance {
            index: 0,
            matrix: IndexMap::new(),
        }]),
        Some(matrix) => matrix.expand(&scope),
    };
    match instances {
        Ok(instances) if instances.is_empty() => {
            let origin = job.matrix.as_ref().map_or(&job.origin, |matrix| &matrix.origin);
            Binding::Skip(Reason::new("its matrix has no member").at(origin))
        }
        Ok(instances) => Binding::Bound { instances, reason },
        Err(wrong) => Binding::Wrong(Box::new(wrong)),
    }
}

fn runs(job: &Job, scope: &FactsScope<'_>) -> Result<Result<Reason, Reason>, Wrong> {
    let decides_itself = job.run_if.as_ref().is_some_and(|condition| condition.decides_itself());
    if !decides_itself && let Some(skip) = needs_stand_in_the_way(job, scope.facts) {
        return Ok(Err(skip));
    }
    let Some(condition) = &job.run_if else {
        let why = if job.needs.is_empty() {
            "it needs no other job and has no `if`"
        } else {
            "all it needs passed"
        };
        return Ok(Ok(Reason::new(why).at(&job.origin)));
    };
    let holds = condition
        .expr
        .evaluate(scope)
        .map_err(|error| Wrong::new("the job's `if` cannot be worked out", &condition.origin, error))?
        .is_truthy();
    let word = if holds { "is true" } else { "is false" };
    let reason = Reason {
        text: format!("`if: {}` {word}", condition.expr.text().trim()),
        origin: Some(condition.origin.clone()),
        values: condition.expr.explain(scope),
    };
    Ok(if holds { Ok(reason) } else { Err(reason) })
}

fn needs_stand_in_the_way(job: &Job, facts: &Facts<'_>) -> Option<Reason> {
    let (key, need) = job
        .needs
        .iter()
        .filter_map(|key| facts.needs.get(key).map(|need| (key, need)))
        .find(|(_, need)| need.result != JobResult::Success)?;
    let what = match need.result {
        JobResult::Success => return None,
        JobResult::Failure => "failed",
        JobResult::Cancelled => "was cancelled",
        JobResult::Skipped => "was skipped",
    };
    Some(Reason::new(format!("needs `{key}`, which {what}")).at(&job.origin))
}
