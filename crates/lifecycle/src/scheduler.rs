//! The pure scheduler: states of all components, the queue of transactions, load lanes.
//!
//! It moves components through their states and keeps transactions true; it is *told* what to admit and
//! whom to let go (victims, conflicts and speculation are the engine's). Time comes with each call.
//!
//! Invariants: an active transaction pins its closure; a component has an account in the budget exactly
//! while it is reserved or alive; at most one incarnation of a component is alive.

mod ledger;
mod loading;
mod queue;
mod removing;
mod restarting;
mod table;

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Config, EventKind, IncarnationId, Moment, OpId,
    PressureLevel, Priority, Refusal,
};
use majordomo_memory::{Budget, PoolLimit};
use majordomo_registry::Catalog;

use self::table::TxnTable;
use crate::{Effect, Entry, Origin, Step, Transaction, Transition, TxnId};

/// After its grace and the kill, an unload that has not finished within this counts as stuck.
pub(crate) const KILL_MARGIN: Duration = Duration::from_secs(2);

/// What a loader tells of a finished load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The memory in use right after it, where it is known.
    pub measured: Option<ByteSize>,
    /// The highest memory in use while it ran, where that is known.
    pub peak: Option<ByteSize>,
}

/// A component ran out of memory: the kernel killed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The highest memory that it used, where that is known.
    pub peak: Option<ByteSize>,
}

/// What a loader tells of a failed load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadFailure {
    /// Why, in its words.
    pub error: String,
    /// It ran out of memory.
    pub out_of_memory: Option<OutOfMemory>,
}

impl<T: Into<String>> From<T> for LoadFailure {
    fn from(error: T) -> Self {
        Self { error: error.into(), out_of_memory: None }
    }
}

/// What the engine decided about a transaction that waits.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything is ready: grant.
    Ready,
    /// Reserve and load.
    Start {
        /// Component, pool and bytes to reserve.
        reserve: Vec<(ComponentKey, usize, ByteSize)>,
        /// Components that go for it, in rank order, each with everything live that depends on it: ready
        /// ones are closed and unloaded, speculative loads cancelled.
        victims: Vec<ComponentKey>,
        /// Of these, the ones that go because they conflict.
        replaced: Vec<ComponentKey>,
        /// Components on their way out already whose end is awaited.
        awaits: Vec<ComponentKey>,
        /// Bytes that a member's load takes beyond what is reserved for it; such a load runs alone.
        overloads: Vec<(ComponentKey, ByteSize)>,
    },
    /// Not now.
    Blocked {
        /// Who is in the way.
        holders: Vec<majordomo_core::Holder>,
        /// When that ends by itself, if it does.
        until: Option<Moment>,
        /// RAM is missing; not only a pool apart from it, nor is it that something conflicts or is on its way out.
        short: bool,
    },
    /// Components of the closure failed, and are tried again in time: until then it waits and holds up no other transaction.
    Later {
        /// These components.
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
    /// Its waiter got what it asked for.
    Granted,
    /// Its waiter is told why not.
    Refused(Refusal),
    /// Its waiter left.
    Abandoned,
    /// Speculation that is no longer wanted.
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

    /// What is booked, and what may be.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Replaces catalog, settings and the budget's limits. What that means for loaded components is the engine's to say.
    pub fn configure(&mut self, catalog: Arc<Catalog>, config: Config, total: ByteSize) {
        self.budget.set_limits(total, pool_limits(&catalog));
        self.entries.resize(catalog.len().max(self.entries.len()), Entry::default());
        self.catalog = catalog;
        self.config = config;
        self.changed = true;
    }

    /// What is known of a component.
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

    /// Notes that waiting transactions should be looked at again.
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

    /// From this moment on nothing is given time to stop politely (shutdown).
    pub fn set_last_call(&mut self, at: Option<Moment>) {
        self.last_call = at;
    }

    pub(crate) fn new_op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op - 1)
    }

    /// Whether a component, once loaded, is kept whoever wants its memory: it is CORE or pinned as configured now.
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

    /// Answers the waiter of a transaction that is gone.
    pub(crate) fn answer(txn: &Transaction, reason: &DropReason, step: &mut Step<'_>) {
        let Origin::Demand { waiter, lease } = txn.origin else { return };
        match reason {
            DropReason::Granted => {
                let waited_us =
                    u64::try_from(step.now.since(txn.since).as_micros()).unwrap_or(u64::MAX);
                if lease {
                    let (keys, left_out) = (txn.wanted.clone(), txn.left_out.clone());
                    step.push(Effect::Grant { waiter, keys, left_out });
                } else {
                    step.push(Effect::Done { waiter });
                }
                step.record(EventKind::Granted {
                    waiter,
                    components: txn.wanted.clone(),
                    waited_us,
                    left_out: txn.left_out.clone(),
                });
            }
            DropReason::Refused(refusal) => {
                step.push(Effect::Refuse { waiter, refusal: refusal.clone() });
                step.record(EventKind::Refused {
                    waiter,
                    components: txn.wanted.clone(),
                    refusal: refusal.clone(),
                });
            }
            DropReason::Abandoned => step.record(EventKind::Abandoned { waiter }),
            DropReason::Cancelled => {}
        }
    }
}

/// The limits of a catalog's pools. A pool has the same position, by its name, in the whole chain of
/// configurations, so that the positions of the budget are the catalog's.
fn pool_limits(catalog: &Catalog) -> impl Iterator<Item = PoolLimit> + '_ {
    catalog.pools().iter().map(|p| PoolLimit { budget: p.budget, declared: p.declared })
}
