//! A pipeline's state: which jobs may run now, what ends with what. [`Pipeline::apply`] is the only way to change it;
//! no clock, no I/O, no `await`.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::event::{EventKind, Status};
use super::job::{self, End, JobEffect, JobEvent, JobState, Outcome, Retries, Why};
use crate::clock::millis;
use crate::event::Trigger;
use crate::expr::Value;
use crate::expr::hash_files::Files;
use crate::plan::{Binding, Facts, Finished, Instance, Job, JobKey, JobResult, Plan, Reason, bind};

/// What is the same for every job of a pipeline.
#[derive(Clone)]
pub struct Ground {
    pub trigger: Trigger,
    pub pipeline: u64,
    pub vars: IndexMap<String, String>,
    pub inputs: IndexMap<String, Value>,
    /// The repository's files, for `hashFiles`.
    pub files: Option<Arc<dyn Files + Send + Sync>>,
}

/// Bounds that the pipeline's owner sets.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Job instances that run at the same time, at least 1.
    pub places: usize,
    /// Attempts that the machine may break before a job counts as lost.
    pub broke_max: u32,
}

/// One job instance by position: workflow, job, member of its matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    pub flow: usize,
    pub job: usize,
    pub instance: usize,
}

/// What an attempt leaves to the jobs that need it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gave {
    pub outputs: IndexMap<String, String>,
    pub image: Option<String>,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum Input {
    Begin,
    Ended {
        at: At,
        end: End,
        gave: Gave,
        took: Duration,
    },
    Cancel(Why),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Start {
        at: At,
        attempt: u32,
    },
    Stop {
        at: At,
        politely: bool,
    },
    Tell(EventKind),
    /// Nothing more will happen.
    Finish {
        status: Status,
        why: Option<String>,
    },
    Complain(String),
}

struct Member {
    name: Arc<str>,
    instance: Instance,
    state: JobState,
    gave: Gave,
}

enum JobRun {
    Waiting,
    Bound { members: Vec<Member> },
    Done(Finished),
}

struct Flow {
    plan: Arc<Plan>,
    names: Vec<Arc<str>>,
    jobs: Vec<JobRun>,
}

/// All workflows that one event started.
pub struct Pipeline {
    ground: Arc<Ground>,
    bounds: Bounds,
    flows: Vec<Flow>,
    cancelled: Option<Why>,
    worst: Status,
    why: Option<String>,
    finished: bool,
}

impl Pipeline {
    pub fn new(ground: Arc<Ground>, plans: Vec<Arc<Plan>>, bounds: Bounds) -> Self {
        let many = plans.len() > 1;
        let flow = |plan: Arc<Plan>| {
            let name = |job: &Job| match many {
                true => format!("{}/{}", plan.name, job.key).into(),
                false => job.key.as_str().into(),
            };
            let names = plan.jobs().iter().map(name).collect();
            let jobs = plan.jobs().iter().map(|_| JobRun::Waiting).collect();
            Flow { names, jobs, plan }
        };
        let flows = plans.into_iter().map(flow).collect();
        Pipeline {
            ground,
            bounds,
            flows,
            cancelled: None,
            worst: Status::Passed,
            why: None,
            finished: false,
        }
    }

    pub fn apply(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = vec![];
        match input {
            Input::Begin => self.queue_all(&mut effects),
            Input::Ended { at, end, gave, took } => self.ended(at, end, gave, took, &mut effects),
            Input::Cancel(why) => self.cancel(why, &mut effects),
        }
        self.settle(&mut effects);
        effects
    }

    /// The plan's job and the matrix member behind a position that an effect named.
    pub fn member(&self, at: At) -> Option<(&Arc<Plan>, &Job, &Instance, &Arc<str>)> {
        let flow = self.flows.get(at.flow)?;
        let job = flow.plan.jobs().get(at.job)?;
        match flow.jobs.get(at.job)? {
            JobRun::Bound { members } => members
                .get(at.instance)
                .map(|member| (&flow.plan, job, &member.instance, &member.name)),
            JobRun::Waiting | JobRun::Done(_) => None,
        }
    }

