//! Admitted transactions: their members wait until victims have freed their bytes, and are reserved in one step.

use majordomo_core::{ComponentKey, ComponentState, Rung};
use majordomo_memory::Need;

use super::{Admitted, DropReason, Scheduler};
use crate::{Origin, Phase, Step, Transaction, TxnId};

/// The result of an attempt to reserve for a transaction that clears memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleared {
    /// Something it awaits is still on its way out.
    NotYet,
    /// Its bytes are reserved.
    Reserved,
    /// It has to be planned again.
    Replan,
}

impl Scheduler {
    /// Lets a waiting transaction go on with what the engine planned; its victims are on their way out.
    pub fn activate(&mut self, id: TxnId, admitted: Admitted, step: &mut Step<'_>) {
        let Some(txn) = self.txns.get_mut(id) else { return };
        debug_assert_eq!(txn.phase, Phase::Waiting);
        txn.reserve = admitted.reserve;
        txn.overloads = admitted.overloads;
        txn.awaits = admitted.awaits;
        txn.phase = Phase::Clearing;
        txn.admissions += 1;
        txn.holders.clear();
        txn.retry_at = None;
        let owned = !txn.origin.is_speculative();
        let closure = txn.closure.clone();
        let members: Vec<_> = txn.reserve.iter().map(|r| r.key).collect();
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
            let from = match e.state() {
                ComponentState::Down(rung) => rung,
                ComponentState::Failed { .. } | ComponentState::Quarantined { .. } => Rung::Gone,
                _ => continue,
            };
            e.set_speculative(!owned);
            self.set_state(key, ComponentState::Queued { from }, cause.clone(), step);
        }
        self.clear(id, step);
    }

    /// Bytes that removals for this transaction are still to free.
    pub(super) fn coming_free(&self, txn: &Transaction) -> Need {
        let mut coming = Need::new();
        for &key in &txn.awaits {
            let removal = self.entry(key).removal();
            if removal.is_some_and(|r| r.freed_for() == Some(txn.id)) {
                coming.add_all(&self.freeing(key));
            }
        }
        coming
    }

    /// Tries to turn the claims of a clearing transaction into reservations.
    pub(crate) fn clear(&mut self, id: TxnId, step: &mut Step<'_>) -> Cleared {
        let Some(txn) = self.txns.get(id).filter(|t| t.phase == Phase::Clearing) else {
            return Cleared::NotYet;
        };
        // The bytes that its victims are still to free come by themselves: until then that much more is not its own,
        // however much is free.
        let due = self.budget.beyond(&txn.need(), &self.coming_free(txn));
        let complete = self.budget.claim(id.0, &due);
        let stuck = txn.awaits.iter().any(|k| self.entry(*k).state() == ComponentState::Stuck);
        let pending = txn.awaits.iter().any(|k| {
            let s = self.entry(*k).state();
            matches!(s, ComponentState::Draining | ComponentState::Unloading { .. })
        });
        if stuck {
            return Cleared::Replan;
        }
        if pending {
            return Cleared::NotYet;
        }
        let startable = txn.reserve.iter().all(|r| match self.entry(r.key).state() {
            // A component may have been unloaded since it was to be woken.
            ComponentState::Queued { from: rung } | ComponentState::Down(rung) => {
                rung.is_parked() == r.adds
            }
            _ => false,
        });
        let reserve = txn.reserve.clone();
        if !complete || !startable || self.budget.settle(id.0, &reserve).is_err() {
            return Cleared::Replan;
        }
        let cause = self.txns[id].cause.clone();
        let owned = !self.txns[id].origin.is_speculative();
        for key in reserve.iter().map(|r| r.key) {
            if let ComponentState::Down(from) = self.entry(key).state() {
                self.entry_mut(key).set_speculative(!owned);
                self.set_state(key, ComponentState::Queued { from }, cause.clone(), step);
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

    /// Moves every clearing transaction on; those that must be planned again return to the queue.
    pub fn clear_all(&mut self, step: &mut Step<'_>) {
        let clearing = self.txns.values().filter(|t| t.phase == Phase::Clearing);
        let mut ids: Vec<_> = clearing.map(|t| (t.origin.is_speculative(), t.id)).collect();
        // The bytes that a demand's victims freed are its own before a preload looks.
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

    fn is_coming(&self, key: ComponentKey) -> bool {
        matches!(
            self.entry(key).state(),
            ComponentState::Queued { .. } | ComponentState::Loading { .. } | ComponentState::Ready
        ) || self.is_expected(key, None)
    }

    /// Whether a transaction that clears memory, other than `except`, is to load a component: it may still be
    /// on its way out, or down already, and yet it is spoken for.
    #[must_use]
    pub fn is_expected(&self, key: ComponentKey, except: Option<TxnId>) -> bool {
        self.txns.values().any(|t| {
            t.phase == Phase::Clearing
                && Some(t.id) != except
                && t.reserve.iter().any(|r| r.key == key)
        })
    }
}
