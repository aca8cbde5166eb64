//! The engine: its parts, and the way of an input through them.
//!
//! An input first changes its subject (a state, a lease, a limit); then `pump` moves everything on that can move:
//! removals, clearing transactions, grants, the queue, relief of pressure and overdraft, load lanes, and last of all
//! preloads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, CauseClass, ComponentKey, ComponentState, Config, EventKind, IncarnationId, Moment,
    WaiterId,
};
use majordomo_lifecycle::{
    Cells, Effect, LoadFailure, LoadReport, Persisted, Scheduler, Step, Transition, TxnId,
};
use majordomo_memory::{Budget, EvictionPolicy, PolicyEvent, product_policy};
use majordomo_preloader::Hint;
use majordomo_registry::Catalog;

use crate::Input;
use crate::admit::Admission;
use crate::attribution::Attribution;
use crate::forecast::Forecaster;
use crate::grant::Opening;
use crate::health::Exit;
use crate::hints::Hints;
use crate::idle::Idleness;
use crate::operate::OperatorWaiter;
use crate::pace::Pace;
use crate::priming::Priming;
use crate::read_ahead::ReadAhead;
use crate::relieve::Relief;
use crate::shutdown::Ending;
use crate::thrash::Thrash;
use crate::timers::TimerTable;

/// Work for the shell, in order.
pub type Effects = Vec<Effect>;

