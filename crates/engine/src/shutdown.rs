//! The shutdown: refuse, wait a little for demanded loads and leases, revoke, stop in waves, kill, report.

use std::time::Duration;

use majordomo_core::{Cause, ComponentState, EventKind, Moment, Refusal};
use majordomo_lifecycle::{DropReason, Effect, Phase, Step, Then};

use crate::Engine;

/// The rest of the deadline, at most, when everything still alive is killed.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    deadline: Duration,
    /// Demanded loads may go on until here.
    loads_until: Moment,
    /// Leases may be held until here.
    leases_until: Moment,
    /// From here on components are killed without another request to stop.
    kill_at: Moment,
    end: Moment,
    loads_ended: bool,
    killed: bool,
    done: bool,
}

impl Ending {
    fn new(now: Moment, deadline: Duration) -> Self {
        let end = now + deadline;
        Self {
            deadline,
            loads_until: now + deadline / 5,
            leases_until: now + deadline / 2,
            kill_at: end - LAST_CALL.min(deadline / 10),
            end,
            loads_ended: false,
            killed: false,
            done: false,
        }
    }

    /// No more patience: the last second starts now.
    fn hasten(&mut self, now: Moment) {
        self.deadline = self.deadline.min(LAST_CALL);
        self.end = self.end.min(now + self.deadline);
        for moment in [&mut self.loads_until, &mut self.leases_until, &mut self.kill_at] {
            *moment = now.min(*moment);
        }
    }

    pub(crate) fn next(&self) -> Moment {
        if self.done {
            Moment::NEVER
        } else if !self.loads_ended {
            self.loads_until
        } else if !self.killed {
            self.kill_at
        } else {
            self.end
        }
    }

    /// Starts the whole deadline again after a suspend.
    pub(crate) fn restart(&mut self, now: Moment) {
        let (loads_ended, killed, done) = (self.loads_ended, self.killed, self.done);
        *self = Self { loads_ended, killed, done, ..Self::new(now, self.deadline) };
    }
}

impl Engine {
    /// Whether shutdown has begun.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether shutdown has ended: no further effect will come.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.ending.is_some_and(|e| e.done)
    }

    pub(crate) fn begin_shutdown(&mut self, deadline: Duration, step: &mut Step<'_>) {
        if let Some(ending) = &mut self.ending {
            if !ending.done {
                ending.hasten(step.now);
                self.scheduler.set_last_call(Some(ending.kill_at));
            }
            return;
        }
        step.record(EventKind::ShutdownStarted);
        let deadline = deadline.max(Duration::from_millis(10));
        let ending = Ending::new(step.now, deadline);
        self.scheduler.set_last_call(Some(ending.kill_at));
        self.ending = Some(ending);
        self.hints.preloader_mut().retain(|_| false);
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.phase != Phase::Loading || t.origin.waiter().is_none())
            .map(|t| t.id)
            .collect();
        for id in ids {
            self.end(id, &DropReason::Refused(Refusal::ShuttingDown), step);
        }
        self.scheduler.cancel_restarts();
        self.advance_shutdown(step);
    }

    /// Moves the shutdown on to the phase that its clock says.
    pub(crate) fn advance_shutdown(&mut self, step: &mut Step<'_>) {
        let Some(ending) = self.ending.filter(|e| !e.done) else { return };
        let now = step.now;
        if now >= ending.loads_until && !ending.loads_ended {
            let ids: Vec<_> = self.scheduler.transactions().map(|t| t.id).collect();
            for id in ids {
                self.end(id, &DropReason::Refused(Refusal::ShuttingDown), step);
            }
            if let Some(e) = &mut self.ending {
                e.loads_ended = true;
            }
        }
        for key in self.scheduler.keys_where(|e| e.state().is_loading() && !e.is_required()) {
            self.scheduler.cancel_load(key, Cause::Shutdown, step);
        }
        let idle = |e: &majordomo_lifecycle::Entry| {
            !e.is_required()
                && matches!(e.state(), ComponentState::Ready | ComponentState::Draining)
        };
        for key in self.scheduler.keys_where(idle) {
            // A provider of something that still loads waits for it.
            let group = self.scheduler.live_closure(key);
            if group.iter().all(|k| !self.scheduler.entry(*k).is_required()) {
                let until = ending.leases_until;
                self.remove_with_dependents(
                    key,
                    &Cause::Shutdown,
                    &Then::Unloaded,
                    Some(until),
                    step,
                );
            }
        }
        let ends_now = |e: &majordomo_lifecycle::Entry| {
            e.state().is_on_the_ladder() && (!e.is_required() || now >= ending.kill_at)
        };
        for key in self.scheduler.keys_where(ends_now) {
            self.scheduler.end_on_the_ladder(key, Cause::Shutdown, Then::Unloaded, step);
        }
        self.scheduler.progress_removals(step);
        if now >= ending.kill_at && !ending.killed {
            self.scheduler.force_removals(step);
            let late = self.scheduler.keys_where(|e| e.state().is_unloading());
            if !late.is_empty() {
                step.record(EventKind::ShutdownKills { components: late.clone() });
            }
            for key in late {
                if let Some(id) = self.scheduler.incarnation(key) {
                    step.push(Effect::Kill { id });
                }
            }
            if let Some(e) = &mut self.ending {
                e.killed = true;
            }
        }
    }

    /// Reports the end when everything is down, or time is up.
    pub(crate) fn finish_shutdown(&mut self, step: &mut Step<'_>) {
        let Some(ending) = self.ending.filter(|e| !e.done) else { return };
        let alive = self.scheduler.keys_where(|e| {
            e.state().is_parked()
                || matches!(
                    e.state(),
                    ComponentState::Queued { .. }
                        | ComponentState::Loading { .. }
                        | ComponentState::Ready
                        | ComponentState::Draining
                        | ComponentState::Unloading { .. }
                )
        });
        if !alive.is_empty() && step.now < ending.end {
            return;
        }
        self.scheduler.give_up_unloads(step);
        let stuck = self.scheduler.keys_where(|e| e.state() == ComponentState::Stuck);
        self.finish_operator_waiters(step);
        step.record(EventKind::ShutdownDone { stuck: stuck.clone() });
        step.push(Effect::ShutdownDone { stuck });
        if let Some(e) = &mut self.ending {
            e.done = true;
        }
    }
}
