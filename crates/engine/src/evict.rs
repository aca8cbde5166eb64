//! Victims on their way out: closing cells, draining, unloading.
//!
//! Invariant: a cell that is closed only to be looked at is opened again; victims are closed before any unload starts.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, Moment, Rung};
use majordomo_lifecycle::{
    Admitted, Cells, CloseAnswer, DropReason, Origin, Phase, Removal, Step, Then, TxnId, Victim,
};

use crate::Engine;
use crate::admit::Ask;

/// Victims without the rungs where they are left, in the same order.
pub(crate) fn keys_of_victims(victims: &[Victim]) -> Vec<ComponentKey> {
    victims.iter().map(|v| v.key).collect()
}

/// When cells change while they are looked at, the engine looks again after this.
pub(crate) const RECHECK: Duration = Duration::from_millis(1);

impl Engine {
    /// Closes the cells of ready victims in order; if any is leased, all are opened again and the leased ones
    /// returned.
    pub(crate) fn close_all(
        &mut self,
        victims: impl IntoIterator<Item = ComponentKey>,
        cells: &mut dyn Cells,
    ) -> Vec<(ComponentKey, u32)> {
        let mut closed = Vec::new();
        let mut leased = Vec::new();
        for key in victims {
            if self.scheduler.entry(key).state() != ComponentState::Ready {
                continue;
            }
            match cells.try_close(key) {
                CloseAnswer::Closed => closed.push(key),
                CloseAnswer::Leased(n) => leased.push((key, n)),
            }
        }
        if !leased.is_empty() {
            for key in closed {
                cells.reopen(key);
            }
        }
        leased
    }

    /// Evicts the victims of an admitted transaction. Components that are being removed free their bytes for it,
    /// unless those are another demand's.
    pub(crate) fn evict(
        &mut self,
        id: TxnId,
        origin: Origin,
        admitted: &Admitted,
        step: &mut Step<'_>,
    ) {
        let Admitted { victims, replaced, awaits, .. } = admitted;
        let needed_by = self.scheduler.transaction(id).and_then(|t| t.requested.first().copied());
        self.record_victims(victims, needed_by.unwrap_or_default(), None, step);
        self.record_displaced(&keys_of_victims(victims), id, origin);
        self.record_awaited_parks(origin, admitted, step.now);
        for &victim in victims {
            let is_replaced = replaced.contains(&victim.key);
            let cause = if is_replaced { Cause::Replaced } else { origin.eviction_cause() };
            self.evict_one(victim, cause, Some(id), step);
        }
        for key in awaits {
            let promised = self.scheduler.entry(*key).removal().and_then(Removal::freed_for);
            let keeps = promised.is_some_and(|other| !self.admission().is_preload(other));
            if !keeps {
                self.scheduler.free_for(*key, Some(id));
            }
        }
    }

    /// Records how long the members of a demand will wait for the parks that make room for them.
    fn record_awaited_parks(&mut self, origin: Origin, admitted: &Admitted, now: Moment) {
        let waits = if origin.waiter().is_some() {
            self.admission().time_to_park(&admitted.victims, &admitted.awaits, now)
        } else {
            Duration::ZERO
        };
        for member in &admitted.reserve {
            if waits.is_zero() {
                self.awaited_parks.remove(&member.key);
            } else {
                self.awaited_parks.insert(member.key, waits);
            }
        }
    }

    /// Evicts one component: a ready one, whose cell is closed without leases, a speculative load, or a parked one.
    pub(crate) fn evict_one(
        &mut self,
        Victim { key, to }: Victim,
        cause: Cause,
        freed_for: Option<TxnId>,
        step: &mut Step<'_>,
    ) {
        match self.scheduler.entry(key).state() {
            ComponentState::Ready => {
                let removal = Removal::at_once(cause, Then::at(to)).freeing_for(freed_for);
                self.scheduler.begin_removal(key, removal, step);
            }
            ComponentState::Loading { .. } => {
                self.scheduler.cancel_load(key, cause, step);
                self.scheduler.free_for(key, freed_for);
            }
            ComponentState::Queued { .. } => {
                let ids: Vec<_> = self
                    .scheduler
                    .transactions()
                    .filter(|t| t.origin.is_speculative() && t.reserve.iter().any(|r| r.key == key))
                    .map(|t| t.id)
                    .collect();
                for id in ids {
                    self.end(id, &DropReason::Cancelled, step);
                }
                if !to.is_parked() {
                    self.end_parked(key, cause, freed_for, step);
                }
            }
            _ if !to.is_parked() => self.end_parked(key, cause, freed_for, step),
            _ => {}
        }
    }

