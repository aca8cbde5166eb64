//! The full engine under replay: the same events, clock and costs, but every decision made by
//! `majordomo_engine::Engine` as in production.
//!
//! A use is observed, then demanded; a load ends after its load time, an unload at once, parks and wakes after the times
//! of the table of rungs. The item in use is leased until the next event. Invariant: time never decreases, and the engine receives
//! no input from the future.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentId, ComponentKey, ComponentState, Config, HintTier, IdleTrimWhen,
    IncarnationId, Moment, OpId, PolicyKind, StepId, WaiterId, WallSeconds,
};
use majordomo_engine::{
    Cells, CloseAnswer, Effect, Engine, Footprints, Input, LoadReport, Need, Offers, ParkReport,
    Sample, Usage, WakeReport,
};
use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec, OnAbandon};

use super::budget::ReplayBudget;
use super::item::ItemCost;
use super::report::Tally;
use super::rungs::RungTable;
use super::trace::UserTrace;

/// Enough lanes that no demand waits for one; preloads get one lane.
const LANES: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    op: Option<OpId>,
    leases: u32,
}

/// Lease counts by key.
#[derive(Debug)]
pub(super) struct Leases(Vec<Cell>);

impl Leases {
    /// No component is up.
    pub(super) fn new(n: usize) -> Self {
        Self(vec![Cell::default(); n])
    }

    pub(super) fn release(&mut self, key: ComponentKey) {
        let cell = &mut self.0[key.index()];
        cell.leases = cell.leases.saturating_sub(1);
    }

    pub(super) fn unloaded(&mut self, key: ComponentKey) {
        self.0[key.index()] = Cell::default();
    }
}

impl Cells for Leases {
    fn try_close(&mut self, key: ComponentKey) -> CloseAnswer {
        match self.0[key.index()].leases {
            0 => CloseAnswer::Closed,
            n => CloseAnswer::Leased(n),
        }
    }
    fn close(&mut self, _key: ComponentKey) {}
    fn reopen(&mut self, _key: ComponentKey) {}
    fn want(&mut self, _key: ComponentKey) {}
    fn revoke(&mut self, _key: ComponentKey, _why: &Cause) {}
    fn lease_n(&mut self, key: ComponentKey, n: u32) {
        self.0[key.index()].leases += n;
    }
    fn install(&mut self, id: IncarnationId, n: u32) {
        self.0[id.key.index()] = Cell { op: Some(id.op), leases: n };
    }
}

/// Work of the fake loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Load,
    Park(StepId),
    Wake(StepId),
}

struct EngineReplay<'a> {
    user: &'a UserTrace,
    budget: ReplayBudget,
    rungs: Option<&'a RungTable>,
    engine: Engine,
    cells: Leases,
    /// Key of each item, and item of each key.
    keys: Vec<ComponentKey>,
    items: Vec<usize>,
    now: Moment,
    /// Running loads, parks and wakes, by their end.
    ends: BTreeSet<(Moment, IncarnationId, Work)>,
    /// The start of the wait for each item whose load or wake has not begun.
    owed: BTreeMap<ComponentKey, Moment>,
    /// The item and the start of each wait.
    waiting: BTreeMap<WaiterId, (ComponentKey, Moment)>,
    /// Loads whose waiters have left, and the start of the wait.
    served: BTreeMap<ComponentKey, Moment>,
    next_waiter: u64,
    /// The item of the last event, and the leased item: the same, unless it was larger than the budget.
    last: Option<ComponentKey>,
    leased: Option<ComponentKey>,
    tally: Tally,
}

fn config(policy: PolicyKind, trims: bool) -> Config {
    let mut config = Config::default();
    config.memory.policy = policy;
    // Sizes are exact.
    config.memory.estimate_margin = 1.0;
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (Some(LANES), LANES - 1);
    config.idle.trim = if trims { IdleTrimWhen::Always } else { IdleTrimWhen::Never };
    config
}

