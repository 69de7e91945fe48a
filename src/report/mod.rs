//! Reports: what people and programs are shown of a pipeline, each a fold over its events.
//!
//! `view` is the state that the folds share; `tree`, `plain` and `json` are the three outputs of the command line.
//! Must not know the server or the command line's arguments.

pub mod ansi;
pub mod json;
pub mod live;
pub mod plain;
pub mod schema;
pub mod tree;
pub mod view;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::clock::Clock;
use crate::engine::{EVENT_VERSION, EventKind, Observer, PipelineEvent};

/// Something that shows events as they come.
pub trait Show: Send {
    fn show(&mut self, event: &PipelineEvent);

    /// Called once, after the last event.
    fn finish(&mut self) {}
}

/// Numbers and dates events and hands them to one output, in order.
pub struct Teller {
    pipeline: u64,
    clock: Arc<dyn Clock>,
    state: Mutex<(u64, Box<dyn Show>)>,
}

impl Teller {
    pub fn new(pipeline: u64, clock: Arc<dyn Clock>, show: Box<dyn Show>) -> Self {
        Teller {
            pipeline,
            clock,
            state: Mutex::new((0, show)),
        }
    }

    pub fn finish(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.finish();
    }
}

#[async_trait]
impl Observer for Teller {
    async fn tell(&self, events: Vec<EventKind>) {
        let at = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in events {
            state.0 += 1;
            let event = PipelineEvent {
                v: EVENT_VERSION,
                seq: state.0,
                at,
                pipeline: self.pipeline,
                kind,
            };
            state.1.show(&event);
        }
    }
}
