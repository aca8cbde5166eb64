//! Demands: from their arrival through the queue to their leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use majordomo_core::{
    Cause, ComponentKey, ComponentState, Holder, HolderKind, Moment, OpId, Priority, Refusal,
    WaiterId,
};
use majordomo_lifecycle::{
    Cells, CloseAnswer, DropReason, Leave, Origin, Out, Phase, Then, TxnId, Verdict,
};

use crate::Engine;
use crate::admit::Ask;
use crate::partial::Reduction;

/// A set at its limit of leases is tried again so often after notices were asked for: what was released before
/// that is not told.
const LEASE_TRIES: u32 = 2;

/// When cells change while they are looked at, the engine looks again after this.
const RECHECK: Duration = Duration::from_millis(1);

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
        out: &mut Out<'_>,
    ) {
        let known = keys.iter().all(|k| self.catalog().spec(*k).is_some());
        let removed = keys.iter().find(|k| self.catalog().spec(**k).is_none()).copied();
        let highest = keys.iter().filter_map(|k| self.catalog().spec(*k)).map(|s| s.priority).min();
        let priority = priority.or(highest).unwrap_or(Priority::Low);
        let full = self.scheduler.n_waiting() >= self.config().queue.capacity;
        let origin = Origin::Demand { waiter, lease: true };
        let keys = if known { keys } else { Vec::new() };
        let own = deadline;
        let deadline = out.now + own.unwrap_or_else(|| self.default_deadline(&keys, out.now));
        let mut order = if partial { keys.clone() } else { Vec::new() };
        let mut seen = BTreeSet::new();
        order.retain(|k| seen.insert(*k));
        let id = self.scheduler.submit(origin, keys, priority, out.now, deadline);
        self.waiters.insert(waiter, id);
        if let Some(txn) = self.scheduler.transaction_mut(id) {
            (txn.order, txn.own_deadline) = (order, own.is_some());
        }
        let refusal = if self.ending.is_some() {
            Some(Refusal::ShuttingDown)
        } else if let Some(key) = removed {
            Some(
                match (key.index() < self.catalog().len()).then(|| self.catalog().id(key).clone()) {
                    Some(component) => Refusal::Removed { component },
                    None => {
                        Refusal::UnknownComponent { name: format!("#{key}"), did_you_mean: None }
                    }
                },
            )
        } else if full {
            Some(Refusal::Overloaded { capacity: self.config().queue.capacity })
        } else {
            None
        };
        match refusal {
            Some(refusal) => self.end(id, &DropReason::Refused(refusal), out),
            None => {
                let wanted = self.scheduler.transaction(id).map(|t| t.wanted.clone());
                self.preload_demanded(&wanted.unwrap_or_default(), out.now);
            }
        }
    }

    pub(crate) fn abandon(&mut self, waiter: WaiterId, out: &mut Out<'_>) {
        if let Some(id) = self.waiters.get(&waiter).copied() {
            self.end(id, &DropReason::Abandoned, out);
        }
        self.unload_waiters.retain(|w| w.waiter != waiter);
    }

    /// Publishes a component that has just become ready, with the leases of everybody who waited for it.
    pub(crate) fn publish(
        &mut self,
        key: ComponentKey,
        op: OpId,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let mut fresh = Fresh { key, leases: 0 };
        let mut granted = Vec::new();
        for id in self.grantable(out.now) {
            let wants_it = self.scheduler.transaction(id).is_some_and(|t| t.closure.contains(&key));
            if wants_it && self.lease_all(id, Some(&mut fresh), cells) {
                granted.push(id);
            }
        }
        cells.install(key, op, fresh.leases);
        for id in granted {
            self.granted(id, out);
        }
        // At shutdown it goes in the same step as well, unless a demanded load still needs it.
        if self.scheduler.entry(key).stale {
            let then =
                if self.scheduler.nobody_misses(key) { Then::Unloaded } else { Then::Reload };
            self.send_group_away(key, &Cause::ConfigChanged, &then, None, cells, out);
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
                    e.state == ComponentState::Ready && !e.probe_first
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
                _ => count_leases(key, cells),
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
        let spec = self.scheduler.entry(key).spec.as_ref()?;
        spec.max_leases
    }

    pub(crate) fn granted(&mut self, id: TxnId, out: &mut Out<'_>) {
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let origin = txn.origin;
        for key in txn.closure.clone() {
            match origin {
                Origin::Demand { lease: true, .. } => self.had(key, out),
                // Nobody has it by that.
                Origin::Speculation { .. } | Origin::Adopted => {}
                _ => self.scheduler.entry_mut(key).speculative = false,
            }
        }
        self.end(id, &DropReason::Granted, out);
    }

    /// Grants everything whose components are ready, whatever its place in the queue.
    pub(crate) fn grant_all(&mut self, cells: &mut dyn Cells, out: &mut Out<'_>) {
        for id in self.grantable(out.now) {
            if (0..LEASE_TRIES).any(|_| self.lease_or_wish(id, cells)) {
                self.granted(id, out);
                continue;
            }
            // At its limit of leases: it waits without holding anything.
            self.scheduler.requeue(id, &mut self.budget, out);
            let Some(txn) = self.scheduler.transaction(id) else { continue };
            let txn_origin = txn.origin;
            let holders = self.at_their_limit(&txn.wanted.clone(), cells);
            if let Some(own) = self.waits_for_itself(txn_origin, &holders, cells) {
                let refusal = self.own_leases_refusal(id, own);
                self.end(id, &DropReason::Refused(refusal), out);
                continue;
            }
            if holders.is_empty() {
                // Leases come and go while they are counted, and no notice is certain to come.
                self.look_again = Some(out.now + RECHECK);
            }
            if let Some(t) = self.scheduler.transaction_mut(id) {
                t.holders = holders;
            }
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
                let leases = count_leases(key, cells);
                let kind = majordomo_core::HolderKind::Leased { leases };
                (leases >= max).then(|| self.holder(key, kind))
            })
            .collect()
    }

    /// Admits what can be admitted, in order; a blocked head is overtaken only so often and so long.
    pub(crate) fn scan_queue(&mut self, cells: &mut dyn Cells, out: &mut Out<'_>) {
        let mut blocked: Vec<TxnId> = Vec::new();
        for id in self.scheduler.queue(out.now) {
            if self.ending.is_some() {
                // A demanded load that fell back into the queue is not begun anew.
                self.end(id, &DropReason::Refused(Refusal::ShuttingDown), out);
                continue;
            }
            if blocked.iter().any(|b| self.may_not_be_overtaken(*b, out.now)) {
                break;
            }
            let head = blocked.is_empty();
            match self.try_admit(id, head, cells, out) {
                Some(true) => {
                    for b in &blocked {
                        if let Some(t) = self.scheduler.transaction_mut(*b) {
                            t.overtaken += 1;
                        }
                    }
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
    fn try_admit(
        &mut self,
        id: TxnId,
        head: bool,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) -> Option<bool> {
        let txn = self.scheduler.transaction(id)?;
        let (origin, closure) = (txn.origin, txn.closure.clone());
        let deadline = origin.waiter().map(|_| txn.deadline);
        let ask =
            Ask { id: Some(id), origin, closure: &closure, deadline, stated: None, gives_up: &[] };
        let mut leased = BTreeMap::new();
        // The leased components among the victims of the plan that ignores leases: whom the head waits for.
        let mut first_leased: Option<Vec<ComponentKey>> = None;
        loop {
            match self.admit(ask, &leased, out.now) {
                // It needs no memory and waits for a lease only, which the grant pass gives it: nobody is behind
                // it in the queue for memory.
                Verdict::Ready => return None,
                Verdict::Refuse(refusal) => match self.reduce(id, cells, out) {
                    Reduction::Cut => return self.try_admit(id, head, cells, out),
                    Reduction::Wait(until) => {
                        self.block(id, Vec::new(), Some(until), out.now);
                        return Some(false);
                    }
                    Reduction::Whole => {
                        self.refuse_whole(id, refusal, out);
                        return None;
                    }
                },
                Verdict::Later { holders, until } => {
                    if self.reduce(id, cells, out) == Reduction::Cut {
                        return self.try_admit(id, head, cells, out);
                    }
                    if let Some(t) = self.scheduler.transaction_mut(id) {
                        t.holders = holders;
                        (t.retry_at, t.waits_for_retry) = (Some(until), Some(until));
                        t.blocked_since = None;
                    }
                    return None;
                }
                // What is loaded ahead and clears its memory holds free bytes and those of its victims: not against
                // a demand.
                Verdict::Blocked { .. } if self.end_clearing_ahead(origin, out) => {}
                Verdict::Blocked { .. } if self.admit_by_exchange(id, ask, &leased, cells, out) => {
                    return Some(true);
                }
                Verdict::Blocked { mut holders, until, short } => {
                    self.name_leased(&mut holders, cells);
                    self.give_up_for_drained(id, origin.waiter(), &holders, cells);
                    let until = match self.reduce(id, cells, out) {
                        Reduction::Cut => return self.try_admit(id, head, cells, out),
                        Reduction::Wait(patient) => Some(until.map_or(patient, |u| u.min(patient))),
                        Reduction::Whole => until,
                    };
                    if let Some(own) = self.waits_for_itself(origin, &holders, cells) {
                        let refusal = self.own_leases_refusal(id, own);
                        self.end(id, &DropReason::Refused(refusal), out);
                        return None;
                    }
                    let wanted = first_leased.unwrap_or_default();
                    let in_use = |h: &Holder| matches!(h.kind, HolderKind::Leased { .. });
                    if short && origin.waiter().is_some() && holders.iter().any(in_use) {
                        self.note_contention(&closure, out.now);
                    }
                    self.block(id, holders, until, out.now);
                    self.want(id, &wanted, head, cells, out);
                    return Some(false);
                }
                Verdict::Start { reserve, victims, replaced, awaits, overloads } => {
                    let now_leased = self.close_all(&victims, cells);
                    if now_leased.is_empty() {
                        self.evict(id, origin, &victims, &replaced, &awaits, cells, out);
                        let budget = &mut self.budget;
                        self.scheduler.activate(id, reserve, awaits, overloads, budget, out);
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
    fn end_clearing_ahead(&mut self, origin: Origin, out: &mut Out<'_>) -> bool {
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
            self.end(*id, &DropReason::Cancelled, out);
        }
        !ids.is_empty()
    }

    /// Closes the cells of ready victims in order; if any is leased, all are opened again and the leased ones
    /// returned.
    pub(crate) fn close_all(
        &mut self,
        victims: &[ComponentKey],
        cells: &mut dyn Cells,
    ) -> Vec<(ComponentKey, u32)> {
        let mut closed = Vec::new();
        let mut leased = Vec::new();
        for &key in victims {
            if self.scheduler.entry(key).state != ComponentState::Ready {
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

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn evict(
        &mut self,
        id: TxnId,
        origin: Origin,
        victims: &[ComponentKey],
        replaced: &[ComponentKey],
        awaits: &[ComponentKey],
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let wanted_by = self.scheduler.transaction(id).and_then(|t| t.wanted.first().copied());
        self.note_victims(victims, wanted_by.unwrap_or_default(), out);
        for &key in victims {
            let cause = if replaced.contains(&key) {
                Cause::Replaced
            } else {
                Self::eviction_cause(origin)
            };
            self.dismiss(key, cause, Some(id), cells, out);
        }
        for key in awaits {
            let promised = self.scheduler.entry(*key).leave.as_ref().and_then(|l| l.freed_for);
            let keeps = promised.is_some_and(|other| !self.is_guess(other));
            if let Some(leave) = self.scheduler.entry_mut(*key).leave.as_mut().filter(|_| !keeps) {
                leave.freed_for = Some(id);
            }
        }
    }

    /// Lets a victim go: a ready one, whose cell is closed without leases, or a speculative load.
    pub(crate) fn dismiss(
        &mut self,
        key: ComponentKey,
        cause: Cause,
        freed_for: Option<TxnId>,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        match self.scheduler.entry(key).state {
            ComponentState::Ready => {
                let leave = Leave {
                    cause,
                    then: Then::Unloaded,
                    drained: true,
                    forced: false,
                    force_at: None,
                    freed_for,
                    reversible: false,
                };
                self.scheduler.begin_leave(key, leave, &mut self.budget, cells, out);
            }
            ComponentState::Loading => {
                self.scheduler.cancel_load(key, cause, &self.budget, out);
                if let Some(leave) = &mut self.scheduler.entry_mut(key).leave {
                    leave.freed_for = freed_for;
                }
            }
            ComponentState::Queued => {
                let ids: Vec<_> = self
                    .scheduler
                    .transactions()
                    .filter(|t| t.origin.is_speculative() && t.reserve.iter().any(|r| r.0 == key))
                    .map(|t| t.id)
                    .collect();
                for id in ids {
                    self.end(id, &DropReason::Cancelled, out);
                }
            }
            _ => {}
        }
    }

    fn block(
        &mut self,
        id: TxnId,
        holders: Vec<majordomo_core::Holder>,
        until: Option<Moment>,
        now: Moment,
    ) {
        if let Some(t) = self.scheduler.transaction_mut(id) {
            t.holders = holders;
            t.retry_at = until;
            t.blocked_since.get_or_insert(now);
        }
    }

    /// Asks for a notice when leases in the way end; what the head waits for too long is drained.
    fn want(
        &mut self,
        id: TxnId,
        leased: &[ComponentKey],
        head: bool,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let patience = self.config().queue.drain_after;
        for &key in leased {
            cells.want(key);
            if cells.try_close(key) == CloseAnswer::Closed {
                // Released between the answer and the wish: nobody will tell, so look again soon.
                cells.reopen(key);
                self.look_again = Some(out.now + RECHECK);
                continue;
            }
            if !head {
                continue;
            }
            let e = self.scheduler.entry_mut(key);
            // Patience is each head's own: what an earlier one waited does not count.
            let since = match e.wanted_since {
                Some((head, since)) if head == id => since,
                _ => out.now,
            };
            e.wanted_since = Some((id, since));
            if out.now.since(since) >= patience {
                self.drain_for(id, key, cells, out);
            }
        }
    }

    /// Closes a leased component, and what depends on it, to newcomers, so that overlapping leases cannot
    /// starve the head of the queue. It stays if the head goes away first.
    fn drain_for(
        &mut self,
        id: TxnId,
        key: ComponentKey,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let cause = Self::eviction_cause(txn.origin);
        for member in self.scheduler.live_group(key) {
            match self.scheduler.entry(member).state {
                ComponentState::Ready => {}
                // A dependent that nobody asked for must not come up while what it needs drains.
                ComponentState::Loading => {
                    self.scheduler.cancel_load(member, cause.clone(), &self.budget, out);
                    continue;
                }
                _ => continue,
            }
            cells.close(member);
            let leave = Leave {
                cause: cause.clone(),
                then: Then::Unloaded,
                drained: cells.try_close(member) == CloseAnswer::Closed,
                forced: false,
                force_at: None,
                freed_for: Some(id),
                reversible: true,
            };
            self.scheduler.begin_leave(member, leave, &mut self.budget, cells, out);
        }
    }

    /// Opens again what was closed for a head of the queue that no longer waits for it.
    pub(crate) fn let_stay(&mut self, cells: &mut dyn Cells, out: &mut Out<'_>) {
        if self.scheduler.n_leaving() == 0 || self.ending.is_some() {
            return;
        }
        let mut keys = self.scheduler.keys_where(|e| {
            e.state == ComponentState::Draining && e.leave.as_ref().is_some_and(|l| l.reversible)
        });
        // Dependencies first: a component is ready only while they are.
        keys.sort_by_key(|k| self.catalog().rank(*k));
        for key in keys {
            let e = self.scheduler.entry(key);
            let waiting = e
                .leave
                .as_ref()
                .and_then(|l| self.scheduler.transaction(l.freed_for?))
                .is_some_and(|t| t.phase == Phase::Waiting || t.awaits.contains(&key));
            let ready = |d: &ComponentKey| self.state(*d) == ComponentState::Ready;
            if !waiting && e.dependencies.iter().all(ready) {
                self.scheduler.stay(key, &self.budget, cells, out);
            }
        }
    }

    /// Closes a ready component and everything that depends on it and lets them go when their leases have
    /// ended, or are revoked at `force_at`.
    pub(crate) fn send_group_away(
        &mut self,
        key: ComponentKey,
        cause: &Cause,
        then: &Then,
        force_at: Option<Moment>,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let lost = self.scheduler.dependency_lost(key, cause);
        for member in self.scheduler.live_group(key) {
            let own = member == key;
            match self.scheduler.entry(member).state {
                ComponentState::Ready => {
                    cells.close(member);
                    let comes_back = !matches!(cause, Cause::Shutdown | Cause::Operator)
                        && self.scheduler.must_run(member);
                    let with_it = if comes_back { Then::Reload } else { Then::Unloaded };
                    let leave = Leave {
                        cause: if own { cause.clone() } else { lost.clone() },
                        then: if own { then.clone() } else { with_it },
                        drained: cells.try_close(member) == CloseAnswer::Closed,
                        forced: false,
                        force_at,
                        freed_for: None,
                        reversible: false,
                    };
                    self.scheduler.begin_leave(member, leave, &mut self.budget, cells, out);
                }
                ComponentState::Loading if !own => {
                    self.scheduler.cancel_load(member, lost.clone(), &self.budget, out);
                }
                ComponentState::Draining => {
                    if let Some(leave) = &mut self.scheduler.entry_mut(member).leave {
                        leave.reversible = false;
                        if own {
                            leave.then = then.clone();
                        }
                        leave.force_at = match (leave.force_at, force_at) {
                            (Some(a), Some(b)) => Some(a.min(b)),
                            (a, b) => a.or(b),
                        };
                    }
                }
                _ => {}
            }
        }
        self.scheduler.touch();
    }
}

/// Leases out on a component that the engine alone grants: asked without leaving it closed.
pub(crate) fn count_leases(key: ComponentKey, cells: &mut dyn Cells) -> u32 {
    match cells.try_close(key) {
        CloseAnswer::Closed => {
            cells.reopen(key);
            0
        }
        CloseAnswer::Leased(n) => n,
    }
}
