//! The clock of this crate: a bound on the time of calls that wait for a device, and how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends calls of a [`Pager`](crate::Pager) that are under way on another thread, as if their time were over. Clones end the
/// same calls.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends them, and those that begin later.
    pub fn end(&self) {
        // Nothing else depends on it.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A span of time that began and may run out, or be ended.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    start: Instant,
    limit: Duration,
    stop: Stop,
}

impl Limit {
    #[expect(
        clippy::disallowed_methods,
        reason = "a device that stalls can only be bounded by a clock"
    )]
    pub(crate) fn begin(limit: Duration, stop: Stop) -> Self {
        Self { start: Instant::now(), limit, stop }
    }

    pub(crate) fn took(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn left(&self) -> Duration {
        if self.stop.is_ended() { Duration::ZERO } else { self.limit.saturating_sub(self.took()) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}
