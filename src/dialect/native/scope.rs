//! What an expression can see where it stands: every context, name and function is looked up before anything runs.

use super::conventions::{self, CONTEXTS};
use super::mistakes::{self, Known};
use crate::diag::{Diagnostic, Span};
use crate::expr::Reads;

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    WorkflowEnv,
    Concurrency,
    JobIf,
    Matrix,
    JobName,
    JobEnv,
    Image,
    ServiceEnv,
    Environment,
    AllowFailure,
    StepName,
    StepIf,
    StepEnv,
    StepText,
    /// The text of a script: only what nobody outside of the file can choose.
    Script,
    BuildOrPush,
    Outputs,
    CacheKey,
}

impl Place {
    fn words(self) -> &'static str {
        match self {
            Place::WorkflowEnv => "the pipeline's `env`",
            Place::Concurrency => "`concurrency`",
            Place::JobIf => "a job's `if`",
            Place::Matrix => "`matrix`",
            Place::JobName => "a job's `name`",
            Place::JobEnv => "a job's `env`",
            Place::Image => "`image`",
            Place::ServiceEnv => "a service's `env`",
            Place::Environment => "`environment`",
            Place::AllowFailure => "`allow-failure`",
            Place::StepName => "a step's `name`",
            Place::StepIf => "a step's `if`",
            Place::StepEnv => "a step's `env`",
            Place::StepText => "a step",
            Place::Script => "a script",
            Place::BuildOrPush => "`build` and `push`",
            Place::Outputs => "`outputs`",
            Place::CacheKey => "`cache`",
        }
    }

    /// The contexts beside `event`, `repo`, `branch`, `tag`, `sha`, `pipeline`, `inputs` and `vars`, which are known everywhere.
    fn more_contexts(self) -> &'static [&'static str] {
        match self {
            Place::WorkflowEnv => &["secrets", "env"],
            Place::Concurrency => &[],
            Place::JobIf | Place::Matrix => &["needs"],
            Place::JobName | Place::Environment => &["needs", "matrix", "job"],
            Place::JobEnv | Place::ServiceEnv => &["needs", "matrix", "job", "env", "secrets"],
            Place::Image => &["needs", "matrix", "job", "env"],
            Place::AllowFailure
            | Place::StepIf
            | Place::StepName
            | Place::StepText
            | Place::Outputs
            | Place::CacheKey => &["needs", "matrix", "job", "env", "steps"],
            Place::StepEnv | Place::Script => &["needs", "matrix", "job", "env", "steps", "secrets"],
            Place::BuildOrPush => &["needs", "matrix", "job", "env", "secrets"],
        }
    }

    fn sees(self, context: &str) -> bool {
        EVERYWHERE.contains(&context) || self.more_contexts().contains(&context)
    }

    fn known(self) -> Vec<&'static str> {
        EVERYWHERE.iter().chain(self.more_contexts()).copied().collect()
    }

    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Place::JobIf => &["success", "failure", "cancelled", "always"],
            Place::StepIf => &["success", "failure", "cancelled", "always", "hashFiles"],
            Place::WorkflowEnv | Place::Concurrency => &[],
            Place::Matrix
            | Place::JobName
            | Place::JobEnv
            | Place::Image
            | Place::ServiceEnv
            | Place::Environment
            | Place::AllowFailure
            | Place::StepName
            | Place::StepEnv
            | Place::StepText
            | Place::Script
            | Place::BuildOrPush
            | Place::Outputs
            | Place::CacheKey => &["hashFiles"],
        }
    }

    fn is_condition(self) -> bool {
        matches!(self, Place::JobIf | Place::StepIf)
    }
}

const EVERYWHERE: [&str; 8] = ["event", "repo", "branch", "tag", "sha", "pipeline", "inputs", "vars"];

/// What the file says about a job, as far as other jobs' expressions ask.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub id: &'a str,
    pub builds: bool,
    pub outputs: Vec<&'a str>,
    pub matrix: Option<Span>,
}

/// The job around an expression.
#[derive(Debug, Clone, Default)]
pub(super) struct Around<'a> {
    pub job: &'a str,
    pub needs: Vec<&'a str>,
    pub axes: Axes<'a>,
    /// Ids of the steps that have run, and of those still to come.
    pub steps: Vec<&'a str>,
    pub later_steps: Vec<&'a str>,
}

/// The names below `matrix`.
#[derive(Debug, Clone, Default)]
pub(super) enum Axes<'a> {
    #[default]
    None,
    /// Every name is known; those in `outside` get their values from an expression.
    Known { names: Vec<&'a str>, outside: Vec<&'a str> },
    /// The whole matrix comes from an expression.
    FromExpression,
}

pub(super) struct Scope<'a> {
    pub jobs: &'a [Outline<'a>],
    /// Names of the manual inputs; none where the file takes no manual starts.
    pub inputs: Vec<&'a str>,
}

