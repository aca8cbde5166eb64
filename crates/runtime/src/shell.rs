//! The tokio shell: one task that owns the engine, carries out its effects and feeds back what happened.
//!
//! Data flow: callers and tasks put messages into lanes and wake the shell; the shell drains control, then
//! demands, then hints; each message becomes one engine input; effects are carried out at once, in order.
//! It never decides. Lanes: control (bounded by construction: completions, abandons, operators), demands
//! (bounded, full = overloaded), three lanes of hints (bounded, full = dropped and counted).

mod carry_out;
mod control;
mod file_reads;
mod heap;
mod hooks;
mod ladder;
mod lanes;
mod learned_store;
mod load;
mod load_errors;
mod look_around;
mod measure;
mod pressure;
mod read_ahead;
mod remember;
mod rungs;
mod slots;
mod stages;
mod steps_done;
mod surroundings;
mod taken;
mod trim;
mod unload;

pub(crate) use lanes::Lanes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentId, ComponentKey, Config, Moment, OpId, PressureLevel, StateStore,
    StatusValue, WaiterId,
};
use majordomo_engine::{Engine, Input, Offers};
use majordomo_memory::PressureSource;
use majordomo_registry::Catalog;
use tokio::sync::{oneshot, watch};

use crate::clock::{Clock, SuspendDetector, WallClock};
use crate::component::Instance;
use crate::component_thread;
use crate::component_thread::guarded;
use crate::events::EventLog;
use crate::footprint::Sampler;
use crate::lease::Incarnation;
use crate::load_clock::LoadClock;
use crate::loader::Factory;
use crate::logs::LogBuffer;
use crate::machine;
use crate::message::Waiting;
use crate::notices::Notices;
use crate::pressure::Felt;
use crate::process::ProcessLoader;
use crate::rungs::Rungs;
use hooks::end_wait;
use ladder::OnLadder;
use learned_store::LearnedStore;
use load_errors::LoadErrors;
use slots::{CountedLeases, Published, ShellCells};
use steps_done::StepsDone;
use surroundings::Surroundings;
use taken::Taken;

/// Messages taken from the lanes before sweeps and timers get their turn.
const BATCH: usize = 256;
/// The shell measures and sweeps this often.
const SWEEP: Duration = Duration::from_secs(1);

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
    /// The wall clock by which the time of day of each use is learned and recorded.
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

/// Closes the lanes when the shell's task ends, also by a panic or with its runtime, and revokes the leases that are
/// left: no request and no lease reaches a component that is not managed any more.
struct CloseOnDrop(Arc<Lanes>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
        self.0.published.load().revoke_all(&Cause::Shutdown);
    }
}

/// A load or unload that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Set when a builtin's load is to stop.
    pub cancelled: Arc<AtomicBool>,
    /// Stops a process' load within the time sent; a later, shorter time hastens it.
    pub cancel: Option<watch::Sender<Option<Duration>>>,
    /// When the load reached its stages.
    pub clock: Arc<LoadClock>,
    /// Ends an async builtin's load.
    pub abort: Option<tokio::task::AbortHandle>,
    pub was_cancelled: bool,
}

