//! The tokio shell: one task that owns the engine, carries out its effects and feeds back what happened.
//!
//! Data flow: callers and tasks put messages into lanes and wake the shell; the shell drains control, then
//! demands, then hints; each message becomes one engine input; effects are carried out at once, in order.
//! It never decides. Lanes: control (bounded by construction: completions, abandons, operators), demands
//! (bounded, full = overloaded), three lanes of hints (bounded, full = dropped and counted).

mod carry_out;
mod heap;
mod lanes;
mod measure;
mod remember;
mod slots;

pub(crate) use heap::Thawed;
pub(crate) use lanes::{Control, ControlSender, Demand, DemandError, Lanes, Reply, Waiting};
pub use measure::budget_bytes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentId, ComponentKey, Config, Moment, OpId, PressureLevel, StateStore,
    StatusValue, WaiterId, WallSeconds,
};
use majordomo_engine::{Engine, Input};
use majordomo_memory::PressureSource;
use majordomo_registry::{Catalog, PoolSpec};
use tokio::sync::{oneshot, watch};

use crate::clock::{Clock, SuspendDetector, WallClock};
use crate::component::Instance;
use crate::events::EventLog;
use crate::footprint::Sampler;
use crate::lease::Incarnation;
use crate::loader::Factory;
use crate::logs::LogBuffer;
use crate::machine::{self, Machine};
use crate::pressure::Felt;
use crate::process::ProcessLoader;
use slots::{Notices, Published, ShellCells};

/// Messages taken from the lanes before sweeps and timers get their turn.
const BATCH: usize = 256;
/// The shell measures and sweeps this often.
const SWEEP: Duration = Duration::from_secs(1);

/// The battery is looked at in one sweep of so many.
const BATTERY_EVERY: u64 = 30;
/// What the machine can spare is reported in steps of this part of the budget.
const SPARE_STEPS: u64 = 128;

/// Everything a shell is made of.
pub struct ShellParts {
    /// The components.
    pub catalog: Arc<Catalog>,
    /// The settings.
    pub config: Config,
    /// The total budget in bytes.
    pub budget: ByteSize,
    /// Factories of builtins by name.
    pub factories: BTreeMap<String, Factory>,
    /// The loader of processes; none = components of that kind cannot be loaded.
    pub processes: Option<ProcessLoader>,
    /// Relative working directories count from here.
    pub base_dir: PathBuf,
    /// Where learned figures are kept; none = they are forgotten at the end.
    pub store: Option<Arc<dyn StateStore>>,
    /// Where pressure is felt; none = never.
    pub pressure: Option<Box<dyn PressureSource>>,
    /// What time of day use is learned and noted at.
    pub wall_clock: WallClock,
    /// Whether CORE components, and those that are not lazy, are loaded at once.
    pub start: bool,
    /// Further sections of the status, asked for whenever one is made.
    pub sections: Vec<StatusSection>,
}

/// Gives a section of the status: its name and its rows. Must be quick and must not block.
pub type StatusSection = Box<dyn Fn() -> (String, Vec<(String, StatusValue)>) + Send + Sync>;

impl std::fmt::Debug for ShellParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellParts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Measurements that run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measuring {
    pub builtins: bool,
    pub processes: bool,
}

/// Uses of an incarnation that the engine knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub uses: u64,
    pub last_use: u64,
}

/// Closes the lanes when the shell's task ends, by a panic too.
struct CloseOnDrop(Arc<Lanes>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the engine was last told of the world around.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    machine: Machine,
    wall: Option<(Moment, WallSeconds)>,
    busy: bool,
    on_battery: bool,
    looks: u64,
    /// What the machine can spare, as the engine was last told.
    spare: Option<ByteSize>,
}

/// A load or unload that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Tells a builtin's load to stop.
    pub cancelled: Arc<AtomicBool>,
    /// Tells a process' load to stop within the time sent; a later, shorter time hastens.
    pub cancel: Option<watch::Sender<Option<Duration>>>,
    /// Ends an async builtin's load.
    pub abort: Option<tokio::task::AbortHandle>,
    pub was_cancelled: bool,
}

