//! Transactions that end or return to the queue: answers to waiters, and what becomes of members.

use majordomo_core::{
    ByteSize, Cause, ComponentId, ComponentKey, ComponentState, EventKind, Refusal,
};
use majordomo_registry::OnAbandon;

use super::{DropReason, Scheduler};
use crate::{Effect, Origin, Phase, Step, Transaction, TxnId};

/// Why a transaction gives up its members.
#[derive(Clone, Copy, Debug)]
pub(super) enum Release<'a> {
    /// It returns to the queue.
    Replanned,
    /// A component failed that it waited for.
    Failed { component: &'a ComponentId, cause: &'a str },
    /// Its deadline passed: one of the caller's own, or the usual one.
    Expired { own: bool },
    /// It ended otherwise.
    Ended,
}

impl<'a> Release<'a> {
    pub(super) fn of(refusal: Option<&'a Refusal>, own: bool) -> Self {
        match refusal {
            Some(Refusal::LoadFailed { component, cause }) => Self::Failed { component, cause },
            Some(Refusal::Unloaded { component }) => {
                Self::Failed { component, cause: "an operator unloaded it" }
            }
            Some(Refusal::DeadlineExceeded { .. }) => Self::Expired { own },
            _ => Self::Ended,
        }
    }
}

impl Scheduler {
    /// Ends a transaction and answers its waiter. Members that no other transaction needs are released, or cancelled;
    /// members that others count on are loaded. Transactions that count on one which loads beyond the budget are planned again
    /// instead: a peak is loaded for the demand for it alone, and the others' members may fit without it.
    pub fn drop_txn(&mut self, id: TxnId, reason: &DropReason, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get(id) else { return };
        Self::answer(txn, reason, step);
        let may_be_adopted = txn.phase == Phase::Clearing
            && txn.origin != Origin::Adopted
            && txn.overloads.is_empty();
        if may_be_adopted && self.others_count_on(id) {
            self.adopt(id, step);
            return;
        }
        let unpaid = txn.unpaid();
        if txn.is_active() {
            let own_deadline = txn.own_deadline;
            let refusal = match reason {
                DropReason::Refused(refusal) => Some(refusal),
                _ => None,
            };
            self.release(id, Release::of(refusal, own_deadline), step);
        }
        self.txns.remove(id);
        self.changed = true;
        self.replan_counting_on(&unpaid, step);
    }

    /// Has a transaction that clears memory continue for the transactions that count on it. Of a preload only their
    /// members are kept; the others are released.
    fn adopt(&mut self, id: TxnId, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get_mut(id) else { return };
        if !std::mem::replace(&mut txn.origin, Origin::Adopted).is_speculative() {
            return;
        }
        let (kept, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut txn.closure)
            .into_iter()
            .partition(|k| self.entries[k.index()].is_required());
        txn.reserve.retain(|r| kept.contains(&r.key));
        txn.requested.clone_from(&kept);
        txn.closure.clone_from(&kept);
        for key in kept {
            self.entries[key.index()].require();
        }
        // Dependents first, so that a component is cancelled before what it needs.
        for key in rest.into_iter().rev() {
            self.orphaned(key, Release::Ended, step);
        }
        self.budget.drop_claim(id.0);
        let txn = &self.txns[id];
        let due = self.budget.beyond(&txn.need(), &self.coming_free(txn));
        self.budget.claim(id.0, &due);
        self.changed = true;
    }

    /// Whether another owned active transaction has one of the members this one is to reserve.
    pub(super) fn others_count_on(&self, id: TxnId) -> bool {
        let txn = &self.txns[id];
        let own = u32::from(!txn.origin.is_speculative());
        txn.reserve.iter().any(|r| self.entry(r.key).n_required() > own)
    }

    /// Gives up pins, claims and members of an active transaction.
    pub(super) fn release(&mut self, id: TxnId, why: Release<'_>, step: &mut Step<'_>) {
        self.budget.drop_claim(id.0);
        let Some(txn) = self.txns.get_mut(id) else { return };
        let closure = txn.closure.clone();
        txn.reserve.clear();
        txn.overloads.clear();
        txn.awaits.clear();
        if !txn.origin.is_speculative() {
            for key in &closure {
                self.entries[key.index()].unrequire();
            }
        }
        // Dependents first, so that a component is cancelled before what it needs.
        for key in closure.into_iter().rev() {
            self.orphaned(key, why, step);
        }
        for e in &mut self.entries {
            if let Some(removal) = e.removal_mut().filter(|r| r.freed_for() == Some(id)) {
                removal.assign(None);
            }
        }
    }

