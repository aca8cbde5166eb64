//! Components that fail while they run, and what a suspend means for all.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, EventKind, IncarnationId};
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
    pub(crate) fn exited(&mut self, id: IncarnationId, exit: Exit, step: &mut Step<'_>) {
        let key = id.key;
        let e = self.scheduler.entry(key);
        if !self.scheduler.is_current(id) {
            return;
        }
        if e.state().is_on_the_ladder() {
            return self.ended_on_the_ladder(id, exit, step);
        }
        if !e.is_up() {
            return;
        }
        let ran = step.now.since(e.ready_at());
        let is_ok = |code: &i32| {
            let spec = e.spec();
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
        id: IncarnationId,
        result: Result<(), String>,
        step: &mut Step<'_>,
    ) {
        if !self.scheduler.is_current(id) {
            return;
        }
        let key = id.key;
        let e = self.scheduler.entry_mut(key);
        let is_outdated = e.probes_mut().answered();
        if e.state() != ComponentState::Ready {
            return;
        }
        match result {
            Ok(()) => self.healthy(key, step),
            Err(error) => {
                let rule = e.spec().map(|s| s.probe_rule()).unwrap_or_default();
                let gated = e.probes().is_gated();
                if e.probes_mut().failed(step.now) < rule.failures {
                    if gated {
                        // A demand may be waiting for the answer: ask again soon.
                        e.probes_mut().schedule(Some(step.now + PROBE_AGAIN));
                    }
                    return;
                }
                if rule.while_leased == WhileLeased::Report
                    && (is_outdated || !self.close_unleased(key, step.cells))
                {
                    self.report_failing(key, error, step);
                } else {
                    self.unhealthy(key, error, step);
                }
            }
        }
    }

    fn healthy(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let recovery = self.scheduler.entry_mut(key).probes_mut().succeeded();
        if recovery.was_failing {
            step.record(EventKind::ProbeRecovered { component: key });
        }
        if recovery.was_gated {
            step.cells.reopen(key);
            self.scheduler.touch();
        }
    }

    /// Takes a component out of service whose probes failed.
    fn unhealthy(&mut self, key: ComponentKey, error: String, step: &mut Step<'_>) {
        self.scheduler.entry_mut(key).probes_mut().open_gate();
        let cause = Cause::Unhealthy { error };
        let is_bad_wake = self.scheduler.entry(key).parking().is_on_probation(step.now);
        if is_bad_wake {
            self.scheduler.step_failed(key, step);
        }
        let force_at = step.now + self.scheduler.grace(key, step.now);
        let refusal = self.load_failure(key, cause.to_string());
        // The wake failed, not the component: a demand loads it cold.
        if is_bad_wake {
            let then = if self.scheduler.must_run(key) { Then::Reload } else { Then::Unloaded };
            self.remove_with_dependents(key, &cause, &then, Some(force_at), step);
            return self.plan_again(key, step);
        }
        let then = Then::Failed(cause.clone());
        self.remove_with_dependents(key, &cause, &then, Some(force_at), step);
        self.refuse_dependents(key, &refusal, step);
    }

    /// Keeps a component up that fails its probes under leases, and asks to hear of their end.
    fn report_failing(&mut self, key: ComponentKey, error: String, step: &mut Step<'_>) {
        let every = self.scheduler.probe_period(key);
        let probes = self.scheduler.entry_mut(key).probes_mut();
        if probes.is_gated() {
            probes.schedule(every.map(|p| step.now + p.max(PROBE_AGAIN)));
        }
        if let Some(failures) = probes.report_failing(error.clone()) {
            step.record(EventKind::ProbeFailing { component: key, failures, error });
        }
        self.await_last_lease(key, step);
    }

    /// A lease ended: the components that stay up only because they are leased are looked at again.
    pub(crate) fn recheck_failing(&mut self, step: &mut Step<'_>) {
        let failing = |e: &majordomo_lifecycle::Entry| {
            e.probes().failing().is_some() && e.state() == ComponentState::Ready
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
        let probes = self.scheduler.entry_mut(key).probes_mut();
        if is_leased {
            probes.leased();
        } else if probes.unleased() {
            self.ask_probe(key, step);
        }
    }

    /// Members of the live group that have a cell.
    fn published_group(&self, key: ComponentKey) -> Vec<ComponentKey> {
        let published = |k: &ComponentKey| {
            matches!(self.state(*k), ComponentState::Ready | ComponentState::Draining)
        };
        self.scheduler.live_closure(key).into_iter().filter(published).collect()
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

    pub(crate) fn probe_due(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for key in self.scheduler.keys_where(|e| {
            e.state() == ComponentState::Ready && e.probes().next().is_some_and(|t| t <= now)
        }) {
            let every = self.scheduler.probe_period(key);
            let e = self.scheduler.entry_mut(key);
            let next = every.map(|p| now + p.max(Duration::from_millis(1)));
            e.probes_mut().schedule(next);
            self.ask_probe(key, step);
        }
    }

    /// Has a component probed now.
    pub(crate) fn ask_probe(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let Some(id) = self.scheduler.incarnation(key) else { return };
        self.scheduler.entry_mut(key).probes_mut().asked();
        step.push(Effect::Probe { id });
    }

    /// Deadlines start again, running components are probed before they are granted, and idle ages grow by the gap.
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
        for key in self.scheduler.keys_where(|e| e.state() == ComponentState::Ready) {
            let probed = self.scheduler.probe_period(key).is_some();
            let e = self.scheduler.entry_mut(key);
            e.shift_back(gap);
            e.probes_mut().resumed(probed);
            if probed {
                // The fast path must not grant it before it has answered.
                step.cells.close(key);
                self.ask_probe(key, step);
            }
        }
        // Its idle timeout runs on while it is parked.
        for key in self.scheduler.keys_where(|e| e.state().is_parked()) {
            self.scheduler.entry_mut(key).shift_back(gap);
        }
        if let Some(ending) = &mut self.ending {
            ending.restart(now);
        }
        self.scheduler.touch();
    }
}
