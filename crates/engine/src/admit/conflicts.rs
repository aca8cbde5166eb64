//! Reasons that keep a component from being evicted, and the effect of conflicts on admission: refusal, eviction or a
//! wait.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ComponentKey, ComponentState, HolderKind, Moment, Priority, Refusal};
use majordomo_lifecycle::{Origin, Removal, Victim};
use majordomo_registry::ConflictPolicy;

use super::{Admission, Ask, Bar, Draft, is_present, leaving_kind};
use crate::waiting::LOAD_TIME_MARGIN;

impl Admission<'_> {
    /// Adds the components that conflict with the set to the draft: as victims where they may be
    /// evicted, else as holders that block it, or to await their unload.
    ///
    /// Refuses a set whose conflict has the policy to refuse, a set that conflicts with a component
    /// that is CORE, pinned or stuck, and a preload that would have to wait.
    pub(super) fn clear_conflicts(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let incoming: Vec<_> = draft.reserve.iter().map(|r| r.key).collect();
        for key in incoming {
            for conflict in self.catalog().conflicts(key) {
                let other = conflict.with;
                let e = self.scheduler.entry(other);
                let expected = self.scheduler.is_expected(other, ask.id);
                if !(e.state().is_alive() || e.state().is_queued() || expected) {
                    continue;
                }
                let refuse = |refuses: bool| Refusal::Conflict {
                    component: self.catalog().id(key).clone(),
                    with: self.catalog().id(other).clone(),
                    refuses,
                };
                let stays =
                    conflict.policy == ConflictPolicy::Refuse && !self.yields(other, leased);
                if stays {
                    return Err(refuse(true));
                }
                if ask.origin.is_speculative() && !self.is_evictable_soon(other, ask, leased, now) {
                    return Err(refuse(false));
                }
                if self.fixed_by(other).is_some() || e.state() == ComponentState::Stuck {
                    return Err(refuse(false));
                }
                if expected && !e.state().is_queued() {
                    // It is unloading or down, and another transaction is going to load it again.
                    draft.block(self.holder(other, HolderKind::InTransaction), None);
                    continue;
                }
                if e.state().is_unloading() && !e.state().is_parking() {
                    draft.awaits.push(other);
                    continue;
                }
                for member in self.scheduler.live_closure(other) {
                    let state = self.state(member);
                    match self.bar(member, ask, leased, now) {
                        // A park does not end the conflict.
                        Some(bar)
                            if state.is_parking()
                                && bar.kind == HolderKind::Unloading
                                && draft.target(member).is_none() =>
                        {
                            draft.victims.push(Victim::gone(member));
                            draft.replaced.push(member);
                        }
                        _ if state.is_unloading() => draft.awaits.push(member),
                        Some(bar) => draft.block(self.holder(member, bar.kind), bar.until),
                        None if draft.target(member).is_some() => {}
                        None => {
                            draft.victims.push(Victim::gone(member));
                            draft.replaced.push(member);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a component and its live dependents are up, loading or parked, and nothing keeps them for an unknown time: a
    /// preload waits for a known moment alone.
    fn is_evictable_soon(
        &self,
        key: ComponentKey,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
    ) -> bool {
        let group = self.scheduler.live_closure(key);
        let stays = |k| self.bar(k, ask, leased, now).is_some_and(|bar| bar.until.is_none());
        let may_end = |k| is_present(self.state(k)) || self.state(k).is_parked();
        group.iter().all(|k| may_end(*k) && !stays(*k))
    }

    /// Whether a component and its live dependents are parked, or preloads without a use: a demand for a conflicting
    /// component evicts them.
    fn yields(&self, key: ComponentKey, leased: &BTreeMap<ComponentKey, u32>) -> bool {
        use ComponentState as S;
        self.scheduler.live_closure(key).into_iter().all(|k| {
            let e = self.scheduler.entry(k);
            let is_evictable = match e.state() {
                S::Queued { .. } | S::Loading { .. } | S::Ready | S::Unloading { .. } => true,
                S::Draining => e.removal().is_some_and(Removal::is_drained),
                _ => false,
            };
            // A dependent that is unloading already keeps nothing loaded.
            let unloads = k != key && e.state().is_unloading();
            unloads
                || ((e.state().is_parked() || e.state().is_parking())
                    && !e.is_required()
                    && !e.is_fixed())
                || (e.is_unrequested() && is_evictable && !e.is_fixed() && !leased.contains_key(&k))
        })
    }

    /// The end of the configured minimum residency.
    fn residency_end(&self, key: ComponentKey) -> Moment {
        self.scheduler.entry(key).ready_at() + self.config().memory.min_residency
    }

    /// Until when a component that thrashes is held against a set: against every preload, but not against a demand of
    /// higher priority, nor one that might not be loaded before its deadline then, since an unload may take its grace, and
    /// loads take longer than is known of them.
    fn hold_end(&self, key: ComponentKey, ask: Ask<'_>, now: Moment) -> Option<Moment> {
        if ask.origin.is_speculative() {
            return self.thrash.held_at_all(key);
        }
        let is_missing = |k: &ComponentKey| self.state(*k) != ComponentState::Ready;
        let missing = || ask.closure.iter().copied().filter(is_missing);
        let held = self.thrash.held_until(key, missing())?;
        let group = self.scheduler.live_closure(key);
        let tiers = self.scheduler.requested_tiers(now);
        if self.tier(ask, now) < self.scheduler.effective_priority(key, &group, &tiers) {
            return None;
        }
        let loads: Duration = missing().map(|k| self.scheduler.wait(k)).sum();
        let last = held + self.scheduler.grace(key, now) + loads.mul_f64(LOAD_TIME_MARGIN);
        ask.deadline.is_none_or(|deadline| last <= deadline).then_some(held)
    }

    /// The priority of a set: of its transaction now, or of its members.
    fn tier(&self, ask: Ask<'_>, now: Moment) -> Priority {
        let txn = ask.id.and_then(|id| self.scheduler.transaction(id));
        let of_members = || {
            let specs = ask.closure.iter().filter_map(|k| self.catalog().spec(*k));
            specs.map(|s| s.priority).min().unwrap_or(Priority::Low)
        };
        txn.map_or_else(of_members, |t| t.tier(now, &self.config().queue))
    }

    /// The reason why this one component cannot be evicted for that set.
    pub(super) fn bar(
        &self,
        key: ComponentKey,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
    ) -> Option<Bar> {
        let e = self.scheduler.entry(key);
        let bar = |kind| Some(Bar { kind, until: None });
        if e.is_fixed() {
            let pinned = e.is_pinned_now();
            return bar(if pinned { HolderKind::Pinned } else { HolderKind::Core });
        }
        if e.is_required() || ask.closure.contains(&key) {
            return bar(HolderKind::InTransaction);
        }
        if let Some(&leases) = leased.get(&key) {
            return bar(HolderKind::Leased { leases });
        }
        if ask.origin.is_speculative() && self.is_for_a_demand(key) {
            return bar(HolderKind::InTransaction);
        }
        match e.state() {
            // Its cell is closed until it has answered a probe; nothing opens it before.
            ComponentState::Ready if !e.is_open() => bar(HolderKind::Unloading),
            ComponentState::Ready => {
                // Neither protects a preload without a use.
                let held = self.hold_end(key, ask, now).unwrap_or_default();
                let stays = self.residency_end(key).max(held);
                (stays > now && !e.is_speculative() && !ask.gives_up.contains(&key))
                    .then_some(Bar { kind: HolderKind::JustLoaded, until: Some(stays) })
            }
            // It is never cancelled, and soon ready.
            state if state.is_waking() => bar(HolderKind::InTransaction),
            ComponentState::Queued { .. } | ComponentState::Loading { .. } => None,
            state if state.is_parked() => None,
            ComponentState::Stuck => bar(HolderKind::Stuck),
            _ => bar(leaving_kind(e)),
        }
    }

    /// Whether a waiting demand needs the component, if only after another attempt of a member that failed; or whether it
    /// loads and no preload began that: the refusal of its demand has said when it will be ready.
    fn is_for_a_demand(&self, key: ComponentKey) -> bool {
        let is_part_of = |is_one: fn(Origin) -> bool| {
            self.scheduler.transactions().any(|t| is_one(t.origin) && t.closure.contains(&key))
        };
        let is_preload = || self.preloads.is_open(key) || is_part_of(Origin::is_speculative);
        is_part_of(|origin| origin.waiter().is_some())
            || (self.state(key).is_loading() && !is_preload())
    }
}
