//! Parks: what a component would hold at a rung, its way there, and the end of components on the ladder.
//!
//! Knows no policy: the engine decides which component is parked where. A park that fails, or that is late, ends with
//! the component, since its bytes are promised.

use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Rung, StepId,
};
use majordomo_memory::{LearnedRung, Need, RungFigures};

use super::{KILL_MARGIN, Scheduler};
use crate::{Effect, ParkReport, PersistedRung, Removal, RungStep, Step, Then};

/// A park may take so much longer than expected.
const PARK_MARGIN: u32 = 3;
/// However short a park is expected to be, it may take this long.
const MIN_PARK: Duration = Duration::from_secs(1);

/// A rung that a component may be parked at, with what is expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "a key and a rung need no comment")]
pub struct RungOffer {
    pub key: ComponentKey,
    pub rung: Rung,
    /// Expected until they are measured.
    pub figures: RungFigures,
}

impl Scheduler {
    /// Replaces all rungs on offer: the room in swap, the wakes that may run at a time, and what is offered to whom.
    pub fn offer_rungs(&mut self, swap: ByteSize, wake_lanes: usize, offers: &[RungOffer]) {
        self.budget.set_swap_room(swap);
        self.wake_lanes = wake_lanes;
        for (i, e) in self.entries.iter_mut().enumerate() {
            let own = offers.iter().filter(|o| o.key.index() == i);
            let rows: Vec<_> = own.map(|o| (o.rung, o.figures)).collect();
            e.parking_mut().offer(&rows);
        }
        self.touch();
    }

    /// Bounds the bytes that parks may write to swap from now on; those decided or under way count.
    pub fn bound_writes(&mut self, bytes: Option<ByteSize>) {
        self.may_write = bytes.map(|bytes| bytes - self.writes_under_way());
    }

    /// The bytes that parks which are decided or under way are expected to write to swap.
    #[must_use]
    pub fn writes_under_way(&self) -> ByteSize {
        let parks = |e: &&crate::Entry| e.removal().is_some_and(|r| r.then().rung().is_parked());
        self.entries.iter().filter(parks).map(|e| e.parking().writes()).sum()
    }

    /// Bytes that parks may still write to swap; none = as many as fit.
    #[must_use]
    pub fn may_write(&self) -> Option<ByteSize> {
        self.may_write
    }

    /// The bytes that a park is expected to write to swap: what is there already is not written again.
    #[must_use]
    pub fn written_by_park(&self, key: ComponentKey, to: Rung) -> ByteSize {
        self.budget.needed_to_park(key, &self.held_at(key, to)).of(Need::SWAP)
    }

    /// The bytes that a component which is not loaded would hold at a rung after its next load.
    #[must_use]
    pub fn held_after_load(&self, key: ComponentKey, rung: Rung) -> Need {
        let own = self.catalog.pool(key);
        let mut ready = self.declared_apart(key);
        ready.add(own, self.needs(key).settled);
        let known = self.entry(key).parking().rung(rung).filter(|_| rung.is_parked());
        known.map(|r| r.held(&ready, own)).unwrap_or_default()
    }

    /// Whether any rung is on offer.
    #[must_use]
    pub fn offers_rungs(&self) -> bool {
        self.entries.iter().any(|e| e.parking().offered().next().is_some())
    }

    /// The bytes that a component would hold at a rung. At [`Rung::Gone`] it holds none.
    #[must_use]
    pub fn held_at(&self, key: ComponentKey, rung: Rung) -> Need {
        let known = self.entry(key).parking().rung(rung).filter(|_| rung.is_parked());
        known.map(|r| r.held(&self.footprint(key), self.pool(key))).unwrap_or_default()
    }

