//! Room for the next command: how long the next command is expected to wait for memory to come free.
//!
//! A component that is absent, and for which no memory is free, waits for the parks of its victims before its own wake or load.
//! Free memory saves that time; what is parked to keep it free waits for a wake instead. Both are seconds that the next command
//! is expected to wait, so one sum decides what is parked early, and whether a background preload may take memory that is
//! free. Invariant: a park or a preload that lowers the sum is not undone by the other.

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Moment};
use majordomo_lifecycle::{Step, Victim};
use majordomo_memory::{Budget, Need, Shortage};

use crate::Engine;
use crate::admit::{Purpose, is_present};

/// A component is likely to be next from this probability on.
const LIKELY: f64 = 0.02;

/// A component that the next command may use, and that is absent.
#[derive(Debug)]
struct Expected {
    key: ComponentKey,
    probability: f64,
    /// Its memory and that of its missing dependencies.
    need: Need,
}

/// One way to free memory, beyond those before it.
#[derive(Debug)]
struct Way {
    victims: Vec<Victim>,
    freed: Need,
    /// How long a demand waits for it, in seconds.
    enter: f64,
    /// The wait that the next command is expected to have for it, in seconds.
    loss: f64,
}

impl Way {
    fn parks(&self) -> bool {
        self.victims.iter().all(|v| v.to.is_parked())
    }
}

/// Memory that a preload takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'a> {
    pub need: &'a Need,
    pub closure: &'a [ComponentKey],
    /// How long a demand would wait for the park of the closure, in seconds.
    pub enter: f64,
}

/// The components that the next command may use, and the ways to make room for them, in the order of eviction.
#[derive(Debug)]
pub(crate) struct NextRoom {
    expected: Vec<Expected>,
    ways: Vec<Way>,
    /// Bytes that come free anyway.
    freeing: Need,
}

impl NextRoom {
    /// The parks by which the next command is expected to wait least, in order.
    pub(crate) fn worth_parking(&self, budget: &Budget) -> Vec<Vec<Victim>> {
        let waits = self.waits(budget, &Taken { need: &Need::new(), closure: &[], enter: 0.0 });
        let (mut lost, mut least, mut n_taken) = (0.0, waits[0], 0);
        for (i, way) in self.ways.iter().enumerate() {
            lost += way.loss;
            if waits[i + 1] + lost < least {
                (least, n_taken) = (waits[i + 1] + lost, i + 1);
            }
        }
        let parks = self.ways[..n_taken].iter().filter(|way| way.parks());
        parks.map(|way| way.victims.clone()).collect()
    }

    /// How much longer the next command is expected to wait for room, in seconds, beside a preload.
    pub(crate) fn added_wait(&self, preload: &Taken<'_>, budget: &Budget) -> f64 {
        let free = Taken { need: &Need::new(), ..*preload };
        self.waits(budget, preload)[0] - self.waits(budget, &free)[0]
    }

    /// The expected wait for room, in seconds, beside a preload, when the first so many ways were taken before.
    fn waits(&self, budget: &Budget, preload: &Taken<'_>) -> Vec<f64> {
        let Taken { need: taken, closure, enter } = *preload;
        let mut waits = vec![0.0; self.ways.len() + 1];
        for expected in self.expected.iter().filter(|w| !closure.contains(&w.key)) {
            let mut need = expected.need.clone();
            need.add_all(taken);
            let mut short = budget.shortage(&need, None);
            budget.relieve(&mut short, &self.freeing);
            let mut n_ways = 0;
            while !short.is_none() && n_ways < self.ways.len() {
                budget.relieve(&mut short, &self.ways[n_ways].freed);
                n_ways += 1;
            }
            let mut longest = 0.0f64;
            if !short.is_none() {
                // All ways together free too little: a park before the demand saves it no wait, but what is preloaded may be parked.
                if taken.is_empty() {
                    continue;
                }
                longest = enter;
                waits[n_ways] += expected.probability * longest;
            }
            for i in (0..n_ways).rev() {
                longest = longest.max(self.ways[i].enter);
                waits[i] += expected.probability * longest;
            }
        }
        waits
    }
}

