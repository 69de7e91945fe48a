//! The pipeline as a tree of text: jobs, their steps, why something failed or did not run. Pure.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::ansi::tame;
use super::view::{JobView, PipelineView, StepView};
use crate::engine::Status;

/// Lines of a failed step's output that are shown with it.
const FAILED_LINES: usize = 20;

/// A word on a fixed grid: what happened, how long it took, to what.
pub fn status_line(word: &str, took: Option<Duration>, what: &str) -> String {
    let took = took.map_or(String::new(), |took| format!("[{:>8.3}s]", took.as_secs_f64()));
    format!("{word:>12} {took:<11} {what}").trim_end().to_owned()
}

/// The word for a status on that grid.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Queued => "WAIT",
        Status::Waiting => "HELD",
        Status::Running => "RUN",
        Status::Passed => "PASS",
        Status::Failed => "FAIL",
        Status::Cancelled => "CANCEL",
        Status::Skipped => "SKIP",
        Status::Lost => "LOST",
    }
}

fn style(status: Status) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into())).bold();
    match status {
        Status::Passed => colour(AnsiColor::Green),
        Status::Failed | Status::Lost => colour(AnsiColor::Red),
        Status::Cancelled | Status::Waiting => colour(AnsiColor::Yellow),
        Status::Running => colour(AnsiColor::Cyan),
        Status::Queued | Status::Skipped => Style::new().dimmed(),
    }
}

/// Colour repeats what the word says, where it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Yes,
    No,
}

impl Colour {
    pub fn is_on(self) -> bool {
        match self {
            Colour::Yes => true,
            Colour::No => false,
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.is_on() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// One line for each job and step, as they stand at `now`.
pub fn lines(view: &PipelineView, now: Timestamp, colour: Colour) -> Vec<String> {
    let mut lines = vec![headline(view)];
    for (name, job) in view.shown_jobs() {
        lines.push(job_line(name, job, now, colour));
        if job.status != Status::Skipped {
            lines.extend(job.steps.iter().map(|step| step_line(step, now, colour)));
        }
    }
    lines
}

fn headline(view: &PipelineView) -> String {
    let short = view.sha.get(..8).unwrap_or(&view.sha);
    let name = view
        .git_ref
        .strip_prefix("refs/heads/")
        .or(view.git_ref.strip_prefix("refs/tags/"));
    let at = name.unwrap_or(&view.git_ref);
    let number = if view.number == 0 {
        String::new()
    } else {
        format!(" {}", view.number)
    };
    tame(
        &format!("pipeline{number}: {} of {} at {at} ({short})", view.event, view.repo),
        false,
    )
}

pub fn job_line(name: &str, job: &JobView, now: Timestamp, colour: Colour) -> String {
    let attempt = if job.attempt > 1 {
        format!(" (attempt {})", job.attempt)
    } else {
        String::new()
    };
    let why = match (job.status, &job.why) {
        (Status::Skipped | Status::Failed | Status::Lost | Status::Cancelled | Status::Passed, Some(why)) => {
            format!(": {}", first_line(why))
        }
        (Status::Queued, _) if !job.needs.is_empty() => format!(" (needs {})", job.needs.join(", ")),
        (Status::Queued | Status::Waiting | Status::Running, _) | (_, None) => String::new(),
    };
    let took = elapsed(job.status, job.started, job.took, now);
    grid(job.status, took, &tame(&format!("{name}{attempt}{why}"), false), colour)
}

fn step_line(step: &StepView, now: Timestamp, colour: Colour) -> String {
    let why = match (step.status, step.exit_code) {
        (Status::Failed, Some(code)) => format!(": exited with code {code}"),
        (Status::Skipped | Status::Failed | Status::Lost, None) => step
            .why
            .as_deref()
            .map_or(String::new(), |why| format!(": {}", first_line(why))),
        _ => String::new(),
    };
    let took = elapsed(step.status, step.started, step.took, now);
    grid(
        step.status,
        took,
        &tame(&format!("  {}{why}", step.name), false),
        colour,
    )
}

fn grid(status: Status, took: Option<Duration>, what: &str, colour: Colour) -> String {
    let line = status_line(word(status), took, what);
    let word_end = 12.min(line.len());
    format!(
        "{}{}",
        colour.paint(style(status), &line[..word_end]),
        &line[word_end..]
    )
}

fn elapsed(status: Status, started: Option<Timestamp>, took: Duration, now: Timestamp) -> Option<Duration> {
    match status {
        Status::Queued | Status::Waiting | Status::Skipped => None,
        Status::Running => {
            let since = started.map(|started| now.duration_since(started).unsigned_abs());
            Some(since.unwrap_or_default())
        }
        Status::Passed | Status::Failed | Status::Cancelled | Status::Lost => Some(took),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What is shown last: for each failed job its failing step's last lines, what was pushed, and the verdict.
pub fn summary(view: &PipelineView, colour: Colour) -> Vec<String> {
    let mut lines = vec![];
    for (name, job) in view.shown_jobs() {
        if !matches!(job.status, Status::Failed | Status::Lost) {
            continue;
        }
        let failed = job
            .steps
            .iter()
            .find(|step| matches!(step.status, Status::Failed | Status::Lost));
        let (title, tail) = match failed {
            Some(step) => (format!("{name}: {}", step.name), &step.tail),
            None => (name.to_string(), &job.said),
        };
        if tail.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(tame(&format!("--- {title}, last lines ---"), false));
        let from = tail.len().saturating_sub(FAILED_LINES);
        lines.extend(tail.iter().skip(from).map(|line| tame(line, colour.is_on())));
        if let Some(why) = &job.why {
            lines.push(tame(&format!("--- {} ---", first_line(why)), false));
            lines.extend(why.lines().skip(1).map(|line| tame(line, false)));
        }
    }
    for pushed in &view.pushed {
        let moved = if pushed.moved { "pushed" } else { "already there" };
        lines.push(tame(&format!("{moved}: {}@{}", pushed.reference, pushed.digest), false));
    }
    for workflow in view.workflows.iter().filter(|workflow| !workflow.runs) {
        lines.push(tame(
            &format!("not run: {} ({}): {}", workflow.name, workflow.file, workflow.reason),
            false,
        ));
    }
    let why = view
        .why
        .as_deref()
        .map_or(String::new(), |why| format!(": {}", first_line(why)));
    let verdict = format!(
        "{} in {:.1} s{}",
        view.status,
        view.took.as_secs_f64(),
        tame(&why, false)
    );
    lines.push(String::new());
    lines.push(colour.paint(style(view.status), &verdict));
    lines
}
