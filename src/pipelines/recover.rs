//! What a crash, a shutdown or a lost lease left: jobs that were running are marked as broken by the machine, and the
//! pipeline gets one more try.

use std::sync::Arc;

use super::recorder::{Recorder, ended};
use super::{LEASE, Pipelines};
use crate::config::PIPELINE_ATTEMPTS_MAX;
use crate::engine::{EventKind, Observer, Status};
use crate::report::view::PipelineView;
use crate::stop::Stop;
use crate::store::{Claim, LeftBy, Release, StoreError};

impl Pipelines {
    /// Takes over what nobody runs any more. An error means that the queue cannot be known: nothing may be started then.
    pub(super) async fn recover(&self, left: LeftBy) -> Result<(), StoreError> {
        for claim in self.inner.store.reclaim(&self.inner.server, LEASE, left).await? {
            let pipeline = claim.pipeline;
            let view = PipelineView::of(&self.inner.store.outline(pipeline).await?);
            let tries = claim.tries;
            let recorder = Recorder::new(self.clone(), claim, view, Stop::new(), Stop::new());
            let why = "the server was gone while it ran";
            if tries < PIPELINE_ATTEMPTS_MAX {
                tracing::warn!(pipeline, tries, "{why}; it is tried once more");
                self.mark_lost(&recorder, why, true).await;
                recorder.close().await;
                self.back_to_queue(recorder.claim().await, Release::Queue { counted: true })
                    .await?;
            } else {
                tracing::error!(pipeline, tries, "{why}, again; it is given up");
                self.mark_lost(&recorder, why, false).await;
                recorder
                    .tell(vec![ended(
                        Status::Lost,
                        format!("infrastructure: {why}, for the second time"),
                    )])
                    .await;
                recorder.close().await;
            }
        }
        Ok(())
    }

    /// An interrupted pipeline goes back to its place in the queue; it is nobody's fault.
    pub(super) async fn give_back(&self, recorder: &Arc<Recorder>, why: &str) {
        recorder.interrupt();
        self.mark_lost(recorder, why, true).await;
        recorder.close().await;
        let claim = recorder.claim().await;
        let pipeline = claim.pipeline;
        match self.back_to_queue(claim, Release::Queue { counted: false }).await {
            Ok(()) => tracing::info!(pipeline, "{why}; it will run again"),
            // The next start finds it by its claim.
            Err(error) => tracing::warn!(pipeline, "{why}: {}", error.chain()),
        }
    }

    async fn back_to_queue(&self, claim: Claim, to: Release) -> Result<(), StoreError> {
        self.inner.store.release(&claim, to, None).await?;
        self.inner.queue.notify_one();
        self.inner.live.tell(claim.pipeline);
        Ok(())
    }

    async fn mark_lost(&self, recorder: &Arc<Recorder>, why: &str, retried: bool) {
        let view = recorder.view().await;
        let running = view.jobs.iter().filter(|(_, job)| job.status == Status::Running);
        let lost: Vec<EventKind> = running
            .map(|(name, job)| EventKind::JobFinished {
                job: name.clone(),
                attempt: job.attempt,
                status: Status::Lost,
                duration_ms: 0,
                outputs: Default::default(),
                why: Some(format!("infrastructure: {why}")),
                retried,
            })
            .collect();
        if !lost.is_empty() {
            recorder.tell(lost).await;
        }
    }
}
