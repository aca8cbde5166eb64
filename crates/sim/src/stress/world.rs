//! The world around one engine: a virtual clock, loaders, clients, operators, and the lanes between.
//!
//! Carries effects out, lets time pass, and feeds back what comes of it. Decides nothing that the script or
//! the seed has not decided; knows no invariant but the loaders' protocol.

mod clients;
mod loaders;
mod told;

use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, OpId, Refusal, WaiterId};
use majordomo_engine::{
    Effect, Engine, Input, LoadFailure, LoadReport, Persisted, SequenceModel, Usage,
};
use majordomo_registry::Catalog;

use self::told::{answered, told};
use super::blueprint::{Blueprint, N_SPARE};
use super::cells::SimCells;
use super::check::{Broken, Checker, broken};
use super::coverage::Coverage;
use super::script::{LoadFault, Script, StopFault};
use super::waits::Watch;
use crate::rng::Rng;

/// A message from a loader or a cell reaches the engine after this.
const LANE: Duration = Duration::from_millis(3);

/// A reaction is drawn alike for so many microseconds.
const SAME_DRAWS: u64 = 60_000_000;

/// So many ticks may follow each other at one moment.
const MAX_TICKS_AT_ONCE: u32 = 3;

/// More inputs in one second come of loads that chase each other.
const MAX_INPUTS_A_SECOND: u64 = 3_000;

/// So long after the end of all faults nothing is on its way any more.
const CALM: Duration = Duration::from_secs(120);

/// What will happen by itself.
#[derive(Debug)]
enum Event {
    Deliver(Input),
    LoadEnd { key: ComponentKey, op: OpId, error: Option<&'static str> },
    StopEnd { key: ComponentKey, op: OpId },
    Dies { key: ComponentKey, op: OpId },
    ProbeEnd { key: ComponentKey, op: OpId },
    Release { lease: u64 },
    Leave { waiter: WaiterId },
    NextOfChain { component: usize, every: Duration, left: u32 },
    Sweep,
    Boot,
}

#[derive(Debug)]
struct Due {
    at: Moment,
    seq: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// How far an incarnation is, seen from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading {
        hangs: bool,
    },
    /// It came up; the engine may not know yet.
    Up {
        told: bool,
    },
    /// Its load failed; the engine does not know yet.
    Failed,
    Dead,
    Stopping {
        stuck: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Running {
    op: OpId,
    stage: Stage,
    memory: ByteSize,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    hold: Duration,
    stubborn: bool,
    gone: bool,
}

/// What is arranged for a component by number, whatever process runs.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    load: Option<LoadFault>,
    stop: Option<StopFault>,
    sick: u8,
    /// Percent of its usual memory; 0 = usual.
    grown: u32,
    learned: Option<(Option<ByteSize>, Option<Duration>)>,
}

/// How often what was told to the engine.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Inputs by name, ticks apart.
    pub by_name: BTreeMap<&'static str, u64>,
    /// Ticks.
    pub n_ticks: u64,
    /// Grants, refusals by code.
    pub answers: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Inputs without ticks.
    #[must_use]
    pub fn n_inputs(&self) -> u64 {
        self.by_name.values().sum()
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (name, n) in &other.by_name {
            *self.by_name.entry(name).or_default() += n;
        }
        for (name, n) in &other.answers {
            *self.answers.entry(name).or_default() += n;
        }
        self.n_ticks += other.n_ticks;
    }
}

/// Where a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Moment,
    /// At which input, by name.
    pub input: &'static str,
    /// What.
    pub broken: Broken,
}

