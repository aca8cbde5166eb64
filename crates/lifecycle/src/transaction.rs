//! A set of components that is to be ready, from its arrival to its answer.

use std::collections::BTreeSet;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, Confidence, Holder, LeftOut, Moment, Priority, QueueConfig,
    WaiterId,
};
use majordomo_memory::{Need, Reservation};

/// The number of a transaction, in order of arrival; also its name as a claimant of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub u64);

/// The origin of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// A request of a caller or an operator, who waits.
    Demand {
        /// The party that is answered.
        waiter: WaiterId,
        /// The waiter is granted leases; an operator is only notified.
        lease: bool,
    },
    /// CORE, or `lazy_init = false`, at start.
    Startup,
    /// A restart policy, or a changed configuration.
    Restart,
    /// A hint.
    Speculation {
        /// How likely its use is.
        confidence: Confidence,
    },
    /// Its owner left, but others wait for what it loads.
    Adopted,
}

impl Origin {
    /// The waiter to answer.
    #[must_use]
    pub fn waiter(self) -> Option<WaiterId> {
        match self {
            Self::Demand { waiter, .. } => Some(waiter),
            _ => None,
        }
    }

    /// Why members of its transaction are loaded.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::Demand { waiter, lease: true } => Cause::Demand { waiter },
            Self::Demand { lease: false, .. } => Cause::Operator,
            Self::Startup => Cause::Startup,
            Self::Restart | Self::Adopted => Cause::Restart,
            Self::Speculation { .. } => Cause::Speculation,
        }
    }

    /// Why victims are evicted for it.
    #[must_use]
    pub fn eviction_cause(self) -> Cause {
        match self.waiter() {
            Some(waiter) => Cause::EvictedForDemand { waiter },
            None => Cause::EvictedForLoad,
        }
    }

    /// Whether it is a preload.
    #[must_use]
    pub fn is_speculative(self) -> bool {
        matches!(self, Self::Speculation { .. })
    }
}

/// A set to be entered into the queue.
#[derive(Clone, Debug)]
pub struct Request {
    /// Demand, start, restart or hint.
    pub origin: Origin,
    /// The components asked for; in the order of confidence if the set may be granted in part.
    pub requested: Vec<ComponentKey>,
    /// The set may be granted in part.
    pub partial: bool,
    /// Its priority on arrival.
    pub priority: Priority,
    /// When it is answered at the latest.
    pub deadline: Moment,
    /// Whether the caller set this deadline itself.
    pub own_deadline: bool,
}

impl Request {
    /// A request that is granted as a whole, with the usual deadline.
    #[must_use]
    pub fn whole(
        origin: Origin,
        requested: Vec<ComponentKey>,
        priority: Priority,
        deadline: Moment,
    ) -> Self {
        Self { origin, requested, partial: false, priority, deadline, own_deadline: false }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In the queue; holds nothing.
    Waiting,
    /// Victims are on their way out; freed bytes are claimed, members pinned.
    Clearing,
    /// All bytes are reserved; members load or are ready.
    Loading,
}

/// One set that is to be ready.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its number.
    pub id: TxnId,
    /// Demand, start, restart or hint.
    pub origin: Origin,
    /// Why its members are loaded.
    pub cause: Cause,
    /// The components asked for, ascending, each once.
    pub requested: Vec<ComponentKey>,
    /// The same in the order of confidence, where the demand may be granted in part; else empty.
    pub order: Vec<ComponentKey>,
    /// Components left out of a demand that may be granted in part.
    pub left_out: Vec<LeftOut>,
    /// These with all hard dependencies, dependencies first.
    pub closure: Vec<ComponentKey>,
    /// Its priority on arrival.
    pub priority: Priority,
    /// When it arrived; moved on after a suspend.
    pub since: Moment,
    /// When it is answered at the latest.
    pub deadline: Moment,
    /// Whether the caller set this deadline itself.
    pub own_deadline: bool,
    /// How far it is.
    pub phase: Phase,
    /// How often it was admitted; more than once when it had to be planned again.
    pub admissions: u32,
    /// How often later ones were admitted before it.
    pub overtaken: u32,
    /// Since when it could have been admitted but for what is in its way.
    pub blocked_since: Option<Moment>,
    /// The holders in its way at the last try.
    pub holders: Vec<Holder>,
    /// When something that blocks it ends by itself (a minimum residency).
    pub retry_at: Option<Moment>,
    /// A component of its closure had failed: until this moment it waits for the next attempt. It stays set: a
    /// transaction that waited for one attempt waits for the next as well.
    pub waits_for_retry: Option<Moment>,
    /// The bytes to reserve.
    pub reserve: Vec<Reservation>,
    /// Bytes that loads of members take beyond what it reserves for them. With any it is admitted alone:
    /// nothing else is until these loads have ended.
    pub overloads: Vec<(ComponentKey, ByteSize)>,
    /// Components that must be down before it can reserve.
    pub awaits: Vec<ComponentKey>,
}

