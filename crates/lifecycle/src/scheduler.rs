//! The pure scheduler: states of all components, the queue of transactions, load lanes.
//!
//! It moves components through their states and keeps transactions consistent. The engine decides what is admitted and
//! evicted (victims, conflicts and preloads are its concern). Time comes with each call.
//!
//! Invariants: an active transaction pins its closure; a component has an account in the budget exactly
//! while it is reserved or alive; at most one incarnation of a component is alive.

mod clearing;
mod ledger;
mod loading;
mod parking;
mod queue;
mod releasing;
mod removing;
mod replanning;
mod restarting;
mod table;
mod waking;

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Config, EventKind, IncarnationId, Moment, OpId,
    PressureLevel, Priority, Refusal, Rung,
};
use majordomo_memory::{Budget, PoolLimit, Reservation, Shortage};
use majordomo_registry::Catalog;

pub use self::parking::RungOffer;
use self::table::TxnTable;
use crate::{Entry, Step, Transaction, Transition, TxnId};

/// After its grace and the kill, an unload that has not finished within this counts as stuck.
pub(crate) const KILL_MARGIN: Duration = Duration::from_secs(2);

/// A component that is evicted, and where it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a key needs no comment")]
pub struct Victim {
    pub key: ComponentKey,
    /// The rung where it will be.
    pub to: Rung,
}

impl Victim {
    /// A component that is unloaded.
    #[must_use]
    pub fn gone(key: ComponentKey) -> Self {
        Self { key, to: Rung::Gone }
    }
}

/// The plan of an admitted transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// Reservations, one for each component that is to be loaded.
    pub reserve: Vec<Reservation>,
    /// Components that are evicted for it, in rank order, each with everything live that depends on it: ready ones are
    /// closed and unloaded, speculative loads cancelled.
    pub victims: Vec<Victim>,
    /// Victims that conflict with it.
    pub replaced: Vec<ComponentKey>,
    /// Components that are being removed already and whose end is awaited.
    pub awaits: Vec<ComponentKey>,
    /// Bytes that a member's load takes beyond what is reserved for it; such a load runs alone.
    pub overloads: Vec<(ComponentKey, ByteSize)>,
}

/// The engine's decision about a transaction that waits.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything is ready: grant.
    Ready,
    /// Reserve and load.
    Start(Admitted),
    /// Not now.
    Blocked {
        /// Components in the way.
        holders: Vec<majordomo_core::Holder>,
        /// When that ends by itself, if it does.
        until: Option<Moment>,
        /// The memory that is missing.
        short: Shortage,
    },
    /// Members failed and are tried again later: until then it waits and holds up no other transaction.
    Later {
        /// These members.
        holders: Vec<majordomo_core::Holder>,
        /// When the last of them may be tried.
        until: Moment,
    },
    /// Not at all.
    Refuse(Refusal),
}

/// Why a transaction is dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum DropReason {
    /// Its waiter has its leases.
    Granted,
    /// Its waiter is refused.
    Refused(Refusal),
    /// Its waiter gave up.
    Abandoned,
    /// A preload whose memory is needed, or that is not expected to be used any more.
    Cancelled,
}

/// States, queue and load lanes.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) config: Config,
    pub(crate) budget: Budget,
    pressure: PressureLevel,
    pub(crate) entries: Vec<Entry>,
    pub(crate) txns: TxnTable,
    next_txn: u64,
    next_op: u64,
    next_step: u64,
    /// Wakes that may run at a time.
    wake_lanes: usize,
    /// Bytes that parks may still write to swap; none = as many as fit.
    may_write: Option<ByteSize>,
    n_removals: usize,
    /// Loads that lost their last transaction during this input; whether that was since its deadline passed.
    pub(crate) loose: Vec<(ComponentKey, bool)>,
    last_call: Option<Moment>,
    changed: bool,
}

