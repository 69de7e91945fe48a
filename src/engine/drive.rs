//! The driver: the only place where the engine's effects happen.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Observer;
use super::attempt::{self, Attempt};
use super::event::{EventKind, Status, WorkflowSeen};
use super::job::{End, Failure, Why};
use super::pipeline::{At, Bounds, Effect, Gave, Ground, Input, Pipeline};
use crate::clock::millis;
use crate::executor::{Executor, JobLimits, PullPolicy};
use crate::plan::Plan;
use crate::secret::SecretSet;
use crate::secret::mask::Needles;
use crate::stop::Stop;
use crate::tree::Tree;

/// What attempts work with.
#[derive(Clone)]
pub struct Hands {
    pub executor: Arc<dyn Executor>,
    pub tree: Arc<dyn Tree>,
    pub observer: Arc<dyn Observer>,
    pub secrets: Arc<SecretSet>,
    pub settings: Arc<Settings>,
}

/// What the configuration (or the command line) says about every job.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Owner of everything that is made; see [`crate::executor::Place::server`].
    pub server: String,
    /// For jobs that name no image.
    pub default_image: Option<String>,
    /// What stands in for a runner label such as `ubuntu-latest`.
    pub image_of_label: IndexMap<String, String>,
    pub pull: PullPolicy,
    /// For jobs that set none.
    pub limits: JobLimits,
    pub job_timeout: Duration,
    /// Between TERM and KILL.
    pub grace: Duration,
    pub workspace: WorkspaceMode,
    pub keep: Keep,
    /// Added to every step, before the file's own.
    pub env: IndexMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceMode {
    Copy,
    Bind(std::path::PathBuf),
}

/// Whether a job's containers stay when the job is over, for a person to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    #[default]
    Never,
    Failed,
    Always,
}

/// Everything that one pipeline runs with.
pub struct Run {
    pub ground: Arc<Ground>,
    /// The workflows that run.
    pub plans: Vec<Arc<Plan>>,
    /// All workflows that were looked at, with the reason for each.
    pub seen: Vec<WorkflowSeen>,
    pub bounds: Bounds,
    pub hands: Hands,
    pub stop: Stop,
    /// Set before `stop` is asked, when it is not a person who asks.
    pub stop_why: Arc<OnceLock<Why>>,
    pub timeout: Option<Duration>,
}

/// * `status`: final. * `why`: what made it so, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub status: Status,
    pub why: Option<String>,
}

/// Runs a pipeline to its end. Returns once everything that its jobs made is removed again.
pub async fn run(run: Run) -> Ended {
    let began = Instant::now();
    let (ended, endings) = mpsc::unbounded_channel();
    let trigger = &run.ground.trigger;
    let started = EventKind::PipelineStarted {
        repo: trigger.repo.clone(),
        event: trigger.event.kind().to_owned(),
        git_ref: trigger.git_ref.clone(),
        sha: trigger.commit.to_string(),
        workflows: run.seen.clone(),
    };
    run.hands.observer.tell(vec![started]).await;
    let driver = Driver {
        pipeline: Pipeline::new(run.ground.clone(), run.plans, run.bounds),
        ground: run.ground,
        needles: Arc::new(Needles::of(&run.hands.secrets)),
        hands: run.hands,
        ended,
        attempts: JoinSet::new(),
        whose: HashMap::new(),
        stops: HashMap::new(),
        began,
    };
    driver.run(endings, run.stop, run.stop_why, run.timeout).await
}

struct Driver {
    pipeline: Pipeline,
    ground: Arc<Ground>,
    needles: Arc<Needles>,
    hands: Hands,
    ended: mpsc::UnboundedSender<(At, End, Gave, Duration)>,
    attempts: JoinSet<()>,
    whose: HashMap<tokio::task::Id, At>,
    stops: HashMap<At, Stop>,
    began: Instant,
}

