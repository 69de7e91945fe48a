//! What people ask of pipelines: cancel, run again, approve, start by hand.

use std::sync::Arc;

use super::{Pipelines, lock, words};
use crate::engine::Status;
use crate::store::{Approved, Cancelled, Repo, StoreError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    #[error("there is no pipeline {0}")]
    NoPipeline(u64),
    #[error("the repository `{0}` is not known here any more")]
    NoRepo(String),
    #[error("pipeline {pipeline} is not waiting for approval: it is {status}")]
    NotWaiting { pipeline: u64, status: Status },
    #[error("pipeline {pipeline} is over: it is {status}")]
    Over { pipeline: u64, status: Status },
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipelines {
    /// Ends a pipeline; the second time without grace. The answer is its status now.
    pub async fn cancel(&self, pipeline: u64, by: &str) -> Result<Status, NotDone> {
        let inner = &self.inner;
        let Some(trigger) = inner.store.trigger(pipeline).await? else {
            return Err(NotDone::NoPipeline(pipeline));
        };
        let note = words::note(&inner.config, &trigger, Status::Cancelled, format!("cancelled by {by}"));
        match inner.store.cancel(pipeline, by, Some(&note)).await? {
            Cancelled::AtOnce => {
                tracing::info!(pipeline, by, "cancelled before it began");
                inner.live.tell(pipeline);
                inner.outbox.notify_one();
                Ok(Status::Cancelled)
            }
            Cancelled::Asked => {
                tracing::info!(pipeline, by, "asked to end");
                if let Some(stop) = lock(&inner.running).get(&pipeline) {
                    if stop.is_asked() { stop.force() } else { stop.ask() }
                }
                Ok(Status::Running)
            }
            // Whoever wanted it to end has what they wanted.
            Cancelled::AlreadyOver(Status::Cancelled) => Ok(Status::Cancelled),
            Cancelled::AlreadyOver(status) => Err(NotDone::Over { pipeline, status }),
            Cancelled::Unknown => Err(NotDone::NoPipeline(pipeline)),
        }
    }

    /// Starts a pipeline of the same event and commit. It is trusted as far as the first one was, and waits where that one
    /// would wait.
    pub async fn rerun(&self, pipeline: u64) -> Result<u64, NotDone> {
        let Some(trigger) = self.inner.store.trigger(pipeline).await? else {
            return Err(NotDone::NoPipeline(pipeline));
        };
        let repo = self.repo_of(pipeline).await?;
        let begin = self.begin(&repo, &trigger).await?;
        let enqueued = self
            .enqueue(&repo, Arc::new(trigger), begin, None, Some(pipeline))
            .await?;
        Ok(enqueued.pipeline())
    }

    async fn repo_of(&self, pipeline: u64) -> Result<Repo, NotDone> {
        let row = self
            .inner
            .store
            .pipeline(pipeline)
            .await?
            .ok_or(NotDone::NoPipeline(pipeline))?;
        self.inner
            .store
            .repo(row.repo_id)
            .await?
            .ok_or(NotDone::NoRepo(row.repo))
    }

    /// Lets a waiting pipeline run: this commit of this repository, with what its files say now.
    pub async fn approve(&self, pipeline: u64, by: &str) -> Result<(), NotDone> {
        match self.inner.store.approve(pipeline, by).await? {
            Approved::Queued => {
                tracing::info!(pipeline, by, "approved");
                self.inner.queue.notify_one();
                self.inner.live.tell(pipeline);
                Ok(())
            }
            Approved::NotWaiting(status) => Err(NotDone::NotWaiting { pipeline, status }),
            Approved::Unknown => Err(NotDone::NoPipeline(pipeline)),
        }
    }
}
