//! The queue of demands: arrival, order, overtaking, admission.
//!
//! Knows in which order transactions are looked at and when a later one may be admitted first; what is evicted for them
//! is done in `evict`, and leases are granted in `grant`.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ComponentKey, Holder, HolderKind, Moment, Priority, Refusal, WaiterId};
use majordomo_lifecycle::{DropReason, Origin, Phase, Request, Step, TxnId, Verdict};
use majordomo_memory::Shortage;

use crate::Engine;
use crate::admit::Ask;
use crate::evict::keys_of_victims;
use crate::partial::Reduction;

/// The result of an attempt to admit a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Admitted,
    /// It waits, and later ones may overtake it.
    Blocked,
    /// It is answered, or waits in no other transaction's way.
    Settled,
}

/// The obstacles of a transaction.
struct Block {
    holders: Vec<Holder>,
    until: Option<Moment>,
    short: Shortage,
    /// It is the first that is blocked.
    head: bool,
}

impl Engine {
    pub(crate) fn demand(
        &mut self,
        waiter: WaiterId,
        keys: Vec<ComponentKey>,
        priority: Option<Priority>,
        deadline: Option<Duration>,
        partial: bool,
        step: &mut Step<'_>,
    ) {
        let unusable = keys.iter().find_map(|k| self.admission().no_component(*k));
        let highest = keys.iter().filter_map(|k| self.catalog().spec(*k)).map(|s| s.priority).min();
        let priority = priority.or(highest).unwrap_or(Priority::Low);
        let full = self.scheduler.n_waiting() >= self.config().queue.capacity;
        let origin = Origin::Demand { waiter, lease: true };
        let keys = if unusable.is_none() { keys } else { Vec::new() };
        let own = deadline;
        let deadline = step.now + own.unwrap_or_else(|| self.default_deadline(&keys, step.now));
        let own_deadline = own.is_some();
        let request =
            Request { origin, requested: keys, partial, priority, deadline, own_deadline };
        let id = self.scheduler.submit(request, step.now);
        self.waiters.insert(waiter, id);
        let refusal = if self.ending.is_some() {
            Some(Refusal::ShuttingDown)
        } else if let Some(refusal) = unusable {
            Some(refusal)
        } else if full {
            Some(Refusal::Overloaded { capacity: self.config().queue.capacity })
        } else {
            None
        };
        match refusal {
            Some(refusal) => self.end(id, &DropReason::Refused(refusal), step),
            None => {
                let Some(txn) = self.scheduler.transaction(id) else { return };
                let (requested, closure) = (txn.requested.clone(), txn.closure.clone());
                self.record_demand_for_thrash(id, &closure);
                self.record_demand(&requested, step);
            }
        }
    }

    pub(crate) fn abandon(&mut self, waiter: WaiterId, step: &mut Step<'_>) {
        if let Some(id) = self.waiters.get(&waiter).copied() {
            self.end(id, &DropReason::Abandoned, step);
        }
        self.operator_waiters.retain(|w| w.waiter != waiter);
    }

    /// Admits what can be admitted, in order; a blocked head is overtaken only so often and so long.
    pub(crate) fn scan_queue(&mut self, step: &mut Step<'_>) {
        let mut blocked: Vec<TxnId> = Vec::new();
        for id in self.scheduler.queue(step.now) {
            if self.ending.is_some() {
                // A demanded load that returned to the queue does not begin again.
                self.end(id, &DropReason::Refused(Refusal::ShuttingDown), step);
                continue;
            }
            if blocked.iter().any(|b| self.may_not_be_overtaken(*b, step.now)) {
                break;
            }
            let head = blocked.is_empty();
            match self.try_admit(id, head, step) {
                Attempt::Admitted => self.scheduler.overtake(&blocked),
                Attempt::Blocked => blocked.push(id),
                Attempt::Settled => {}
            }
        }
    }

    fn may_not_be_overtaken(&self, id: TxnId, now: Moment) -> bool {
        let queue = &self.config().queue;
        self.scheduler.transaction(id).is_some_and(|t| {
            t.overtaken >= queue.max_overtakes
                || t.blocked_since.is_some_and(|s| now.since(s) >= queue.overtake_for)
        })
    }

