//! The container engine of a server: found again whenever it was gone.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::executor::docker::{DockerExecutor, connect};
use crate::executor::{Executor, ExecutorError};
use crate::pipelines::Executors;
use crate::registry::Registry;

pub struct Engines {
    configured: Option<String>,
    server: String,
    registry: Arc<dyn Registry>,
    jobs_at_once: usize,
    /// The engine's address, and the executor that works there.
    known: Mutex<Option<(String, Arc<DockerExecutor>)>>,
}

impl Engines {
    pub fn new(configured: Option<String>, server: String, registry: Arc<dyn Registry>, jobs_at_once: usize) -> Self {
        Engines {
            configured,
            server,
            registry,
            jobs_at_once,
            known: Mutex::default(),
        }
    }
}

#[async_trait]
impl Executors for Engines {
    /// Greets the engine each time: what is taken from the queue can be run.
    async fn executor(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
        let mut known = self.known.lock().await;
        let connection = connect::connect(self.configured.as_deref()).await?;
        let address = connection.endpoint.address.clone();
        if let Some((at, executor)) = &*known
            && *at == address
        {
            return Ok(executor.clone());
        }
        tracing::info!(
            "jobs run in {} at {address} ({})",
            connection.engine,
            connection.endpoint.found_in
        );
        let executor = Arc::new(DockerExecutor::new(
            connection,
            &self.server,
            Some(self.registry.clone()),
        ));
        *known = Some((address, executor.clone()));
        let (ready, jobs) = (executor.clone(), self.jobs_at_once);
        tokio::spawn(async move { ready.keep_ready(jobs).await });
        Ok(executor)
    }
}
