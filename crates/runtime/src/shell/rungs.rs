//! Steps of components: parks and wakes under way, where parked components are, and the rungs on offer.
//!
//! Invariant: a step ends with one report, or without one when the unload of its component starts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ComponentKey, IncarnationId, OpId, Rung, StepId};
use majordomo_engine::{Input, Offers};
use majordomo_registry::ComponentSpec;

use super::Shell;
use super::ladder::OnLadder;
use super::load::within;
use crate::message::Control;
use crate::rungs::paged::Paged;
use crate::rungs::{Body, Subject};

impl Shell {
    /// Finds out whether programs can be parked in swap, where that may have changed, and takes what is to be stored.
    pub(super) fn look_for_rungs(&mut self) {
        let park = self.engine.config().parking.park;
        let catalog = self.engine.catalog();
        let mut programs = catalog.keys().filter_map(|key| catalog.spec(key));
        let may_park = |s: &Arc<ComponentSpec>| s.program().is_some() && s.may_park(park);
        if let Some(loader) = &self.processes
            && programs.any(may_park)
        {
            let (control, now) = (self.lanes.control(), self.clock.now());
            self.rungs.paged.try_if_due(loader, now, move || control.send(Control::RungsTried));
        }
        self.learned.wrote_to_swap(self.rungs.paged.changed_writes());
    }

    /// Reports the rungs on offer to the engine, when they changed, or when the engine has counted other writes than were
    /// measured.
    pub(super) fn offer_rungs(&mut self) {
        let offers = self.offers();
        if offers != self.offered || self.counts_other_writes(&offers) {
            self.offered = offers.clone();
            self.feed(Input::Offers(offers));
        }
    }

    fn counts_other_writes(&self, offers: &Offers) -> bool {
        let scheduler = self.engine.scheduler();
        let step = Paged::step_of_writes(&self.engine.config().parking);
        match (offers.may_write, scheduler.may_write()) {
            (Some(measured), Some(left)) => {
                let counted = left + scheduler.writes_under_way();
                measured.0.abs_diff(counted.0) > step.0
            }
            _ => false,
        }
    }

    fn offers(&self) -> Offers {
        let lacks_cgroup = |key: ComponentKey| {
            let incarnation = self.slots.get(key.index()).and_then(|slot| slot.current());
            let process = incarnation.and_then(|i| i.instance().running().cloned());
            process.is_some_and(|process| process.members().cgroup().is_none())
        };
        self.rungs.offers(&self.engine, self.wall_clock.now(), lacks_cgroup)
    }

    /// The same after another configuration, whose budget may have other room for what is parked.
    pub(super) fn offer_rungs_again(&mut self) {
        if self.offered != Offers::default() {
            self.offered = self.offers();
            self.feed(Input::Offers(self.offered.clone()));
        } else {
            self.offer_rungs();
        }
    }

    pub(super) fn start_park(
        &mut self,
        id: IncarnationId,
        step: StepId,
        to: Rung,
        deadline: Duration,
    ) {
        let Some(subject) = self.subject(id) else { return };
        let work = self.rungs.park(subject, to, within(deadline));
        self.begin_step(id.op, to, work, move |result| Input::Parked { id, step, result });
    }

    pub(super) fn start_wake(
        &mut self,
        id: IncarnationId,
        step: StepId,
        from: Rung,
        deadline: Duration,
    ) {
        let Some(subject) = self.subject(id) else { return };
        let is_awaited = self.engine.scheduler().entry(id.key).is_required();
        let work = self.rungs.wake(subject, from, is_awaited, within(deadline));
        self.begin_step(id.op, from, work, move |result| Input::Woken { id, step, result });
    }

    /// A component that is there, for a step.
    fn subject(&self, id: IncarnationId) -> Option<Subject> {
        let catalog = self.engine.catalog();
        let spec = catalog.spec(id.key)?.clone();
        let own_pool = self.engine.scheduler().pool(id.key);
        let apart_asleep = catalog.apart_asleep(id.key).to_vec();
        let apart = catalog.apart(id.key).to_vec();
        let incarnation = self.incarnation(id)?;
        let uses = incarnation.gate().uses();
        let body = Body::of(incarnation);
        Some(Subject { key: id.key, spec, own_pool, apart_asleep, apart, uses, body })
    }

    fn begin_step<R: Send + 'static>(
        &mut self,
        op: OpId,
        rung: Rung,
        work: impl Future<Output = Result<R, String>> + Send + 'static,
        report: impl FnOnce(Result<R, String>) -> Input + Send + 'static,
    ) {
        let control = self.lanes.control();
        let task = tokio::spawn(async move {
            let result = work.await;
            control.send(Control::Engine(Box::new(report(result))));
        });
        self.ladder.insert(op, OnLadder::moving(rung, task.abort_handle()));
    }

    /// Records a report before the engine gets it.
    pub(super) fn step_reported(&mut self, input: &Input) {
        match input {
            Input::Parked { id, result: Ok(report), .. } => {
                if let Some(there) = self.ladder.get_mut(&id.op) {
                    there.is_there = true;
                }
                // A rung that the machine refused is not on offer any more before the engine acts.
                if report.unmoved.is_some() {
                    self.offer_rungs();
                }
            }
            Input::Woken { id, result: Ok(_), .. } => drop(self.ladder.remove(&id.op)),
            Input::Parked { id, result: Err(error), .. } => self.step_failed(*id, "parked", error),
            Input::Woken { id, result: Err(error), .. } => self.step_failed(*id, "woken", error),
            _ => {}
        }
    }

    fn step_failed(&self, id: IncarnationId, step: &str, error: &str) {
        let component = self.engine.catalog().id(id.key);
        tracing::warn!(%component, error, "a component was not {step}; it is unloaded");
    }
}
