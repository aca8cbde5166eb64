//! Loaders of the simulated machine: loads, unloads, exits, probes and measurements.
//!
//! Knows the script's faults and no client. Invariant: one incarnation of a component runs at a time.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, IncarnationId, OpId};
use majordomo_engine::{Footprints, Input, OutOfMemory, Sample};

use super::{Event, LANE, Running, Stage, World};
use crate::rng::Rng;
use crate::stress::check::{Broken, broken};
use crate::stress::script::{LoadFault, StopFault};

impl World<'_> {
    pub(super) fn start_load(&mut self, id: IncarnationId) -> Result<(), Broken> {
        let key = id.key;
        if let Some(r) = &self.running[key.index()] {
            return broken(4, format!("{key} is loaded while {r:?} runs"));
        }
        let Some(spec) = self.catalog.spec(key).cloned() else {
            return broken(4, format!("{key} is loaded, but is not configured"));
        };
        let number = self.numbers[key.index()];
        let fate = &mut self.fates[number];
        let fault = fate.load.take();
        let mut rng = self.rng_of(8, key);
        let memory = spec.memory.scaled(0.6 + 0.55 * rng.unit());
        self.running[key.index()] = Some(Running {
            op: id.op,
            stage: Stage::Loading { hangs: fault == Some(LoadFault::Hangs) },
            memory,
            load_peak: memory.scaled(self.transient(number) * (0.7 + 0.6 * rng.unit())),
            left: 1.0,
        });
        self.cells.set_limited(key, spec.max_leases.is_some());
        let took = spec.load_time.mul_f64(0.3 + 1.2 * rng.unit());
        match fault {
            None => self.after(took, Event::LoadEnd { id, error: None }),
            Some(LoadFault::Slow) => self.after(took * 10, Event::LoadEnd { id, error: None }),
            Some(LoadFault::Fails) => {
                self.after(took / 2, Event::LoadEnd { id, error: Some("no such file") });
            }
            Some(LoadFault::Panics) => {
                self.after(took / 2, Event::LoadEnd { id, error: Some("the loader panicked") });
            }
            Some(LoadFault::Hangs) => {}
            Some(LoadFault::DiesAtOnce) => {
                self.after(took, Event::LoadEnd { id, error: None });
                self.after(took, Event::Exit { id });
            }
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, id: IncarnationId, grace: Duration) {
        let number = self.numbers[id.key.index()];
        let mut rng = self.rng_of(9, id.key);
        let Some(r) = &mut self.running[id.key.index()] else { return };
        let has_ended = matches!(r.stage, Stage::Failed | Stage::Exited);
        let fault = if has_ended { None } else { self.fates[number].stop.take() };
        r.stage = Stage::Stopping { stuck: fault == Some(StopFault::Stuck) };
        self.cells.clear(id.key);
        let killed = grace + rng.millis(1, 900);
        let wait = match fault {
            None if has_ended => Duration::from_millis(1),
            None => rng.millis(1, 400).min(killed),
            Some(StopFault::Refuses) => killed,
            Some(StopFault::Stuck) => rng.millis(8_000, 400_000),
        };
        self.after(wait, Event::StopEnd { id });
    }

    /// The peak of a component's load, as a multiple of its usual memory; for some components far above the budget.
    fn transient(&self, number: usize) -> f64 {
        let mut rng = Rng::new(&[self.script.seed, 15, number as u64]);
        if rng.chance(0.2) { 2.0 + 10.0 * rng.unit() } else { 1.0 }
    }

    pub(super) fn memory(&self, key: ComponentKey, usual: ByteSize) -> ByteSize {
        match self.fates[self.numbers[key.index()]].grown {
            0 => usual,
            percent => usual.scaled(f64::from(percent) / 100.0),
        }
    }

    pub(super) fn exit(&mut self, key: ComponentKey, only: Option<OpId>) {
        let Some(Some(r)) = self.running.get_mut(key.index()) else { return };
        if only.is_some_and(|op| op != r.op) {
            return;
        }
        let id = IncarnationId { key, op: r.op };
        match r.stage {
            Stage::Up { .. } => {
                // The report of the load precedes the report of the exit.
                let reported = r.stage == Stage::Up { reported: true };
                let usual = r.memory;
                if reported {
                    r.stage = Stage::Exited;
                    let rng = &mut self.rng_of(12, key);
                    let out_of_memory = self.killed_for_memory(rng, key, usual);
                    // Some processes exit by themselves, with various codes.
                    let code = rng.chance(0.4).then(|| rng.between(0, 2) as i32);
                    let how = code.map_or("was killed by SIGKILL".to_owned(), |c| {
                        format!("ended with code {c}")
                    });
                    self.deliver(Input::Exited { id, how, code, out_of_memory });
                } else {
                    self.after(LANE, Event::Exit { id });
                }
            }
            Stage::Parking { .. } | Stage::Parked | Stage::Waking { .. } => {
                let fault = match r.stage {
                    Stage::Parking { .. } => "killed while parking",
                    Stage::Parked => "killed while parked",
                    _ => "killed while waking",
                };
                r.stage = Stage::Exited;
                self.count_fault(fault);
                let how = "was killed by SIGKILL".to_owned();
                self.deliver(Input::Exited { id, how, code: None, out_of_memory: None });
            }
            Stage::Loading { .. } => {
                self.after(Duration::ZERO, Event::LoadEnd { id, error: Some("it exited") });
            }
            _ => {}
        }
    }

    /// Draws whether an exited process was killed for its memory, and whether its peak is known.
    pub(super) fn killed_for_memory(
        &self,
        rng: &mut Rng,
        key: ComponentKey,
        usual: ByteSize,
    ) -> Option<OutOfMemory> {
        let peak = rng.chance(0.7).then(|| self.memory(key, usual));
        rng.chance(0.3).then_some(OutOfMemory { peak })
    }

    /// A component requests a larger reservation, in any state.
    pub(super) fn grow_reservation(&mut self, number: usize, percent: u32) -> Result<(), Broken> {
        let key = self.key(number);
        // The request may come from an incarnation that has been unloaded since.
        let Some(running) = self.running.get(key.index()).copied() else { return Ok(()) };
        let (op, usual) = running.map_or((OpId(u64::MAX), ByteSize::mib(10)), |r| (r.op, r.memory));
        let id = IncarnationId { key, op };
        let bytes = usual.scaled(f64::from(percent) / 100.0);
        self.input(Input::Grow { id, bytes })
    }

    pub(super) fn probe_end(&mut self, id: IncarnationId) -> Result<(), Broken> {
        let Some(r) = self.running[id.key.index()].filter(|r| r.op == id.op) else {
            // The incarnation has ended since; its answer still arrives.
            self.deliver(Input::Health { id, result: Err("no answer".to_owned()) });
            return Ok(());
        };
        let fate = self.fate(id.key);
        let sick = fate.sick > 0;
        fate.sick = fate.sick.saturating_sub(1);
        let well = !sick && matches!(r.stage, Stage::Up { .. });
        let result = if well { Ok(()) } else { Err("timed out".to_owned()) };
        // An answer may arrive late; where rungs are offered, so late that its component is parked by then, or woken.
        let mut rng = self.rng_of(11, id.key);
        let longest = if self.script.rungs && rng.chance(0.2) { 8_000 } else { 2_000 };
        let wait = rng.millis(1, longest);
        self.after(wait, Event::Deliver(Input::Health { id, result }));
        Ok(())
    }

    pub(super) fn measure(&mut self, external: u8, unreturned: u8) -> Result<(), Broken> {
        let own = self
            .running
            .iter()
            .enumerate()
            .filter_map(|(i, r)| Some((ComponentKey::from_index(i), (*r)?)))
            .filter(|(_, r)| matches!(r.stage, Stage::Up { reported: true } | Stage::Parked))
            .map(|(key, r)| {
                let id = IncarnationId { key, op: r.op };
                if r.stage == Stage::Parked {
                    // Some of its memory has returned.
                    let bytes = self.memory(key, r.memory).scaled((r.left * 1.2).min(1.0));
                    return (id, Sample::from(bytes));
                }
                let used = self.cells.current(key).is_some_and(|i| i.cell.uses() > 0);
                let usual = if used { r.memory } else { r.memory.scaled(0.6) };
                // Its uses read memory back from swap.
                let swap = Some(self.in_swap(key)).filter(|bytes| bytes.0 > 0);
                let swap = swap.map(|bytes| bytes.scaled(if used { 0.5 } else { 0.9 }));
                (id, Sample { bytes: self.memory(key, usual), swap })
            })
            .collect();
        let budget = self.blueprint.budget;
        let share = |percent: u8| budget.scaled(f64::from(percent) / 100.0);
        let spare = budget.scaled(3.0 * self.rng(14, u64::from(external)).unit());
        self.input(Input::Spare(spare))?;
        let (external, unreturned) = (share(external), share(unreturned));
        self.input(Input::Footprints(Footprints { own, external, unreturned }))
    }
}
