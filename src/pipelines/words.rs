//! What a commit is told of its pipeline.

use std::time::Duration;

use crate::config::Config;
use crate::engine::Status;
use crate::event::Trigger;
use crate::forge::StatusState;
use crate::report::view::PipelineView;
use crate::store::StatusNote;

/// The first news of an accepted event.
pub(super) fn first(config: &Config, trigger: &Trigger, status: Status, why: Option<&str>) -> StatusNote {
    let description = match why {
        Some(why) => why.to_owned(),
        None => status.word().to_owned(),
    };
    note(config, trigger, status, description)
}

pub(super) fn note(config: &Config, trigger: &Trigger, status: Status, description: String) -> StatusNote {
    let context = format!("{}/{}", config.statuses.context, trigger.event.kind());
    StatusNote {
        context,
        status,
        description,
    }
}

/// How a pipeline that has begun stands, in one line: what failed first and why, or how much there was.
pub(super) fn description(view: &PipelineView) -> String {
    let jobs = || view.jobs.iter().filter(|(_, job)| !job.expanded);
    match view.status {
        Status::Queued => "queued".to_owned(),
        Status::Waiting => view.why.clone().unwrap_or_else(|| "waiting".to_owned()),
        Status::Running => "running".to_owned(),
        Status::Passed => {
            let passed = jobs().filter(|(_, job)| job.status == Status::Passed).count();
            format!("{} passed in {}", counted(passed, "job"), took(view.took))
        }
        Status::Failed => {
            let failed: Vec<_> = jobs().filter(|(_, job)| job.status == Status::Failed).collect();
            match failed.as_slice() {
                [] => view.why.clone().unwrap_or_else(|| "failed".to_owned()),
                [(name, job)] => with_why(&format!("{name} failed"), job.why.as_deref()),
                [(name, job), others @ ..] => {
                    let first = format!("{name} and {} failed", counted(others.len(), "other job"));
                    with_why(&first, job.why.as_deref())
                }
            }
        }
        Status::Cancelled | Status::Skipped | Status::Lost => with_why(
            view.status.word(),
            view.why.as_deref().filter(|why| *why != view.status.word()),
        ),
    }
}

fn with_why(what: &str, why: Option<&str>) -> String {
    match why.and_then(|why| why.lines().next()) {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

fn took(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

pub(super) fn state(status: Status) -> StatusState {
    match status {
        Status::Queued => StatusState::Queued,
        Status::Waiting => StatusState::Waiting,
        Status::Running => StatusState::Running,
        Status::Passed => StatusState::Passed,
        Status::Failed => StatusState::Failed,
        Status::Cancelled => StatusState::Cancelled,
        Status::Skipped => StatusState::Skipped,
        Status::Lost => StatusState::Lost,
    }
}
