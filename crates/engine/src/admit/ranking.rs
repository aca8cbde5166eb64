//! Which components are evicted first: candidates, their values, and the policy's order.
//!
//! A candidate stands for its live closure: everything alive that depends on it is evicted with it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use majordomo_core::{
    ByteSize, ComponentKey, ComponentState, Confidence, Holder, Moment, Priority, Value, Values,
};
use majordomo_memory::{Candidate, Ranked, Shortage, newcomer, victim_order};

use super::{Admission, Ask, Draft};

/// Candidates for eviction, each with its live closure.
#[derive(Default)]
pub(crate) struct Candidates {
    rows: Vec<Candidate>,
    closures: Vec<Vec<ComponentKey>>,
}

impl Candidates {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Candidate, &Vec<ComponentKey>)> {
        self.rows.iter().zip(&self.closures)
    }

    fn push(&mut self, row: Candidate, closure: Vec<ComponentKey>) {
        self.rows.push(row);
        self.closures.push(closure);
    }

    fn retain(self, keep: impl Fn(&Candidate) -> bool) -> Self {
        let mut kept = Self::default();
        for (row, closure) in self.rows.into_iter().zip(self.closures) {
            if keep(&row) {
                kept.push(row, closure);
            }
        }
        kept
    }
}

/// The components that are up or loading, sorted into those that can be evicted and those that stay.
pub(super) struct Evictable {
    /// Live closures, the first to be evicted first.
    pub order: Vec<Vec<ComponentKey>>,
    /// Components that stay, and until when, if that ends by itself.
    pub barred: Vec<(Holder, Option<Moment>)>,
}

impl Admission<'_> {
    /// Live closures that may be evicted for a set, in order, and the components that may not.
    pub(super) fn evictable(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &Draft,
        short: &Shortage,
    ) -> Evictable {
        let mut candidates = Candidates::default();
        let mut barred = Vec::new();
        let tiers = self.scheduler.requested_tiers(now);
        for (key, e) in self.scheduler.entries() {
            if !super::is_present(e.state())
                || draft.victims.contains(&key)
                || !self.helps(key, short)
            {
                continue;
            }
            let closure = self.scheduler.live_closure(key);
            let found = closure.iter().find_map(|k| {
                if draft.victims.contains(k) {
                    return None;
                }
                self.bar(*k, ask, leased, now).map(|b| (*k, b))
            });
            match found {
                Some((member, bar)) if member == key => {
                    let booked = self.freed_where_short(&[member], short);
                    let holder = Holder { booked, ..self.holder(member, bar.kind) };
                    barred.push((holder, bar.until));
                }
                Some(_) => {}
                None => {
                    let mut row = self.candidate(key, &closure, &tiers);
                    row.size = self.freed_where_short(&closure, short);
                    candidates.push(row, closure);
                }
            }
        }
        if ask.origin.is_speculative() {
            // A preload takes the place of nothing that has a higher priority.
            let target = ask.closure.last().copied().unwrap_or_default();
            let priority = self.catalog().spec(target).map_or(Priority::Low, |s| s.priority);
            candidates = candidates.retain(|c| c.priority >= priority);
        }
        let order = self.eviction_order(&candidates, now);
        let mut closures = candidates.closures;
        let order = order.into_iter().map(|i| std::mem::take(&mut closures[i])).collect();
        Evictable { order, barred }
    }

    /// The bytes that an eviction frees in the accounts that lack some: what it is worth evicting for.
    fn freed_where_short(&self, closure: &[ComponentKey], short: &Shortage) -> ByteSize {
        let budget = self.scheduler.budget();
        closure.iter().map(|k| budget.helpful(&budget.bookings(*k), short)).sum()
    }

    /// These components as candidates.
    pub(crate) fn candidates(&self, keys: &[ComponentKey], now: Moment) -> Candidates {
        let tiers = self.scheduler.requested_tiers(now);
        let mut candidates = Candidates::default();
        for &key in keys {
            let closure = self.scheduler.live_closure(key);
            candidates.push(self.candidate(key, &closure, &tiers), closure);
        }
        candidates
    }

    /// The same with the size of the component alone.
    pub(crate) fn candidates_alone(&self, keys: &[ComponentKey], now: Moment) -> Candidates {
        let mut candidates = self.candidates(keys, now);
        for row in &mut candidates.rows {
            row.size = self.scheduler.budget().booked_for(row.key);
        }
        candidates
    }

    fn candidate(
        &self,
        key: ComponentKey,
        closure: &[ComponentKey],
        tiers: &[Priority],
    ) -> Candidate {
        let touched = closure.iter().map(|k| self.scheduler.entry(*k).last_touched()).max();
        Candidate {
            key,
            priority: self.scheduler.effective_priority(key, closure, tiers),
            size: closure.iter().map(|k| self.scheduler.budget().booked_for(*k)).sum(),
            load_time: self.scheduler.load_time(key),
            last_use: touched.unwrap_or_default(),
            uses: self.scheduler.entry(key).n_uses(),
            speculative: self.is_evicted_first(closure),
        }
    }

    /// A load that no demand waits for and that still runs is evicted before all others, so that no demand waits behind
    /// it; a preload that is ready and not used yet, only where the policy does not judge it by its worth.
    fn is_evicted_first(&self, closure: &[ComponentKey]) -> bool {
        let unrequested = |k: &ComponentKey| self.scheduler.entry(*k).is_unrequested();
        let runs = |k: &ComponentKey| self.state(*k) != ComponentState::Ready;
        closure.iter().all(unrequested)
            && (!self.policy.judges_unused() || closure.iter().any(runs))
    }

    /// Whether preloading a set is worth evicting these.
    pub(super) fn is_worth(
        &self,
        ask: Ask<'_>,
        victims: &[ComponentKey],
        reserve: ByteSize,
    ) -> bool {
        let key = ask.closure.last().copied().unwrap_or_default();
        let load_time = ask.closure.iter().map(|k| self.scheduler.load_time(*k)).sum();
        let one = |k: &ComponentKey| {
            newcomer(*k, self.scheduler.budget().booked_for(*k), self.scheduler.load_time(*k))
        };
        let victims: Vec<_> = victims.iter().map(one).collect();
        self.policy.pays(&newcomer(key, reserve, load_time), ask.stated, &victims, self.values)
    }

    /// The values, where a candidate's covers its live closure.
    pub(crate) fn values_of(&self, candidates: &Candidates) -> Cow<'_, Values> {
        if candidates.closures.iter().all(|c| c.len() <= 1) {
            return Cow::Borrowed(self.values);
        }
        let sum = |closure: &[ComponentKey], part: fn(Value) -> Confidence| {
            Confidence::saturating(closure.iter().map(|k| part(self.values.get(*k)).get()).sum())
        };
        let of_closures =
            candidates.iter().filter(|(_, closure)| closure.len() > 1).map(|(row, closure)| {
                let value =
                    Value { next: sum(closure, |v| v.next), reuse: sum(closure, |v| v.reuse) };
                (row.key, value)
            });
        Cow::Owned(self.values.with(of_closures))
    }

    /// The policy's judgement of candidates.
    pub(crate) fn rank(&self, candidates: &Candidates, now: Moment) -> Vec<Ranked> {
        self.policy.rank(&candidates.rows, &self.values_of(candidates), now)
    }

    /// Positions of candidates in the order of their eviction.
    pub(crate) fn eviction_order(&self, candidates: &Candidates, now: Moment) -> Vec<usize> {
        victim_order(&candidates.rows, &self.rank(candidates, now))
    }
}
