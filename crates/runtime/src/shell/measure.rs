//! Measuring: uses, footprints, pressure, and the status made of them.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Config, Moment, OpId, Status, StatusValue};
use majordomo_engine::{Input, Usage};
use majordomo_memory::{PressureClassifier, PressureSource};

use super::carry_out::footprint_of;
use super::lanes::{Control, Lanes};
use super::{Seen, Shell};
use crate::clock::Clock;
use crate::footprint;

/// A status is made anew at most this often.
const STATUS_AGE: Duration = Duration::from_millis(50);
/// One measurement in so many is exact.
const EXACT_EVERY: u64 = 30;
/// Pressure is read this often.
const PRESSURE_PERIOD: Duration = Duration::from_secs(1);

impl Shell {
    /// Tells the engine what was used since the last sweep.
    pub(super) fn sweep(&mut self) {
        let mut rows = Vec::new();
        for (&key, seen) in &mut self.seen {
            let Some(i) = self.slots[key.index()].current() else { continue };
            let now = Seen { uses: i.cell().uses(), last_use: i.last_use() };
            if now == *seen {
                continue;
            }
            let uses = now.uses.wrapping_sub(seen.uses);
            let last_use = (now.last_use != seen.last_use).then_some(Moment(now.last_use));
            *seen = now;
            rows.push(Usage { key, op: i.op(), uses, last_use });
        }
        if !rows.is_empty() {
            self.feed(Input::Usage(rows));
        }
    }

    /// Measures every loaded component on blocking threads; one measurement of each kind at a time.
    pub(super) fn measure(&mut self) {
        let mut builtins = Vec::new();
        let mut groups = Vec::new();
        for key in self.seen.keys() {
            let Some(i) = self.slots[key.index()].current() else { continue };
            match i.instance().running() {
                Some(process) => groups.push((i.key(), i.op(), process.group().clone())),
                None => builtins.push(i),
            }
        }
        // Apart from each other: a builtin's own report may hang, and must not blind the rest.
        if !builtins.is_empty() && !self.measuring.builtins {
            self.measuring.builtins = true;
            let control = self.lanes.control();
            tokio::task::spawn_blocking(move || {
                // A panic there must not end measuring for all.
                let rows = builtins
                    .iter()
                    .filter_map(|i| Some((i.key(), i.op(), footprint_of(i.instance())?)));
                control.send(Control::Measured { own: rows.collect(), builtins: true });
            });
        }
        if !groups.is_empty() && !self.measuring.processes {
            self.measuring.processes = true;
            self.measure_processes(groups);
        }
    }

    fn measure_processes(&mut self, groups: Vec<(ComponentKey, OpId, crate::Group)>) {
        // Shared pages count once only in the exact figure, which is dear: one look in thirty.
        self.samples += 1;
        let exact = self.samples % EXACT_EVERY == 1;
        let detail = if exact { footprint::Detail::Exact } else { footprint::Detail::Quick };
        let subreaper =
            self.processes.as_ref().and_then(|p| p.subreaper()).filter(|_| exact).cloned();
        let control = self.lanes.control();
        tokio::task::spawn_blocking(move || {
            if let Some(subreaper) = subreaper {
                subreaper.reap_adopted();
            }
            let wanted: Vec<_> = groups.iter().map(|g| g.2.clone()).collect();
            let sampled = footprint::sample(&wanted, detail);
            let rows = groups.into_iter().zip(sampled);
            let own = rows.filter_map(|((key, op, _), f)| Some((key, op, f?.best()))).collect();
            control.send(Control::Measured { own, builtins: false });
        });
    }

    /// The status now; while nothing happens the same one for 50 ms.
    pub(super) fn current_status(&mut self) -> Arc<Status> {
        let now = self.clock.now();
        if let Some((at, status)) = &self.status
            && now.since(*at) < STATUS_AGE
        {
            return Arc::clone(status);
        }
        self.sweep();
        let mut status = self.engine.status(now);
        for c in &mut status.components {
            let slot =
                self.engine.catalog().key(c.id.as_str()).and_then(|k| self.slots.get(k.index()));
            c.leases = slot.and_then(|s| s.current()).map_or(0, |i| i.cell().leases());
        }
        let runtime = vec![
            ("hints_dropped".to_owned(), StatusValue::Count(self.lanes.hints_dropped())),
            ("loads_running".to_owned(), StatusValue::Count(self.running.len() as u64)),
            ("state_store".to_owned(), StatusValue::Text(self.memory.describe())),
        ];
        status.sections.insert("runtime".to_owned(), runtime);
        let status = Arc::new(status);
        self.status = Some((now, Arc::clone(&status)));
        status
    }
}

/// Reads pressure on an owned thread until the shell is gone.
pub(super) fn feel_pressure(
    mut source: Box<dyn PressureSource>,
    config: &Config,
    clock: Clock,
    lanes: &Arc<Lanes>,
) {
    let mut classifier =
        PressureClassifier::new(config.memory.pressure_profile, config.memory.pressure_dwell);
    let lanes = Arc::downgrade(lanes);
    let mut level = majordomo_core::PressureLevel::Low;
    let mut failed = false;
    tokio::spawn(async move {
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let reading = source.read();
                (source, reading)
            });
            let Ok((back, reading)) = read.await else { return };
            source = back;
            let Some(lanes) = lanes.upgrade() else { return };
            match reading {
                Ok(reading) => {
                    failed = false;
                    let now = classifier.observe(&reading, clock.now());
                    if now != level {
                        level = now;
                        lanes.control().send(Control::Engine(Box::new(Input::Pressure(level))));
                    }
                }
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!(%error, source = source.name(), "memory pressure cannot be read");
                }
                Err(_) => {}
            }
            drop(lanes);
            tokio::time::sleep(PRESSURE_PERIOD).await;
        }
    });
}

/// The budget in bytes that a setting means on a machine (or in a group) with `limit` bytes.
#[must_use]
pub fn budget_bytes(setting: majordomo_core::BudgetSetting, limit: ByteSize) -> ByteSize {
    match setting {
        majordomo_core::BudgetSetting::Bytes(bytes) => bytes,
        majordomo_core::BudgetSetting::Share(share) => limit.scaled(share.clamp(0.0, 1.0)),
    }
}
