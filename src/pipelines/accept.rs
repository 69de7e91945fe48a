//! From a proven delivery to a remembered pipeline: whether it runs, waits, or is only shown. Nothing else decides that.

use std::sync::Arc;

use super::{Pipelines, words};
use crate::engine::Status;
use crate::event::{ForgeKind, Trigger, Trust};
use crate::forge::{Start, Understood};
use crate::store::{AddedBy, Begin, Enqueued, NewPipeline, NewRepo, Repo, StoreError};

/// Whose secret signed a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The forge's, for all repositories that have none of their own.
    Forge,
    /// This repository's, for it alone.
    Repo(u64),
}

/// What became of a delivery.
/// * `pipeline`: the one it started, or had started when it came first. * `run`: whether it started one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub pipeline: Option<u64>,
    pub run: bool,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Signed, but with a secret that does not speak for the repository.
    #[error("the secret that signed the delivery is not that of `{repo}`")]
    ForeignSecret { repo: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipelines {
    /// Remembers what a genuine delivery starts. Durable when it returns.
    /// * `body_hash`: stands in for the delivery's id where the forge sent none.
    pub async fn accept(
        &self,
        forge: ForgeKind,
        understood: &Understood,
        signer: Signer,
        body_hash: impl FnOnce() -> String,
    ) -> Result<Accepted, NotTaken> {
        let not = |reason: String| Accepted {
            pipeline: None,
            run: false,
            reason,
        };
        let Some(name) = &understood.repo else {
            return Ok(not(understood.reason.clone()));
        };
        let known = self.inner.store.repo_named(forge, name).await?;
        self.may_sign(forge, name, known.as_ref(), signer)?;
        let (trigger, by_author) = match &understood.start {
            Start::Pipeline(trigger) => (trigger, false),
            Start::SkippedByAuthor(trigger) => (trigger, true),
            Start::OnlyIfNamed(_) | Start::Nothing => return Ok(not(understood.reason.clone())),
        };
        let repo = match known {
            Some(repo) => repo,
            None if self.inner.config.forges.get(forge).add_repos => self.add_on_first_delivery(forge, trigger).await?,
            None => return Ok(not(unknown_repo(forge, name))),
        };
        let trigger = Arc::new(self.as_configured(&repo, trigger));
        let begin = match by_author {
            true => Begin::Skipped {
                why: understood.reason.clone(),
            },
            false => self.begin(&repo, &trigger).await?,
        };
        let delivery = understood
            .delivery
            .clone()
            .unwrap_or_else(|| format!("body:{}", body_hash()));
        let enqueued = self
            .enqueue(&repo, trigger, begin.clone(), Some(delivery), None)
            .await?;
        let pipeline = Some(enqueued.pipeline());
        Ok(match (enqueued, begin) {
            (Enqueued::SeenBefore(number), _) => {
                let reason = format!("this delivery was here before: pipeline {number}");
                Accepted {
                    pipeline,
                    run: false,
                    reason,
                }
            }
            (Enqueued::New(_), Begin::Queued) => Accepted {
                pipeline,
                run: true,
                reason: understood.reason.clone(),
            },
            (Enqueued::New(_), Begin::Waiting { why }) => Accepted {
                pipeline,
                run: true,
                reason: why,
            },
            (Enqueued::New(_), Begin::Skipped { why }) => Accepted {
                pipeline,
                run: false,
                reason: why,
            },
        })
    }

    /// A repository's own secret speaks for it and for no other; the forge's for all that have none.
    fn may_sign(&self, forge: ForgeKind, name: &str, repo: Option<&Repo>, signer: Signer) -> Result<(), NotTaken> {
        let fits = match (signer, repo) {
            (Signer::Forge, Some(repo)) => !self.inner.forges.has_own_secret(forge, repo.id),
            (Signer::Forge, None) => true,
            (Signer::Repo(id), Some(repo)) => id == repo.id,
            (Signer::Repo(_), None) => false,
        };
        if fits {
            Ok(())
        } else {
            Err(NotTaken::ForeignSecret { repo: name.to_owned() })
        }
    }

    async fn add_on_first_delivery(&self, forge: ForgeKind, trigger: &Trigger) -> Result<Repo, StoreError> {
        let new = NewRepo {
            forge,
            name: trigger.repo.clone(),
            clone_url: None,
            default_branch: trigger.default_branch.clone(),
            webhook_secret: None,
            dialect: None,
            added_by: AddedBy::FirstDelivery,
        };
        tracing::info!(%forge, repo = trigger.repo, "added by its first delivery");
        self.inner.store.put_repo(&new).await
    }

    /// The trigger with what the operator set for the repository.
    fn as_configured(&self, repo: &Repo, trigger: &Trigger) -> Trigger {
        let mut trigger = trigger.clone();
        if let Some(url) = &repo.clone_url {
            trigger.clone_url = Some(url.clone());
        }
        trigger
    }

    /// Whether an event of this repository may start now. Every way to a pipeline asks here: webhook, re-run, manual.
    pub(super) async fn begin(&self, repo: &Repo, trigger: &Trigger) -> Result<Begin, StoreError> {
        if !trigger.trust.must_wait_for_approval() {
            return Ok(Begin::Queued);
        }
        let approved = self
            .inner
            .store
            .approval(repo.id, trigger.commit.as_str())
            .await?
            .is_some();
        Ok(if approved {
            Begin::Queued
        } else {
            Begin::Waiting {
                why: waits_for_approval(trigger),
            }
        })
    }

    pub(super) async fn enqueue(
        &self,
        repo: &Repo,
        trigger: Arc<Trigger>,
        begin: Begin,
        delivery: Option<String>,
        rerun_of: Option<u64>,
    ) -> Result<Enqueued, StoreError> {
        let config = &self.inner.config;
        let status = match &begin {
            Begin::Queued => Some(words::first(config, &trigger, Status::Queued, None)),
            Begin::Waiting { why } => Some(words::first(config, &trigger, Status::Waiting, Some(why))),
            // Whoever asks to skip asks for silence, too.
            Begin::Skipped { .. } => None,
        };
        let new = NewPipeline {
            repo: repo.id,
            trigger,
            delivery,
            begin,
            rerun_of,
            status,
        };
        let enqueued = self.inner.store.enqueue(&new).await?;
        if let Enqueued::New(pipeline) = enqueued {
            let trigger = &new.trigger;
            tracing::info!(pipeline, repo = trigger.repo, event = trigger.event.kind(), commit = %trigger.commit, "accepted");
            metrics::counter!("drydock_pipelines_accepted_total", "event" => trigger.event.kind()).increment(1);
            self.inner.queue.notify_one();
            self.inner.outbox.notify_one();
        }
        Ok(enqueued)
    }
}

/// How far the trigger of a claimed pipeline is trusted now that approvals are known.
pub(super) fn trust_now(trigger: &Trigger, approved: bool) -> Option<Trust> {
    match (trigger.trust.must_wait_for_approval(), approved) {
        (false, _) => Some(trigger.trust),
        (true, true) => Some(Trust::ForkApproved),
        (true, false) => None,
    }
}

pub(super) fn waits_for_approval(trigger: &Trigger) -> String {
    let from = match &trigger.event {
        crate::event::Event::PullRequest(request) => format!("a pull request from the fork `{}`", request.source_repo),
        crate::event::Event::Push { .. }
        | crate::event::Event::Tag { .. }
        | crate::event::Event::Schedule { .. }
        | crate::event::Event::Manual { .. } => "an event that is not trusted".to_owned(),
    };
    format!("{from} waits for approval of commit {}", trigger.commit.short())
}

fn unknown_repo(forge: ForgeKind, name: &str) -> String {
    format!(
        "the repository `{name}` is not known here: `drydock repo add {forge}:{name}` adds it, \
         `forges.{forge}.add_repos = true` adds each on its first delivery"
    )
}
