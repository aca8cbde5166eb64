//! The results of preloads: hits, late preloads with the time saved, waste in counts and byte-seconds, and harm.
//!
//! Invariant: started = hits + late + wasted + failed + open, in every account.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Confidence, Moment, PreloadEnd};

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
    /// Components that were evicted for a preload and demanded before it was used, and soon.
    pub harmful: u64,
    /// Time that those demands wait for the evicted components to load again.
    pub harm: Duration,
    /// Preloads that failed to load.
    pub failed: u64,
    /// Preloads that load, or are loaded and not used yet.
    pub open: u64,
}

#[derive(Clone, Debug)]
struct Open {
    tier: Tier,
    source: HintSource,
    confidence: Confidence,
    /// The number of the command during or after which it was started.
    command: u64,
    size: ByteSize,
    started: Moment,
    ready: Option<Moment>,
    /// The first demand.
    demanded: Option<Moment>,
    displaced: Option<Displaced>,
    /// Its cost beside a load, within 0..=1.
    share: f64,
}

/// The components that were evicted for a preload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Displaced {
    /// Each with its load time.
    pub(super) victims: Vec<(ComponentKey, Duration)>,
    /// The preload's own load time.
    pub(super) load_time: Duration,
    /// The number of the command during or after which they were evicted.
    pub(super) command: u64,
}

/// A component that was evicted for a preload is demanded before that is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harm {
    /// The preload that displaced the component.
    pub preload: ComponentKey,
    /// Time that the demand waits for the component to load again.
    pub cost: Duration,
    /// That time over the preload's own load time, up to 4: the weight of the harm beside that of a wasted preload.
    pub(super) weight: f64,
    pub(super) source: HintSource,
}

/// The weights of harms are within this.
const MOST_WEIGHT: f64 = 4.0;

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
    pub(super) fn start(&mut self, proposal: &Proposal, size: ByteSize, command: u64, now: Moment) {
        let Proposal { key, confidence, tier, source } = *proposal;
        if self.is_open(key) {
            return;
        }
        let open = Open {
            tier,
            source,
            confidence,
            command,
            size,
            started: now,
            ready: None,
            demanded: None,
            displaced: None,
            share: 1.0,
        };
        self.open.insert(key, open);
        self.both(key, tier, |a| {
            a.started += 1;
            a.open += 1;
        });
    }

    /// Open preloads that were started less than `horizon` commands before this one, each with the source and the
    /// confidence of its hint.
    pub(super) fn recent(
        &self,
        command: u64,
        horizon: u64,
    ) -> impl Iterator<Item = (ComponentKey, HintSource, Confidence)> {
        let is_recent = move |o: &Open| command.saturating_sub(o.command) < horizon;
        let recent = self.open.iter().filter(move |(_, o)| is_recent(o));
        recent.map(|(key, o)| (*key, o.source, o.confidence))
    }

    pub(super) fn ready(&mut self, key: ComponentKey, now: Moment) {
        if let Some(open) = self.open.get_mut(&key) {
            open.ready.get_or_insert(now);
        }
    }

    /// An open preload costs this share of a load.
    pub(super) fn weigh(&mut self, key: ComponentKey, share: f64) {
        if let Some(open) = self.open.get_mut(&key) {
            open.share = share.clamp(0.0, 1.0);
        }
    }

    /// Components were evicted for an open preload, besides those that were before.
    pub(super) fn displaced(&mut self, key: ComponentKey, mut displaced: Displaced) {
        if let Some(open) = self.open.get_mut(&key) {
            displaced.victims.extend(open.displaced.take().into_iter().flat_map(|d| d.victims));
            open.displaced = Some(displaced);
        }
    }

    /// A component is loaded again: its eviction harms no later demand.
    pub(super) fn restored(&mut self, key: ComponentKey) {
        for displaced in self.open.values_mut().filter_map(|o| o.displaced.as_mut()) {
            displaced.victims.retain(|(victim, _)| *victim != key);
        }
    }

    /// A component is demanded at a command of this number: harmful for the preload that displaced it, if that is not
    /// demanded yet and displaced it less than `horizon` commands before this one.
    pub(super) fn harmed(&mut self, key: ComponentKey, command: u64, horizon: u64) -> Option<Harm> {
        let harm = self.open.iter().find_map(|(preload, open)| {
            let displaced = open.displaced.as_ref().filter(|_| open.demanded.is_none())?;
            let victim = displaced.victims.iter().find(|(victim, _)| *victim == key)?;
            let is_soon = command.saturating_sub(displaced.command) < horizon;
            let ratio = victim.1.as_secs_f64() / displaced.load_time.as_secs_f64().max(1e-6);
            let weight = ratio.min(MOST_WEIGHT);
            let (preload, cost, source) = (*preload, victim.1, open.source);
            is_soon.then_some((Harm { preload, cost, weight, source }, open.tier))
        });
        self.restored(key);
        let (harm, tier) = harm?;
        self.both(harm.preload, tier, |a| {
            a.harmful += 1;
            a.harm += harm.cost;
        });
        Some(harm)
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

    /// Ends an open preload as unused; returns the source of its hint, and its share of a load, too.
    pub(super) fn unloaded(
        &mut self,
        key: ComponentKey,
        now: Moment,
    ) -> Option<(PreloadEnd, HintSource, f64)> {
        let (source, share) = self.open.get(&key).map(|open| (open.source, open.share))?;
        let end = self.end(key, |open| PreloadEnd::Wasted {
            byte_seconds: open.size.bytes() as f64 * now.since(open.started).as_secs_f64(),
        });
        end.map(|end| (end, source, share))
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
