//! Least recently used: a component is worth one over its age.

use majordomo_core::{Moment, Values};

use super::{Candidate, EvictionPolicy, PolicyEvent, Ranked};

/// Least recently used first; `keep = 1 / age in seconds`.
#[derive(Debug, Default)]
pub struct Lru;

impl EvictionPolicy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn on_event(&mut self, _event: &PolicyEvent) {}

    fn rank(&self, candidates: &[Candidate], _values: &Values, now: Moment) -> Vec<Ranked> {
        candidates
            .iter()
            .map(|c| {
                let age = now.since(c.last_use).as_secs_f64().max(1e-6);
                Ranked { key: c.key, keep: 1.0 / age }
            })
            .collect()
    }
}
