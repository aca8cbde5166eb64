//! The virtual clock and the fake loader: one user's events against one policy, by the replay protocol.
//!
//! Does not know how a policy decides. Invariants: resident items never exceed the budget; the item in
//! use is never a victim; the policy has seen no event after the current one; the quality of its predictions
//! does not depend on the budget.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, Priority};
use majordomo_memory::{Candidate, PolicyEvent};

use super::budget::ReplayBudget;
use super::policy::{ReplayPolicy, Resident, TimerAction, View};
use super::report::{Budget, Tally};
use super::trace::UserTrace;

/// The earliest start of a preload after its event.
const PRELOAD_DELAY_US: u64 = 100_000;

struct Replay<'a> {
    user: &'a UserTrace,
    budget: ReplayBudget,
    sizes: Vec<ByteSize>,
    resident: Vec<Option<Resident>>,
    used: u64,
    clock_us: u64,
    /// The moment from which on the loader of preloads is free.
    loader_free_us: u64,
    in_flight: Option<ComponentKey>,
    queue: Vec<ComponentKey>,
    next_in_queue: usize,
    current: Option<ComponentKey>,
    tally: Tally,
}

impl<'a> Replay<'a> {
    fn new(user: &'a UserTrace, budget: ReplayBudget) -> Self {
        let sizes = user.costs.iter().map(|c| budget.size_of(c)).collect::<Vec<_>>();
        Self {
            user,
            budget,
            resident: vec![None; sizes.len()],
            sizes,
            used: 0,
            clock_us: user.events.first().map_or(0, |e| e.at_us),
            loader_free_us: 0,
            in_flight: None,
            queue: Vec::new(),
            next_in_queue: 0,
            current: None,
            tally: Tally { users: 1, ..Tally::default() },
        }
    }

    fn load_time(&self, key: ComponentKey) -> Duration {
        self.user.costs[key.index()].load_time
    }

    fn move_clock(&mut self, to_us: u64) {
        let span = to_us.saturating_sub(self.clock_us) as f64 / 1e6;
        self.tally.resident_seconds += span * self.budget.figure(self.used);
        self.tally.seconds += span;
        self.clock_us = self.clock_us.max(to_us);
    }

    fn candidates(
        &self,
        policy: &dyn ReplayPolicy,
        spared: &[Option<ComponentKey>],
    ) -> Vec<Candidate> {
        let all = self.resident.iter().enumerate();
        all.filter_map(|(i, r)| {
            let key = ComponentKey::from_index(i);
            let r = r.filter(|_| !spared.contains(&Some(key)))?;
            Some(Candidate {
                key,
                priority: Priority::Medium,
                size: self.sizes[i],
                worth: policy.worth(key, self.load_time(key)),
                last_use: r.last_use,
                uses: r.uses,
                speculative: r.unused_preload,
            })
        })
        .collect()
    }

    /// The fewest victims in the policy's order that make room for `need`; `None` when all items together do not.
    fn victims(
        &self,
        policy: &mut dyn ReplayPolicy,
        need: ByteSize,
        spared: &[Option<ComponentKey>],
        now: Moment,
    ) -> Option<Vec<ComponentKey>> {
        let mut free = self.budget.total.0 - self.used;
        if free >= need.0 {
            return Some(Vec::new());
        }
        let candidates = self.candidates(policy, spared);
        let mut ranked = policy.rank(&candidates, now);
        ranked.sort_by(|a, b| a.keep.total_cmp(&b.keep).then(a.key.cmp(&b.key)));
        let mut victims = Vec::new();
        for r in ranked {
            victims.push(r.key);
            free += self.sizes[r.key.index()].0;
            if free >= need.0 {
                return Some(victims);
            }
        }
        None
    }

    fn remove(
        &mut self,
        policy: &mut dyn ReplayPolicy,
        key: ComponentKey,
        at: Moment,
        evicted: bool,
    ) {
        let Some(r) = self.resident[key.index()].take() else { return };
        self.used -= self.sizes[key.index()].0;
        self.tally.wasted += u64::from(r.unused_preload);
        if self.in_flight == Some(key) && r.ready_us > self.clock_us {
            self.loader_free_us = self.clock_us;
            self.in_flight = None;
        }
        policy.on_event(&PolicyEvent::Unloaded { key, at, evicted });
    }

    fn insert(
        &mut self,
        policy: &mut dyn ReplayPolicy,
        key: ComponentKey,
        at: Moment,
        speculative: bool,
    ) {
        let size = self.sizes[key.index()];
        let load_time = self.load_time(key);
        self.used += size.0;
        self.tally.loaded += self.budget.figure(size.0);
        self.resident[key.index()] = Some(Resident {
            ready_us: self.clock_us + load_time.as_micros() as u64,
            last_use: at,
            uses: 0,
            unused_preload: speculative,
        });
        let saved = Duration::ZERO;
        policy.on_event(&PolicyEvent::Loaded { key, at, size, load_time, saved, speculative });
    }

