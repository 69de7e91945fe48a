//! One attempt of one job: resolve, open, run each step, close. Effects through the executor's traits only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::time::timeout;

use super::event::{EventKind, Status};
use super::job::{End, Failure, StepRef};
use super::log::LineSink;
use super::pipeline::{Gave, Ground};
use super::resolve::{self, Resolver};
use super::step::{self, Meaning, Next};
use super::{Hands, Keep, WorkspaceMode};
use crate::clock::millis;
use crate::executor::{Blame, Ended, ExecutorError, JobSpec, Place, Session, StepEnd, StepSpec, Workspace};
use crate::expr::hash_files::Files;
use crate::plan::{Action, Facts, FactsScope, Finished, Instance, Job, JobKey, JobResult, Plan, Step, StepPast};
use crate::secret::mask::Needles;
use crate::stop::Stop;

/// How long steps with `if: always()` may run after a cancel.
const AFTER_CANCEL: Duration = Duration::from_secs(5 * 60);

pub(super) struct Attempt {
    pub ground: Arc<Ground>,
    pub needles: Arc<Needles>,
    pub hands: Hands,
    pub plan: Arc<Plan>,
    pub job: Job,
    pub instance: Instance,
    /// What people see: `unit (15)`.
    pub name: Arc<str>,
    /// What containers are called after: `unit.0`.
    pub slug: String,
    pub needs: IndexMap<JobKey, Finished>,
    pub number: u32,
    pub stop: Stop,
}

/// What the steps so far left behind.
struct Progress {
    steps: IndexMap<String, StepPast>,
    /// Plan's, job's and exported variables.
    env: IndexMap<String, String>,
    so_far: JobResult,
    /// The first failure that was not tolerated; decides the job's end.
    end: Option<End>,
    gave: Gave,
}

/// What is told of a step that ended.
#[derive(Default)]
struct Told {
    exit_code: Option<i32>,
    took: Duration,
    cpu: Duration,
    max_rss_bytes: u64,
    why: Option<String>,
}

impl Told {
    fn why(why: impl ToString) -> Self {
        Told {
            why: Some(why.to_string()),
            ..Told::default()
        }
    }
}

/// What a step that ran gives: what its end means, its process's end, its outputs.
struct Performed {
    meaning: Meaning,
    end: Option<StepEnd>,
    outputs: IndexMap<String, String>,
}

impl Performed {
    fn passed() -> Self {
        Performed {
            meaning: Meaning::Passed,
            end: None,
            outputs: IndexMap::new(),
        }
    }
}

type Sessions = Option<Box<dyn Session>>;

impl Attempt {
    /// Calls `tell_end` once, as soon as the result stands, and then removes what the job made.
    pub async fn run(self, tell_end: impl FnOnce(End, Gave) + Send) {
        let log = self.sink(0);
        let limit = self.job.limits.timeout.unwrap_or(self.hands.settings.job_timeout);
        let mut session: Sessions = None;
        let stop = self.stop.child();
        let (end, gave) = {
            let work = self.work(&mut session, &log, &stop);
            tokio::pin!(work);
            match timeout(limit, &mut work).await {
                Ok(done) => done,
                Err(_) => {
                    stop.ask();
                    let (_, gave) = work.await;
                    let failure = Failure::TimedOut {
                        step: None,
                        after: limit,
                    };
                    (
                        End::Failed {
                            failure,
                            tolerated: false,
                        },
                        gave,
                    )
                }
            }
        };
        let keep = match self.hands.settings.keep {
            Keep::Never => false,
            Keep::Failed => end != End::Passed,
            Keep::Always => true,
        };
        if keep && session.is_some() {
            log.say("the job's containers are kept, as asked; `drydock clean` removes them")
                .await;
        }
        log.flush().await;
        tell_end(end, gave);
        if !keep
            && let Some(session) = session
            && let Err(error) = session.close().await
        {
            let (pipeline, job) = (self.ground.pipeline, &self.name);
            tracing::warn!(pipeline, %job, "cannot remove what the job made yet: {}", error.chain());
        }
    }

