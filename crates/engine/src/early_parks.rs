//! Early parks: memory that a likely next command would need is freed in the background, before its demand comes.
//!
//! The victims are those that the demand would choose if parks took no time. Those of them that may be parked are parked now,
//! so that the demand neither waits for a park nor unloads what a park would have spared; what it would unload anyway stays
//! until then. Invariant: one component is parked early at a time, and none while a demand waits, loads or wakes.

use majordomo_core::{Cause, ComponentKey, ComponentState, Moment, PressureLevel};
use majordomo_lifecycle::{Step, Victim};
use majordomo_memory::{Need, Shortage};

use crate::Engine;
use crate::admit::{Purpose, is_present};

/// At most this share of the budget is kept free.
const MOST: f64 = 0.3;
/// A component is likely to be next from this probability on.
const LIKELY: f32 = 0.02;

impl Engine {
    /// Parks one component, if a likely next command lacks memory.
    pub(crate) fn park_early(&mut self, step: &mut Step<'_>) {
        if !self.may_park_early(step.now) {
            return;
        }
        let mut short = self.scheduler.budget().shortage(&self.likely_need(&[]), None);
        if short.is_none() {
            return;
        }
        let leased = self.leased_now(step);
        for victims in self.victims_of_next(&mut short, &leased, step.now) {
            let Some(key) = victims.last().map(|v| v.key) else { continue };
            let parks = victims.iter().all(|v| v.to.is_parked());
            if parks && self.evict_all_if_idle(key, victims, &Cause::ParkedEarly, step) {
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

    /// The largest need among the components that the next command is likely to use, each with its missing dependencies: in
    /// main memory, and in each declared pool. `but`: components that are not counted.
    pub(crate) fn likely_need(&self, but: &[ComponentKey]) -> Need {
        let budget = self.scheduler.budget();
        let is_likely = |key: &ComponentKey| {
            self.forecaster.values().get(*key).next.get() >= LIKELY
                && !is_present(self.state(*key))
                && !self.attribution.is_current(*key)
                && !but.contains(key)
                && self.catalog().spec(*key).is_some()
        };
        let is_declared = |pool: usize| budget.limit_of(pool).declared;
        let mut largest = Need::new();
        let mut in_memory = Need::new();
        for key in self.catalog().keys().filter(is_likely) {
            let need = self.missing_need(&self.catalog().closure(&[key]));
            let of_memory: Need = need.iter().filter(|(pool, _)| !is_declared(*pool)).collect();
            if of_memory.sum() > in_memory.sum() {
                in_memory = of_memory;
            }
            for (pool, bytes) in need.iter().filter(|(pool, _)| is_declared(*pool)) {
                let most = budget.limit_of(pool).budget.map(|b| b.scaled(MOST));
                let bytes = bytes.min(most.unwrap_or(bytes));
                largest.add(pool, bytes.saturating_sub(largest.of(pool)));
            }
        }
        let mut left = budget.total().scaled(MOST);
        for (pool, bytes) in in_memory.iter() {
            let bytes = bytes.min(left);
            left = left - bytes;
            largest.add(pool, bytes);
        }
        largest
    }

    /// The bytes that a set needs beside those that are booked for its members.
    pub(crate) fn missing_need(&self, closure: &[ComponentKey]) -> Need {
        let mut need = Need::new();
        for &key in closure.iter().filter(|k| !is_present(self.state(**k))) {
            if let ComponentState::Down(rung) = self.state(key)
                && rung.is_parked()
            {
                need.add_all(&self.scheduler.needed_to_wake(key, rung).need());
                continue;
            }
            need.add(self.catalog().pool(key), self.scheduler.needs(key).load);
            need.add_all(&self.scheduler.declared_apart(key));
        }
        need
    }

    /// Components that are ready and leased.
    fn leased_now(&self, step: &mut Step<'_>) -> Vec<ComponentKey> {
        let ready = self.scheduler.keys_where(majordomo_lifecycle::Entry::is_open);
        ready.into_iter().filter(|k| self.leases_out(*k, step.cells) > 0).collect()
    }

    /// The victims that a demand would choose if parks took no time, in their order: of each, the component itself last.
    fn victims_of_next(
        &self,
        short: &mut Shortage,
        leased: &[ComponentKey],
        now: Moment,
    ) -> Vec<Vec<Victim>> {
        for key in self.scheduler.keys_where(|e| e.state().is_unloading()) {
            self.scheduler.budget().relieve(short, &self.scheduler.freeing(key));
        }
        let residency = self.config().memory.min_residency;
        let is_free = |key: &ComponentKey| {
            let e = self.scheduler.entry(*key);
            let was_just_loaded = !e.is_speculative() && now.since(e.ready_at()) < residency;
            let stays = e.is_fixed() || e.is_required() || leased.contains(key);
            let is_idle = e.is_open() && !was_just_loaded && !self.attribution.is_current(*key);
            (is_idle || e.state().is_parked()) && !stays
        };
        let keys: Vec<_> = self
            .catalog()
            .keys()
            .filter(|k| self.state(*k).is_alive())
            .filter(|k| self.scheduler.live_closure(*k).iter().all(is_free))
            .collect();
        let admission = self.admission();
        let candidates = admission.candidates_where_short(&keys, short, Purpose::Other, now);
        let order = admission.eviction_order(&candidates, now);
        let ways: Vec<_> = candidates.iter().map(|(_, way)| way).collect();
        let mut chosen = Vec::new();
        for victims in order.into_iter().map(|i| ways[i]) {
            if short.is_none() {
                break;
            }
            let mut freed = Need::new();
            victims.iter().for_each(|v| freed.add_all(&admission.freed_by(*v)));
            self.scheduler.budget().relieve(short, &freed);
            chosen.push(victims.clone());
        }
        chosen
    }
}
