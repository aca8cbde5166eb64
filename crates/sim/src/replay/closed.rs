//! A closed loop through the full engine: a user who gives the next command only after the last one has ended.
//!
//! Unlike the replay protocol, waits shift later commands, and loads that run side by side slow each other down. The model
//! of the processor is simple: two loads or more share the work of one and a half. With a table of rungs components are parked and
//! woken as well, and memory is measured: a woken component has in memory what an answer touches. Invariant: the engine receives no
//! input from the future.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, CommandId, ComponentKey, Config, EventKind, HintTier, IncarnationId, Moment, StepId,
    WaiterId, WallSeconds,
};
use majordomo_engine::{
    Effect, Engine, Footprints, Input, LoadReport, Need, Offers, ParkReport, Sample, Usage,
    WakeReport,
};
use majordomo_registry::{Catalog, CatalogError, ComponentSpec};

use super::engine::Leases;
use super::item::ItemCost;
use super::rungs::RungTable;
use super::trace::UserTrace;
use crate::rng::Rng;

/// The work of two processors for loads that run side by side, in loads.
const SHARED_SPEED: f64 = 1.5;
/// How often memory is measured.
const SAMPLED: Duration = Duration::from_secs(1);
/// A longer wait counts as waiting: a person notices no shorter one.
pub const NOTICED: Duration = Duration::from_millis(30);

/// One command of a closed loop.
#[derive(Clone, Debug)]
pub struct ClosedCommand {
    /// Time from the end of the command before.
    pub pause: Duration,
    /// Position of the component that it uses.
    pub component: usize,
}

/// Components and commands of a closed loop.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// Sizes, load times, dependencies and priorities.
    pub specs: Vec<ComponentSpec>,
    /// How long a command uses its component.
    pub usage: Duration,
    /// Commands of earlier days, which only teach.
    pub history: Vec<ClosedCommand>,
    /// The commands that are measured.
    pub commands: Vec<ClosedCommand>,
}

/// How a user's recorded history becomes a closed loop.
#[derive(Clone, Copy, Debug)]
pub struct ClosedShape {
    /// Pauses are divided by this.
    pub compress: f64,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// Commands of history, and after them, commands that are measured.
    pub commands: [usize; 2],
    /// The number of an order of the components; the k-th most used item is the k-th of them, the items beyond the last
    /// begin again with the first.
    pub order: u64,
}

impl ClosedLoop {
    /// The middle of a user's history with these components; none when it is too short for all commands.
    #[must_use]
    pub fn of_user(
        user: &UserTrace,
        specs: &[ComponentSpec],
        usage: Duration,
        shape: &ClosedShape,
    ) -> Option<Self> {
        let mut counts = vec![0u64; user.items.len()];
        user.events.iter().for_each(|e| counts[e.item.index()] += 1);
        let mut items: Vec<usize> = (0..counts.len()).collect();
        items.sort_by_key(|i| (std::cmp::Reverse(counts[*i]), *i));
        let mut order: Vec<usize> = (0..specs.len()).collect();
        let mut rng = Rng::new(&[shape.order]);
        for i in (1..order.len()).rev().filter(|_| shape.order > 0) {
            order.swap(i, rng.below(i + 1));
        }
        let mut component = vec![0; counts.len()];
        for (rank, item) in items.into_iter().enumerate() {
            component[item] = *order.get(rank % specs.len().max(1))?;
        }
        let mut commands: Vec<ClosedCommand> = Vec::new();
        let mut last = user.events.first()?.at_us;
        for event in &user.events {
            let pause =
                Duration::from_micros(event.at_us - std::mem::replace(&mut last, event.at_us));
            let pause = pause.div_f64(shape.compress).min(shape.longest_pause);
            let component = component[event.item.index()];
            if commands.last().is_none_or(|c| c.component != component) {
                commands.push(ClosedCommand { pause, component });
            }
        }
        let [history, measured] = shape.commands;
        let start = commands.len().checked_sub(history + measured)? / 2;
        let (begin, end) = (start + history, start + history + measured);
        Some(Self {
            specs: specs.to_vec(),
            usage,
            history: commands[start..begin].to_vec(),
            commands: commands[begin..end].to_vec(),
        })
    }
}

