//! Wakes: the bytes they need, their lanes, and how they end.
//!
//! A wake is a load that begins at a rung. It takes no lane of the loads, is never cancelled, and fails without a count
//! towards back-off or quarantine: a cold load follows it.

use std::time::Duration;

use majordomo_core::{
    Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Moment, Rung, StepId,
};
use majordomo_memory::{LearnedRung, Need, Reservation};

use super::Scheduler;
use super::parking::micros;
use crate::{Effect, Phase, Step, Then, Transaction, TxnId, WakeReport};

/// However short a cold load is, a wake may take this long.
const MIN_WAKE: Duration = Duration::from_millis(500);
/// A wake may take so many times as long as expected, whatever its demands have left.
const WAKE_MARGIN: u32 = 2;
/// The shortest time to the next input.
const SOON: Duration = Duration::from_micros(1);
/// Wake lanes that no speculative wake takes.
const KEPT_FOR_DEMANDS: usize = 1;
/// Speculative wakes at a time.
const SPECULATIVE: usize = 1;

impl Scheduler {
    /// How long a component needs from a rung until it is ready.
    #[must_use]
    pub fn wait_at(&self, key: ComponentKey, rung: Rung) -> Duration {
        let known = self.entry(key).parking().rung(rung).filter(|_| rung.is_parked());
        known.map_or_else(|| self.load_time(key), |r| r.figures().wake)
    }

    /// How long a component that is down needs until it is ready, from where it is.
    #[must_use]
    pub fn wait(&self, key: ComponentKey) -> Duration {
        match self.entry(key).state() {
            ComponentState::Down(rung)
            | ComponentState::Queued { from: rung }
            | ComponentState::Loading { from: rung } => self.wait_at(key, rung),
            _ => self.load_time(key),
        }
    }

    /// The bytes that a parked component needs to be woken, beyond those that are booked for it.
    #[must_use]
    pub fn needed_to_wake(&self, key: ComponentKey, from: Rung) -> Reservation {
        let (pool, parking) = (self.pool(key), self.entry(key).parking());
        let last = parking.before().of(pool);
        let first_use = parking.rung(from).and_then(LearnedRung::first_use).unwrap_or(last);
        let footprint = first_use.max(self.budget.grown_grant(key));
        let bytes = footprint.saturating_sub(self.budget.booked_for(key));
        let mut apart = self.declared_apart(key);
        apart.take(&self.budget.apart(key));
        Reservation { key, pool, bytes, apart, adds: true }
    }

    /// Wakes that may run at a time.
    #[must_use]
    pub fn wake_lanes(&self) -> usize {
        self.wake_lanes.max(1)
    }

    /// Starts every wake that has its bytes, its dependencies and a lane, demands first.
    pub fn start_wakes(&mut self, step: &mut Step<'_>) {
        self.bound_wakes(step.now);
        if !self.entries.iter().any(|e| e.state().is_queued() && e.state().is_alive()) {
            return;
        }
        let queue = &self.config.queue;
        let mut order: Vec<_> = self
            .txns
            .values()
            .filter(|t| t.phase == Phase::Loading)
            .map(|t| (t.origin.is_speculative(), t.tier(step.now, queue), t.id))
            .collect();
        order.sort_unstable();
        for (speculative, _, id) in order {
            if speculative && self.budget.is_memory_overdrawn() {
                continue;
            }
            while let Some(key) = self.next_wake(id) {
                if !self.has_wake_lane(speculative) {
                    return;
                }
                self.start_wake(key, step);
            }
        }
    }

    /// Wakes that no demand waits for, under way or still to begin.
    #[must_use]
    pub fn n_speculative_wakes(&self) -> usize {
        let wakes = |e: &crate::Entry| {
            e.state().is_waking() || (e.state().is_queued() && e.state().is_alive())
        };
        self.entries.iter().filter(|e| wakes(e) && !e.is_required()).count()
    }

    /// Unloads under way of components that were parked when they began: such a program may read its memory again to end.
    #[must_use]
    pub fn n_ends_of_parked(&self) -> usize {
        let ends = |e: &&crate::Entry| {
            e.state() == ComponentState::Unloading { to: Rung::Gone }
                && !e.parking().is_woken()
                && e.parking().held().iter().next().is_some()
        };
        self.entries.iter().filter(ends).count()
    }

    fn next_wake(&self, id: TxnId) -> Option<ComponentKey> {
        self.next_member(id, |state| state.is_queued() && state.is_alive())
    }

