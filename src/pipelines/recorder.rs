//! From what the engine tells to what is stored: numbered, dated, stored before anybody is shown it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Pipelines, words};
use crate::config::{LOG_FLUSH_BYTES, LOG_FLUSH_MILLISECONDS};
use crate::engine::{EVENT_VERSION, EventKind, Observer, PipelineEvent, Status};
use crate::report::view::PipelineView;
use crate::stop::Stop;
use crate::store::{Claim, StatusNote, StoreError};

/// Between tries when the store cannot be written.
const STORE_WAIT: Duration = Duration::from_millis(200);
const STORE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Records one claimed pipeline. While it stores, whoever tells it waits: a full disk holds steps back, it loses nothing.
pub(super) struct Recorder {
    shared: Arc<Shared>,
    /// Ends the task that stores log lines which wait.
    _flushing: DropGuard,
}

struct Shared {
    pipelines: Pipelines,
    claim: Claim,
    stop: Stop,
    ledger: Mutex<Ledger>,
    /// Log lines wait.
    waiting: Notify,
    /// Nothing more is recorded: another has the pipeline, or it is at rest.
    closed: AtomicBool,
    /// Asked when this process ends: what the engine tells from then on is the shutdown's doing, not the pipeline's.
    shutdown: Stop,
    /// The shutdown's own words are recorded all the same.
    is_last_word: AtomicBool,
}

struct Ledger {
    next_seq: u64,
    unsaved: Vec<PipelineEvent>,
    unsaved_bytes: usize,
    view: PipelineView,
    note: Option<StatusNote>,
}

impl Recorder {
    /// * `view`: how the pipeline stood so far. * `stop`: of the pipeline; forced when the claim is lost.
    /// * `shutdown`: once it is asked, what the engine tells is not recorded any more.
    pub fn new(pipelines: Pipelines, claim: Claim, view: PipelineView, stop: Stop, shutdown: Stop) -> Arc<Self> {
        let ledger = Ledger {
            next_seq: claim.last_seq + 1,
            unsaved: vec![],
            unsaved_bytes: 0,
            view,
            note: None,
        };
        let shared = Arc::new(Shared {
            pipelines,
            claim,
            stop,
            ledger: Mutex::new(ledger),
            waiting: Notify::new(),
            closed: AtomicBool::new(false),
            shutdown,
            is_last_word: AtomicBool::new(false),
        });
        let end = CancellationToken::new();
        tokio::spawn(store_waiting_lines(shared.clone(), end.clone()));
        Arc::new(Recorder {
            shared,
            _flushing: end.drop_guard(),
        })
    }

    /// Stores what waits. From then on nothing is recorded.
    pub async fn close(&self) {
        let mut ledger = self.shared.ledger.lock().await;
        self.shared.save(&mut ledger).await;
        self.shared.closed.store(true, Ordering::SeqCst);
    }

    /// From now on only the caller's own words are recorded.
    pub fn interrupt(&self) {
        self.shared.is_last_word.store(true, Ordering::SeqCst);
    }

    /// The claim as it stands now, for whoever goes on with the pipeline.
    pub async fn claim(&self) -> Claim {
        let ledger = self.shared.ledger.lock().await;
        Claim {
            last_seq: ledger.next_seq - 1,
            ..self.shared.claim.clone()
        }
    }

    pub async fn view(&self) -> PipelineView {
        self.shared.ledger.lock().await.view.clone()
    }

    /// Whether the pipeline's end is stored.
    pub async fn is_over(&self) -> bool {
        self.shared.ledger.lock().await.view.status.is_final()
    }
}

#[async_trait]
impl Observer for Recorder {
    async fn tell(&self, events: Vec<EventKind>) {
        self.shared.tell(events).await;
    }
}