/// A deterministic state machine that decides which components are in memory.
///
/// The engine does no I/O, reads no clock and starts no thread. Its owner, the *shell*, drives it:
///
/// 1. It calls [`handle`](Self::handle) with every [`Input`], one at a time, with the time and the lease cells. Time
///    never decreases. Inputs may come in any order and late: an input about an incarnation that has ended since is
///    ignored.
/// 2. It carries out the returned [`Effect`]s in their order, each before the next call. An effect may start work that
///    takes time; its result comes back as an input.
/// 3. It calls `handle` with [`Input::Tick`] at [`next_wakeup`](Self::next_wakeup) at the latest, if no other input comes
///    before. The moment changes with every call.
///
/// These effects oblige the shell to feed back an input, exactly once each:
///
/// | effect | input |
/// |---|---|
/// | [`StartLoad`](Effect::StartLoad) | [`LoadFinished`](Input::LoadFinished); after a `CancelLoad`, `UnloadFinished` instead |
/// | [`CancelLoad`](Effect::CancelLoad), [`StartUnload`](Effect::StartUnload) | [`UnloadFinished`](Input::UnloadFinished), also after a [`Kill`](Effect::Kill) |
/// | [`StartPark`](Effect::StartPark) | [`Parked`](Input::Parked), unless `StartUnload` comes before |
/// | [`StartWake`](Effect::StartWake) | [`Woken`](Input::Woken), unless `StartUnload` comes before |
/// | [`Probe`](Effect::Probe) | [`Health`](Input::Health) |
/// | [`Trim`](Effect::Trim) | [`Trimmed`](Input::Trimmed) |
/// | [`Cells::want`] | [`Released`](Input::Released) at the next release |
///
/// An incarnation that ends by itself is reported as [`Exited`](Input::Exited), a waiter that gives up as
/// [`Abandon`](Input::Abandon). [`Footprints`](Input::Footprints), [`Pressure`](Input::Pressure) and
/// [`Usage`](Input::Usage) are reported as they are measured; without them the engine works by what is declared.
///
/// The engine decides by its inputs, their times, and the answers of [`Cells::try_close`]; equal ones give equal effects,
/// byte for byte. Every waiter of a [`Demand`](Input::Demand) or an [`Operator`](Input::Operator) request is answered
/// once, with [`Grant`](Effect::Grant), [`Done`](Effect::Done) or [`Refuse`](Effect::Refuse), unless it is abandoned.
/// After [`ShutdownDone`](Effect::ShutdownDone) no effect comes any more.
///
/// # Example
///
/// One demand is granted. The cell is two plain fields here; a program with threads uses those of `majordomo-lease`.
///
/// ```
/// use std::collections::VecDeque;
/// use std::sync::Arc;
///
/// use majordomo_core::{ByteSize, Cause, ComponentId, ComponentKey, Config, IncarnationId, Moment, WaiterId};
/// use majordomo_engine::{Cells, CloseAnswer, Effect, Engine, Input, LoadReport};
/// use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec};
///
/// /// The lease count of the one component, and whether its cell is closed.
/// #[derive(Default)]
/// struct OneCell {
///     leases: u32,
///     closed: bool,
/// }
///
/// impl Cells for OneCell {
///     fn try_close(&mut self, _: ComponentKey) -> CloseAnswer {
///         if self.leases > 0 {
///             return CloseAnswer::Leased(self.leases);
///         }
///         self.closed = true;
///         CloseAnswer::Closed
///     }
///     fn close(&mut self, _: ComponentKey) {
///         self.closed = true;
///     }
///     fn reopen(&mut self, _: ComponentKey) {
///         self.closed = false;
///     }
///     fn want(&mut self, _: ComponentKey) {}
///     fn revoke(&mut self, _: ComponentKey, _: &Cause) {
///         self.closed = true;
///     }
///     fn lease_n(&mut self, _: ComponentKey, n: u32) {
///         self.leases += n;
///     }
///     fn install(&mut self, _: IncarnationId, n: u32) {
///         *self = Self { leases: n, closed: false };
///     }
/// }
///
/// let id = ComponentId::new("ocr")?;
/// let spec = ComponentSpec::new(id, LoaderSpec::Builtin { factory: "ocr".to_owned() });
/// let catalog = Arc::new(Catalog::build(vec![spec], vec![], None).expect("one valid component"));
/// let key = catalog.key("ocr").expect("it is in the catalog");
/// let mut engine = Engine::new(catalog, Config::default(), ByteSize::mib(1000));
/// let mut cells = OneCell::default();
///
/// let waiter = WaiterId(1);
/// let demand = Input::Demand { waiter, keys: vec![key], priority: None, deadline: None, partial: false };
/// let mut inputs = VecDeque::from([demand]);
/// let mut now = Moment::ZERO;
/// let mut granted = false;
/// while let Some(input) = inputs.pop_front() {
///     for effect in engine.handle(input, now, &mut cells) {
///         match effect {
///             // A shell starts the loader here, and feeds its result back when it ends.
///             Effect::StartLoad { id, .. } => {
///                 inputs.push_back(Input::LoadFinished { id, result: Ok(LoadReport::default()) });
///             }
///             // The lease is in the cell already.
///             Effect::Grant { keys, .. } => granted = keys == [key],
///             _ => {}
///         }
///     }
///     // A shell sleeps until the next input, or until then.
///     now = engine.next_wakeup().filter(|_| inputs.is_empty()).unwrap_or(now);
/// }
/// assert!(granted && cells.leases == 1);
/// # Ok::<(), majordomo_core::NameError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    pub(crate) scheduler: Scheduler,
    pub(crate) policy: Box<dyn EvictionPolicy>,
    pub(crate) attribution: Attribution,
    pub(crate) forecaster: Forecaster,
    pub(crate) hints: Hints,
    pub(crate) idleness: Idleness,
    /// Memory that the machine can spare, as last reported.
    pub(crate) spare: Option<ByteSize>,
    pub(crate) waiters: BTreeMap<WaiterId, TxnId>,
    pub(crate) operator_waiters: Vec<OperatorWaiter>,
    pub(crate) relief: Relief,
    pub(crate) thrash: Thrash,
    pub(crate) pace: Pace,
    pub(crate) priming: Priming,
    pub(crate) read_ahead: ReadAhead,
    /// How long the demands of components that are not ready yet wait for parks.
    pub(crate) awaited_parks: BTreeMap<ComponentKey, Duration>,
    pub(crate) ending: Option<Ending>,
    pub(crate) overdraft: ByteSize,
    /// When the queue is looked at again although nothing happened.
    pub(crate) look_again: Option<Moment>,
    /// A configuration with fewer load lanes has come while more loads ran.
    pub(crate) lanes_shrunk: bool,
    /// The time of the last input.
    pub(crate) now: Moment,
    /// As of the last input.
    pub(crate) timers: TimerTable,
    /// The last input brought no end to what can move.
    pub(crate) unsettled: bool,
    seq: u64,
}