impl Drop for Running {
    /// The load has ended, or the shell has: then an instance that a factory makes has no receiver.
    fn drop(&mut self) {
        // Relaxed: a hint to the loader.
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The state of the shell's task.
pub(crate) struct Shell {
    pub engine: Engine,
    pub lanes: Arc<Lanes>,
    pub clock: Clock,
    pub wall_clock: WallClock,
    pub events: Arc<EventLog>,
    pub notices: Arc<Notices>,
    pub waiters: BTreeMap<WaiterId, Waiting>,
    pub slots: Vec<Arc<crate::lease::Slot>>,
    pub logs: Vec<Arc<LogBuffer>>,
    pub running: BTreeMap<OpId, Running>,
    /// The errors of loaders whose last load failed.
    pub load_errors: LoadErrors,
    /// Incarnations that are being taken down, so that they can be killed.
    pub leaving: BTreeMap<OpId, std::sync::Weak<Incarnation>>,
    /// Incarnations that are parked, or that are parked or woken now.
    pub ladder: BTreeMap<OpId, OnLadder>,
    pub rungs: Rungs,
    pub steps_done: StepsDone,
    /// The rungs on offer as last reported to the engine.
    pub offered: Offers,
    pub factories: Arc<BTreeMap<String, Factory>>,
    pub processes: Option<ProcessLoader>,
    pub base_dir: PathBuf,
    pub learned: LearnedStore,
    /// Published components: what each was seen to have been used by the last sweep.
    pub seen: BTreeMap<ComponentKey, Seen>,
    pub suspend: SuspendDetector,
    pub surroundings: Surroundings,
    pub next_sweep: Moment,
    pub measuring: Measuring,
    pub samples: u64,
    pub sampler: Arc<Mutex<Sampler>>,
    pub heap: heap::Heap,
    pub taken: Taken,
    /// The level of pressure as last reported to the engine.
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
        let config = machine::fitted(parts.config);
        let engine = Engine::new(Arc::clone(&parts.catalog), config, parts.budget);
        let notices = Arc::new(Notices::default());
        let lanes =
            Arc::new(Lanes::new(clock, engine.config(), &parts.catalog, Arc::clone(&notices))?);
        let (learned, figures) = LearnedStore::open(parts.store, &parts.catalog);
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
            load_errors: LoadErrors::default(),
            leaving: BTreeMap::new(),
            ladder: BTreeMap::new(),
            rungs: Rungs::default(),
            steps_done: StepsDone::default(),
            offered: Offers::default(),
            factories: Arc::new(parts.factories),
            processes: parts.processes,
            base_dir: parts.base_dir,
            learned,
            seen: BTreeMap::new(),
            next_sweep: clock.now() + SWEEP,
            measuring: Measuring::default(),
            samples: 0,
            sampler: Arc::default(),
            heap: heap::Heap::new(cold_store),
            taken: Taken::start(),
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
                Some(pressure::feel_pressure(source, shell.engine.config(), clock, &lanes)?);
        }
        shell.feed(Input::Learned(figures));
        let rungs = shell.learned.rungs(shell.engine.catalog());
        if !rungs.is_empty() {
            shell.feed(Input::LearnedRungs(rungs));
        }
        shell.look_around();
        if let Some(writes) = shell.learned.swap_writes() {
            shell.rungs.paged.restore(&writes);
        }
        shell.look_for_rungs();
        shell.offer_rungs();
        if let Some(model) = shell.learned.sequence(shell.engine.catalog()) {
            shell.feed(Input::Remembered(Box::new(model)));
        }
        let close = CloseOnDrop(Arc::clone(&lanes));
        tokio::spawn(shell.run(parts.start, close));
        Ok(lanes)
    }

    /// `_close` ends all waits when the task ends, also before it ran.
    async fn run(mut self, start: bool, _close: CloseOnDrop) {
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
                self.look_for_rungs();
                self.offer_rungs();
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

    /// Takes messages from the lanes, control first, but only as many at a time as leave other duties a turn. True when
    /// there was one.
    fn drain(&mut self) -> bool {
        for taken in 0..BATCH {
            // Uses since the last sweep count before victims are chosen. Before a message is taken: the sweep itself may
            // cancel a load whose end is taken next.
            self.sweep();
            if let Some(id) = self.notices.pop() {
                self.feed(Input::Released { id });
            } else if let Some(control) = self.lanes.next_control() {
                self.control(control);
            } else if let Some(demand) = self.lanes.next_demand() {
                if demand.waiting.reply.is_closed() {
                    // Its owner has left already; the word of that came by the faster lane.
                    drop(end_wait(demand.waiting));
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
            granted: CountedLeases::default(),
            installed: None,
            tick: Arc::clone(&self.lanes.tick),
            notices: Arc::clone(&self.notices),
            control: self.lanes.control(),
            waiters: &self.waiters,
            tags: &self.lanes.tags,
        };
        let effects = self.engine.handle(input, now, &mut cells);
        let leftover = cells.made.take();
        let granted = std::mem::take(&mut cells.granted);
        if let Some(key) = cells.installed {
            self.seen.insert(key, Seen::default());
        }
        // The instance of a load that the engine had cancelled is dropped off this task.
        if let Some(instance) = leftover {
            component_thread::run(move || guarded(move || drop(instance)));
        }
        self.status = None;
        self.carry_out(effects, granted);
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