    /// What the needs of a job gave.
    pub fn needs_of(&self, flow: usize, job: usize) -> IndexMap<JobKey, Finished> {
        let Some(flow) = self.flows.get(flow) else {
            return IndexMap::new();
        };
        let Some(job) = flow.plan.jobs().get(job) else {
            return IndexMap::new();
        };
        let finished = |key: &JobKey| match flow.job_run(key)? {
            JobRun::Done(finished) => Some((key.clone(), finished.clone())),
            JobRun::Waiting | JobRun::Bound { .. } => None,
        };
        job.needs.iter().filter_map(finished).collect()
    }

    fn queue_all(&self, effects: &mut Vec<Effect>) {
        for flow in &self.flows {
            for (job, name) in flow.plan.jobs().iter().zip(&flow.names) {
                let needs = job.needs.iter().map(ToString::to_string).collect();
                let workflow = flow.plan.name.clone();
                effects.push(Effect::Tell(EventKind::JobQueued {
                    job: name.clone(),
                    workflow,
                    needs,
                    of: None,
                }));
            }
        }
    }

    fn ended(&mut self, at: At, end: End, gave: Gave, took: Duration, effects: &mut Vec<Effect>) {
        let Some(member) = self.member_mut(at) else {
            effects.push(Effect::Complain(format!("an attempt of an unknown job ended: {at:?}")));
            return;
        };
        member.gave = gave;
        self.step_member(at, JobEvent::Ended(end), took, effects);
    }

    fn cancel(&mut self, why: Why, effects: &mut Vec<Effect>) {
        self.cancelled.get_or_insert(why);
        for at in self.members() {
            self.step_member(at, JobEvent::Stop(why), Duration::ZERO, effects);
        }
    }

