//! Time, as a value that is handed in. Sole owner of `SystemTime` in the form of [`jiff::Timestamp`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Wall-clock time for people and records; monotonic time for durations and deadlines.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    fn instant(&self) -> Instant;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place where time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

pub fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Milliseconds of a duration, as records keep them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
