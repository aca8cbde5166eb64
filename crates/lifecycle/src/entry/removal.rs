//! The removal of an incarnation, from the moment its cell is closed until it is down.

use majordomo_core::{Cause, Moment, Rung};

use crate::{CloseAnswer, TxnId};

/// The state that a removal ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Down until a demand or a restart.
    Unloaded,
    /// Parked at this rung.
    Parked(Rung),
    /// Unloaded, with a restart that is due at once.
    Reload,
    /// Failed, for this reason.
    Failed(Cause),
}

impl Then {
    /// The end of an eviction to this rung.
    #[must_use]
    pub fn at(rung: Rung) -> Self {
        if rung.is_parked() { Self::Parked(rung) } else { Self::Unloaded }
    }

    /// The rung where the component will be.
    #[must_use]
    pub fn rung(&self) -> Rung {
        match self {
            Self::Parked(rung) => *rung,
            _ => Rung::Gone,
        }
    }
}

/// Why an incarnation is removed, what its unload waits for, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    cause: Cause,
    then: Then,
    /// No lease is out.
    drained: bool,
    /// Leases were revoked: the unload does not wait for them.
    forced: bool,
    /// The moment at which leases are revoked; none = the unload waits for them.
    force_at: Option<Moment>,
    /// The transaction that the freed bytes belong to.
    freed_for: Option<TxnId>,
    /// The component returns to Ready if that transaction ends while leases are out.
    reversible: bool,
}

impl Removal {
    /// No lease is out: the unload starts at once.
    #[must_use]
    pub fn at_once(cause: Cause, then: Then) -> Self {
        Self {
            cause,
            then,
            drained: true,
            forced: false,
            force_at: None,
            freed_for: None,
            reversible: false,
        }
    }

    /// The unload starts when all leases have ended.
    #[must_use]
    pub fn when_drained(cause: Cause, then: Then) -> Self {
        Self { drained: false, ..Self::at_once(cause, then) }
    }

    /// The instance has ended already: its leases are revoked.
    #[must_use]
    pub fn without_asking(cause: Cause, then: Then) -> Self {
        Self { forced: true, ..Self::when_drained(cause, then) }
    }

    /// Leases are revoked at this moment, where there is one.
    #[must_use]
    pub fn forced_at(self, at: Option<Moment>) -> Self {
        Self { force_at: at, ..self }
    }

    /// The freed bytes belong to this transaction, where there is one.
    #[must_use]
    pub fn freeing_for(self, txn: Option<TxnId>) -> Self {
        Self { freed_for: txn, ..self }
    }

    /// The component may return to Ready while its leases are out.
    #[must_use]
    pub fn reversible(self) -> Self {
        Self { reversible: true, ..self }
    }

    /// Takes over whether leases are out from the answer of the cell.
    #[must_use]
    pub fn closed(self, answer: CloseAnswer) -> Self {
        Self { drained: answer == CloseAnswer::Closed, ..self }
    }

    /// The cause of the removal.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The state that the removal ends in.
    #[must_use]
    pub fn then(&self) -> &Then {
        &self.then
    }

    /// Whether all leases have ended.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Whether the unload waits for leases.
    #[must_use]
    pub fn awaits_leases(&self) -> bool {
        !self.drained && !self.forced
    }

    /// When leases are revoked, if they are still to be.
    #[must_use]
    pub fn revokes_at(&self) -> Option<Moment> {
        self.force_at.filter(|_| !self.forced)
    }

    /// The transaction that the freed bytes belong to.
    #[must_use]
    pub fn freed_for(&self) -> Option<TxnId> {
        self.freed_for
    }

    /// Whether the component may return to Ready.
    #[must_use]
    pub fn is_reversible(&self) -> bool {
        self.reversible
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.forced
    }

    pub(crate) fn drain(&mut self) {
        self.drained = true;
    }

    /// Forces the removal when its moment has come; returns whether leases are to be revoked for that.
    pub(crate) fn force_if_due(&mut self, now: Moment) -> bool {
        let is_due = self.revokes_at().is_some_and(|t| t <= now);
        self.forced |= is_due;
        is_due && !self.drained
    }

    pub(crate) fn force_at(&mut self, at: Moment) {
        self.force_at = Some(at);
    }

    /// The removal is final and parks nothing; leases are revoked at the earlier of two moments.
    pub(crate) fn hasten(&mut self, force_at: Option<Moment>) {
        self.reversible = false;
        if self.then.rung().is_parked() {
            self.then = Then::Unloaded;
        }
        self.force_at = match (self.force_at, force_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    pub(crate) fn end_as(&mut self, then: Then) {
        self.then = then;
    }

    pub(crate) fn assign(&mut self, txn: Option<TxnId>) {
        self.freed_for = txn;
    }

    /// The dependency was lost: an exit that was seen before is its consequence, not a failure of the component.
    pub(crate) fn excuse_exit(&mut self, lost: &Cause, then: Then) {
        if matches!(self.then, Then::Failed(Cause::Exited { .. })) {
            (self.cause, self.then) = (lost.clone(), then);
        }
    }

    /// After a suspend: what was left of the time until leases are revoked begins again.
    pub(crate) fn restart_clock(&mut self, since: Moment, now: Moment) {
        self.force_at = self.force_at.map(|t| now + t.since(since));
    }

    pub(crate) fn into_end(self) -> (Cause, Then) {
        (self.cause, self.then)
    }
}
