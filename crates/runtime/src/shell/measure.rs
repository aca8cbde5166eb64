//! Measuring: uses, footprints, pressure, and the status made of them.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use majordomo_core::{ByteSize, IncarnationId, Moment, Status, StatusValue};
use majordomo_engine::{Footprints, Input, Sample, Usage};
use majordomo_memory::PoolGrant;

use super::hooks::footprint_of;
use super::{Seen, Shell};
use crate::component_thread;
use crate::footprint::{self, Figure};
use crate::message::{Control, MeasuredProcess, MeasuredProcesses};
use crate::process::RunningProcess;
use crate::rungs::paged::{self, Sampled};

/// A new status is made at most this often.
const STATUS_AGE: Duration = Duration::from_millis(50);
/// One measurement in so many measures the bytes that this process holds for no component as well.
const METER_EVERY: u64 = 30;
/// Memory that other programs take is reported in steps of this part of the budget.
const EXTERNAL_STEPS: u64 = 128;

impl Shell {
    /// Reports uses since the last sweep to the engine.
    pub(super) fn sweep(&mut self) {
        let mut rows = Vec::new();
        for (&key, seen) in &mut self.seen {
            let Some(i) = self.slots[key.index()].current() else { continue };
            let now = Seen { uses: i.gate().uses(), last_use: i.gate().last_use() };
            if now == *seen {
                continue;
            }
            let uses = now.uses.wrapping_sub(seen.uses);
            let last_use = (now.last_use != seen.last_use).then_some(Moment(now.last_use));
            *seen = now;
            rows.push(Usage { id: i.id(), uses, last_use });
        }
        if !rows.is_empty() {
            self.feed(Input::Usage(rows));
        }
    }

    /// Measures every loaded component on blocking threads; one measurement of each kind at a time.
    pub(super) fn measure(&mut self) {
        let mut builtins = Vec::new();
        let mut processes = Vec::new();
        for key in self.seen.keys() {
            let Some(i) = self.slots[key.index()].current() else { continue };
            match i.instance().running() {
                Some(process) => processes.push(Sampled {
                    id: i.id(),
                    process: Arc::clone(process),
                    uses: i.gate().uses(),
                    is_leased: i.gate().leases() > 0,
                }),
                None => builtins.push(i),
            }
        }
        // Apart from each other: a builtin's own report may hang, and must not blind the rest.
        if !builtins.is_empty() && !self.measuring.builtins {
            self.measuring.builtins = true;
            let control = self.lanes.control();
            component_thread::run(move || {
                // A panic there must not end measuring for all.
                let rows =
                    builtins.iter().filter_map(|i| Some((i.id(), footprint_of(i.instance())?)));
                control.send(Control::MeasuredBuiltins { own: rows.collect() });
            });
        }
        if !self.measuring.processes {
            self.measuring.processes = true;
            self.measure_processes(processes);
        }
    }

    fn measure_processes(&mut self, processes: Vec<Sampled>) {
        self.samples += 1;
        let is_new = |Sampled { id, .. }: &Sampled| {
            self.taken.footprints.get(&id.key).is_none_or(|f| f.0 != id.op)
        };
        let is_due = self.samples % METER_EVERY == 1 || processes.iter().any(is_new);
        let meter = if is_due { self.meter() } else { None };
        let (control, sampler) = (self.lanes.control(), Arc::clone(&self.sampler));
        let (paged, wall) = (self.rungs.paged.clone(), self.wall_clock.now());
        tokio::task::spawn_blocking(move || {
            let turns: Vec<u64> = processes.iter().map(|p| p.process.stepping().turns()).collect();
            let unmapped: Vec<ByteSize> = processes.iter().map(|p| paged.look_at(p)).collect();
            let sampled_processes: Vec<&RunningProcess> =
                processes.iter().map(|p| &*p.process).collect();
            // One measurement at a time: the lock is free, and one that panicked left the sampler usable.
            let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
            let sampled = sampler.look(&sampled_processes);
            let swapped = sampled.iter().flatten().map(|f| f.swapped).sum();
            paged.look(swapped, wall);
            let rows = processes.into_iter().zip(sampled).zip(unmapped).zip(turns);
            let rows = rows.filter_map(|(((sampled, footprint), unmapped), turns)| {
                let (Sampled { id, process, .. }, footprint) = (sampled, footprint?);
                process.record_footprint(footprint.exact);
                Some(MeasuredProcess { id, process, footprint, unmapped, turns })
            });
            control.send(Control::MeasuredProcesses(MeasuredProcesses {
                rows: rows.collect(),
                own: footprint::own(),
                unreturned: meter.and_then(|(meter, mapped)| meter.measure(mapped)),
            }));
        });
    }

