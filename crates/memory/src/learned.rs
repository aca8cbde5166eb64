//! Memory figures learned by measuring one component, and what is booked by them.
//!
//! Two figures matter: the *load peak* (the highest figure while the component loads) and the *working peak* (the
//! highest while it is in use). Each is estimated from the peaks of the last [`WINDOW`] intervals: the larger of the
//! last two, or the second largest of all, whichever is more. A new peak is thus believed at once; one high outlier
//! is forgotten after two ordinary intervals, one low outlier changes nothing, and a lasting fall is followed within
//! the window. An order statistic of interval peaks instead of their maximum is what autoscalers reserve by: the
//! Kubernetes Vertical Pod Autoscaler takes the 90th percentile of decayed peaks, Autopilot (Rzadca et al., EuroSys
//! 2020) offers both. A window that keeps the second best beside the best is the windowed maximum filter of
//! K. Nichols, as in Linux `lib/win_minmax.c`.
//!
//! Knows neither states nor the ledger: the caller decides when it measures.

use std::time::Duration;

use majordomo_core::ByteSize;

/// Intervals that are remembered.
pub const WINDOW: usize = 8;

/// A first working peak is believed to be complete when the component has been in use for this long.
const FIRST_USE: Duration = Duration::from_secs(10);

/// The highest figures of the last intervals, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    seen: [ByteSize; WINDOW],
    n: usize,
    /// The newest interval has not ended.
    open: bool,
}

impl Peaks {
    /// The peaks of intervals that have ended, oldest first; of more than [`WINDOW`] the newest.
    pub fn ended(peaks: impl IntoIterator<Item = ByteSize>) -> Self {
        let mut new = Self::default();
        for bytes in peaks {
            new.record(bytes);
            new.end();
        }
        new
    }

    /// Records a figure of the open interval, or begins one.
    pub fn record(&mut self, bytes: ByteSize) {
        if self.open {
            let newest = &mut self.seen[self.n - 1];
            *newest = bytes.max(*newest);
            return;
        }
        if self.n == WINDOW {
            self.seen.rotate_left(1);
        } else {
            self.n += 1;
        }
        self.seen[self.n - 1] = bytes;
        self.open = true;
    }

    /// Ends the open interval.
    pub fn end(&mut self) {
        self.open = false;
    }

    /// The remembered peaks, oldest first.
    #[must_use]
    pub fn seen(&self) -> &[ByteSize] {
        &self.seen[..self.n]
    }

    /// The bytes that the next interval is expected to need; none before the first figure.
    #[must_use]
    pub fn estimate(&self) -> Option<ByteSize> {
        let seen = self.seen();
        let latest = seen.iter().rev().take(2).max()?;
        let mut sorted = self.seen;
        let sorted = &mut sorted[..self.n];
        sorted.sort_unstable();
        let second = sorted.iter().rev().nth(1).unwrap_or(latest);
        Some(*latest.max(second))
    }

    fn is_first(&self) -> bool {
        self.n == 1 && self.open
    }
}

/// Bytes that a component is expected to need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// From the start of its load until it is ready; never less than `settled`.
    pub load: ByteSize,
    /// The peak of the load itself, whatever the use after it needs; never less than `held`.
    pub starting: ByteSize,
    /// From ready on.
    pub settled: ByteSize,
    /// Held even when the component is not in use; the least with which it can be loaded.
    pub held: ByteSize,
}

/// The memory figures learned of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    load: Peaks,
    ready: Option<ByteSize>,
    working: Peaks,
    /// The first interval of use has lasted long enough to stand for those to come.
    used_for_long: bool,
}

impl Learned {
    /// The figures of an earlier process.
    #[must_use]
    pub fn restored(load: Peaks, ready: Option<ByteSize>, working: Peaks) -> Self {
        Self { load, ready, working, used_for_long: false }
    }

    /// From a record that held one peak for everything: it bounds both peaks.
    #[must_use]
    pub fn of_one_peak(peak: ByteSize) -> Self {
        Self::restored(Peaks::ended([peak]), None, Peaks::ended([peak]))
    }

    /// Whether nothing was learned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The peaks of the last loads.
    #[must_use]
    pub fn loads(&self) -> &Peaks {
        &self.load
    }

    /// The peaks of the last intervals of use.
    #[must_use]
    pub fn uses(&self) -> &Peaks {
        &self.working
    }

    /// The last figure taken while it was ready and not used yet.
    #[must_use]
    pub fn ready(&self) -> Option<ByteSize> {
        self.ready
    }

    /// The peak that its next load is expected to have.
    #[must_use]
    pub fn load_peak(&self) -> Option<ByteSize> {
        self.load.estimate()
    }

    /// The peak that its next use is expected to have.
    #[must_use]
    pub fn working_peak(&self) -> Option<ByteSize> {
        self.working.estimate()
    }

    /// The highest of the three figures.
    #[must_use]
    pub fn peak(&self) -> Option<ByteSize> {
        self.load_peak().max(self.working_peak()).max(self.ready)
    }

    /// Records a figure of a load under way.
    pub fn record_loading(&mut self, bytes: ByteSize) {
        self.load.record(bytes);
    }

