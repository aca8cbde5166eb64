//! Grants: the leases of transactions whose components are ready, and waits at a limit of leases.
//!
//! Demands arrive and are admitted in `queue`.

use majordomo_core::{Cause, ComponentKey, IncarnationId, Moment};
use majordomo_lifecycle::{Cells, DropReason, Origin, Phase, Step, Then, TxnId};

use crate::Engine;
use crate::evict::RECHECK;

/// A set at its limit of leases is tried this often: a release before the request for a notice is not reported.
const LEASE_TRIES: u32 = 2;

/// How a component that is ready can be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A load made a new incarnation.
    Install,
    /// A wake made the incarnation usable again: its cell is closed and has no lease.
    Reopen,
}

/// The component that has just become ready, whose cell is not open yet.
struct Fresh {
    key: ComponentKey,
    leases: u32,
}

impl Engine {
    /// Publishes a component that has just become ready, with the leases of all its waiters.
    pub(crate) fn publish(&mut self, id: IncarnationId, opening: Opening, step: &mut Step<'_>) {
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
        match opening {
            Opening::Install => step.cells.install(id, fresh.leases),
            Opening::Reopen => {
                if fresh.leases > 0 {
                    step.cells.lease_n(key, fresh.leases);
                }
                step.cells.reopen(key);
            }
        }
        for txn in granted {
            self.granted(txn, step);
        }
        // At shutdown it is unloaded in the same step as well, unless a demanded load still needs it.
        if self.scheduler.entry(key).restart().is_outdated() {
            let then =
                if self.scheduler.is_expendable(key) { Then::Unloaded } else { Then::Reload };
            self.remove_with_dependents(key, &Cause::ConfigChanged, &then, None, step);
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
        let requested = txn.requested.clone();
        let waiter = txn.origin.waiter();
        let mut gives_up = false;
        for &key in &requested {
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
        for key in requested {
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
                Origin::Demand { lease: true, .. } => self.record_use(key, step),
                // It leases nothing, so no use is recorded.
                Origin::Speculation { .. } | Origin::Adopted => {}
                _ => self.scheduler.entry_mut(key).requested(),
            }
        }
        self.end(id, &DropReason::Granted, step);
    }

    /// Grants everything whose components are ready, whatever its place in the queue.
    pub(crate) fn grant_all(&mut self, step: &mut Step<'_>) {
        for id in self.grantable(step.now) {
            if (0..LEASE_TRIES).any(|_| self.lease_or_await(id, step.cells)) {
                self.granted(id, step);
                continue;
            }
            // At its limit of leases: it waits without holding anything.
            self.scheduler.requeue(id, step);
            let Some(txn) = self.scheduler.transaction(id) else { continue };
            let txn_origin = txn.origin;
            let holders = self.at_their_limit(&txn.requested.clone(), step.cells);
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
    pub(crate) fn lease_or_await(&mut self, id: TxnId, cells: &mut dyn Cells) -> bool {
        if self.lease_all(id, None, cells) {
            return true;
        }
        let requested =
            self.scheduler.transaction(id).map(|t| t.requested.clone()).unwrap_or_default();
        for key in requested.into_iter().filter(|k| self.lease_limit(*k).is_some()) {
            cells.want(key);
        }
        false
    }

    /// The components of a set that have reached their limit of leases.
    fn at_their_limit(
        &self,
        requested: &[ComponentKey],
        cells: &mut dyn Cells,
    ) -> Vec<majordomo_core::Holder> {
        let limited = requested.iter().filter_map(|k| Some((*k, self.lease_limit(*k)?)));
        limited
            .filter_map(|(key, max)| {
                let leases = self.leases_out(key, cells);
                let kind = majordomo_core::HolderKind::Leased { leases };
                (leases >= max).then(|| self.admission().holder(key, kind))
            })
            .collect()
    }
}