    /// The bytes that a component has in each pool, and in swap: in its own as last measured, if they were.
    #[must_use]
    pub fn footprint(&self, key: ComponentKey) -> Need {
        let (own, booked) = (self.pool(key), self.budget.bookings(key));
        let measured = self.budget.measured_for(key);
        let is_apart = |pool: usize| pool != own && pool != Need::SWAP;
        let mut bytes: Need = booked.iter().filter(|(pool, _)| is_apart(*pool)).collect();
        let in_memory = measured.unwrap_or(booked.of(own));
        bytes.add(own, in_memory);
        // Until a woken component is measured, it has what it had before its park: the rest of that is in swap.
        let before = self.entry(key).parking().before();
        let all_before = before.of(own) + before.of(Need::SWAP);
        let swap = measured.map_or(all_before.saturating_sub(in_memory), |_| booked.of(Need::SWAP));
        bytes.add(Need::SWAP, swap);
        bytes
    }

    /// The bytes that a removal under way is expected to free.
    #[must_use]
    pub fn freeing(&self, key: ComponentKey) -> Need {
        let mut bytes = self.budget.bookings(key);
        let e = self.entry(key);
        let step = e.parking().step().filter(|_| e.state().is_parking());
        let to = e.removal().map_or(Rung::Gone, |r| r.then().rung());
        match step {
            Some(step) => bytes.take(&step.expects),
            None if to.is_parked() => bytes.take(&self.held_at(key, to)),
            None => {}
        }
        bytes
    }

    /// Whether something alive keeps a removal from its last step: a component stops after everything that depends on it,
    /// and is parked after that is parked.
    pub(super) fn awaits_dependents(&self, key: ComponentKey, forced: bool) -> bool {
        let to = self.entry(key).removal().map_or(Rung::Gone, |r| r.then().rung());
        self.entry(key).dependents().iter().any(|d| {
            let state = self.entry(*d).state();
            // A stuck dependent never ends: a removal with a time limit does not wait for it.
            let is_skipped = forced && state == ComponentState::Stuck;
            !(is_skipped || (to.is_parked() && state.is_parked()))
        })
    }

    /// Ends the parked dependents of a component that is unloaded: they were on their way to be parked when that began.
    pub(super) fn end_parked_dependents(
        &mut self,
        key: ComponentKey,
        cause: &Cause,
        step: &mut Step<'_>,
    ) {
        let to = self.entry(key).removal().map_or(Rung::Gone, |r| r.then().rung());
        if to.is_parked() {
            return;
        }
        let lost = self.dependency_lost(key, cause);
        for dependent in self.entry(key).dependents().to_vec() {
            if self.entry(dependent).state().is_parked() {
                self.end_on_the_ladder(dependent, lost.clone(), Then::Unloaded, step);
            }
        }
    }

    /// Reserves what the component will hold where its removal leads; without room for that, or where so much may not be
    /// written any more, it is unloaded.
    pub(super) fn book_removal(&mut self, key: ComponentKey, removal: &mut Removal) {
        let to = removal.then().rung();
        if !to.is_parked() {
            return;
        }
        let (held, footprint) = (self.held_at(key, to), self.footprint(key));
        let writes = self.written_by_park(key, to);
        self.entry_mut(key).parking_mut().begin_removal(footprint, writes);
        let exceeds = self.may_write.is_some_and(|left| writes > left);
        if exceeds || self.budget.reserve_park(key, &held).is_err() {
            removal.end_as(Then::Unloaded);
            return;
        }
        self.may_write = self.may_write.map(|left| left - writes);
    }

    /// Takes back what was reserved in swap, and of the writes, for a park that does not take place.
    pub(super) fn unbook_park(&mut self, key: ComponentKey) {
        let to = self.entry(key).removal().map_or(Rung::Gone, |r| r.then().rung());
        if to.is_parked() {
            let (swap, writes) =
                (self.budget.bookings(key).of(Need::SWAP), self.entry(key).parking().writes());
            self.budget.measure_swap(key, swap - writes);
            self.may_write = self.may_write.map(|left| left + writes);
        }
    }

