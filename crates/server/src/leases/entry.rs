//! One lease of another process: its components, its terms, its times.

use std::sync::Arc;
use std::time::Duration;

use majordomo::{AnyLease, Moment, OldLeases, Outcome, Party, Tagged};

use crate::wire::{Bind, Endpoint, Leased};

/// The contents of a lease.
#[derive(Debug)]
pub(crate) enum Held {
    /// Components that were asked for by name.
    Leases(Vec<AnyLease>),
    /// The outcome of a command, with its leases.
    Outcome(Box<Outcome>),
}

impl Held {
    /// Records that the holder renewed the lease or gave it back itself. The text of a command is learned from that,
    /// unless feedback says otherwise.
    pub(super) fn used_by_holder(&self) {
        if let Self::Outcome(outcome) = self {
            outcome.confirm_used();
        }
    }

    pub(super) fn leases(&self) -> &[AnyLease] {
        match self {
            Self::Leases(leases) => leases,
            Self::Outcome(outcome) => outcome.leases(),
        }
    }

    /// Replaces the leases and returns the old ones.
    pub(super) fn replace(&mut self, new: Vec<AnyLease>) -> Vec<AnyLease> {
        match self {
            Self::Leases(leases) => std::mem::replace(leases, new),
            Self::Outcome(outcome) => {
                let old = outcome.replace_leases(new);
                outcome.mark_used();
                old
            }
        }
    }
}

/// The old leases of an entry while its exchange waits; given back if the entry ends meanwhile.
#[derive(Debug)]
pub(super) struct Exchanging(pub(super) Arc<OldLeases>);

impl Drop for Exchanging {
    fn drop(&mut self) {
        drop(self.0.take_back());
    }
}

/// The terms of a lease, and its holder.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) bind: Bind,
    pub(crate) ttl: Option<Duration>,
    /// The tag that the holder stated, or one made of its process id.
    pub(crate) tag: String,
    /// Whether the tag distinguishes the holder from others.
    pub(crate) is_named: bool,
    /// The number of the connection that asked for the lease.
    pub(crate) connection: u64,
    pub(crate) pid: Option<u32>,
}

impl Terms {
    /// The holder as a party, by which its own leases are distinguished from those of others.
    pub(crate) fn party(&self) -> Party {
        Party {
            tag: self.is_named.then(|| self.tag.as_str().into()),
            pid: self.pid,
            connection: Some(self.connection),
        }
    }
}

/// One lease in the table.
#[derive(Debug)]
pub(super) struct Entry {
    /// Keeps the tag where refusals of other callers name it. Dropped before the leases: the manager then counts fewer
    /// leases as the holder's own than there are, never more.
    pub(super) tagged: Tagged,
    pub(super) held: Held,
    pub(super) n_components: usize,
    /// Has the leases while they are being exchanged.
    pub(super) exchanging: Option<Exchanging>,
    pub(super) terms: Terms,
    pub(super) since: Moment,
    pub(super) expires: Option<Moment>,
    /// When the lease becomes old; none once it is.
    pub(super) old_at: Option<Moment>,
    pub(super) old: bool,
    /// The due time that the index has for this lease; never later than [`Self::due`] but for a moment in a renewal.
    pub(super) armed: Option<Moment>,
}

impl Entry {
    pub(super) fn new(
        held: Held,
        terms: Terms,
        tagged: Tagged,
        now: Moment,
        max_age: Duration,
    ) -> Self {
        let mut entry = Self {
            tagged,
            n_components: held.leases().len(),
            held,
            exchanging: None,
            since: now,
            expires: terms.ttl.map(|ttl| now + ttl),
            old_at: Some(now + max_age),
            old: false,
            terms,
            armed: None,
        };
        entry.armed = entry.due();
        entry
    }

    pub(super) fn with_leases<R>(&self, look: impl FnOnce(&[AnyLease]) -> R) -> R {
        match &self.exchanging {
            Some(exchanging) => exchanging.0.with(look),
            None => look(self.held.leases()),
        }
    }

    /// The components that have ended or are being stopped.
    pub(super) fn revoked(&self) -> Vec<Leased> {
        self.with_leases(|l| l.iter().filter(|l| l.revoked()).map(leased).collect())
    }

    /// Extends the lease by `ttl`, by its last one, or by `default` if the connection does not bound it.
    pub(super) fn renew(&mut self, ttl: Option<Duration>, default: Duration, now: Moment) {
        self.held.used_by_holder();
        let is_bound = self.terms.bind == Bind::Connection;
        self.terms.ttl = ttl.or(self.terms.ttl).or((!is_bound).then_some(default));
        self.expires = self.terms.ttl.map(|ttl| now + ttl);
    }

    /// When the lease expires or becomes old, whichever is first.
    pub(super) fn due(&self) -> Option<Moment> {
        match (self.expires, self.old_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether the index would look at the lease too late.
    pub(super) fn is_due_before_armed(&self) -> bool {
        self.due().is_some_and(|due| self.armed.is_none_or(|armed| due < armed))
    }
}

/// A leased component as it is sent. Handing out its endpoint counts as a use.
pub(crate) fn leased(lease: &AnyLease) -> Leased {
    let revocation = lease.revocation();
    Leased {
        component: lease.id().clone(),
        endpoint: lease.endpoint().map(Endpoint::from).filter(|e| *e != Endpoint::default()),
        revoked: lease.revoked(),
        ended: revocation.as_ref().is_some_and(|r| r.ended),
        reason: revocation.map(|r| r.cause.to_string()),
    }
}
