//! What time alone brings about, and when the engine wants to be called next.

use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, Moment, Priority, Refusal};
use majordomo_lifecycle::{CloseAnswer, DropReason, Origin, Request, Step};

use crate::Engine;

impl Engine {
    /// When `handle` must be called at the latest, with a tick if nothing else happens.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Moment> {
        self.wake
    }

    pub(crate) fn find_wakeup(&self) -> Option<Moment> {
        if self.is_down() {
            return None;
        }
        let queue = &self.config().queue;
        let mut next = Moment::NEVER;
        let mut at = |t: Option<Moment>| next = next.min(t.unwrap_or(Moment::NEVER));
        at(self.look_again);
        at(self.relief.next());
        at(self.next_foreseen());
        at(self.ending.as_ref().map(crate::shutdown::Ending::next));
        at(self.operator_waiters.iter().map(|w| w.deadline).min());
        // What only a look at the queue settles is due once: at the first call that has reached it.
        let once = |t: Option<Moment>| t.filter(|t| *t > self.now);
        let waits = self.scheduler.transactions().any(|t| !t.is_active());
        for t in self.scheduler.transactions().filter(|t| t.origin != Origin::Adopted) {
            at(Some(t.deadline));
        }
        for t in self.scheduler.transactions().filter(|t| !t.is_active()) {
            at(once(t.retry_at));
            // The moment from which nobody overtakes it; ageing can only matter among several.
            at(once(
                t.blocked_since
                    .filter(|_| t.overtaken < queue.max_overtakes)
                    .map(|s| s + queue.overtake_for),
            ));
            at(once(t.next_ageing(self.now, queue)));
        }
        for (_, e) in self.scheduler.entries() {
            // A shutdown restarts nothing and waits for no idle time.
            at(e.restart().due().filter(|_| self.ending.is_none() && e.may_restart()));
            at(e.load_deadline());
            at(e.unload_deadline());
            at(e.revokes_at());
            if e.state() == ComponentState::Ready {
                at(e.probes().next());
                at(once(e.awaited_since().filter(|_| waits).map(|s| s + queue.drain_after)));
                at(e.idle_end().filter(|_| self.ending.is_none()));
            }
            if let ComponentState::Quarantined { until } = e.state() {
                at(Some(until));
            }
        }
        (next != Moment::NEVER).then_some(next)
    }

    pub(crate) fn timers(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        self.expire_transactions(step);
        self.expire_loads(step);
        self.scheduler.expire_unloads(step);
        self.advance_shutdown(step);
        self.scheduler.end_quarantines(step);
        if self.ending.is_none() {
            self.restart_due(step);
            self.unload_idle(step);
            self.trim_idle(step);
        }
        self.tell_untold(step);
        self.expire_preloads(step);
        self.foresee(now);
        self.probe_due(step);
        if self.wake.is_some_and(|t| t <= now) {
            // Something is due that only a look at the queue can settle.
            self.scheduler.touch();
        }
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
            let missing = txn
                .closure
                .iter()
                .filter(|k| self.scheduler.entry(**k).state() != ComponentState::Ready)
                .chain(
                    txn.wanted
                        .iter()
                        .filter(|k| self.scheduler.entry(**k).state() == ComponentState::Ready),
                )
                .map(|k| self.catalog().id(*k).clone())
                .collect();
            let refusal = Refusal::DeadlineExceeded {
                waited: now.since(txn.since),
                missing,
                holders: txn.holders.clone(),
                still_loading: self.still_loading(&txn.closure, now),
            };
            self.end(id, &DropReason::Refused(refusal), step);
        }
    }

    fn expire_loads(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for key in self.scheduler.keys_where(|e| e.load_deadline().is_some_and(|t| t <= now)) {
            // Refusing those who waited for one may have cancelled the other.
            if self.state(key) != ComponentState::Loading {
                continue;
            }
            let refusal = self.load_failure(key, Cause::LoadTimedOut.to_string());
            self.scheduler.cancel_load(key, Cause::LoadTimedOut, step);
            self.refuse_dependents(key, &refusal, step);
        }
    }

    pub(crate) fn restart_due(&mut self, step: &mut Step<'_>) {
        if self.ending.is_some() {
            return;
        }
        for key in self.scheduler.take_due_restarts(step.now) {
            self.submit_alone(key, Origin::Restart, step.now);
        }
    }

    /// Enters a component into the queue that no demand asked for, with its own priority.
    pub(crate) fn submit_alone(&mut self, key: ComponentKey, origin: Origin, now: Moment) {
        let Some(spec) = self.catalog().spec(key) else { return };
        let (priority, deadline) = (spec.priority, now + self.patience(key));
        self.scheduler.submit(Request::whole(origin, vec![key], priority, deadline), now);
    }

    /// How long a load that nobody waits for may take in all: every load of its closure one after the other,
    /// and a demand's time in the queue.
    pub(crate) fn patience(&self, key: majordomo_core::ComponentKey) -> Duration {
        let closure = self.catalog().closure(&[key]);
        let loads: Duration = closure.iter().map(|k| self.scheduler.load_deadline(*k)).sum();
        self.config().deadlines.demand + loads
    }

    fn unload_idle(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for key in self.scheduler.keys_where(|e| e.state() == ComponentState::Ready) {
            if self.scheduler.entry(key).idle_end().is_none_or(|t| t > now) {
                continue;
            }
            match step.cells.try_close(key) {
                CloseAnswer::Closed => self.dismiss(key, Cause::Idle, None, step),
                // In use all the while: its idle time begins when a sweep has seen the use.
                CloseAnswer::Leased(_) => {
                    self.scheduler.entry_mut(key).restart_idle_timeout(now);
                }
            }
        }
    }

    /// Nothing was used for long: all but the most valuable goes, and is hinted at again with the next use.
    fn trim_idle(&mut self, step: &mut Step<'_>) {
        let due = self.foresight.trim.next_wakeup().is_some_and(|t| t <= step.now);
        if !due || !self.may_trim_idle() {
            return;
        }
        let tiers = self.scheduler.wanted_tiers(step.now);
        // Nobody opens the cell of one that is to be probed first.
        let may_go =
            |e: &majordomo_lifecycle::Entry| e.is_open() && !e.is_fixed() && !e.is_required();
        let mut keys = self.scheduler.keys_where(may_go);
        let leased: Vec<_> =
            keys.iter().copied().filter(|k| self.leases_out(*k, step.cells) > 0).collect();
        // What is leased holds its providers, too.
        keys.retain(|k| !self.scheduler.live_group(*k).iter().any(|m| leased.contains(m)));
        let groups: Vec<_> = keys.iter().map(|k| self.scheduler.live_group(*k)).collect();
        let mut candidates: Vec<_> =
            keys.iter().zip(&groups).map(|(k, g)| self.candidate(*k, g, &tiers)).collect();
        let values = self.values_of_groups(&candidates, &groups);
        for c in &mut candidates {
            c.size = self.scheduler.budget().booked_for(c.key);
        }
        let ranked = self.policy.rank(&candidates, &values, step.now);
        let loaded: Vec<_> =
            ranked.iter().zip(&candidates).map(|(r, c)| (r.key, c.size, r.keep)).collect();
        // All else that has memory and keeps it.
        let stays = |state: ComponentState| state.is_alive() && state != ComponentState::Unloading;
        let in_use = self
            .scheduler
            .entries()
            .filter(|(k, e)| stays(e.state()) && !keys.contains(k))
            .map(|(k, _)| self.scheduler.budget().booked_for(k))
            .sum();
        let gone =
            self.foresight.trim.plan(step.now, self.scheduler.budget().total(), in_use, &loaded);
        for &key in &gone {
            // A provider stays with the dependents that stay.
            if self.scheduler.live_group(key).iter().all(|k| gone.contains(k)) {
                self.let_idle_go(key, &Cause::Idle, step);
            }
        }
        self.scheduler.touch();
    }

    fn probe_due(&mut self, step: &mut Step<'_>) {
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

    /// CORE components, then those that are not lazy; each in a transaction of its own, so that one that
    /// fails does not hold up the others.
    pub(crate) fn start(&mut self, step: &mut Step<'_>) {
        let mut eager: Vec<_> = self
            .catalog()
            .keys()
            .filter_map(|k| self.catalog().spec(k).map(|s| (k, s.priority, s.lazy_init)))
            .filter(|(_, priority, lazy)| *priority == Priority::Core || !lazy)
            .map(|(k, priority, _)| (priority, self.catalog().rank(k), k))
            .collect();
        eager.sort_unstable();
        for (_, _, key) in eager {
            self.submit_alone(key, Origin::Startup, step.now);
        }
    }
}
