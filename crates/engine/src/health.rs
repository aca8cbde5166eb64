//! Components that fail while they run, and what a suspend means for all.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, OpId, ProbeFailure};
use majordomo_lifecycle::{Cells, CloseAnswer, Effect, OutOfMemory, Step, Then};
use majordomo_registry::WhileLeased;

use crate::Engine;

/// A component that has to answer a probe before it is leased again is asked again this soon.
const PROBE_AGAIN: Duration = Duration::from_millis(200);

/// How a component that was up ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub how: String,
    /// None when a signal ended it, or when the code is unknown.
    pub code: Option<i32>,
    pub out_of_memory: Option<OutOfMemory>,
}

impl Engine {
    pub(crate) fn exited(&mut self, key: ComponentKey, op: OpId, exit: Exit, step: &mut Step<'_>) {
        let e = self.scheduler.entry(key);
        let up = matches!(e.state, ComponentState::Ready | ComponentState::Draining);
        if e.op != Some(op) || !up {
            return;
        }
        let ran = step.now.since(e.ready_at);
        let is_ok = |code: &i32| {
            let spec = e.spec.as_ref();
            spec.is_some_and(|s| s.exit_ok.iter().any(|ok| i32::from(*ok) == *code))
        };
        let clean = exit.code.filter(|c| exit.out_of_memory.is_none() && is_ok(c));
        if let Some(code) = clean {
            let ran_ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
            let cause = Cause::Ended { code, ran_ms };
            let short = ran < self.config().back_off.base;
            let refusal = self.load_failure(key, cause.to_string());
            self.scheduler.ended(key, &cause, short, step);
            if short {
                // A demand that waits for it and for more would see it end again and again.
                self.refuse_dependents(key, &refusal, step);
            }
            return;
        }
        let cause = match exit.out_of_memory {
            Some(oom) => {
                self.raise_estimate(key, oom.peak, step);
                Cause::OutOfMemory { evidence: format!("it ran {}", exit.how) }
            }
            None => Cause::Exited { how: exit.how },
        };
        let refusal = self.load_failure(key, cause.to_string());
        self.scheduler.lost(key, &cause, step);
        self.refuse_dependents(key, &refusal, step);
    }

    /// A probe's answer.
    pub(crate) fn health(
        &mut self,
        key: ComponentKey,
        op: OpId,
        result: Result<(), String>,
        step: &mut Step<'_>,
    ) {
        let e = self.scheduler.entry_mut(key);
        if e.op != Some(op) {
            return;
        }
        e.probes_out = e.probes_out.saturating_sub(1);
        let is_stale = e.stale_probes > 0;
        e.stale_probes = e.stale_probes.saturating_sub(1);
        if e.state != ComponentState::Ready {
            return;
        }
        match result {
            Ok(()) => {
                e.failed_probes = 0;
                e.probed_unleased = false;
                if e.failing.take().is_some() {
                    step.record(EventKind::ProbeRecovered { component: key });
                }
                if std::mem::take(&mut e.probe_first) {
                    step.cells.reopen(key);
                    self.scheduler.touch();
                }
            }
            Err(error) => {
                if e.failed_probes == 0 {
                    e.failing_since = step.now;
                }
                e.failed_probes = e.failed_probes.saturating_add(1);
                let rule = e.spec.as_ref().map(|s| s.probe_rule()).unwrap_or_default();
                if e.failed_probes < rule.failures {
                    if e.probe_first {
                        // Somebody may be waiting for the answer: ask again soon.
                        e.next_probe = Some(step.now + PROBE_AGAIN);
                    }
                    return;
                }
                if rule.while_leased == WhileLeased::Report
                    && (is_stale || !self.close_unleased(key, step.cells))
                {
                    self.report_failing(key, error, step);
                } else {
                    self.unhealthy(key, error, step);
                }
            }
        }
    }