/// Counts of a closed loop.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct ClosedTally {
    /// The wait of each command.
    pub waits: Vec<Duration>,
    pub refused: u64,
    pub loads: u64,
    pub parks: u64,
    pub wakes: u64,
    pub preloads: u64,
    pub wasted: u64,
    pub harmful: u64,
    /// Integral of the booked megabytes over time, in seconds.
    pub booked_seconds: f64,
    pub seconds: f64,
}

impl ClosedTally {
    /// The wait that this share of commands does not exceed, in milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        let place = (share * waits.len() as f64) as usize;
        let last = waits.len().saturating_sub(1);
        waits.get(place.min(last)).map_or(0.0, |w| w.as_secs_f64() * 1e3)
    }

    /// Mean wait in milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        let sum: Duration = self.waits.iter().sum();
        sum.as_secs_f64() * 1e3 / self.waits.len().max(1) as f64
    }

    /// Share of commands whose wait is noticed.
    #[must_use]
    pub fn waited(&self) -> f64 {
        let n = self.waits.iter().filter(|w| **w > NOTICED).count();
        n as f64 / self.waits.len().max(1) as f64
    }

    /// Mean booked memory in megabytes.
    #[must_use]
    pub fn booked_mb(&self) -> f64 {
        self.booked_seconds / self.seconds.max(1e-9)
    }

    /// Adds the counts of another loop.
    pub fn add(&mut self, other: &Self) {
        self.waits.extend(&other.waits);
        self.refused += other.refused;
        self.loads += other.loads;
        self.parks += other.parks;
        self.wakes += other.wakes;
        self.preloads += other.preloads;
        self.wasted += other.wasted;
        self.harmful += other.harmful;
        self.booked_seconds += other.booked_seconds;
        self.seconds += other.seconds;
    }
}

/// A record of the engine.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct ClosedEvent<'a> {
    pub at: Moment,
    /// All bytes booked after the input that brought it about.
    pub booked: ByteSize,
    pub catalog: &'a Catalog,
    pub kind: &'a EventKind,
}

/// A park or a wake that runs.
#[derive(Clone, Copy, Debug)]
struct RungWork {
    ends: Moment,
    id: IncarnationId,
    step: StepId,
    parks: bool,
}

struct Loop<'a> {
    given: &'a ClosedLoop,
    rungs: Option<&'a RungTable>,
    on_event: &'a mut dyn FnMut(&ClosedEvent<'_>),
    keys: Vec<ComponentKey>,
    engine: Engine,
    cells: Leases,
    now: Moment,
    /// Running loads with the work that is left, in seconds.
    loads: Vec<(IncarnationId, f64)>,
    steps: Vec<RungWork>,
    /// Components that are up, and the share of their memory that they have.
    present: BTreeMap<IncarnationId, f64>,
    sampled_at: Moment,
    /// The history is over.
    measures: bool,
    granted: bool,
    answered: bool,
    tally: ClosedTally,
}

