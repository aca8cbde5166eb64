//! Priming: components that are likely to be used some time are loaded once while the machine is idle, and parked, so that
//! their next use finds them a wake away.
//!
//! Speculation has one action, to raise a component to a rung: a preload raises it to ready, priming to the rung where it is
//! parked. Both gain the expected wait that they save, and displace only what loses less. A component that was primed and not
//! used rests for twice as many commands as the time before. Invariant: one component is loaded for that at a time, and only while
//! nothing else loads and no demand waits; the one before may still be on its way to be parked.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, Moment, Priority, Rung, Value};
use majordomo_lifecycle::{Origin, Request, Step, Verdict, Victim};
use majordomo_memory::{Need, demand_probability};

use crate::Engine;
use crate::admit::{Ask, is_present, keys_of};
use crate::evict::keys_of_victims;

/// The expected wait that is saved must be this share of the load that it costs.
const LEAST_GAIN: f64 = 0.01;
/// The longest rest, in commands.
const LONGEST_REST: u64 = 1 << 20;

/// The component that is primed now, and those that rest.
#[derive(Debug, Default)]
pub(crate) struct Priming {
    /// The start was requested: components that have to run are loaded first.
    started: bool,
    under_way: Option<Primed>,
    rests: BTreeMap<ComponentKey, Rest>,
}

/// A component is not primed again before this command.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: u64,
    length: u64,
}

#[derive(Debug)]
struct Primed {
    key: ComponentKey,
    to: Rung,
    /// The components that are loaded for it, and itself, dependents first.
    members: Vec<ComponentKey>,
}

impl Priming {
    /// The components that have to run are loaded, or will be before any other.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// A component was used: it may be primed at once when it is gone again.
    pub(crate) fn used(&mut self, key: ComponentKey) {
        self.rests.remove(&key);
    }

    pub(crate) fn forget(&mut self) {
        self.rests.clear();
    }

    fn rests(&self, key: ComponentKey, n_commands: u64) -> bool {
        self.rests.get(&key).is_some_and(|rest| n_commands < rest.until)
    }

    fn began(&mut self, primed: Primed, n_commands: u64) {
        let before = self.rests.get(&primed.key).map_or(0, |rest| rest.length);
        let length = (before * 2).clamp(1, LONGEST_REST);
        self.rests.insert(primed.key, Rest { until: n_commands + length, length });
        self.under_way = Some(primed);
    }
}

impl Engine {
    /// Whether a component is loaded now only to be parked.
    pub(crate) fn is_priming(&self) -> bool {
        self.priming.under_way.is_some()
    }

    /// Begins to prime a component, or parks the one that was loaded for that.
    pub(crate) fn prime(&mut self, step: &mut Step<'_>) {
        if let Some(primed) = self.priming.under_way.take() {
            if self.ending.is_none() {
                self.end_priming(primed, step);
            }
            return;
        }
        if !self.may_prime(step.now) {
            return;
        }
        for (key, to) in self.worth_priming(step.now) {
            if let Some(primed) = self.try_prime(key, to, step) {
                let n_commands = self.forecaster.model().n_observed();
                self.priming.began(primed, n_commands);
                return;
            }
        }
    }

    fn may_prime(&self, now: Moment) -> bool {
        let preloader = self.hints.preloader();
        self.scheduler.offers_rungs()
            && self.priming.started
            // Before the first command nothing is known to be likely.
            && self.forecaster.model().n_observed() > 0
            && self.may_preload()
            && self.is_idle(now)
            && self.has_preload_lane(now)
            // Preloads come first.
            && self.hints.expected_at(Duration::ZERO).is_none()
            && preloader.next_wakeup(now).is_none()
    }

