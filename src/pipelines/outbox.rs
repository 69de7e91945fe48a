//! Telling commits: each status is sent until its forge has it, the newest for each commit and context, and no run waits.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Pipelines, words};
use crate::config::{QUEUE_LOOK_SECONDS, STATUS_KEPT_HOURS, STATUS_SECONDS_MAX, STATUSES_AT_ONCE};
use crate::event::ForgeKind;
use crate::forge::{Blame, ForgeError, StatusUpdate, wait_before_retry};
use crate::stop::Stop;
use crate::store::DueStatus;

/// What became of one try.
enum Sent {
    Delivered,
    Again {
        why: String,
        wait: Duration,
    },
    Never {
        why: String,
    },
    /// The operator set no token; the start said so.
    NobodyToTell {
        why: String,
    },
}

impl Pipelines {
    pub(super) async fn tell_commits(self, stop: Stop) {
        let mut on_their_way: HashSet<u64> = HashSet::new();
        let mut closed_until: HashMap<ForgeKind, Instant> = HashMap::new();
        let mut sending: JoinSet<(u64, ForgeKind, Option<Duration>)> = JoinSet::new();
        loop {
            let room = STATUSES_AT_ONCE.saturating_sub(sending.len());
            if room > 0 && !stop.is_asked() {
                // More than there is room for, because some wait for a forge that asked for patience.
                let due = self.inner.store.due_statuses(256).await.unwrap_or_else(|error| {
                    tracing::warn!("{}", error.chain());
                    vec![]
                });
                let now = self.inner.clock.instant();
                let may_go = |due: &DueStatus| {
                    !on_their_way.contains(&due.id) && closed_until.get(&due.forge).is_none_or(|until| *until <= now)
                };
                let chosen: Vec<DueStatus> = due.into_iter().filter(may_go).take(room).collect();
                for due in chosen {
                    on_their_way.insert(due.id);
                    let pipelines = self.clone();
                    sending.spawn(async move { pipelines.send(due).await });
                }
            }
            tokio::select! {
                Some(sent) = sending.join_next() => match sent {
                    Ok((id, forge, patience)) => {
                        on_their_way.remove(&id);
                        if let Some(patience) = patience {
                            closed_until.insert(forge, self.inner.clock.instant() + patience);
                        }
                    }
                    Err(panic) => {
                        tracing::error!("Drydock itself failed (please report it): {panic}");
                        // Whose it was is not known; those that are still on their way only wait a little longer.
                        on_their_way.clear();
                    }
                },
                () = self.inner.outbox.notified() => {}
                () = tokio::time::sleep(Duration::from_secs(QUEUE_LOOK_SECONDS).min(Duration::from_secs(1))) => {}
                () = stop.asked(), if sending.is_empty() => return,
            }
            if stop.is_asked() && sending.is_empty() {
                return;
            }
        }
    }

    /// The status' id, its forge, and how long that forge asked to be left alone.
    async fn send(&self, due: DueStatus) -> (u64, ForgeKind, Option<Duration>) {
        let (sent, patience) = self.try_to_send(&due).await;
        let (id, version, pipeline) = (due.id, due.version, due.pipeline);
        let noted = match sent {
            Sent::Delivered => {
                tracing::debug!(pipeline, status = %due.note.status, "the commit was told");
                metrics::counter!("drydock_statuses_total", "result" => "delivered").increment(1);
                self.inner.store.status_delivered(id, version).await
            }
            Sent::Again { why, wait } => {
                tracing::warn!(pipeline, tries = due.tries + 1, "the commit is not told yet: {why}");
                metrics::counter!("drydock_statuses_total", "result" => "retried").increment(1);
                self.inner.store.status_failed(id, version, &why, Some(wait)).await
            }
            Sent::NobodyToTell { why } => {
                tracing::debug!(pipeline, "the commit is not told: {why}");
                self.inner.store.status_failed(id, version, &why, None).await
            }
            Sent::Never { why } => {
                tracing::error!(pipeline, "the commit is not told: {why}");
                metrics::counter!("drydock_statuses_total", "result" => "given_up").increment(1);
                self.inner.store.status_failed(id, version, &why, None).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(pipeline, "{}", error.chain());
        }
        (id, due.forge, patience)
    }

    async fn try_to_send(&self, due: &DueStatus) -> (Sent, Option<Duration>) {
        let Some(forge) = self.inner.forges.for_repo(due.forge, &due.repo) else {
            return (
                Sent::Never {
                    why: format!("no client for {}", due.forge),
                },
                None,
            );
        };
        let update = StatusUpdate {
            repo: due.repo.clone(),
            sha: due.sha.clone(),
            branch: due.git_name.clone().filter(|name| !name.is_empty()),
            state: words::state(due.note.status),
            context: due.note.context.clone(),
            description: due.note.description.clone(),
            target_url: self.page(due.pipeline),
        };
        let error = match tokio::time::timeout(Duration::from_secs(STATUS_SECONDS_MAX), forge.set_status(&update)).await
        {
            Ok(Ok(())) => return (Sent::Delivered, None),
            Ok(Err(error)) => error,
            Err(_) => {
                let why = format!("{} did not answer within {STATUS_SECONDS_MAX} s", due.forge);
                return (self.again(due, why, None), None);
            }
        };
        let why = chain(&error);
        let patience = error.retry_after();
        let sent = match (error.blame(), &error) {
            (_, ForgeError::NoToken { .. }) => Sent::NobodyToTell { why },
            (Blame::Update, _) => Sent::Never { why },
            (Blame::Forge | Blame::Settings, _) => self.again(due, why, patience),
        };
        (sent, patience)
    }

    fn again(&self, due: &DueStatus, why: String, patience: Option<Duration>) -> Sent {
        let age = self.inner.clock.now().duration_since(due.since);
        if age.as_hours().unsigned_abs() >= STATUS_KEPT_HOURS {
            return Sent::Never {
                why: format!("{why}; tried for {STATUS_KEPT_HOURS} hours"),
            };
        }
        Sent::Again {
            why,
            wait: wait_before_retry(due.tries + 1, chance(), patience),
        }
    }
}

/// A number from 0 to 1 that differs each time.
fn chance() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high as f64 / u64::MAX as f64
}

/// The error with its causes, one line.
fn chain(error: &ForgeError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