impl Loop<'_> {
    fn load_time(&self, key: ComponentKey) -> f64 {
        self.engine.catalog().spec(key).map_or(0.0, |s| s.load_time.as_secs_f64())
    }

    fn cost(&self, key: ComponentKey) -> ItemCost {
        let size = self.engine.catalog().spec(key).map_or(ByteSize::ZERO, |s| s.memory);
        let load_time = Duration::from_secs_f64(self.load_time(key));
        ItemCost { size_mb: size.0 as f64 / 1e6, load_time }
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
                self.tally.loads += 1;
                let work = self.load_time(id.key);
                self.loads.push((id, work));
            }
            Effect::StartPark { id, step, .. } => {
                self.tally.parks += 1;
                self.begin(id, step, true);
            }
            Effect::StartWake { id, step, .. } => {
                self.tally.wakes += 1;
                self.begin(id, step, false);
            }
            Effect::CancelLoad { id, .. } => {
                self.loads.retain(|l| l.0 != id);
                inputs.push_back(Input::UnloadFinished { id });
            }
            Effect::StartUnload { id, .. } => {
                self.steps.retain(|work| work.id != id);
                self.present.remove(&id);
                self.cells.unloaded(id.key);
                inputs.push_back(Input::UnloadFinished { id });
            }
            Effect::Grant { .. } => (self.granted, self.answered) = (true, true),
            Effect::Refuse { .. } => self.answered = true,
            Effect::Record(record) if self.measures => {
                let (catalog, booked) = (self.engine.catalog(), self.engine.budget().booked());
                let kind = &record.kind;
                (self.on_event)(&ClosedEvent { at: self.now, booked, catalog, kind });
            }
            _ => {}
        }
    }

    /// A park or a wake begins, and takes its time by the table.
    fn begin(&mut self, id: IncarnationId, step: StepId, parks: bool) {
        let Some(rungs) = self.rungs else { return };
        let cost = self.cost(id.key);
        let takes = if parks { rungs.enter(&cost) } else { rungs.wake(&cost) };
        self.steps.push(RungWork { ends: self.now + takes, id, step, parks });
    }

    fn report(&mut self, work: RungWork) -> Input {
        let RungWork { id, step, parks, .. } = work;
        let (own, size) = (self.engine.catalog().pool(id.key), self.engine.catalog().spec(id.key));
        let size = size.map_or(ByteSize::ZERO, |s| s.memory);
        let stays = self.rungs.map_or(1.0, RungTable::stays);
        if !parks {
            self.present.insert(id, self.rungs.map_or(1.0, RungTable::has_when_woken));
            let swap = size.scaled(1.0 - stays);
            return Input::Woken { id, step, result: Ok(WakeReport { measured: None, swap }) };
        }
        let has = self.present.insert(id, stays).unwrap_or(1.0);
        let mut held = Need::new();
        held.add(own, size.scaled(stays));
        held.add(Need::SWAP, size.scaled(1.0 - stays));
        let freed = Some(size.scaled(has - stays));
        let report = ParkReport { held, freed, ..ParkReport::default() };
        Input::Parked { id, step, result: Ok(report) }
    }

    /// The memory of components that are up.
    fn sample(&mut self) {
        self.sampled_at = self.now;
        let steps = self.steps.iter().map(|work| work.id).collect::<Vec<_>>();
        let up = self.present.iter().filter(|(id, _)| !steps.contains(id));
        let own = up.map(|(id, has)| {
            let size = self.engine.catalog().spec(id.key).map_or(ByteSize::ZERO, |s| s.memory);
            let sample = Sample { bytes: size.scaled(*has), swap: Some(size.scaled(1.0 - has)) };
            (*id, sample)
        });
        let own = own.collect();
        let none = ByteSize::ZERO;
        self.feed(Input::Footprints(Footprints { own, external: none, unreturned: none }));
    }

    fn offer_rungs(&mut self) {
        let Some(rungs) = self.rungs else { return };
        let costs: Vec<_> = self.keys.iter().map(|key| (*key, self.cost(*key))).collect();
        let offers = costs.iter().map(|(key, cost)| rungs.offer(*key, cost)).collect();
        let (swap, wake_lanes) = (ByteSize((rungs.swap_mb() * 1e6) as u64), rungs.wake_lanes());
        self.feed(Input::Offers(Offers { swap, wake_lanes, rungs: offers, ..Offers::default() }));
    }

    fn speed(&self) -> f64 {
        (SHARED_SPEED / self.loads.len().max(1) as f64).min(1.0)
    }

    /// Advances to the next event, at `to` at the latest; returns whether that was reached.
    fn step(&mut self, to: Moment) -> bool {
        let speed = self.speed();
        let first = self.loads.iter().map(|l| l.1).min_by(f64::total_cmp);
        let end = first.map_or(Moment::NEVER, |work| {
            self.now + Duration::from_micros((work / speed * 1e6).ceil() as u64)
        });
        let wake = self.engine.next_wakeup().unwrap_or(Moment::NEVER);
        let work = self.steps.iter().map(|work| work.ends).min().unwrap_or(Moment::NEVER);
        let sample = if self.rungs.is_some() && !self.present.is_empty() {
            self.sampled_at + SAMPLED
        } else {
            Moment::NEVER
        };
        let next = end.min(wake).min(work).min(sample).min(to).max(self.now);
        let span = next.since(self.now).as_secs_f64();
        self.tally.booked_seconds += span * self.engine.budget().booked().0 as f64 / 1e6;
        self.tally.seconds += span;
        for load in &mut self.loads {
            load.1 -= span * speed;
        }
        self.now = next;
        if end <= next {
            let done = self.loads.iter().position(|l| l.1 <= 1e-6);
            if let Some((id, _)) = done.map(|i| self.loads.remove(i)) {
                self.present.insert(id, 1.0);
                self.feed(Input::LoadFinished { id, result: Ok(LoadReport::default()) });
            }
            return false;
        }
        if work <= next {
            let done = self.steps.iter().position(|work| work.ends <= next);
            if let Some(work) = done.map(|i| self.steps.remove(i)) {
                let report = self.report(work);
                self.feed(report);
            }
            return false;
        }
        if sample <= next {
            self.sample();
            return false;
        }
        if wake <= next {
            self.feed(Input::Tick);
            return false;
        }
        next >= to
    }

    fn command(&mut self, n: usize, command: &ClosedCommand) {
        let key = self.keys[command.component];
        let ready_at = self.now + command.pause;
        while !self.step(ready_at) {}
        let id = CommandId(n as u64 + 1);
        let waiter = WaiterId(n as u64 + 1);
        let began = self.now;
        (self.granted, self.answered) = (false, false);
        self.feed(Input::Begun { command: id, uses: vec![key] });
        let keys = vec![key];
        self.feed(Input::Demand { waiter, keys, priority: None, deadline: None, partial: false });
        while !self.answered {
            self.step(Moment::NEVER);
        }
        self.tally.waits.push(self.now.since(began));
        if !self.granted {
            self.tally.refused += 1;
            self.feed(Input::Ended { command: id });
            return;
        }
        if let Some(id) = self.engine.incarnation(key) {
            let used = Usage { id, uses: 1, last_use: Some(self.now) };
            self.feed(Input::Usage(vec![used]));
        }
        let ends_at = self.now + self.given.usage;
        while !self.step(ends_at) {}
        self.cells.release(key);
        if let Some(id) = self.engine.incarnation(key) {
            self.feed(Input::Released { id });
        }
        self.feed(Input::Observed { command: Some(id), used: vec![key], text_scores: Vec::new() });
    }
}