impl<'a> EngineReplay<'a> {
    fn new(
        user: &'a UserTrace,
        budget: ReplayBudget,
        rungs: Option<&'a RungTable>,
        config: Config,
    ) -> Self {
        let specs: Vec<_> = user
            .costs
            .iter()
            .enumerate()
            .map(|(i, cost)| {
                let id = ComponentId::new(&format!("item-{i}")).expect("made of allowed letters");
                let loader = LoaderSpec::Builtin { factory: String::new() };
                let mut spec = ComponentSpec::new(id, loader);
                spec.memory = budget.size_of(cost);
                spec.load_time = cost.load_time;
                spec.on_abandon = OnAbandon::Finish;
                spec
            })
            .collect();
        let n = specs.len();
        let catalog = Catalog::build(specs, Vec::new(), None).expect("plain components");
        let keys: Vec<_> =
            (0..n).map(|i| catalog.key(&format!("item-{i}")).expect("just built")).collect();
        let mut items = vec![0; n];
        for (i, key) in keys.iter().enumerate() {
            items[key.index()] = i;
        }
        Self {
            engine: Engine::new(Arc::new(catalog), config, budget.total),
            cells: Leases::new(n),
            keys,
            items,
            now: Moment(user.events.first().map_or(0, |e| e.at_us)),
            ends: BTreeSet::new(),
            owed: BTreeMap::new(),
            rungs,
            waiting: BTreeMap::new(),
            served: BTreeMap::new(),
            next_waiter: 0,
            last: None,
            leased: None,
            tally: Tally { users: 1, ..Tally::default() },
            user,
            budget,
        }
    }

    fn move_clock(&mut self, to: Moment) {
        let span = to.since(self.now).as_secs_f64();
        self.tally.resident_seconds += span * self.budget.figure(self.engine.budget().booked().0);
        self.tally.seconds += span;
        self.now = self.now.max(to);
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.engine.handle(input, self.now, &mut self.cells) {
                self.carry_out(effect, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::StartLoad { id, .. } => {
                let cost = self.cost(id.key);
                self.tally.loaded += self.budget.figure(self.budget.size_of(cost).0);
                self.begin(id, Work::Load, cost.load_time);
            }
            Effect::StartPark { id, step, .. } => {
                let Some(rungs) = self.rungs else { return };
                let cost = self.cost(id.key);
                let written = self.budget.size_of(cost).scaled(1.0 - rungs.stays());
                self.tally.parks += 1;
                self.tally.swapped += self.budget.figure(written.0);
                self.begin(id, Work::Park(step), rungs.enter(cost));
            }
            Effect::StartWake { id, step, .. } => {
                let Some(rungs) = self.rungs else { return };
                self.tally.wakes += 1;
                self.begin(id, Work::Wake(step), rungs.wake(self.cost(id.key)));
            }
            Effect::CancelLoad { id, .. } => {
                self.ends.retain(|end| end.1 != id);
                self.served.remove(&id.key);
                inputs.push_back(Input::UnloadFinished { id });
            }
            Effect::StartUnload { id, .. } => {
                self.ends.retain(|end| end.1 != id);
                self.cells.unloaded(id.key);
                inputs.push_back(Input::UnloadFinished { id });
            }
            Effect::Grant { waiter, keys, .. } => {
                let since = self.waiting.remove(&waiter).map_or(self.now, |w| w.1);
                for key in keys {
                    inputs.extend(self.usage(key, since));
                    inputs.extend(self.sample(key));
                }
            }
            Effect::Refuse { waiter, .. } => {
                // An item too large for the budget counts as used and is not kept.
                self.waiting.remove(&waiter);
            }
            _ => {}
        }
    }

    fn cost(&self, key: ComponentKey) -> &'a ItemCost {
        &self.user.costs[self.items[key.index()]]
    }

    /// The loader begins work; the wait for it ends with it.
    fn begin(&mut self, id: IncarnationId, work: Work, takes: Duration) {
        let end = self.now + takes;
        self.ends.insert((end, id, work));
        if !matches!(work, Work::Park(_))
            && let Some(since) = self.owed.remove(&id.key)
        {
            self.tally.wait_us += end.since(since).as_micros() as u64;
        }
    }

