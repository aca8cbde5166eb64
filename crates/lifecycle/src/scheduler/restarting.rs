//! Failures and restarts: who is loaded again without a demand, and when. The intent itself is [`crate::Restart`].

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, Moment};
use majordomo_registry::RestartPolicy;

use super::Scheduler;
use crate::Step;

impl Scheduler {
    /// Whether a component is restarted after a failure without a demand: CORE, pinned, or by its policy.
    fn restarts(&self, key: ComponentKey) -> bool {
        match self.catalog.spec(key).map(|s| s.restart) {
            Some(RestartPolicy::Always | RestartPolicy::OnFailure) => true,
            Some(RestartPolicy::OnDemand) => self.is_never_evicted(key),
            Some(RestartPolicy::Never) | None => false,
        }
    }

    /// Whether a component that ended by itself, without a failure, is restarted without a demand.
    pub(crate) fn restarts_after_its_end(&self, key: ComponentKey) -> bool {
        match self.catalog.spec(key).map(|s| s.restart) {
            Some(RestartPolicy::Always) => !self.is_expendable(key),
            Some(RestartPolicy::OnDemand | RestartPolicy::OnFailure) => self.is_never_evicted(key),
            Some(RestartPolicy::Never) | None => false,
        }
    }

    /// Whether a component must run without a demand: it is restarted, and is not expendable.
    #[must_use]
    pub fn must_run(&self, key: ComponentKey) -> bool {
        self.restarts(key) && !self.is_expendable(key)
    }

    /// Whether a component that fails again and again is quarantined. Never one that must run, nor one that such a
    /// component depends on: these are tried at the longest back-off, however long an outage lasts.
    fn may_be_quarantined(&self, key: ComponentKey) -> bool {
        let never = self.catalog.spec(key).is_some_and(|s| s.restart == RestartPolicy::Never);
        let dependents = self.catalog.dependent_closure(&[key]);
        !never && !dependents.iter().any(|k| self.restarts(*k))
    }

    /// When a component may be loaded by itself: everything in its closure may be tried then.
    #[must_use]
    pub fn restart_time(&self, key: ComponentKey) -> Moment {
        let may_be_tried = |k: &ComponentKey| {
            let e = self.entry(*k);
            match e.state() {
                ComponentState::Failed { retry_at } => retry_at,
                ComponentState::Quarantined { until } => until,
                _ => e.restart().rests_until(),
            }
        };
        self.catalog.closure(&[key]).iter().map(may_be_tried).max().unwrap_or_default()
    }

    /// Has a component that must run restarted at `at`, unless a restart is due already. A component that is up needs
    /// none.
    pub fn restart_later(&mut self, key: ComponentKey, at: Moment) {
        let down = matches!(
            self.entry(key).state(),
            ComponentState::Down(_)
                // Other transactions may still need it, and give it up as well.
                | ComponentState::Queued { .. }
                | ComponentState::Loading { .. }
                | ComponentState::Unloading { .. }
                | ComponentState::Draining
        );
        if down && self.must_run(key) {
            self.entry_mut(key).restart_mut().schedule(at);
        }
    }

    /// Components whose restart begins now: their closures may be tried. The others' restarts are moved to when
    /// theirs may be.
    pub fn take_due_restarts(&mut self, now: Moment) -> Vec<ComponentKey> {
        // A component on its way out is restarted when it is down.
        let mut due = self.keys_where(|e| e.restart().is_due(now) && e.may_restart());
        due.retain(|&key| {
            let may_be_tried = self.restart_time(key);
            let restart = self.entries[key.index()].restart_mut();
            restart.cancel();
            if may_be_tried > now {
                restart.reschedule(may_be_tried);
            }
            may_be_tried <= now
        });
        due
    }

    /// A component is not restarted as things stand.
    pub fn cancel_restart(&mut self, key: ComponentKey) {
        self.entry_mut(key).restart_mut().cancel();
    }

    /// No component is restarted as things stand (shutdown).
    pub fn cancel_restarts(&mut self) {
        self.entries.iter_mut().for_each(|e| e.restart_mut().cancel());
    }

    /// A component that is removed as failed is restarted after its back-off, whatever its policy.
    pub fn owe_restart(&mut self, key: ComponentKey) {
        self.entry_mut(key).restart_mut().owe();
    }

    /// The incarnation runs by an older configuration.
    pub fn mark_outdated(&mut self, key: ComponentKey) {
        self.entry_mut(key).restart_mut().replace();
    }

    /// Restarts that wait for a component are due at `at` instead.
    pub(crate) fn move_restarts(&mut self, dependency: ComponentKey, at: Moment) {
        let waiting = self.keys_where(|e| {
            e.state() == ComponentState::UNLOADED && e.restart().due().is_some_and(|t| t != at)
        });
        for key in waiting {
            if key != dependency && self.catalog.closure(&[key]).contains(&dependency) {
                self.entry_mut(key).restart_mut().reschedule(at);
            }
        }
    }

    /// Counts one more in the row of a component's failures; returns the wait that follows it.
    pub(crate) fn lengthen_row(&mut self, key: ComponentKey, now: Moment) -> Duration {
        let (back_off, window) = (&self.config.back_off, self.config.quarantine.window);
        self.entries[key.index()].failures_mut().lengthen_row(now, back_off, window)
    }

    /// Puts a failed component into back-off or quarantine.
    pub(crate) fn fail(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let now = step.now;
        let policy = self.catalog.spec(key).map_or(RestartPolicy::Never, |s| s.restart);
        let must_run = self.must_run(key);
        let may_be_quarantined = self.may_be_quarantined(key);
        let wait = self.lengthen_row(key, now);
        let e = &mut self.entries[key.index()];
        let is_too_many = e.failures_mut().add(now, &self.config.quarantine);
        e.end_incarnation();
        let (to, next) = if is_too_many && may_be_quarantined {
            e.failures_mut().forgive();
            e.restart_mut().cancel();
            let until = now + self.config.quarantine.duration;
            (ComponentState::Quarantined { until }, until)
        } else {
            let retry_at = if policy == RestartPolicy::Never { Moment::NEVER } else { now + wait };
            e.restart_mut().failed(retry_at, must_run);
            (ComponentState::Failed { retry_at }, retry_at)
        };
        self.set_state(key, to, cause, step);
        self.move_restarts(key, next);
    }

    /// Opens a failed or quarantined component: by an operator, by a changed configuration, or when its time is over.
    pub fn forgive(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        let e = self.entry_mut(key);
        if matches!(e.state(), ComponentState::Failed { .. } | ComponentState::Quarantined { .. }) {
            e.failures_mut().forgive();
            e.restart_mut().cancel();
            self.set_state(key, ComponentState::UNLOADED, cause, step);
        }
    }

    /// Opens the components whose quarantine is over; an owed restart is due at once.
    pub fn end_quarantines(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let over = |s| matches!(s, ComponentState::Quarantined { until } if until <= now);
        for key in self.keys_where(|e| over(e.state())) {
            self.forgive(key, Cause::RetryAllowed, step);
            if self.entry_mut(key).restart_mut().redeem() {
                self.restart_later(key, now);
            }
        }
    }
}