impl Engine {
    /// The room that the next command may wait for, if any component that it is likely to use lacks memory beside `taken`.
    pub(crate) fn next_room(&self, taken: &Need, step: &mut Step<'_>) -> Option<NextRoom> {
        let expected = self.expected_next();
        let budget = self.scheduler.budget();
        let mut freeing = Need::new();
        for key in self.scheduler.keys_where(|e| e.state().is_unloading()) {
            freeing.add_all(&self.scheduler.freeing(key));
        }
        let mut largest = Need::new();
        for (pool, bytes) in expected.iter().flat_map(|w| w.need.iter()) {
            largest.add(pool, bytes.saturating_sub(largest.of(pool)));
        }
        largest.add_all(taken);
        let mut short = budget.shortage(&largest, None);
        budget.relieve(&mut short, &freeing);
        if short.is_none() {
            return None;
        }
        let leased = self.leased_now(step);
        let ways = self.ways_of_next(short, &leased, step.now);
        Some(NextRoom { expected, ways, freeing })
    }

    /// The components that the next command is likely to use, that are absent, and that fit into the budget.
    fn expected_next(&self) -> Vec<Expected> {
        let budget = self.scheduler.budget();
        let probability =
            |key: ComponentKey| f64::from(self.forecaster.values().get(key).next.get());
        let is_likely = |key: &ComponentKey| {
            probability(*key) >= LIKELY
                && !is_present(self.state(*key))
                && !self.attribution.is_current(*key)
                && self.catalog().spec(*key).is_some()
        };
        let expected = self.catalog().keys().filter(is_likely).map(|key| Expected {
            key,
            probability: probability(key),
            need: self.missing_need(&self.catalog().closure(&[key])),
        });
        let of_memory = |need: &Need| -> ByteSize {
            let in_memory = need.iter().filter(|(pool, _)| !budget.limit_of(*pool).declared);
            in_memory.map(|(_, bytes)| bytes).sum()
        };
        expected.filter(|w| of_memory(&w.need) <= budget.total()).collect()
    }

    /// The memory that a set needs beside that which is booked for its members.
    pub(crate) fn missing_need(&self, closure: &[ComponentKey]) -> Need {
        let mut need = Need::new();
        for &key in closure.iter().filter(|k| !is_present(self.state(**k))) {
            if let ComponentState::Down(rung) = self.state(key)
                && rung.is_parked()
            {
                need.add_all(&self.scheduler.needed_to_wake(key, rung).need());
                continue;
            }
            need.add(self.catalog().pool(key), self.scheduler.needs(key).load);
            need.add_all(&self.scheduler.declared_apart(key));
        }
        need
    }

    /// Components that are ready and leased.
    fn leased_now(&self, step: &mut Step<'_>) -> Vec<ComponentKey> {
        let ready = self.scheduler.keys_where(majordomo_lifecycle::Entry::is_open);
        ready.into_iter().filter(|k| self.leases_out(*k, step.cells) > 0).collect()
    }

    /// The victims that a demand would choose if parks took no time, in their order: of each, the component itself last.
    fn ways_of_next(&self, mut short: Shortage, leased: &[ComponentKey], now: Moment) -> Vec<Way> {
        let residency = self.config().memory.min_residency;
        let is_free = |key: &ComponentKey| {
            let e = self.scheduler.entry(*key);
            let was_just_loaded = !e.is_speculative() && now.since(e.ready_at()) < residency;
            let stays = e.is_fixed() || e.is_required() || leased.contains(key);
            let is_idle = e.is_open() && !was_just_loaded && !self.attribution.is_current(*key);
            (is_idle || e.state().is_parked()) && !stays
        };
        let keys: Vec<_> = self
            .catalog()
            .keys()
            .filter(|k| self.state(*k).is_alive())
            .filter(|k| self.scheduler.live_closure(*k).iter().all(is_free))
            .collect();
        let admission = self.admission();
        let candidates = admission.candidates_where_short(&keys, &short, Purpose::Other, now);
        let order = admission.eviction_order(&candidates, now);
        let victims: Vec<_> = candidates.iter().map(|(_, victims)| victims).collect();
        let mut ways = Vec::new();
        for victims in order.into_iter().map(|i| victims[i]) {
            if short.is_none() {
                break;
            }
            let mut freed = Need::new();
            victims.iter().for_each(|v| freed.add_all(&admission.freed_by(*v)));
            self.scheduler.budget().relieve(&mut short, &freed);
            let enter = admission.time_to_enter(victims, Purpose::Demand).as_secs_f64();
            let mut way = Way { victims: victims.clone(), freed, enter, loss: 0.0 };
            if way.parks() {
                way.loss = victims.iter().map(|v| self.wait_of_next(*v)).sum();
            }
            ways.push(way);
        }
        ways
    }

    /// The wait that the next command is expected to have for a component that is parked, in seconds.
    fn wait_of_next(&self, victim: Victim) -> f64 {
        let next = self.forecaster.values_with_dependents().get(victim.key).next;
        f64::from(next.get()) * self.scheduler.wait_at(victim.key, victim.to).as_secs_f64()
    }
}