    /// Binds what can be bound, starts what can be started, until nothing changes.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        while self.close_done_jobs() | self.bind_ready_jobs(effects) {}
        self.start_queued(effects);
        let done = self
            .flows
            .iter()
            .all(|flow| flow.jobs.iter().all(|job| matches!(job, JobRun::Done(_))));
        if done && !self.finished {
            self.finished = true;
            let (status, why) = match self.cancelled {
                Some(why) if self.worst != Status::Passed => (Status::Cancelled, Some(why.text().to_owned())),
                Some(_) | None => (self.worst, self.why.take()),
            };
            effects.push(Effect::Finish { status, why });
        }
    }

    fn close_done_jobs(&mut self) -> bool {
        let mut changed = false;
        for flow in &mut self.flows {
            for run in &mut flow.jobs {
                let JobRun::Bound { members } = run else { continue };
                if let Some(finished) = finished(members) {
                    *run = JobRun::Done(finished);
                    changed = true;
                }
            }
        }
        changed
    }

    fn bind_ready_jobs(&mut self, effects: &mut Vec<Effect>) -> bool {
        let mut changed = false;
        for flow in 0..self.flows.len() {
            for job in 0..self.flows[flow].jobs.len() {
                if self.is_ready(flow, job) {
                    self.bind(flow, job, effects);
                    changed = true;
                }
            }
        }
        changed
    }

    fn is_ready(&self, flow: usize, job: usize) -> bool {
        let flow = &self.flows[flow];
        let waiting = matches!(flow.jobs[job], JobRun::Waiting);
        let done = |key: &JobKey| matches!(flow.job_run(key), Some(JobRun::Done(_)) | None);
        waiting && (self.cancelled.is_some() || flow.plan.jobs()[job].needs.iter().all(done))
    }

    fn bind(&mut self, flow_at: usize, job_at: usize, effects: &mut Vec<Effect>) {
        let needs = self.needs_of(flow_at, job_at);
        let flow = &self.flows[flow_at];
        let plan = flow.plan.clone();
        let job = &plan.jobs()[job_at];
        let name = flow.names[job_at].clone();
        let workflow = plan.name.clone();
        if let Some(why) = self.cancelled {
            let event = finished_event(&name, 0, Status::Cancelled, Some(why.text().to_owned()), Duration::ZERO);
            effects.push(Effect::Tell(event));
            self.worsen(Status::Cancelled, &name, why.text());
            self.flows[flow_at].jobs[job_at] = JobRun::Done(without_result(JobResult::Cancelled));
            return;
        }
        let (matrix, steps, env) = (IndexMap::new(), IndexMap::new(), IndexMap::new());
        let facts = Facts {
            trigger: &self.ground.trigger,
            pipeline: self.ground.pipeline,
            attempt: 1,
            vars: &self.ground.vars,
            inputs: &self.ground.inputs,
            job: Some(&job.key),
            needs: &needs,
            matrix: &matrix,
            steps: &steps,
            env: &env,
            secrets: None,
            so_far: self.so_far(flow_at, job_at),
            files: self.ground.files.as_deref().map(|files| files as &(dyn Files + Sync)),
        };
        let run = match bind(job, plan.conventions, &facts) {
            Binding::Skip(reason) => {
                effects.push(skipped(&name, &workflow, &reason));
                JobRun::Done(without_result(JobResult::Skipped))
            }
            Binding::Wrong(wrong) => {
                let why = wrong.to_string();
                self.worsen(Status::Failed, &name, &why);
                effects.push(Effect::Tell(finished_event(
                    &name,
                    0,
                    Status::Failed,
                    Some(why),
                    Duration::ZERO,
                )));
                JobRun::Done(without_result(JobResult::Failure))
            }
            Binding::Bound { instances, .. } => {
                let has_matrix = job.matrix.is_some();
                let member = |instance: Instance| {
                    let name = match has_matrix {
                        true => format!("{name} ({})", instance.label()).into(),
                        false => name.clone(),
                    };
                    Member {
                        name,
                        instance,
                        state: JobState::Queued {
                            tries: Default::default(),
                        },
                        gave: Gave::default(),
                    }
                };
                let members: Vec<Member> = instances.into_iter().map(member).collect();
                if has_matrix {
                    let needs: Vec<String> = job.needs.iter().map(ToString::to_string).collect();
                    effects.extend(members.iter().map(|member| {
                        Effect::Tell(EventKind::JobQueued {
                            job: member.name.clone(),
                            workflow: workflow.clone(),
                            needs: needs.clone(),
                            of: Some(name.clone()),
                        })
                    }));
                }
                JobRun::Bound { members }
            }
        };
        self.flows[flow_at].jobs[job_at] = run;
    }

    /// How everything that the job needs, directly or not, went.
    fn so_far(&self, flow: usize, job: usize) -> JobResult {
        let flow = &self.flows[flow];
        let mut seen: Vec<&JobKey> = vec![];
        let mut open: Vec<&JobKey> = flow.plan.jobs()[job].needs.iter().collect();
        let mut so_far = JobResult::Success;
        while let Some(key) = open.pop() {
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            if let Some(JobRun::Done(finished)) = flow.job_run(key) {
                match finished.result {
                    JobResult::Failure => so_far = JobResult::Failure,
                    JobResult::Cancelled if so_far == JobResult::Success => so_far = JobResult::Cancelled,
                    JobResult::Cancelled | JobResult::Success | JobResult::Skipped => {}
                }
            }
            open.extend(flow.plan.job(key).into_iter().flat_map(|job| &job.needs));
        }
        so_far
    }

    fn start_queued(&mut self, effects: &mut Vec<Effect>) {
        let busy = |member: &Member| matches!(member.state, JobState::Running { .. } | JobState::Stopping { .. });
        let mut running = self
            .flows
            .iter()
            .flat_map(Flow::members)
            .filter(|member| busy(member))
            .count();
        for at in self.members() {
            if running >= self.bounds.places.max(1) {
                return;
            }
            let flow = &self.flows[at.flow];
            let JobRun::Bound { members } = &flow.jobs[at.job] else {
                continue;
            };
            if !matches!(members[at.instance].state, JobState::Queued { .. }) {
                continue;
            }
            let matrix_max = flow.plan.jobs()[at.job]
                .matrix
                .as_ref()
                .and_then(|matrix| matrix.max_parallel);
            let is_full = |most: u32| members.iter().filter(|member| busy(member)).count() >= most.max(1) as usize;
            if !matrix_max.is_some_and(is_full) {
                self.step_member(at, JobEvent::Place, Duration::ZERO, effects);
                running += 1;
            }
        }
    }

    fn step_member(&mut self, at: At, event: JobEvent, took: Duration, effects: &mut Vec<Effect>) {
        let retries = Retries {
            attempts_max: self.flows[at.flow].plan.jobs()[at.job].attempts_max,
            broke_max: self.bounds.broke_max,
        };
        let Some(member) = self.member_mut(at) else { return };
        let attempt = match &member.state {
            JobState::Running { tries } | JobState::Stopping { tries, .. } => tries.attempt(),
            JobState::Queued { .. } | JobState::Done(_) => 0,
        };
        let name = member.name.clone();
        let before = std::mem::replace(&mut member.state, JobState::Done(Outcome::Passed));
        let (after, job_effects) = job::next(before, event, retries);
        member.state = after;
        let outputs = member.gave.outputs.clone();
        for effect in job_effects {
            match effect {
                JobEffect::Start { attempt } => effects.push(Effect::Start { at, attempt }),
                JobEffect::Stop { politely } => effects.push(Effect::Stop { at, politely }),
                JobEffect::Complain(what) => effects.push(Effect::Complain(format!("{name}: {what}"))),
                JobEffect::Retry { attempt, failure } => {
                    let status = status_of_failure(&failure);
                    let mut event = finished_event(&name, attempt, status, Some(failure.to_string()), took);
                    if let EventKind::JobFinished { retried, .. } = &mut event {
                        *retried = true;
                    }
                    effects.push(Effect::Tell(event));
                }
                JobEffect::Done(outcome) => {
                    let (status, why) = match &outcome {
                        Outcome::Passed => (Status::Passed, None),
                        Outcome::Tolerated(failure) => (Status::Passed, Some(format!("tolerated: {failure}"))),
                        Outcome::Failed(failure) => (status_of_failure(failure), Some(failure.to_string())),
                        Outcome::Cancelled(why) => (Status::Cancelled, Some(why.text().to_owned())),
                    };
                    self.worsen(status, &name, why.as_deref().unwrap_or_default());
                    let mut event = finished_event(&name, attempt, status, why, took);
                    if let EventKind::JobFinished { outputs: given, .. } = &mut event {
                        given.clone_from(&outputs);
                    }
                    effects.push(Effect::Tell(event));
                    self.fail_fast(at, &outcome, effects);
                }
            }
        }
    }

    fn fail_fast(&mut self, at: At, outcome: &Outcome, effects: &mut Vec<Effect>) {
        let failed = match outcome {
            Outcome::Failed(_) => true,
            Outcome::Passed | Outcome::Tolerated(_) | Outcome::Cancelled(_) => false,
        };
        let flow = &self.flows[at.flow];
        let wanted = flow.plan.jobs()[at.job]
            .matrix
            .as_ref()
            .is_some_and(|matrix| matrix.fail_fast);
        if !(failed && wanted) {
            return;
        }
        let siblings = match &flow.jobs[at.job] {
            JobRun::Bound { members } => members.len(),
            JobRun::Waiting | JobRun::Done(_) => 0,
        };
        for instance in (0..siblings).filter(|instance| *instance != at.instance) {
            self.step_member(
                At { instance, ..at },
                JobEvent::Stop(Why::FailFast),
                Duration::ZERO,
                effects,
            );
        }
    }

    /// Failed outweighs lost, lost outweighs cancelled, cancelled outweighs passed; the first reason of the worst stays.
    fn worsen(&mut self, status: Status, name: &str, why: &str) {
        let weight = |status: Status| match status {
            Status::Failed => 3,
            Status::Lost => 2,
            Status::Cancelled => 1,
            Status::Passed | Status::Skipped | Status::Queued | Status::Waiting | Status::Running => 0,
        };
        if weight(status) > weight(self.worst) {
            self.worst = status;
            self.why = Some(format!("{name}: {why}"));
        }
    }

    fn members(&self) -> Vec<At> {
        let mut all = vec![];
        for (flow_at, flow) in self.flows.iter().enumerate() {
            for (job_at, run) in flow.jobs.iter().enumerate() {
                if let JobRun::Bound { members } = run {
                    all.extend((0..members.len()).map(|instance| At {
                        flow: flow_at,
                        job: job_at,
                        instance,
                    }));
                }
            }
        }
        all
    }

    fn member_mut(&mut self, at: At) -> Option<&mut Member> {
        match self.flows.get_mut(at.flow)?.jobs.get_mut(at.job)? {
            JobRun::Bound { members } => members.get_mut(at.instance),
            JobRun::Waiting | JobRun::Done(_) => None,
        }
    }
}

