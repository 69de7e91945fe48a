//! Services: helper containers beside a job, started, asked whether they are well, and watched.

use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::{ExecConfig, HealthConfig};
use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};

use super::image::ImageFacts;
use super::names::{self, Role};
use super::network::Network;
use super::settings::{ContainerSpec, Pid1, container};
use super::{DockerExecutor, call, say};
use crate::executor::{ExecutorError, JobSpec, LogSink, ServiceSpec};
use crate::stop::Stop;

/// Of a service that is not well, so many last lines are shown.
const LAST_LINES: u32 = 20;

/// Between two questions whether it is well: short at first, then longer, since each costs the engine a process.
const ASK_AGAIN_FIRST: Duration = Duration::from_millis(100);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// How a service is found to be ready.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// A command inside the service succeeds: from `ready:`, else from the image's HEALTHCHECK.
    Command(Vec<String>),
    /// One of these ports accepts a connection.
    Ports(Vec<u16>),
    /// It has nothing that can be asked: it runs.
    Started,
}

impl Readiness {
    fn of(ready: Option<&str>, facts: &ImageFacts) -> Readiness {
        if let Some(command) = ready {
            return Readiness::Command(vec!["sh".into(), "-c".into(), command.into()]);
        }
        if let Some(command) = facts.health.as_ref().and_then(command_of) {
            return Readiness::Command(command);
        }
        if facts.ports.is_empty() {
            Readiness::Started
        } else {
            Readiness::Ports(facts.ports.clone())
        }
    }
}

fn command_of(health: &HealthConfig) -> Option<Vec<String>> {
    let test = health.test.as_ref()?;
    match test.first().map(String::as_str) {
        Some("CMD-SHELL") => Some(vec!["sh".into(), "-c".into(), test[1..].join(" ")]),
        Some("CMD") if test.len() > 1 => Some(test[1..].to_vec()),
        _ => None,
    }
}

