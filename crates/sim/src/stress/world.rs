//! The world around one engine: a virtual clock, loaders, clients, operators, and the lanes between.
//!
//! Carries effects out, lets time pass, and feeds back what comes of it. Decides nothing that the script or
//! the seed has not decided; knows no invariant but the loaders' protocol.

mod clients;
mod effects;
mod events;
mod loaders;
mod told;

use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, CommandId, ComponentKey, IncarnationId, Moment, OpId, WaiterId};
use majordomo_engine::{Engine, Input};
use majordomo_memory::Learned;
use majordomo_registry::Catalog;

use self::told::{answered, told};
use super::blueprint::{Blueprint, N_SPARE};
use super::cells::SimCells;
use super::check::{Broken, Checker, broken};
use super::coverage::Coverage;
use super::digest::Digest;
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
    LoadEnd { id: IncarnationId, error: Option<&'static str> },
    StopEnd { id: IncarnationId },
    Dies { id: IncarnationId },
    ProbeEnd { id: IncarnationId },
    Release { lease: u64 },
    Leave { waiter: WaiterId },
    NextOfChain { action: usize, component: usize, every: Duration, left: u32 },
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
    /// In use; it holds less before that.
    memory: ByteSize,
    /// While it loads.
    load_peak: ByteSize,
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
    learned: Option<(Learned, Option<Duration>)>,
}

/// How often what was told to the engine.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Inputs by name, ticks apart.
    pub by_name: BTreeMap<&'static str, u64>,
    /// Ticks.
    pub n_ticks: u64,
    /// Loads whose peak was more than the budget had.
    pub n_beyond_budget: u64,
    /// Grants, refusals by code.
    pub answers: BTreeMap<&'static str, u64>,
    /// Of everything that the engine wanted done.
    pub digest: Digest,
}

impl Counts {
    /// Inputs without ticks.
    #[must_use]
    pub fn n_inputs(&self) -> u64 {
        self.by_name.values().sum()
    }

    /// Demands and wishes refused for another reason than that their time was over.
    #[must_use]
    pub fn n_refused_early(&self) -> u64 {
        let other = ["granted", "done", "deadline_exceeded"];
        self.answers.iter().filter(|(code, _)| !other.contains(code)).map(|(_, n)| n).sum()
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
        self.n_beyond_budget += other.n_beyond_budget;
        self.digest.add(other.digest);
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
    /// The command in words that began last.
    command: Option<CommandId>,
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
        for effect in &effects {
            self.counts.digest.note(self.now, effect);
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
            Input::LoadFinished { id, .. }
            | Input::UnloadFinished { id }
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
        self.coverage.note(&self.engine, input, keys);
    }
}
