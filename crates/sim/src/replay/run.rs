//! The virtual clock and the fake loader: one user's events against one policy, by the replay protocol.
//!
//! Does not know how a policy decides. With rungs, every victim is parked that may be, before any item is unloaded, as
//! for policies that know no rungs in the product; the item that needs the room waits until its victims are parked.
//! Invariants: resident and parked items never exceed the budget; the item in use is never a victim; the policy has seen
//! no event after the current one; the quality of its predictions does not depend on the budget.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, Priority};
use majordomo_memory::{Candidate, PolicyEvent};

use super::budget::ReplayBudget;
use super::policy::{ReplayPolicy, Resident, TimerAction, View};
use super::report::{Budget, Tally};
use super::rungs::RungTable;
use super::trace::UserTrace;

/// The earliest start of a preload after its event.
const PRELOAD_DELAY_US: u64 = 100_000;

/// A way to free memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Park,
    Unload,
}

struct Replay<'a> {
    user: &'a UserTrace,
    rungs: Option<&'a RungTable>,
    /// Whether an item is parked, by key, and when it was last used.
    parked: Vec<bool>,
    last_uses: Vec<Moment>,
    /// Bytes of parked items in swap.
    swapped: u64,
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
    fn new(user: &'a UserTrace, budget: ReplayBudget, rungs: Option<&'a RungTable>) -> Self {
        let sizes = user.costs.iter().map(|c| budget.size_of(c)).collect::<Vec<_>>();
        Self {
            user,
            budget,
            resident: vec![None; sizes.len()],
            rungs,
            parked: vec![false; sizes.len()],
            last_uses: vec![Moment::ZERO; sizes.len()],
            swapped: 0,
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

    /// Bytes that a resident item has in memory, or that one has which is loaded or woken now.
    fn bytes(&self, key: ComponentKey) -> ByteSize {
        let size = self.sizes[key.index()];
        let woken = |rungs: &RungTable| size.scaled(rungs.has_when_woken());
        match self.resident[key.index()] {
            Some(r) => r.bytes,
            None if self.parked[key.index()] => self.rungs.map_or(size, woken),
            None => size,
        }
    }

    /// Bytes of an item that stay in memory when it is parked.
    fn held(&self, key: ComponentKey) -> u64 {
        self.rungs.map_or(0, |rungs| self.sizes[key.index()].scaled(rungs.stays()).0)
    }

    /// Whether an item may be parked, beside so many bytes that others are about to have in swap.
    fn may_park(&self, key: ComponentKey, swapped: u64) -> bool {
        let Some(rungs) = self.rungs else { return false };
        let room = self.budget.bytes_of_mb(rungs.swap_mb()).0;
        let writes = self.sizes[key.index()].0 - self.held(key);
        rungs.saves(&self.user.costs[key.index()]) && self.swapped + swapped + writes <= room
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
                size: r.bytes,
                worth: policy.worth(key, self.view(0).wait_if_evicted(key)),
                last_use: r.last_use,
                uses: r.uses,
                speculative: r.unused_preload,
            })
        })
        .collect()
    }

    /// The fewest victims in the policy's order that make room for `need`, and how; `None` when all items together do not.
    fn victims(
        &self,
        policy: &mut dyn ReplayPolicy,
        need: ByteSize,
        spared: &[Option<ComponentKey>],
        now: Moment,
    ) -> Option<Vec<(ComponentKey, Way)>> {
        let mut free = self.budget.total.0 - self.used;
        if free >= need.0 {
            return Some(Vec::new());
        }
        let candidates = self.candidates(policy, spared);
        let mut ranked = policy.rank(&candidates, now);
        ranked.sort_by(|a, b| a.keep.total_cmp(&b.keep).then(a.key.cmp(&b.key)));
        let mut victims = Vec::new();
        let mut swapped = 0;
        for r in &ranked {
            if !self.may_park(r.key, swapped) {
                continue;
            }
            victims.push((r.key, Way::Park));
            let held = self.held(r.key);
            swapped += self.sizes[r.key.index()].0 - held;
            free += self.bytes(r.key).0 - held;
            if free >= need.0 {
                return Some(victims);
            }
        }
        // Parked items, the least recently used first, then resident ones.
        let mut parked: Vec<_> = (0..self.parked.len()).filter(|i| self.parked[*i]).collect();
        parked.sort_by_key(|i| (self.last_uses[*i], *i));
        let parked = parked.into_iter().map(ComponentKey::from_index);
        let parked = parked.filter(|key| !spared.contains(&Some(*key)));
        for key in parked.chain(ranked.iter().map(|r| r.key)) {
            let before = victims.iter().position(|v| v.0 == key);
            let is_parked = self.parked[key.index()] || before.is_some();
            free += if is_parked { self.held(key) } else { self.bytes(key).0 };
            match before {
                Some(at) => victims[at].1 = Way::Unload,
                None => victims.push((key, Way::Unload)),
            }
            if free >= need.0 {
                return Some(victims);
            }
        }
        None
    }

    /// Frees the memory of victims; returns when that is done.
    fn evict(
        &mut self,
        policy: &mut dyn ReplayPolicy,
        victims: &[(ComponentKey, Way)],
        at: Moment,
    ) -> Duration {
        let mut takes = Duration::ZERO;
        for &(key, way) in victims {
            match (way, self.rungs) {
                (Way::Park, Some(rungs)) => {
                    takes = takes.max(rungs.enter(&self.user.costs[key.index()]));
                    self.remove(policy, key, at, true);
                    let held = self.held(key);
                    let written = self.sizes[key.index()].0 - held;
                    self.parked[key.index()] = true;
                    self.used += held;
                    self.swapped += written;
                    self.tally.parks += 1;
                    self.tally.swapped += self.budget.figure(written);
                }
                _ => {
                    self.remove(policy, key, at, true);
                    self.unpark(key);
                }
            }
        }
        takes
    }

    /// An item is parked no more; returns whether it was.
    fn unpark(&mut self, key: ComponentKey) -> bool {
        let was_parked = std::mem::replace(&mut self.parked[key.index()], false);
        if was_parked {
            let held = self.held(key);
            self.used -= held;
            self.swapped -= self.sizes[key.index()].0 - held;
        }
        was_parked
    }

    fn remove(
        &mut self,
        policy: &mut dyn ReplayPolicy,
        key: ComponentKey,
        at: Moment,
        evicted: bool,
    ) {
        let Some(r) = self.resident[key.index()].take() else { return };
        self.used -= r.bytes.0;
        self.tally.wasted += u64::from(r.unused_preload);
        if self.in_flight == Some(key) && r.ready_us > self.clock_us {
            self.loader_free_us = self.clock_us;
            self.in_flight = None;
        }
        policy.on_event(&PolicyEvent::Unloaded { key, at, evicted });
    }

    /// An item becomes resident, once the memory for it is free in so long; returns when it is ready.
    fn insert(
        &mut self,
        policy: &mut dyn ReplayPolicy,
        key: ComponentKey,
        (at, room_in): (Moment, Duration),
        speculative: bool,
    ) -> u64 {
        let (size, bytes) = (self.sizes[key.index()], self.bytes(key));
        let load_time = self.load_time(key);
        let wait = self.view(0).wait(key);
        if self.unpark(key) {
            self.tally.wakes += 1;
        } else {
            self.tally.loaded += self.budget.figure(size.0);
        }
        self.used += bytes.0;
        let ready_us = self.clock_us + (room_in + wait).as_micros() as u64;
        self.resident[key.index()] =
            Some(Resident { ready_us, last_use: at, uses: 0, unused_preload: speculative, bytes });
        let saved = load_time.saturating_sub(wait);
        // The policies of a replay know no rungs, nor waits for parks.
        let parks = Duration::ZERO;
        policy.on_event(&PolicyEvent::Loaded {
            key,
            at,
            size,
            load_time,
            saved,
            parks,
            speculative,
        });
        ready_us
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
            parked: &self.parked,
            rungs: self.rungs,
        }
    }

    /// Bytes that an item has in memory because it is parked.
    fn held_now(&self, key: ComponentKey) -> ByteSize {
        ByteSize(if self.parked[key.index()] { self.held(key) } else { 0 })
    }

    /// Starts the preload `key` if it is absent, fits, and is worth its victims.
    fn start_preload(&mut self, policy: &mut dyn ReplayPolicy, key: ComponentKey, index: usize) {
        let size = self.sizes[key.index()];
        if self.resident[key.index()].is_some() || size > self.budget.total {
            return;
        }
        let now = Moment(self.clock_us);
        let spared = [self.current, self.in_flight];
        let spared_with_own = [spared[0], spared[1], Some(key)];
        let need = self.bytes(key).saturating_sub(self.held_now(key));
        let Some(victims) = self.victims(policy, need, &spared_with_own, now) else { return };
        let keys: Vec<_> = victims.iter().map(|v| v.0).collect();
        if !policy.admits(key, &keys, &self.view(index)) {
            return;
        }
        let room_in = self.evict(policy, &victims, now);
        let ready_us = self.insert(policy, key, (now, room_in), true);
        self.tally.preloads += 1;
        self.in_flight = Some(key);
        self.loader_free_us = ready_us;
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
            None if size > self.budget.total => {
                self.tally.wait_us += load_time.as_micros() as u64;
                self.tally.loaded += self.budget.figure(size.0);
                self.current = None;
            }
            None => {
                let need = self.bytes(x).saturating_sub(self.held_now(x));
                let victims = self
                    .victims(policy, need, &[Some(x), None], at)
                    .expect("an item within the budget fits once every other item is evicted");
                let room_in = self.evict(policy, &victims, at);
                let ready_us = self.insert(policy, x, (at, room_in), false);
                self.tally.wait_us += ready_us - self.clock_us;
            }
        }
        self.last_uses[x.index()] = at;
        if let Some(r) = &mut self.resident[x.index()] {
            r.last_use = at;
            r.uses += 1;
            r.unused_preload = false;
            let rung = None;
            policy.on_event(&PolicyEvent::Used { key: x, at, uses: 1, size, load_time, rung });
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
    rungs: Option<&RungTable>,
    on_event: &mut dyn FnMut(),
) -> Tally {
    Replay::new(user, ReplayBudget::new(budget), rungs).run(policy, on_event)
}
