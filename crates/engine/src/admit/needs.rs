//! Needs of components: what they hold, what their loads take, and for how long a measured figure is believed.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, MeasuredNeed, Moment};
use majordomo_memory::Needs;

use super::Admission;

/// A measured figure that refuses its component is not relied on for longer than this.
const TRY_AGAIN: Duration = Duration::from_secs(900);

impl Admission<'_> {
    pub(super) fn needs(&self, key: ComponentKey) -> Needs {
        self.scheduler.needs(key)
    }

    /// Bytes that a component holds even when it is not in use. A measured figure that has refused it for a while no longer
    /// counts, so that it is loaded and measured once more.
    pub(super) fn held(&self, key: ComponentKey, now: Moment) -> ByteSize {
        let held = self.needs(key).held;
        let since = self.scheduler.entry(key).figures().too_large_since();
        if since.is_some_and(|t| now.since(t) >= TRY_AGAIN) {
            held.min(self.estimate(key))
        } else {
            held
        }
    }

    /// The configured memory, with the margin.
    pub(super) fn estimate(&self, key: ComponentKey) -> ByteSize {
        let margin = self.config().memory.estimate_margin.max(1.0);
        self.catalog().spec(key).map_or(ByteSize::ZERO, |s| s.memory.scaled(margin))
    }

    /// The largest need in a closure that was measured above what is declared; of one pool, or of all that
    /// count in the total.
    pub(super) fn measured_need(
        &self,
        closure: &[ComponentKey],
        pool: Option<usize>,
        now: Moment,
    ) -> Option<MeasuredNeed> {
        let counts = |key: &ComponentKey| match pool {
            Some(pool) => self.scheduler.pool(*key) == pool,
            None => !self.scheduler.budget().limit_of(self.scheduler.pool(*key)).declared,
        };
        closure
            .iter()
            .filter(|k| counts(k))
            .filter_map(|k| {
                let declared = self.catalog().spec(*k)?.memory;
                let e = self.scheduler.entry(*k);
                let peak = e.figures().learned().peak().filter(|p| *p > declared)?;
                let refused_for =
                    e.figures().too_large_since().map_or(Duration::ZERO, |t| now.since(t));
                Some(MeasuredNeed {
                    component: self.catalog().id(*k).clone(),
                    peak,
                    load_peak: e.figures().learned().load_peak(),
                    working_peak: e.figures().learned().working_peak(),
                    declared,
                    spare: None,
                    retry_in: Some(TRY_AGAIN.saturating_sub(refused_for)),
                })
            })
            .max_by_key(|m| m.peak)
    }
}
