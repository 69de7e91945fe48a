//! One claimed pipeline, from checkout to its last event.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use super::accept::{trust_now, waits_for_approval};
use super::groups::{Entrant, Entry, Key};
use super::permit::{Permit, Permitted};
use super::recorder::{Recorder, ended};
use super::vault::SecretTrouble;
use super::{LEASE, Pipelines, lock, words};
use crate::config::{Config, LEASE_RENEW_SECONDS, PIPELINE_ATTEMPTS_MAX, PullWhen, RepoConfig};
use crate::diag::{Diagnostic, FileId, Severity, Sources};
use crate::dialect::{self, Compiled, Detected, Kind};
use crate::engine::{
    self, Bounds, EventKind, Ground, Hands, Keep, Level, Observer, Run, Settings, Status, Why, WorkflowSeen,
    WorkspaceMode,
};
use crate::event::{Event, Trigger};
use crate::executor::{Executor, JobLimits, PullPolicy};
use crate::expr::Value;
use crate::plan::{Decision, Facts, FactsScope, JobResult, Plan, TreeFiles, decide, manual_inputs};
use crate::report::view::PipelineView;
use crate::secret::SecretSet;
use crate::source::SourceError;
use crate::stop::Stop;
use crate::store::{Claim, ConfigNoted, Release, StoreError, Wanted};
use crate::tree::Tree;

/// Attempts of one job that the machine may break before it counts as lost.
const JOB_ATTEMPTS_BROKEN_MAX: u32 = 2;

/// How the work on a claimed pipeline ended, when its end is not recorded yet.
enum Verdict {
    /// The engine recorded it.
    Recorded,
    /// Nothing of it ran.
    Ended { status: Status, why: String },
    /// The machine's fault: worth another try.
    Broken { why: String },
    /// It goes back to wait for approval.
    Wait { why: String },
    /// Another runner has it.
    Gone,
}

impl From<StoreError> for Verdict {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale { .. } | StoreError::OutOfOrder { .. } => Verdict::Gone,
            StoreError::Unavailable { .. }
            | StoreError::Busy { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Open { .. } => Verdict::Broken { why: error.chain() },
        }
    }
}

/// What is at hand while one pipeline is worked on.
struct Work {
    pipelines: Pipelines,
    claim: Claim,
    recorder: Arc<Recorder>,
    executor: Arc<dyn Executor>,
    stop: Stop,
    stop_why: Arc<OnceLock<Why>>,
}

/// What the repository's files say about the event.
struct Resolved {
    kind: Option<Kind>,
    compiled: Compiled,
    note: Option<String>,
}

impl Pipelines {
    /// Runs a claimed pipeline and records its end. `shutdown` interrupts it: it goes back to the queue.
    pub(super) async fn run_claimed(&self, claim: Claim, executor: Arc<dyn Executor>, shutdown: Stop) {
        let pipeline = claim.pipeline;
        let (stop, stop_why) = (shutdown.child(), Arc::<OnceLock<Why>>::default());
        lock(&self.inner.running).insert(pipeline, stop.clone());
        let recorder = Recorder::new(
            self.clone(),
            claim.clone(),
            PipelineView::default(),
            stop.clone(),
            shutdown.clone(),
        );
        let work = Work {
            pipelines: self.clone(),
            claim,
            recorder,
            executor,
            stop,
            stop_why,
        };
        let verdict = tokio::select! {
            verdict = work.run() => verdict,
            () = work.keep_claim() => Verdict::Gone,
        };
        // A shutdown that came while the pipeline still had something to do interrupted it.
        let is_interrupted = shutdown.is_asked() && !work.recorder.is_over().await;
        work.end(verdict, is_interrupted).await;
        lock(&self.inner.running).remove(&pipeline);
        self.inner.live.tell(pipeline);
        self.inner.outbox.notify_one();
    }
}