    /// The report of work that has ended.
    fn report(&self, id: IncarnationId, work: Work) -> Input {
        match work {
            Work::Load => Input::LoadFinished { id, result: Ok(LoadReport::default()) },
            Work::Park(step) => {
                let stays = self.rungs.map_or(0.0, RungTable::stays);
                let size = self.budget.size_of(self.cost(id.key));
                let own = self.engine.catalog().pool(id.key);
                let mut held = Need::new();
                held.add(own, size.scaled(stays));
                held.add(Need::SWAP, size.scaled(1.0 - stays));
                Input::Parked { id, step, result: Ok(ParkReport { held, ..ParkReport::default() }) }
            }
            Work::Wake(step) => {
                let size = self.budget.size_of(self.cost(id.key));
                let swap = size.scaled(1.0 - self.rungs.map_or(1.0, RungTable::stays));
                Input::Woken { id, step, result: Ok(WakeReport { measured: None, swap }) }
            }
        }
    }

    /// The memory of an item in use: one that was woken has what its use touches.
    fn sample(&self, key: ComponentKey) -> Option<Input> {
        let rungs = self.rungs?;
        let id = IncarnationId { key, op: self.cells.0[key.index()].op? };
        let is_woken = self.engine.scheduler().entry(key).parking().is_woken();
        let has = if is_woken { rungs.has_when_woken() } else { 1.0 };
        let size = self.budget.size_of(self.cost(key));
        let in_swap = if is_woken { 1.0 - rungs.stays() } else { 0.0 };
        let sample = Sample { bytes: size.scaled(has), swap: Some(size.scaled(in_swap)) };
        let none = ByteSize::ZERO;
        let own = vec![(id, sample)];
        Some(Input::Footprints(Footprints { own, external: none, unreturned: none }))
    }

    /// The rungs on offer.
    fn offers(&self) -> Option<Offers> {
        let rungs = self.rungs?;
        let offer = |key: &ComponentKey| rungs.offer(*key, self.cost(*key));
        let swap = self.budget.bytes_of_mb(rungs.swap_mb());
        let wake_lanes = rungs.wake_lanes();
        let rungs = self.keys.iter().map(offer).collect();
        Some(Offers { swap, wake_lanes, rungs, ..Offers::default() })
    }

    fn usage(&self, key: ComponentKey, at: Moment) -> Option<Input> {
        let id = IncarnationId { key, op: self.cells.0[key.index()].op? };
        Some(Input::Usage(vec![Usage { id, uses: 1, last_use: Some(at) }]))
    }

    /// Advances the clock to `to`, with ends of loads and the engine's wake-ups in their order.
    fn advance(&mut self, to: Moment) {
        loop {
            let end = self.ends.first().copied();
            let wake = self.engine.next_wakeup().unwrap_or(Moment::NEVER);
            let next = end.map_or(Moment::NEVER, |e| e.0).min(wake);
            if next >= to {
                break;
            }
            self.move_clock(next);
            match end {
                Some((at, id, work)) if at <= self.now => {
                    self.ends.pop_first();
                    self.feed(self.report(id, work));
                    if !matches!(work, Work::Park(_))
                        && let Some(since) = self.served.remove(&id.key)
                        && let Some(usage) = self.usage(id.key, since)
                    {
                        self.feed(usage);
                    }
                }
                _ => self.feed(Input::Tick),
            }
        }
        self.move_clock(to);
    }

    /// Counts the rank of the used item in the last prediction, without the item used before.
    fn rank(&mut self, x: ComponentKey) {
        if let Some(last) = self.last.replace(x) {
            let likeliest = self.engine.sequence().likeliest(usize::MAX).into_iter();
            let mut others = likeliest.filter(|(key, _)| *key != last);
            let rank = others.position(|(key, _)| key == x);
            self.tally.predicted(rank);
        }
    }