    pub(super) fn start_park(
        &mut self,
        key: ComponentKey,
        to: Rung,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let Some(id) = self.incarnation(key) else { return };
        let parking = self.entry(key).parking();
        let expects = parking.rung(to).map(|r| r.held(parking.before(), self.pool(key)));
        let figures = parking.rung(to).map(|r| *r.figures()).unwrap_or_default();
        let deadline = (figures.enter * PARK_MARGIN).max(MIN_PARK).max(figures.patience);
        let writes = parking.writes();
        let new = self.new_step(to, expects.unwrap_or_default(), step);
        let under_way = RungStep { writes, ..new };
        let number = under_way.id;
        self.entry_mut(key).begin_park(under_way, step.now + deadline);
        self.set_state(key, ComponentState::Unloading { to }, cause, step);
        step.push(Effect::StartPark { id, step: number, to, deadline });
    }

    pub(super) fn new_step(&mut self, rung: Rung, expects: Need, step: &Step<'_>) -> RungStep {
        self.next_step += 1;
        let (id, writes) = (StepId(self.next_step), ByteSize::ZERO);
        RungStep { id, rung, began: step.now, expects, writes }
    }

    /// A park ended well; false when the report is stale.
    pub fn parked(
        &mut self,
        id: IncarnationId,
        number: StepId,
        report: ParkReport,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(under_way) = self.end_step(id, number, ComponentState::is_parking) else {
            return false;
        };
        let (key, own) = (id.key, self.pool(id.key));
        let all_before = self.entry(key).parking().before();
        let mut freed_apart: Need =
            all_before.iter().filter(|(pool, _)| *pool != own && *pool != Need::SWAP).collect();
        freed_apart.take(&report.held);
        let before = all_before.of(own);
        step.record(EventKind::Parked {
            component: key,
            rung: under_way.rung,
            freed: report.freed.unwrap_or(before.saturating_sub(report.held.of(own))),
            expected: before.saturating_sub(under_way.expects.of(own)),
            freed_apart: freed_apart.sum(),
            swapped: report.held.of(Need::SWAP),
            took_us: micros(step.now.since(under_way.began)),
        });
        let (in_swap, expected) = (report.held.of(Need::SWAP), under_way.expects.of(Need::SWAP));
        let written =
            report.written.unwrap_or((in_swap + under_way.writes).saturating_sub(expected));
        self.may_write = self.may_write.map(|left| (left + under_way.writes) - written);
        let freed_before = self.frees_at(key, under_way.rung);
        self.budget.hold(key, &report.held);
        self.budget.measure(key, report.held.of(own));
        if self.entry_mut(key).parked(&under_way, report.held, own, step.now).is_some() {
            self.n_removals -= 1;
        }
        self.persist_rung(key, under_way.rung, step);
        if freed_before && !self.frees_at(key, under_way.rung) {
            step.record(EventKind::NeverParked { component: key });
        }
        let to = ComponentState::Down(under_way.rung);
        self.set_state(key, to, Cause::ParkFinished, step);
        true
    }

    /// Nothing was moved by a park, through no fault of the component: that counts as no failure. Where a transaction waits for
    /// the bytes, the component is unloaded; else it is at the rung with all its memory, to be woken at once. Returns whether
    /// it is to be woken.
    pub fn park_moved_nothing(
        &mut self,
        id: IncarnationId,
        number: StepId,
        error: String,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(under_way) = self.end_step(id, number, ComponentState::is_parking) else {
            return false;
        };
        let (key, cause) = (id.key, Cause::ParkFailed { error });
        self.unbook_park(key);
        let is_promised = self.entry(key).removal().and_then(Removal::freed_for).is_some();
        let held = self.budget.bookings(key);
        if is_promised {
            self.entry_mut(key).parking_mut().stayed(held, step.now);
            self.end_on_the_ladder(key, cause, Then::Unloaded, step);
            return false;
        }
        if self.entry_mut(key).stayed(held, step.now).is_some() {
            self.n_removals -= 1;
        }
        self.set_state(key, ComponentState::Down(under_way.rung), cause, step);
        true
    }