impl Driver {
    async fn run(
        mut self,
        mut endings: mpsc::UnboundedReceiver<(At, End, Gave, Duration)>,
        stop: Stop,
        stop_why: Arc<OnceLock<Why>>,
        timeout: Option<Duration>,
    ) -> Ended {
        let deadline = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        let (mut asked, mut forced, mut late) = (false, false, false);
        let mut finished = self.perform(Input::Begin).await;
        while finished.is_none() {
            let input = tokio::select! {
                Some((at, end, gave, took)) = endings.recv() => {
                    self.stops.remove(&at);
                    Input::Ended { at, end, gave, took }
                }
                Some(joined) = self.attempts.join_next_with_id() => match self.crashed(joined) {
                    Some(input) => input,
                    None => continue,
                },
                () = stop.forced(), if !forced => {
                    (asked, forced) = (true, true);
                    self.force_all();
                    Input::Cancel(Why::Cancelled)
                }
                () = stop.asked(), if !asked => {
                    asked = true;
                    Input::Cancel(stop_why.get().copied().unwrap_or(Why::Cancelled))
                }
                () = &mut deadline, if !late => {
                    late = true;
                    Input::Cancel(Why::TimedOut)
                }
            };
            finished = self.perform(input).await;
        }
        // Attempts go on removing what they made after they have told their end.
        while self.attempts.join_next().await.is_some() {}
        finished.unwrap_or(Ended {
            status: Status::Lost,
            why: None,
        })
    }

    async fn perform(&mut self, input: Input) -> Option<Ended> {
        let mut told = vec![];
        let mut finish = None;
        for effect in self.pipeline.apply(input) {
            match effect {
                Effect::Tell(event) => told.push(event),
                Effect::Finish { status, why } => finish = Some(Ended { status, why }),
                Effect::Start { at, attempt } => {
                    // What led here is known before the job says anything itself.
                    self.hands.observer.tell(std::mem::take(&mut told)).await;
                    self.start(at, attempt);
                }
                Effect::Stop { at, politely } => match (self.stops.get(&at), politely) {
                    (Some(stop), true) => stop.ask(),
                    (Some(stop), false) => stop.force(),
                    (None, _) => {}
                },
                Effect::Complain(what) => tracing::error!(pipeline = self.ground.pipeline, "engine: {what}"),
            }
        }
        if let Some(ended) = &finish {
            let duration_ms = millis(self.began.elapsed());
            told.push(EventKind::PipelineFinished {
                status: ended.status,
                duration_ms,
                why: ended.why.clone(),
            });
        }
        if !told.is_empty() {
            self.hands.observer.tell(told).await;
        }
        finish
    }

    fn start(&mut self, at: At, attempt: u32) {
        let Some((plan, job, instance, name)) = self.pipeline.member(at) else {
            tracing::error!(
                pipeline = self.ground.pipeline,
                "engine: asked to start an unknown job {at:?}"
            );
            return;
        };
        let stop = Stop::new();
        let attempt = Attempt {
            ground: self.ground.clone(),
            needles: self.needles.clone(),
            hands: self.hands.clone(),
            plan: plan.clone(),
            job: job.clone(),
            instance: instance.clone(),
            name: name.clone(),
            slug: attempt::slug(at.flow, &job.key, instance, job.matrix.is_some()),
            needs: self.pipeline.needs_of(at.flow, at.job),
            number: attempt,
            stop: stop.clone(),
        };
        self.stops.insert(at, stop);
        let ended = self.ended.clone();
        let began = Instant::now();
        let task = self.attempts.spawn(attempt.run(move |end, gave| {
            // The driver is gone only when nobody waits for this end any more.
            let _ = ended.send((at, end, gave, began.elapsed()));
        }));
        self.whose.insert(task.id(), at);
    }

    fn force_all(&self) {
        self.stops.values().for_each(Stop::force);
    }

    /// An attempt that panicked told no end; it counts as broken by the machine.
    fn crashed(&mut self, joined: Result<(tokio::task::Id, ()), tokio::task::JoinError>) -> Option<Input> {
        let trouble = match joined {
            Ok((id, ())) => {
                self.whose.remove(&id);
                return None;
            }
            Err(trouble) => trouble,
        };
        let at = self.whose.remove(&trouble.id())?;
        let running = self.stops.remove(&at).is_some();
        let failure = Failure::Infrastructure(format!("Drydock itself failed (please report it): {trouble}"));
        running.then(|| Input::Ended {
            at,
            end: End::Broke(failure),
            gave: Gave::default(),
            took: Duration::ZERO,
        })
    }
}