    fn event(&mut self, x: ComponentKey) {
        self.tally.events += 1;
        self.rank(x);
        if let Some(leased) = self.leased.replace(x) {
            self.cells.release(leased);
        }
        // By the protocol, an item that is still loading counts as served: its load continues without a waiter.
        while let Some((waiter, (key, since))) = self.waiting.pop_first() {
            self.served.insert(key, since);
            self.end_unbegun_wait(key);
            self.feed(Input::Abandon { waiter });
        }
        self.feed(Input::Observed { command: None, used: vec![x], text_scores: Vec::new() });
        let load_time = self.cost(x).load_time;
        let mut begun = true;
        match self.engine.state(x) {
            ComponentState::Ready => {
                self.tally.hits += 1;
                self.cells.0[x.index()].leases += 1;
                if let Some(usage) = self.usage(x, self.now) {
                    self.feed(usage);
                }
                if let Some(sample) = self.sample(x) {
                    self.feed(sample);
                }
                return;
            }
            ComponentState::Loading { .. } => {
                let end = self.ends.iter().find(|end| end.1.key == x).map(|end| end.0);
                self.tally.wait_us += end.map_or(0, |end| end.since(self.now).as_micros() as u64);
            }
            _ if self.rungs.is_some() => begun = false,
            _ => self.tally.wait_us += load_time.as_micros() as u64,
        }
        let waiter = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        self.waiting.insert(waiter, (x, self.now));
        self.served.remove(&x);
        if !begun {
            self.owed.insert(x, self.now);
        }
        self.feed(Input::Demand {
            waiter,
            keys: vec![x],
            priority: None,
            deadline: None,
            partial: false,
        });
        let held = self.engine.state(x);
        if matches!(held, ComponentState::UNLOADED) && !self.waiting.contains_key(&waiter) {
            self.tally.loaded += self.budget.figure(self.budget.size_of(self.cost(x)).0);
            self.leased = None;
            // It was refused, and is served without a place.
            if self.owed.remove(&x).is_some() {
                self.tally.wait_us += load_time.as_micros() as u64;
            }
        }
    }

    /// The next event comes before the load or wake of an item began: it would have begun once the parks under way end.
    fn end_unbegun_wait(&mut self, key: ComponentKey) {
        let Some(since) = self.owed.remove(&key) else { return };
        let parks = self.ends.iter().filter(|end| matches!(end.2, Work::Park(_)));
        let room_at = parks.map(|end| end.0).max().unwrap_or(self.now);
        let wait = self.engine.scheduler().wait(key);
        self.tally.wait_us += (room_at + wait).since(since).as_micros() as u64;
    }

    fn run(mut self, on_event: &mut dyn FnMut()) -> Tally {
        let start = WallSeconds((self.now.0 / 1_000_000) as i64);
        self.feed(Input::WallClock(start));
        if let Some(offers) = self.offers() {
            self.feed(Input::Offers(offers));
        }
        self.feed(Input::Start);
        // Events of one second differ by some microseconds, as in the other replay.
        let (mut second, mut nth) = (0, 0);
        for event in &self.user.events {
            (second, nth) =
                if second == event.at_us { (second, nth + 1) } else { (event.at_us, 0) };
            self.advance(Moment(event.at_us + 4 * nth));
            self.event(self.keys[event.item.index()]);
            on_event();
        }
        for key in self.owed.keys().copied().collect::<Vec<_>>() {
            self.end_unbegun_wait(key);
        }
        for tier in HintTier::ALL {
            let account = self.engine.preloader().tier_account(tier);
            self.tally.preloads += account.started;
            self.tally.wasted += account.wasted + account.open;
        }
        self.tally
    }
}

/// Replays one user through the full engine. `decides`: its policy, and whether idle memory is trimmed.
#[must_use]
pub(super) fn replay_engine(
    user: &UserTrace,
    budget: ReplayBudget,
    decides: (PolicyKind, bool),
    rungs: Option<&RungTable>,
    on_event: &mut dyn FnMut(),
) -> Tally {
    EngineReplay::new(user, budget, rungs, config(decides.0, decides.1)).run(on_event)
}