impl Engine {
    /// An engine with everything unloaded. `budget` is the total in bytes.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, config: Config, budget: ByteSize) -> Self {
        let policy = product_policy(config.memory.policy);
        let mut new = Self {
            attribution: Attribution::default(),
            forecaster: Forecaster::default(),
            hints: Hints::new(&config.speculation, policy.weighs_load_time()),
            policy,
            idleness: Idleness::new(&config.idle),
            scheduler: Scheduler::new(catalog, config, budget),
            spare: None,
            waiters: BTreeMap::new(),
            operator_waiters: Vec::new(),
            relief: Relief::default(),
            thrash: Thrash::default(),
            pace: Pace::default(),
            priming: Priming::default(),
            read_ahead: ReadAhead::default(),
            awaited_parks: BTreeMap::new(),
            ending: None,
            overdraft: ByteSize::ZERO,
            look_again: None,
            lanes_shrunk: false,
            now: Moment::ZERO,
            timers: TimerTable::default(),
            unsettled: false,
            seq: 0,
        };
        new.update_capacity();
        new
    }

    /// Passes on to the policy the bytes that evictable components have to themselves.
    pub(crate) fn update_capacity(&mut self) {
        let catalog = self.catalog();
        let fixed: Vec<_> = catalog
            .keys()
            .filter(|k| {
                catalog
                    .spec(*k)
                    .is_some_and(|s| s.pinned || s.priority == majordomo_core::Priority::Core)
            })
            .collect();
        let taken: ByteSize =
            catalog.closure(&fixed).iter().map(|k| self.scheduler.needs(*k).settled).sum();
        self.policy.set_capacity(self.scheduler.budget().total().saturating_sub(taken));
    }

    /// The catalog in force.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.scheduler.catalog()
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.scheduler.config()
    }

    /// The ledger.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        self.scheduler.budget()
    }

    /// The state of a component; [`ComponentState::UNLOADED`] for a key that is not in the catalog.
    #[must_use]
    pub fn state(&self, key: ComponentKey) -> ComponentState {
        self.scheduler.entry(key).state()
    }

    /// The incarnation of a component that is alive.
    #[must_use]
    pub fn incarnation(&self, key: ComponentKey) -> Option<IncarnationId> {
        self.scheduler.incarnation(key)
    }

    /// The scheduler, to look at.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Admission on the state as it is.
    pub(crate) fn admission(&self) -> Admission<'_> {
        Admission::new(
            &self.scheduler,
            &*self.policy,
            &self.forecaster,
            self.hints.preloader(),
            &self.thrash,
            &self.pace,
            self.spare,
        )
    }

    /// Takes one input at a time `now`, which never decreases, and returns the effects to carry out.
    pub fn handle(&mut self, input: Input, now: Moment, cells: &mut dyn Cells) -> Effects {
        let mut step = Step::new(now, cells, self.seq);
        self.take(input, &mut step);
        self.run_timers(&mut step);
        self.pump(&mut step);
        self.follow(&mut step);
        let (effects, seq) = step.end();
        self.seq = seq;
        self.now = now;
        // After the shutdown time brings about nothing by itself.
        self.timers = if self.is_down() { TimerTable::default() } else { self.arm_timers() };
        effects
    }

    fn take(&mut self, input: Input, step: &mut Step<'_>) {
        if may_unblock(&input) {
            self.scheduler.touch();
        }
        match input {
            Input::Start => {
                self.priming.start();
                self.start(step);
            }
            Input::Demand { waiter, keys, priority, deadline, partial } => {
                self.demand(waiter, keys, priority, deadline, partial, step);
            }
            Input::Abandon { waiter } => self.abandon(waiter, step),
            Input::Hint { key, confidence, tier, source } => {
                self.hint(Hint { key, confidence, tier, source }, step);
            }
            Input::Begun { command, uses } => self.begun(command, uses, step.now),
            Input::Ended { command } => self.ended(command, step.now),
            Input::Observed { command, used, text_scores } => {
                self.observed(command, used, text_scores, step.now, step);
            }
            Input::WallClock(wall) => self.forecaster.set_wall(step.now, wall),
            Input::Calm(calm) => self.idleness.set_calm(calm),
            Input::Battery(on) => self.idleness.set_on_battery(on),
            Input::Remembered(model) => self.restore_sequence(*model),
            Input::Forget => self.forget_sequence(step),
            Input::LoadFinished { id, result } => self.load_finished(id, result, step),
            Input::UnloadFinished { id } => {
                let failed = self.failure_of_removal(id.key);
                if self.scheduler.unload_finished(id, step)
                    && let Some(refusal) = failed
                {
                    self.refuse_dependents(id.key, &refusal, step);
                }
            }
            Input::Offers(offers) => self.offer(&offers),
            Input::Parked { id, step: number, result } => self.parked(id, number, result, step),
            Input::Woken { id, step: number, result } => self.woken(id, number, result, step),
            Input::Exited { id, how, code, out_of_memory } => {
                self.exited(id, Exit { how, code, out_of_memory }, step);
            }
            Input::Grow { id, bytes } => self.grow(id, bytes, step),
            Input::Health { id, result } => self.health(id, result, step),
            Input::Trimmed { id, result } => self.trimmed(id, &result, step),
            Input::Pressure(level) => self.set_pressure(level, step),
            Input::Footprints(f) => {
                for (id, sample) in f.own {
                    self.measured(id, sample, step);
                }
                self.scheduler.set_taken(f.external, f.unreturned);
            }
            Input::Spare(bytes) => self.spare = Some(bytes),
            Input::Usage(rows) => self.used(&rows, step),
            Input::Released { id } => {
                self.scheduler.released(id, step.cells);
                self.recheck_failing(step);
            }
            Input::Configure { catalog, config, budget } => {
                self.configure(&catalog, *config, budget, step);
            }
            Input::Learned(rows) => self.learned(rows),
            Input::LearnedRungs(rows) => self.learned_rungs(rows),
            Input::Resumed { gap } => self.resumed(gap, step),
            Input::Operator { waiter, key, action } => {
                self.operate(waiter, key, action, step);
            }
            Input::Tick => {}
            Input::Shutdown { deadline } => self.begin_shutdown(deadline, step),
        }
    }

    fn load_finished(
        &mut self,
        id: IncarnationId,
        result: Result<LoadReport, LoadFailure>,
        step: &mut Step<'_>,
    ) {
        if !self.scheduler.is_loading(id) {
            return;
        }
        match result {
            Ok(report) => {
                self.scheduler.load_succeeded(id.key, report, step);
                self.publish(id, Opening::Install, step);
            }
            Err(failure) => {
                let refusal = self.load_failure(id.key, failure.error.clone());
                let cause = self.end_of_load(id.key, failure, step);
                self.scheduler.load_failed(id.key, cause, step);
                self.refuse_dependents(id.key, &refusal, step);
            }
        }
    }

    fn pump(&mut self, step: &mut Step<'_>) {
        if !self.scheduler.take_changed() {
            self.finish_shutdown(step);
            return;
        }
        // Each round either changes something or is the last; a state machine without cycles in one instant
        // ends by itself. The bound is for cells that answer differently each time they are asked.
        self.unsettled = true;
        self.look_again = None;
        for _ in 0..64 {
            self.scheduler.take_changed();
            // A restart that was postponed in the last round may be due.
            self.restart_due(step);
            // Before a demand that waits may load it again.
            self.finish_operator_waiters(step);
            self.cancel_needless_removals(step);
            self.scheduler.progress_removals(step);
            self.scheduler.clear_all(step);
            self.grant_all(step);
            self.scan_queue(step);
            self.scheduler.cancel_loose(step);
            self.relieve(step);
            self.scheduler.start_loads(step);
            self.scheduler.start_wakes(step);
            // An unload is accounted for before the component may be preloaded again.
            self.follow(step);
            self.preload(step);
            self.park_early(step);
            self.park_idle(step);
            self.prime(step);
            self.read_ahead_files(step);
            self.record_overdraft(step);
            self.finish_operator_waiters(step);
            if !self.scheduler.take_changed() {
                self.unsettled = false;
                break;
            }
        }
        self.finish_shutdown(step);
    }

    /// Policy, hints and idleness follow the transitions since they last did, in order.
    fn follow(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for Transition { key, from, to, cause } in step.take_transitions() {
            match to {
                ComponentState::Ready if from.is_loading() => {
                    self.read_ahead.used(key, now);
                    let parks = self.awaited_parks.remove(&key).unwrap_or_default();
                    let event = PolicyEvent::Loaded {
                        key,
                        at: now,
                        size: self.scheduler.budget().booked_for(key),
                        load_time: self.scheduler.load_time(key),
                        saved: self.saved_by_wake(key, from),
                        parks,
                        speculative: self.scheduler.entry(key).is_unrequested(),
                    };
                    self.policy.on_event(&event);
                    self.hints.preloader_mut().on_loaded(key, now);
                    let is_demanded = !self.scheduler.entry(key).is_unrequested();
                    let took = match from {
                        ComponentState::Loading { from } => self.scheduler.wait_at(key, from),
                        _ => self.scheduler.load_time(key),
                    };
                    self.thrash.incarnation_ready(key, is_demanded, now + took);
                    self.idleness.loaded(key);
                }
                ComponentState::Unloading { .. } => {
                    self.read_ahead.used(key, now);
                    let evicted = cause.class() == CauseClass::MemoryShort;
                    // The policy knows no rungs: what is parked is not loaded.
                    if !from.is_on_the_ladder() {
                        self.policy.on_event(&PolicyEvent::Unloaded { key, at: now, evicted });
                    }
                    self.end_preload_as_unloaded(key, cause.class().is_failure(), step);
                    self.thrash.incarnation_ended(key);
                }
                ComponentState::Down(_) if from.is_queued() => {
                    self.end_preload_as_unloaded(key, false, step);
                }
                ComponentState::Failed { .. } | ComponentState::Quarantined { .. } => {
                    self.end_preload_as_unloaded(key, true, step);
                }
                _ => {}
            }
        }
        // A demand that was granted is evidence for the incarnations that became ready for it.
        self.record_ends_for_thrash();
    }

    /// The part of a load that a component did not need because it was woken.
    fn saved_by_wake(&self, key: ComponentKey, before: ComponentState) -> Duration {
        match before {
            ComponentState::Loading { from } if from.is_parked() => {
                self.scheduler.load_time(key).saturating_sub(self.scheduler.wait_at(key, from))
            }
            _ => Duration::ZERO,
        }
    }

    fn learned(&mut self, rows: Vec<Persisted>) {
        for row in rows {
            if row.key.index() < self.catalog().len() {
                let figures = self.scheduler.entry_mut(row.key).figures_mut();
                figures.restore(row.learned, row.load_time);
            }
        }
    }

    fn record_overdraft(&mut self, step: &mut Step<'_>) {
        let total = self.scheduler.budget().overdraft();
        if total != self.overdraft {
            self.overdraft = total;
            step.record(EventKind::Overdraft { total });
        }
    }
}

/// Whether an input can let a waiting transaction or a preload go on although it changes no state.
fn may_unblock(input: &Input) -> bool {
    matches!(input, Input::Calm(_) | Input::Battery(_) | Input::Spare(_) | Input::Resumed { .. })
}