    /// Components that are worth a load while the machine is idle, and where each is parked: those first that save most for
    /// each second of their load. Time is short on an idle machine, and memory is not.
    fn worth_priming(&self, now: Moment) -> Vec<(ComponentKey, Rung)> {
        let n_commands = self.forecaster.model().n_observed();
        let is_candidate = |key: &ComponentKey| {
            self.state(*key) == ComponentState::UNLOADED
                && self.catalog().spec(*key).is_some()
                && !self.attribution.is_current(*key)
                && !self.scheduler.is_never_evicted(*key)
                && !self.priming.rests(*key, n_commands)
        };
        let mut found = Vec::new();
        for key in self.catalog().keys().filter(is_candidate) {
            let value = self.forecaster.value(key);
            if self.displaces_more_by_conflict(key, value) {
                continue;
            }
            let load = self.scheduler.load_time(key);
            let saved = |to: &Rung| load.saturating_sub(self.scheduler.wait_at(key, *to));
            let offered = self.scheduler.entry(key).parking().offered();
            let offered = offered.filter(|to| self.may_be_parked_after_load(key, *to, now));
            let Some(to) = offered.max_by_key(|to| (saved(to), std::cmp::Reverse(*to))) else {
                continue;
            };
            let gain = demand_probability(value) * saved(&to).as_secs_f64();
            if gain > LEAST_GAIN * load.as_secs_f64() {
                found.push((gain / load.as_secs_f64().max(1e-6), key, to));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.into_iter().map(|(_, key, to)| (key, to)).collect()
    }

    /// Whether nothing is known now that would keep a component, with what is loaded for it, from being parked after its load.
    /// A park of priming writes at most half of what may be written: the rest is for demands.
    fn may_be_parked_after_load(&self, key: ComponentKey, to: Rung, now: Moment) -> bool {
        let quarantine = &self.config().quarantine;
        let closure = self.catalog().closure(&[key]);
        let loaded = closure.iter().filter(|k| self.state(**k) == ComponentState::UNLOADED);
        let swap = loaded.map(|k| self.scheduler.held_after_load(*k, to).of(Need::SWAP)).sum();
        let mut in_swap = Need::new();
        in_swap.add(Need::SWAP, swap);
        !self.scheduler.entry(key).parking().is_given_up(now, quarantine)
            && self.scheduler.frees_at(key, to)
            && self.scheduler.budget().shortage(&in_swap, None).is_none()
            && self.scheduler.may_write().is_none_or(|left| swap <= left.scaled(0.5))
    }

    /// Whether a component conflicts with one that is alive and worth more.
    fn displaces_more_by_conflict(&self, key: ComponentKey, value: Value) -> bool {
        let is_worth_more = |other: ComponentKey| {
            self.state(other).is_alive()
                && demand_probability(self.forecaster.value(other)) > demand_probability(value)
        };
        self.catalog().conflicts(key).iter().any(|c| is_worth_more(c.with))
    }

    fn try_prime(&mut self, key: ComponentKey, to: Rung, step: &mut Step<'_>) -> Option<Primed> {
        let closure = self.catalog().closure(&[key]);
        let confidence = self.forecaster.values().get(key).reuse;
        let origin = Origin::Speculation { confidence };
        let ask = Ask { raises_to: Some(to), ..Ask::new(None, origin, &closure, None) };
        let mut leased = BTreeMap::new();
        let admitted = loop {
            let Verdict::Start(admitted) = self.admission().admit(ask, &leased, step.now) else {
                return None;
            };
            // A load that is not used at once is not worth another component's place, only a park.
            let parks = admitted.victims.iter().all(|v| v.to.is_parked());
            let is_free = |k: ComponentKey| {
                self.state(k) == ComponentState::UNLOADED && !self.scheduler.is_never_evicted(k)
            };
            if !parks || !admitted.reserve.iter().all(|r| is_free(r.key)) {
                return None;
            }
            let in_use = self.close_all(keys_of_victims(&admitted.victims), step.cells);
            if in_use.is_empty() {
                break admitted;
            }
            leased.extend(in_use);
        };
        let mut members = keys_of(&admitted.reserve);
        members.sort_by_key(|k| std::cmp::Reverse(self.catalog().rank(*k)));
        let priority = self.catalog().spec(key).map_or(Priority::Low, |s| s.priority);
        let deadline = step.now + self.patience(key);
        let request = Request::whole(origin, vec![key], priority, deadline);
        let id = self.scheduler.submit(request, step.now);
        self.record_victims(&admitted.victims, key, Some((ask, &members)), step);
        for &victim in &admitted.victims {
            self.evict_one(victim, origin.eviction_cause(), Some(id), step);
        }
        self.scheduler.activate(id, admitted, step);
        Some(Primed { key, to, members })
    }

    /// Parks what was loaded, once it is ready and if no demand has it.
    fn end_priming(&mut self, primed: Primed, step: &mut Step<'_>) {
        let state = self.state(primed.key);
        if is_present(state) && state != ComponentState::Ready {
            self.priming.under_way = Some(primed);
            return;
        }
        for &key in &primed.members {
            let e = self.scheduler.entry(key);
            if e.is_open() && e.is_unrequested() && self.may_park_now(key, primed.to, step.now) {
                let victims = vec![Victim { key, to: primed.to }];
                self.evict_all_if_idle(key, victims, &Cause::Primed, step);
            }
        }
    }

    /// Whether a component without live dependents may be parked at a rung, leases apart.
    fn may_park_now(&self, key: ComponentKey, to: Rung, now: Moment) -> bool {
        let group = self.scheduler.live_closure(key);
        let others = group.iter().filter(|k| **k != key);
        let needs_none =
            |k: &ComponentKey| self.state(*k).is_parked() || self.state(*k).is_unloading();
        others.into_iter().all(needs_none) && self.admission().parks(key, to, now)
    }
}