    fn view(&self, index: usize) -> View<'_> {
        View {
            index,
            at_us: self.clock_us,
            current: self.current,
            budget: self.budget.total,
            resident: &self.resident,
            sizes: &self.sizes,
            costs: &self.user.costs,
        }
    }

    /// Starts the preload `key` if it is absent, fits, and is worth its victims.
    fn start_preload(&mut self, policy: &mut dyn ReplayPolicy, key: ComponentKey, index: usize) {
        let size = self.sizes[key.index()];
        if self.resident[key.index()].is_some() || size > self.budget.total {
            return;
        }
        let now = Moment(self.clock_us);
        let spared = [self.current, self.in_flight];
        let Some(victims) = self.victims(policy, size, &spared, now) else { return };
        if !policy.admits(key, &victims, &self.view(index)) {
            return;
        }
        for v in victims {
            self.remove(policy, v, now, true);
        }
        self.insert(policy, key, now, true);
        self.tally.preloads += 1;
        self.in_flight = Some(key);
        self.loader_free_us = self.clock_us + self.load_time(key).as_micros() as u64;
    }

    /// Moves the clock to `to_us`: timers and preloads in order of time, timers first.
    fn advance(&mut self, policy: &mut dyn ReplayPolicy, index: usize, to_us: u64) {
        let earliest = self.clock_us + PRELOAD_DELAY_US;
        loop {
            let timer = policy.next_timer().map(|m| m.0).filter(|t| *t < to_us);
            let preload = (self.next_in_queue < self.queue.len())
                .then(|| self.loader_free_us.max(earliest).max(self.clock_us))
                .filter(|t| *t < to_us);
            match (timer, preload) {
                (Some(t), p) if p.is_none_or(|p| t <= p) => {
                    self.move_clock(t);
                    for action in policy.fire(Moment(t), &self.view(index)) {
                        match action {
                            TimerAction::Unload(key) => self.remove(policy, key, Moment(t), false),
                            TimerAction::Preload(key) => self.queue.push(key),
                        }
                    }
                }
                (_, Some(p)) => {
                    self.move_clock(p);
                    self.in_flight = None;
                    let key = self.queue[self.next_in_queue];
                    self.next_in_queue += 1;
                    self.start_preload(policy, key, index);
                }
                _ => break,
            }
        }
        self.queue.clear();
        self.next_in_queue = 0;
        self.move_clock(to_us);
        if self.loader_free_us <= self.clock_us {
            self.in_flight = None;
        }
    }

    fn event(&mut self, policy: &mut dyn ReplayPolicy, index: usize, x: ComponentKey, at: Moment) {
        self.tally.events += 1;
        // The first event has no prediction. Every other event counts, whether the item before it fitted or not.
        if index > 0
            && let Some(rank) = policy.predicted_rank(x)
        {
            self.tally.predicted(rank);
        }
        self.current = Some(x);
        let size = self.sizes[x.index()];
        let load_time = self.load_time(x);
        policy.observe(x, at, &self.view(index));
        match self.resident[x.index()] {
            Some(r) if r.ready_us <= self.clock_us => self.tally.hits += 1,
            Some(r) => self.tally.wait_us += r.ready_us - self.clock_us,
            None => {
                self.tally.wait_us += load_time.as_micros() as u64;
                if size > self.budget.total {
                    self.tally.loaded += self.budget.figure(size.0);
                    self.current = None;
                } else {
                    let victims = self
                        .victims(policy, size, &[Some(x), None], at)
                        .expect("an item within the budget fits once every other item is evicted");
                    for v in victims {
                        self.remove(policy, v, at, true);
                    }
                    self.insert(policy, x, at, false);
                }
            }
        }
        if let Some(r) = &mut self.resident[x.index()] {
            r.last_use = at;
            r.uses += 1;
            r.unused_preload = false;
            policy.on_event(&PolicyEvent::Used { key: x, at, uses: 1, size, load_time });
        }
    }

    fn run(mut self, policy: &mut dyn ReplayPolicy, on_event: &mut dyn FnMut()) -> Tally {
        // Events of one second differ by some microseconds in the policies' clock.
        let (mut second, mut nth) = (0, 0);
        let n = self.user.events.len();
        for (index, event) in self.user.events.iter().enumerate() {
            self.advance(policy, index, event.at_us);
            (second, nth) =
                if second == event.at_us { (second, nth + 1) } else { (event.at_us, 0) };
            let at = Moment(event.at_us + 4 * nth);
            self.event(policy, index, event.item, at);
            on_event();
            if index + 1 == n {
                break;
            }
            let mut queue = std::mem::take(&mut self.queue);
            let mut touched = Vec::new();
            policy.preloads(&self.view(index), &mut queue, &mut touched);
            self.queue = queue;
            for key in touched {
                if let Some(r) = &mut self.resident[key.index()] {
                    r.last_use = r.last_use.max(at + Duration::from_micros(1));
                }
            }
        }
        let left = self.resident.iter().flatten().filter(|r| r.unused_preload).count();
        self.tally.wasted += left as u64;
        self.tally
    }
}

/// Replays one user with a policy that has seen nothing yet. `on_event` is called after every event.
pub fn replay_user(
    user: &UserTrace,
    budget: Budget,
    policy: &mut dyn ReplayPolicy,
    on_event: &mut dyn FnMut(),
) -> Tally {
    Replay::new(user, ReplayBudget::new(budget)).run(policy, on_event)
}