    /// Records a load that ended well: its peak, and the bytes that the component holds after it.
    pub fn record_loaded(&mut self, peak: Option<ByteSize>, ready: Option<ByteSize>) {
        if let Some(bytes) = peak.max(ready) {
            self.load.record(bytes);
        }
        self.load.end();
        self.working.end();
        self.ready = ready.or(self.ready);
    }

    /// Records a figure of a component that is ready and has not been used since its load.
    pub fn record_unused(&mut self, bytes: ByteSize) {
        self.ready = Some(bytes);
    }

    /// Records a figure of a component that has been in use for `used_for`.
    pub fn record_in_use(&mut self, bytes: ByteSize, used_for: Duration) {
        self.working.record(bytes);
        self.used_for_long |= used_for >= FIRST_USE;
    }

    /// Ends an interval of use, whether or not the component stays loaded.
    pub fn end_interval(&mut self) {
        self.working.end();
    }

    /// Raises the expected peak of the next load after one that ran out of memory.
    pub fn raise_load(&mut self, to: ByteSize) {
        self.load.record(to);
        self.load.end();
    }

    /// Raises the expected peak of the next use after one that ran out of memory.
    pub fn raise_working(&mut self, to: ByteSize) {
        self.working.record(to);
        self.working.end();
    }

    /// The bytes to book for the component. The declared memory, times `margin` until a figure was measured, stands for
    /// figures that were not measured yet; it remains the least that is expected of a use until a first use was measured.
    #[must_use]
    pub fn needs(&self, declared: ByteSize, margin: f64) -> Needs {
        let estimate = declared.scaled(margin.max(1.0));
        let settled = match (self.working_peak(), self.ready) {
            (Some(peak), _) if self.working.is_first() && !self.used_for_long => peak.max(declared),
            (Some(peak), _) => peak,
            (None, Some(ready)) => ready.max(declared),
            (None, None) => estimate,
        };
        let held = self.ready.unwrap_or(estimate).min(settled);
        let starting = self.load_peak().unwrap_or(estimate).max(held);
        Needs { load: starting.max(settled), starting, settled, held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mib(n: u64) -> ByteSize {
        ByteSize::mib(n)
    }

    fn estimate(peaks: &[u64]) -> u64 {
        Peaks::ended(peaks.iter().map(|n| mib(*n))).estimate().map_or(0, |b| b.0 >> 20)
    }

    #[test]
    fn peak_estimate_rises_at_once_and_one_outlier_in_either_direction_is_forgotten() {
        for (peaks, want) in [
            (&[][..], 0),
            (&[133], 133),
            (&[133, 7], 133),
            (&[133, 7, 7], 7),
            (&[100, 100, 300], 300),
            (&[100, 100, 300, 100], 300),
            (&[100, 100, 300, 100, 100], 100),
            (&[100, 100, 20], 100),
            // Seen twice in the window: no outlier.
            (&[300, 100, 100, 300, 100, 100], 300),
            // A lasting fall is followed once the window has one old peak left.
            (&[100, 100, 100, 100, 100, 100, 100, 20, 20, 20, 20, 20, 20], 100),
            (&[100, 100, 100, 100, 100, 100, 100, 20, 20, 20, 20, 20, 20, 20], 20),
        ] {
            assert_eq!(estimate(peaks), want, "{peaks:?}");
        }
    }

    #[test]
    fn open_interval_keeps_its_highest_figure() {
        let mut p = Peaks::ended([mib(10), mib(10)]);
        for n in [50, 20, 40] {
            p.record(mib(n));
        }
        assert_eq!(p.seen(), [mib(10), mib(10), mib(50)]);
        p.end();
        p.record(mib(20));
        assert_eq!(p.seen().len(), 4);
    }

    #[test]
    fn margin_ends_when_measured_and_the_declared_memory_when_used() {
        let needs = |l: &Learned| {
            let n = l.needs(mib(100), 1.2);
            [n.load, n.settled, n.held].map(|b| b.0 >> 20)
        };
        let mut l = Learned::default();
        assert_eq!(needs(&l), [120, 120, 120]);
        l.record_loaded(Some(mib(60)), Some(mib(20)));
        assert_eq!(needs(&l), [100, 100, 20]);
        l.record_in_use(mib(30), Duration::from_secs(1));
        assert_eq!(needs(&l), [100, 100, 20], "a use of a second may not have shown all");
        l.record_in_use(mib(30), Duration::from_secs(10));
        assert_eq!(needs(&l), [60, 30, 20]);
        l.record_in_use(mib(553), Duration::from_secs(12));
        assert_eq!(needs(&l), [553, 553, 20]);
        assert_eq!(needs(&Learned::of_one_peak(mib(300))), [300, 300, 120]);
    }

    #[test]
    fn an_ended_use_is_believed_however_short_it_was() {
        let mut l = Learned::default();
        l.record_loaded(None, Some(mib(20)));
        l.record_in_use(mib(30), Duration::from_secs(1));
        l.record_loaded(None, Some(mib(20)));
        assert_eq!(l.needs(mib(100), 1.2).settled, mib(30));
    }
}
