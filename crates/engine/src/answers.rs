//! The ends of transactions: answers to their waiters, and what follows for failed members.

use std::time::Duration;

use majordomo_core::{ComponentKey, ComponentState, Refusal};
use majordomo_lifecycle::{DropReason, Origin, Removal, Step, Then, TxnId};

use crate::Engine;

/// A load that must run and was refused is tried again after the longest back-off, or this time.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

impl Engine {
    /// The refusal of waiters of a failed load.
    pub(crate) fn load_failure(&self, key: ComponentKey, cause: String) -> Refusal {
        Refusal::LoadFailed { component: self.catalog().id(key).clone(), cause: cause.into() }
    }

    /// Refuses every transaction that counted on a component that failed. Those who waited out a back-off for it wait
    /// for the next attempt as well, if that comes before their deadline.
    pub(crate) fn refuse_dependents(
        &mut self,
        key: ComponentKey,
        refusal: &Refusal,
        step: &mut Step<'_>,
    ) {
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.is_active() && t.closure.contains(&key))
            .map(|t| t.id)
            .collect();
        for id in ids {
            if self.awaits_next_attempt(id, key) {
                self.scheduler.requeue_after(id, refusal, step);
            } else if !self.leave_out_failed(id, key, refusal, step) {
                self.end(id, &DropReason::Refused(refusal.clone()), step);
            }
        }
    }

    fn awaits_next_attempt(&self, id: TxnId, failed: ComponentKey) -> bool {
        let txn = self.scheduler.transaction(id).filter(|t| t.waits_for_retry.is_some());
        txn.is_some_and(|t| match self.state(failed) {
            ComponentState::Failed { retry_at } => retry_at < t.deadline,
            // It is still on its way out, and backs off from then on.
            _ => self.failure_of_removal(failed).is_some(),
        })
    }

    /// Ends a transaction; what must run whatever happens (CORE, pinned, restarts) is tried again later.
    pub(crate) fn end(&mut self, id: TxnId, reason: &DropReason, step: &mut Step<'_>) {
        if let DropReason::Refused(refusal) = reason {
            self.record_too_large(refusal, step.now);
        }
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let retry = matches!(reason, DropReason::Refused(_))
            && matches!(txn.origin, Origin::Startup | Origin::Restart)
            && self.ending.is_none();
        let requested = txn.requested.clone();
        let unanswered = txn.origin.waiter().is_some() && *reason != DropReason::Granted;
        // Answered: what its owner may still send does not reach a load that others took over.
        if let Some(waiter) = txn.origin.waiter() {
            self.waiters.remove(&waiter);
        }
        self.scheduler.drop_txn(id, reason, step);
        if unanswered {
            self.thrash.demand_withdrawn(id);
            self.withdraw_demanded(&requested);
        }
        if retry {
            let soon = step.now + self.config().back_off.max.min(RETRY_REFUSED);
            for key in requested {
                let may_be_tried = self.scheduler.restart_time(key);
                let at = if may_be_tried > step.now { may_be_tried } else { soon };
                self.scheduler.restart_later(key, at);
            }
        }
    }

    /// The failure that answers the waiters of a cancelled load when the component is down.
    pub(crate) fn failure_of_removal(&self, key: ComponentKey) -> Option<Refusal> {
        let e = self.scheduler.entry(key);
        match e.removal().map(Removal::then) {
            Some(Then::Failed(cause)) => Some(self.load_failure(key, cause.to_string())),
            _ => None,
        }
    }
}
