//! How a pipeline stands: the fold of its events that every output draws from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::engine::{EventKind, PipelineEvent, Status, WorkflowSeen};
use crate::executor::Stream;

/// Last lines kept of each step, to be shown when it fails.
pub const TAIL_LINES: usize = 40;

#[derive(Debug, Clone)]
pub struct PipelineView {
    pub number: u64,
    pub repo: String,
    pub event: String,
    pub git_ref: String,
    pub sha: String,
    pub status: Status,
    pub why: Option<String>,
    pub took: Duration,
    pub workflows: Vec<WorkflowSeen>,
    pub jobs: IndexMap<Arc<str>, JobView>,
    pub pushed: Vec<PushedView>,
}

#[derive(Debug, Clone)]
pub struct PushedView {
    pub reference: String,
    pub digest: String,
    pub moved: bool,
}

#[derive(Debug, Clone)]
pub struct JobView {
    pub workflow: String,
    pub needs: Vec<String>,
    pub status: Status,
    pub attempt: u32,
    pub image: Option<String>,
    pub started: Option<Timestamp>,
    pub took: Duration,
    pub why: Option<String>,
    pub steps: Vec<StepView>,
    /// What Drydock itself said about the job as a whole.
    pub said: VecDeque<String>,
    /// Whether it has a matrix whose members stand for it.
    pub expanded: bool,
}

#[derive(Debug, Clone)]
pub struct StepView {
    pub number: u32,
    pub name: String,
    pub status: Status,
    pub started: Option<Timestamp>,
    pub took: Duration,
    pub exit_code: Option<i32>,
    pub max_rss_bytes: u64,
    pub why: Option<String>,
    pub tail: VecDeque<String>,
}

impl Default for PipelineView {
    fn default() -> Self {
        PipelineView {
            number: 0,
            repo: String::new(),
            event: String::new(),
            git_ref: String::new(),
            sha: String::new(),
            status: Status::Queued,
            why: None,
            took: Duration::ZERO,
            workflows: vec![],
            jobs: IndexMap::new(),
            pushed: vec![],
        }
    }
}

impl PipelineView {
    pub fn of(events: &[PipelineEvent]) -> Self {
        let mut view = PipelineView::default();
        events.iter().for_each(|event| view.apply(event));
        view
    }

    pub fn apply(&mut self, event: &PipelineEvent) {
        self.number = event.pipeline;
        match &event.kind {
            EventKind::PipelineStarted {
                repo,
                event: kind,
                git_ref,
                sha,
                workflows,
            } => {
                self.status = Status::Running;
                self.repo.clone_from(repo);
                self.event.clone_from(kind);
                self.git_ref.clone_from(git_ref);
                self.sha.clone_from(sha);
                self.workflows.clone_from(workflows);
                // A pipeline that begins once more, after the machine broke it, begins from nothing.
                self.jobs.clear();
                self.pushed.clear();
            }
            EventKind::PipelineFinished {
                status,
                duration_ms,
                why,
            } => {
                self.status = *status;
                self.took = Duration::from_millis(*duration_ms);
                self.why.clone_from(why);
            }
            EventKind::JobQueued {
                job,
                workflow,
                needs,
                of,
            } => self.queue(job, workflow, needs, of.as_ref()),
            EventKind::JobSkipped { job, reason, .. } => {
                let job = self.job(job);
                job.status = Status::Skipped;
                job.why = Some(reason.clone());
            }
            EventKind::JobStarted { job, attempt, image } => {
                let at = event.at;
                let job = self.job(job);
                job.status = Status::Running;
                job.attempt = *attempt;
                job.image.clone_from(image);
                job.started = Some(at);
                job.steps.clear();
                job.said.clear();
            }
            EventKind::JobFinished {
                job,
                status,
                duration_ms,
                why,
                retried,
                ..
            } => {
                let job = self.job(job);
                job.status = if *retried { Status::Queued } else { *status };
                job.took = Duration::from_millis(*duration_ms);
                job.why.clone_from(why);
            }
            EventKind::StepStarted { job, step, name, .. } => {
                let at = event.at;
                let step = self.job(job).step(*step);
                step.name.clone_from(name);
                step.status = Status::Running;
                step.started = Some(at);
            }
            EventKind::StepFinished {
                job,
                step,
                name,
                status,
                exit_code,
                duration_ms,
                max_rss_bytes,
                why,
                ..
            } => {
                let step = self.job(job).step(*step);
                step.name.clone_from(name);
                step.status = *status;
                step.exit_code = *exit_code;
                step.took = Duration::from_millis(*duration_ms);
                step.max_rss_bytes = *max_rss_bytes;
                step.why.clone_from(why);
            }
            EventKind::Log {
                job,
                step,
                stream,
                line,
                ..
            } => {
                let job = self.job(job);
                let tail = match (*step, stream) {
                    (0, Stream::System | Stream::Stdout | Stream::Stderr) => &mut job.said,
                    (step, Stream::System | Stream::Stdout | Stream::Stderr) => &mut job.step(step).tail,
                };
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line.chars().take(400).collect());
            }
            EventKind::Annotation { .. } | EventKind::ImageBuilt { .. } => {}
            EventKind::ImagePushed {
                reference,
                digest,
                moved,
                ..
            } => {
                let pushed = PushedView {
                    reference: reference.clone(),
                    digest: digest.clone(),
                    moved: *moved,
                };
                self.pushed.push(pushed);
            }
        }
    }

    fn queue(&mut self, name: &Arc<str>, workflow: &str, needs: &[String], of: Option<&Arc<str>>) {
        let view = JobView {
            workflow: workflow.to_owned(),
            needs: needs.to_vec(),
            status: Status::Queued,
            attempt: 1,
            image: None,
            started: None,
            took: Duration::ZERO,
            why: None,
            steps: vec![],
            said: VecDeque::new(),
            expanded: false,
        };
        let Some((at, of)) = of.and_then(|of| Some((self.jobs.get_index_of(of)?, of))) else {
            self.jobs.insert(name.clone(), view);
            return;
        };
        self.jobs[at].expanded = true;
        let place = at + 1 + self.members_after(at, of);
        self.jobs.shift_insert(place, name.clone(), view);
    }

    fn members_after(&self, at: usize, of: &str) -> usize {
        let is_member = |name: &str| name.strip_prefix(of).is_some_and(|rest| rest.starts_with(" ("));
        self.jobs.keys().skip(at + 1).take_while(|name| is_member(name)).count()
    }

    /// Jobs as people count them: a matrix job is its members, not itself.
    pub fn shown_jobs(&self) -> impl Iterator<Item = (&Arc<str>, &JobView)> {
        self.jobs.iter().filter(|(_, job)| !job.expanded)
    }

    fn job(&mut self, name: &Arc<str>) -> &mut JobView {
        if !self.jobs.contains_key(name) {
            self.queue(name, "", &[], None);
        }
        &mut self.jobs[name]
    }
}

impl JobView {
    fn step(&mut self, number: u32) -> &mut StepView {
        let at = match self.steps.iter().position(|step| step.number == number) {
            Some(at) => at,
            None => {
                self.steps.push(StepView {
                    number,
                    name: String::new(),
                    status: Status::Queued,
                    started: None,
                    took: Duration::ZERO,
                    exit_code: None,
                    max_rss_bytes: 0,
                    why: None,
                    tail: VecDeque::new(),
                });
                self.steps.len() - 1
            }
        };
        &mut self.steps[at]
    }
}