    /// A member that lost a transaction is released or cancelled when no other needs it.
    fn orphaned(&mut self, key: ComponentKey, why: Release<'_>, step: &mut Step<'_>) {
        if self.is_needed(key) {
            return;
        }
        match self.entry(key).state() {
            ComponentState::Queued { from } if from.is_parked() => {
                let cause = self.cause_of_release(key, why);
                self.stay_parked(key, from, cause, step);
            }
            ComponentState::Queued { .. } => {
                self.budget.release(key);
                self.entry_mut(key).set_overload(ByteSize::ZERO);
                let cause = self.cause_of_release(key, why);
                self.set_state(key, ComponentState::UNLOADED, cause, step);
            }
            // Another transaction may need it before this input is done: one that returns to the queue is often
            // admitted at once.
            ComponentState::Loading { .. } => {
                // A deadline of the caller's own counts as its leaving where a load is never to go on alone.
                let cancels =
                    self.catalog.spec(key).is_some_and(|s| s.on_abandon == OnAbandon::Cancel);
                let expired = match why {
                    Release::Expired { own } => !(own && cancels),
                    _ => false,
                };
                match self.loose.iter_mut().find(|l| l.0 == key) {
                    Some(known) => known.1 |= expired,
                    None => self.loose.push((key, expired)),
                }
            }
            _ => {}
        }
    }

    fn cause_of_release(&self, key: ComponentKey, why: Release<'_>) -> Cause {
        match why {
            Release::Failed { component, cause } => {
                let failed = self.catalog.key(component.as_str());
                if failed.is_some_and(|f| f != key && self.catalog.closure(&[key]).contains(&f)) {
                    return Cause::DependencyFailed {
                        component: component.clone(),
                        error: cause.to_owned(),
                    };
                }
                Cause::Abandoned
            }
            Release::Replanned => Cause::Replanned,
            Release::Expired { .. } | Release::Ended => Cause::Abandoned,
        }
    }

    /// Ends the loads that lost their transactions during this input and were not taken over since.
    pub fn cancel_loose(&mut self, step: &mut Step<'_>) {
        let mut loose = std::mem::take(&mut self.loose);
        // Dependents first, so that a component is cancelled before what it needs.
        loose.sort_by_key(|(k, _)| std::cmp::Reverse((self.catalog.rank(*k), *k)));
        for (key, expired) in loose {
            if !self.entry(key).state().is_loading() || self.is_needed(key) {
                continue;
            }
            // A demand waits for the next attempt of another member of a set, and then needs this one.
            let awaited =
                self.txns.values().any(|t| t.is_dormant(step.now) && t.closure.contains(&key));
            // A deadline that passes says nothing against the load: cancelled, a load that takes longer than a demand
            // may wait would begin again with each demand and never end.
            let wakes = self.entry(key).state().is_waking();
            if wakes || expired || awaited || self.finishes_alone(key, step.now) {
                self.entry_mut(key).set_speculative(true);
            } else {
                self.cancel_load(key, Cause::Abandoned, step);
            }
        }
    }

    /// Whether an active transaction needs a member that is not ready yet.
    fn is_needed(&self, key: ComponentKey) -> bool {
        self.entry(key).is_required()
            || self.txns.values().any(|t| {
                t.is_active() && t.origin.is_speculative() && t.reserve.iter().any(|r| r.key == key)
            })
    }

    /// Answers the waiter of a transaction that is gone.
    pub(crate) fn answer(txn: &Transaction, reason: &DropReason, step: &mut Step<'_>) {
        let Origin::Demand { waiter, lease } = txn.origin else { return };
        match reason {
            DropReason::Granted => {
                let waited_us =
                    u64::try_from(step.now.since(txn.since).as_micros()).unwrap_or(u64::MAX);
                if lease {
                    let (keys, left_out) = (txn.requested.clone(), txn.left_out.clone());
                    step.push(Effect::Grant { waiter, keys, left_out });
                } else {
                    step.push(Effect::Done { waiter });
                }
                step.record(EventKind::Granted {
                    waiter,
                    components: txn.requested.clone(),
                    waited_us,
                    left_out: txn.left_out.clone(),
                });
            }
            DropReason::Refused(refusal) => {
                step.push(Effect::Refuse { waiter, refusal: refusal.clone() });
                step.record(EventKind::Refused {
                    waiter,
                    components: txn.requested.clone(),
                    refusal: refusal.clone(),
                });
            }
            DropReason::Abandoned => step.record(EventKind::Abandoned { waiter }),
            DropReason::Cancelled => {}
        }
    }
}