    fn end_parked(
        &mut self,
        key: ComponentKey,
        cause: Cause,
        freed_for: Option<TxnId>,
        step: &mut Step<'_>,
    ) {
        if !self.state(key).is_on_the_ladder() {
            return;
        }
        let is_promised = self.state(key).is_parking();
        self.scheduler.end_on_the_ladder(key, cause, Then::Unloaded, step);
        if !is_promised {
            self.scheduler.free_for(key, freed_for);
        }
    }

    /// Records why each victim was chosen. `preload`: what they are evicted for, if not for a demand, and the members that
    /// it has to load.
    pub(crate) fn record_victims(
        &self,
        victims: &[Victim],
        needed_by: ComponentKey,
        preload: Option<(Ask<'_>, &[ComponentKey])>,
        step: &mut Step<'_>,
    ) {
        if victims.is_empty() {
            return;
        }
        let admission = self.admission();
        let candidates = admission.candidates_left(victims, step.now);
        let gain = preload.map(|(ask, missing)| admission.gain(ask, missing));
        for (r, victim) in admission.rank(&candidates, step.now).iter().zip(victims) {
            let value = admission.value(r.key);
            step.record(EventKind::Victim {
                component: r.key,
                to: victim.to,
                policy: self.policy.name(),
                keep: r.keep,
                next: value.next,
                reuse: value.reuse,
                needed_by,
                loss: match preload {
                    Some((ask, _)) => admission.loss_for(ask, &[*victim], step.now),
                    None => admission.loss(&[*victim]),
                },
                gain,
            });
        }
    }

    /// Leases out on a published component, whose cell is left open or closed as it was.
    pub(crate) fn leases_out(&self, key: ComponentKey, cells: &mut dyn Cells) -> u32 {
        match cells.try_close(key) {
            CloseAnswer::Leased(n) => n,
            CloseAnswer::Closed => {
                if self.scheduler.entry(key).is_open() {
                    cells.reopen(key);
                }
                0
            }
        }
    }

    /// Asks for a notice when leases in the way end; what the head waits for too long is drained.
    pub(crate) fn await_leases(
        &mut self,
        id: TxnId,
        leased: &[ComponentKey],
        head: bool,
        step: &mut Step<'_>,
    ) {
        let patience = self.config().queue.drain_after;
        for &key in leased {
            step.cells.want(key);
            if step.cells.try_close(key) == CloseAnswer::Closed {
                // Released between the answer and the wish: no notice will come, so look again soon.
                step.cells.reopen(key);
                self.look_again = Some(step.now + RECHECK);
                continue;
            }
            if !head {
                continue;
            }
            let since = self.scheduler.entry_mut(key).awaited_by(id, step.now);
            if step.now.since(since) >= patience {
                self.drain(id, key, step);
            }
        }
    }

    /// Closes a leased component, and what depends on it, to newcomers, so that overlapping leases cannot
    /// starve the head of the queue. It stays loaded if the head is abandoned first.
    fn drain(&mut self, id: TxnId, key: ComponentKey, step: &mut Step<'_>) {
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let (origin, cause) = (txn.origin, txn.origin.eviction_cause());
        let closure = self.scheduler.live_closure(key);
        let parks = self.parks_when_drained(id, key, &closure, step.now);
        self.record_displaced(&closure, id, origin);
        for member in closure {
            match self.scheduler.entry(member).state() {
                ComponentState::Ready => {}
                // A dependent that was not requested must not come up while what it needs drains.
                ComponentState::Loading { .. } => {
                    self.scheduler.cancel_load(member, cause.clone(), step);
                    continue;
                }
                _ => {
                    self.scheduler.end_on_the_ladder(member, cause.clone(), Then::Unloaded, step);
                    continue;
                }
            }
            step.cells.close(member);
            let park = parks.iter().find(|v| v.key == member);
            let then = park.map_or(Then::Unloaded, |v| Then::at(v.to));
            let removal = Removal::when_drained(cause.clone(), then)
                .closed(step.cells.try_close(member))
                .freeing_for(Some(id))
                .reversible();
            self.scheduler.begin_removal(member, removal, step);
        }
    }

    /// How a component with its live dependents is parked once its leases have ended, if that frees enough for a transaction.
    /// A park does not end a conflict.
    fn parks_when_drained(
        &self,
        id: TxnId,
        key: ComponentKey,
        closure: &[ComponentKey],
        now: Moment,
    ) -> Vec<Victim> {
        let Some(txn) = self.scheduler.transaction(id) else { return Vec::new() };
        let conflicts = |k: &ComponentKey| {
            self.catalog().conflicts(*k).iter().any(|c| txn.closure.contains(&c.with))
        };
        if closure.iter().any(conflicts) {
            return Vec::new();
        }
        let admission = self.admission();
        let Ok(parks) = admission.deepest_park(key, closure, now) else { return Vec::new() };
        let budget = self.scheduler.budget();
        let mut short = budget.shortage(&self.missing_need(&txn.closure), Some(id.0));
        let is_removed = |e: &majordomo_lifecycle::Entry| {
            e.state().is_unloading() || e.state() == ComponentState::Draining
        };
        for leaving in self.scheduler.keys_where(is_removed) {
            budget.relieve(&mut short, &self.scheduler.freeing(leaving));
        }
        parks.iter().for_each(|v| budget.relieve(&mut short, &admission.freed_by(*v)));
        if short.is_none() { parks } else { Vec::new() }
    }

    /// Opens again what was closed for a head of the queue that no longer waits for it.
    pub(crate) fn cancel_needless_removals(&mut self, step: &mut Step<'_>) {
        if self.scheduler.n_removals() == 0 || self.ending.is_some() {
            return;
        }
        let mut keys = self.scheduler.keys_where(|e| {
            e.state() == ComponentState::Draining && e.removal().is_some_and(Removal::is_reversible)
        });
        // Dependencies first: a component is ready only while they are.
        keys.sort_by_key(|k| self.catalog().rank(*k));
        for key in keys {
            let e = self.scheduler.entry(key);
            let waiting = e
                .removal()
                .and_then(|r| self.scheduler.transaction(r.freed_for()?))
                .is_some_and(|t| t.phase == Phase::Waiting || t.awaits.contains(&key));
            let ready = |d: &ComponentKey| self.state(*d) == ComponentState::Ready;
            if !waiting && e.dependencies().iter().all(ready) {
                self.scheduler.cancel_removal(key, step);
            }
        }
    }

    /// Closes a ready component and everything that depends on it and lets them go when their leases have
    /// ended, or are revoked at `force_at`.
    pub(crate) fn remove_with_dependents(
        &mut self,
        key: ComponentKey,
        cause: &Cause,
        then: &Then,
        force_at: Option<Moment>,
        step: &mut Step<'_>,
    ) {
        let lost = self.scheduler.dependency_lost(key, cause);
        for member in self.scheduler.live_closure(key) {
            let own = member == key;
            match self.scheduler.entry(member).state() {
                ComponentState::Ready => {
                    step.cells.close(member);
                    let comes_back = !matches!(cause, Cause::Shutdown | Cause::Operator)
                        && self.scheduler.must_run(member);
                    let with_it = if comes_back { Then::Reload } else { Then::Unloaded };
                    let (cause, then) =
                        if own { (cause.clone(), then.clone()) } else { (lost.clone(), with_it) };
                    let removal = Removal::when_drained(cause, then)
                        .closed(step.cells.try_close(member))
                        .forced_at(force_at);
                    self.scheduler.begin_removal(member, removal, step);
                }
                ComponentState::Loading { .. } if !own => {
                    self.scheduler.cancel_load(member, lost.clone(), step);
                }
                ComponentState::Draining => {
                    self.scheduler.hasten_removal(member, force_at);
                    if own {
                        self.scheduler.end_removal_as(member, then.clone());
                    }
                }
                ComponentState::Loading { from: Rung::Gone } => {}
                // It was evicted: only a demand loads it again.
                _ => {
                    let cause = if own { cause } else { &lost };
                    self.scheduler.end_on_the_ladder(member, cause.clone(), Then::Unloaded, step);
                }
            }
        }
        self.scheduler.touch();
    }
}