pub(crate) struct World<'a> {
    script: &'a Script,
    next_action: usize,
    pub(crate) now: Moment,
    seq: u64,
    heap: BinaryHeap<Due>,
    blueprint: Blueprint,
    catalog: Arc<Catalog>,
    engine: Engine,
    cells: SimCells,
    checker: Checker,
    process: u64,
    running: Vec<Option<Running>>,
    keys: Vec<Option<ComponentKey>>,
    numbers: Vec<usize>,
    fates: Vec<Fate>,
    clients: BTreeMap<WaiterId, Client>,
    next_waiter: u64,
    sweep_due: bool,
    /// A second, and the inputs in it.
    rate: (u64, u64),
    calm_since: Option<Moment>,
    last_input: &'static str,
    pub(crate) counts: Counts,
    pub(crate) coverage: Coverage,
    pub(crate) watch: Watch,
    /// Everything told and answered, as text.
    pub(crate) trace: Option<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(script: &'a Script, trace: bool) -> Self {
        let mut blueprint =
            Blueprint::seeded(&mut Rng::new(&[script.seed, 2]), script.n_components);
        blueprint.set_preloading(script.preloading);
        let catalog = Arc::new(blueprint.build(None));
        let engine = Engine::new(Arc::clone(&catalog), blueprint.config.clone(), blueprint.budget);
        let mut world = Self {
            script,
            next_action: 0,
            now: Moment::ZERO,
            seq: 0,
            heap: BinaryHeap::new(),
            blueprint,
            catalog,
            engine,
            cells: SimCells::new(script.seed),
            checker: Checker::default(),
            process: 0,
            running: Vec::new(),
            keys: Vec::new(),
            numbers: Vec::new(),
            fates: vec![Fate::default(); script.n_components + N_SPARE],
            clients: BTreeMap::new(),
            next_waiter: 0,
            sweep_due: false,
            rate: (0, 0),
            calm_since: None,
            last_input: "none",
            counts: Counts::default(),
            coverage: Coverage::default(),
            watch: Watch::default(),
            trace: trace.then(String::new),
        };
        world.number();
        world
    }

    /// Runs the script to its end.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        self.day().map_err(|broken| Failure { at: self.now, input: self.last_input, broken })
    }

    fn day(&mut self) -> Result<(), Broken> {
        self.input(Input::Start)?;
        let mut ticks_at_once = 0;
        loop {
            let wake = self.engine.next_wakeup();
            let due = self.heap.peek().map(|d| d.at);
            let action = self.script.actions.get(self.next_action).map(|a| a.0);
            let Some(next) = [wake, due, action].into_iter().flatten().min() else { break };
            if next > self.script.end {
                break;
            }
            if next > self.now {
                ticks_at_once = 0;
                self.now = next;
            }
            if due == Some(next) {
                if let Some(d) = self.heap.pop() {
                    self.happen(d.event)?;
                }
            } else if action == Some(next) {
                let (_, action) = &self.script.actions[self.next_action];
                self.next_action += 1;
                self.act(action)?;
            } else {
                ticks_at_once += 1;
                if ticks_at_once > MAX_TICKS_AT_ONCE {
                    return broken(
                        7,
                        format!("the engine wants to be called at {next} again and again"),
                    );
                }
                self.input(Input::Tick)?;
            }
        }
        Ok(())
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.seq += 1;
        self.heap.push(Due { at: self.now + wait, seq: self.seq, event });
    }

    fn deliver(&mut self, input: Input) {
        self.after(LANE, Event::Deliver(input));
    }

    /// Draws for one reaction of the world. They depend on when it comes and not on how many came before, so that an
    /// engine that decides otherwise once does not live in another world from then on; where two engines are
    /// compared, they do not even depend on when.
    fn rng(&self, purpose: u64, number: u64) -> Rng {
        let period = if self.script.preloading.is_some() { 0 } else { self.now.0 / SAME_DRAWS };
        Rng::new(&[self.script.seed, 4, purpose, number, period])
    }

    fn rng_of(&self, purpose: u64, key: ComponentKey) -> Rng {
        self.rng(purpose, self.numbers[key.index()] as u64)
    }

    /// Finds names and keys of the current catalog.
    fn number(&mut self) {
        let n = self.catalog.len();
        self.numbers = (0..n)
            .map(|i| {
                let id = self.catalog.id(ComponentKey::from_index(i));
                id.as_str()[1..].parse().expect("names are made of numbers")
            })
            .collect();
        self.keys = vec![None; self.fates.len()];
        for (i, number) in self.numbers.iter().enumerate() {
            self.keys[*number] = Some(ComponentKey::from_index(i));
        }
        self.running.resize(n, None);
    }

    /// The key of a component; one that no catalog has for a name that was never configured.
    fn key(&self, number: usize) -> ComponentKey {
        self.keys[number].unwrap_or(ComponentKey(1_000_000))
    }

    fn fate(&mut self, key: ComponentKey) -> &mut Fate {
        &mut self.fates[self.numbers[key.index()]]
    }

    /// Tells the engine something, checks what it makes of it, and carries its effects out.
    fn input(&mut self, input: Input) -> Result<(), Broken> {
        self.last_input = input.name();
        let second = self.now.0 / 1_000_000;
        self.rate = (second, if self.rate.0 == second { self.rate.1 + 1 } else { 1 });
        if self.rate.1 > MAX_INPUTS_A_SECOND {
            return broken(4, "components come and go without end");
        }
        if matches!(input, Input::Tick) {
            self.counts.n_ticks += 1;
        } else {
            *self.counts.by_name.entry(input.name()).or_default() += 1;
            self.cover(&input);
        }
        self.checker.before(&self.engine, &input, self.now);
        self.watch.before(&self.engine, &input);
        self.cells.now = self.now;
        self.cells.given.clear();
        if let Some(trace) = &mut self.trace {
            trace.push_str(&format!("{} > {}\n", self.now, told(&input)));
        }
        let (engine, cells, now) = (&mut self.engine, &mut self.cells, self.now);
        let effects = match catch_unwind(AssertUnwindSafe(|| engine.handle(input, now, cells))) {
            Ok(effects) => effects,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                return broken(0, format!("panic: {}", text.unwrap_or("without words")));
            }
        };
        if let Some(trace) = &mut self.trace {
            for e in &effects {
                trace.push_str(&format!("{} < {}\n", self.now, answered(e)));
            }
        }
        self.checker.after(&self.engine, &effects, &self.cells, self.now)?;
        self.watch.after(&self.engine, &effects, self.now);
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.flush_cells();
        Ok(())
    }

    fn cover(&mut self, input: &Input) {
        let one;
        let keys: Option<&[ComponentKey]> = match input {
            Input::Demand { keys, .. } => Some(keys),
            Input::Abandon { waiter } => Some(self.checker.asked(*waiter)),
            Input::Hint { key, .. }
            | Input::LoadFinished { key, .. }
            | Input::UnloadFinished { key, .. }
            | Input::Exited { key, .. }
            | Input::Health { key, .. }
            | Input::Released { key, .. }
            | Input::Grow { key, .. }
            | Input::Operator { key, .. } => {
                one = [*key];
                Some(&one)
            }
            Input::Observed { used, .. } => Some(used),
            _ => None,
        };
        self.coverage.note(&self.engine, input, keys);
    }

    /// What came of the engine's, and others', dealings with the cells.
    fn flush_cells(&mut self) {
        for at in std::mem::take(&mut self.cells.revoked) {
            let leases: Vec<u64> = self
                .cells
                .leases
                .iter()
                .filter(|(_, h)| h.incarnation == at && !h.stubborn)
                .map(|(id, _)| *id)
                .collect();
            for lease in leases {
                let wait = self.rng(5, lease).millis(1, 400);
                self.after(wait, Event::Release { lease });
            }
        }
        for lease in std::mem::take(&mut self.cells.raced) {
            let wait = self.rng(6, lease).millis(1, 100);
            self.after(wait, Event::Release { lease });
            self.used();
        }
        for (key, op) in std::mem::take(&mut self.cells.notices) {
            self.deliver(Input::Released { key, op });
        }
    }

    fn used(&mut self) {
        if !self.sweep_due {
            self.sweep_due = true;
            let second = 1_000_000;
            let wait = second - self.now.0 % second;
            self.after(Duration::from_micros(wait), Event::Sweep);
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Broken> {
        match effect {
            Effect::StartLoad { key, op, .. } => self.start_load(key, op)?,
            Effect::CancelLoad { key, op, grace } => {
                let fits = self.running[key.index()].is_some_and(|r| {
                    r.op == op
                        && matches!(
                            r.stage,
                            Stage::Loading { .. }
                                | Stage::Up { told: false }
                                | Stage::Failed
                                | Stage::Dead
                        )
                });
                if !fits {
                    return broken(4, format!("a load of {key} is cancelled that does not run"));
                }
                self.stop(key, op, grace);
            }
            Effect::StartUnload { key, op, grace } => {
                let fits = self.running[key.index()].is_some_and(|r| {
                    r.op == op && matches!(r.stage, Stage::Up { told: true } | Stage::Dead)
                });
                if !fits {
                    return broken(4, format!("{key} is stopped and is not up"));
                }
                let Some(i) = self.cells.current(key) else {
                    return broken(1, format!("{key} is stopped and was never published"));
                };
                if !i.cell.is_closed() || (i.cell.leases() > 0 && !i.cell.is_revoked()) {
                    return broken(1, format!("{key} is stopped with its cell {:?}", i.cell));
                }
                self.stop(key, op, grace);
            }
            Effect::Kill { key, op } => match &self.running[key.index()] {
                Some(Running { op: o, stage: Stage::Stopping { stuck }, .. }) if *o == op => {
                    if !stuck {
                        self.after(Duration::from_millis(20), Event::StopEnd { key, op });
                    }
                }
                // Its end is on its way to the engine.
                None => {}
                _ => return broken(4, format!("{key} is killed and is not on its way out")),
            },
            Effect::Probe { key, op } => {
                let wait = self.rng_of(7, key).millis(1, 800);
                self.after(wait, Event::ProbeEnd { key, op });
            }
            Effect::Grant { waiter, keys } => {
                *self.counts.answers.entry("granted").or_default() += 1;
                self.watch.answered(waiter, true, self.now);
                let Some(client) = self.clients.remove(&waiter) else {
                    return broken(6, format!("waiter {waiter} is no client"));
                };
                for key in keys {
                    let Some(lease) = self.cells.granted(key, client.stubborn) else {
                        return broken(1, format!("{key} is granted and was never published"));
                    };
                    if client.gone {
                        self.cells.release(lease);
                    } else {
                        self.after(client.hold, Event::Release { lease });
                    }
                }
                self.used();
            }
            Effect::Refuse { waiter, refusal } => {
                *self.counts.answers.entry(refusal.code()).or_default() += 1;
                let gave_up = matches!(refusal, Refusal::DeadlineExceeded { .. });
                self.watch.answered(waiter, gave_up, self.now);
                self.clients.remove(&waiter);
            }
            Effect::Done { waiter } => {
                *self.counts.answers.entry("done").or_default() += 1;
                self.clients.remove(&waiter);
            }
            Effect::Persist(Persisted { key, peak, load_time }) => {
                self.fate(key).learned = Some((peak, load_time));
            }
            Effect::ShutdownDone { .. } => self.after(Duration::from_secs(1), Event::Boot),
            _ => {}
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Deliver(input) => {
                match &input {
                    Input::LoadFinished { key, op, result } => {
                        let slot = &mut self.running[key.index()];
                        match slot {
                            Some(r)
                                if r.op == *op && r.stage == Stage::Failed && result.is_err() =>
                            {
                                *slot = None;
                            }
                            Some(r) if r.op == *op && r.stage == (Stage::Up { told: false }) => {
                                r.stage = Stage::Up { told: true };
                            }
                            _ => {}
                        }
                    }
                    Input::Released { .. } | Input::Exited { .. } => {}
                    _ => {}
                }
                self.input(input)
            }
            Event::LoadEnd { key, op, error } => {
                let Some(r) = &mut self.running[key.index()] else { return Ok(()) };
                if r.op != op || !matches!(r.stage, Stage::Loading { .. }) {
                    return Ok(());
                }
                r.stage = if error.is_some() { Stage::Failed } else { Stage::Up { told: false } };
                let memory = r.memory;
                let measured = self.rng_of(10, key).chance(0.6).then(|| self.memory(key, memory));
                let result = match error {
                    Some(error) => {
                        let rng = &mut self.rng_of(13, key);
                        let out_of_memory = self.killed_for_memory(rng, key, memory);
                        Err(LoadFailure { error: error.to_owned(), out_of_memory })
                    }
                    None => Ok(LoadReport { measured, peak: measured.map(|m| m.scaled(1.1)) }),
                };
                self.deliver(Input::LoadFinished { key, op, result });
                Ok(())
            }
            Event::StopEnd { key, op } => {
                let slot = &mut self.running[key.index()];
                if matches!(slot, Some(Running { op: o, stage: Stage::Stopping { .. }, .. }) if *o == op)
                {
                    *slot = None;
                    self.deliver(Input::UnloadFinished { key, op });
                }
                Ok(())
            }
            Event::Dies { key, op } => {
                self.die(key, Some(op));
                Ok(())
            }
            Event::ProbeEnd { key, op } => self.probe_end(key, op),
            Event::Release { lease } => {
                self.cells.now = self.now;
                self.cells.release(lease);
                self.used();
                self.flush_cells();
                Ok(())
            }
            Event::Leave { waiter } => {
                if let Some(client) = self.clients.get_mut(&waiter) {
                    client.gone = true;
                    self.deliver(Input::Abandon { waiter });
                }
                Ok(())
            }
            Event::NextOfChain { component, every, left } => {
                if left > 0 {
                    self.after(every, Event::NextOfChain { component, every, left: left - 1 });
                    self.ask(&[component], None, None, every * 3 / 2, None, false, false, false)?;
                }
                Ok(())
            }
            Event::Sweep => self.sweep(),
            Event::Boot => self.boot(),
        }
    }

    fn sweep(&mut self) -> Result<(), Broken> {
        self.sweep_due = false;
        let mut rows = Vec::new();
        for i in (0..self.running.len()).map(ComponentKey::from_index) {
            let Some(at) = self.cells.slot(i) else { continue };
            let i = &mut self.cells.incarnations[at];
            let uses = i.cell.uses() - i.uses_swept;
            let last_use = i.last_use.take();
            if uses == 0 && last_use.is_none() {
                continue;
            }
            i.uses_swept += uses;
            rows.push(Usage { key: i.key, op: i.op, uses, last_use });
        }
        if rows.is_empty() { Ok(()) } else { self.input(Input::Usage(rows)) }
    }

    /// A new process after a shutdown: keys, waiters and cells begin anew; what was learned is known.
    fn boot(&mut self) -> Result<(), Broken> {
        self.process += 1;
        let model = self.remembered();
        self.heap.clear();
        self.clients.clear();
        self.running.clear();
        self.sweep_due = false;
        let races = self.cells.races;
        self.cells = SimCells::new(self.script.seed);
        self.cells.races = races;
        self.checker = Checker::default();
        self.watch.begin_anew();
        self.catalog = Arc::new(self.blueprint.build(None));
        self.number();
        let b = &self.blueprint;
        self.engine = Engine::new(Arc::clone(&self.catalog), b.config.clone(), b.budget);
        if let Some(trace) = &mut self.trace {
            trace.push_str(&format!("{} = a new process\n", self.now));
        }
        let rows: Vec<_> = self
            .numbers
            .iter()
            .enumerate()
            .filter_map(|(i, number)| {
                let (peak, load_time) = self.fates[*number].learned?;
                Some(Persisted { key: ComponentKey::from_index(i), peak, load_time })
            })
            .collect();
        self.input(Input::Learned(rows))?;
        let catalog = Arc::clone(&self.catalog);
        match SequenceModel::decode(&model, |name| catalog.key(name)) {
            Ok(model) => self.input(Input::Remembered(Box::new(model)))?,
            Err(error) => return broken(9, format!("the sequence model: {error}")),
        }
        self.input(Input::Start)
    }

    /// What the sequence model of a process that ends leaves behind.
    fn remembered(&self) -> Vec<u8> {
        let catalog = self.engine.catalog();
        self.engine.sequence().encode(|key| Some(catalog.id(key).clone()))
    }
}
