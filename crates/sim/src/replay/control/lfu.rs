//! Least frequently used by lifetime counts; of equal counts the older use is evicted.

use majordomo_core::{Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, PolicyEvent, Ranked};

use super::slot;

/// Counts survive eviction.
#[derive(Debug, Default)]
pub(in super::super) struct Lfu {
    /// (uses, number of the last use among all) by key.
    counts: Vec<(u64, u64)>,
    clock: u64,
}

impl EvictionPolicy for Lfu {
    fn name(&self) -> &'static str {
        "lfu"
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        if let PolicyEvent::Used { key, uses, .. } = event {
            self.clock += 1;
            let entry = slot(&mut self.counts, key.index());
            *entry = (entry.0 + uses, self.clock);
        }
    }

    fn rank(&self, candidates: &[Candidate], _values: &Values, _now: Moment) -> Vec<Ranked> {
        let score = |c: &Candidate| {
            let (count, last) = self.counts.get(c.key.index()).copied().unwrap_or_default();
            // Below 2^24 counts and 2^28 uses both parts are exact in 52 bits.
            Ranked { key: c.key, keep: count as f64 + last as f64 / (1u64 << 28) as f64 }
        };
        candidates.iter().map(score).collect()
    }
}
