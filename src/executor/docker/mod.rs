//! Jobs in an engine that speaks Docker's API: Docker 20.10 to the newest, Podman.
//!
//! Sole owner of bollard. Must not know dialects, the store or forges. `connect` finds the engine, `session` runs a
//! job, `settings` is all that a job's containers may do, `names` all that they are called.

mod attached;
mod build;
mod buildkit;
mod built;
mod call;
mod classic;
pub mod connect;
mod context;
mod dial;
mod dockerfile;
mod failure;
pub mod holdings;
mod image;
mod late;
mod names;
mod network;
mod pieces;
mod program;
mod progress;
mod push;
mod seccomp;
mod service;
mod session;
mod settings;
mod sweep;
mod workspace;

use std::sync::Arc;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{Mount, MountType, MountVolumeOptions};
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::executor::{BuildSpec, Built, Executor, ExecutorError, JobSpec, LogSink, PushSpec, Pushed, Session, Stream};
use crate::registry::Registry;
use crate::stop::Stop;
use connect::{Connection, Endpoint, Engine};
use network::Networks;
use program::Trial;

pub use build::Builder;
pub use program::volume_name as shim_volume;
pub use workspace::WORKSPACE;

/// Runs jobs in one engine for one server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct DockerExecutor {
    docker: Docker,
    endpoint: Endpoint,
    engine: Engine,
    registry: Option<Arc<dyn Registry>>,
    /// Build frontends that Dockerfiles may ask for, each with its digest.
    frontends: Arc<[String]>,
    builder: Builder,
    networks: Arc<Networks>,
    shim: Arc<OnceCell<Trial>>,
    /// Removals that nobody waits for before [`Executor::settle`].
    removals: TaskTracker,
}

impl DockerExecutor {
    /// * `server`: whose everything is that this executor makes; the same as in each job's `Place`.
    /// * `registry`: where credentials for pulls come from; none means anonymous.
    pub fn new(connection: Connection, server: &str, registry: Option<Arc<dyn Registry>>) -> Self {
        let Connection {
            docker,
            endpoint,
            engine,
        } = connection;
        let networks = Networks::new(docker.clone(), server);
        DockerExecutor {
            docker,
            endpoint,
            engine,
            registry,
            frontends: Arc::default(),
            builder: Builder::wanted(),
            networks,
            shim: Arc::default(),
            removals: TaskTracker::new(),
        }
    }

    /// Allows build frontends (`# syntax=`), as `image@sha256:...`. None are by default: each is a program from a registry.
    #[must_use]
    pub fn with_frontends(mut self, frontends: Vec<String>) -> Self {
        self.frontends = frontends.into();
        self
    }

    /// Which builder to use, whatever `DOCKER_BUILDKIT` says.
    #[must_use]
    pub fn with_builder(mut self, builder: Builder) -> Self {
        self.builder = builder;
        self
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Makes ready what so many jobs at once will need, so that none waits for it. Optional; what fails here fails again,
    /// with its error, when a job needs it.
    pub async fn keep_ready(&self, jobs: usize) {
        let _ = tokio::join!(self.ensure_shim(), self.networks.keep_ready(jobs));
    }
}

#[async_trait]
impl Executor for DockerExecutor {
    async fn open(&self, job: &JobSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Box<dyn Session>, ExecutorError> {
        if stop.is_asked() {
            return Err(ExecutorError::Stopped);
        }
        let session = self.open_job(job, logs, stop).await?;
        Ok(Box::new(session))
    }

    async fn build(&self, build: &BuildSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Built, ExecutorError> {
        self.build_image(build, logs, stop).await
    }

    async fn push(&self, push: &PushSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Vec<Pushed>, ExecutorError> {
        self.push_image(push, logs, stop).await
    }

    async fn sweep(&self, server: &str, alive: &[u64]) -> Result<Vec<String>, ExecutorError> {
        self.sweep_server(server, alive).await
    }

    async fn settle(&self) -> Result<(), ExecutorError> {
        self.settle_removals().await
    }
}

/// Drydock's own words in a log, a line (or several) of them.
async fn say(logs: &dyn LogSink, text: &str) {
    logs.write(Stream::System, Bytes::from(format!("{text}\n"))).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    ReadOnly,
}

/// A volume at a path of a container. What the image has there is not copied into it.
fn volume_mount(volume: &str, at: &str, access: Access) -> Mount {
    Mount {
        target: Some(at.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(access == Access::ReadOnly),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}
