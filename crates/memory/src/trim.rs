//! Returning freed heap memory to the system: when to ask the allocator for it, and how much stays behind.
//!
//! The debouncer is pure; the call and the measure are the only I/O. Knows nothing of components. Invariant:
//! every unload that frees enough is followed by a trim within the longest delay, and trims keep their
//! distance.

mod allocator;
mod program;

pub use program::release_program;

pub use allocator::{
    AllocatorUsage, TrimOutcome, UnreturnedMeter, allocator_usage, bound_heaps, bound_retained,
    trim_allocator,
};

use std::time::Duration;

use majordomo_core::{ByteSize, Moment};

/// When to trim after unloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimConfig {
    /// No unload for this long: a burst is over. Default 500 ms.
    pub quiet: Duration,
    /// At most this long after the first unload, however many follow. Default 5 s.
    pub longest: Duration,
    /// Between two trims at least. Default 2 s.
    pub distance: Duration,
    /// Less freed than this is left to the allocator. Default 1 MiB.
    pub least: ByteSize,
}

impl Default for TrimConfig {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            distance: Duration::from_secs(2),
            least: ByteSize::mib(1),
        }
    }
}

/// Turns unloads of in-process components into few trims.
#[derive(Clone, Debug, Default)]
pub struct TrimDebounce {
    config: TrimConfig,
    freed: ByteSize,
    first: Option<Moment>,
    latest: Moment,
    not_before: Moment,
    urgent: bool,
}

impl TrimDebounce {
    /// Nothing to do yet.
    #[must_use]
    pub fn new(config: TrimConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Records the unload of an in-process component with so many bytes booked.
    pub fn unloaded(&mut self, bytes: ByteSize, now: Moment) {
        self.freed += bytes;
        self.first.get_or_insert(now);
        self.latest = now;
    }

    /// Makes the next trim due without waiting for quiet, since memory is short.
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// When to trim; none while too little was freed.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let first = self.first.filter(|_| self.freed >= self.config.least)?;
        let due = if self.urgent {
            first
        } else {
            (self.latest + self.config.quiet).min(first + self.config.longest)
        };
        Some(due.max(self.not_before))
    }

    /// Whether to trim now. After `true` the caller must trim: the debouncer counts it as done.
    pub fn take(&mut self, now: Moment) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.freed = ByteSize::ZERO;
            self.first = None;
            self.urgent = false;
            self.not_before = now + self.config.distance;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: ByteSize = ByteSize::mib(1);

    fn at(ms: u64) -> Moment {
        Moment(ms * 1000)
    }

    #[test]
    fn one_trim_after_a_burst() {
        let mut d = TrimDebounce::new(TrimConfig::default());
        assert_eq!(d.due(), None);
        for ms in [0, 100, 400] {
            d.unloaded(MIB, at(ms));
            assert!(!d.take(at(ms)));
        }
        assert_eq!(d.due(), Some(at(900)));
        assert!(!d.take(at(899)));
        assert!(d.take(at(900)));
        assert!(!d.take(at(900)));
        assert_eq!(d.due(), None);
    }

    #[test]
    fn a_stream_of_unloads_does_not_put_it_off_for_ever() {
        let mut d = TrimDebounce::new(TrimConfig::default());
        let trims: Vec<u64> = (0..200)
            .map(|i| i * 100)
            .filter(|&ms| {
                d.unloaded(MIB, at(ms));
                d.take(at(ms))
            })
            .collect();
        assert_eq!(trims, [5000, 10_100, 15_200]);
    }

    #[test]
    fn little_waits_and_hurry_keeps_the_distance() {
        let mut d = TrimDebounce::new(TrimConfig::default());
        d.unloaded(ByteSize::kib(600), at(0));
        assert_eq!(d.due(), None);
        d.unloaded(ByteSize::kib(600), at(60_000));
        d.hurry();
        assert!(d.take(at(60_000)));
        d.unloaded(MIB, at(60_100));
        d.hurry();
        assert_eq!(d.due(), Some(at(62_000)));
        assert!(d.take(at(62_000)));
    }
}
