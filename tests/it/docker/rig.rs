//! One job at a time, opened as the engine opens it, with everything it says written down.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use drydock::diag::Origin;
use drydock::executor::docker::DockerExecutor;
use drydock::executor::docker::connect;
use drydock::executor::{
    Executor, ExecutorError, JobLimits, JobSpec, LogSink, Place, Program, PullPolicy, ServiceSpec, Session, StepEnd,
    StepSpec, Stream, Workspace,
};
use drydock::plan::{DockerAccess, Shell};
use drydock::stop::Stop;
use drydock::tree::Tree;

use crate::support::Daemon;

pub const BUSYBOX: &str = "drydock-test/busybox:latest";
pub const DEBIAN: &str = "drydock-test/debian:latest";

/// A daemon and an executor on it, for one test.
pub struct Rig {
    pub daemon: Daemon,
    pub executor: DockerExecutor,
}

impl Rig {
    pub async fn for_test(name: &str) -> Option<Rig> {
        let daemon = Daemon::for_test(name).await?;
        let connection = connect::connect(None)
            .await
            .expect("the daemon that answered answers again");
        let executor = DockerExecutor::new(connection, &daemon.server, None);
        Some(Rig { daemon, executor })
    }

    /// The same server in a new process: nothing in memory, everything in the engine.
    pub async fn restarted(self) -> Rig {
        let connection = connect::connect(None).await.expect("the daemon answers again");
        let executor = DockerExecutor::new(connection, &self.daemon.server, None);
        Rig {
            daemon: self.daemon,
            executor,
        }
    }

    /// A job in `image` with an empty workspace and nothing else.
    pub fn job(&self, image: &str) -> JobSpec {
        JobSpec {
            place: Place {
                server: self.daemon.server.clone(),
                pipeline: 1,
                job: "unit".into(),
                attempt: 1,
            },
            image: image.into(),
            pull: PullPolicy::Never,
            services: vec![],
            docker: DockerAccess::None,
            limits: JobLimits {
                cpus: None,
                memory_bytes: Some(512 * 1024 * 1024),
                pids: 256,
            },
            workspace: Workspace::Copy(Arc::new(Files::default())),
            origin: origin(),
        }
    }

    pub async fn open(&self, job: &JobSpec) -> Job {
        self.try_open(job)
            .await
            .unwrap_or_else(|error| panic!("the job does not open: {}", error.chain()))
    }

    pub async fn try_open(&self, job: &JobSpec) -> Result<Job, ExecutorError> {
        let log = Log::default();
        let session = self.executor.open(job, &log, &Stop::new()).await?;
        Ok(Job {
            session,
            opening: log,
            next: 1,
        })
    }

    /// Waits for all removals; nothing of this test may be left then.
    pub async fn assert_clean(&self) {
        self.executor.settle().await.expect("everything can be removed");
        assert_eq!(self.daemon.leftovers().await, Vec::<String>::new());
    }
}

pub fn origin() -> Origin {
    Origin {
        file: "ci.yml".into(),
        line: 7,
        column: 5,
    }
}

pub fn service(name: &str, image: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.into(),
        image: image.into(),
        env: vec![],
        ready: None,
        ready_within: Duration::from_secs(60),
        entrypoint: None,
        command: None,
        origin: origin(),
    }
}

/// An open job.
pub struct Job {
    session: Box<dyn Session>,
    /// What was said while it opened.
    pub opening: Log,
    next: u32,
}

impl Job {
    /// The next step: a script for the default shell.
    pub fn step(&mut self, script: &str) -> StepSpec {
        let number = self.next;
        self.next += 1;
        StepSpec {
            number,
            program: Program::Script {
                shell: Shell::Default,
                text: script.into(),
            },
            env: vec![],
            dir: None,
            timeout: None,
            grace: Duration::from_secs(10),
            files: vec![],
            image: None,
            origin: origin(),
        }
    }

    pub async fn run(&mut self, script: &str) -> Outcome {
        let step = self.step(script);
        self.run_step(&step).await
    }

    pub async fn run_step(&mut self, step: &StepSpec) -> Outcome {
        self.run_until(step, &Stop::new()).await
    }