/// The state of the shell's task.
pub(crate) struct Shell {
    pub engine: Engine,
    pub lanes: Arc<Lanes>,
    pub clock: Clock,
    pub wall_clock: WallClock,
    pub events: Arc<EventLog>,
    pub notices: Arc<Notices>,
    pub waiters: BTreeMap<WaiterId, lanes::Waiting>,
    pub slots: Vec<Arc<crate::lease::Slot>>,
    pub logs: Vec<Arc<LogBuffer>>,
    pub running: BTreeMap<OpId, Running>,
    /// Incarnations that are being taken down, so that they can be killed.
    pub leaving: BTreeMap<OpId, std::sync::Weak<Incarnation>>,
    pub factories: Arc<BTreeMap<String, Factory>>,
    pub processes: Option<ProcessLoader>,
    pub base_dir: PathBuf,
    pub memory: remember::Memory,
    /// Published components: what each was seen to have been used by the last sweep.
    pub seen: BTreeMap<ComponentKey, Seen>,
    pub suspend: SuspendDetector,
    pub surroundings: Surroundings,
    pub next_sweep: Moment,
    pub measuring: Measuring,
    pub samples: u64,
    pub sampler: Arc<Mutex<Sampler>>,
    pub heap: heap::Heap,
    pub taken: measure::Taken,
    /// The level of pressure as last told to the engine.
    pub pressed: PressureLevel,
    pub felt: Option<Felt>,
    pub status: Option<(Moment, Arc<majordomo_core::Status>)>,
    pub sections: Vec<StatusSection>,
    pub on_finished: Option<oneshot::Sender<Vec<ComponentId>>>,
    pub stuck: Vec<ComponentId>,
    pub down: bool,
}

impl Shell {
    /// Starts the shell's task and gives the lanes into it. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// When the system gives no thread for the coarse clock.
    pub(crate) fn start(
        parts: ShellParts,
        on_finished: oneshot::Sender<Vec<ComponentId>>,
    ) -> std::io::Result<Arc<Lanes>> {
        let clock = Clock::start();
        let engine = Engine::new(Arc::clone(&parts.catalog), parts.config, parts.budget);
        let notices = Arc::new(Notices::default());
        let lanes =
            Arc::new(Lanes::new(clock, engine.config(), &parts.catalog, Arc::clone(&notices))?);
        let (memory, learned) = remember::Memory::open(parts.store, &parts.catalog);
        let cold_store = engine.config().memory.cold_store;
        let mut shell = Self {
            suspend: SuspendDetector::new(&clock),
            surroundings: Surroundings::default(),
            engine,
            events: Arc::clone(&lanes.events),
            lanes: Arc::clone(&lanes),
            clock,
            wall_clock: parts.wall_clock,
            notices,
            waiters: BTreeMap::new(),
            slots: Vec::new(),
            logs: Vec::new(),
            running: BTreeMap::new(),
            leaving: BTreeMap::new(),
            factories: Arc::new(parts.factories),
            processes: parts.processes,
            base_dir: parts.base_dir,
            memory,
            seen: BTreeMap::new(),
            next_sweep: clock.now() + SWEEP,
            measuring: Measuring::default(),
            samples: 0,
            sampler: Arc::default(),
            heap: heap::Heap::new(cold_store),
            taken: measure::Taken::start(),
            pressed: PressureLevel::Low,
            felt: None,
            status: None,
            sections: parts.sections,
            on_finished: Some(on_finished),
            stuck: Vec::new(),
            down: false,
        };
        shell.publish();
        if let Some(source) = parts.pressure {
            shell.felt =
                Some(measure::feel_pressure(source, shell.engine.config(), clock, &lanes)?);
        }
        shell.feed(Input::Learned(learned));
        shell.look_around();
        if let Some(model) = shell.memory.sequence(shell.engine.catalog()) {
            shell.feed(Input::Remembered(Box::new(model)));
        }
        tokio::spawn(shell.run(parts.start));
        Ok(lanes)
    }

