//! The results of preloads: hits, late preloads with the time saved, and waste in counts and byte-seconds.
//!
//! Invariant: started = hits + late + wasted + failed + open, in every account.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, PreloadEnd};

use super::hint::{HintSource, Proposal, Tier};

/// Counts of one component or tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PreloadAccount {
    /// Preloads started.
    pub started: u64,
    /// Preloads that were used after they were ready.
    pub hits: u64,
    /// Preloads that were demanded while they were still loading.
    pub late: u64,
    /// Time that late preloads saved, compared with a load on demand.
    pub saved: Duration,
    /// Preloads that left memory before their first use, or were unused for longer than the expiry.
    pub wasted: u64,
    /// Memory of wasted preloads, in bytes times seconds.
    pub wasted_byte_seconds: f64,
    /// Preloads that failed to load.
    pub failed: u64,
    /// Preloads that load, or are loaded and not used yet.
    pub open: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    tier: Tier,
    source: HintSource,
    size: ByteSize,
    started: Moment,
    ready: Option<Moment>,
    /// The first demand.
    demanded: Option<Moment>,
}

/// The accounts of all components and tiers.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    open: BTreeMap<ComponentKey, Open>,
    by_component: BTreeMap<ComponentKey, PreloadAccount>,
    by_tier: [PreloadAccount; 3],
}

impl Accounts {
    pub(super) fn is_open(&self, key: ComponentKey) -> bool {
        self.open.contains_key(&key)
    }

    pub(super) fn component(&self, key: ComponentKey) -> PreloadAccount {
        self.by_component.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn tier(&self, tier: Tier) -> PreloadAccount {
        self.by_tier[tier as usize]
    }

    fn both(&mut self, key: ComponentKey, tier: Tier, change: impl Fn(&mut PreloadAccount)) {
        change(self.by_component.entry(key).or_default());
        change(&mut self.by_tier[tier as usize]);
    }

    /// A second start of the same component before the first ended is the same preload.
    pub(super) fn start(&mut self, proposal: &Proposal, size: ByteSize, now: Moment) {
        let Proposal { key, tier, source, .. } = *proposal;
        if self.is_open(key) {
            return;
        }
        let open = Open { tier, source, size, started: now, ready: None, demanded: None };
        self.open.insert(key, open);
        self.both(key, tier, |a| {
            a.started += 1;
            a.open += 1;
        });
    }

    pub(super) fn ready(&mut self, key: ComponentKey, now: Moment) {
        if let Some(open) = self.open.get_mut(&key) {
            open.ready.get_or_insert(now);
        }
    }

    fn end(&mut self, key: ComponentKey, end: impl Fn(&Open) -> PreloadEnd) -> Option<PreloadEnd> {
        let open = self.open.remove(&key)?;
        let end = end(&open);
        self.both(key, open.tier, |a| {
            a.open -= 1;
            match end {
                PreloadEnd::Hit => a.hits += 1,
                PreloadEnd::Late { saved_us } => {
                    a.late += 1;
                    a.saved += Duration::from_micros(saved_us);
                }
                PreloadEnd::Wasted { byte_seconds } => {
                    a.wasted += 1;
                    a.wasted_byte_seconds += byte_seconds;
                }
                _ => a.failed += 1,
            }
        });
        Some(end)
    }

    pub(super) fn demanded(&mut self, key: ComponentKey, now: Moment) {
        if let Some(open) = self.open.get_mut(&key) {
            open.demanded.get_or_insert(now);
        }
    }

    pub(super) fn withdrawn(&mut self, key: ComponentKey) {
        if let Some(open) = self.open.get_mut(&key) {
            open.demanded = None;
        }
    }

    /// A hit or late, by the moment of the first demand.
    pub(super) fn used(&mut self, key: ComponentKey, now: Moment) -> Option<PreloadEnd> {
        self.end(key, |open| {
            let demanded = open.demanded.unwrap_or(now);
            match open.ready {
                Some(ready) if ready <= demanded => PreloadEnd::Hit,
                _ => PreloadEnd::Late { saved_us: demanded.0.saturating_sub(open.started.0) },
            }
        })
    }

    pub(super) fn failed(&mut self, key: ComponentKey) -> Option<PreloadEnd> {
        self.end(key, |_| PreloadEnd::Failed)
    }

    /// Ends an open preload as unused; returns the source of its hint too.
    pub(super) fn unloaded(
        &mut self,
        key: ComponentKey,
        now: Moment,
    ) -> Option<(PreloadEnd, HintSource)> {
        let source = self.open.get(&key)?.source;
        let end = self.end(key, |open| PreloadEnd::Wasted {
            byte_seconds: open.size.bytes() as f64 * now.since(open.started).as_secs_f64(),
        });
        end.map(|end| (end, source))
    }

    /// Preloads that have been ready for longer than `after` without a demand.
    pub(super) fn expired(&self, now: Moment, after: Duration) -> Vec<ComponentKey> {
        let is_over = |o: &Open| {
            o.demanded.is_none() && o.ready.is_some_and(|ready| now.since(ready) > after)
        };
        self.open.iter().filter(|(_, o)| is_over(o)).map(|(key, _)| *key).collect()
    }

    /// Forgets components without an open preload; the tiers' sums stay.
    pub(super) fn forget(&mut self) {
        self.by_component.retain(|_, account| account.open > 0);
    }

    pub(super) fn components(&self) -> impl Iterator<Item = (ComponentKey, PreloadAccount)> {
        self.by_component.iter().map(|(key, account)| (*key, *account))
    }
}
