//! Removals: draining, unloading, being stuck, and what follows.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Moment, Rung};

use super::{KILL_MARGIN, Scheduler};
use crate::{Cells, CloseAnswer, Effect, Removal, Step, Then, TxnId};

impl Scheduler {
    /// Removes a ready component, whose cell must be closed by now. Its unload starts when the removal waits for no
    /// lease and everything that depends on it is down.
    pub fn begin_removal(&mut self, key: ComponentKey, mut removal: Removal, step: &mut Step<'_>) {
        debug_assert_eq!(self.entry(key).state(), ComponentState::Ready);
        let is_drained = removal.is_drained();
        let cause = removal.cause().clone();
        self.book_removal(key, &mut removal);
        self.entry_mut(key).begin_removal(removal);
        self.n_removals += 1;
        if is_drained && !self.awaits_dependents(key, false) {
            self.start_unload(key, cause, step);
            return;
        }
        self.set_state(key, ComponentState::Draining, cause, step);
        if !is_drained {
            self.await_release(key, step.cells);
        }
    }

    /// Asks for a notice of the last release, and looks once more in case it has just happened.
    fn await_release(&mut self, key: ComponentKey, cells: &mut dyn Cells) {
        cells.want(key);
        if cells.try_close(key) == CloseAnswer::Closed
            && let Some(removal) = self.entry_mut(key).removal_mut()
        {
            removal.drain();
        }
    }

    /// A lease of a component ended that a notice was asked for.
    pub fn released(&mut self, id: IncarnationId, cells: &mut dyn Cells) {
        if self.is_current(id) && self.entry(id.key).state() == ComponentState::Draining {
            self.await_release(id.key, cells);
        }
        self.touch();
    }

    /// Starts the unload of every draining component that waits for nothing.
    pub fn progress_removals(&mut self, step: &mut Step<'_>) {
        if self.n_removals == 0 {
            return;
        }
        for key in self.keys_where(|e| e.state() == ComponentState::Draining) {
            let Some(removal) = self.entry_mut(key).removal_mut() else { continue };
            let revokes = removal.force_if_due(step.now);
            let (awaits_leases, forced) = (removal.awaits_leases(), removal.is_forced());
            let cause = removal.cause().clone();
            if revokes {
                revoke(key, &cause, step);
            }
            if awaits_leases {
                continue;
            }
            self.end_parked_dependents(key, &cause, step);
            if !self.awaits_dependents(key, forced) {
                self.start_unload(key, cause, step);
            }
        }
    }

    fn start_unload(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let to = self.entry(key).removal().map_or(Rung::Gone, |r| r.then().rung());
        if to.is_parked() {
            return self.start_park(key, to, cause, step);
        }
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
        let Some(id) = self.incarnation(key) else { return };
        self.entry_mut(key).begin_unload(step.now + grace + KILL_MARGIN);
        let hibernate = self.is_worth_keeping(&cause);
        self.set_state(key, ComponentState::Unloading { to: Rung::Gone }, cause, step);
        step.push(Effect::StartUnload { id, grace, hibernate });
    }

    /// Whether to hibernate a component that is removed for this cause: it is well, will be requested again, and memory
    /// is not desperately short.
    fn is_worth_keeping(&self, cause: &Cause) -> bool {
        self.pressure() < self.config.memory.refuse_loads_at
            && (cause.class().is_eviction() || *cause == Cause::Operator)
    }

    /// A ready or draining component failed by itself: its instance is taken down, and everything that depends on it is
    /// removed.
    pub fn lost(&mut self, key: ComponentKey, cause: &Cause, step: &mut Step<'_>) {
        self.take_down(key, (cause, Then::Failed(cause.clone())), step);
    }

    /// A ready or draining component ended by itself, without a failure; `short` = soon after it was ready. Its policy
    /// restarts it at once, but after a short run it rests as after a failure, so that a component that ends at once does
    /// not spin.
    pub fn ended(&mut self, key: ComponentKey, cause: &Cause, short: bool, step: &mut Step<'_>) {
        let rest = if short { self.lengthen_row(key, step.now) } else { Duration::ZERO };
        let restarts = self.entry(key).removal().is_none() && self.restarts_after_its_end(key);
        let e = self.entry_mut(key);
        if !short {
            e.failures_mut().end_row();
        }
        e.restart_mut().ended(step.now + rest, restarts);
        self.take_down(key, (cause, Then::Unloaded), step);
    }

    fn take_down(&mut self, key: ComponentKey, (cause, then): (&Cause, Then), step: &mut Step<'_>) {
        revoke(key, cause, step);
        if self.entry(key).removal().is_none() {
            self.n_removals += 1;
        }
        // A component whose dependency was lost did not fail: it often ends for that very reason. One that ends without
        // a failure during a removal ends as the removal says.
        let failed = matches!(then, Then::Failed(_));
        let explains = |r: &&Removal| !failed || matches!(r.cause(), Cause::DependencyLost { .. });
        let before = self.entry(key).removal();
        let (cause, then) = match before.filter(explains) {
            Some(r) if r.then().rung().is_parked() => (r.cause().clone(), Then::Unloaded),
            Some(removal) => (removal.cause().clone(), removal.then().clone()),
            None => (cause.clone(), then),
        };
        let freed_for = before.and_then(Removal::freed_for);
        let removal = Removal::without_asking(cause.clone(), then).freeing_for(freed_for);
        self.entry_mut(key).replace_removal(removal);
        self.start_unload_within(key, Duration::ZERO, cause.clone(), step);
        let lost = self.dependency_lost(key, &cause);
        for dependent in self.live_closure(key) {
            if dependent != key {
                self.lose_dependency(dependent, &lost, step);
            }
        }
    }