    async fn work(&self, session: &mut Sessions, log: &LineSink, stop: &Stop) -> (End, Gave) {
        let mut progress = Progress {
            steps: IndexMap::new(),
            env: self.hands.settings.env.clone(),
            so_far: JobResult::Success,
            end: None,
            gave: Gave::default(),
        };
        if let Err(end) = self.open(session, &mut progress, log, stop).await {
            return (end, progress.gave);
        }
        for (at, step) in self.job.steps.iter().enumerate() {
            let number = at as u32 + 1;
            self.step(number, step, session, &mut progress, stop).await;
        }
        let failed = progress.end.take();
        let facts = self.facts(&progress, &progress.env);
        let scope = self.scope(&facts);
        let end = match failed {
            Some(End::Failed { failure, .. }) => End::Failed {
                failure,
                tolerated: step::tolerates(&self.job.on_failure, &scope),
            },
            Some(end @ (End::Passed | End::Broke(_) | End::Stopped)) => end,
            None => match resolve::all(&self.job.outputs, "output", &self.job.origin, &scope) {
                Ok(outputs) => {
                    progress.gave.outputs = outputs;
                    End::Passed
                }
                Err(wrong) => expression_failed(&wrong),
            },
        };
        (end, progress.gave)
    }

    /// Works out what the job runs in, and opens it where it runs in a container.
    async fn open(
        &self,
        session: &mut Sessions,
        progress: &mut Progress,
        log: &LineSink,
        stop: &Stop,
    ) -> Result<(), End> {
        for layer in [&self.plan.env, &self.job.env] {
            for (key, template) in layer {
                let facts = self.facts(progress, &progress.env);
                let value = resolve::text(template, &format!("env `{key}`"), &self.job.origin, &self.scope(&facts))
                    .map_err(|wrong| expression_failed(&wrong))?;
                progress.env.insert(key.clone(), value);
            }
        }
        let facts = self.facts(progress, &progress.env);
        let scope = self.scope(&facts);
        let resolver = Resolver {
            job: &self.job,
            settings: &self.hands.settings,
            scope: &scope,
        };
        let image = resolver.image()?;
        let started = EventKind::JobStarted {
            job: self.name.clone(),
            attempt: self.number,
            image: image.clone(),
        };
        self.tell(started).await;
        for name in self.missing_secrets() {
            let line = format!("secret `{name}` is not set, so it is empty here; `drydock secret set {name}` sets it");
            log.say(&line).await;
        }
        let Some(image) = image else { return Ok(()) };
        let workspace = match &self.hands.settings.workspace {
            WorkspaceMode::Copy => Workspace::Copy(self.hands.tree.clone()),
            WorkspaceMode::Bind(folder) => Workspace::Bind(folder.clone()),
        };
        let spec = JobSpec {
            place: self.place(),
            image,
            pull: self.hands.settings.pull,
            services: resolver.services()?,
            docker: self.job.docker,
            limits: resolver.limits(),
            workspace,
            origin: self.job.origin.clone(),
        };
        match self.hands.executor.open(&spec, log, stop).await {
            Ok(opened) => {
                *session = Some(opened);
                Ok(())
            }
            Err(error) => Err(end_of(&error)),
        }
    }

