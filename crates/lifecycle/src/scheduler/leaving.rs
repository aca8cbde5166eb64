//! The way out: draining, unloading, being stuck, and what follows.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, Moment, OpId};

use super::{KILL_MARGIN, Scheduler};
use crate::{Cells, CloseAnswer, Effect, Leave, Step, Then};

impl Scheduler {
    /// Sends a ready component away. Its cell must be closed by now (`leave.drained` says whether leases are
    /// out). It is taken down when its leases have ended, or were revoked at `leave.force_at`, and everything
    /// that depends on it is down.
    pub fn begin_leave(&mut self, key: ComponentKey, leave: Leave, step: &mut Step<'_>) {
        debug_assert_eq!(self.entry(key).state, ComponentState::Ready);
        let at_once = leave.drained && self.entry(key).dependents.is_empty();
        let cause = leave.cause.clone();
        let drained = leave.drained;
        let e = self.entry_mut(key);
        e.leave = Some(leave);
        e.next_probe = None;
        e.failing = None;
        e.wanted_since = None;
        self.leaving += 1;
        if at_once {
            self.start_unload(key, cause, step);
            return;
        }
        self.set_state(key, ComponentState::Draining, cause, step);
        if !drained {
            self.await_release(key, step.cells);
        }
    }

    /// Asks for a notice of the last release, and looks once more in case it has just happened.
    fn await_release(&mut self, key: ComponentKey, cells: &mut dyn Cells) {
        cells.want(key);
        if cells.try_close(key) == CloseAnswer::Closed
            && let Some(leave) = &mut self.entry_mut(key).leave
        {
            leave.drained = true;
        }
    }

    /// A lease of a draining component ended.
    pub fn released(&mut self, key: ComponentKey, op: OpId, cells: &mut dyn Cells) {
        let e = self.entry(key);
        if e.op == Some(op) && e.state == ComponentState::Draining {
            self.await_release(key, cells);
        }
    }

    /// Takes down every draining component that may go now.
    pub fn progress_leaving(&mut self, step: &mut Step<'_>) {
        if self.leaving == 0 {
            return;
        }
        for key in self.keys_where(|e| e.state == ComponentState::Draining) {
            let now = step.now;
            let e = self.entry_mut(key);
            let Some(leave) = &mut e.leave else { continue };
            if !leave.forced && leave.force_at.is_some_and(|t| t <= now) {
                leave.forced = true;
                if !leave.drained {
                    let cause = leave.cause.clone();
                    step.cells.revoke(key, &cause);
                    step.record(EventKind::Revoked { component: key, cause });
                }
            }
            if !(leave.drained || leave.forced) {
                continue;
            }
            let cause = leave.cause.clone();
            // A stuck dependent will never go; whoever must go at a set time does not wait for it.
            let forced = leave.forced;
            let held = self
                .entry(key)
                .dependents
                .iter()
                .any(|d| !(forced && self.entry(*d).state == ComponentState::Stuck));
            if !held {
                self.start_unload(key, cause, step);
            }
        }
    }

    fn start_unload(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let grace = self.grace(key, step.now);
        self.start_unload_within(key, grace, cause, step);
    }

    fn start_unload_within(
        &mut self,
        key: ComponentKey,
        grace: Duration,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let e = self.entry_mut(key);
        let Some(op) = e.op else { return };
        e.unload_deadline = Some(step.now + grace + KILL_MARGIN);
        let hibernate = self.is_worth_keeping(&cause);
        self.set_state(key, ComponentState::Unloading, cause, step);
        step.push(Effect::StartUnload { key, op, grace, hibernate });
    }

    /// Whether what a component knows is worth keeping when it goes for this cause: it is well, will be wanted
    /// again, and memory is not desperately short.
    fn is_worth_keeping(&self, cause: &Cause) -> bool {
        self.pressure() < self.config.memory.refuse_loads_at
            && (cause.class().is_eviction() || *cause == Cause::Operator)
    }

