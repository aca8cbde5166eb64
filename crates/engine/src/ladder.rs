//! Rungs: what is on offer, reports of steps, fall-through to a cold load, and ends of parked components.
//!
//! Invariant: a transaction whose wake fails keeps its place and its deadline, and is planned again in the same input.

use std::sync::Arc;

use majordomo_core::{ByteSize, Cause, ComponentKey, IncarnationId, Moment, StepId};
use majordomo_lifecycle::{Origin, ParkReport, PersistedRung, RungOffer, Step, Then, WakeReport};
use majordomo_memory::Need;

use crate::Engine;
use crate::grant::Opening;
use crate::health::Exit;

/// The rungs on offer. Without any nothing is parked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offers {
    /// The bytes that parked components may have in swap, all together.
    pub swap: ByteSize,
    /// The bytes that parks may write to swap until the next list; none = as many as fit.
    pub may_write: Option<ByteSize>,
    /// Wakes that may run at a time; one is kept for demands.
    pub wake_lanes: usize,
    /// Which components may be parked where.
    pub rungs: Vec<RungOffer>,
}

impl Engine {
    /// Replaces the rungs on offer. A component that is parked at a rung which is offered no more stays there.
    pub(crate) fn offer(&mut self, offers: &Offers) {
        self.scheduler.offer_rungs(offers.swap, offers.wake_lanes, &offers.rungs);
        self.scheduler.bound_writes(offers.may_write);
        self.value_waits_of_rungs();
    }

    /// Takes over figures of rungs that earlier processes measured.
    pub(crate) fn learned_rungs(&mut self, rows: Vec<PersistedRung>) {
        for row in rows {
            if row.key.index() < self.catalog().len() && row.rung.is_parked() {
                self.scheduler.restore_rung(row);
            }
        }
    }

    /// Where rungs are offered, the policy values waits: a use costs little at one rung and much at another. Where none is any
    /// more, it is as configured.
    pub(crate) fn value_waits_of_rungs(&mut self) {
        let offers = self.scheduler.offers_rungs();
        let catalog = Arc::clone(self.catalog());
        self.forecaster.value_first_uses(offers, &catalog);
        self.policy.value_waits(offers);
        let room = self.scheduler.budget().limit_of(Need::SWAP).budget;
        self.policy.set_swap_room(room.unwrap_or_default());
        self.hints.preloader_mut().set_weighted(self.policy.weighs_load_time());
    }

    pub(crate) fn parked(
        &mut self,
        id: IncarnationId,
        number: StepId,
        result: Result<ParkReport, String>,
        step: &mut Step<'_>,
    ) {
        let is_parked = match result {
            Ok(ParkReport { unmoved: Some(error), .. }) => {
                if self.scheduler.park_moved_nothing(id, number, error, step) {
                    self.submit_alone(id.key, Origin::Restart, step.now);
                }
                return;
            }
            Ok(report) => self.scheduler.parked(id, number, report, step),
            Err(error) => self.scheduler.park_failed(id, number, error, step),
        };
        if is_parked {
            self.wake_if_fixed(id.key, step.now);
        }
    }

    /// A component that was parked before it became CORE or pinned is woken.
    pub(crate) fn wake_if_fixed(&mut self, key: ComponentKey, now: Moment) {
        let e = self.scheduler.entry(key);
        if e.state().is_parked() && e.is_fixed() && self.ending.is_none() {
            self.submit_alone(key, Origin::Restart, now);
        }
    }

    pub(crate) fn woken(
        &mut self,
        id: IncarnationId,
        number: StepId,
        result: Result<WakeReport, String>,
        step: &mut Step<'_>,
    ) {
        match result {
            Ok(report) => {
                if self.scheduler.woken(id, number, report, step) {
                    self.publish(id, Opening::Reopen, step);
                }
            }
            Err(error) if self.scheduler.is_waking(id, number) => {
                self.fall_through(id.key, Cause::WakeFailed { error }, step);
            }
            Err(_) => {}
        }
    }

    /// A wake failed: the component is unloaded, and its waiters load it cold.
    pub(crate) fn fall_through(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        self.scheduler.give_up_wake(key, cause, step);
        self.plan_again(key, step);
    }

    /// A component ended by itself while it was on the ladder: no back-off follows, for it was not in use.
    pub(crate) fn ended_on_the_ladder(
        &mut self,
        id: IncarnationId,
        exit: Exit,
        step: &mut Step<'_>,
    ) {
        let key = id.key;
        let cause = match exit.out_of_memory {
            Some(_) => Cause::OutOfMemory { evidence: format!("it ran {}", exit.how) },
            None => Cause::Exited { how: exit.how },
        };
        if self.state(key).is_waking() {
            return self.fall_through(key, cause, step);
        }
        self.scheduler.died_parked(key, step);
        self.scheduler.end_on_the_ladder(key, cause, Then::Unloaded, step);
        self.plan_again(key, step);
    }

    /// Transactions that counted on a component that was parked are planned again.
    pub(crate) fn plan_again(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let group = self.scheduler.live_closure(key);
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.is_active() && t.closure.iter().any(|k| group.contains(k)))
            .map(|t| t.id)
            .collect();
        for id in ids {
            self.scheduler.requeue(id, step);
        }
    }
}
