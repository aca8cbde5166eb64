//! LRU with a fixed idle timeout, as most model servers have. The item in use is kept beyond its timeout
//! until another is used.

use std::time::Duration;

use majordomo_core::{ComponentKey, Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, Lru, PolicyEvent, Ranked};

use super::super::policy::{ReplayPolicy, TimerAction, View};
use super::slot;

#[derive(Debug)]
pub(in super::super) struct KeepAlive {
    timeout: Duration,
    /// The end of each loaded item's timeout.
    ends: Vec<Option<Moment>>,
    in_use: Option<ComponentKey>,
}

impl KeepAlive {
    fn idle(&self) -> impl Iterator<Item = (ComponentKey, Moment)> {
        let ends = self.ends.iter().enumerate();
        ends.filter_map(|(i, end)| Some((ComponentKey::from_index(i), (*end)?)))
            .filter(|(key, _)| self.in_use != Some(*key))
    }

    pub(in super::super) fn new(timeout: Duration) -> Self {
        Self { timeout, ends: Vec::new(), in_use: None }
    }
}

impl ReplayPolicy for KeepAlive {
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked> {
        Lru.rank(candidates, &Values::new(), now)
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Used { key, at, .. } => {
                self.in_use = Some(key);
                *slot(&mut self.ends, key.index()) = Some(at + self.timeout);
            }
            PolicyEvent::Unloaded { key, .. } => *slot(&mut self.ends, key.index()) = None,
            _ => {}
        }
    }

    fn next_timer(&self) -> Option<Moment> {
        self.idle().map(|(_, end)| end).min()
    }

    fn fire(&mut self, now: Moment, _view: &View<'_>) -> Vec<TimerAction> {
        self.idle()
            .filter(|(_, end)| *end <= now)
            .map(|(key, _)| TimerAction::Unload(key))
            .collect()
    }
}
