//! The clock of this crate: a bound on the time of calls that wait for a device, and how long they took.

use std::time::{Duration, Instant};

/// A span of time that began and may run out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    start: Instant,
    limit: Duration,
}

impl Limit {
    #[expect(
        clippy::disallowed_methods,
        reason = "a device that stalls can only be bounded by a clock"
    )]
    pub(crate) fn begin(limit: Duration) -> Self {
        Self { start: Instant::now(), limit }
    }

    pub(crate) fn took(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.took())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}
