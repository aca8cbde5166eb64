//! LRU with the most frequent successor of the item in use preloaded, or refreshed when resident.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, Lru, PolicyEvent, Ranked};

use super::super::policy::{ReplayPolicy, View};
use super::slot;

#[derive(Debug, Default)]
pub(in super::super) struct LruMarkov {
    lru: Lru,
    /// Successors of an item with their counts.
    successors: Vec<BTreeMap<ComponentKey, u64>>,
    last: Option<ComponentKey>,
}

impl LruMarkov {
    fn ranking(&self) -> Vec<ComponentKey> {
        let Some(followers) = self.last.and_then(|l| self.successors.get(l.index())) else {
            return Vec::new();
        };
        let mut ranking: Vec<_> =
            followers.iter().map(|(k, n)| (std::cmp::Reverse(*n), *k)).collect();
        ranking.sort_unstable();
        ranking.into_iter().map(|(_, k)| k).collect()
    }
}

impl ReplayPolicy for LruMarkov {
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked> {
        self.lru.rank(candidates, &Values::new(), now)
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        self.lru.on_event(event);
    }

    fn observe(&mut self, x: ComponentKey, _at: Moment, _view: &View<'_>) {
        if let Some(last) = self.last {
            *slot(&mut self.successors, last.index()).entry(x).or_default() += 1;
        }
        self.last = Some(x);
    }

    fn predicted_rank(&mut self, x: ComponentKey) -> Option<Option<usize>> {
        Some(self.ranking().iter().position(|k| *k == x))
    }

    fn preloads(
        &mut self,
        view: &View<'_>,
        queue: &mut Vec<ComponentKey>,
        touched: &mut Vec<ComponentKey>,
    ) {
        if let Some(top) = self.ranking().first() {
            let list = if view.is_resident(*top) { touched } else { queue };
            list.push(*top);
        }
    }
}