    /// A ready or draining component is gone by itself: what is left of it is taken down, and everything
    /// that depends on it leaves.
    pub fn lost(&mut self, key: ComponentKey, cause: &Cause, step: &mut Step<'_>) {
        self.gone(key, (cause, Then::Failed(cause.clone())), step);
    }

    /// A ready or draining component ended by itself, without a failure; `short` = soon after it was ready. It is loaded
    /// again by its policy: at once, but after a short run it waits as after a failure, so that one that ends at once does
    /// not spin.
    pub fn ended(&mut self, key: ComponentKey, cause: &Cause, short: bool, step: &mut Step<'_>) {
        let rests = if short { self.lengthen_row(key, step.now) } else { Duration::ZERO };
        let again = self.entry(key).leave.is_none() && self.restarts_after_its_end(key);
        let e = self.entry_mut(key);
        if !short {
            e.failures_in_row = 0;
        }
        e.rests_until = step.now + rests;
        if again {
            e.restart_at = Some(step.now + rests);
        }
        self.gone(key, (cause, Then::Unloaded), step);
    }

    fn gone(&mut self, key: ComponentKey, (cause, then): (&Cause, Then), step: &mut Step<'_>) {
        let was_ready = self.entry(key).state == ComponentState::Ready;
        step.cells.revoke(key, cause);
        step.record(EventKind::Revoked { component: key, cause: cause.clone() });
        let e = self.entry_mut(key);
        e.next_probe = None;
        e.failing = None;
        let before = e.leave.take();
        // One that goes since its dependency is lost did not fail: it often ends for that very reason. One that ends
        // without a failure while it goes has gone as it was to.
        let failed = matches!(then, Then::Failed(_));
        let goes_on = |l: &Leave| !failed || matches!(l.cause, Cause::DependencyLost { .. });
        let (cause, then) = match before.as_ref().filter(|l| goes_on(l)) {
            Some(leave) => (leave.cause.clone(), leave.then.clone()),
            None => (cause.clone(), then),
        };
        let freed_for = before.and_then(|l| l.freed_for);
        e.leave = Some(Leave::without_asking(cause.clone(), then).freeing_for(freed_for));
        if was_ready {
            self.leaving += 1;
        }
        self.start_unload_within(key, Duration::ZERO, cause.clone(), step);
        let lost = self.dependency_lost(key, &cause);
        for dependent in self.live_group(key) {
            if dependent != key {
                self.lose_dependency(dependent, &lost, step);
            }
        }
    }

    /// The cause that what depends on a component goes for when that one goes for `cause`.
    #[must_use]
    pub fn dependency_lost(&self, key: ComponentKey, cause: &Cause) -> Cause {
        match cause {
            // The first one of a chain says it all.
            Cause::DependencyLost { .. } => cause.clone(),
            _ => Cause::DependencyLost {
                component: self.catalog.id(key).clone(),
                why: cause.to_string(),
            },
        }
    }

    fn lose_dependency(&mut self, key: ComponentKey, lost: &Cause, step: &mut Step<'_>) {
        let force_at = step.now + self.grace(key, step.now);
        let comes_back = if self.must_run(key) { Then::Reload } else { Then::Unloaded };
        match self.entry(key).state {
            ComponentState::Ready => {
                revoke_dependent(key, lost, step);
                let leave = Leave::when_drained(lost.clone(), comes_back).forced_at(Some(force_at));
                self.begin_leave(key, leave, step);
            }
            ComponentState::Draining => {
                revoke_dependent(key, lost, step);
                if let Some(leave) = &mut self.entry_mut(key).leave {
                    leave.force_at = Some(leave.force_at.map_or(force_at, |t| t.min(force_at)));
                    leave.reversible = false;
                }
            }
            ComponentState::Loading => {
                self.cancel_load(key, lost.clone(), step);
            }
            ComponentState::Unloading => {
                // Both ended, and the end of the dependent was seen first.
                if let Some(leave) = &mut self.entry_mut(key).leave
                    && matches!(leave.then, Then::Failed(Cause::Exited { .. }))
                {
                    (leave.cause, leave.then) = (lost.clone(), comes_back);
                }
            }
            _ => {}
        }
    }

