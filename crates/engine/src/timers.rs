//! Changes that time alone causes: one table of timers, and the handlers of those that are due.
//!
//! The table is filled in one place, from the state of the parts, at the end of every input: no part sets or stops a
//! timer, so that none is ever left behind by a change of state. [`Engine::next_wakeup`] is its earliest moment.

use majordomo_core::{Cause, ComponentState, Moment, Refusal};
use majordomo_lifecycle::{DropReason, Origin, Step};

use crate::Engine;

/// The timers, in the order in which those that are due together are handled. Those after [`Timer::Probe`] are settled by
/// a look at the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The deadline of a transaction.
    Answer,
    /// The deadline of a load.
    Load,
    /// The deadline of an unload.
    Unload,
    /// The next phase of the shutdown.
    Shutdown,
    /// The end of a quarantine.
    Quarantine,
    /// The end of a component's back-off or rest.
    Restart,
    /// The idle timeout of a component.
    Idle,
    /// Idle memory is given back.
    Trim,
    /// Uses that no command has reported become one.
    Uses,
    /// Preloads expire: they are looked at with every input.
    Expiry,
    /// The hints that follow from a command are made.
    Hints,
    /// A health probe.
    Probe,
    /// Leases of a draining component are revoked.
    Revoke,
    /// Cells changed while they were looked at, or a holder's time ends.
    LookAgain,
    /// The next round of relief from pressure or overdraft.
    Relief,
    /// A delayed hint.
    Proposal,
    /// The deadline of an operator's request.
    Operator,
    /// Something that blocks a waiting transaction ends by itself.
    Retry,
    /// A waiting transaction may not be overtaken any more.
    Overtaking,
    /// The tier of a waiting transaction rises.
    Ageing,
    /// The head of the queue has waited long enough for leases.
    Patience,
    /// A component was not used for its `idle_park`.
    IdlePark,
}

impl Timer {
    const ALL: [Self; 22] = [
        Self::Answer,
        Self::Load,
        Self::Unload,
        Self::Shutdown,
        Self::Quarantine,
        Self::Restart,
        Self::Idle,
        Self::Trim,
        Self::Uses,
        Self::Expiry,
        Self::Hints,
        Self::Probe,
        Self::Revoke,
        Self::LookAgain,
        Self::Relief,
        Self::Proposal,
        Self::Operator,
        Self::Retry,
        Self::Overtaking,
        Self::Ageing,
        Self::Patience,
        Self::IdlePark,
    ];
}

/// The next moment of each timer.
#[derive(Clone, Debug)]
pub(crate) struct TimerTable([Moment; Timer::ALL.len()]);

impl Default for TimerTable {
    fn default() -> Self {
        Self([Moment::NEVER; Timer::ALL.len()])
    }
}

impl TimerTable {
    /// Arms a timer, unless it is armed for an earlier moment.
    fn arm(&mut self, timer: Timer, at: impl Into<Option<Moment>>) {
        if let Some(at) = at.into() {
            let slot = &mut self.0[timer as usize];
            *slot = (*slot).min(at);
        }
    }

    fn is_due(&self, timer: Timer, now: Moment) -> bool {
        self.0[timer as usize] <= now
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.0.iter().min().copied().filter(|t| *t != Moment::NEVER)
    }
}

impl Engine {
    /// When `handle` must be called at the latest, with a tick if nothing else happens.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// The timers of the state as it is.
    pub(crate) fn arm_timers(&self) -> TimerTable {
        let mut timers = TimerTable::default();
        timers.arm(Timer::LookAgain, self.look_again);
        timers.arm(Timer::Relief, self.relief.next());
        timers.arm(Timer::Uses, self.attribution.next());
        timers.arm(Timer::Hints, self.hints.expected_at(self.config().speculation.delay));
        timers.arm(Timer::Operator, self.operator_waiters.iter().map(|w| w.deadline).min());
        if self.may_preload() {
            timers.arm(Timer::Proposal, self.hints.preloader().next_wakeup(self.now));
        }
        if self.may_trim_idle() {
            timers.arm(Timer::Trim, self.idleness.next());
        }
        timers.arm(Timer::Shutdown, self.ending.as_ref().map(crate::shutdown::Ending::next));
        self.arm_transaction_timers(&mut timers);
        self.arm_component_timers(&mut timers);
        timers
    }

    /// A timer that only a look at the queue settles is due once: at the first input that has reached it.
    fn once(&self, at: Option<Moment>) -> Option<Moment> {
        at.filter(|t| *t > self.now)
    }

    fn arm_transaction_timers(&self, timers: &mut TimerTable) {
        let queue = &self.config().queue;
        for t in self.scheduler.transactions() {
            if t.origin != Origin::Adopted {
                timers.arm(Timer::Answer, t.deadline);
            }
            if !t.is_active() {
                timers.arm(Timer::Retry, self.once(t.retry_at));
                let blocked = t.blocked_since.filter(|_| t.overtaken < queue.max_overtakes);
                timers.arm(Timer::Overtaking, self.once(blocked.map(|s| s + queue.overtake_for)));
                timers.arm(Timer::Ageing, self.once(t.next_ageing(self.now, queue)));
            }
        }
    }