    /// Whether parks at a rung free memory of a component, as far as that is known.
    #[must_use]
    pub fn frees_at(&self, key: ComponentKey, rung: Rung) -> bool {
        self.entry(key).parking().rung(rung).is_none_or(LearnedRung::frees)
    }

    /// A park failed: the component is unloaded instead. False when the report is stale.
    pub fn park_failed(
        &mut self,
        id: IncarnationId,
        number: StepId,
        error: String,
        step: &mut Step<'_>,
    ) -> bool {
        if self.end_step(id, number, ComponentState::is_parking).is_none() {
            return false;
        }
        self.give_up_park(id.key, Cause::ParkFailed { error }, step);
        true
    }

    pub(super) fn give_up_park(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        self.step_failed(key, step);
        self.end_on_the_ladder(key, cause, Then::Unloaded, step);
    }

    /// Counts a failed step, or a component that was unhealthy soon after one.
    pub fn step_failed(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        self.entry_mut(key).parking_mut().failed();
        self.record_given_up(key, step);
    }

    /// Counts a component that ended while it was parked.
    pub fn died_parked(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        self.entry_mut(key).parking_mut().died(step.now);
        self.record_given_up(key, step);
    }

    /// Has the figures of a rung stored that a step was measured at.
    pub(super) fn persist_rung(&self, key: ComponentKey, rung: Rung, step: &mut Step<'_>) {
        if let Some(learned) = self.entry(key).parking().rung(rung)
            && !self.entry(key).restart().is_outdated()
        {
            let learned = learned.clone();
            step.push(Effect::PersistRung(PersistedRung { key, rung, learned }));
        }
    }

    /// Takes over figures of a rung that an earlier process measured.
    pub fn restore_rung(&mut self, row: PersistedRung) {
        self.entry_mut(row.key).parking_mut().restore(row.rung, row.learned);
    }

    fn record_given_up(&self, key: ComponentKey, step: &mut Step<'_>) {
        if self.entry(key).parking().is_given_up(step.now, &self.config.quarantine) {
            step.record(EventKind::NeverParked { component: key });
        }
    }

    /// The step under way, which ends with this report, if it is that one and in the right state.
    pub(super) fn end_step(
        &mut self,
        id: IncarnationId,
        number: StepId,
        is_right: fn(ComponentState) -> bool,
    ) -> Option<RungStep> {
        if !self.is_current(id) || !is_right(self.entry(id.key).state()) {
            return None;
        }
        self.entry_mut(id.key).parking_mut().end(number)
    }

    /// Ends a component that is parked, or is parked or woken now, with everything parked that depends on it. Its waiters
    /// are for the engine to plan again.
    pub fn end_on_the_ladder(
        &mut self,
        key: ComponentKey,
        cause: Cause,
        then: Then,
        step: &mut Step<'_>,
    ) {
        if !self.entry(key).state().is_on_the_ladder() {
            return;
        }
        let Some(id) = self.incarnation(key) else { return };
        for dependent in self.entry(key).dependents().to_vec() {
            let lost = self.dependency_lost(key, &cause);
            self.end_on_the_ladder(dependent, lost, Then::Unloaded, step);
        }
        let grace = self.grace(key, step.now);
        let before = self.entry(key).removal();
        let freed_for = before.and_then(Removal::freed_for);
        if before.is_none() {
            self.n_removals += 1;
        }
        let removal = Removal::at_once(cause.clone(), then).freeing_for(freed_for);
        let e = self.entry_mut(key);
        e.set_overload(ByteSize::ZERO);
        e.begin_unload(step.now + grace + KILL_MARGIN);
        e.replace_removal(removal);
        self.set_state(key, ComponentState::Unloading { to: Rung::Gone }, cause, step);
        step.push(Effect::StartUnload { id, grace, hibernate: false });
    }
}

/// Microseconds for a record.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