    async fn step(&self, number: u32, step: &Step, session: &mut Sessions, progress: &mut Progress, stop: &Stop) {
        if stop.is_asked() && progress.so_far != JobResult::Cancelled {
            progress.so_far = JobResult::Cancelled;
            progress.end.get_or_insert(End::Stopped);
        }
        let cancelled = progress.so_far == JobResult::Cancelled;
        let facts = self.facts(progress, &progress.env);
        let name = step_name(step, &self.scope(&facts));
        let next = match stop.is_forced() {
            true => Next::Skip(crate::plan::Reason::new("the job was killed")),
            false => step::next(step.run_if.as_ref(), &self.scope(&facts)),
        };
        match next {
            Next::Skip(reason) => {
                if let Some(id) = &step.id {
                    progress
                        .steps
                        .insert(id.clone(), past(IndexMap::new(), "skipped", "skipped"));
                }
                self.finished(number, &name, Status::Skipped, Told::why(reason)).await;
            }
            Next::Wrong(wrong) => {
                let end = expression_failed(&wrong);
                self.finished(number, &name, Status::Failed, Told::why(&wrong)).await;
                self.failed(progress, step, end, IndexMap::new());
            }
            Next::Run => {
                let event = EventKind::StepStarted {
                    job: self.name.clone(),
                    attempt: self.number,
                    step: number,
                    name: name.clone(),
                };
                self.tell(event).await;
                let sink = self.sink(number);
                let began = Instant::now();
                let done = match cancelled {
                    false => self.perform(number, step, &name, session, progress, &sink, stop).await,
                    true => {
                        let after_cancel = Stop::new();
                        let performed = self.perform(number, step, &name, session, progress, &sink, &after_cancel);
                        tokio::select! {
                            done = performed => done,
                            () = self.stop.forced() => Err(End::Stopped),
                            () = tokio::time::sleep(AFTER_CANCEL) => Err(End::Stopped),
                        }
                    }
                };
                sink.flush().await;
                self.conclude(number, step, &name, (done, began.elapsed()), progress)
                    .await;
            }
        }
    }

    async fn conclude(
        &self,
        number: u32,
        step: &Step,
        name: &str,
        (done, took): (Result<Performed, End>, Duration),
        progress: &mut Progress,
    ) {
        let done = match done {
            Ok(done) => done,
            Err(end) => {
                let (status, why) = match &end {
                    End::Stopped => (Status::Cancelled, None),
                    End::Broke(failure) => (Status::Lost, Some(failure.to_string())),
                    End::Failed { failure, .. } => (Status::Failed, Some(failure.to_string())),
                    End::Passed => (Status::Passed, None),
                };
                self.finished(
                    number,
                    name,
                    status,
                    Told {
                        took,
                        why,
                        ..Told::default()
                    },
                )
                .await;
                self.failed(progress, step, end, IndexMap::new());
                return;
            }
        };
        let mut told = Told {
            took,
            ..Told::default()
        };
        if let Some(end) = &done.end {
            told = Told {
                exit_code: exit_code(&end.how),
                took: end.duration,
                cpu: end.cpu,
                max_rss_bytes: end.max_rss_bytes,
                why: None,
            };
        }
        if let Meaning::Failed(failure) = &done.meaning {
            told.why = Some(failure.to_string());
        }
        self.finished(number, name, done.meaning.status(), told).await;
        match done.meaning {
            Meaning::Passed => {
                if let Some(id) = &step.id {
                    progress
                        .steps
                        .insert(id.clone(), past(done.outputs, "success", "success"));
                }
            }
            Meaning::Stopped => self.failed(progress, step, End::Stopped, done.outputs),
            Meaning::Failed(failure) => {
                self.failed(
                    progress,
                    step,
                    End::Failed {
                        failure,
                        tolerated: false,
                    },
                    done.outputs,
                );
            }
        }
    }

    /// Records that a step did not pass, as far as the file does not tolerate it.
    fn failed(&self, progress: &mut Progress, step: &Step, end: End, outputs: IndexMap<String, String>) {
        let outcome = match &end {
            End::Stopped => "cancelled",
            End::Failed { .. } | End::Broke(_) => "failure",
            End::Passed => "success",
        };
        let tolerated = {
            let facts = self.facts(progress, &progress.env);
            matches!(end, End::Failed { .. }) && step::tolerates(&step.on_failure, &self.scope(&facts))
        };
        if let Some(id) = &step.id {
            let conclusion = if tolerated { "success" } else { outcome };
            progress.steps.insert(id.clone(), past(outputs, outcome, conclusion));
        }
        if tolerated {
            return;
        }
        progress.so_far = match (&end, progress.so_far) {
            (End::Stopped, _) | (_, JobResult::Cancelled) => JobResult::Cancelled,
            (End::Failed { .. } | End::Broke(_) | End::Passed, _) => JobResult::Failure,
        };
        progress.end.get_or_insert(end);
    }