impl Transaction {
    /// Its closure is still to be found.
    pub(crate) fn new(id: TxnId, request: Request, now: Moment) -> Self {
        let Request { origin, mut requested, partial, priority, deadline, own_deadline } = request;
        let mut order = if partial { requested.clone() } else { Vec::new() };
        let mut seen = BTreeSet::new();
        order.retain(|k| seen.insert(*k));
        requested.sort_unstable();
        requested.dedup();
        Self {
            id,
            origin,
            cause: origin.cause(),
            requested,
            order,
            left_out: Vec::new(),
            closure: Vec::new(),
            priority,
            since: now,
            deadline,
            own_deadline,
            phase: Phase::Waiting,
            admissions: 0,
            overtaken: 0,
            blocked_since: None,
            holders: Vec::new(),
            retry_at: None,
            waits_for_retry: None,
            reserve: Vec::new(),
            overloads: Vec::new(),
            awaits: Vec::new(),
        }
    }

    /// Whether it holds claims, reservations or pins.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase != Phase::Waiting
    }

    /// Whether it waits for nothing but the next attempt of a component that failed: it is in the way of no other transaction.
    #[must_use]
    pub fn is_dormant(&self, now: Moment) -> bool {
        !self.is_active() && self.waits_for_retry.is_some_and(|t| t > now)
    }

    /// The members that it has still to find the bytes for.
    pub(crate) fn unpaid(&self) -> Vec<ComponentKey> {
        match self.phase {
            Phase::Clearing => self.reserve.iter().map(|r| r.key).collect(),
            _ => Vec::new(),
        }
    }

    /// Its tier in the queue now: its priority, one up for each ageing period waited.
    #[must_use]
    pub fn tier(&self, now: Moment, queue: &QueueConfig) -> Priority {
        let n_passed = self.periods(now, queue).0;
        self.priority.raised(u32::try_from(n_passed).unwrap_or(u32::MAX), queue.ageing_ceiling)
    }

    /// Ageing periods that passed since its arrival, and the length of one in microseconds.
    fn periods(&self, now: Moment, queue: &QueueConfig) -> (u64, u64) {
        // At most 2^64 us; whole words, since this runs for each transaction at each input.
        let period = u64::try_from(queue.ageing.as_micros()).unwrap_or(u64::MAX).max(1_000);
        (now.0.saturating_sub(self.since.0) / period, period)
    }

    /// When its tier rises next; none = never, or it is at the ceiling.
    #[must_use]
    pub fn next_ageing(&self, now: Moment, queue: &QueueConfig) -> Option<Moment> {
        if self.tier(now, queue) <= queue.ageing_ceiling {
            return None;
        }
        let (n_passed, period) = self.periods(now, queue);
        Some(Moment(self.since.0.saturating_add(period.saturating_mul(n_passed + 1))))
    }

    /// The bytes that it reserves, by pool.
    #[must_use]
    pub fn need(&self) -> Need {
        let mut need = Need::new();
        for reservation in &self.reserve {
            need.add_all(&reservation.need());
        }
        need
    }
}