impl Work {
    /// Completes when the claim is lost.
    async fn keep_claim(&self) {
        let mut tick = tokio::time::interval(Duration::from_secs(LEASE_RENEW_SECONDS));
        loop {
            tick.tick().await;
            match self.pipelines.store().renew(&self.claim, LEASE).await {
                Ok(Wanted::GoOn) => {}
                Ok(Wanted::Cancel) => self.stop.ask(),
                Err(StoreError::Stale { .. }) if self.recorder.is_over().await => {
                    // Its end is stored; what is left is cleaning up.
                    std::future::pending::<()>().await;
                }
                Err(error) if error.is_refusal() => {
                    tracing::error!(pipeline = self.claim.pipeline, "{}", error.chain());
                    self.stop.force();
                    return;
                }
                Err(error) => tracing::warn!(pipeline = self.claim.pipeline, "{}", error.chain()),
            }
        }
    }

    async fn run(&self) -> Verdict {
        match self.resolve_and_run().await {
            Ok(()) => Verdict::Recorded,
            Err(verdict) => verdict,
        }
    }

    async fn resolve_and_run(&self) -> Result<(), Verdict> {
        let store = self.pipelines.store();
        let claim = &self.claim;
        let approval = store.approval(claim.repo, claim.trigger.commit.as_str()).await?;
        let Some(trust) = trust_now(&claim.trigger, approval.is_some()) else {
            return Err(Verdict::Wait {
                why: waits_for_approval(&claim.trigger),
            });
        };
        let repo = store.repo(claim.repo).await?;
        let source = &self.pipelines.inner.tools.source;
        let tree = source
            .checkout(&claim.trigger, &self.stop)
            .await
            .map_err(|error| self.source_verdict(error))?;
        let mut trigger = Trigger {
            trust,
            ..(*claim.trigger).clone()
        };
        trigger.changed = match source.changed(&trigger, &self.stop).await {
            Ok(changed) => changed,
            // Better a workflow too many than one too few: unknown changes match every path filter.
            Err(error) => {
                tracing::warn!(pipeline = claim.pipeline, "what changed is not known: {error}");
                trigger.changed
            }
        };
        let forced = repo.and_then(|repo| repo.dialect).and_then(|word| word.parse().ok());
        let resolved = self.resolve(tree.clone(), forced).await?;
        let hash = config_hash(&resolved);
        if store.note_config(claim, &hash).await? == ConfigNoted::ApprovedForOther {
            let why = "its files are read differently than when it was approved; look at them and approve again";
            return Err(Verdict::Wait { why: why.to_owned() });
        }
        let plans: Vec<(Arc<Plan>, Decision)> = resolved
            .compiled
            .plans
            .iter()
            .map(|plan| (Arc::new(plan.clone()), decide(&plan.on, &trigger)))
            .collect();
        if resolved.compiled.has_errors() || !plans.iter().any(|(_, decision)| decision.runs) {
            return Err(self.nothing_runs(&trigger, &resolved, &plans).await);
        }
        self.warn(&resolved).await;
        self.run_plans(trigger, tree, &plans).await
    }

    fn source_verdict(&self, error: SourceError) -> Verdict {
        let why = error.to_string();
        match error {
            SourceError::Stopped => self.stopped(),
            SourceError::Fetch { transient: true, .. } => Verdict::Broken { why },
            SourceError::Fetch { .. }
            | SourceError::Forbidden { .. }
            | SourceError::Gone { .. }
            | SourceError::TooLarge { .. }
            | SourceError::Read { .. } => Verdict::Ended {
                status: Status::Failed,
                why,
            },
        }
    }

    fn stopped(&self) -> Verdict {
        let why = self.stop_why.get().copied().unwrap_or(Why::Cancelled);
        Verdict::Ended {
            status: Status::Cancelled,
            why: why.text().to_owned(),
        }
    }

