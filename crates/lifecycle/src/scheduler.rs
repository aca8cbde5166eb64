//! The pure scheduler: states of all components, the queue of transactions, load lanes.
//!
//! It moves components through their states and keeps transactions true; it is *told* what to admit and
//! whom to let go (victims, conflicts and speculation are the engine's). Time comes with each call.
//!
//! Invariants: an active transaction pins its closure; a component has an account in the budget exactly
//! while it is reserved or alive; at most one incarnation of a component is alive.

mod leaving;
mod loading;
mod queue;
mod table;

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Config, EventKind, Moment, OpId, PressureLevel,
    Priority, Refusal,
};
use majordomo_memory::{Budget, Needs, PoolLimit};
use majordomo_registry::{Catalog, RestartPolicy};

use self::table::TxnTable;
use crate::{Effect, Entry, Origin, Phase, Step, Transaction, Transition, TxnId};

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
    pub(crate) leaving: usize,
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
            leaving: 0,
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

    /// The same, to book what was measured or granted, and to set what there is.
    pub fn budget_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// The pool that a component's bytes are, or would be, booked in: that of its account while it has one, by
    /// whichever configuration, else the configured one.
    #[must_use]
    pub fn pool(&self, key: ComponentKey) -> usize {
        self.budget.pool_of(key).unwrap_or_else(|| self.catalog.pool(key))
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

    /// The same, to change what is not a state.
    pub fn entry_mut(&mut self, key: ComponentKey) -> &mut Entry {
        &mut self.entries[key.index()]
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

    /// The same, to note why it waits.
    pub fn transaction_mut(&mut self, id: TxnId) -> Option<&mut Transaction> {
        self.txns.get_mut(id)
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
        let from = std::mem::replace(&mut e.state, to);
        debug_assert!(
            from.may_become(to),
            "{key:?} cannot go from {from:?} to {to:?} because {cause}"
        );
        e.since = step.now;
        // An incarnation that is down is no guess any more.
        e.speculative &= to.is_alive() || to == ComponentState::Queued;
        e.cause = Some(cause.clone());
        step.moved(Transition { key, from, to, cause: cause.clone() });
        let op = e.op;
        let booked = self.budget.booked_for(key);
        step.record(EventKind::State { component: key, from, to, cause, op, booked });
        self.changed = true;
    }

    /// Components on their way out, stuck ones included.
    #[must_use]
    pub fn n_leaving(&self) -> usize {
        self.leaving
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

    /// Whether a component is a guess, and not to be kept whoever asks.
    #[must_use]
    pub fn nobody_misses(&self, key: ComponentKey) -> bool {
        self.entries[key.index()].is_guess() && !self.is_never_evicted(key)
    }

    /// Whether a component is restarted after a failure without a demand: CORE, pinned, or by its policy.
    fn restarts(&self, key: ComponentKey) -> bool {
        match self.catalog.spec(key).map(|s| s.restart) {
            Some(RestartPolicy::Always | RestartPolicy::OnFailure) => true,
            Some(RestartPolicy::OnDemand) => self.is_never_evicted(key),
            Some(RestartPolicy::Never) | None => false,
        }
    }

    /// Whether a component that ended by itself, without a failure, is loaded again without a demand.
    fn restarts_after_its_end(&self, key: ComponentKey) -> bool {
        match self.catalog.spec(key).map(|s| s.restart) {
            Some(RestartPolicy::Always) => !self.nobody_misses(key),
            Some(RestartPolicy::OnDemand | RestartPolicy::OnFailure) => self.is_never_evicted(key),
            Some(RestartPolicy::Never) | None => false,
        }
    }

    /// Whether a component must run without a demand: it is restarted, and is not merely speculative.
    #[must_use]
    pub fn must_run(&self, key: ComponentKey) -> bool {
        self.restarts(key) && !self.nobody_misses(key)
    }

    /// Whether a component that fails again and again is closed for a while. Never one that must run, nor one that
    /// such a component depends on: these are tried at the longest back-off, however long an outage lasts.
    fn may_be_quarantined(&self, key: ComponentKey) -> bool {
        let never = self.catalog.spec(key).is_some_and(|s| s.restart == RestartPolicy::Never);
        let dependents = self.catalog.dependent_closure(&[key]);
        !never && !dependents.iter().any(|k| self.restarts(*k))
    }

    /// When a component may be loaded by itself: everything in its closure may be tried then.
    #[must_use]
    pub fn restart_time(&self, key: ComponentKey) -> Moment {
        let may_be_tried = |k: &ComponentKey| match self.entries[k.index()].state {
            ComponentState::Failed { retry_at } => retry_at,
            ComponentState::Quarantined { until } => until,
            _ => self.entries[k.index()].rests_until,
        };
        self.catalog.closure(&[key]).iter().map(may_be_tried).max().unwrap_or_default()
    }

    /// Restarts that are due later and wait for a component are due at `at` instead.
    pub(crate) fn move_restarts(&mut self, dependency: ComponentKey, at: Moment) {
        let waiting = self.keys_where(|e| {
            e.state == ComponentState::Unloaded && e.restart_at.is_some_and(|t| t != at)
        });
        for key in waiting {
            if key != dependency && self.catalog.closure(&[key]).contains(&dependency) {
                self.entries[key.index()].restart_at = Some(at);
            }
        }
    }

    /// Counts one more in the row of a component's failures; the wait that follows it.
    pub(crate) fn lengthen_row(&mut self, key: ComponentKey, now: Moment) -> Duration {
        let b = &self.config.back_off;
        let e = &mut self.entries[key.index()];
        if now > e.row_ends {
            e.failures_in_row = 0;
        }
        let factor = 1u32.checked_shl(e.failures_in_row).unwrap_or(u32::MAX);
        let wait = b.base.checked_mul(factor).map_or(b.max, |w| w.min(b.max));
        e.failures_in_row = e.failures_in_row.saturating_add(1);
        e.row_ends = now + wait + self.config.quarantine.window;
        wait
    }

    /// Puts a failed component into back-off or quarantine.
    pub(crate) fn fail(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let now = step.now;
        let policy = self.catalog.spec(key).map_or(RestartPolicy::Never, |s| s.restart);
        let must_run = self.must_run(key);
        let may_be_quarantined = self.may_be_quarantined(key);
        let wait = self.lengthen_row(key, now);
        let q = &self.config.quarantine;
        let most = q.failures.max(1) as usize;
        let e = &mut self.entries[key.index()];
        e.failures += 1;
        e.recent_failures.push_back(now);
        while e.recent_failures.len() > most
            || e.recent_failures.front().is_some_and(|t| now.since(*t) > q.window)
        {
            e.recent_failures.pop_front();
        }
        let n_recent = e.recent_failures.len();
        e.op = None;
        e.spec = None;
        e.restart_at = None;
        let (to, next) = if n_recent >= most && may_be_quarantined {
            e.recent_failures.clear();
            e.failures_in_row = 0;
            let until = now + q.duration;
            (ComponentState::Quarantined { until }, until)
        } else {
            let retry_at = if policy == RestartPolicy::Never { Moment::NEVER } else { now + wait };
            if std::mem::take(&mut e.restart_after) || must_run {
                e.restart_at = Some(retry_at);
            }
            (ComponentState::Failed { retry_at }, retry_at)
        };
        self.set_state(key, to, cause, step);
        self.move_restarts(key, next);
    }

    /// Opens a failed or quarantined component: by an operator, a changed configuration, or in time.
    pub fn forgive(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let e = &mut self.entries[key.index()];
        if matches!(e.state, ComponentState::Failed { .. } | ComponentState::Quarantined { .. }) {
            e.recent_failures.clear();
            e.failures_in_row = 0;
            e.restart_at = None;
            self.set_state(key, ComponentState::Unloaded, cause, step);
        }
    }

    /// What a component needs by its configuration and by what was learned of it.
    #[must_use]
    pub fn needs(&self, key: ComponentKey) -> Needs {
        let declared = self.catalog.spec(key).map_or(ByteSize::ZERO, |s| s.memory);
        self.entry(key).learned.needs(declared, self.config.memory.estimate_margin)
    }

    /// Enters a transaction into the queue.
    pub fn submit(
        &mut self,
        origin: Origin,
        mut wanted: Vec<ComponentKey>,
        priority: majordomo_core::Priority,
        now: Moment,
        deadline: Moment,
    ) -> TxnId {
        wanted.sort_unstable();
        wanted.dedup();
        let id = TxnId(self.next_txn);
        self.next_txn += 1;
        let closure = self.catalog.closure(&wanted);
        let txn = Transaction {
            id,
            origin,
            cause: origin.cause(),
            wanted,
            order: Vec::new(),
            left_out: Vec::new(),
            closure,
            priority,
            since: now,
            deadline,
            own_deadline: false,
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
        };
        self.txns.push(txn);
        self.changed = true;
        id
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
