//! An open job: its container, its services, its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::Mount;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::attached::{Attached, Ending, Lost, complain_about_file, millis};
use super::image::ImageFacts;
use super::names::{self, Role};
use super::network::Network;
use super::service::{self, Readiness, Service};
use super::settings::{ContainerSpec, Pid1, container};
use super::workspace::{self, WORKSPACE};
use super::{DockerExecutor, call, program, say};
use crate::executor::{Ended, ExecutorError, JobSpec, LogSink, Program, Session, StepEnd, StepSpec, Stream, Workspace};
use crate::plan::{DockerAccess, STEP_FILE_BYTES_MAX, Shell};
use crate::shim::wire::{FileBack, FileIn, How, Run, Stage};
use crate::shim::{PATH, RUN_HOME};
use crate::stop::Stop;

/// The shim's number for asking services' ports; steps follow it.
const PROBE: u32 = 1;

/// What [`Executor::open`](crate::executor::Executor::open) gives.
pub struct DockerSession {
    executor: DockerExecutor,
    job: JobSpec,
    image: ImageFacts,
    container: Attached,
    network: Network,
    services: Vec<Service>,
    deaths: mpsc::UnboundedReceiver<String>,
}

impl DockerExecutor {
    pub(super) async fn open_job(
        &self,
        job: &JobSpec,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<DockerSession, ExecutorError> {
        if job.docker != DockerAccess::None {
            return Err(ExecutorError::Unsupported {
                what: "docker inside a job".into(),
                asked_at: job.origin.clone(),
                why: "this executor gives jobs no Docker yet".into(),
            });
        }
        let (network, shim) = tokio::join!(self.networks.take(), self.ensure_shim());
        let network = network?;
        let opened = match shim {
            Ok(_) => self.open_on(job, &network, logs, stop).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok((image, container, services, deaths)) => {
                let executor = self.clone();
                Ok(DockerSession {
                    executor,
                    job: job.clone(),
                    image,
                    container,
                    network,
                    services,
                    deaths,
                })
            }
            Err(error) => {
                // Clean-up has a life of its own: no stop reaches it.
                if let Err(left) = self.remove_place(&job.place, Some(network)).await {
                    say(logs, &format!("what was begun could not be removed: {}", left.chain())).await;
                }
                Err(error)
            }
        }
    }

    /// Everything at once that can be: each part runs to its end even when another fails, so that nothing is under way
    /// when what was made is removed.
    async fn open_on(
        &self,
        job: &JobSpec,
        network: &Network,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<(ImageFacts, Attached, Vec<Service>, mpsc::UnboundedReceiver<String>), ExecutorError> {
        let stop = stop.child();
        let (deaths_in, deaths) = mpsc::unbounded_channel();
        if let Workspace::Copy(_) = job.workspace {
            self.make_workspace(&job.place).await?;
        }
        let container = or_stop(stop.clone(), async {
            let image = self.image(&job.image, job.pull, &job.origin, logs, &stop).await?;
            let mut container = self.start_in(job, Role::Job, &image, network).await?;
            if let Workspace::Copy(tree) = &job.workspace {
                self.fill_workspace(&mut container, tree, &stop).await?;
            }
            Ok((image, container))
        });
        let services = (0..job.services.len()).map(|position| {
            let (deaths, stop) = (deaths_in.clone(), stop.clone());
            or_stop(stop.clone(), async move {
                let service = self.start_service(job, position, network, deaths, logs, &stop).await?;
                self.await_command(&service, &job.services[position], &stop).await?;
                Ok(service)
            })
        });
        let services = futures_util::future::join_all(services);
        let (container, services) = tokio::join!(container, services);

        let mut errors = Vec::new();
        let mut started = Vec::new();
        for service in services {
            match service {
                Ok(service) => started.push(service),
                Err(error) => errors.push(error),
            }
        }
        let (image, mut container) = match container {
            Ok(container) if errors.is_empty() => container,
            Ok(_) => return Err(first_cause(errors)),
            Err(error) => {
                errors.insert(0, error);
                return Err(first_cause(errors));
            }
        };
        self.await_ports(job, &mut container, &started, &stop).await?;
        for (service, spec) in started.iter().zip(&job.services) {
            self.still_runs(service, spec).await?;
            service::announce(logs, service).await;
        }
        Ok((image, container, started, deaths))
    }

    /// A container of the job with the shim in it.
    async fn start_in(
        &self,
        job: &JobSpec,
        role: Role,
        image: &ImageFacts,
        network: &Network,
    ) -> Result<Attached, ExecutorError> {
        let name = names::name(&job.place, &role);
        let body = container(ContainerSpec {
            place: &job.place,
            role,
            image: &image.id,
            pid_1: Pid1::Shim {
                volume: program::volume_name(),
            },
            network: &network.name,
            alias: None,
            env: &[],
            mounts: vec![self.workspace_mount(job)],
            limits: job.limits,
            engine: self.engine.kind,
            trial: self.ensure_shim().await?,
        });
        self.start_attached(&name, body).await
    }

    fn workspace_mount(&self, job: &JobSpec) -> Mount {
        workspace::mount(&job.place, &job.workspace)
    }

    /// Asks the exposed ports of services, from inside the job's network and all at once.
    async fn await_ports(
        &self,
        job: &JobSpec,
        container: &mut Attached,
        services: &[Service],
        stop: &Stop,
    ) -> Result<(), ExecutorError> {
        let mut argv = vec![PATH.to_owned(), "probe".to_owned()];
        let mut asked = Vec::new();
        for (position, service) in services.iter().enumerate() {
            if let Readiness::Ports(ports) = &service.readiness {
                let addresses: Vec<String> = ports.iter().map(|port| format!("{}:{port}", service.address)).collect();
                argv.push(format!("{position}={}", addresses.join(",")));
                asked.push(position);
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answers = Answers::default();
        // Ended when one of them fails: the others' answers are worth nothing then.
        let enough = stop.child();
        let run = Run {
            step: PROBE,
            argv: vec![argv],
            dir: "/".into(),
            ..Run::default()
        };
        let probing = async {
            let probed = container.run(run, &answers, &enough).await;
            probed.map(|_| ()).map_err(|lost| lost.in_words())
        };
        let waiting = async {
            for position in &asked {
                let (service, spec) = (&services[*position], &job.services[*position]);
                let found = self.before_end(service, spec, answers.until(*position), stop).await;
                if let Err(error) = self.settle_readiness(service, spec, found).await {
                    enough.force();
                    return Err(error);
                }
            }
            Ok(())
        };
        let (probed, waited) = tokio::join!(probing, waiting);
        match (waited, probed) {
            (Err(error), _) => Err(error),
            (Ok(()), Ok(())) => Ok(()),
            (Ok(()), Err(why)) => Err(self.why_lost(container.traces(), why).await),
        }
    }

    /// Runs a step in a container that is there already.
    async fn run_in(
        &self,
        container: &mut Attached,
        image: &ImageFacts,
        workspace: &Workspace,
        step: &StepSpec,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<StepEnd, ExecutorError> {
        if stop.is_asked() {
            return Ok(cancelled());
        }
        let run = request(step, image, workspace);
        match container.run(run, logs, stop).await {
            Ok(ending) => Ok(step_end(step, ending, logs).await),
            Err(Lost::Broken(why)) => Err(self.why_lost(container.traces(), why).await),
            Err(Lost::Silent) => Err(ExecutorError::Hung {
                operation: "end the step".into(),
                after: step.timeout.unwrap_or_default() + step.grace,
            }),
        }
    }
}

/// The names of services as the probe prints them, one a line.
struct Answers {
    heard: watch::Sender<String>,
}

impl Default for Answers {
    fn default() -> Self {
        Answers {
            heard: watch::channel(String::new()).0,
        }
    }
}

#[async_trait]
impl LogSink for Answers {
    async fn write(&self, _stream: Stream, bytes: Bytes) {
        self.heard
            .send_modify(|text| text.push_str(&String::from_utf8_lossy(&bytes)));
    }
}

impl Answers {
    async fn until(&self, position: usize) {
        let name = position.to_string();
        let mut heard = self.heard.subscribe();
        // Its sender lives as long as `self`.
        let _ = heard.wait_for(|text| text.lines().any(|line| line == name)).await;
    }
}

/// When it fails, everything beside it shall stop; its own stop is not a cause.
async fn or_stop<T>(stop: Stop, part: impl Future<Output = Result<T, ExecutorError>>) -> Result<T, ExecutorError> {
    let done = part.await;
    if done.is_err() {
        stop.force();
    }
    done
}

/// The error that made the others stop.
fn first_cause(errors: Vec<ExecutorError>) -> ExecutorError {
    let cause = errors.into_iter().reduce(|first, next| {
        if matches!(first, ExecutorError::Stopped) {
            next
        } else {
            first
        }
    });
    cause.unwrap_or(ExecutorError::Stopped)
}

#[async_trait]
impl Session for DockerSession {
    async fn run(&mut self, step: &StepSpec, logs: &dyn LogSink, stop: &Stop) -> Result<StepEnd, ExecutorError> {
        let DockerSession {
            executor,
            job,
            image,
            container,
            network,
            deaths,
            ..
        } = self;
        let running = async {
            match &step.image {
                None => {
                    executor
                        .run_in(container, image, &job.workspace, step, logs, stop)
                        .await
                }
                Some(name) => {
                    let facts = match executor.image(name, job.pull, &step.origin, logs, stop).await {
                        Err(ExecutorError::Stopped) => return Ok(cancelled()),
                        facts => facts?,
                    };
                    let role = Role::Step(step.number);
                    let mut own = executor.start_in(job, role.clone(), &facts, network).await?;
                    let end = executor
                        .run_in(&mut own, &facts, &job.workspace, step, logs, stop)
                        .await;
                    executor.remove_later(names::name(&job.place, &role));
                    end
                }
            }
        };
        let mut running = std::pin::pin!(running);
        loop {
            tokio::select! {
                end = &mut running => return end,
                Some(death) = deaths.recv() => say(logs, &death).await,
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutorError> {
        let DockerSession {
            executor,
            job,
            network,
            services,
            ..
        } = *self;
        // Nobody need hear of their end from here on.
        drop(services);
        executor.remove_place_later(job.place, network);
        Ok(())
    }
}

fn cancelled() -> StepEnd {
    StepEnd {
        how: Ended::Cancelled,
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        max_rss_bytes: 0,
        files: BTreeMap::new(),
    }
}

/// What the shim is asked to do for a step.
fn request(step: &StepSpec, image: &ImageFacts, workspace: &Workspace) -> Run {
    let home = format!("{RUN_HOME}/{}", step.number);
    let mut files = Vec::new();
    let argv = match &step.program {
        Program::Script { shell, text } => {
            let script = format!("{home}/script");
            files.push(FileIn {
                path: script.clone(),
                mode: 0o755,
                bytes: text.clone().into_bytes(),
            });
            interpreters(shell, &script)
        }
        Program::Image { entrypoint, args } => {
            let own = entrypoint.is_none();
            let mut argv = entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone());
            // An image's command belongs to its own entrypoint.
            argv.extend(
                args.clone()
                    .unwrap_or_else(|| if own { image.command.clone() } else { vec![] }),
            );
            vec![argv]
        }
    };
    let mut env = step.env.clone();
    let mut read_back = Vec::new();
    for file in &step.files {
        let path = format!("{home}/{}", file.variable);
        env.push((file.variable.clone(), path.clone()));
        files.push(FileIn {
            path: path.clone(),
            mode: 0o644,
            bytes: file.content.clone(),
        });
        if file.read_back {
            read_back.push(FileBack {
                path,
                bytes_max: STEP_FILE_BYTES_MAX,
            });
        }
    }
    let dir = match step.dir.as_deref() {
        None | Some("" | ".") => WORKSPACE.to_owned(),
        Some(dir) if dir.starts_with('/') => dir.to_owned(),
        Some(dir) => format!("{WORKSPACE}/{dir}"),
    };
    Run {
        step: step.number.saturating_add(PROBE),
        argv,
        env,
        dir,
        user: image.user.clone(),
        owned: match workspace {
            Workspace::Copy(_) => vec![WORKSPACE.to_owned()],
            // The user's own folder stays the user's own.
            Workspace::Bind(_) => vec![],
        },
        files,
        read_back,
        timeout_ms: step.timeout.map_or(0, |timeout| millis(timeout).max(1)),
        grace_ms: millis(step.grace),
    }
}

/// Command lines for a script, best first.
fn interpreters(shell: &Shell, script: &str) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    match shell {
        Shell::Default => vec![
            words(&["bash", "-eo", "pipefail", script]),
            words(&["sh", "-e", script]),
        ],
        Shell::Command(command) => {
            let mut argv: Vec<String> = command.iter().map(|word| word.replace("{0}", script)).collect();
            if !command.iter().any(|word| word.contains("{0}")) {
                argv.push(script.to_owned());
            }
            vec![argv]
        }
    }
}

async fn step_end(step: &StepSpec, ending: Ending, logs: &dyn LogSink) -> StepEnd {
    let Ending { ended, files } = ending;
    let mut back = BTreeMap::new();
    let asked = step.files.iter().filter(|file| file.read_back);
    for (file, content) in asked.zip(files) {
        match content {
            Ok(bytes) => drop(back.insert(file.variable.clone(), bytes)),
            // A step that never started has not touched them.
            Err(_) if matches!(ended.how, How::CannotStart { .. }) => {}
            Err(state) => complain_about_file(logs, &file.variable, &state, STEP_FILE_BYTES_MAX).await,
        }
    }
    let out_of_memory = ended.oom_kills > 0;
    let how = match &ended.how {
        How::Exited(0) if out_of_memory => {
            let text = "the kernel killed a process of this step for the job's memory limit, though the step succeeded";
            say(logs, text).await;
            Ended::Exited(0)
        }
        How::Exited(_) | How::Signalled(_) if out_of_memory => Ended::OutOfMemory,
        How::Exited(code) => Ended::Exited(i32::from(*code)),
        How::Signalled(signal) => Ended::Signalled(i32::from(*signal)),
        How::TimedOut => Ended::TimedOut {
            after: step.timeout.unwrap_or_default(),
        },
        How::Cancelled => Ended::Cancelled,
        How::CannotStart { stage, errno, what } => Ended::CannotStart(cannot_start(step, *stage, *errno, what)),
    };
    StepEnd {
        how,
        duration: Duration::from_millis(ended.took_ms),
        cpu: Duration::from_micros(ended.cpu_us),
        max_rss_bytes: ended.max_rss_bytes,
        files: back,
    }
}

/// What, why, and what to do.
fn cannot_start(step: &StepSpec, stage: Stage, errno: i32, what: &str) -> String {
    let why = call::errno_words(errno);
    match stage {
        Stage::Program
            if matches!(
                step.program,
                Program::Script {
                    shell: Shell::Default,
                    ..
                }
            ) =>
        {
            format!(
                "the image has no shell (looked for {what}); use an image that has one, or give the step a `shell:` that it has"
            )
        }
        Stage::Program if what.contains('/') => format!("the image has no program `{what}`"),
        Stage::Program => format!("the image has no program `{what}`; install it, or name one by its path"),
        Stage::Dir => {
            format!("cannot enter directory `{what}`: {why}; a step's `dir:` must exist when the step starts")
        }
        Stage::User => format!("the image's user `{what}` does not exist in the image: {why}"),
        Stage::Owner => format!("cannot hand `{what}` over to the image's user: {why}"),
        Stage::File => format!("cannot write `{what}` for the step: {why}"),
        Stage::Process => format!("cannot make a process: {why}; the job's `pids` or `memory` limit may be reached"),
        Stage::Execute => format!(
            "cannot execute `{what}`: {why}; is it made for this machine's architecture, and is its interpreter there?"
        ),
    }
}