impl Shared {
    async fn tell(&self, events: Vec<EventKind>) {
        let mut ledger = self.ledger.lock().await;
        let is_muted = self.shutdown.is_asked() && !self.is_last_word.load(Ordering::SeqCst);
        if is_muted || self.closed.load(Ordering::SeqCst) {
            return;
        }
        let at = to_milliseconds(self.pipelines.clock().now());
        let mut is_urgent = false;
        for kind in events {
            is_urgent |= !matches!(kind, EventKind::Log { .. });
            let seq = ledger.next_seq;
            let event = PipelineEvent {
                v: EVENT_VERSION,
                seq,
                at,
                pipeline: self.claim.pipeline,
                kind,
            };
            ledger.next_seq += 1;
            ledger.take(event);
            if let Some(PipelineEvent { kind, .. }) = ledger.unsaved.last()
                && is_told_to_the_commit(kind)
            {
                let (config, trigger) = (self.pipelines.config(), &self.claim.trigger);
                let description = words::description(&ledger.view);
                ledger.note = Some(words::note(config, trigger, ledger.view.status, description));
            }
        }
        if is_urgent || ledger.unsaved_bytes >= LOG_FLUSH_BYTES {
            self.save(&mut ledger).await;
        } else {
            self.waiting.notify_one();
        }
    }

    /// Stores all that waits, however long that takes; gives up only when the pipeline is another's.
    async fn save(&self, ledger: &mut Ledger) {
        if ledger.unsaved.is_empty() || self.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ledger { unsaved, note, .. } = ledger;
        let last = unsaved.last().map_or(0, |event| event.seq);
        let pipeline = self.claim.pipeline;
        let store = self.pipelines.store();
        let mut wait = STORE_WAIT;
        loop {
            match store.append(&self.claim, unsaved, note.as_ref()).await {
                Ok(()) => break,
                // An earlier try was stored although it was answered with an error.
                Err(StoreError::OutOfOrder { stored, .. }) if stored == last => break,
                Err(error) if error.is_refusal() => {
                    tracing::error!(pipeline, "giving the pipeline up: {}", error.chain());
                    self.closed.store(true, Ordering::SeqCst);
                    self.stop.force();
                    break;
                }
                Err(error) => {
                    tracing::warn!(pipeline, "holding the pipeline back: {}", error.chain());
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(STORE_WAIT_MAX);
                }
            }
        }
        ledger.unsaved.clear();
        ledger.unsaved_bytes = 0;
        self.pipelines.inner.live.tell(pipeline);
        if ledger.note.take().is_some() {
            self.pipelines.inner.outbox.notify_one();
        }
    }
}

impl Ledger {
    fn take(&mut self, event: PipelineEvent) {
        match &event.kind {
            // Lines change nothing that a commit is told.
            EventKind::Log { line, .. } => self.unsaved_bytes += line.len() + 32,
            EventKind::PipelineStarted { .. }
            | EventKind::PipelineFinished { .. }
            | EventKind::JobQueued { .. }
            | EventKind::JobStarted { .. }
            | EventKind::JobSkipped { .. }
            | EventKind::JobFinished { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepFinished { .. }
            | EventKind::Annotation { .. }
            | EventKind::ImageBuilt { .. }
            | EventKind::ImagePushed { .. } => self.view.apply(&event),
        }
        self.unsaved.push(event);
    }
}

/// The commit hears when its pipeline begins and ends, and of the first job that failed.
fn is_told_to_the_commit(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::PipelineStarted { .. } | EventKind::PipelineFinished { .. }
    )
}

/// Stored times have milliseconds; what is shown live is what is stored.
fn to_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Lines that nobody else stores are stored soon.
async fn store_waiting_lines(shared: Arc<Shared>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = shared.waiting.notified() => {}
            () = end.cancelled() => return,
        }
        tokio::time::sleep(Duration::from_millis(LOG_FLUSH_MILLISECONDS)).await;
        let mut ledger = shared.ledger.lock().await;
        shared.save(&mut ledger).await;
    }
}

/// The end of a pipeline that the engine never saw.
pub(super) fn ended(status: Status, why: String) -> EventKind {
    EventKind::PipelineFinished {
        status,
        duration_ms: 0,
        why: Some(why),
    }
}