    async fn run(mut self, start: bool) {
        // Whatever ends this task, nobody who waits waits for ever.
        let _close = CloseOnDrop(Arc::clone(&self.lanes));
        if start {
            self.feed(Input::Start);
        }
        while !self.down {
            let busy = self.drain();
            let now = self.clock.now();
            let due = self.engine.next_wakeup().unwrap_or(Moment::NEVER);
            let due = due.min(self.next_sweep).min(self.heap.due());
            if busy {
                // Loads and grants of this very task's runtime get their turn between inputs.
                tokio::task::yield_now().await;
            } else if due > now {
                let lanes = Arc::clone(&self.lanes);
                tokio::select! {
                    biased;
                    () = lanes.woken() => continue,
                    () = tokio::time::sleep(due.since(now)) => {}
                }
            }
            let now = self.clock.now();
            if self.next_sweep <= now {
                self.next_sweep = now + SWEEP;
                self.sweep();
                self.remember(false).await;
                self.measure();
                self.look_around();
                if let Some(gap) = self.suspend.check(&self.clock) {
                    self.feed(Input::Resumed { gap });
                }
            }
            self.trim_if_due();
            if self.engine.next_wakeup().is_some_and(|t| t <= now) {
                self.sweep();
                self.feed(Input::Tick);
            }
        }
        self.finish().await;
    }

    /// Takes what waits in the lanes, control first, but no more at a time than leaves other duties their
    /// turn. True when there was anything.
    fn drain(&mut self) -> bool {
        for taken in 0..BATCH {
            // What was used since the last sweep counts before anybody is chosen to go. Before anything is taken: the
            // sweep itself may call off a load whose end is taken next.
            self.sweep();
            if let Some(notice) = self.notices.pop() {
                self.feed(Input::Released { key: notice.key, op: notice.op });
            } else if let Some(control) = self.lanes.next_control() {
                self.control(control);
            } else if let Some(demand) = self.lanes.next_demand() {
                if demand.waiting.reply.is_closed() {
                    // Its owner has left already; the word of that came by the faster lane.
                    continue;
                }
                self.waiters.insert(demand.waiter, demand.waiting);
                self.feed(Input::Demand {
                    waiter: demand.waiter,
                    keys: demand.keys,
                    priority: demand.priority,
                    deadline: demand.deadline,
                    partial: demand.partial,
                });
            } else if let Some(hint) = self.lanes.next_hint() {
                self.feed(hint);
            } else {
                return taken > 0;
            }
            if self.down {
                return true;
            }
        }
        true
    }

    /// Gives the engine an input and carries out what it says.
    pub(crate) fn feed(&mut self, input: Input) {
        self.feed_with(input, None);
    }

