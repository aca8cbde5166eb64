//! Idle parks: a component that was not used for its `idle_park` is parked in the background.
//!
//! Invariant: it is one of the parks in the background, of which one runs at a time, and none while a demand waits, loads or wakes.
//! A component that may not be parked is looked at again after a pause, never with each input.

use majordomo_core::{Cause, ComponentKey};
use majordomo_lifecycle::Step;

use crate::Engine;

impl Engine {
    /// Parks one component whose `idle_park` has passed.
    pub(crate) fn park_idle(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let due = self.scheduler.keys_where(|e| e.idle_park_at().is_some_and(|at| at <= now));
        if due.is_empty() || !self.may_park_in_background(now) {
            return;
        }
        for key in due {
            // A provider is in use as long as a dependent is up.
            let group = self.scheduler.live_closure(key);
            if group.iter().any(|k| *k != key && !self.state(*k).is_parked()) {
                continue;
            }
            if self.leases_out(key, step.cells) > 0 {
                self.scheduler.entry_mut(key).restart_idle_park(now);
                continue;
            }
            self.scheduler.entry_mut(key).try_idle_park(now);
            if self.park_for_want_of_use(key, &group, step) {
                return;
            }
        }
    }

    fn park_for_want_of_use(
        &mut self,
        key: ComponentKey,
        group: &[ComponentKey],
        step: &mut Step<'_>,
    ) -> bool {
        match self.admission().deepest_park(key, group, step.now) {
            Ok(victims) => self.evict_all_if_idle(key, victims, &Cause::IdlePark, step),
            Err(_) => false,
        }
    }
}