    /// Takes a component out of service whose probes failed.
    fn unhealthy(&mut self, key: ComponentKey, error: String, step: &mut Step<'_>) {
        self.scheduler.entry_mut(key).probe_first = false;
        let cause = Cause::Unhealthy { error };
        let force_at = step.now + self.scheduler.grace(key, step.now);
        let refusal = self.load_failure(key, cause.to_string());
        let then = Then::Failed(cause.clone());
        self.send_group_away(key, &cause, &then, Some(force_at), step);
        self.refuse_dependents(key, &refusal, step);
    }

    /// Keeps a component up that fails its probes under leases, and asks to hear of their end.
    fn report_failing(&mut self, key: ComponentKey, error: String, step: &mut Step<'_>) {
        let every = self.scheduler.probe_period(key);
        let e = self.scheduler.entry_mut(key);
        if e.probe_first {
            e.next_probe = every.map(|p| step.now + p.max(PROBE_AGAIN));
        }
        let failure = ProbeFailure {
            since: e.failing_since,
            failures: e.failed_probes,
            error: error.clone(),
        };
        let failures = e.failed_probes;
        if e.failing.replace(failure).is_none() {
            step.record(EventKind::ProbeFailing { component: key, failures, error });
        }
        self.await_last_lease(key, step);
    }

    /// A lease ended: the components that stay up only because they are leased are looked at again.
    pub(crate) fn recheck_failing(&mut self, step: &mut Step<'_>) {
        let failing = |e: &majordomo_lifecycle::Entry| {
            e.failing.is_some() && e.state == ComponentState::Ready
        };
        for key in self.scheduler.keys_where(failing) {
            self.await_last_lease(key, step);
        }
    }

    /// Asks for a notice of the next release of what keeps a failing component up; without any lease it is probed
    /// at once, and no older probe counts.
    fn await_last_lease(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let group = self.published_group(key);
        group.iter().for_each(|k| step.cells.want(*k));
        let is_leased = group.iter().any(|k| self.leases_out(*k, step.cells) > 0);
        let e = self.scheduler.entry_mut(key);
        if is_leased {
            e.probed_unleased = false;
        } else if !std::mem::replace(&mut e.probed_unleased, true) {
            e.stale_probes = e.probes_out;
            self.ask_probe(key, step);
        }
    }

    /// Members of the live group that have a cell.
    fn published_group(&self, key: ComponentKey) -> Vec<ComponentKey> {
        let published = |k: &ComponentKey| {
            matches!(self.state(*k), ComponentState::Ready | ComponentState::Draining)
        };
        self.scheduler.live_group(key).into_iter().filter(published).collect()
    }

    /// Closes a component and what depends on it to newcomers if nothing of it is leased.
    fn close_unleased(&self, key: ComponentKey, cells: &mut dyn Cells) -> bool {
        let group = self.published_group(key);
        let mut closed = Vec::new();
        for &member in &group {
            match cells.try_close(member) {
                CloseAnswer::Closed => closed.push(member),
                CloseAnswer::Leased(_) => {
                    closed
                        .into_iter()
                        .filter(|k| self.scheduler.entry(*k).is_open())
                        .for_each(|k| cells.reopen(k));
                    return false;
                }
            }
        }
        true
    }

    /// Has a component probed now.
    pub(crate) fn ask_probe(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let e = self.scheduler.entry_mut(key);
        let Some(op) = e.op else { return };
        e.probes_out = e.probes_out.saturating_add(1);
        step.push(Effect::Probe { key, op });
    }

    /// Deadlines start anew, what runs is probed before it is granted, and idle ages grow by the gap.
    pub(crate) fn resumed(&mut self, gap: Duration, step: &mut Step<'_>) {
        let now = step.now;
        step.record(EventKind::Resumed {
            gap_us: u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
        });
        self.scheduler.restart_deadlines(now);
        for w in &mut self.operator_waiters {
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
            e.failing = None;
            if probed {
                e.probe_first = true;
                // The fast path must not grant it before it has answered.
                step.cells.close(key);
                e.next_probe = None;
                self.ask_probe(key, step);
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.restart(now);
        }
        self.scheduler.touch();
    }
}
