//! The engine: its parts, and the way of an input through them.
//!
//! An input first changes what it is about (a state, a lease, a limit); then `pump` moves everything on
//! that can move: components on their way out, clearing transactions, grants, the queue, relief of
//! pressure and overdraft, load lanes, and last of all speculation.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{
    ByteSize, CauseClass, ComponentKey, ComponentState, Config, EventKind, IncarnationId, Moment,
    Refusal, WaiterId,
};
use majordomo_lifecycle::{
    Cells, DropReason, Effect, Origin, Persisted, Removal, Scheduler, Step, Transition, TxnId,
};
use majordomo_memory::{Budget, EvictionPolicy, PolicyEvent, product_policy};
use majordomo_preloader::Hint;
use majordomo_registry::Catalog;

use crate::foresight::Foresight;
use crate::health::Exit;
use crate::operate::OperatorWaiter;
use crate::relieve::Relief;
use crate::shutdown::Ending;
use crate::speculate::Contention;
use crate::{Input, Usage};

/// What the shell is to do, in order.
pub type Effects = Vec<Effect>;

/// The pure composition of scheduler, ledger, policy and speculation.
#[derive(Debug)]
pub struct Engine {
    pub(crate) scheduler: Scheduler,
    pub(crate) policy: Box<dyn EvictionPolicy>,
    pub(crate) foresight: Foresight,
    /// What the machine can spare, as last reported.
    pub(crate) spare: Option<ByteSize>,
    pub(crate) waiters: BTreeMap<WaiterId, TxnId>,
    pub(crate) operator_waiters: Vec<OperatorWaiter>,
    pub(crate) relief: Relief,
    pub(crate) ending: Option<Ending>,
    pub(crate) overdraft: ByteSize,
    /// When the queue is looked at again although nothing happened.
    pub(crate) look_again: Option<Moment>,
    /// Demands found no room beside what is leased.
    pub(crate) contention: Option<Contention>,
    /// A configuration with fewer load lanes has come while more loads ran.
    pub(crate) lanes_shrunk: bool,
    /// The time of the last input.
    pub(crate) now: Moment,
    /// When it wants to be called next, as of the last input.
    pub(crate) wake: Option<Moment>,
    /// The last input brought no end to what can move.
    pub(crate) unsettled: bool,
    seq: u64,
}