impl Scope<'_> {
    /// Looks at one place where an expression reads a context; `at` is that place in the file.
    pub fn check(&self, read: &Reads, place: Place, around: &Around<'_>, at: Span) -> Option<Diagnostic> {
        let context = read.context.as_str();
        if !CONTEXTS.contains(&context) {
            return Some(mistakes::unknown_context(context, at, &place.known()));
        }
        if context == "secrets" && place.is_condition() {
            return Some(mistakes::secret_in_condition(at));
        }
        if !place.sees(context) {
            return Some(mistakes::context_not_here(context, place.words(), at, &place.known()));
        }
        let path: Vec<&str> = read.path.iter().map(String::as_str).collect();
        self.name(context, &path, around, at)
            .or_else(|| self.splice(read, &path, place, around, at))
    }

    fn name(&self, context: &str, path: &[&str], around: &Around<'_>, at: Span) -> Option<Diagnostic> {
        let fixed = |known: &[&str]| {
            let name = path.first()?;
            (!has(known, name)).then(|| mistakes::unknown_property(context, name, at, known))
        };
        match context {
            "branch" | "tag" | "sha" => (!path.is_empty()).then(|| mistakes::plain_text_context(context, at)),
            "event" => fixed(conventions::EVENT),
            "repo" => fixed(conventions::REPO),
            "pipeline" => fixed(conventions::PIPELINE),
            "job" => fixed(conventions::JOB),
            "inputs" => fixed(&self.inputs),
            "needs" => self.need(path, around, at),
            "steps" => step(path, around, at),
            "matrix" => match &around.axes {
                Axes::None => path
                    .first()
                    .map(|name| mistakes::unknown_property(context, name, at, &[])),
                Axes::Known { names, .. } => fixed(names),
                Axes::FromExpression => None,
            },
            // What is in them is not written in this file.
            "secrets" | "vars" | "env" => None,
            _ => None,
        }
    }

    fn need(&self, path: &[&str], around: &Around<'_>, at: Span) -> Option<Diagnostic> {
        let id = path.first()?;
        if !has(&around.needs, id) {
            let known = match self
                .jobs
                .iter()
                .any(|job| job.id.eq_ignore_ascii_case(id) && job.id != around.job)
            {
                true => Known::Yes,
                false => Known::No { near: &around.needs },
            };
            return Some(mistakes::not_needed(around.job, id, at, known));
        }
        let job = self.jobs.iter().find(|job| job.id.eq_ignore_ascii_case(id))?;
        let property = path.get(1)?;
        if !has(conventions::NEED, property) {
            return Some(mistakes::unknown_property(
                &format!("needs.{id}"),
                property,
                at,
                conventions::NEED,
            ));
        }
        if property.eq_ignore_ascii_case("image") && !job.builds {
            return Some(mistakes::builds_nothing(id, at));
        }
        let output = path.get(2).filter(|_| property.eq_ignore_ascii_case("outputs"))?;
        let unknown = !has(&job.outputs, output);
        unknown.then(|| mistakes::unknown_property(&format!("needs.{id}.outputs"), output, at, &job.outputs))
    }

    /// Whether a script's text would take in what somebody outside of the file chooses.
    fn splice(&self, read: &Reads, path: &[&str], place: Place, around: &Around<'_>, at: Span) -> Option<Diagnostic> {
        if place != Place::Script {
            return None;
        }
        let lower: Vec<String> = path.iter().map(|name| name.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let fixed = match (read.context.as_str(), lower.as_slice()) {
            ("sha" | "pipeline" | "job", _) => true,
            ("event", ["kind" | "number" | "draft" | "fork" | "forced" | "base" | "before"]) => true,
            ("needs", [_, "image" | "result"]) | ("steps", [_, "outcome" | "conclusion"]) => true,
            ("matrix", [axis, ..]) => match &around.axes {
                Axes::None => true,
                Axes::Known { outside, .. } => !has(outside, axis),
                Axes::FromExpression => false,
            },
            ("matrix", []) => matches!(&around.axes, Axes::Known { outside, .. } if outside.is_empty()),
            _ => false,
        };
        if fixed {
            return None;
        }
        let reads = std::iter::once(read.context.as_str())
            .chain(path.iter().copied())
            .collect::<Vec<_>>()
            .join(".");
        let variable = match (read.context.as_str(), lower.as_slice()) {
            ("branch", _) => Some("DRYDOCK_BRANCH"),
            ("tag", _) => Some("DRYDOCK_TAG"),
            ("repo", ["full_name"]) => Some("DRYDOCK_REPO"),
            ("event", ["ref"]) => Some("DRYDOCK_REF"),
            ("event", ["actor"]) => Some("DRYDOCK_ACTOR"),
            ("event", ["source_branch"]) => Some("DRYDOCK_SOURCE_BRANCH"),
            ("event", ["target_branch"]) => Some("DRYDOCK_TARGET_BRANCH"),
            ("env", [_]) => path.first().copied(),
            _ => None,
        };
        Some(mistakes::spliced(&reads, variable, at))
    }
}

fn step(path: &[&str], around: &Around<'_>, at: Span) -> Option<Diagnostic> {
    let id = path.first()?;
    if has(&around.later_steps, id) {
        return Some(mistakes::step_comes_later(id, at));
    }
    if !has(&around.steps, id) {
        return Some(mistakes::unknown_property("steps", id, at, &around.steps));
    }
    let property = path.get(1).filter(|property| !has(conventions::STEP, property))?;
    Some(mistakes::unknown_property(
        &format!("steps.{id}"),
        property,
        at,
        conventions::STEP,
    ))
}

/// Names are found without regard to case.
fn has(known: &[&str], name: &str) -> bool {
    known.iter().any(|one| one.eq_ignore_ascii_case(name))
}
