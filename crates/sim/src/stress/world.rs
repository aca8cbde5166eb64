//! The world around one engine: a virtual clock, loaders, clients, operators, and the lanes between.
//!
//! Carries effects out, advances the clock, and feeds the results back. Every decision comes from the script or
//! the seed; the only invariant known here is the loaders' protocol.

mod clients;
mod effects;
mod events;
mod lines;
mod loaders;
mod parking;

use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, CommandId, ComponentKey, IncarnationId, Moment, OpId, Rung, StepId, WaiterId,
};
use majordomo_engine::{Engine, Input};
use majordomo_memory::{Learned, LearnedRung};
use majordomo_registry::Catalog;

use super::blueprint::{Blueprint, N_SPARE};
use super::cells::SimCells;
use super::check::{Broken, Checker, broken};
use super::coverage::Coverage;
use super::digest::Digest;
use super::script::{LoadFault, ParkFault, RUNG_FAULTS, Script, StopFault, WakeFault};
use super::waits::Watch;
use crate::rng::Rng;

/// The delay of a message from a loader or a cell to the engine.
const LANE: Duration = Duration::from_millis(3);

/// The world reacts the same way for this many microseconds.
const SAME_DRAWS: u64 = 60_000_000;

/// Ticks that may follow each other at one moment.
const MAX_TICKS_AT_ONCE: u32 = 3;

/// More inputs in one second mean that loads evict each other without end.
const MAX_INPUTS_A_SECOND: u64 = 3_000;

/// Time after the end of all faults within which every reaction arrives.
const CALM: Duration = Duration::from_secs(120);

/// A reaction of the world that is due at some moment.
#[derive(Debug)]
enum Event {
    Deliver(Input),
    LoadEnd { id: IncarnationId, error: Option<&'static str> },
    StopEnd { id: IncarnationId },
    StepEnd { id: IncarnationId, step: StepId, end: StepEnd },
    Exit { id: IncarnationId },
    ProbeEnd { id: IncarnationId },
    Release { lease: u64 },
    Abandon { waiter: WaiterId },
    NextClient { action: usize, component: usize, every: Duration, left: u32 },
    Sweep,
    Boot,
}

/// How a park or a wake ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepEnd {
    Done,
    /// Nothing could be moved, through no fault of the component.
    Unmoved,
    Failed(&'static str),
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
    /// The earliest is the greatest, so that the heap pops it first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// The real progress of an incarnation, which the engine may not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading {
        hangs: bool,
    },
    /// The load succeeded.
    Up {
        reported: bool,
    },
    /// The load failed, which is not reported yet.
    Failed,
    Exited,
    /// A park is under way.
    Parking {
        step: StepId,
    },
    Parked,
    /// A wake is under way.
    Waking {
        step: StepId,
    },
    Stopping {
        stuck: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Running {
    op: OpId,
    stage: Stage,
    /// Memory once it is used; less before that.
    memory: ByteSize,
    /// Memory while it loads.
    load_peak: ByteSize,
    /// Share of its memory that stays when it is parked.
    left: f64,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    hold: Duration,
    stubborn: bool,
    abandoned: bool,
}

/// The faults and facts of a component by number, across processes.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    load: Option<LoadFault>,
    stop: Option<StopFault>,
    park: Option<ParkFault>,
    wake: Option<WakeFault>,
    sick: u8,
    /// Percent of its usual memory; 0 stands for the usual memory.
    grown: u32,
    learned: Option<(Learned, Option<Duration>)>,
}

/// The inputs and answers of an engine, counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Inputs by name, without ticks.
    pub by_name: BTreeMap<&'static str, u64>,
    /// Inputs that only say that time has passed.
    pub n_ticks: u64,
    /// Loads whose peak exceeded the budget.
    pub n_beyond_budget: u64,
    /// Faults of parks and wakes that took effect, by name.
    pub rung_faults: BTreeMap<&'static str, u64>,
    /// Grants, and refusals by code.
    pub answers: BTreeMap<&'static str, u64>,
    /// The digest of all effects.
    pub digest: Digest,
}

impl Counts {
    /// Number of inputs without ticks.
    #[must_use]
    pub fn n_inputs(&self) -> u64 {
        self.by_name.values().sum()
    }

    /// Demands and operators' commands refused for another reason than their deadline.
    #[must_use]
    pub fn n_refused_early(&self) -> u64 {
        let other = ["granted", "done", "deadline_exceeded"];
        self.answers.iter().filter(|(code, _)| !other.contains(code)).map(|(_, n)| n).sum()
    }

