//! Transactions: from the queue to their reservations, and back.

use majordomo_core::{
    ByteSize, Cause, ComponentId, ComponentKey, ComponentState, Holder, LeftOut, Moment, Refusal,
};
use majordomo_memory::Need;

use super::{DropReason, Scheduler};
use majordomo_registry::OnAbandon;

use crate::{Origin, Phase, Request, Step, Transaction, TxnId};

/// What became of a transaction that was clearing memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleared {
    /// Something it awaits is still on its way out.
    NotYet,
    /// Its bytes are reserved.
    Reserved,
    /// It has to be planned anew.
    Replan,
}

/// Why a transaction gives up its members.
#[derive(Clone, Copy, Debug)]
enum LetGo<'a> {
    /// It goes back to the queue.
    Replanned,
    /// A component failed that it waited for.
    Failed { component: &'a ComponentId, cause: &'a str },
    /// Its deadline passed: one of the caller's own, or the usual one.
    Expired { own: bool },
    /// It ended otherwise.
    Ended,
}

impl<'a> LetGo<'a> {
    fn of(refusal: Option<&'a Refusal>, own: bool) -> Self {
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
    /// Waiting transactions in the order in which they are looked at: by tier, then arrival.
    #[must_use]
    pub fn queue(&self, now: Moment) -> Vec<TxnId> {
        let queue = &self.config.queue;
        let mut order: Vec<_> = self
            .txns
            .values()
            .filter(|t| !t.is_active() && !t.origin.is_speculative())
            .map(|t| (t.tier(now, queue), t.id))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// Waiting transactions that somebody waits for.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.txns.values().filter(|t| !t.is_active() && t.origin.waiter().is_some()).count()
    }

    /// Enters a transaction into the queue.
    pub fn submit(&mut self, request: Request, now: Moment) -> TxnId {
        let id = TxnId(self.next_txn);
        self.next_txn += 1;
        let mut txn = Transaction::new(id, request, now);
        txn.closure = self.catalog.closure(&txn.wanted);
        self.txns.push(txn);
        self.touch();
        id
    }

    /// A waiting transaction is blocked by these holders; at `until` something that blocks it ends by itself.
    pub fn block(&mut self, id: TxnId, holders: Vec<Holder>, until: Option<Moment>, now: Moment) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
            t.retry_at = until;
            t.blocked_since.get_or_insert(now);
        }
    }

    /// A transaction waits until failed members may be tried again, in no other transaction's way.
    pub fn await_retry(&mut self, id: TxnId, holders: Vec<Holder>, until: Moment) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
            (t.retry_at, t.waits_for_retry) = (Some(until), Some(until));
            t.blocked_since = None;
        }
    }

    /// A transaction waits for leases of these holders alone.
    pub fn await_leases(&mut self, id: TxnId, holders: Vec<Holder>) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
        }
    }

    /// A later transaction was admitted before these.
    pub fn overtake(&mut self, ids: &[TxnId]) {
        for id in ids {
            if let Some(t) = self.txns.get_mut(*id) {
                t.overtaken += 1;
            }
        }
    }

    /// Takes components out of a waiting transaction that may be granted in part.
    pub fn leave_out(&mut self, id: TxnId, left_out: Vec<LeftOut>) {
        let Some(t) = self.txns.get_mut(id) else { return };
        let stays = |k: &ComponentKey| left_out.iter().all(|l| l.component != *k);
        t.wanted.retain(stays);
        t.order.retain(stays);
        t.closure = self.catalog.closure(&t.wanted);
        t.left_out.extend(left_out);
        t.holders.clear();
        t.retry_at = None;
        self.touch();
    }

    /// Lets a waiting transaction go on with what the engine planned; its victims are on their way out.
    pub fn activate(
        &mut self,
        id: TxnId,
        reserve: Vec<(ComponentKey, usize, ByteSize)>,
        awaits: Vec<ComponentKey>,
        overloads: Vec<(ComponentKey, ByteSize)>,
        step: &mut Step<'_>,
    ) {
        let Some(txn) = self.txns.get_mut(id) else { return };
        debug_assert_eq!(txn.phase, Phase::Waiting);
        txn.reserve = reserve;
        txn.overloads = overloads;
        txn.awaits = awaits;
        txn.phase = Phase::Clearing;
        txn.admissions += 1;
        txn.holders.clear();
        txn.retry_at = None;
        let owned = !txn.origin.is_speculative();
        let closure = txn.closure.clone();
        let members: Vec<_> = txn.reserve.iter().map(|r| r.0).collect();
        let cause = txn.cause.clone();
        for &key in &closure {
            let e = &mut self.entries[key.index()];
            if owned {
                e.require();
                e.restart_mut().cancel();
            }
        }
        for key in members {
            let e = &mut self.entries[key.index()];
            if matches!(
                e.state(),
                ComponentState::Unloaded
                    | ComponentState::Failed { .. }
                    | ComponentState::Quarantined { .. }
            ) {
                e.set_speculative(!owned);
                self.set_state(key, ComponentState::Queued, cause.clone(), step);
            }
        }
        self.clear(id, step);
    }

    /// Bytes that what leaves for this transaction still holds.
    fn coming_free(&self, txn: &Transaction) -> Need {
        let mut coming = Need::new();
        for &key in &txn.awaits {
            let removal = self.entry(key).removal();
            if removal.is_some_and(|r| r.freed_for() == Some(txn.id))
                && let Some(pool) = self.budget.pool_of(key)
            {
                coming.add(pool, self.budget.booked_for(key));
            }
        }
        coming
    }

    /// Tries to turn the claims of a clearing transaction into reservations.
    pub(crate) fn clear(&mut self, id: TxnId, step: &mut Step<'_>) -> Cleared {
        let Some(txn) = self.txns.get(id).filter(|t| t.phase == Phase::Clearing) else {
            return Cleared::NotYet;
        };
        // What its victims are still to free comes by itself: until then that much more is not its own, however
        // much is free.
        let due = self.budget.beyond(&txn.need(), &self.coming_free(txn));
        let complete = self.budget.claim(id.0, &due);
        let stuck = txn.awaits.iter().any(|k| self.entry(*k).state() == ComponentState::Stuck);
        let pending = txn.awaits.iter().any(|k| {
            let s = self.entry(*k).state();
            matches!(s, ComponentState::Draining | ComponentState::Unloading)
        });
        if stuck {
            return Cleared::Replan;
        }
        if pending {
            return Cleared::NotYet;
        }
        let startable = txn.reserve.iter().all(|(k, ..)| {
            matches!(self.entry(*k).state(), ComponentState::Queued | ComponentState::Unloaded)
        });
        let reserve = txn.reserve.clone();
        if !complete || !startable || self.budget.settle(id.0, &reserve).is_err() {
            return Cleared::Replan;
        }
        let cause = self.txns[id].cause.clone();
        let owned = !self.txns[id].origin.is_speculative();
        for (key, ..) in reserve {
            if self.entry(key).state() == ComponentState::Unloaded {
                self.entry_mut(key).set_speculative(!owned);
                self.set_state(key, ComponentState::Queued, cause.clone(), step);
            }
        }
        if let Some(txn) = self.txns.get_mut(id) {
            txn.phase = Phase::Loading;
            for (key, bytes) in std::mem::take(&mut txn.overloads) {
                self.entries[key.index()].set_overload(bytes);
            }
        }
        Cleared::Reserved
    }

    /// Moves every clearing transaction on; those that must be planned anew go back to the queue.
    pub fn clear_all(&mut self, step: &mut Step<'_>) {
        let clearing = self.txns.values().filter(|t| t.phase == Phase::Clearing);
        let mut ids: Vec<_> = clearing.map(|t| (t.origin.is_speculative(), t.id)).collect();
        // What a demand's victims freed is its own before a guess looks.
        ids.sort_unstable();
        for (_, id) in ids {
            if self.clear(id, step) == Cleared::Replan {
                self.requeue(id, step);
            }
        }
        let unneeded: Vec<_> = self
            .txns
            .values()
            .filter(|t| t.origin == Origin::Adopted && !self.others_count_on(t.id))
            .map(|t| t.id)
            .collect();
        for id in unneeded {
            self.drop_txn(id, &DropReason::Cancelled, step);
        }
        // A member that fell out of another's transaction: transactions that counted on it are planned again.
        let lost: Vec<_> = self
            .txns
            .values()
            .filter(|t| t.phase == Phase::Loading && t.closure.iter().any(|k| !self.is_coming(*k)))
            .map(|t| t.id)
            .collect();
        for id in lost {
            self.requeue(id, step);
        }
    }

    /// After a new configuration: every transaction that it touches is planned anew. `changed` are the components
    /// whose specifications are others now. Returns the transactions that want a component that is gone, with that
    /// component.
    pub fn replan_all(
        &mut self,
        changed: &[ComponentKey],
        step: &mut Step<'_>,
    ) -> Vec<(TxnId, ComponentKey)> {
        let mut gone = Vec::new();
        let ids: Vec<_> = self.txns.values().map(|t| t.id).collect();
        for id in ids {
            let Some(txn) = self.txns.get(id) else { continue };
            let closure = self.catalog.closure(&txn.wanted);
            let removed = txn.wanted.iter().copied().find(|k| self.catalog.spec(*k).is_none());
            if let Some(key) = removed {
                // It holds nothing any more, or what is gone would be loaded for those who count on it.
                self.requeue(id, step);
                gone.push((id, key));
            } else if closure != txn.closure
                || self.meets_a_new_conflict(txn)
                || self.is_to_load_any(txn, changed)
            {
                self.requeue(id, step);
                if let Some(txn) = self.txns.get_mut(id) {
                    txn.closure = closure;
                }
            }
        }
        gone
    }

    /// Whether something that this transaction is still to load is among `changed`: its bytes, its pool or more is
    /// another now.
    fn is_to_load_any(&self, txn: &Transaction, changed: &[ComponentKey]) -> bool {
        let unpaid = txn.unpaid();
        txn.is_active()
            && changed.iter().any(|k| {
                txn.closure.contains(k)
                    && (self.entry(*k).state() == ComponentState::Queued || unpaid.contains(k))
            })
    }

    /// Whether something that this transaction is still to load conflicts, by the new configuration, with what
    /// is there or on its way.
    fn meets_a_new_conflict(&self, txn: &Transaction) -> bool {
        let to_come = |k: ComponentKey| {
            self.entry(k).state() == ComponentState::Queued || txn.reserve.iter().any(|r| r.0 == k)
        };
        txn.is_active()
            && txn.closure.iter().filter(|k| to_come(**k)).any(|k| {
                self.catalog.conflicts(*k).iter().any(|c| {
                    let state = self.entry(c.with).state();
                    let there = state.is_alive() || state == ComponentState::Queued;
                    (there && !txn.awaits.contains(&c.with))
                        || self.is_expected(c.with, Some(txn.id))
                })
            })
    }

    /// After a suspend: what every transaction and operation may take begins anew.
    pub fn restart_deadlines(&mut self, now: Moment) {
        for t in self.txns.values_mut() {
            t.deadline = now + t.deadline.since(t.since);
            t.since = now;
            t.blocked_since = t.blocked_since.map(|_| now);
        }
        for e in &mut self.entries {
            e.restart_clocks(now);
        }
    }

    fn is_coming(&self, key: ComponentKey) -> bool {
        matches!(
            self.entry(key).state(),
            ComponentState::Queued | ComponentState::Loading | ComponentState::Ready
        ) || self.is_expected(key, None)
    }

    /// Whether a transaction that clears memory, other than `except`, is to load a component: it may still be
    /// on its way out, or down already, and yet it is spoken for.
    #[must_use]
    pub fn is_expected(&self, key: ComponentKey, except: Option<TxnId>) -> bool {
        self.txns.values().any(|t| {
            t.phase == Phase::Clearing
                && Some(t.id) != except
                && t.reserve.iter().any(|r| r.0 == key)
        })
    }

    /// Puts an active transaction back into the queue, in its old place, holding nothing.
    pub fn requeue(&mut self, id: TxnId, step: &mut Step<'_>) {
        self.requeue_for(id, LetGo::Replanned, step);
    }

    /// The same, since a component failed that it waits for further on.
    pub fn requeue_after(&mut self, id: TxnId, failure: &Refusal, step: &mut Step<'_>) {
        self.requeue_for(id, LetGo::of(Some(failure), false), step);
    }

    fn requeue_for(&mut self, id: TxnId, why: LetGo<'_>, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get_mut(id).filter(|t| t.is_active()) else { return };
        let unpaid = txn.unpaid();
        txn.phase = Phase::Waiting;
        let speculative = txn.origin.is_speculative();
        self.let_go(id, why, step);
        if speculative {
            self.txns.remove(id);
        }
        self.changed = true;
        self.replan_counting_on(&unpaid, step);
    }

    /// Whoever counted on a transaction that is gone to pay for its members plans anew as well, or they would be
    /// loaded without bytes.
    fn replan_counting_on(&mut self, unpaid: &[ComponentKey], step: &mut Step<'_>) {
        for &key in unpaid {
            if self.entry(key).state() != ComponentState::Queued || self.is_expected(key, None) {
                continue;
            }
            let counting: Vec<_> = self
                .txns
                .values()
                .filter(|t| t.is_active() && t.closure.contains(&key))
                .map(|t| t.id)
                .collect();
            for other in counting {
                self.requeue(other, step);
            }
        }
    }

    /// Ends a transaction and answers its waiter. Members that nobody else needs go back, or are cancelled;
    /// members that others count on go on.
    pub fn drop_txn(&mut self, id: TxnId, reason: &DropReason, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get(id) else { return };
        Self::answer(txn, reason, step);
        if txn.phase == Phase::Clearing && txn.origin != Origin::Adopted && self.others_count_on(id)
        {
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
            self.let_go(id, LetGo::of(refusal, own_deadline), step);
        }
        self.txns.remove(id);
        self.changed = true;
        self.replan_counting_on(&unpaid, step);
    }

    /// Has a transaction that clears memory go on for those who count on it. Of a guess only their members are kept;
    /// the rest goes back.
    fn adopt(&mut self, id: TxnId, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get_mut(id) else { return };
        if !std::mem::replace(&mut txn.origin, Origin::Adopted).is_speculative() {
            return;
        }
        let (kept, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut txn.closure)
            .into_iter()
            .partition(|k| self.entries[k.index()].is_required());
        txn.reserve.retain(|r| kept.contains(&r.0));
        txn.wanted.clone_from(&kept);
        txn.closure.clone_from(&kept);
        for key in kept {
            self.entries[key.index()].require();
        }
        // Dependents first, so that a component is cancelled before what it needs.
        for key in rest.into_iter().rev() {
            self.orphaned(key, LetGo::Ended, step);
        }
        self.budget.drop_claim(id.0);
        let txn = &self.txns[id];
        let due = self.budget.beyond(&txn.need(), &self.coming_free(txn));
        self.budget.claim(id.0, &due);
        self.changed = true;
    }

    /// Whether another owned active transaction has one of the members this one is to reserve.
    fn others_count_on(&self, id: TxnId) -> bool {
        let txn = &self.txns[id];
        let own = u32::from(!txn.origin.is_speculative());
        txn.reserve.iter().any(|(k, ..)| self.entry(*k).n_required() > own)
    }

    /// Gives up pins, claims and members of an active transaction.
    fn let_go(&mut self, id: TxnId, why: LetGo<'_>, step: &mut Step<'_>) {
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

    /// A member that lost a transaction: goes back or is cancelled when no other wants it.
    fn orphaned(&mut self, key: ComponentKey, why: LetGo<'_>, step: &mut Step<'_>) {
        if self.is_wanted(key) {
            return;
        }
        match self.entry(key).state() {
            ComponentState::Queued => {
                self.budget.release(key);
                self.entry_mut(key).set_overload(ByteSize::ZERO);
                let cause = self.cause_of_letting_go(key, why);
                self.set_state(key, ComponentState::Unloaded, cause, step);
            }
            // It may be wanted again before this input is done: a transaction that goes back to the queue is often
            // admitted at once.
            ComponentState::Loading => {
                // A deadline of the caller's own counts as its leaving where a load is never to go on alone.
                let cancels =
                    self.catalog.spec(key).is_some_and(|s| s.on_abandon == OnAbandon::Cancel);
                let expired = match why {
                    LetGo::Expired { own } => !(own && cancels),
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

    fn cause_of_letting_go(&self, key: ComponentKey, why: LetGo<'_>) -> Cause {
        match why {
            LetGo::Failed { component, cause } => {
                let failed = self.catalog.key(component.as_str());
                if failed.is_some_and(|f| f != key && self.catalog.closure(&[key]).contains(&f)) {
                    return Cause::DependencyFailed {
                        component: component.clone(),
                        error: cause.to_owned(),
                    };
                }
                Cause::Abandoned
            }
            LetGo::Replanned => Cause::Replanned,
            LetGo::Expired { .. } | LetGo::Ended => Cause::Abandoned,
        }
    }

    /// Ends the loads that lost their transactions during this input and were not taken over since.
    pub fn cancel_loose(&mut self, step: &mut Step<'_>) {
        let mut loose = std::mem::take(&mut self.loose);
        // Dependents first, so that a component is cancelled before what it needs.
        loose.sort_by_key(|(k, _)| std::cmp::Reverse((self.catalog.rank(*k), *k)));
        for (key, expired) in loose {
            if self.entry(key).state() != ComponentState::Loading || self.is_wanted(key) {
                continue;
            }
            // A demand waits for the next attempt of another member of a set, and then needs this one.
            let awaited =
                self.txns.values().any(|t| t.is_dormant(step.now) && t.closure.contains(&key));
            // A deadline that passes says nothing against the load: cancelled, a load that takes longer than a demand
            // may wait would begin again with each demand and never end.
            if expired || awaited || self.finishes_alone(key, step.now) {
                self.entry_mut(key).set_speculative(true);
            } else {
                self.cancel_load(key, Cause::Abandoned, step);
            }
        }
    }

    /// Whether an active transaction wants a member that is not ready yet.
    fn is_wanted(&self, key: ComponentKey) -> bool {
        self.entry(key).is_required()
            || self.txns.values().any(|t| {
                t.is_active() && t.origin.is_speculative() && t.reserve.iter().any(|r| r.0 == key)
            })
    }
}