/// A service that was started.
pub struct Service {
    pub id: String,
    pub name: String,
    pub readiness: Readiness,
    /// On the job's network.
    pub address: String,
    begun: Instant,
    /// The status it ended with, once it has.
    ended: watch::Receiver<Option<i64>>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl DockerExecutor {
    /// Makes and starts one. `deaths` hears of its end, with its last lines.
    pub(super) async fn start_service(
        &self,
        job: &JobSpec,
        position: usize,
        network: &Network,
        deaths: mpsc::UnboundedSender<String>,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<Service, ExecutorError> {
        let spec = &job.services[position];
        let trial = self.ensure_shim().await?;
        let facts = self.image(&spec.image, job.pull, &spec.origin, logs, stop).await?;
        let role = Role::Service(position);
        let name = names::name(&job.place, &role);
        let body = |pid_1| {
            container(ContainerSpec {
                place: &job.place,
                role: role.clone(),
                image: &facts.id,
                pid_1,
                network: &network.name,
                alias: Some(&spec.name),
                env: &spec.env,
                mounts: vec![],
                limits: job.limits,
                engine: self.engine.kind,
                trial,
            })
        };
        let pid_1 = Pid1::Image {
            entrypoint: spec.entrypoint.clone(),
            command: spec.command.clone(),
        };
        let id = self.create(&name, body(pid_1)).await?;
        let begun = Instant::now();
        if let Err(error) = self.docker.start_container(&id, None).await {
            return Err(not_ready(
                spec,
                format!("it cannot be started: {}", call::message(&error)),
            ));
        }
        let found = call::call("inspect a service", self.docker.inspect_container(&id, None)).await?;
        let networks = found
            .network_settings
            .and_then(|settings| settings.networks)
            .unwrap_or_default();
        let address = networks
            .get(&network.name)
            .and_then(|endpoint| endpoint.ip_address.clone())
            .unwrap_or_default();
        let (told, ended) = watch::channel(None);
        let watcher = tokio::spawn(watch_one(
            self.docker.clone(),
            id.clone(),
            spec.name.clone(),
            told,
            deaths,
        ));
        let readiness = Readiness::of(spec.ready.as_deref(), &facts);
        Ok(Service {
            id,
            name: spec.name.clone(),
            readiness,
            address,
            begun,
            ended,
            watcher,
        })
    }

    /// Waits until a service whose readiness is a command is well; the other kinds are settled elsewhere.
    pub(super) async fn await_command(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        stop: &Stop,
    ) -> Result<(), ExecutorError> {
        let Readiness::Command(command) = &service.readiness else {
            return Ok(());
        };
        let mut last = String::new();
        let asking = async {
            let mut pause = ASK_AGAIN_FIRST;
            loop {
                match self.ask(&service.id, command).await {
                    Ok(()) => return,
                    Err(said) => last = said,
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_AGAIN_MAX);
            }
        };
        match self.before_end(service, spec, asking, stop).await {
            Err(Unready::Late) => {
                let why = format!(
                    "`{}` did not succeed within {} s",
                    command.join(" "),
                    spec.ready_within.as_secs()
                );
                let why = if last.is_empty() {
                    why
                } else {
                    format!("{why}; it last said: {last}")
                };
                Err(self.not_ready(service, spec, why).await)
            }
            other => self.settle_readiness(service, spec, other).await,
        }
    }

    /// For services that were ready as soon as they ran: some end just then.
    pub(super) async fn still_runs(&self, service: &Service, spec: &ServiceSpec) -> Result<(), ExecutorError> {
        let ended = *service.ended.borrow();
        match ended {
            Some(code) => self.settle_readiness(service, spec, Err(Unready::Ended(code))).await,
            None => Ok(()),
        }
    }

    /// `waiting`, unless the service dies first, its time is up or everything is stopped.
    pub(super) async fn before_end<T>(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        waiting: impl Future<Output = T>,
        stop: &Stop,
    ) -> Result<T, Unready> {
        let mut ended = service.ended.clone();
        let left = spec.ready_within.saturating_sub(service.begun.elapsed());
        tokio::select! {
            done = waiting => Ok(done),
            Ok(code) = ended.wait_for(Option::is_some) => Err(Unready::Ended(code.unwrap_or_default())),
            () = tokio::time::sleep(left) => Err(Unready::Late),
            () = stop.asked() => Err(Unready::Stopped),
        }
    }

    pub(super) async fn settle_readiness<T>(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        found: Result<T, Unready>,
    ) -> Result<T, ExecutorError> {
        let why = match found {
            Ok(value) => return Ok(value),
            Err(Unready::Stopped) => return Err(ExecutorError::Stopped),
            Err(Unready::Ended(code)) => format!("it ended with status {code}"),
            Err(Unready::Late) => match &service.readiness {
                Readiness::Ports(ports) => {
                    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                    format!(
                        "no port it exposes ({}) accepts connections within {} s",
                        ports.join(", "),
                        spec.ready_within.as_secs()
                    )
                }
                Readiness::Command(_) | Readiness::Started => {
                    format!("it is not ready within {} s", spec.ready_within.as_secs())
                }
            },
        };
        Err(self.not_ready(service, spec, why).await)
    }

    async fn not_ready(&self, service: &Service, spec: &ServiceSpec, why: String) -> ExecutorError {
        let lines = last_lines(&self.docker, &service.id).await;
        not_ready(
            spec,
            if lines.is_empty() {
                format!("{why}; it printed nothing")
            } else {
                format!("{why}; its last lines:\n{lines}")
            },
        )
    }

    /// One question; `Err` is what the command said.
    async fn ask(&self, id: &str, command: &[String]) -> Result<(), String> {
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let asked = async {
            let exec = self.docker.create_exec(id, config).await?;
            let mut said = Vec::new();
            if let StartExecResults::Attached { mut output, .. } = self.docker.start_exec(&exec.id, None).await? {
                while let Some(piece) = output.next().await {
                    let piece = piece?;
                    if said.len() < 1024 {
                        said.extend_from_slice(piece.as_ref());
                    }
                }
            }
            let code = self.docker.inspect_exec(&exec.id).await?.exit_code;
            Ok::<_, bollard::errors::Error>((code, said))
        };
        match asked.await {
            Ok((Some(0), _)) => Ok(()),
            Ok((_, said)) => Err(String::from_utf8_lossy(&said).trim().to_owned()),
            Err(error) => Err(call::message(&error)),
        }
    }
}

/// Why a service is not ready.
#[derive(Debug)]
pub enum Unready {
    Ended(i64),
    Late,
    Stopped,
}

fn not_ready(spec: &ServiceSpec, why: String) -> ExecutorError {
    ExecutorError::ServiceNotReady {
        service: spec.name.clone(),
        asked_at: spec.origin.clone(),
        why,
    }
}

/// Tells of a service's end as soon as it comes.
async fn watch_one(
    docker: bollard::Docker,
    id: String,
    name: String,
    told: watch::Sender<Option<i64>>,
    deaths: mpsc::UnboundedSender<String>,
) {
    let Some(code) = wait(&docker, &id).await else { return };
    // Whoever waits for it to be ready says it himself, with its last lines.
    told.send_replace(Some(code));
    let lines = last_lines(&docker, &id).await;
    let _ = deaths.send(format!(
        "service `{name}` ended with status {code}; its last lines:\n{lines}"
    ));
}

/// A container's exit status; `None` when the engine cannot say.
async fn wait(docker: &bollard::Docker, id: &str) -> Option<i64> {
    let mut waiting = docker.wait_container(id, None::<WaitContainerOptions>);
    match waiting.next().await? {
        Ok(ended) => Some(ended.status_code),
        // The client takes every status but 0 for an error of its own.
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => Some(code),
        Err(_) => None,
    }
}

async fn last_lines(docker: &bollard::Docker, id: &str) -> String {
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .tail(&LAST_LINES.to_string())
        .build();
    let reading = async {
        let mut text = Vec::new();
        let mut logs = docker.logs(id, Some(options));
        while let Some(Ok(piece)) = logs.next().await {
            match piece {
                LogOutput::StdOut { message } | LogOutput::StdErr { message } | LogOutput::Console { message } => {
                    text.extend_from_slice(&message);
                }
                LogOutput::StdIn { .. } => {}
            }
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Says that a service is ready, and how long it took.
pub async fn announce(logs: &dyn LogSink, service: &Service) {
    say(
        logs,
        &format!(
            "service `{}` is ready after {:.1} s",
            service.name,
            service.begun.elapsed().as_secs_f64()
        ),
    )
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_what_the_file_says_then_the_image_then_its_ports() {
        let health = |test: &[&str]| {
            let test = Some(test.iter().map(|word| word.to_string()).collect());
            Some(HealthConfig {
                test,
                ..HealthConfig::default()
            })
        };
        let facts = |health, ports: &[u16]| ImageFacts {
            health,
            ports: ports.to_vec(),
            ..ImageFacts::default()
        };
        let shell = |text: &str| Readiness::Command(vec!["sh".into(), "-c".into(), text.into()]);
        let probe = facts(health(&["CMD-SHELL", "pg_isready -q"]), &[5432]);
        assert_eq!(Readiness::of(Some("true"), &probe), shell("true"));
        assert_eq!(Readiness::of(None, &probe), shell("pg_isready -q"));
        let direct = facts(health(&["CMD", "redis-cli", "ping"]), &[]);
        assert_eq!(
            Readiness::of(None, &direct),
            Readiness::Command(vec!["redis-cli".into(), "ping".into()])
        );
        assert_eq!(
            Readiness::of(None, &facts(health(&["NONE"]), &[80])),
            Readiness::Ports(vec![80])
        );
        assert_eq!(Readiness::of(None, &facts(None, &[])), Readiness::Started);
    }
}