impl Scheduler {
    /// A scheduler with everything unloaded. `total` is the budget in bytes.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, config: Config, total: ByteSize) -> Self {
        let entries = vec![Entry::default(); catalog.len()];
        let budget = Budget::new(total, pool_limits(&catalog));
        Self {
            catalog,
            config,
            budget,
            pressure: PressureLevel::Low,
            entries,
            txns: TxnTable::default(),
            next_txn: 0,
            next_op: 1,
            next_step: 0,
            wake_lanes: 0,
            may_write: None,
            n_removals: 0,
            loose: Vec::new(),
            last_call: None,
            changed: true,
        }
    }

    /// The catalog in force.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The level of memory pressure.
    #[must_use]
    pub fn pressure(&self) -> PressureLevel {
        self.pressure
    }

    /// It changed.
    pub fn set_pressure(&mut self, level: PressureLevel) {
        self.pressure = level;
        self.changed = true;
    }

    /// Booked bytes, and the limits.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Replaces catalog, settings and the budget's limits. The engine decides what becomes of loaded components.
    pub fn configure(&mut self, catalog: Arc<Catalog>, config: Config, total: ByteSize) {
        self.budget.set_limits(total, pool_limits(&catalog));
        self.entries.resize(catalog.len().max(self.entries.len()), Entry::default());
        self.catalog = catalog;
        self.config = config;
        self.changed = true;
    }

    /// One component, by its key in the catalog.
    #[must_use]
    pub fn entry(&self, key: ComponentKey) -> &Entry {
        &self.entries[key.index()]
    }

    /// The same, to record facts; its state changes by the scheduler's verbs only.
    pub fn entry_mut(&mut self, key: ComponentKey) -> &mut Entry {
        &mut self.entries[key.index()]
    }

    /// The incarnation of a component that is alive.
    #[must_use]
    pub fn incarnation(&self, key: ComponentKey) -> Option<IncarnationId> {
        Some(IncarnationId { key, op: self.entry(key).op()? })
    }

    /// Whether an incarnation is alive; what is reported of an earlier one comes too late.
    #[must_use]
    pub fn is_current(&self, id: IncarnationId) -> bool {
        self.entries.get(id.key.index()).is_some_and(|e| e.op() == Some(id.op))
    }

    /// Every component that ever was, by key.
    pub fn entries(&self) -> impl Iterator<Item = (ComponentKey, &Entry)> {
        self.entries.iter().enumerate().map(|(i, e)| (ComponentKey::from_index(i), e))
    }

    /// Keys in a state that satisfies `f`.
    #[must_use]
    pub fn keys_where(&self, f: impl Fn(&Entry) -> bool) -> Vec<ComponentKey> {
        self.entries().filter(|(_, e)| f(e)).map(|(k, _)| k).collect()
    }

    /// The transactions, by number.
    pub fn transactions(&self) -> impl DoubleEndedIterator<Item = &Transaction> {
        self.txns.values()
    }

    /// One transaction.
    #[must_use]
    pub fn transaction(&self, id: TxnId) -> Option<&Transaction> {
        self.txns.get(id)
    }

    /// Whether anything changed since the last call that could let a waiting transaction go on.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Has waiting transactions looked at again.
    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// Moves a component to another state and records it.
    pub(crate) fn set_state(
        &mut self,
        key: ComponentKey,
        to: ComponentState,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let e = &mut self.entries[key.index()];
        let from = e.enter(to, cause.clone(), step.now);
        debug_assert!(
            from.may_become(to),
            "{key:?} cannot go from {from:?} to {to:?} because {cause}"
        );
        let op = e.op();
        step.moved(Transition { key, from, to, cause: cause.clone() });
        let booked = self.budget.booked_for(key);
        step.record(EventKind::State { component: key, from, to, cause, op, booked });
        self.changed = true;
    }

    /// Components on their way out, stuck ones included.
    #[must_use]
    pub fn n_removals(&self) -> usize {
        self.n_removals
    }

    /// An operator pins or unpins a component, over the configuration.
    pub fn pin(&mut self, key: ComponentKey, pinned: bool) {
        self.entry_mut(key).set_operator_pin(pinned);
        self.touch();
    }

    /// From this moment on nothing is given time to stop politely (shutdown).
    pub fn set_last_call(&mut self, at: Option<Moment>) {
        self.last_call = at;
    }

    pub(crate) fn new_op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op - 1)
    }

    /// Whether a component, once loaded, is kept for whatever demand: it is CORE or pinned as configured now.
    #[must_use]
    pub fn is_never_evicted(&self, key: ComponentKey) -> bool {
        let spec = self.catalog.spec(key);
        let pinned = self.entries[key.index()].is_pinned(spec);
        spec.is_some_and(|s| pinned || s.priority == Priority::Core)
    }

    /// Whether a component may be evicted without breaking a promise: it was not requested, and is not always kept.
    #[must_use]
    pub fn is_expendable(&self, key: ComponentKey) -> bool {
        self.entries[key.index()].is_unrequested() && !self.is_never_evicted(key)
    }
}

/// The limits of a catalog's pools. A pool has the same position, by its name, in the whole chain of
/// configurations, so that the positions of the budget are the catalog's.
fn pool_limits(catalog: &Catalog) -> impl Iterator<Item = PoolLimit> + '_ {
    catalog.pools().iter().map(|p| PoolLimit { budget: p.budget, declared: p.declared })
}