    /// Reading and compiling block, and take as long as the files are large.
    async fn resolve(&self, tree: Arc<dyn Tree>, forced: Option<Kind>) -> Result<Resolved, Verdict> {
        let work = move || -> std::io::Result<Resolved> {
            let Some(detected) = dialect::detect(&*tree, forced)? else {
                return Ok(Resolved {
                    kind: None,
                    compiled: Compiled::default(),
                    note: None,
                });
            };
            let compiled = dialect::compile(&detected, &*tree)?;
            let Detected { kind, note, .. } = detected;
            Ok(Resolved {
                kind: Some(kind),
                compiled,
                note,
            })
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(resolved)) => Ok(resolved),
            Ok(Err(error)) => Err(Verdict::Broken {
                why: format!("cannot read the repository: {error}"),
            }),
            Err(panic) => {
                let why =
                    format!("Drydock itself failed while it read the pipeline's files (please report it): {panic}");
                Err(Verdict::Ended {
                    status: Status::Failed,
                    why,
                })
            }
        }
    }

    /// The record of a pipeline none of whose jobs run: what was looked at, what is wrong in it, how it ends.
    async fn nothing_runs(&self, trigger: &Trigger, resolved: &Resolved, plans: &[(Arc<Plan>, Decision)]) -> Verdict {
        self.recorder.tell(vec![started(trigger, plans)]).await;
        self.warn(resolved).await;
        if resolved.compiled.has_errors() {
            let errors: Vec<&Diagnostic> = resolved
                .compiled
                .diagnostics
                .iter()
                .filter(|found| found.is_error())
                .collect();
            let first = errors
                .first()
                .map(|error| error.one_line(&resolved.compiled.sources))
                .unwrap_or_default();
            let why = match errors.len() {
                1 => first,
                many => format!("{many} mistakes in the pipeline's files; the first: {first}"),
            };
            return Verdict::Ended {
                status: Status::Failed,
                why,
            };
        }
        let why = match (resolved.kind, plans) {
            (None, _) => "the repository has no pipeline file and no Dockerfile".to_owned(),
            (Some(kind), []) => format!("the repository's {} files hold no workflow", kind.name()),
            (Some(_), [(plan, decision)]) => format!("`{}` does not run: {}", plan.name, decision.reason),
            (Some(_), many) => format!("none of {} workflows runs for this event", many.len()),
        };
        Verdict::Ended {
            status: Status::Skipped,
            why,
        }
    }

    /// Shows every finding in the files, and the files that do not count.
    async fn warn(&self, resolved: &Resolved) {
        let mut told: Vec<EventKind> = resolved
            .compiled
            .diagnostics
            .iter()
            .map(|found| annotation(found, &resolved.compiled.sources))
            .collect();
        if let Some(note) = &resolved.note {
            told.push(EventKind::Annotation {
                job: "".into(),
                step: 0,
                level: Level::Notice,
                message: note.clone(),
                file: None,
                line: None,
            });
        }
        if !told.is_empty() {
            self.recorder.tell(told).await;
        }
    }

    async fn run_plans(
        &self,
        trigger: Trigger,
        tree: Arc<dyn Tree>,
        plans: &[(Arc<Plan>, Decision)],
    ) -> Result<(), Verdict> {
        let Self { pipelines, claim, .. } = self;
        let config = pipelines.config();
        let secrets = match pipelines
            .inner
            .vault
            .secrets_for(&**pipelines.store(), claim.repo, trigger.trust)
            .await
        {
            Ok(secrets) => Arc::new(secrets),
            Err(SecretTrouble::Store(error)) => return Err(error.into()),
            Err(error @ SecretTrouble::Sealed { .. }) => {
                return Err(Verdict::Ended {
                    status: Status::Failed,
                    why: error.to_string(),
                });
            }
        };
        let permit = Permit {
            trust: trigger.trust,
            trusted_repo: settings_of(config, &trigger).is_some_and(|repo| repo.trusted),
        };
        let seen = seen(plans);
        let plans: Vec<Arc<Plan>> = plans
            .iter()
            .filter(|(_, decision)| decision.runs)
            .map(|(plan, _)| plan.clone())
            .collect();
        let inputs = match inputs(&trigger, &plans) {
            Ok(inputs) => inputs,
            Err(why) => {
                return Err(Verdict::Ended {
                    status: Status::Failed,
                    why,
                });
            }
        };
        let ground = Arc::new(Ground {
            vars: vars(config, &trigger),
            trigger,
            pipeline: claim.pipeline,
            inputs,
            files: Some(Arc::new(TreeFiles(tree.clone()))),
        });
        let groups = self.groups(&ground, &plans)?;
        let entrant = Entrant {
            pipeline: claim.pipeline,
            groups: &groups,
            stop: &self.stop,
            stop_why: &self.stop_why,
        };
        let (entry, _membership) = pipelines.inner.groups.enter(entrant).await;
        if let Entry::SupersededBy(newer) = entry {
            let why = format!("pipeline {newer} of the same group is newer and took its place");
            return Err(Verdict::Ended {
                status: Status::Cancelled,
                why,
            });
        }
        if self.stop.is_asked() {
            return Err(self.stopped());
        }
        let executor = Arc::new(Permitted {
            executor: self.executor.clone(),
            permit,
        });
        let hands = Hands {
            executor,
            tree,
            observer: self.recorder.clone(),
            secrets,
            settings: Arc::new(settings(config, &pipelines.inner.server)),
        };
        let run = Run {
            ground,
            plans,
            seen,
            bounds: Bounds {
                places: config.runner.jobs_at_once() as usize,
                broke_max: JOB_ATTEMPTS_BROKEN_MAX,
            },
            hands,
            stop: self.stop.clone(),
            stop_why: self.stop_why.clone(),
            timeout: None,
        };
        engine::run(run).await;
        Ok(())
    }

    /// The groups of the workflows that run, named with what is known before any job has run.
    fn groups(&self, ground: &Ground, plans: &[Arc<Plan>]) -> Result<Vec<(Key, bool)>, Verdict> {
        let (no_needs, no_matrix) = (IndexMap::new(), IndexMap::new());
        let (no_steps, no_env) = (IndexMap::new(), IndexMap::new());
        let no_secrets = SecretSet::new();
        let mut groups = vec![];
        for plan in plans {
            let Some(group) = &plan.group else { continue };
            let facts = Facts {
                trigger: &ground.trigger,
                pipeline: ground.pipeline,
                attempt: 1,
                vars: &ground.vars,
                inputs: &ground.inputs,
                job: None,
                needs: &no_needs,
                matrix: &no_matrix,
                steps: &no_steps,
                env: &no_env,
                secrets: Some(&no_secrets),
                so_far: JobResult::Success,
                files: None,
            };
            let scope = FactsScope {
                facts: &facts,
                conventions: plan.conventions,
            };
            match group.name.render(&scope) {
                Ok(name) => groups.push(((self.claim.repo, name), group.cancel_older)),
                Err(error) => {
                    let why = format!(
                        "{}: the group's name `{}` cannot be worked out: {error}",
                        plan.file,
                        group.name.text()
                    );
                    return Err(Verdict::Ended {
                        status: Status::Failed,
                        why,
                    });
                }
            }
        }
        Ok(groups)
    }

    /// Brings the pipeline to where it goes next: its end, the queue, or the wait for approval.
    async fn end(&self, verdict: Verdict, is_interrupted: bool) {
        let pipeline = self.claim.pipeline;
        match verdict {
            Verdict::Gone => self.recorder.close().await,
            _ if is_interrupted => self.pipelines.give_back(&self.recorder, "the server was stopped").await,
            Verdict::Recorded => self.recorder.close().await,
            Verdict::Ended { status, why } => {
                tracing::info!(pipeline, %status, "ended: {why}");
                self.finish(status, why).await;
            }
            Verdict::Broken { why } if self.claim.tries < PIPELINE_ATTEMPTS_MAX => {
                tracing::warn!(
                    pipeline,
                    tries = self.claim.tries,
                    "infrastructure: {why}; it is tried once more"
                );
                self.recorder.close().await;
                self.release(Release::Queue { counted: true }, None).await;
            }
            Verdict::Broken { why } => self.finish(Status::Lost, format!("infrastructure: {why}")).await,
            Verdict::Wait { why } => {
                tracing::info!(pipeline, "{why}");
                self.recorder.close().await;
                let note = words::note(
                    self.pipelines.config(),
                    &self.claim.trigger,
                    Status::Waiting,
                    why.clone(),
                );
                self.release(Release::Wait { why }, Some(note)).await;
            }
        }
    }

    async fn finish(&self, status: Status, why: String) {
        if self.recorder.view().await.sha.is_empty() {
            self.recorder.tell(vec![started(&self.claim.trigger, &[])]).await;
        }
        self.recorder.tell(vec![ended(status, why)]).await;
        self.recorder.close().await;
    }

    async fn release(&self, to: Release, note: Option<crate::store::StatusNote>) {
        let claim = self.recorder.claim().await;
        if let Err(error) = self.pipelines.store().release(&claim, to, note.as_ref()).await {
            // The lease runs out, and then somebody takes it over.
            tracing::error!(pipeline = claim.pipeline, "{}", error.chain());
        }
        self.pipelines.inner.queue.notify_one();
    }
}

