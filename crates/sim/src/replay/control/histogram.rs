//! Hybrid-histogram keep-alive (Shahrad et al., "Serverless in the Wild", ATC 2020) over LRU.
//!
//! Per item a histogram of idle times in minutes, up to four hours. When the histogram is significant, the item is
//! unloaded at once, loaded again just before its usual idle time has passed, and kept until the longest usual
//! one; otherwise it is kept for the full range. The forecast for items whose idle times lie beyond the
//! range is left out, as in most re-implementations: such items are kept for the full range.

use std::time::Duration;

use majordomo_core::{ComponentKey, Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, Lru, PolicyEvent, Ranked};

use super::super::policy::{ReplayPolicy, TimerAction, View};
use super::slot;

const RANGE_MINUTES: usize = 240;
const MINUTE: Duration = Duration::from_secs(60);
const HEAD: f64 = 0.05;
const TAIL: f64 = 0.99;
/// Share of the time that is added before the head and after the tail.
const MARGIN: f64 = 0.10;
/// The coefficient of variation of the bins from which on a histogram is significant.
const MIN_CV: f64 = 2.0;

#[derive(Clone, Debug, Default)]
struct Idle {
    bins: Vec<u32>,
    in_range: u32,
    beyond: u32,
    last_use: Option<Moment>,
    preload_at: Option<Moment>,
    unload_at: Option<Moment>,
}

impl Idle {
    fn record(&mut self, idle: Duration) {
        if self.bins.is_empty() {
            self.bins = vec![0; RANGE_MINUTES];
        }
        let minute = (idle.as_secs() / 60) as usize;
        if minute < RANGE_MINUTES {
            self.bins[minute] += 1;
            self.in_range += 1;
        } else {
            self.beyond += 1;
        }
    }

    /// The coefficient of variation of the bin counts.
    fn variation(&self) -> f64 {
        let n = RANGE_MINUTES as f64;
        let mean = f64::from(self.in_range) / n;
        if mean == 0.0 {
            return 0.0;
        }
        let square = self.bins.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>() / n;
        (square - mean * mean).max(0.0).sqrt() / mean
    }

    /// The minute bin in which a share of the idle times is reached.
    fn quantile(&self, share: f64) -> usize {
        let mut seen = 0.0;
        for (minute, n) in self.bins.iter().enumerate() {
            seen += f64::from(*n);
            if seen >= share * f64::from(self.in_range) {
                return minute;
            }
        }
        RANGE_MINUTES
    }

    /// (time unloaded after a use, time loaded after that).
    fn windows(&self) -> (Duration, Duration) {
        let range = MINUTE * RANGE_MINUTES as u32;
        if self.in_range == 0 || self.beyond > self.in_range || self.variation() < MIN_CV {
            return (Duration::ZERO, range);
        }
        let head = MINUTE.mul_f64(self.quantile(HEAD) as f64 * (1.0 - MARGIN));
        let tail = MINUTE.mul_f64((self.quantile(TAIL) + 1) as f64 * (1.0 + MARGIN));
        (head, tail.saturating_sub(head))
    }
}

#[derive(Debug, Default)]
pub(in super::super) struct HybridHistogram {
    items: Vec<Idle>,
    in_use: Option<ComponentKey>,
}

impl HybridHistogram {
    fn unload_at(&self, index: usize) -> Option<Moment> {
        self.items[index].unload_at.filter(|_| self.in_use != Some(ComponentKey::from_index(index)))
    }
}

impl ReplayPolicy for HybridHistogram {
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked> {
        Lru.rank(candidates, &Values::new(), now)
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Used { key, at, .. } => {
                self.in_use = Some(key);
                let item = slot(&mut self.items, key.index());
                if let Some(last) = item.last_use.replace(at) {
                    item.record(at.since(last));
                }
                let (away, stay) = item.windows();
                if away < MINUTE {
                    item.preload_at = None;
                    item.unload_at = Some(at + away + stay);
                } else {
                    item.preload_at = Some(at + away);
                    item.unload_at = Some(at);
                }
            }
            PolicyEvent::Loaded { key, at, speculative: true, .. } => {
                let item = slot(&mut self.items, key.index());
                let (_, stay) = item.windows();
                item.unload_at = Some(at + stay);
            }
            PolicyEvent::Unloaded { key, .. } => {
                slot(&mut self.items, key.index()).unload_at = None;
            }
            _ => {}
        }
    }

    fn next_timer(&self) -> Option<Moment> {
        let timers = |i: usize| [self.items[i].preload_at, self.unload_at(i)];
        (0..self.items.len()).flat_map(timers).flatten().min()
    }

    fn fire(&mut self, now: Moment, _view: &View<'_>) -> Vec<TimerAction> {
        let mut actions = Vec::new();
        for i in 0..self.items.len() {
            let key = ComponentKey::from_index(i);
            if self.unload_at(i).is_some_and(|t| t <= now) {
                self.items[i].unload_at = None;
                actions.push(TimerAction::Unload(key));
            }
            if self.items[i].preload_at.is_some_and(|t| t <= now) {
                self.items[i].preload_at = None;
                actions.push(TimerAction::Preload(key));
            }
        }
        actions
    }
}