    /// The same, with the instance that a finished load made.
    pub(crate) fn feed_with(&mut self, input: Input, made: Option<Instance>) {
        let now = self.clock.now();
        let mut cells = ShellCells {
            slots: &self.slots,
            engine_catalog: Arc::clone(self.engine.catalog()),
            made,
            installed: None,
            tick: Arc::clone(&self.lanes.tick),
            notices: Arc::clone(&self.notices),
            control: self.lanes.control(),
            waiters: &self.waiters,
            tags: &self.lanes.tags,
        };
        let effects = self.engine.handle(input, now, &mut cells);
        let leftover = cells.made.take();
        if let Some(key) = cells.installed {
            self.seen.insert(key, Seen::default());
        }
        // A load that the engine did not want any more: what it made is dropped off this task.
        if let Some(instance) = leftover {
            tokio::task::spawn_blocking(move || drop(instance));
        }
        self.status = None;
        self.carry_out(effects);
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Loaded { key, op, result } => self.loaded(key, op, result),
            Control::Down { key, op } => {
                self.running.remove(&op);
                self.leaving.remove(&op);
                self.note_down(key, op);
                self.feed(Input::UnloadFinished { key, op });
            }
            Control::Engine(input) => {
                if let Input::Pressure(level) = *input {
                    self.pressed(level);
                }
                self.feed(*input);
            }
            Control::Grow { key, op, bytes, reply } => {
                self.feed(Input::Grow { key, op, bytes });
                // Whoever asked may have gone.
                let _ = reply.send(self.heap.limit(op));
            }
            Control::Hibernated { key, snapshot } => {
                if self.pressed < self.engine.config().memory.refuse_loads_at {
                    self.heap.keep(key, snapshot);
                }
            }
            Control::Trimmed(trimmed) => self.trimmed(&trimmed),
            Control::Operator { waiter, key, action, reply } => {
                self.waiters.insert(waiter, Waiting::new(reply));
                self.feed(Input::Operator { waiter, key, action });
            }
            Control::Abandon(waiter) => {
                if self.waiters.remove(&waiter).is_some() {
                    self.feed(Input::Abandon { waiter });
                }
            }
            Control::Status(reply) => {
                let _ = reply.send(self.current_status());
            }
            Control::UsageSummary(reply) => drop(reply.send(self.usage_summary())),
            Control::UsageExport(reply) => drop(reply.send(self.memory.usage.export())),
            Control::UsageForget(reply) => {
                self.forget_use();
                let _ = reply.send(());
            }
            Control::Plan { keys, partial, reply } => {
                let (peek, now) = (slots::Peek(&self.slots), self.clock.now());
                let mut plan = match partial {
                    true => self.engine.plan_partial(&keys, now, &peek),
                    false => self.engine.plan(&keys, now, &peek),
                };
                self.lanes.tags.tell(&mut plan.holders);
                self.lanes.tags.tell_left_out(&mut plan.left_out);
                if let Some(refusal) = &mut plan.refusal {
                    self.lanes.tags.tell_refusal(refusal);
                }
                let _ = reply.send(plan);
            }
            Control::Forget { keys, reply } => self.forget(&keys, reply),
            Control::Configure { specs, pools, config, budget, reply } => {
                let _ = reply.send(self.configure(specs, pools, config, budget));
            }
            Control::MeasuredBuiltins { own } => {
                self.measuring.builtins = false;
                self.footprints(own);
            }
            Control::MeasuredProcesses(measured) => self.measured_processes(measured),
        }
    }

    /// Tells the engine what changed around it: the wall clock, the processor, the battery.
    fn look_around(&mut self) {
        let (now, wall) = (self.clock.now(), self.wall_clock.now());
        let s = &mut self.surroundings;
        let expected = s.wall.map(|(at, w)| w.0 + now.since(at).as_secs() as i64);
        // Both clocks count whole seconds and may differ by one.
        let set = expected.is_none_or(|e| (wall.0 - e).abs() > 1);
        let busy = !s.machine.is_calm();
        let changed = std::mem::replace(&mut s.busy, busy) != busy;
        let battery = s.looks.is_multiple_of(BATTERY_EVERY) && {
            let on = machine::is_on_battery();
            std::mem::replace(&mut s.on_battery, on) != on
        };
        s.looks += 1;
        let on_battery = s.on_battery;
        let spare =
            self.felt.as_ref().and_then(|f| f.spare(self.engine.config().memory.refuse_loads_at));
        // In steps: programs come and go by a few pages all the time.
        let step = (self.engine.budget().total().0 / SPARE_STEPS).max(1);
        let spare = spare.map(|bytes| ByteSize(bytes.0 / step * step));
        let spare = spare.filter(|bytes| s.spare.replace(*bytes) != Some(*bytes));
        if set {
            s.wall = Some((now, wall));
            self.feed(Input::WallClock(wall));
        }
        if changed {
            self.feed(Input::Calm(!busy));
        }
        if battery {
            self.feed(Input::Battery(on_battery));
        }
        if let Some(bytes) = spare {
            self.feed(Input::Spare(bytes));
        }
    }

    fn configure(
        &mut self,
        specs: Vec<majordomo_registry::ComponentSpec>,
        pools: Vec<PoolSpec>,
        config: Box<Config>,
        budget: ByteSize,
    ) -> Result<(), majordomo_registry::CatalogError> {
        let catalog = Arc::new(Catalog::build(specs, pools, Some(self.engine.catalog()))?);
        self.grow_slots(catalog.len());
        if let Some(felt) = &self.felt {
            felt.configure(&config.memory);
        }
        self.heap.configure(config.memory.cold_store);
        self.feed(Input::Configure { catalog, config, budget });
        Ok(())
    }

    pub(crate) fn grow_slots(&mut self, len: usize) {
        while self.slots.len() < len {
            self.slots.push(Arc::default());
            self.logs.push(Arc::new(LogBuffer::new(crate::logs::LogConfig::default())));
        }
    }

    /// Publishes names and slots for the fast path.
    pub(crate) fn publish(&mut self) {
        let catalog = Arc::clone(self.engine.catalog());
        self.grow_slots(catalog.len());
        let published = Published::new(catalog, self.slots.clone(), self.logs.clone());
        self.lanes.published.store(Arc::new(published));
    }
}
