//! Idleness: components past their idle timeout, and memory that is given back while nothing is used.

use majordomo_core::{
    Cause, ComponentKey, ComponentState, IdleConfig, IdleTrimWhen, Moment, PressureLevel,
};
use majordomo_lifecycle::{CloseAnswer, Entry, Step, Victim};
use majordomo_preloader::IdleTrim;

use crate::Engine;
use crate::hints::clamped;

/// When the machine is idle, and which components were trimmed for that.
#[derive(Debug)]
pub(crate) struct Idleness {
    trim: IdleTrim,
    /// The processor has time to spare.
    calm: bool,
    on_battery: bool,
}

impl Idleness {
    pub(crate) fn new(config: &IdleConfig) -> Self {
        Self { trim: IdleTrim::new(clamped(config)), calm: true, on_battery: false }
    }

    pub(crate) fn configure(&mut self, config: &IdleConfig) {
        self.trim.set_config(clamped(config));
    }

    pub(crate) fn set_calm(&mut self, calm: bool) {
        self.calm = calm;
    }

    pub(crate) fn set_on_battery(&mut self, on_battery: bool) {
        self.on_battery = on_battery;
    }

    /// Whether the processor has time to spare.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether idle memory is given back, by its setting and the state of the machine.
    pub(crate) fn may_trim(&self, when: IdleTrimWhen, pressure: PressureLevel) -> bool {
        match when {
            IdleTrimWhen::Never => false,
            IdleTrimWhen::Always => true,
            _ => self.on_battery || pressure >= PressureLevel::Medium,
        }
    }

    /// A component was used.
    pub(crate) fn used(&mut self, at: Moment) {
        self.trim.on_used(at);
    }

    /// A component is loaded again.
    pub(crate) fn loaded(&mut self, key: ComponentKey) {
        self.trim.on_back(key);
    }

    /// Components that were trimmed and are not loaded again.
    pub(crate) fn trimmed(&self) -> &[ComponentKey] {
        self.trim.trimmed()
    }

    /// When nothing will have been used for long enough.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.trim.next_wakeup()
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(ComponentKey) -> bool) {
        self.trim.retain(keep);
    }
}

impl Engine {
    /// Whether idle memory may be given back now.
    pub(crate) fn may_trim_idle(&self) -> bool {
        self.ending.is_none()
            && self.idleness.may_trim(self.config().idle.trim, self.scheduler.pressure())
    }

    /// Unloads components whose idle timeout has passed.
    pub(crate) fn unload_idle(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let may_end = |e: &Entry| e.state() == ComponentState::Ready || e.state().is_parked();
        for key in self.scheduler.keys_where(may_end) {
            if self.scheduler.entry(key).idle_end().is_none_or(|t| t > now) {
                continue;
            }
            if self.state(key).is_parked() {
                self.evict_one(Victim::gone(key), Cause::Idle, None, step);
                continue;
            }
            match step.cells.try_close(key) {
                CloseAnswer::Closed => {
                    self.evict_one(Victim::gone(key), Cause::Idle, None, step);
                }
                // In use all the while: its idle time begins when a sweep has seen the use.
                CloseAnswer::Leased(_) => {
                    self.scheduler.entry_mut(key).restart_idle_timeout(now);
                }
            }
        }
    }

    /// Nothing was used for long: all but the most valuable components are unloaded, and hinted at with the next use.
    pub(crate) fn trim_idle(&mut self, step: &mut Step<'_>) {
        // The cell of a gated component stays closed.
        let may_go =
            |e: &majordomo_lifecycle::Entry| e.is_open() && !e.is_fixed() && !e.is_required();
        let mut keys = self.scheduler.keys_where(may_go);
        let leased: Vec<_> =
            keys.iter().copied().filter(|k| self.leases_out(*k, step.cells) > 0).collect();
        // A leased component holds its providers, too.
        keys.retain(|k| !self.scheduler.live_closure(*k).iter().any(|m| leased.contains(m)));
        let admission = self.admission();
        let candidates = admission.candidates_alone(&keys, step.now);
        let ranked = admission.rank(&candidates, step.now);
        let loaded: Vec<_> = ranked
            .iter()
            .zip(candidates.iter())
            .map(|(r, (c, _))| (r.key, c.size, r.keep))
            .collect();
        // All other components that have memory and keep it.
        let stays = |state: ComponentState| state.is_alive() && !state.is_unloading();
        let in_use = self
            .scheduler
            .entries()
            .filter(|(k, e)| stays(e.state()) && !keys.contains(k))
            .map(|(k, _)| self.scheduler.budget().booked_for(k))
            .sum();
        let total = self.scheduler.budget().total();
        let trimmed = self.idleness.trim.plan(step.now, total, in_use, &loaded);
        for &key in &trimmed {
            // A provider stays with the dependents that stay.
            if self.scheduler.live_closure(key).iter().all(|k| trimmed.contains(k)) {
                self.evict_if_idle(key, &Cause::Idle, step);
            }
        }
        self.scheduler.touch();
    }
}