    fn try_admit(&mut self, id: TxnId, head: bool, step: &mut Step<'_>) -> Attempt {
        let Some(txn) = self.scheduler.transaction(id) else { return Attempt::Settled };
        let (origin, closure) = (txn.origin, txn.closure.clone());
        let deadline = origin.waiter().map(|_| txn.deadline);
        let ask = Ask::new(Some(id), origin, &closure, deadline);
        let mut leased = BTreeMap::new();
        // The leased components among the victims of the plan that ignores leases: the head waits for these.
        let mut first_leased: Option<Vec<ComponentKey>> = None;
        loop {
            match self.admission().admit(ask, &leased, step.now) {
                // It needs no memory and waits for a lease only, which the grant pass gives it: no transaction is behind
                // it in the queue for memory.
                Verdict::Ready => return Attempt::Settled,
                Verdict::Refuse(refusal) => match self.reduce(id, step) {
                    Reduction::Cut => return self.try_admit(id, head, step),
                    Reduction::Wait(until) => {
                        self.scheduler.block(id, Vec::new(), Some(until), step.now);
                        return Attempt::Blocked;
                    }
                    Reduction::Whole => {
                        self.refuse_whole(id, refusal, step);
                        return Attempt::Settled;
                    }
                },
                Verdict::Later { holders, until } => {
                    if self.reduce(id, step) == Reduction::Cut {
                        return self.try_admit(id, head, step);
                    }
                    self.scheduler.await_retry(id, holders, until);
                    return Attempt::Settled;
                }
                // A preload that clears its memory holds free bytes and those of its victims: not against a demand.
                Verdict::Blocked { .. } if self.end_clearing_preloads(origin, step) => {}
                Verdict::Blocked { .. } if self.admit_by_exchange(id, ask, &leased, step) => {
                    return Attempt::Admitted;
                }
                Verdict::Blocked { holders, until, short } => {
                    let block = Block { holders, until, short, head };
                    return self.block(id, ask, block, &first_leased.unwrap_or_default(), step);
                }
                Verdict::Start(admitted) => {
                    let victims = keys_of_victims(&admitted.victims);
                    let now_leased = self.close_all(victims, step.cells);
                    if now_leased.is_empty() {
                        self.evict(id, origin, &admitted, step);
                        self.scheduler.activate(id, admitted, step);
                        return Attempt::Admitted;
                    }
                    // Some are in use: plan again without them. Each round learns of one more at least.
                    first_leased.get_or_insert_with(|| now_leased.iter().map(|l| l.0).collect());
                    leased.extend(now_leased);
                }
            }
        }
    }

    /// Has a transaction wait for what is in its way, unless a part of it can be admitted, or it waits for its own
    /// party's leases alone.
    fn block(
        &mut self,
        id: TxnId,
        ask: Ask<'_>,
        block: Block,
        leased: &[ComponentKey],
        step: &mut Step<'_>,
    ) -> Attempt {
        let Block { mut holders, until, short, head } = block;
        let (origin, is_demand) = (ask.origin, ask.origin.waiter().is_some());
        self.name_leased(&mut holders, step.cells);
        self.give_up_for_drained(id, origin.waiter(), &holders, step.cells);
        let until = match self.reduce(id, step) {
            Reduction::Cut => return self.try_admit(id, head, step),
            Reduction::Wait(patient) => Some(until.map_or(patient, |u| u.min(patient))),
            Reduction::Whole => until,
        };
        if let Some(own) = self.waits_for_itself(origin, &holders, step.cells) {
            let refusal = self.own_leases_refusal(id, own);
            self.end(id, &DropReason::Refused(refusal), step);
            return Attempt::Settled;
        }
        let is_leased = |h: &Holder| matches!(h.kind, HolderKind::Leased { .. });
        if !short.is_none() && is_demand && holders.iter().any(is_leased) {
            self.record_contention(ask.closure, &short, step.now);
        }
        self.scheduler.block(id, holders, until, step.now);
        self.await_leases(id, leased, head, step);
        Attempt::Blocked
    }

    /// Ends the preloads that wait for their victims, for a transaction that is no preload; returns whether there was one.
    fn end_clearing_preloads(&mut self, origin: Origin, step: &mut Step<'_>) -> bool {
        if origin.is_speculative() {
            return false;
        }
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.origin.is_speculative() && t.phase == Phase::Clearing)
            .map(|t| t.id)
            .collect();
        for id in &ids {
            self.end(*id, &DropReason::Cancelled, step);
        }
        !ids.is_empty()
    }
}
