//! The runner of this process: takes pipelines from the queue, so many at once, and sees each to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{LEASE, Pipelines, lock};
use crate::config::{QUEUE_LOOK_SECONDS, RETENTION_LOOK_SECONDS, SHUTDOWN_SECONDS_MAX};
use crate::executor::Executor;
use crate::stop::Stop;
use crate::store::{Claim, LeftBy, StoreError};

const LOOK: Duration = Duration::from_secs(QUEUE_LOOK_SECONDS);

impl Pipelines {
    /// Takes over what an earlier process left, then runs pipelines, tells commits and removes what is old, until `stop`.
    /// Pipelines that run then are interrupted and go back to the queue. An error is one of the start only.
    pub async fn run(&self, stop: Stop) -> Result<(), StoreError> {
        self.recover(LeftBy::MeAndExpired).await?;
        let telling = tokio::spawn(self.clone().tell_commits(stop.clone()));
        let pruning = tokio::spawn(self.clone().remove_old(stop.clone()));
        let running = TaskTracker::new();
        self.take_from_queue(&stop, &running).await;
        running.close();
        let ending = async {
            running.wait().await;
            let _ = telling.await;
            if let Ok(executor) = self.inner.tools.executors.executor().await
                && let Err(error) = executor.settle().await
            {
                tracing::warn!("what pipelines made is not all removed yet: {}", error.chain());
            }
        };
        if tokio::time::timeout(Duration::from_secs(SHUTDOWN_SECONDS_MAX), ending)
            .await
            .is_err()
        {
            tracing::warn!("pipelines are left to the next start, which takes them over");
        }
        pruning.abort();
        Ok(())
    }

    async fn take_from_queue(&self, stop: &Stop, running: &TaskTracker) {
        let slots = Arc::new(Semaphore::new(self.inner.config.runner.pipelines_max as usize));
        let mut is_swept = false;
        let mut recovered_at = self.inner.clock.instant();
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = stop.asked() => return,
            };
            let Ok(slot) = slot else { return };
            if recovered_at.elapsed() > LEASE {
                recovered_at = self.inner.clock.instant();
                if let Err(error) = self.recover(LeftBy::Expired).await {
                    tracing::warn!("{}", error.chain());
                }
            }
            let executor = match self.ready_executor(&mut is_swept).await {
                Ok(executor) => executor,
                Err(trouble) => {
                    self.note_trouble(Some(trouble));
                    if self.wait(stop).await { continue } else { return }
                }
            };
            match self.inner.store.claim(&self.inner.server, LEASE).await {
                Ok(Some(claim)) => {
                    self.note_trouble(None);
                    let (pipelines, stop) = (self.clone(), stop.clone());
                    running.spawn(async move {
                        pipelines.guard(claim, executor, stop).await;
                        drop(slot);
                    });
                }
                Ok(None) => {
                    self.note_trouble(None);
                    if !self.wait(stop).await {
                        return;
                    }
                }
                Err(error) => {
                    self.note_trouble(Some(error.chain()));
                    if !self.wait(stop).await {
                        return;
                    }
                }
            }
        }
    }

    /// False when it is time to stop.
    async fn wait(&self, stop: &Stop) -> bool {
        tokio::select! {
            () = self.inner.queue.notified() => true,
            () = tokio::time::sleep(LOOK) => true,
            () = stop.asked() => false,
        }
    }

    /// Before the first pipeline runs, what earlier ones left behind goes.
    async fn ready_executor(&self, is_swept: &mut bool) -> Result<Arc<dyn Executor>, String> {
        let executor = self
            .inner
            .tools
            .executors
            .executor()
            .await
            .map_err(|error| error.chain())?;
        if !*is_swept {
            let swept = executor
                .sweep(&self.inner.server, &[])
                .await
                .map_err(|error| error.chain())?;
            if !swept.is_empty() {
                tracing::info!("removed what an earlier run left: {}", swept.join(", "));
            }
            *is_swept = true;
        }
        Ok(executor)
    }

    fn note_trouble(&self, trouble: Option<String>) {
        let mut noted = lock(&self.inner.trouble);
        if *noted != trouble {
            match &trouble {
                Some(trouble) => tracing::warn!("nothing is taken from the queue: {trouble}"),
                None => tracing::info!("pipelines are taken from the queue again"),
            }
            *noted = trouble;
        }
    }

    /// A pipeline whose work panics must not stay claimed for ever: it is given back like one that was interrupted by a crash.
    async fn guard(&self, claim: Claim, executor: Arc<dyn Executor>, stop: Stop) {
        use tracing::Instrument;
        let pipeline = claim.pipeline;
        let span = tracing::info_span!("pipeline", pipeline, repo = claim.trigger.repo);
        let (pipelines, kept) = (self.clone(), claim.clone());
        let work = async move { pipelines.run_claimed(claim, executor, stop).await };
        if let Err(panic) = tokio::spawn(work.instrument(span)).await {
            tracing::error!(pipeline, "Drydock itself failed (please report it): {panic}");
            lock(&self.inner.running).remove(&pipeline);
            // Its lease is given up at once, so that the next look finds it as left by a crash.
            if let Err(error) = self.inner.store.renew(&kept, Duration::ZERO).await {
                tracing::error!(pipeline, "{}", error.chain());
            }
            if let Err(error) = self.recover(LeftBy::Expired).await {
                tracing::error!(pipeline, "{}", error.chain());
            }
        }
    }

    async fn remove_old(self, stop: Stop) {
        loop {
            let retention = &self.inner.config.retention;
            match self
                .inner
                .store
                .prune(retention.pipelines.0, retention.deliveries.0)
                .await
            {
                Ok((0, 0)) => {}
                Ok((pipelines, deliveries)) => tracing::info!(pipelines, deliveries, "removed what was old"),
                Err(error) => tracing::warn!("{}", error.chain()),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(RETENTION_LOOK_SECONDS)) => {}
                () = stop.asked() => return,
            }
        }
    }
}