    /// The cause of the removal of dependents, when their dependency is removed for `cause`.
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
        let force_at = Some(step.now + self.grace(key, step.now));
        let then = if self.must_run(key) { Then::Reload } else { Then::Unloaded };
        match self.entry(key).state() {
            ComponentState::Ready => {
                revoke(key, lost, step);
                let removal = Removal::when_drained(lost.clone(), then).forced_at(force_at);
                self.begin_removal(key, removal, step);
            }
            ComponentState::Draining => {
                revoke(key, lost, step);
                self.hasten_removal(key, force_at);
            }
            ComponentState::Loading { .. } => {
                self.cancel_load(key, lost.clone(), step);
            }
            ComponentState::Unloading { to: Rung::Gone } => {
                // Both ended, and the end of the dependent was seen first.
                if let Some(removal) = self.entry_mut(key).removal_mut() {
                    removal.excuse_exit(lost, then);
                }
            }
            _ => self.end_on_the_ladder(key, lost.clone(), Then::Unloaded, step),
        }
    }

    /// A removal is final from now on; leases are revoked at the earlier of its moment and this one.
    pub fn hasten_removal(&mut self, key: ComponentKey, force_at: Option<Moment>) {
        if let Some(removal) = self.entry_mut(key).removal_mut() {
            removal.hasten(force_at);
        }
        self.touch();
    }

    /// Changes what a component that is being removed becomes.
    /// Has no effect on a park under way, which [`Self::end_on_the_ladder`] ends.
    pub fn end_removal_as(&mut self, key: ComponentKey, then: Then) {
        if let Some(removal) = self.entry_mut(key).removal_mut() {
            removal.end_as(then);
        }
    }

    /// The bytes that a removal frees belong to this transaction.
    pub fn free_for(&mut self, key: ComponentKey, txn: Option<TxnId>) {
        if let Some(removal) = self.entry_mut(key).removal_mut() {
            removal.assign(txn);
        }
    }

    /// Returns a draining component to Ready, if its removal is reversible.
    pub fn cancel_removal(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let e = self.entry(key);
        if e.state() == ComponentState::Draining && e.removal().is_some_and(Removal::is_reversible)
        {
            let next_probe = self.probe_period(key).map(|p| step.now + p);
            self.unbook_park(key);
            self.entry_mut(key).cancel_removal(next_probe);
            self.n_removals -= 1;
            step.cells.reopen(key);
            self.set_state(key, ComponentState::Ready, Cause::Abandoned, step);
        }
    }

    /// An unload or cancellation ended. False when no such incarnation is being removed.
    pub fn unload_finished(&mut self, id: IncarnationId, step: &mut Step<'_>) -> bool {
        let key = id.key;
        let e = self.entry(key);
        let unloads = matches!(
            e.state(),
            ComponentState::Unloading { to: Rung::Gone } | ComponentState::Stuck
        );
        if !self.is_current(id) || !unloads {
            return false;
        }
        let removal = self.entry_mut(key).down();
        if removal.is_some() {
            self.n_removals -= 1;
        }
        self.forget_dependencies(key);
        self.budget.release(key);
        let (cause, then) =
            removal.map_or((Cause::UnloadFinished, Then::Unloaded), Removal::into_end);
        if then == Then::Reload {
            self.entry_mut(key).restart_mut().reschedule(step.now);
        }
        match (then, cause) {
            (Then::Failed(cause), _) => self.fail(key, cause, step),
            // It says why the component is down for as long as it is.
            (
                _,
                cause @ (Cause::DependencyLost { .. }
                | Cause::Ended { .. }
                | Cause::Exited { .. }
                | Cause::OutOfMemory { .. }),
            ) => {
                self.set_state(key, ComponentState::UNLOADED, cause, step);
            }
            _ => self.set_state(key, ComponentState::UNLOADED, Cause::UnloadFinished, step),
        }
        true
    }

    /// Unloads that are past their deadlines become stuck; their bytes stay booked.
    pub fn expire_unloads(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let is_late = |t: Moment| t <= now;
        for key in self
            .keys_where(|e| e.state().is_unloading() && e.unload_deadline().is_some_and(is_late))
        {
            if self.entry(key).state().is_parking() {
                self.give_up_park(key, Cause::ParkTimedOut, step);
            } else {
                self.give_up_unload(key, step);
            }
        }
    }

    /// Starts the unload of everything that still drains, leases or not.
    pub fn force_removals(&mut self, step: &mut Step<'_>) {
        for key in self.keys_where(|e| e.state() == ComponentState::Draining) {
            if let Some(removal) = self.entry_mut(key).removal_mut() {
                removal.force_at(step.now);
            }
        }
        self.progress_removals(step);
        // A component does not wait for dependents that are being killed.
        for key in self.keys_where(|e| e.state() == ComponentState::Draining) {
            self.start_unload(key, Cause::Shutdown, step);
        }
    }

    /// Unloads that have not ended are stuck: there is no more time.
    pub fn give_up_unloads(&mut self, step: &mut Step<'_>) {
        for key in self.keys_where(|e| e.state().is_unloading()) {
            self.end_on_the_ladder(key, Cause::Shutdown, Then::Unloaded, step);
            self.give_up_unload(key, step);
        }
    }

    fn give_up_unload(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        self.entry_mut(key).unload_overdue();
        self.set_state(key, ComponentState::Stuck, Cause::UnloadTimedOut, step);
    }
}

/// The leases of a component end.
fn revoke(key: ComponentKey, cause: &Cause, step: &mut Step<'_>) {
    step.cells.revoke(key, cause);
    step.record(EventKind::Revoked { component: key, cause: cause.clone() });
}
