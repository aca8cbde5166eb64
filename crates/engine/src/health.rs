//! Components that fail while they run, and what a suspend means for all.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, OpId};
use majordomo_lifecycle::{Cells, Effect, Out, OutOfMemory, Then};

use crate::Engine;

/// So many failed probes in a row close a component.
const MAX_FAILED_PROBES: u8 = 3;

impl Engine {
    pub(crate) fn exited(
        &mut self,
        key: ComponentKey,
        op: OpId,
        how: String,
        out_of_memory: Option<OutOfMemory>,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let e = self.scheduler.entry(key);
        let up = matches!(e.state, ComponentState::Ready | ComponentState::Draining);
        if e.op != Some(op) || !up {
            return;
        }
        let cause = match out_of_memory {
            Some(oom) => {
                self.raise_estimate(key, oom.peak, out);
                Cause::OutOfMemory { evidence: how }
            }
            None => Cause::Exited { how },
        };
        let refusal = self.load_failure(key, cause.to_string());
        self.scheduler.lost(key, &cause, &mut self.budget, cells, out);
        self.refuse_dependents(key, &refusal, out);
    }

    pub(crate) fn health(
        &mut self,
        key: ComponentKey,
        op: OpId,
        result: Result<(), String>,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let e = self.scheduler.entry_mut(key);
        if e.op != Some(op) || e.state != ComponentState::Ready {
            return;
        }
        match result {
            Ok(()) => {
                e.failed_probes = 0;
                if std::mem::take(&mut e.probe_first) {
                    cells.reopen(key);
                    self.scheduler.touch();
                }
            }
            Err(error) => {
                e.failed_probes = e.failed_probes.saturating_add(1);
                if e.failed_probes < MAX_FAILED_PROBES {
                    if e.probe_first {
                        // Somebody may be waiting for the answer: ask again soon.
                        e.next_probe = Some(out.now + Duration::from_millis(200));
                    }
                    return;
                }
                e.probe_first = false;
                let cause = Cause::Unhealthy { error };
                let force_at = out.now + self.scheduler.grace(key, out.now);
                let refusal = self.load_failure(key, cause.to_string());
                let then = Then::Failed(cause.clone());
                self.send_group_away(key, &cause, &then, Some(force_at), cells, out);
                self.refuse_dependents(key, &refusal, out);
            }
        }
    }

    /// Deadlines start anew, what runs is probed before it is granted, and idle ages grow by the gap.
    pub(crate) fn resumed(&mut self, gap: Duration, cells: &mut dyn Cells, out: &mut Out<'_>) {
        let now = out.now;
        out.record(EventKind::Resumed {
            gap_us: u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
        });
        self.scheduler.restart_deadlines(now);
        for w in &mut self.unload_waiters {
            w.deadline = now + w.deadline.since(w.since);
            w.since = now;
        }
        for key in self.scheduler.keys_where(|e| e.state == ComponentState::Ready) {
            let probed = self.scheduler.probe_period(key).is_some();
            let e = self.scheduler.entry_mut(key);
            // Its uses lie further back by the gap, and so does the time it became ready.
            e.last_use = e.last_use.map(|t| t - gap);
            e.ready_at = e.ready_at - gap;
            e.failed_probes = 0;
            if probed {
                e.probe_first = true;
                // The fast path must not grant it before it has answered.
                cells.close(key);
                e.next_probe = None;
                if let Some(op) = e.op {
                    out.push(Effect::Probe { key, op });
                }
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.restart(now);
        }
        self.scheduler.touch();
    }
}