    #[allow(clippy::too_many_arguments)] // one call, named parts
    async fn perform(
        &self,
        number: u32,
        step: &Step,
        name: &str,
        session: &mut Sessions,
        progress: &mut Progress,
        sink: &LineSink,
        stop: &Stop,
    ) -> Result<Performed, End> {
        let executor = &self.hands.executor;
        let mut env = progress.env.clone();
        {
            let facts = self.facts(progress, &progress.env);
            let added = resolve::all(&step.env, "env", &step.origin, &self.scope(&facts))
                .map_err(|wrong| expression_failed(&wrong))?;
            env.extend(added);
        }
        let facts = self.facts(progress, &env);
        let scope = self.scope(&facts);
        let resolver = Resolver {
            job: &self.job,
            settings: &self.hands.settings,
            scope: &scope,
        };
        match &step.action {
            Action::Build(build) => {
                let spec = resolver.build(build, self.place(), &self.hands)?;
                let built = executor
                    .build(&spec, sink, stop)
                    .await
                    .map_err(|error| end_of(&error))?;
                progress.gave.image = Some(built.image.clone());
                let builder = built.builder.to_owned();
                self.tell(EventKind::ImageBuilt {
                    job: self.name.clone(),
                    image: built.image,
                    builder,
                })
                .await;
                Ok(Performed::passed())
            }
            Action::Push(push) => {
                let spec = resolver.push(push, progress.gave.image.as_deref())?;
                let pushed = executor.push(&spec, sink, stop).await.map_err(|error| end_of(&error))?;
                for image in pushed {
                    let event = EventKind::ImagePushed {
                        job: self.name.clone(),
                        reference: image.reference,
                        digest: image.digest,
                        moved: image.moved,
                    };
                    self.tell(event).await;
                }
                Ok(Performed::passed())
            }
            Action::Script { .. } | Action::Container { .. } => {
                let before = self.plan.conventions.before_step(&facts);
                let (program, image) = resolver.program(step)?;
                let mut given = before.env;
                given.extend(env.clone());
                let spec = StepSpec {
                    number,
                    program,
                    env: given.into_iter().collect(),
                    dir: resolver.optional(step.dir.as_ref(), "dir", &step.origin)?,
                    timeout: step.timeout,
                    grace: self.hands.settings.grace,
                    files: before.files,
                    image,
                    origin: step.origin.clone(),
                };
                let Some(session) = session else {
                    let why = format!(
                        "{name}: a step that runs commands needs a job with an image ({})",
                        step.origin
                    );
                    return Err(End::Failed {
                        failure: Failure::Unsupported(why),
                        tolerated: false,
                    });
                };
                let end = session.run(&spec, sink, stop).await.map_err(|error| end_of(&error))?;
                let after = self.plan.conventions.after_step(&end.files);
                for complaint in &after.complaints {
                    sink.say(complaint).await;
                }
                progress.env.extend(after.env);
                let step = StepRef {
                    name: name.to_owned(),
                    origin: step.origin.clone(),
                };
                Ok(Performed {
                    meaning: step::meaning(&end.how, &step),
                    end: Some(end),
                    outputs: after.outputs,
                })
            }
        }
    }