    /// A draining component may stay after all.
    pub fn stay(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let e = self.entry_mut(key);
        if e.state == ComponentState::Draining && e.leave.as_ref().is_some_and(|l| l.reversible) {
            e.leave = None;
            self.leaving -= 1;
            step.cells.reopen(key);
            self.entry_mut(key).next_probe = self.probe_period(key).map(|p| step.now + p);
            self.set_state(key, ComponentState::Ready, Cause::Abandoned, step);
        }
    }

    /// An unload or cancellation ended. False when it was no incarnation that is leaving.
    pub fn unload_finished(&mut self, key: ComponentKey, op: OpId, step: &mut Step<'_>) -> bool {
        let e = self.entry_mut(key);
        let leaving = matches!(e.state, ComponentState::Unloading | ComponentState::Stuck);
        if e.op != Some(op) || !leaving {
            return false;
        }
        e.op = None;
        e.spec = None;
        e.unload_deadline = None;
        e.stale = false;
        let leave = e.leave.take();
        if leave.is_some() {
            self.leaving -= 1;
        }
        self.forget_dependencies(key);
        self.budget.release(key);
        let (cause, then) =
            leave.map_or((Cause::UnloadFinished, Then::Unloaded), |l| (l.cause, l.then));
        if then == Then::Reload {
            self.entry_mut(key).restart_at = Some(step.now);
        }
        match (then, cause) {
            (Then::Failed(cause), _) => self.fail(key, cause, step),
            // It says why the component is down for as long as it is.
            (_, cause @ (Cause::DependencyLost { .. } | Cause::Ended { .. })) => {
                self.set_state(key, ComponentState::Unloaded, cause, step);
            }
            _ => self.set_state(key, ComponentState::Unloaded, Cause::UnloadFinished, step),
        }
        true
    }

    /// Unloads that are past their deadlines become stuck; their bytes stay booked.
    pub fn expire_unloads(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let late = self.keys_where(|e| {
            e.state == ComponentState::Unloading && e.unload_deadline.is_some_and(|t| t <= now)
        });
        for key in late {
            self.entry_mut(key).unload_deadline = None;
            self.set_state(key, ComponentState::Stuck, Cause::UnloadTimedOut, step);
        }
    }

    /// Everything that still drains is taken down now, leases or not.
    pub fn force_leaving(&mut self, step: &mut Step<'_>) {
        for key in self.keys_where(|e| e.state == ComponentState::Draining) {
            if let Some(leave) = &mut self.entry_mut(key).leave {
                leave.force_at = Some(step.now);
            }
        }
        self.progress_leaving(step);
        // What is still held back by dependents that are themselves being killed does not wait for them.
        for key in self.keys_where(|e| e.state == ComponentState::Draining) {
            self.start_unload(key, Cause::Shutdown, step);
        }
    }

    /// Unloads that have not ended are stuck: there is no more time.
    pub fn give_up_unloads(&mut self, step: &mut Step<'_>) {
        for key in self.keys_where(|e| e.state == ComponentState::Unloading) {
            self.entry_mut(key).unload_deadline = None;
            self.set_state(key, ComponentState::Stuck, Cause::UnloadTimedOut, step);
        }
    }

    /// The next moment at which something here has to be done without an input.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let entries = self.entries.iter().flat_map(|e| {
            let force =
                e.leave.as_ref().filter(|l| !l.forced && e.state == ComponentState::Draining);
            [e.load_deadline, e.unload_deadline, force.and_then(|l| l.force_at)]
        });
        let txns = self
            .txns
            .values()
            .filter(|t| t.origin != crate::Origin::Adopted)
            .map(|t| Some(t.deadline));
        entries.chain(txns).flatten().min()
    }
}

/// The leases of a component whose dependency is lost end.
fn revoke_dependent(key: ComponentKey, lost: &Cause, step: &mut Step<'_>) {
    step.cells.revoke(key, lost);
    step.record(EventKind::Revoked { component: key, cause: lost.clone() });
}
