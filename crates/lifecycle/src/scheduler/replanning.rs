//! Active transactions that return to the queue: their plan does not hold any more.

use majordomo_core::{ComponentKey, Refusal};

use super::Scheduler;
use super::releasing::Release;
use crate::{Phase, Step, Transaction, TxnId};

impl Scheduler {
    /// After a new configuration: every transaction that it touches is planned again. `changed` are the components
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
            let closure = self.catalog.closure(&txn.requested);
            let removed = txn.requested.iter().copied().find(|k| self.catalog.spec(*k).is_none());
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
                    && (self.entry(*k).state().is_queued() || unpaid.contains(k))
            })
    }

    /// Whether something that this transaction is still to load conflicts, by the new configuration, with what
    /// is there or on its way.
    fn meets_a_new_conflict(&self, txn: &Transaction) -> bool {
        let to_come = |k: ComponentKey| {
            self.entry(k).state().is_queued() || txn.reserve.iter().any(|r| r.key == k)
        };
        txn.is_active()
            && txn.closure.iter().filter(|k| to_come(**k)).any(|k| {
                self.catalog.conflicts(*k).iter().any(|c| {
                    let state = self.entry(c.with).state();
                    let there = state.is_alive() || state.is_queued();
                    (there && !txn.awaits.contains(&c.with))
                        || self.is_expected(c.with, Some(txn.id))
                })
            })
    }

    /// Puts an active transaction back into the queue, in its old place, holding nothing.
    pub fn requeue(&mut self, id: TxnId, step: &mut Step<'_>) {
        self.requeue_for(id, Release::Replanned, step);
    }

    /// The same, since a component failed that it waits for further on.
    pub fn requeue_after(&mut self, id: TxnId, failure: &Refusal, step: &mut Step<'_>) {
        self.requeue_for(id, Release::of(Some(failure), false), step);
    }

    fn requeue_for(&mut self, id: TxnId, why: Release<'_>, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get_mut(id).filter(|t| t.is_active()) else { return };
        let unpaid = txn.unpaid();
        txn.phase = Phase::Waiting;
        let speculative = txn.origin.is_speculative();
        self.release(id, why, step);
        if speculative {
            self.txns.remove(id);
        }
        self.changed = true;
        self.replan_counting_on(&unpaid, step);
    }

    /// Transactions that counted on one that has ended, which was to reserve for shared members, are planned again as
    /// well, or these members would be loaded without bytes.
    pub(super) fn replan_counting_on(&mut self, unpaid: &[ComponentKey], step: &mut Step<'_>) {
        for &key in unpaid {
            if !self.entry(key).state().is_queued() || self.is_expected(key, None) {
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
}