/// Replays a closed loop through the engine with these settings, and with rungs where a table is given. `on_event` gets every
/// record of the measured commands.
///
/// # Errors
/// When the components are no valid catalog.
pub fn replay_closed(
    given: &ClosedLoop,
    config: Config,
    budget: ByteSize,
    rungs: Option<&RungTable>,
    on_event: &mut dyn FnMut(&ClosedEvent<'_>),
) -> Result<ClosedTally, CatalogError> {
    let catalog = Catalog::build(given.specs.clone(), Vec::new(), None)?;
    let key = |s: &ComponentSpec| catalog.key(s.id.as_str()).unwrap_or_default();
    let keys: Vec<_> = given.specs.iter().map(key).collect();
    let catalog = Arc::new(catalog);
    // The history only teaches: its time passes without loads, so that none may begin in it.
    let mut history = config.clone();
    history.speculation.enabled = false;
    let mut run = Loop {
        given,
        rungs,
        on_event,
        engine: Engine::new(Arc::clone(&catalog), history, budget),
        cells: Leases::new(keys.len()),
        keys,
        now: Moment::ZERO,
        loads: Vec::new(),
        steps: Vec::new(),
        present: BTreeMap::new(),
        sampled_at: Moment::ZERO,
        measures: false,
        granted: false,
        answered: false,
        tally: ClosedTally::default(),
    };
    run.feed(Input::WallClock(WallSeconds(1_700_000_000)));
    for command in &given.history {
        run.now = run.now + command.pause + given.usage;
        let used = vec![run.keys[command.component]];
        run.feed(Input::Observed { command: None, used, text_scores: Vec::new() });
    }
    run.feed(Input::Configure { catalog, config: Box::new(config), budget });
    run.offer_rungs();
    run.measures = true;
    run.feed(Input::Start);
    run.tally = ClosedTally::default();
    for (n, command) in given.commands.iter().enumerate() {
        run.command(n, command);
    }
    for tier in HintTier::ALL {
        let account = run.engine.preloader().tier_account(tier);
        run.tally.preloads += account.started;
        run.tally.wasted += account.wasted + account.open;
        run.tally.harmful += account.harmful;
    }
    Ok(run.tally)
}