    fn facts<'a>(&'a self, progress: &'a Progress, env: &'a IndexMap<String, String>) -> Facts<'a> {
        Facts {
            trigger: &self.ground.trigger,
            pipeline: self.ground.pipeline,
            attempt: self.number,
            vars: &self.ground.vars,
            inputs: &self.ground.inputs,
            job: Some(&self.job.key),
            needs: &self.needs,
            matrix: &self.instance.matrix,
            steps: &progress.steps,
            env,
            secrets: Some(&self.hands.secrets),
            so_far: progress.so_far,
            files: self.ground.files.as_deref().map(|files| files as &(dyn Files + Sync)),
        }
    }

    fn scope<'a>(&'a self, facts: &'a Facts<'a>) -> FactsScope<'a> {
        FactsScope {
            facts,
            conventions: self.plan.conventions,
        }
    }

    fn place(&self) -> Place {
        Place {
            server: self.hands.settings.server.clone(),
            pipeline: self.ground.pipeline,
            job: self.slug.clone(),
            attempt: self.number,
        }
    }

    fn missing_secrets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.plan.secrets_of(&self.job);
        names.retain(|name| !self.hands.secrets.contains_key(name));
        names
    }

    fn sink(&self, step: u32) -> LineSink {
        LineSink::new(
            self.hands.observer.clone(),
            &self.needles,
            self.name.clone(),
            self.number,
            step,
        )
    }

    async fn tell(&self, event: EventKind) {
        self.hands.observer.tell(vec![event]).await;
    }

    async fn finished(&self, step: u32, name: &str, status: Status, told: Told) {
        let event = EventKind::StepFinished {
            job: self.name.clone(),
            attempt: self.number,
            step,
            name: name.to_owned(),
            status,
            exit_code: told.exit_code,
            duration_ms: millis(told.took),
            max_rss_bytes: told.max_rss_bytes,
            cpu_ms: millis(told.cpu),
            why: told.why,
        };
        self.tell(event).await;
    }
}

fn exit_code(how: &Ended) -> Option<i32> {
    match how {
        Ended::Exited(code) => Some(*code),
        Ended::Signalled(_)
        | Ended::TimedOut { .. }
        | Ended::OutOfMemory
        | Ended::Cancelled
        | Ended::CannotStart(_) => None,
    }
}

fn past(outputs: IndexMap<String, String>, outcome: &'static str, conclusion: &'static str) -> StepPast {
    StepPast {
        outputs,
        outcome,
        conclusion,
    }
}

fn expression_failed(wrong: &crate::plan::Wrong) -> End {
    End::Failed {
        failure: Failure::Expression(wrong.to_string()),
        tolerated: false,
    }
}

/// What an executor's error means for the attempt.
fn end_of(error: &ExecutorError) -> End {
    let text = error.chain();
    match error.blame() {
        Blame::Nobody => End::Stopped,
        Blame::Machine => End::Broke(Failure::Infrastructure(text)),
        Blame::Pipeline => {
            let failure = match error {
                ExecutorError::Pull { .. } => Failure::Image(text),
                ExecutorError::ServiceNotReady { .. } => Failure::ServiceNotReady(text),
                ExecutorError::Build { .. } => Failure::Build(text),
                ExecutorError::Push { .. } => Failure::Push(text),
                ExecutorError::Unsupported { .. }
                | ExecutorError::Workspace { .. }
                | ExecutorError::Unreachable { .. }
                | ExecutorError::Daemon { .. }
                | ExecutorError::Hung { .. }
                | ExecutorError::ConnectionLost { .. }
                | ExecutorError::Stopped => Failure::Unsupported(text),
            };
            End::Failed {
                failure,
                tolerated: false,
            }
        }
    }
}

/// What people see of a step: its name, or what it does.
fn step_name(step: &Step, scope: &FactsScope<'_>) -> String {
    const NAME_CHARS_MAX: usize = 80;
    let named = step
        .name
        .as_ref()
        .and_then(|name| name.render(scope).ok())
        .filter(|name| !name.trim().is_empty());
    let described = named.unwrap_or_else(|| resolve::description(&step.action));
    let line = described
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("step");
    match line.char_indices().nth(NAME_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

/// A name for containers: letters, digits, `-`, `_`, `.`, at most 80 bytes; distinct for distinct jobs of a pipeline.
pub(super) fn slug(flow: usize, key: &JobKey, instance: &Instance, has_matrix: bool) -> String {
    const KEY_BYTES_MAX: usize = 48;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut name: String = key
        .as_str()
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(KEY_BYTES_MAX)
        .collect();
    if name != key.as_str() || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(key.as_str().as_bytes());
        name = format!("j{name}-{}", hex::encode(&digest[..4]));
    }
    if flow > 0 {
        name.push_str(&format!(".w{flow}"));
    }
    if has_matrix {
        name.push_str(&format!(".{}", instance.index));
    }
    name
}
