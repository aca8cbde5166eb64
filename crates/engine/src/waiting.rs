//! How long a demand may wait, and how long what it asks for still takes to load.
//!
//! Knows load times, learned or declared; not what is in the way of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ComponentKey, ComponentState, LoadUnderWay, Moment};

use crate::Engine;

/// A load may take so much longer than the load time that is known of it.
pub(crate) const LOAD_TIME_MARGIN: f64 = 1.5;

impl Engine {
    /// How long a demand without a deadline of its own may wait: the configured time, or longer where loading is known
    /// to take longer, with a margin. No longer than the loads may take.
    #[must_use]
    pub fn default_deadline(&self, keys: &[ComponentKey], now: Moment) -> Duration {
        let closure = self.catalog().closure(keys);
        let missing = closure.iter().filter(|k| self.state(**k) != ComponentState::Ready);
        let most: Duration = missing.map(|k| self.scheduler.load_deadline(*k)).sum();
        let expected = self.time_to_ready(&closure, now).unwrap_or_default();
        self.config().deadlines.demand.max(expected.mul_f64(LOAD_TIME_MARGIN).min(most))
    }

    /// How long the loads of a closure (dependencies first) still take, those that do not depend on each other side by
    /// side. None = one of them takes longer than is known of it already.
    fn time_to_ready(&self, closure: &[ComponentKey], now: Moment) -> Option<Duration> {
        let mut ready_in = BTreeMap::new();
        for &key in closure {
            let e = self.scheduler.entry(key);
            let load_time = self.scheduler.wait(key);
            let rest = match e.state() {
                ComponentState::Ready => Duration::ZERO,
                ComponentState::Loading { .. } => {
                    let elapsed = now.since(e.load_started());
                    load_time.checked_sub(elapsed).filter(|rest| *rest > Duration::ZERO)?
                }
                _ => load_time,
            };
            let before = self.catalog().dependencies(key).iter().filter_map(|d| ready_in.get(d));
            let before: Duration = before.max().copied().unwrap_or_default();
            ready_in.insert(key, before + rest);
        }
        ready_in.into_values().max()
    }

    /// The load of a closure that continues for the next demand although no demand waits for it any more.
    pub(crate) fn still_loading(
        &self,
        closure: &[ComponentKey],
        now: Moment,
    ) -> Option<LoadUnderWay> {
        let loading = closure.iter().filter(|k| self.state(**k).is_loading());
        let given_up = |k: &ComponentKey| self.scheduler.entry(*k).load_deadline().unwrap_or(now);
        let last = loading.max_by_key(|k| (given_up(k), **k))?;
        Some(LoadUnderWay {
            component: self.catalog().id(*last).clone(),
            ready_in: self.time_to_ready(closure, now),
            given_up_in: given_up(last).since(now),
        })
    }
}
