//! Reactions of the world when they are due: ends of loads and unloads, released leases, sweeps, new processes.

use std::sync::Arc;

use majordomo_core::{ComponentKey, IncarnationId};
use majordomo_engine::{Engine, Input, LoadFailure, LoadReport, Persisted, SequenceModel, Usage};

use super::{Event, Running, Stage, World};
use crate::stress::cells::SimCells;
use crate::stress::check::{Broken, Checker, broken};
use crate::stress::waits::DemandId;

impl World<'_> {
    pub(super) fn react(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Deliver(input) => {
                if let Input::LoadFinished { id, result } = &input {
                    self.report_load(*id, result.is_ok());
                }
                self.input(input)
            }
            Event::LoadEnd { id, error } => {
                self.load_end(id, error);
                Ok(())
            }
            Event::StopEnd { id } => {
                let slot = &mut self.running[id.key.index()];
                if matches!(slot, Some(Running { op: o, stage: Stage::Stopping { .. }, .. }) if *o == id.op)
                {
                    *slot = None;
                    self.deliver(Input::UnloadFinished { id });
                }
                Ok(())
            }
            Event::StepEnd { id, step, end } => {
                self.step_end(id, step, end);
                Ok(())
            }
            Event::Exit { id } => {
                self.exit(id.key, Some(id.op));
                Ok(())
            }
            Event::ProbeEnd { id } => self.probe_end(id),
            Event::Release { lease } => {
                self.cells.now = self.now;
                self.cells.release(lease);
                self.used();
                self.flush_cells();
                Ok(())
            }
            Event::Abandon { waiter } => {
                if let Some(client) = self.clients.get_mut(&waiter) {
                    client.abandoned = true;
                    self.deliver(Input::Abandon { waiter });
                }
                Ok(())
            }
            Event::NextClient { action, component, every, left } => {
                if left > 0 {
                    let next = Event::NextClient { action, component, every, left: left - 1 };
                    self.after(every, next);
                    let demand = DemandId { action, nth: left };
                    self.demand(
                        demand,
                        &[component],
                        None,
                        None,
                        every * 3 / 2,
                        None,
                        false,
                        false,
                        false,
                    )?;
                }
                Ok(())
            }
            Event::Sweep => self.sweep(),
            Event::Boot => self.boot(),
        }
    }

    /// Records that the engine learns the result of a load.
    fn report_load(&mut self, id: IncarnationId, is_ok: bool) {
        let slot = &mut self.running[id.key.index()];
        match slot {
            Some(r) if r.op == id.op && r.stage == Stage::Failed && !is_ok => *slot = None,
            Some(r) if r.op == id.op && r.stage == (Stage::Up { reported: false }) => {
                r.stage = Stage::Up { reported: true };
            }
            _ => {}
        }
    }

    fn load_end(&mut self, id: IncarnationId, error: Option<&'static str>) {
        let Some(r) = &mut self.running[id.key.index()] else { return };
        if r.op != id.op || !matches!(r.stage, Stage::Loading { .. }) {
            return;
        }
        r.stage = if error.is_some() { Stage::Failed } else { Stage::Up { reported: false } };
        let (memory, peak) = (r.memory, r.load_peak);
        let mut rng = self.rng_of(10, id.key);
        let ready = self.memory(id.key, memory).scaled(0.4 + 0.6 * rng.unit());
        let measured = rng.chance(0.6).then_some(ready);
        let result = match error {
            Some(error) => {
                let rng = &mut self.rng_of(13, id.key);
                let out_of_memory = self.killed_for_memory(rng, id.key, memory);
                Err(LoadFailure { error: error.to_owned(), out_of_memory })
            }
            None => Ok(LoadReport { measured, peak: measured.map(|m| m.max(peak)) }),
        };
        self.deliver(Input::LoadFinished { id, result });
    }

    fn sweep(&mut self) -> Result<(), Broken> {
        self.sweep_due = false;
        let mut rows = Vec::new();
        for i in (0..self.running.len()).map(ComponentKey::from_index) {
            let Some(at) = self.cells.slot(i) else { continue };
            let i = &mut self.cells.incarnations[at];
            let uses = i.cell.uses() - i.uses_swept;
            let last_use = i.last_use.take();
            if uses == 0 && last_use.is_none() {
                continue;
            }
            i.uses_swept += uses;
            rows.push(Usage { id: i.id, uses, last_use });
        }
        if rows.is_empty() { Ok(()) } else { self.input(Input::Usage(rows)) }
    }

    /// Starts a new process after a shutdown: new keys, waiters and cells, with the persisted state.
    fn boot(&mut self) -> Result<(), Broken> {
        self.process += 1;
        let model = self.sequence_state();
        self.heap.clear();
        self.clients.clear();
        self.running.clear();
        self.sweep_due = false;
        let races = self.cells.races;
        self.cells = SimCells::new(self.script.seed);
        self.cells.races = races;
        self.checker = Checker::default();
        self.watch.restart();
        self.catalog = Arc::new(self.blueprint.build(None));
        self.number();
        let b = &self.blueprint;
        self.engine = Engine::new(Arc::clone(&self.catalog), b.config.clone(), b.budget);
        if let Some(trace) = &mut self.trace {
            trace.push_str(&format!("{} = a new process\n", self.now));
        }
        let rows: Vec<_> = self
            .numbers
            .iter()
            .enumerate()
            .filter_map(|(i, number)| {
                let (learned, load_time) = self.fates[*number].learned?;
                Some(Persisted { key: ComponentKey::from_index(i), learned, load_time })
            })
            .collect();
        self.input(Input::Learned(rows))?;
        self.remember_rungs()?;
        let catalog = Arc::clone(&self.catalog);
        match SequenceModel::decode(&model, |name| catalog.key(name)) {
            Ok(model) => self.input(Input::Remembered(Box::new(model)))?,
            Err(error) => return broken(9, format!("the sequence model: {error}")),
        }
        self.offer_rungs()?;
        self.input(Input::Start)
    }

    /// The persisted sequence model of the process that ends.
    fn sequence_state(&self) -> Vec<u8> {
        let catalog = self.engine.catalog();
        self.engine.sequence().encode(|key| Some(catalog.id(key).clone()))
    }
}
