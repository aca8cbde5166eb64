//! Demands: from their arrival through the queue to their leases.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    Cause, ComponentKey, Holder, HolderKind, IncarnationId, Moment, Priority, Refusal, WaiterId,
};
use majordomo_lifecycle::{Cells, DropReason, Origin, Phase, Request, Step, Then, TxnId, Verdict};

use crate::Engine;
use crate::admit::Ask;
use crate::evict::RECHECK;
use crate::partial::Reduction;

/// A set at its limit of leases is tried again so often after notices were asked for: what was released before
/// that is not told.
const LEASE_TRIES: u32 = 2;

/// The component that has just become ready, whose cell is not published yet.
struct Fresh {
    key: ComponentKey,
    leases: u32,
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
        let unusable = keys.iter().find_map(|k| self.no_component(*k));
        let highest = keys.iter().filter_map(|k| self.catalog().spec(*k)).map(|s| s.priority).min();
        let priority = priority.or(highest).unwrap_or(Priority::Low);
        let full = self.scheduler.n_waiting() >= self.config().queue.capacity;
        let origin = Origin::Demand { waiter, lease: true };
        let keys = if unusable.is_none() { keys } else { Vec::new() };
        let own = deadline;
        let deadline = step.now + own.unwrap_or_else(|| self.default_deadline(&keys, step.now));
        let own_deadline = own.is_some();
        let request = Request { origin, wanted: keys, partial, priority, deadline, own_deadline };
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
                let wanted = self.scheduler.transaction(id).map(|t| t.wanted.clone());
                self.preload_demanded(&wanted.unwrap_or_default(), step.now);
            }
        }
    }

    pub(crate) fn abandon(&mut self, waiter: WaiterId, step: &mut Step<'_>) {
        if let Some(id) = self.waiters.get(&waiter).copied() {
            self.end(id, &DropReason::Abandoned, step);
        }
        self.operator_waiters.retain(|w| w.waiter != waiter);
    }

    /// Publishes a component that has just become ready, with the leases of everybody who waited for it.
    pub(crate) fn publish(&mut self, id: IncarnationId, step: &mut Step<'_>) {
        let key = id.key;
        let mut fresh = Fresh { key, leases: 0 };
        let mut granted = Vec::new();
        for txn in self.grantable(step.now) {
            let wants_it =
                self.scheduler.transaction(txn).is_some_and(|t| t.closure.contains(&key));
            if wants_it && self.lease_all(txn, Some(&mut fresh), step.cells) {
                granted.push(txn);
            }
        }
        step.cells.install(id, fresh.leases);
        for txn in granted {
            self.granted(txn, step);
        }
        // At shutdown it goes in the same step as well, unless a demanded load still needs it.
        if self.scheduler.entry(key).restart().is_outdated() {
            let then =
                if self.scheduler.is_expendable(key) { Then::Unloaded } else { Then::Reload };
            self.send_group_away(key, &Cause::ConfigChanged, &then, None, step);
        }
    }

    /// Transactions whose closure is ready, in queue order.
    fn grantable(&self, now: Moment) -> Vec<TxnId> {
        let queue = &self.config().queue;
        let mut ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.phase != Phase::Clearing)
            .filter(|t| {
                t.closure.iter().all(|k| {
                    let e = self.scheduler.entry(*k);
                    e.is_open()
                })
            })
            .map(|t| (t.tier(now, queue), t.id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Puts the leases of a transaction into the cells, all or none.
    fn lease_all(
        &mut self,
        id: TxnId,
        mut fresh: Option<&mut Fresh>,
        cells: &mut dyn Cells,
    ) -> bool {
        let Some(txn) = self.scheduler.transaction(id) else { return false };
        if !matches!(txn.origin, Origin::Demand { lease: true, .. }) {
            return true;
        }
        let wanted = txn.wanted.clone();
        let waiter = txn.origin.waiter();
        let mut gives_up = false;
        for &key in &wanted {
            let Some(max) = self.lease_limit(key) else { continue };
            let out_now = match &fresh {
                Some(f) if f.key == key => f.leases,
                _ => self.leases_out(key, cells),
            };
            if out_now < max {
                continue;
            }
            let own = waiter.map_or(0, |w| cells.leases_to_give_up(w, key));
            if out_now.saturating_sub(own) >= max {
                return false;
            }
            gives_up = true;
        }
        if let Some(waiter) = waiter.filter(|_| gives_up) {
            cells.give_up(waiter);
        }
        for key in wanted {
            match &mut fresh {
                Some(f) if f.key == key => f.leases += 1,
                _ => cells.lease_n(key, 1),
            }
        }
        true
    }

    fn lease_limit(&self, key: ComponentKey) -> Option<u32> {
        let spec = self.scheduler.entry(key).spec()?;
        spec.max_leases
    }

    pub(crate) fn granted(&mut self, id: TxnId, step: &mut Step<'_>) {
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let origin = txn.origin;
        for key in txn.closure.clone() {
            match origin {
                Origin::Demand { lease: true, .. } => self.had(key, step),
                // Nobody has it by that.
                Origin::Speculation { .. } | Origin::Adopted => {}
                _ => self.scheduler.entry_mut(key).requested(),
            }
        }
        self.end(id, &DropReason::Granted, step);
    }

    /// Grants everything whose components are ready, whatever its place in the queue.
    pub(crate) fn grant_all(&mut self, step: &mut Step<'_>) {
        for id in self.grantable(step.now) {
            if (0..LEASE_TRIES).any(|_| self.lease_or_wish(id, step.cells)) {
                self.granted(id, step);
                continue;
            }
            // At its limit of leases: it waits without holding anything.
            self.scheduler.requeue(id, step);
            let Some(txn) = self.scheduler.transaction(id) else { continue };
            let txn_origin = txn.origin;
            let holders = self.at_their_limit(&txn.wanted.clone(), step.cells);
            if let Some(own) = self.waits_for_itself(txn_origin, &holders, step.cells) {
                let refusal = self.own_leases_refusal(id, own);
                self.end(id, &DropReason::Refused(refusal), step);
                continue;
            }
            if holders.is_empty() {
                // Leases come and go while they are counted, and no notice is certain to come.
                self.look_again = Some(step.now + RECHECK);
            }
            self.scheduler.await_leases(id, holders);
        }
    }

    /// Leases a transaction's set; if it cannot, asks for notices of the releases that it waits for.
    pub(crate) fn lease_or_wish(&mut self, id: TxnId, cells: &mut dyn Cells) -> bool {
        if self.lease_all(id, None, cells) {
            return true;
        }
        let wanted = self.scheduler.transaction(id).map(|t| t.wanted.clone()).unwrap_or_default();
        for key in wanted.into_iter().filter(|k| self.lease_limit(*k).is_some()) {
            cells.want(key);
        }
        false
    }

    /// Who of a set has as many leases out as it may.
    fn at_their_limit(
        &self,
        wanted: &[ComponentKey],
        cells: &mut dyn Cells,
    ) -> Vec<majordomo_core::Holder> {
        let limited = wanted.iter().filter_map(|k| Some((*k, self.lease_limit(*k)?)));
        limited
            .filter_map(|(key, max)| {
                let leases = self.leases_out(key, cells);
                let kind = majordomo_core::HolderKind::Leased { leases };
                (leases >= max).then(|| self.holder(key, kind))
            })
            .collect()
    }

    /// Admits what can be admitted, in order; a blocked head is overtaken only so often and so long.
    pub(crate) fn scan_queue(&mut self, step: &mut Step<'_>) {
        let mut blocked: Vec<TxnId> = Vec::new();
        for id in self.scheduler.queue(step.now) {
            if self.ending.is_some() {
                // A demanded load that fell back into the queue is not begun anew.
                self.end(id, &DropReason::Refused(Refusal::ShuttingDown), step);
                continue;
            }
            if blocked.iter().any(|b| self.may_not_be_overtaken(*b, step.now)) {
                break;
            }
            let head = blocked.is_empty();
            match self.try_admit(id, head, step) {
                Some(true) => {
                    self.scheduler.overtake(&blocked);
                }
                Some(false) => blocked.push(id),
                None => {}
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

    /// `Some(true)` when admitted, `Some(false)` when blocked, none when answered otherwise.
    fn try_admit(&mut self, id: TxnId, head: bool, step: &mut Step<'_>) -> Option<bool> {
        let txn = self.scheduler.transaction(id)?;
        let (origin, closure) = (txn.origin, txn.closure.clone());
        let deadline = origin.waiter().map(|_| txn.deadline);
        let ask =
            Ask { id: Some(id), origin, closure: &closure, deadline, stated: None, gives_up: &[] };
        let mut leased = BTreeMap::new();
        // The leased components among the victims of the plan that ignores leases: whom the head waits for.
        let mut first_leased: Option<Vec<ComponentKey>> = None;
        loop {
            match self.admit(ask, &leased, step.now) {
                // It needs no memory and waits for a lease only, which the grant pass gives it: nobody is behind
                // it in the queue for memory.
                Verdict::Ready => return None,
                Verdict::Refuse(refusal) => match self.reduce(id, step) {
                    Reduction::Cut => return self.try_admit(id, head, step),
                    Reduction::Wait(until) => {
                        self.scheduler.block(id, Vec::new(), Some(until), step.now);
                        return Some(false);
                    }
                    Reduction::Whole => {
                        self.refuse_whole(id, refusal, step);
                        return None;
                    }
                },
                Verdict::Later { holders, until } => {
                    if self.reduce(id, step) == Reduction::Cut {
                        return self.try_admit(id, head, step);
                    }
                    self.scheduler.await_retry(id, holders, until);
                    return None;
                }
                // What is loaded ahead and clears its memory holds free bytes and those of its victims: not against
                // a demand.
                Verdict::Blocked { .. } if self.end_clearing_ahead(origin, step) => {}
                Verdict::Blocked { .. } if self.admit_by_exchange(id, ask, &leased, step) => {
                    return Some(true);
                }
                Verdict::Blocked { mut holders, until, short } => {
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
                        return None;
                    }
                    let wanted = first_leased.unwrap_or_default();
                    let in_use = |h: &Holder| matches!(h.kind, HolderKind::Leased { .. });
                    if short && origin.waiter().is_some() && holders.iter().any(in_use) {
                        self.note_contention(&closure, step.now);
                    }
                    self.scheduler.block(id, holders, until, step.now);
                    self.want(id, &wanted, head, step);
                    return Some(false);
                }
                Verdict::Start { reserve, victims, replaced, awaits, overloads } => {
                    let now_leased = self.close_all(&victims, step.cells);
                    if now_leased.is_empty() {
                        self.evict(id, origin, &victims, &replaced, &awaits, step);
                        self.scheduler.activate(id, reserve, awaits, overloads, step);
                        return Some(true);
                    }
                    // Some are in use: plan again without them. Each round learns of one more at least.
                    first_leased.get_or_insert_with(|| now_leased.iter().map(|l| l.0).collect());
                    leased.extend(now_leased);
                }
            }
        }
    }

    /// Ends the loads ahead that wait for their victims, for anything that is not speculation. Whether there was
    /// one.
    fn end_clearing_ahead(&mut self, origin: Origin, step: &mut Step<'_>) -> bool {
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