impl Engine {
    /// An engine with everything unloaded. `budget` is the total in bytes.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, config: Config, budget: ByteSize) -> Self {
        let mut new = Self {
            policy: product_policy(config.memory.policy),
            foresight: Foresight::new(&config),
            scheduler: Scheduler::new(catalog, config, budget),
            spare: None,
            waiters: BTreeMap::new(),
            operator_waiters: Vec::new(),
            relief: Relief::default(),
            ending: None,
            overdraft: ByteSize::ZERO,
            look_again: None,
            contention: None,
            lanes_shrunk: false,
            now: Moment::ZERO,
            wake: None,
            unsettled: false,
            seq: 0,
        };
        new.tell_capacity();
        new
    }

    /// Tells the policy the bytes that components which may go have to themselves.
    pub(crate) fn tell_capacity(&mut self) {
        let catalog = self.catalog();
        let fixed: Vec<_> = catalog
            .keys()
            .filter(|k| {
                catalog
                    .spec(*k)
                    .is_some_and(|s| s.pinned || s.priority == majordomo_core::Priority::Core)
            })
            .collect();
        let taken: ByteSize = catalog.closure(&fixed).iter().map(|k| self.needs(*k).settled).sum();
        self.policy.set_capacity(self.scheduler.budget().total().saturating_sub(taken));
    }

    /// Replaces the eviction policy; before the first input only, since policies learn from events.
    pub fn set_policy(&mut self, policy: Box<dyn EvictionPolicy>) {
        self.policy = policy;
        self.tell_capacity();
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

    /// The state of a component.
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

    /// Takes one input at a time `now`, which never goes back, and says what to do.
    pub fn handle(&mut self, input: Input, now: Moment, cells: &mut dyn Cells) -> Effects {
        let mut step = Step::new(now, cells, self.seq);
        self.take(input, &mut step);
        self.timers(&mut step);
        self.pump(&mut step);
        self.follow(&mut step);
        let (effects, seq) = step.end();
        self.seq = seq;
        self.now = now;
        self.wake = self.find_wakeup();
        effects
    }

    fn take(&mut self, input: Input, step: &mut Step<'_>) {
        match input {
            Input::Start => self.start(step),
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
            Input::WallClock(wall) => self.foresight.set_wall(step.now, wall),
            Input::Calm(calm) => {
                self.foresight.calm = calm;
                self.scheduler.touch();
            }
            Input::Battery(on) => {
                self.foresight.on_battery = on;
                self.scheduler.touch();
            }
            Input::Remembered(model) => self.remembered(*model),
            Input::Forget => {
                self.foresight.forget(step.now);
                step.push(Effect::PersistSequence);
            }
            Input::LoadFinished { id, result } => {
                if !self.scheduler.is_loading(id) {
                    return;
                }
                match result {
                    Ok(report) => {
                        self.scheduler.load_succeeded(id.key, report, step);
                        self.publish(id, step);
                    }
                    Err(failure) => {
                        let refusal = self.load_failure(id.key, failure.error.clone());
                        let cause = self.end_of_load(id.key, failure, step);
                        self.scheduler.load_failed(id.key, cause, step);
                        self.refuse_dependents(id.key, &refusal, step);
                    }
                }
            }
            Input::UnloadFinished { id } => {
                let failed = self.failure_on_the_way_out(id.key);
                if self.scheduler.unload_finished(id, step)
                    && let Some(refusal) = failed
                {
                    self.refuse_dependents(id.key, &refusal, step);
                }
            }
            Input::Exited { id, how, code, out_of_memory } => {
                self.exited(id, Exit { how, code, out_of_memory }, step);
            }
            Input::Grow { id, bytes } => self.grow(id, bytes, step),
            Input::Health { id, result } => self.health(id, result, step),
            Input::Trimmed { id, result } => self.trimmed(id, &result, step),
            Input::Pressure(level) => self.set_pressure(level, step),
            Input::Footprints(f) => {
                for (id, bytes) in f.own {
                    self.measured(id, bytes, step);
                }
                self.scheduler.set_taken(f.external, f.unreturned);
            }
            Input::Spare(bytes) => {
                self.spare = Some(bytes);
                self.scheduler.touch();
            }
            Input::Usage(rows) => self.used(&rows, step),
            Input::Released { id } => {
                self.scheduler.released(id, step.cells);
                self.recheck_failing(step);
            }
            Input::Configure { catalog, config, budget } => {
                self.configure(&catalog, *config, budget, step);
            }
            Input::Learned(rows) => self.learned(rows),
            Input::Resumed { gap } => self.resumed(gap, step),
            Input::Operator { waiter, key, action } => {
                self.operate(waiter, key, action, step);
            }
            Input::Tick => {}
            Input::Shutdown { deadline } => self.begin_shutdown(deadline, step),
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
            self.let_stay(step);
            self.scheduler.progress_removals(step);
            self.scheduler.clear_all(step);
            self.grant_all(step);
            self.scan_queue(step);
            self.scheduler.cancel_loose(step);
            self.relieve(step);
            self.scheduler.start_loads(step);
            // What is gone is accounted for before it may be loaded ahead again.
            self.follow(step);
            self.speculate(step);
            self.note_overdraft(step);
            self.finish_operator_waiters(step);
            if !self.scheduler.take_changed() {
                self.unsettled = false;
                break;
            }
        }
        self.finish_shutdown(step);
    }

    /// Policy and foresight learn from what was decided since they last did, in order.
    fn follow(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for Transition { key, from, to, cause } in step.take_transitions() {
            match to {
                ComponentState::Ready if from == ComponentState::Loading => {
                    let event = PolicyEvent::Loaded {
                        key,
                        at: now,
                        size: self.scheduler.budget().booked_for(key),
                        load_time: self.load_time(key),
                        speculative: self.scheduler.entry(key).is_unrequested(),
                    };
                    self.policy.on_event(&event);
                    self.foresight.preloader.on_loaded(key, now);
                    self.foresight.trim.on_back(key);
                }
                ComponentState::Unloading => {
                    let evicted = cause.class() == CauseClass::MemoryShort;
                    self.policy.on_event(&PolicyEvent::Unloaded { key, at: now, evicted });
                    self.preload_gone(key, cause.class().is_failure(), step);
                }
                ComponentState::Unloaded if from == ComponentState::Queued => {
                    self.preload_gone(key, false, step);
                }
                ComponentState::Failed { .. } | ComponentState::Quarantined { .. } => {
                    self.preload_gone(key, true, step);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn load_time(&self, key: ComponentKey) -> std::time::Duration {
        let declared =
            || self.catalog().spec(key).map_or(std::time::Duration::ZERO, |s| s.load_time);
        self.scheduler.entry(key).figures().load_time().unwrap_or_else(declared)
    }

    fn used(&mut self, rows: &[Usage], step: &mut Step<'_>) {
        for u in rows {
            if !self.scheduler.is_current(u.id) {
                continue;
            }
            let key = u.id.key;
            let size = self.scheduler.budget().booked_for(key);
            let load_time = self.load_time(key);
            self.scheduler.entry_mut(key).used(u.uses, u.last_use);
            // A lease that is still held tells of no last use yet; what it needs is in use with it.
            if u.uses > 0 || u.last_use.is_some() {
                for key in self.catalog().closure(&[key]) {
                    self.scheduler.entry_mut(key).figures_mut().used(step.now);
                    self.had(key, step);
                }
            }
            if let Some(at) = u.last_use {
                let fixed = self.scheduler.entry(key).is_fixed();
                let event = PolicyEvent::Used { key, at, uses: u.uses.max(1), size, load_time };
                // What never goes is no policy's business.
                if !fixed {
                    self.policy.on_event(&event);
                }
                self.swept(key, at);
            }
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

    fn note_overdraft(&mut self, step: &mut Step<'_>) {
        let total = self.scheduler.budget().overdraft();
        if total != self.overdraft {
            self.overdraft = total;
            step.record(EventKind::Overdraft { total });
        }
    }

    /// What waiters of a failed load are told.
    pub(crate) fn load_failure(&self, key: ComponentKey, cause: String) -> Refusal {
        Refusal::LoadFailed { component: self.catalog().id(key).clone(), cause: cause.into() }
    }

    /// Refuses every transaction that counted on a component that failed. Those who waited out a back-off for it wait
    /// for the next attempt as well, if that comes in time.
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
            _ => self.failure_on_the_way_out(failed).is_some(),
        })
    }

    /// Ends a transaction; what must run whatever happens (CORE, pinned, restarts) is tried again later.
    pub(crate) fn end(&mut self, id: TxnId, reason: &DropReason, step: &mut Step<'_>) {
        if let DropReason::Refused(refusal) = reason {
            self.note_too_large(refusal, step.now);
        }
        let Some(txn) = self.scheduler.transaction(id) else { return };
        let retry = matches!(reason, DropReason::Refused(_))
            && matches!(txn.origin, Origin::Startup | Origin::Restart)
            && self.ending.is_none();
        let wanted = txn.wanted.clone();
        let in_vain = txn.origin.waiter().is_some() && *reason != DropReason::Granted;
        // Answered: what its owner may still send does not reach a load that others took over.
        if let Some(waiter) = txn.origin.waiter() {
            self.waiters.remove(&waiter);
        }
        self.scheduler.drop_txn(id, reason, step);
        if in_vain {
            self.preload_not_wanted(&wanted);
        }
        if retry {
            let soon =
                step.now + self.config().back_off.max.min(std::time::Duration::from_secs(30));
            for key in wanted {
                let may_be_tried = self.scheduler.restart_time(key);
                let at = if may_be_tried > step.now { may_be_tried } else { soon };
                self.scheduler.restart_later(key, at);
            }
        }
    }

    /// The failure that waiters of a cancelled load are told when it is down.
    fn failure_on_the_way_out(&self, key: ComponentKey) -> Option<Refusal> {
        let e = self.scheduler.entry(key);
        match e.removal().map(Removal::then) {
            Some(majordomo_lifecycle::Then::Failed(cause)) => {
                Some(self.load_failure(key, cause.to_string()))
            }
            _ => None,
        }
    }
}
