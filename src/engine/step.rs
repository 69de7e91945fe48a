//! One step's decisions: whether it runs, and what its end means for the job. Pure.

use super::event::Status;
use super::job::{Failure, StepRef};
use crate::executor::Ended;
use crate::expr::Template;
use crate::plan::{Condition, FactsScope, JobResult, OnFailure, Reason, Wrong};

#[derive(Debug, PartialEq)]
pub enum Next {
    Run,
    Skip(Reason),
    Wrong(Box<Wrong>),
}

/// Whether a step runs after what came before it. Without an `if` that asks how things went, only after success.
pub fn next(run_if: Option<&Condition>, scope: &FactsScope<'_>) -> Next {
    let decides_itself = run_if.is_some_and(Condition::decides_itself);
    if !decides_itself {
        match scope.facts.so_far {
            JobResult::Success | JobResult::Skipped => {}
            JobResult::Failure => return Next::Skip(Reason::new("an earlier step failed")),
            JobResult::Cancelled => return Next::Skip(Reason::new("the job was cancelled")),
        }
    }
    let Some(condition) = run_if else { return Next::Run };
    match condition.expr.evaluate(scope) {
        Err(error) => Next::Wrong(Box::new(Wrong::new(
            "the step's `if` cannot be worked out",
            &condition.origin,
            error,
        ))),
        Ok(value) if value.is_truthy() => Next::Run,
        Ok(_) => Next::Skip(Reason {
            text: format!("`if: {}` is false", condition.expr.text().trim()),
            origin: Some(condition.origin.clone()),
            values: condition.expr.explain(scope),
        }),
    }
}

/// What a step's end means: nothing, a failure, or that it was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    Passed,
    Failed(Failure),
    Stopped,
}

pub fn meaning(how: &Ended, step: &StepRef) -> Meaning {
    let step = step.clone();
    match how {
        Ended::Exited(0) => Meaning::Passed,
        Ended::Exited(code) => Meaning::Failed(Failure::Exit { step, code: *code }),
        Ended::Signalled(signal) => Meaning::Failed(Failure::Signal { step, signal: *signal }),
        Ended::TimedOut { after } => Meaning::Failed(Failure::TimedOut {
            step: Some(step),
            after: *after,
        }),
        Ended::OutOfMemory => Meaning::Failed(Failure::OutOfMemory { step }),
        Ended::CannotStart(why) => Meaning::Failed(Failure::CannotStart { step, why: why.clone() }),
        Ended::Cancelled => Meaning::Stopped,
    }
}

impl Meaning {
    pub fn status(&self) -> Status {
        match self {
            Meaning::Passed => Status::Passed,
            Meaning::Failed(_) => Status::Failed,
            Meaning::Stopped => Status::Cancelled,
        }
    }
}

/// Whether a failure is tolerated here.
pub fn tolerates(on_failure: &OnFailure, scope: &FactsScope<'_>) -> bool {
    let says_yes = |template: &Template| template.value(scope).is_ok_and(|value| value.to_string() == "true");
    match on_failure {
        OnFailure::Fail => false,
        OnFailure::Tolerate(template) => says_yes(template),
    }
}
