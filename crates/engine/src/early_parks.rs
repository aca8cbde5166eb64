//! Early parks: memory that a likely next command would need is freed in the background, before its demand comes.
//!
//! The victims are those that the demand would choose if parks took no time, as far as the next command is expected to wait less
//! with them parked; what it would unload anyway stays until then. Invariant: one component is parked early at a time, and none while a demand waits, loads or wakes.

use majordomo_core::{Cause, Moment, PressureLevel};
use majordomo_lifecycle::Step;
use majordomo_memory::Need;

use crate::Engine;

impl Engine {
    /// Parks one component, if the next command is expected to wait less for that.
    pub(crate) fn park_early(&mut self, step: &mut Step<'_>) {
        if !self.may_park_early(step.now) {
            return;
        }
        let Some(room) = self.next_room(&Need::new(), step) else { return };
        for victims in room.worth_parking(self.scheduler.budget()) {
            let Some(key) = victims.last().map(|v| v.key) else { continue };
            if self.evict_all_if_idle(key, victims, &Cause::ParkedEarly, step) {
                return;
            }
        }
    }

    fn may_park_early(&self, now: Moment) -> bool {
        self.config().speculation.enabled
            && self.scheduler.pressure() == PressureLevel::Low
            && self.may_park_in_background(now)
    }

    /// Whether a park may begin that no demand and no operator waits for.
    pub(crate) fn may_park_in_background(&self, now: Moment) -> bool {
        self.scheduler.offers_rungs()
            && self.ending.is_none()
            && !self.has_park_under_way()
            // It takes memory for a moment, and is parked then.
            && !self.is_priming()
            && !self.has_demand(now)
    }

    /// Whether a component is on its way to be parked.
    pub(crate) fn has_park_under_way(&self) -> bool {
        let parks = |e: &majordomo_lifecycle::Entry| {
            e.state().is_parking() || e.removal().is_some_and(|r| r.then().rung().is_parked())
        };
        self.scheduler.entries().any(|(_, e)| parks(e) && !e.state().is_parked())
    }

    /// Whether a demand waits, loads or wakes.
    fn has_demand(&self, now: Moment) -> bool {
        self.scheduler.transactions().any(|t| !t.origin.is_speculative() && !t.is_dormant(now))
    }
}