fn started(trigger: &Trigger, plans: &[(Arc<Plan>, Decision)]) -> EventKind {
    EventKind::PipelineStarted {
        repo: trigger.repo.clone(),
        event: trigger.event.kind().to_owned(),
        git_ref: trigger.git_ref.clone(),
        sha: trigger.commit.to_string(),
        workflows: seen(plans),
    }
}

fn seen(plans: &[(Arc<Plan>, Decision)]) -> Vec<WorkflowSeen> {
    let seen = |(plan, decision): &(Arc<Plan>, Decision)| WorkflowSeen {
        name: plan.name.clone(),
        file: plan.file.to_string(),
        runs: decision.runs,
        reason: decision.reason.to_string(),
    };
    plans.iter().map(seen).collect()
}

fn annotation(found: &Diagnostic, sources: &Sources) -> EventKind {
    let origin = found.span().map(|span| sources.locate(span));
    let mut message = format!("{} [{}]", found.message, found.code);
    for hint in found.hints() {
        message += &format!("\n  = help: {hint}");
    }
    EventKind::Annotation {
        job: "".into(),
        step: 0,
        level: match found.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
        },
        message,
        file: origin.as_ref().map(|origin| origin.file.to_string()),
        line: origin.map(|origin| origin.line),
    }
}

