//! Stopping: one value that says "end now, politely" and then "end at once".
//!
//! Cancel and clean-up have different lifetimes: clean-up code takes no `Stop`.

use tokio_util::sync::CancellationToken;

/// Handed down to whatever can take long. The first stage asks for an orderly end (TERM, grace, KILL);
/// the second takes the grace away.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    politely: CancellationToken,
    at_once: CancellationToken,
}

impl Stop {
    pub fn new() -> Self {
        Stop::default()
    }

    /// A stop that its parent's stop also triggers, but not the other way round.
    pub fn child(&self) -> Self {
        Stop {
            politely: self.politely.child_token(),
            at_once: self.at_once.child_token(),
        }
    }

    /// Asks for an orderly end. Idempotent.
    pub fn ask(&self) {
        self.politely.cancel();
    }

    /// Takes the grace away. Idempotent.
    pub fn force(&self) {
        self.politely.cancel();
        self.at_once.cancel();
    }

    pub fn is_asked(&self) -> bool {
        self.politely.is_cancelled()
    }

    pub fn is_forced(&self) -> bool {
        self.at_once.is_cancelled()
    }

    /// Completes when an end was asked for.
    pub async fn asked(&self) {
        self.politely.cancelled().await;
    }

    /// Completes when the grace was taken away.
    pub async fn forced(&self) {
        self.at_once.cancelled().await;
    }
}
