//! Synthetic rungs of the simulated machine: offers, parks and wakes, and their faults.
//!
//! A component is paged out or sleeps, by its number. Invariant: a report comes while the incarnation exists, and its
//! bytes lie around those that were offered.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, IncarnationId, Rung, StepId};
use majordomo_engine::{
    Input, Need, Offers, ParkReport, PersistedRung, RungFigures, RungOffer, WakeReport,
};
use majordomo_memory::LearnedRung;

use super::{Event, Stage, StepEnd, World};
use crate::rng::Rng;
use crate::stress::check::{Broken, broken};
use crate::stress::script::{ParkFault, WakeFault};

/// Wakes that may run at a time, as on a machine with a swap file.
const WAKE_LANES: usize = 2;

impl StepEnd {
    fn result<R>(self, report: R) -> Result<R, String> {
        match self {
            Self::Done | Self::Unmoved => Ok(report),
            Self::Failed(error) => Err(error.to_owned()),
        }
    }
}

impl World<'_> {
    /// Offers the rungs of the catalog's components, where the script has rungs.
    pub(super) fn offer_rungs(&mut self) -> Result<(), Broken> {
        if !self.script.rungs {
            return Ok(());
        }
        let mut rungs = Vec::new();
        let known = |k: &ComponentKey| self.rungs_offered && self.catalog.spec(*k).is_some();
        for key in self.catalog.keys().filter(known) {
            for rung in [Rung::Asleep, Rung::Paged] {
                let figures = self.figures(key, rung);
                rungs.extend(figures.map(|figures| RungOffer { key, rung, figures }));
            }
        }
        let swap = self.blueprint.budget.scaled(f64::from(self.swap_room) / 100.0);
        let may_write = self
            .writes_left
            .map(|percent| self.blueprint.budget.scaled(f64::from(percent) / 100.0));
        self.input(Input::Offers(Offers { swap, may_write, wake_lanes: WAKE_LANES, rungs }))
    }

    /// Passes on the figures of rungs that earlier processes measured.
    pub(super) fn remember_rungs(&mut self) -> Result<(), Broken> {
        if !self.script.rungs {
            return Ok(());
        }
        let row = |((number, rung), learned): (&(usize, Rung), &LearnedRung)| {
            let (rung, learned) = (*rung, learned.clone());
            Some(PersistedRung { key: self.keys[*number]?, rung, learned })
        };
        let rows = self.learned_rungs.iter().filter_map(row).collect();
        self.input(Input::LearnedRungs(rows))
    }

    /// The figures of a component at a rung, if it has that.
    fn figures(&self, key: ComponentKey, rung: Rung) -> Option<RungFigures> {
        let number = self.numbers[key.index()] as u64;
        let mut rng = Rng::new(&[self.script.seed, 16, number, rung as u64]);
        let paged = rung == Rung::Paged;
        if !rng.chance(if paged { 0.6 } else { 0.3 }) {
            return None;
        }
        let stays = if paged { 0.05 + 0.25 * rng.unit() } else { 0.3 + 0.5 * rng.unit() };
        Some(RungFigures {
            stays,
            swapped: if paged { 1.0 - stays } else { 0.0 },
            apart_stays: if paged { 1.0 } else { 0.1 },
            moves: if paged { 0.0 } else { 0.4 * rng.unit() },
            enter: rng.millis(30, 600),
            wake: rng.millis(50, 900),
            ..RungFigures::default()
        })
    }

    pub(super) fn start_park(
        &mut self,
        id: IncarnationId,
        step: StepId,
        to: Rung,
    ) -> Result<(), Broken> {
        let key = id.key;
        let Some(i) = self.cells.current(key) else {
            return broken(1, format!("{key} is parked, but was never published"));
        };
        if !i.cell.is_closed() || i.cell.leases() > 0 {
            return broken(11, format!("{key} is parked with its cell {:?}", i.cell));
        }
        let Some(figures) = self.figures(key, to) else {
            return broken(11, format!("{key} is parked at {to}, which was not offered"));
        };
        let fault = self.fates[self.numbers[key.index()]].park.take();
        let mut rng = self.rng_of(17, key);
        let Some(r) = self.running[key.index()].as_mut().filter(|r| r.op == id.op) else {
            return broken(4, format!("{key} is parked, but does not run"));
        };
        match r.stage {
            Stage::Up { reported: true } => r.stage = Stage::Parking { step },
            // The report of its end has not reached the engine yet.
            Stage::Exited => return Ok(()),
            _ => return broken(4, format!("{key} is parked while it is {:?}", r.stage)),
        }
        r.left = match fault {
            Some(ParkFault::FreesHalf) => 0.5,
            Some(ParkFault::FreesNothing | ParkFault::SwapFull) => 1.0,
            _ => figures.stays * (0.7 + 0.6 * rng.unit()),
        };
        let took = figures.enter.mul_f64(0.3 + 1.2 * rng.unit());
        let ends = |end| Event::StepEnd { id, step, end };
        match fault {
            None => self.after(took, ends(StepEnd::Done)),
            Some(ParkFault::FreesHalf) => {
                self.count_fault("park frees half");
                self.after(took, ends(StepEnd::Done));
            }
            Some(ParkFault::FreesNothing) => {
                self.count_fault("park frees nothing");
                self.after(took, ends(StepEnd::Done));
            }
            Some(ParkFault::SwapFull) => {
                self.count_fault("swap is full");
                self.after(took, ends(StepEnd::Unmoved));
            }
            Some(ParkFault::Fails) => {
                self.count_fault("park fails");
                self.after(took, ends(StepEnd::Failed("its pages stayed")));
            }
            Some(ParkFault::Hangs) => self.count_fault("park hangs"),
            Some(ParkFault::Dies) => {
                self.after(took, ends(StepEnd::Done));
                let wait = rng.millis(1, 20_000);
                self.after(wait, Event::Exit { id });
            }
        }
        Ok(())
    }

    pub(super) fn start_wake(
        &mut self,
        id: IncarnationId,
        step: StepId,
        from: Rung,
    ) -> Result<(), Broken> {
        let key = id.key;
        let fault = self.fates[self.numbers[key.index()]].wake.take();
        let mut rng = self.rng_of(18, key);
        let figures = self.figures(key, from).unwrap_or_default();
        let Some(r) = self.running[key.index()].as_mut().filter(|r| r.op == id.op) else {
            return broken(4, format!("{key} is woken, but does not run"));
        };
        match r.stage {
            Stage::Parked => r.stage = Stage::Waking { step },
            Stage::Exited => return Ok(()),
            _ => return broken(4, format!("{key} is woken while it is {:?}", r.stage)),
        }
        let took = figures.wake.mul_f64(0.3 + 1.2 * rng.unit());
        self.deliver_late_messages(id, took / 2);
        let ends = |end| Event::StepEnd { id, step, end };
        match fault {
            None => self.after(took, ends(StepEnd::Done)),
            Some(WakeFault::PagesDropped) => {
                self.count_fault("pages dropped");
                self.after(took * 10, ends(StepEnd::Done));
            }
            Some(WakeFault::Fails) => {
                self.count_fault("wake fails");
                self.after(took, ends(StepEnd::Failed("it does not answer")));
            }
            Some(WakeFault::Hangs) => self.count_fault("wake hangs"),
            Some(WakeFault::Dies) => self.after(took / 2, Event::Exit { id }),
        }
        Ok(())
    }

    /// Messages of the time before a park that arrive only while the component is woken: each seldom.
    fn deliver_late_messages(&mut self, id: IncarnationId, wait: Duration) {
        let mut rng = self.rng_of(22, id.key);
        let late = match rng.below(150) {
            0 => Input::Released { id },
            1 => Input::Health { id, result: Ok(()) },
            2 => Input::Health { id, result: Err("timed out".to_owned()) },
            _ => return,
        };
        self.after(wait, Event::Deliver(late));
    }

    pub(super) fn count_fault(&mut self, fault: &'static str) {
        *self.counts.rung_faults.entry(fault).or_default() += 1;
    }

    /// A park or a wake ends; also after the request to stop its component, when the report comes too late.
    pub(super) fn step_end(&mut self, id: IncarnationId, step: StepId, end: StepEnd) {
        let key = id.key;
        let Some(r) = self.running[key.index()].as_mut().filter(|r| r.op == id.op) else { return };
        match r.stage {
            Stage::Waking { step: under_way } if under_way == step => {
                r.stage = Stage::Up { reported: true };
                let (memory, mut rng) = (r.memory, self.rng_of(19, key));
                let measured = rng.chance(0.7).then(|| self.memory(key, memory).scaled(rng.unit()));
                let swap = self.in_swap(key).scaled(rng.unit());
                let result = end.result(WakeReport { measured, swap });
                self.deliver(Input::Woken { id, step, result });
            }
            Stage::Parking { step: under_way } if under_way == step => {
                let is_intact = matches!(end, StepEnd::Failed(_));
                r.stage = if is_intact { Stage::Up { reported: true } } else { Stage::Parked };
                let (left, memory) = (r.left, r.memory);
                let held = self.held(key, left, memory);
                let unmoved = (end == StepEnd::Unmoved).then(|| "swap is full".to_owned());
                let result = end.result(ParkReport { held, unmoved, ..ParkReport::default() });
                self.deliver(Input::Parked { id, step, result });
            }
            Stage::Stopping { .. } => {
                // Whichever step it was, and however it ended, its report is out of date.
                let mut rng = self.rng_of(20, key);
                let mut end = || {
                    if rng.chance(0.5) { StepEnd::Done } else { StepEnd::Failed("it was stopped") }
                };
                let (parked, woken) = (end(), end());
                let result = parked.result(ParkReport::default());
                self.deliver(Input::Parked { id, step, result });
                let result = woken.result(WakeReport::default());
                self.deliver(Input::Woken { id, step, result });
            }
            _ => {}
        }
    }

    pub(super) fn in_swap(&self, key: ComponentKey) -> ByteSize {
        self.engine.budget().bookings(key).of(Need::SWAP)
    }

    /// The bytes that a parked component holds in each pool.
    fn held(&self, key: ComponentKey, left: f64, memory: ByteSize) -> Need {
        let budget = self.engine.budget();
        let own = budget.pool_of(key).unwrap_or_default();
        let memory = self.memory(key, memory);
        let to = self.engine.scheduler().entry(key).parking().step().map(|step| step.rung);
        let figures = to.and_then(|to| self.figures(key, to)).unwrap_or_default();
        let mut held = Need::new();
        held.add(own, memory.scaled(left));
        if figures.swapped > 0.0 {
            held.add(Need::SWAP, memory.scaled(1.0 - left));
        }
        for (pool, bytes) in budget.apart(key).iter() {
            held.add(pool, bytes.scaled(figures.apart_stays));
            held.add(own, bytes.scaled(figures.moves));
        }
        held
    }
}
