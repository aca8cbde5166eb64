//! Which components are evicted first: candidates, what they are worth, and the policy's order.
//!
//! A candidate stands for its live closure: everything alive that depends on it is evicted with it.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    ComponentKey, ComponentState, Confidence, Holder, HolderKind, Moment, Priority, Value,
};
use majordomo_lifecycle::{Origin, Victim};
use majordomo_memory::{Candidate, Ranked, Shortage, victim_order, with_stated};

use super::{Admission, Ask, Draft, Judge, Purpose};

/// So many times as much a victim's loss weighs for each level of priority above the preload's. In the order of victims, too,
/// priority decides between scores within a factor of two.
const WEIGHT_OF_PRIORITY: f64 = 2.0;

/// Candidates for eviction, each with its live closure and where that is left.
#[derive(Default)]
pub(crate) struct Candidates {
    rows: Vec<Candidate>,
    closures: Vec<Vec<Victim>>,
}

impl Candidates {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Candidate, &Vec<Victim>)> {
        self.rows.iter().zip(&self.closures)
    }

    fn push(&mut self, row: Candidate, closure: Vec<Victim>) {
        self.rows.push(row);
        self.closures.push(closure);
    }
}

/// The components that are up or loading, sorted into those that can be evicted and those that stay.
pub(super) struct Evictable {
    /// Live closures and where they are left, the first to be evicted first.
    pub order: Vec<Vec<Victim>>,
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
        let purpose = self.purpose(ask);
        for (key, e) in self.scheduler.entries() {
            if !(super::is_present(e.state()) || e.state().is_parked())
                || draft.target(key).is_some()
                || !self.helps(key, short)
            {
                continue;
            }
            let closure = self.scheduler.live_closure(key);
            let found = closure.iter().find_map(|k| {
                if draft.target(*k).is_some() {
                    return None;
                }
                self.bar(*k, ask, leased, now).map(|b| (*k, b))
            });
            match found {
                Some((member, bar)) if member == key => {
                    barred.push((self.holder_where_short(member, bar.kind, short), bar.until));
                }
                Some(_) => {}
                None => {
                    let row = self.candidate(key, &closure, &tiers);
                    let loss = |victims: &[Victim]| self.loss_for(ask, victims, now);
                    let judge = Judge { purpose, loss: &loss };
                    for step in self.steps(key, &closure, short, &judge, now) {
                        let row = Candidate { size: step.freed, worth: step.loss, ..row };
                        candidates.push(row, step.members);
                    }
                }
            }
        }
        let order = self.eviction_order(&candidates, now);
        let mut closures = candidates.closures;
        let order = order.into_iter().map(|i| std::mem::take(&mut closures[i])).collect();
        Evictable { order, barred }
    }

    /// Why a set frees memory.
    pub(super) fn purpose(&self, ask: Ask<'_>) -> Purpose {
        match ask.origin {
            Origin::Demand { .. } => Purpose::Demand,
            _ => Purpose::Other,
        }
    }

    /// A component that is in the way, with its bytes in the accounts that lack some.
    pub(super) fn holder_where_short(
        &self,
        key: ComponentKey,
        kind: HolderKind,
        short: &Shortage,
    ) -> Holder {
        Holder {
            booked: self.freed_where_short(&[Victim::gone(key)], short),
            ..self.holder(key, kind)
        }
    }

    /// These components as candidates.
    pub(crate) fn candidates(&self, keys: &[ComponentKey], now: Moment) -> Candidates {
        let tiers = self.scheduler.requested_tiers(now);
        let mut candidates = Candidates::default();
        for &key in keys {
            let closure = self.scheduler.live_closure(key);
            let row = self.candidate(key, &closure, &tiers);
            candidates.push(row, closure.into_iter().map(Victim::gone).collect());
        }
        candidates
    }

    /// These components as candidates for being left where they are; of one that is parked its own park counts.
    pub(crate) fn candidates_left(&self, victims: &[Victim], now: Moment) -> Candidates {
        let keys: Vec<_> = victims.iter().map(|v| v.key).collect();
        let mut candidates = self.candidates(&keys, now);
        let rows = candidates.rows.iter_mut().zip(victims);
        for (row, victim) in rows.filter(|(_, victim)| victim.to.is_parked()) {
            row.size = self.freed_by(*victim).of(self.scheduler.pool(victim.key));
            row.worth = self.loss(&[*victim]);
        }
        candidates
    }

    /// The steps of these components.
    pub(crate) fn candidates_where_short(
        &self,
        keys: &[ComponentKey],
        short: &Shortage,
        purpose: Purpose,
        now: Moment,
    ) -> Candidates {
        let tiers = self.scheduler.requested_tiers(now);
        let mut candidates = Candidates::default();
        for &key in keys {
            let closure = self.scheduler.live_closure(key);
            let row = self.candidate(key, &closure, &tiers);
            let loss = |victims: &[Victim]| self.loss(victims);
            let judge = Judge { purpose, loss: &loss };
            for step in self.steps(key, &closure, short, &judge, now) {
                let row = Candidate { size: step.freed, worth: step.loss, ..row };
                candidates.push(row, step.members);
            }
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
            worth: self.loss(&closure.iter().copied().map(Victim::gone).collect::<Vec<_>>()),
            last_use: touched.unwrap_or_default(),
            uses: self.scheduler.entry(key).n_uses(),
            speculative: self.is_evicted_first(closure),
        }
    }

    /// A load that no demand waits for and that still runs is evicted before all others, so that no demand waits behind
    /// it; a preload that is ready and not used yet, only where the policy does not judge it by its worth.
    fn is_evicted_first(&self, closure: &[ComponentKey]) -> bool {
        let unrequested = |k: &ComponentKey| self.scheduler.entry(*k).is_unrequested();
        let runs = |k: &ComponentKey| {
            let state = self.state(*k);
            state != ComponentState::Ready && !state.is_parked()
        };
        closure.iter().all(unrequested)
            && (!self.policy.judges_unused() || closure.iter().any(runs))
    }

    /// Whether the preload of the missing members of a set gains more than these victims lose.
    pub(super) fn is_worth(
        &self,
        ask: Ask<'_>,
        missing: &[ComponentKey],
        victims: &[Victim],
        now: Moment,
    ) -> bool {
        self.policy.pays(self.gain(ask, missing), self.loss_for(ask, victims, now))
    }

    /// The loss of these components by that set: the order of victims, the judgement of a preload, and the records of
    /// both compare it.
    pub(crate) fn loss_for(&self, ask: Ask<'_>, victims: &[Victim], now: Moment) -> f64 {
        let tiers = self.scheduler.requested_tiers(now);
        let weighted = |victim: &Victim| {
            let group = self.scheduler.live_closure(victim.key);
            let priority = self.scheduler.effective_priority(victim.key, &group, &tiers);
            self.loss(&[*victim]) * self.weight(ask, priority)
        };
        victims.iter().map(weighted).sum()
    }

    /// So many times as much the loss of a component of this priority weighs: against a preload of a lower one more than once.
    fn weight(&self, ask: Ask<'_>, priority: Priority) -> f64 {
        if !ask.origin.is_speculative() {
            return 1.0;
        }
        let target = ask.closure.last().and_then(|k| self.catalog().spec(*k));
        let own = target.map_or(Priority::Low, |s| s.priority);
        WEIGHT_OF_PRIORITY.powi((own as i32 - priority as i32).max(0))
    }

    /// A component's value: the forecast, and what the hint stated that it, or a dependent of it, was preloaded for.
    pub(crate) fn value(&self, key: ComponentKey) -> Value {
        let mut stated = self.preloads.stated().peekable();
        if stated.peek().is_none() {
            return self.values.get(key);
        }
        let group = self.scheduler.live_closure(key);
        let highest = stated.filter(|(k, _)| group.contains(k)).map(|(_, said)| said).max();
        with_stated(self.values.get(key), highest)
    }

    /// The same for these missing members of a set, once they are preloaded; the next command may begin before they are
    /// ready.
    pub(crate) fn gain(&self, ask: Ask<'_>, missing: &[ComponentKey]) -> f64 {
        let load_time: Duration = missing.iter().map(|k| self.scheduler.wait(*k)).sum();
        let ready = self.pace.share_before_next(load_time);
        let worth = |k: &ComponentKey| {
            let value = with_stated(self.value(*k), ask.stated);
            let next = Confidence::saturating(value.next.get() * ready as f32);
            let wait = self.scheduler.wait(*k);
            let left = ask.raises_to.map(|rung| self.scheduler.wait_at(*k, rung));
            self.policy
                .worth(Value { next, ..value }, wait.saturating_sub(left.unwrap_or_default()))
        };
        missing.iter().map(worth).sum()
    }

    /// The policy's judgement of candidates.
    pub(crate) fn rank(&self, candidates: &Candidates, now: Moment) -> Vec<Ranked> {
        self.policy.rank(&candidates.rows, self.values, now)
    }

    /// Positions of candidates in the order of their eviction.
    pub(crate) fn eviction_order(&self, candidates: &Candidates, now: Moment) -> Vec<usize> {
        let mut order = victim_order(&candidates.rows, &self.rank(candidates, now));
        if self.policy.parks_first(self.values) {
            let unloads = |i: usize| candidates.closures[i].iter().any(|v| !v.to.is_parked());
            order.sort_by_key(|i| (!candidates.rows[*i].speculative, unloads(*i)));
        }
        order
    }
}