    fn arm_component_timers(&self, timers: &mut TimerTable) {
        let queue = &self.config().queue;
        let runs_on = self.ending.is_none();
        let waits = self.scheduler.transactions().any(|t| !t.is_active());
        for (_, e) in self.scheduler.entries() {
            timers.arm(Timer::Load, e.load_deadline());
            timers.arm(Timer::Unload, e.unload_deadline());
            timers.arm(Timer::Revoke, e.revokes_at());
            // A shutdown restarts nothing and waits for no idle time.
            if runs_on && e.may_restart() {
                timers.arm(Timer::Restart, e.restart().due());
            }
            match e.state() {
                ComponentState::Ready => {
                    timers.arm(Timer::Probe, e.probes().next());
                    if waits {
                        let patience = e.awaited_since().map(|s| s + queue.drain_after);
                        timers.arm(Timer::Patience, self.once(patience));
                    }
                    if runs_on {
                        timers.arm(Timer::Idle, e.idle_end());
                        timers.arm(Timer::IdlePark, self.once(e.idle_park_at()));
                    }
                }
                state if state.is_parked() && runs_on => timers.arm(Timer::Idle, e.idle_end()),
                ComponentState::Quarantined { until } => timers.arm(Timer::Quarantine, until),
                _ => {}
            }
        }
    }

    /// Handles the timers that are due, each with what the ones before it brought about.
    pub(crate) fn run_timers(&mut self, step: &mut Step<'_>) {
        // A timer was due for what only a look at the queue settles.
        let is_awaited = self.timers.next().is_some_and(|t| t <= step.now);
        let mut timers = self.arm_timers();
        for timer in Timer::ALL {
            // A shutdown moves on, and preloads expire, with every input.
            let always = matches!(timer, Timer::Shutdown | Timer::Expiry);
            if (always || timers.is_due(timer, step.now)) && self.fire(timer, step) {
                timers = self.arm_timers();
            }
        }
        if is_awaited {
            self.scheduler.touch();
        }
    }

    /// Handles a timer; returns whether that may have armed others.
    fn fire(&mut self, timer: Timer, step: &mut Step<'_>) -> bool {
        match timer {
            Timer::Answer => self.expire_transactions(step),
            Timer::Load => self.expire_loads(step),
            Timer::Unload => self.scheduler.expire_unloads(step),
            Timer::Shutdown if self.ending.is_some() => self.advance_shutdown(step),
            Timer::Quarantine => self.scheduler.end_quarantines(step),
            Timer::Restart => self.restart_due(step),
            Timer::Idle => self.unload_idle(step),
            Timer::Trim => self.trim_idle(step),
            Timer::Uses => self.attribute_open_uses(step),
            Timer::Expiry => {
                self.expire_preloads(step);
                return false;
            }
            Timer::Hints => self.make_hints(step.now),
            Timer::Probe => self.probe_due(step),
            _ => return false,
        }
        true
    }

    fn expire_transactions(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let late: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.deadline <= now && t.origin != Origin::Adopted)
            .map(|t| t.id)
            .collect();
        for id in late {
            if self.grant_ready_part(id, step) {
                continue;
            }
            let Some(txn) = self.scheduler.transaction(id) else { continue };
            let is_ready =
                |k: &&majordomo_core::ComponentKey| self.state(**k) == ComponentState::Ready;
            let missing = txn.closure.iter().filter(|k| !is_ready(k));
            let missing = missing.chain(txn.requested.iter().filter(is_ready));
            let refusal = Refusal::DeadlineExceeded {
                waited: now.since(txn.since),
                missing: missing.map(|k| self.catalog().id(*k).clone()).collect(),
                holders: txn.holders.clone(),
                still_loading: self.still_loading(&txn.closure, now),
            };
            self.end(id, &DropReason::Refused(refusal), step);
        }
    }

    fn expire_loads(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for key in self.scheduler.keys_where(|e| e.load_deadline().is_some_and(|t| t <= now)) {
            // The refusal of one load's waiters may have cancelled the other.
            if !self.state(key).is_loading() {
                continue;
            }
            if self.state(key).is_waking() {
                self.fall_through(key, Cause::WakeTimedOut, step);
                continue;
            }
            let refusal = self.load_failure(key, Cause::LoadTimedOut.to_string());
            self.scheduler.cancel_load(key, Cause::LoadTimedOut, step);
            self.refuse_dependents(key, &refusal, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_its_own_slot() {
        for (i, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, i, "{timer:?}");
        }
    }

    #[test]
    fn earliest_moment_of_a_timer_counts() {
        let mut timers = TimerTable::default();
        assert_eq!(timers.next(), None);
        timers.arm(Timer::Load, Moment(7));
        timers.arm(Timer::Load, Moment(9));
        timers.arm(Timer::Idle, None);
        assert_eq!(timers.next(), Some(Moment(7)));
        assert!(timers.is_due(Timer::Load, Moment(7)) && !timers.is_due(Timer::Load, Moment(6)));
        assert!(!timers.is_due(Timer::Idle, Moment(u64::MAX - 1)));
    }
}