/// What the files say and how they are read: the same hash means the same pipeline.
fn config_hash(resolved: &Resolved) -> String {
    let mut hash = Sha256::new();
    hash.update(resolved.kind.map_or("none", Kind::name));
    for id in 0..=u16::MAX {
        let Some(file) = resolved.compiled.sources.get(FileId(id)) else {
            break;
        };
        for part in [&file.path, &file.text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hex::encode(hash.finalize())
}

/// What the configuration says of the trigger's repository.
fn settings_of<'a>(config: &'a Config, trigger: &Trigger) -> Option<&'a RepoConfig> {
    config
        .repos
        .iter()
        .find(|repo| trigger.forge == Some(repo.forge.into()) && repo.name.eq_ignore_ascii_case(&trigger.repo))
}

fn vars(config: &Config, trigger: &Trigger) -> IndexMap<String, String> {
    let own = settings_of(config, trigger).map(|repo| &repo.vars);
    let all = config.vars.iter().chain(own.into_iter().flatten());
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a person gave, as the files' `on: manual` ask for it.
fn inputs(trigger: &Trigger, plans: &[Arc<Plan>]) -> Result<IndexMap<String, Value>, String> {
    match &trigger.event {
        Event::Manual { inputs, .. } => {
            let rules: Vec<_> = plans.iter().flat_map(|plan| plan.on.clone()).collect();
            let values = manual_inputs(&rules, inputs).map_err(|wrong| wrong.join("; "))?;
            Ok(values
                .into_iter()
                .map(|(name, value)| (name, Value::from(value)))
                .collect())
        }
        Event::Push { .. } | Event::Tag { .. } | Event::PullRequest(_) | Event::Schedule { .. } => Ok(IndexMap::new()),
    }
}

fn settings(config: &Config, server: &str) -> Settings {
    let docker = &config.docker;
    Settings {
        server: server.to_owned(),
        default_image: docker.default_image.clone(),
        image_of_label: docker
            .labels
            .iter()
            .map(|(label, image)| (label.clone(), image.clone()))
            .collect(),
        pull: match docker.pull {
            PullWhen::Never => PullPolicy::Never,
            PullWhen::Missing => PullPolicy::Missing,
            PullWhen::Always => PullPolicy::Always,
        },
        limits: JobLimits {
            cpus: docker.cpus,
            memory_bytes: Some(docker.memory.0),
            pids: docker.pids,
        },
        job_timeout: docker.timeout.0,
        grace: config.runner.grace.0,
        workspace: WorkspaceMode::Copy,
        keep: Keep::Never,
        env: IndexMap::new(),
    }
}