    fn has_wake_lane(&self, speculative: bool) -> bool {
        let waking = || self.entries.iter().filter(|e| e.state().is_waking());
        let (n, n_speculative) = (waking().count(), waking().filter(|e| !e.is_required()).count());
        if speculative {
            return n + KEPT_FOR_DEMANDS < self.wake_lanes && n_speculative < SPECULATIVE;
        }
        n < self.wake_lanes()
    }

    fn start_wake(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let ComponentState::Queued { from } = self.entry(key).state() else { return };
        let Some(id) = self.incarnation(key) else { return };
        let ends = self.wake_deadline(key, from, step.now);
        // The scheduler ends the wake earlier where a caller needs that, and as long as the caller waits.
        let deadline = self.longest_wake(key);
        let under_way = self.new_step(from, Need::new(), step);
        let number = under_way.id;
        let cause = self.entry(key).cause().cloned().unwrap_or(Cause::Operator);
        self.entry_mut(key).begin_wake(under_way, ends);
        self.set_state(key, ComponentState::Loading { from }, cause, step);
        step.push(Effect::StartWake { id, step: number, from, deadline });
    }

    /// How long a wake may take for which no caller waits.
    fn longest_wake(&self, key: ComponentKey) -> Duration {
        self.load_time(key).max(MIN_WAKE)
    }

    /// When a wake that began at `began` is given up: it takes no longer than a cold load, and leaves the callers that wait for
    /// it the time for one.
    fn wake_deadline(&self, key: ComponentKey, from: Rung, began: Moment) -> Moment {
        let load = self.load_time(key);
        let at_least = MIN_WAKE.max(self.wait_at(key, from) * WAKE_MARGIN);
        let ends_for = |t: &Transaction| {
            let since = t.since.max(began);
            // Half of what is left beyond a cold load is for the unload before that, and for a load that takes longer.
            let spare = t.deadline.since(since).checked_sub(load)? / 2;
            Some(since + spare.max(at_least))
        };
        let waits = |t: &&Transaction| t.origin.waiter().is_some() && t.closure.contains(&key);
        let ends = self.txns.values().filter(waits).filter_map(ends_for);
        ends.fold(began + self.longest_wake(key), Moment::min)
    }

    /// Fits the deadlines of the wakes under way to the callers that wait for them by now. One that is over by that ends
    /// with the next input.
    fn bound_wakes(&mut self, now: Moment) {
        for i in 0..self.entries.len() {
            let e = &self.entries[i];
            let ComponentState::Loading { from } = e.state() else { continue };
            if from.is_parked() && e.parking().step().is_some() {
                // Which a suspend moves on.
                let began = e.load_started();
                let ends = self.wake_deadline(ComponentKey::from_index(i), from, began);
                self.entries[i].bound_wake(ends.max(now + SOON));
            }
        }
    }

    /// A wake ended well: the component is ready, and its cell still closed. False when the report is stale.
    pub fn woken(
        &mut self,
        id: IncarnationId,
        number: StepId,
        report: WakeReport,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(under_way) = self.end_step(id, number, ComponentState::is_waking) else {
            return false;
        };
        let key = id.key;
        let took_us = micros(step.now.since(under_way.began));
        step.record(EventKind::Woken { component: key, rung: under_way.rung, took_us });
        match report.measured {
            Some(bytes) => self.budget.measure(key, bytes),
            None => self.budget.unmeasure(key),
        }
        self.budget.measure_swap(key, report.swap);
        self.book_declared(key);
        let next_probe = self.probe_period(key).map(|p| step.now + p);
        self.entry_mut(key).woken(&under_way, next_probe, step.now);
        self.set_state(key, ComponentState::Ready, Cause::WakeFinished, step);
        self.persist_rung(key, under_way.rung, step);
        true
    }

    /// A wake failed, or the component ended under it: it is unloaded.
    pub fn give_up_wake(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        self.step_failed(key, step);
        self.end_on_the_ladder(key, cause, Then::Unloaded, step);
    }

    /// Whether a report is of the wake under way.
    #[must_use]
    pub fn is_waking(&self, id: IncarnationId, number: StepId) -> bool {
        let e = self.entry(id.key);
        self.is_current(id)
            && e.state().is_waking()
            && e.parking().step().is_some_and(|step| step.id == number)
    }

    /// Returns a component that waited to be woken to the rung where it is.
    pub(super) fn stay_parked(
        &mut self,
        key: ComponentKey,
        rung: Rung,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let held = self.entry(key).parking().held().clone();
        self.budget.hold(key, &held);
        self.set_state(key, ComponentState::Down(rung), cause, step);
    }
}