    /// Faults of parks and wakes that never took effect.
    pub fn missed_rung_faults(&self) -> impl Iterator<Item = &'static str> + '_ {
        RUNG_FAULTS.into_iter().filter(|fault| !self.rung_faults.contains_key(fault))
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (name, n) in &other.rung_faults {
            *self.rung_faults.entry(name).or_default() += n;
        }
        for (name, n) in &other.by_name {
            *self.by_name.entry(name).or_default() += n;
        }
        for (name, n) in &other.answers {
            *self.answers.entry(name).or_default() += n;
        }
        self.n_ticks += other.n_ticks;
        self.n_beyond_budget += other.n_beyond_budget;
        self.digest.add(other.digest);
    }
}

/// The end of a run that broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Failure {
    pub at: Moment,
    /// The name of the input that was handled.
    pub input: &'static str,
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
    /// The rungs of the components are on offer.
    rungs_offered: bool,
    /// Percent of the budget that parked components may have in swap.
    swap_room: u8,
    /// Percent of the budget that parks may write to swap until that changes.
    writes_left: Option<u8>,
    /// Measured figures of rungs, by the component's number.
    learned_rungs: BTreeMap<(usize, Rung), LearnedRung>,
    last_input: &'static str,
    pub(crate) counts: Counts,
    pub(crate) coverage: Coverage,
    pub(crate) watch: Watch,
    /// The latest command from text.
    command: Option<CommandId>,
    /// Every input and effect as text, if requested.
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
            rungs_offered: true,
            swap_room: 60,
            writes_left: None,
            learned_rungs: BTreeMap::new(),
            last_input: "none",
            counts: Counts::default(),
            coverage: Coverage::default(),
            watch: Watch::default(),
            command: None,
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
        self.offer_rungs()?;
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
                    self.react(d.event)?;
                }
            } else if action == Some(next) {
                let (_, action) = &self.script.actions[self.next_action];
                self.next_action += 1;
                self.act(action)?;
            } else {
                ticks_at_once += 1;
                if ticks_at_once > MAX_TICKS_AT_ONCE {
                    return broken(7, format!("the engine's next wake-up stays at {next}"));
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

    /// Draws for one reaction of the world. They depend on its time and not on the number of reactions before it, so
    /// that one other decision of the engine does not change all later reactions. Where two engines are compared, they
    /// do not depend on the time either.
    fn rng(&self, purpose: u64, number: u64) -> Rng {
        let period = if self.script.preloading.is_some() { 0 } else { self.now.0 / SAME_DRAWS };
        Rng::new(&[self.script.seed, 4, purpose, number, period])
    }

    fn rng_of(&self, purpose: u64, key: ComponentKey) -> Rng {
        self.rng(purpose, self.numbers[key.index()] as u64)
    }

    /// Maps numbers to keys of the current catalog, and back.
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

    /// The key of a component; a key that no catalog has for a component that was never configured.
    fn key(&self, number: usize) -> ComponentKey {
        self.keys[number].unwrap_or(ComponentKey(1_000_000))
    }

    fn fate(&mut self, key: ComponentKey) -> &mut Fate {
        &mut self.fates[self.numbers[key.index()]]
    }

    /// Passes an input to the engine, checks the effects, and carries them out.
    fn input(&mut self, input: Input) -> Result<(), Broken> {
        self.last_input = input.name();
        let second = self.now.0 / 1_000_000;
        self.rate = (second, if self.rate.0 == second { self.rate.1 + 1 } else { 1 });
        if self.rate.1 > MAX_INPUTS_A_SECOND {
            return broken(4, "components are loaded and unloaded without end");
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
            trace.push_str(&format!("{} > {}\n", self.now, lines::of_input(&input)));
        }
        let (engine, cells, now) = (&mut self.engine, &mut self.cells, self.now);
        let effects = match catch_unwind(AssertUnwindSafe(|| engine.handle(input, now, cells))) {
            Ok(effects) => effects,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                return broken(0, format!("panic: {}", text.unwrap_or("without a message")));
            }
        };
        if let Some(trace) = &mut self.trace {
            for e in &effects {
                trace.push_str(&format!("{} < {}\n", self.now, lines::of_effect(e)));
            }
        }
        for effect in &effects {
            self.counts.digest.record(self.now, effect);
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
            Input::Abandon { waiter } => Some(self.checker.requested(*waiter)),
            Input::LoadFinished { id, .. }
            | Input::UnloadFinished { id }
            | Input::Parked { id, .. }
            | Input::Woken { id, .. }
            | Input::Exited { id, .. }
            | Input::Health { id, .. }
            | Input::Trimmed { id, .. }
            | Input::Released { id }
            | Input::Grow { id, .. } => {
                one = [id.key];
                Some(&one)
            }
            Input::Hint { key, .. } | Input::Operator { key, .. } => {
                one = [*key];
                Some(&one)
            }
            Input::Observed { used, .. } => Some(used),
            _ => None,
        };
        self.coverage.record(&self.engine, input, keys);
    }
}