    pub async fn run_until(&mut self, step: &StepSpec, stop: &Stop) -> Outcome {
        let log = Log::default();
        let end = self.try_run(step, &log, stop).await;
        let end = end.unwrap_or_else(|error| panic!("the step does not run: {}", error.chain()));
        Outcome { end, log }
    }

    pub async fn try_run(&mut self, step: &StepSpec, log: &dyn LogSink, stop: &Stop) -> Result<StepEnd, ExecutorError> {
        self.session.run(step, log, stop).await
    }

    pub async fn close(self) {
        self.session.close().await.expect("the job closes");
    }
}

/// How a step ended and what it said.
pub struct Outcome {
    pub end: StepEnd,
    pub log: Log,
}

impl Outcome {
    pub fn stdout(&self) -> String {
        self.log.text(Stream::Stdout)
    }

    pub fn stderr(&self) -> String {
        self.log.text(Stream::Stderr)
    }

    pub fn said(&self) -> String {
        self.log.text(Stream::System)
    }
}

/// Writes down every byte.
#[derive(Default)]
pub struct Log {
    pieces: Mutex<Vec<(Stream, Bytes)>>,
    /// Wakes whoever waits for a text.
    more: tokio::sync::Notify,
}

#[async_trait]
impl LogSink for Log {
    async fn write(&self, stream: Stream, bytes: Bytes) {
        self.pieces
            .lock()
            .expect("no panic while writing")
            .push((stream, bytes));
        self.more.notify_waiters();
    }
}

impl Log {
    pub fn bytes(&self, wanted: Stream) -> Vec<u8> {
        let pieces = self.pieces.lock().expect("no panic while writing");
        pieces
            .iter()
            .filter(|(stream, _)| *stream == wanted)
            .flat_map(|(_, bytes)| bytes.to_vec())
            .collect()
    }

    pub fn text(&self, wanted: Stream) -> String {
        String::from_utf8_lossy(&self.bytes(wanted)).into_owned()
    }

    /// Until stdout holds `text`.
    pub async fn shows(&self, text: &str) {
        loop {
            let more = self.more.notified();
            if self.text(Stream::Stdout).contains(text) {
                return;
            }
            more.await;
        }
    }
}

/// A tree from memory: path, content, and whether it can be executed.
#[derive(Default)]
pub struct Files(pub BTreeMap<String, (Vec<u8>, bool)>);

impl Files {
    pub fn of(files: &[(&str, &str)]) -> Arc<Files> {
        let entries = files
            .iter()
            .map(|(path, text)| (path.to_string(), (text.as_bytes().to_vec(), false)));
        Arc::new(Files(entries.collect()))
    }
}

impl Tree for Files {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(self
            .0
            .get(path)
            .map(|(bytes, _)| Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read + Send>))
    }

    fn write_tar(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        for (path, (bytes, is_executable)) in self.0.iter().filter(|(path, _)| wanted(path)) {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(if *is_executable { 0o755 } else { 0o644 });
            tar.append_data(&mut header, path, &bytes[..])?;
        }
        tar.finish()
    }
}

impl Rig {
    /// Ids of this test's containers that run.
    pub async fn containers(&self) -> Vec<String> {
        use bollard::query_parameters::ListContainersOptionsBuilder;
        let label = vec![format!("io.drydock.server={}", self.daemon.server)];
        let filters = std::collections::HashMap::from([("label", label)]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let listed = self
            .daemon
            .docker
            .list_containers(Some(options))
            .await
            .expect("a list of containers");
        listed.into_iter().filter_map(|container| container.id).collect()
    }

    /// An image made from another by lines of a Dockerfile, under a name of its own.
    pub async fn image_from(&self, name: &str, base: &str, lines: &[&str]) -> String {
        use bollard::query_parameters::BuildImageOptionsBuilder;
        use futures_util::StreamExt;
        let dockerfile = format!("FROM {base}\n{}\nLABEL io.drydock.test=1\n", lines.join("\n"));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
            .expect("a tar");
        let context = tar.into_inner().expect("a tar");
        let tag = format!("drydock-test/made-{name}:latest");
        let options = BuildImageOptionsBuilder::default()
            .t(&tag)
            .rm(true)
            .forcerm(true)
            .build();
        let mut progress = self
            .daemon
            .docker
            .build_image(options, None, Some(bollard::body_full(context.into())));
        while let Some(item) = progress.next().await {
            item.expect("the test's image builds");
        }
        tag
    }
}