impl Flow {
    fn job_run(&self, key: &JobKey) -> Option<&JobRun> {
        let at = self.plan.jobs().iter().position(|job| job.key == *key)?;
        self.jobs.get(at)
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.jobs.iter().flat_map(|run| match run {
            JobRun::Bound { members } => members.as_slice(),
            JobRun::Waiting | JobRun::Done(_) => &[],
        })
    }
}

fn status_of_failure(failure: &job::Failure) -> Status {
    match failure {
        job::Failure::Infrastructure(_) => Status::Lost,
        job::Failure::Exit { .. }
        | job::Failure::Signal { .. }
        | job::Failure::OutOfMemory { .. }
        | job::Failure::TimedOut { .. }
        | job::Failure::CannotStart { .. }
        | job::Failure::ServiceNotReady(_)
        | job::Failure::Image(_)
        | job::Failure::Build(_)
        | job::Failure::Push(_)
        | job::Failure::Expression(_)
        | job::Failure::Unsupported(_) => Status::Failed,
    }
}

fn finished_event(name: &Arc<str>, attempt: u32, status: Status, why: Option<String>, took: Duration) -> EventKind {
    EventKind::JobFinished {
        job: name.clone(),
        attempt,
        status,
        duration_ms: millis(took),
        outputs: IndexMap::new(),
        why,
        retried: false,
    }
}

fn skipped(name: &Arc<str>, workflow: &str, reason: &Reason) -> Effect {
    let reason = reason.to_string();
    Effect::Tell(EventKind::JobSkipped {
        job: name.clone(),
        workflow: workflow.to_owned(),
        reason,
    })
}

fn without_result(result: JobResult) -> Finished {
    Finished {
        result,
        outputs: IndexMap::new(),
        image: None,
    }
}

/// What a job's members together give, once all are done. Of outputs with the same name the last member's counts.
fn finished(members: &[Member]) -> Option<Finished> {
    let mut all = without_result(JobResult::Success);
    for member in members {
        let JobState::Done(outcome) = &member.state else {
            return None;
        };
        all.result = match (outcome, all.result) {
            (Outcome::Failed(_), _) | (_, JobResult::Failure) => JobResult::Failure,
            (Outcome::Cancelled(_), _) => JobResult::Cancelled,
            (Outcome::Passed | Outcome::Tolerated(_), so_far) => so_far,
        };
        all.outputs.extend(member.gave.outputs.clone());
        all.image = member.gave.image.clone().or(all.image);
    }
    Some(all)
}
