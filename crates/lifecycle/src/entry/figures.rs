//! Measurements of one component: memory and load time, over incarnations, and the state of its own limit.

use std::time::Duration;

use majordomo_core::{ByteSize, Moment, learned_time};
use majordomo_memory::{Learned, Needs};

use crate::LoadReport;

/// A working peak is taken over this long, or over an incarnation that is shorter.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Learned figures, and the measurements of the incarnation that they are learned from.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    learned: Learned,
    load_time: Option<Duration>,
    /// When the incarnation was first used; none = not yet.
    first_use: Option<Moment>,
    /// When the interval began that its working peak is measured over.
    interval_since: Moment,
    /// Since when a demand for it is refused for a measured figure.
    too_large_since: Option<Moment>,
    /// Since when it was measured above its own limit each time.
    over_limit_since: Option<Moment>,
    trimmed_at: Option<Moment>,
    trim_failed: bool,
}

impl Figures {
    /// Learned memory, in this process or an earlier one.
    #[must_use]
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Learned load time.
    #[must_use]
    pub fn load_time(&self) -> Option<Duration> {
        self.load_time
    }

    /// Needs by these figures, or by the declared memory with a margin.
    #[must_use]
    pub fn needs(&self, declared: ByteSize, margin: f64) -> Needs {
        self.learned.needs(declared, margin)
    }

    /// Since when a demand is refused for a measured figure.
    #[must_use]
    pub fn too_large_since(&self) -> Option<Moment> {
        self.too_large_since
    }

    /// A demand was refused for a measured figure.
    pub fn refused_as_too_large(&mut self, now: Moment) {
        self.too_large_since.get_or_insert(now);
    }

    /// Takes over what an earlier process learned.
    pub fn restore(&mut self, learned: Learned, load_time: Option<Duration>) {
        (self.learned, self.load_time, self.too_large_since) = (learned, load_time, None);
    }

    /// Forgets everything learned: it belongs to an older configuration.
    pub fn forget(&mut self) {
        self.restore(Learned::default(), None);
    }

    /// The incarnation is in use.
    pub fn used(&mut self, now: Moment) {
        self.first_use.get_or_insert(now);
    }

    /// Since when the incarnation is in use.
    #[must_use]
    pub fn first_use(&self) -> Option<Moment> {
        self.first_use
    }

    /// A load took so long; a new incarnation begins. Its report teaches unless it is `outdated`.
    pub(crate) fn loaded(
        &mut self,
        took: Duration,
        report: LoadReport,
        outdated: bool,
        now: Moment,
    ) {
        self.load_time = Some(learned_time(self.load_time, took));
        self.interval_since = now;
        (self.first_use, self.too_large_since, self.over_limit_since) = (None, None, None);
        self.trim_failed = false;
        if !outdated {
            self.learned.record_loaded(report.peak, report.measured);
        }
    }

    /// It is ready again after a wake: its next use is the first after it.
    pub(crate) fn woken(&mut self) {
        (self.first_use, self.over_limit_since, self.trim_failed) = (None, None, false);
    }

    /// Measured while it loads.
    pub(crate) fn measured_loading(&mut self, bytes: ByteSize) {
        self.learned.record_loading(bytes);
    }

    /// Measured while it is up, in use for so long; none = not used yet.
    pub(crate) fn measured_up(
        &mut self,
        bytes: ByteSize,
        in_use_for: Option<Duration>,
        now: Moment,
    ) {
        let Some(in_use_for) = in_use_for else { return self.learned.record_unused(bytes) };
        if now.since(self.interval_since) >= INTERVAL {
            self.interval_since = now;
            self.learned.end_interval();
        }
        self.learned.record_in_use(bytes, in_use_for);
    }

    /// Whether it is more than it held when ready, and in use.
    pub(crate) fn is_more(&self, bytes: ByteSize) -> bool {
        let known = self.learned.working_peak().max(self.learned.ready());
        known.is_some_and(|known| bytes > known)
    }

    /// Raises what its next load needs.
    pub fn raise_load(&mut self, to: ByteSize) {
        self.learned.raise_load(to);
    }

    /// Raises what its use needs.
    pub fn raise_working(&mut self, to: ByteSize) {
        self.learned.raise_working(to);
    }

    /// Measured within its own limit.
    pub fn within_limit(&mut self) {
        (self.over_limit_since, self.trim_failed) = (None, false);
    }

    /// Measured above its own limit; returns whether it was within before.
    pub fn over_limit(&mut self, now: Moment) -> bool {
        let is_new = self.over_limit_since.is_none();
        self.over_limit_since.get_or_insert(now);
        is_new
    }

    /// For how long it has been above its own limit.
    #[must_use]
    pub fn over_limit_for(&self, now: Moment) -> Option<Duration> {
        self.over_limit_since.map(|t| now.since(t))
    }

    /// It was asked to trim.
    pub fn asked_to_trim(&mut self, now: Moment) {
        (self.trimmed_at, self.trim_failed) = (Some(now), false);
    }

    /// The last request to trim failed: waiting for its effect is useless.
    pub fn trim_failed(&mut self) {
        self.trim_failed = true;
    }

    /// Whether the last request to trim failed.
    #[must_use]
    pub fn has_trim_failed(&self) -> bool {
        self.trim_failed
    }

    /// When it was last asked to trim.
    #[must_use]
    pub fn trimmed_at(&self) -> Option<Moment> {
        self.trimmed_at
    }
}