    pub(super) fn measured_processes(&mut self, measured: MeasuredProcesses) {
        self.measuring.processes = false;
        self.set_unreturned(measured.unreturned);
        self.taken.own = measured.own;
        let mut own = Vec::with_capacity(measured.rows.len());
        let mut processes = ByteSize::ZERO;
        for MeasuredProcess { id, process, footprint: f, unmapped, turns } in measured.rows {
            self.taken.footprints.insert(id.key, (id.op, f));
            process.stepping().record_movable(f.exact, f.own);
            self.rungs.paged.learn_movable(id.key, &process);
            let bytes = match process.stepping().was_paged() {
                // Bytes that are in swap for a park are booked there.
                true => f.exact - f.swapped + self.rungs.paged.ram_of(f.swapped) + unmapped,
                false => f.exact,
            };
            processes += bytes;
            // The report of a step says what a component holds; a figure of before or from amidst it is none.
            if process.stepping().is_undisturbed_since(turns) {
                let swap = process.stepping().measured_swap(f.swapped, turns);
                own.push((id, Sample { bytes, swap }));
            }
        }
        self.taken.processes = processes;
        self.taken.external = self.external();
        self.footprints(own);
    }

    /// Bytes of the budget that other programs take: the rest after the available bytes and those that this manager uses.
    /// Loads and stops under way count with the bytes booked for them.
    fn external(&self) -> ByteSize {
        let Some(available) = self.felt.as_ref().and_then(crate::pressure::Felt::available) else {
            return ByteSize::ZERO;
        };
        let budget = self.engine.budget();
        let moving = self.engine.booked_in_transition();
        let ours = self.taken.processes + (self.taken.own - self.taken.own_at_start) + moving;
        let missing = budget.total() - (available + ours);
        // In steps: programs come and go by a few pages all the time.
        let step = (budget.total().0 / EXTERNAL_STEPS).max(1);
        ByteSize(missing.0 / step * step)
    }

    /// Reports measured footprints to the engine, with the bytes taken by other programs and by no component.
    pub(super) fn footprints(&mut self, own: Vec<(IncarnationId, Sample)>) {
        let (external, unreturned) = (self.taken.external, self.heap.held_for_no_component());
        self.feed(Input::Footprints(Footprints { own, external, unreturned }));
    }

    /// The same without components, when it changed.
    pub(super) fn report_taken(&mut self) {
        if self.engine.budget().taken() != (self.taken.external, self.heap.held_for_no_component())
        {
            self.footprints(Vec::new());
        }
    }

    /// The status now; while nothing happens the same one for 50 ms.
    pub(super) fn current_status(&mut self) -> Arc<Status> {
        let now = self.clock.now();
        if let Some((at, status)) = &self.status
            && now.since(*at) < STATUS_AGE
        {
            return Arc::clone(status);
        }
        let mut status = self.engine.status(now);
        let mut estimated = Vec::new();
        let parking = &self.engine.config().parking;
        for c in &mut status.components {
            let catalog = self.engine.catalog();
            let Some(key) = catalog.key(c.id.as_str()) else { continue };
            c.load_stages = self.learned.stages.rows(key, catalog.config_hash(key));
            let against = paged::reason_against(catalog, key, parking);
            c.parking.why_not = against.or_else(|| self.rungs.paged.refusal(key));
            self.steps_done.fill_in(key, &mut c.parking);
            let slot = self.slots.get(key.index());
            let Some(i) = slot.and_then(|s| s.current()) else { continue };
            c.leases = i.gate().leases();
            c.endpoint = i.instance().endpoint().cloned();
            c.pid = i.instance().running().map(|process| process.process_group().pgid);
            let known = self.taken.footprints.get(&i.key()).filter(|f| f.0 == i.id().op);
            c.shared = known.map_or_else(
                || i.instance().mapped(PoolGrant::shared),
                |(_, f)| f.resident - f.exact,
            );
            // Of a parked component the report of its park is known before the next measurement.
            if !c.state.is_parked() {
                c.parking.swapped = known.map_or(ByteSize::ZERO, |(_, f)| f.swapped);
            }
            let figure = known.map(|(_, f)| f.figure).unwrap_or_default();
            if figure != Figure::Proportional {
                estimated.push(format!("{} ({figure})", c.id));
            }
        }
        let m = &mut status.memory;
        m.own = Some(self.taken.own);
        m.felt = self.felt.as_ref().map(crate::pressure::Felt::status);
        m.parking = self.rungs.paged.status(parking, self.wall_clock.now());
        m.cold = self.heap.cold_status();
        m.trims = self.heap.trim_status();
        m.process_limits = match &self.processes {
            Some(processes) => processes.describe_limits(),
            None => "none: no program is started".to_owned(),
        };
        let mut runtime = vec![
            ("hints_dropped".to_owned(), StatusValue::Count(self.lanes.hints_dropped())),
            ("loads_running".to_owned(), StatusValue::Count(self.running.len() as u64)),
            ("state_store".to_owned(), StatusValue::Text(self.learned.describe())),
            ("state_writes".to_owned(), StatusValue::Count(self.learned.writes())),
        ];
        if !estimated.is_empty() {
            let text = StatusValue::Text(estimated.join(", "));
            runtime.push(("footprints_not_readable".to_owned(), text));
        }
        let problem = self.learned.problem();
        runtime.extend(
            problem.map(|problem| ("state_problem".to_owned(), StatusValue::Text(problem))),
        );
        status.sections.insert("runtime".to_owned(), runtime);
        let files = self.learned.files.section(now);
        status.sections.entry("read_ahead".to_owned()).or_default().extend(files);
        let further = self.sections.iter().map(|section| section());
        status.sections.extend(further.filter(|(_, rows)| !rows.is_empty()));
        let status = Arc::new(status);
        self.status = Some((now, Arc::clone(&status)));
        status
    }
}
