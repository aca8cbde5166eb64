//! `majordomo-lab soak-subject`: the process under test, with a manager, its clients and its faults in it.
//!
//! It is a child of the driver, which may stop, starve and kill it at any moment; its reports are lines
//! on standard output. Ends when standard input says `stop`, `stop now` or ends.

mod rest;
mod warm_up;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use majordomo::{
    ByteSize, ComponentKey, ComponentState, EventKind, EventRecord, Factory, Followed, GuardForm,
    Manager, Status, StatusValue,
};
use majordomo_memory::{PressureReading, ScriptHandle, ScriptedSource};
use majordomo_server::{Address, ServeOptions};
use majordomo_sim::Rng;
use tokio::sync::{RwLock, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::catalog::{self, Variant};
use super::clients::{self, Shared, Tally};
use super::durability::{self, Durability};
use super::faults::{Armory, Fault, Injector};
use super::plan::{CLIENTS, Leak, Profile};
use super::sample::{Levels, Message, Sample};
use super::watch::{Watch, known};

/// Arguments of `soak-subject`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where configuration, state and orders lie
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The word that every component carries
    #[arg(long)]
    pub(crate) mark: String,
    /// Where the manager is served
    #[arg(long)]
    pub(crate) socket: PathBuf,
    #[arg(long)]
    pub(crate) profile: Profile,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) epoch: u32,
    /// Seconds of the run before this process
    #[arg(long)]
    pub(crate) offset_ms: u64,
    #[arg(long)]
    pub(crate) sample_ms: u64,
    #[arg(long)]
    pub(crate) day_ms: u64,
    /// Pressure is that of the machine and of the own cgroup, not what standard input orders
    #[arg(long)]
    pub(crate) real_pressure: bool,
    #[arg(long, value_delimiter = ',')]
    pub(crate) plant: Vec<Leak>,
    /// So much more use is reported before anything is measured, for data that grows slowly to its bound
    #[arg(long)]
    pub(crate) settle_batches: usize,
    /// Components may be parked
    #[arg(long)]
    pub(crate) rungs: bool,
    /// Nothing is measured: it works at once
    #[arg(long)]
    pub(crate) no_warm_up: bool,
    /// Writes learned data this often, and reports the begin and end of each write
    #[arg(long, value_name = "MS")]
    pub(crate) write_state_ms: Option<u64>,
}

impl Args {
    /// How the components are configured at first.
    fn variant(&self) -> Variant {
        Variant { write_state_ms: self.write_state_ms, rungs: self.rungs, ..Variant::default() }
    }
}

/// This share of a day is active, the rest is night.
const ACTIVE: f64 = 0.85;
/// Failures of components that are put into the log.
const LOGGED: usize = 2_000;
/// Everything must be down within this once no client asks any more.
const REST: Duration = Duration::from_secs(25);

/// Runs the process under test.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Idle threads, each of which keeps some freed memory, go before a night is looked at.
    runtime.worker_threads(2).enable_all().thread_keep_alive(Duration::from_millis(100));
    let runtime = runtime.build().context("no threads")?;
    let result = runtime.block_on(Subject::start(args));
    // A hung builtin's thread is not waited for.
    runtime.shutdown_background();
    result
}

struct Subject {
    args: Args,
    began: Instant,
    shared: Shared,
    watch: Arc<Mutex<Watch>>,
    durability: Durability,
    /// The task that checks every record.
    following: Option<tokio::task::JoinHandle<()>>,
}

/// The available part of the limit at each level, when pressure is scripted.
fn reading(level: usize) -> PressureReading {
    let share = [0.5, 0.22, 0.18, 0.13, 0.08];
    let available = GROUP_LIMIT.scaled(share[level.min(4)]);
    PressureReading::scripted(available, GROUP_LIMIT)
}

async fn manager(args: &Args, armory: &Armory) -> anyhow::Result<(Manager, ScriptHandle)> {
    let program = std::env::current_exe().context("the own program cannot be found")?;
    std::fs::create_dir_all(args.dir.join("faults")).context("the run's folder cannot be made")?;
    let file = args.dir.join("config.toml");
    std::fs::write(&file, catalog::config(&program, &args.dir, &args.mark, args.variant()))
        .context("the configuration cannot be written")?;
    let (blocking, asynchronous, clock) = (armory.clone(), armory.clone(), armory.clone());
    let mut builder = Manager::builder()
        .config_file(file)
        .state_dir(args.dir.join("state"))
        .guard(GuardForm::this_program()?)
        .wall_clock(move || clock.wall_clock())
        .factory("blocking", Factory::component(move |ctx| blocking.make(&ctx)))
        .factory(
            "async",
            Factory::asynchronous(move |ctx| asynchronous.clone().make_async(ctx.id().to_string())),
        );
    if cfg!(target_os = "linux") {
        builder = builder.adopt_strays();
    }
    let (source, script) = ScriptedSource::shared("soak", reading(0));
    if !args.real_pressure {
        builder = builder.pressure(Some(Box::new(source)));
    }
    Ok((builder.start().await.context("the manager does not start")?, script))
}

impl Subject {
    async fn start(args: &Args) -> anyhow::Result<()> {
        if args.write_state_ms.is_some() {
            durability::report_writes()?;
        }
        let armory = Armory::new(args.rungs);
        let (manager, script) = manager(args, &armory).await?;
        let options = ServeOptions { socket: Some(args.socket.clone()), ..ServeOptions::default() };
        let server = majordomo_server::serve(manager.clone(), options).await?;
        let (set_shift, shift) = watch::channel(args.profile.shift(0.0));
        let (hung, mut hung_reports) = mpsc::unbounded_channel();
        let shared = Shared {
            manager: manager.clone(),
            tally: Arc::default(),
            gate: Arc::new(RwLock::new(())),
            shift,
            socket: Address::Unix(args.socket.clone()),
            hung,
        };
        let watch = Arc::new(Mutex::new(Watch::default()));
        let mut subject = Self {
            args: args.clone(),
            began: Instant::now(),
            shared,
            watch: Arc::clone(&watch),
            durability: Durability::default(),
            following: None,
        };
        let known = durability::known(&manager).await;
        subject.durability.begin(known.clone());
        Message::Started { learned: known }.send();
        subject.follow();
        let mut orders = orders();
        let mut rng = Rng::new(&[args.seed, u64::from(args.epoch)]);
        let mut injector = Injector {
            manager: manager.clone(),
            armory,
            program: std::env::current_exe()?,
            dir: args.dir.clone(),
            mark: args.mark.clone(),
            variant: args.variant(),
            rng: Rng::new(&[rng.bits()]),
        };
        let mut ends = false;
        if !args.no_warm_up {
            let rng = &mut Rng::new(&[rng.bits()]);
            ends = subject.warm_up_unless_ended(&mut injector, rng, &mut orders, &script).await;
        }
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..if ends { 0 } else { CLIENTS } {
            clients.spawn(clients::run(number, subject.shared.clone(), Rng::new(&[rng.bits()])));
        }
        let injector = Arc::new(tokio::sync::Mutex::new(injector));
        let (stop_faults, stopped) = watch::channel(false);
        let faults = tokio::spawn(subject.faults(Arc::clone(&injector), stopped));
        for leak in args.plant.iter().copied() {
            let seed = [args.seed, leak as u64];
            let planting = super::leak::plant(leak, args.mark.clone(), Rng::new(&seed));
            let runtime = tokio::runtime::Handle::current();
            // On a thread of its own: a task that was not there at the warm-up's end would be a leak by itself.
            std::thread::spawn(move || runtime.block_on(planting));
        }

        let sample = Duration::from_millis(args.sample_ms);
        let day = Duration::from_millis(args.day_ms);
        let (mut samples, mut morning) = (tokio::time::interval(sample), Instant::now());
        samples.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shifts = tokio::time::interval((day / 40).max(Duration::from_millis(50)));
        shifts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !ends {
            tokio::select! {
                order = orders.recv() => ends = obey(order.as_deref(), &script).is_some(),
                Some(report) = hung_reports.recv() => subject.violation(report),
                _ = samples.tick() => subject.sample(None).await,
                _ = shifts.tick() => {
                    if let Some(learned) = subject.durability.look(&subject.shared.manager).await {
                        Message::Checkpoint { learned }.send();
                    }
                    let share = morning.elapsed().as_secs_f64() / day.as_secs_f64();
                    if share < ACTIVE {
                        let shift = args.profile.shift(share / ACTIVE);
                        set_shift.send_if_modified(|s| std::mem::replace(s, shift) != shift);
                    } else {
                        subject.night().await;
                        morning = Instant::now();
                    }
                }
            }
        }
        stop_faults.send_replace(true);
        drop(set_shift);
        // Before the gate closes: a client that waited there would still be a task at the end.
        let _ = timeout(REST, async { while clients.join_next().await.is_some() {} }).await;
        let _ = timeout(REST, faults).await;
        subject.end(&injector).await;
        while let Ok(report) = hung_reports.try_recv() {
            subject.violation(report);
        }
        let stuck = server.shutdown(None).await;
        Message::Down { stuck: stuck.iter().map(ToString::to_string).collect() }.send();
        Ok(())
    }

    fn at_s(&self) -> f64 {
        self.args.offset_ms as f64 / 1e3 + self.began.elapsed().as_secs_f64()
    }

    fn violation(&self, what: String) {
        Message::Violation { at_s: self.at_s(), what }.send();
    }

    fn mark(at_s: f64, what: &str) {
        Message::Mark { at_s, what: what.to_owned() }.send();
    }

    /// Checks the invariants on every record.
    fn follow(&mut self) {
        let (manager, watch) = (self.shared.manager.clone(), Arc::clone(&self.watch));
        let (began, offset) = (self.began, self.args.offset_ms as f64 / 1e3);
        let mut follower = manager.events(Some(0));
        let check = move |watch: &Mutex<Watch>, followed: &Followed| {
            let mut watch = lock(watch);
            let configured = match followed {
                Followed::Record(r) => matches!(r.kind, EventKind::ConfigApplied { .. }),
                Followed::Gap(_) => true,
            };
            if configured || watch.counts.records == 0 {
                watch.configured(known_now(&manager));
            }
            for what in watch.see(followed) {
                let at_s = offset + began.elapsed().as_secs_f64();
                Message::Violation { at_s, what }.send();
            }
        };
        let following = tokio::spawn(async move {
            let mut n_logged = 0;
            while let Some(followed) = follower.next().await {
                check(&watch, &followed);
                if let Followed::Record(EventRecord {
                    kind: EventKind::State { component, to, cause, .. },
                    ..
                }) = &followed
                    && matches!(to, ComponentState::Failed { .. } | ComponentState::Stuck)
                    && n_logged < LOGGED
                {
                    // Standard error is the run's log, which cannot be written either while the disk is full.
                    let _ = writeln!(std::io::stderr(), "{component} is {to}: {cause}");
                    n_logged += 1;
                }
            }
        });
        self.following = Some(following);
    }

    /// Injects faults as the shift of the day wants.
    fn faults(
        &self,
        injector: Arc<tokio::sync::Mutex<Injector>>,
        mut stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        let (began, offset) = (self.began, self.args.offset_ms as f64 / 1e3);
        let at_s = move || offset + began.elapsed().as_secs_f64();
        async move {
            loop {
                let every = shared.shift.borrow().fault_every;
                let mut injector = injector.lock().await;
                let pause = match every {
                    Some(mean) => mean.mul_f64(-(1.0 - injector.rng.unit()).ln()).min(mean * 3),
                    None => Duration::from_secs(1),
                };
                let pause = pause.min(Duration::from_secs(20));
                if timeout(pause, stopped.wait_for(|s| *s)).await.is_ok() {
                    return;
                }
                let Some(mean) = shared.shift.borrow().fault_every else { continue };
                // A long mean was cut to look again at the shift.
                if mean > Duration::from_secs(20) && !injector.rng.chance(20.0 / mean.as_secs_f64())
                {
                    continue;
                }
                let _open = shared.gate.read().await;
                let fault: Fault = injector.next();
                Self::mark(at_s(), fault.word());
                shared.count(fault.word());
                if let Err(what) = injector.inject(fault).await {
                    Message::Violation { at_s: at_s(), what }.send();
                }
            }
        }
    }

    /// No client asks; everything is unloaded; the rest is memory that this process keeps.
    async fn night(&mut self) {
        let gate = Arc::clone(&self.shared.gate);
        let _closed = gate.write().await;
        let hanging = lock(&self.watch).hanging(self.shared.manager.now());
        hanging.into_iter().for_each(|what| self.violation(what));
        let (levels, rests) = self.rest().await;
        self.sample(rests.then_some(levels)).await;
    }

    /// Everything is unloaded, CORE too, and every bound must hold.
    async fn end(&mut self, injector: &tokio::sync::Mutex<Injector>) {
        let gate = Arc::clone(&self.shared.gate);
        let Ok(_closed) = timeout(REST, gate.write()).await else {
            self.violation("a client does not come to an end".to_owned());
            return;
        };
        let mut injector = injector.lock().await;
        let last = Variant { core: false, extra: false, ..injector.variant };
        self.configure(&mut injector, last).await;
        let (levels, _) = self.rest().await;
        let Ok(status) = self.shared.manager.status().await else { return };
        // No night like the others: CORE and the clients have ended as well, which would hide growth.
        self.sample(None).await;
        if self.args.rungs {
            let parking = &status.memory.parking;
            let why_not = || parking.why_not.clone().unwrap_or_else(|| "not known yet".to_owned());
            Message::Swap { offered: parking.means.clone().ok_or_else(why_not) }.send();
        }
        let left = status.components.iter().filter(|c| c.state.is_alive());
        let not_unloaded = left.map(|c| format!("{} ({})", c.id, c.state)).collect();
        let booked = status.memory.booked.0 + status.memory.claimed.0;
        let pools: u64 = status.memory.pools.iter().map(|p| p.booked.0).sum();
        Message::Ended { levels, booked: booked + pools, not_unloaded }.send();
    }

    /// Sends the levels, which at rest were measured before.
    async fn sample(&mut self, rest: Option<Levels>) {
        let Ok(status) = self.shared.manager.status().await else { return };
        if self.following.take_if(|f| f.is_finished()).is_some() {
            self.violation("the records are not checked any more".to_owned());
        }
        let (resting, levels) = match rest {
            Some(levels) => (true, levels),
            None => (false, Levels::measure(&self.args.mark)),
        };
        let memory = &status.memory;
        if memory.booked + memory.claimed > memory.budget + memory.overdraft {
            self.violation(format!(
                "invariant 3: {} are booked and {} claimed of {}, overdraft {}",
                memory.booked, memory.claimed, memory.budget, memory.overdraft
            ));
        }
        let (ready, wait, socket, counters) = {
            let mut tally = self.shared.tally();
            let counters: BTreeMap<String, u64> =
                tally.counters.iter().map(|(k, n)| (k.clone().into_owned(), *n)).collect();
            let Tally { ready, wait, socket, .. } = &mut *tally;
            (std::mem::take(ready), std::mem::take(wait), std::mem::take(socket), counters)
        };
        let mut sample = Sample {
            epoch: self.args.epoch,
            at_s: self.at_s(),
            age_s: self.began.elapsed().as_secs_f64(),
            resting,
            pressure: memory.pressure.map_or(0, |p| p as u8),
            levels,
            booked: memory.booked.0,
            claimed: memory.claimed.0,
            overdraft: memory.overdraft.0,
            pools: memory.pools.iter().map(|p| (p.name.to_string(), p.booked.0)).collect(),
            waiting: status.waiting as u64,
            hints_waiting: count(&status, "engine", "hints_waiting"),
            loads_running: count(&status, "runtime", "loads_running"),
            ready,
            wait,
            socket,
            counters,
        };
        let counts = lock(&self.watch).counts;
        let counted = [
            ("loads of programs", counts.loads_of_programs),
            ("loads of builtins", counts.loads_of_builtins),
            ("unloads", counts.unloads),
            ("failures", counts.failures),
            ("records", counts.records),
            ("records missed", counts.gaps),
            ("parks in swap", counts.paged),
            ("parks asleep", counts.asleep),
            ("wakes", counts.wakes),
        ];
        sample.counters.extend(counted.map(|(name, n)| (name.to_owned(), n)));
        Message::Sample { sample: Box::new(sample) }.send();
    }
}

fn lock(watch: &Mutex<Watch>) -> std::sync::MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(super) fn count(status: &Status, section: &str, name: &str) -> u64 {
    let mut values = status.sections.get(section).into_iter().flatten();
    match values.find(|(n, _)| n == name) {
        Some((_, StatusValue::Count(n))) => *n,
        _ => 0,
    }
}

fn known_now(manager: &Manager) -> BTreeMap<ComponentKey, super::watch::Known> {
    let keys = (0..u32::MAX).map(ComponentKey).map_while(|k| Some((k, manager.name_of(k)?)));
    let names: BTreeMap<String, ComponentKey> = keys.map(|(k, id)| (id.to_string(), k)).collect();
    known(&manager.components(), &names)
}

/// How a process under test is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// When it has warmed up, if it has not yet.
    Warm,
    /// At once.
    Now,
}

impl Stop {
    /// The order that says so.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Warm => "stop",
            Self::Now => "stop now",
        }
    }
}

/// Carries out the driver's order, or returns how this process is to end. Without a driver it ends at once.
fn obey(order: Option<&str>, script: &ScriptHandle) -> Option<Stop> {
    match order.map(|o| (o, o.strip_prefix("pressure "))) {
        Some((_, Some(level))) => {
            script.set(reading(level.parse().unwrap_or(0)));
            None
        }
        Some((word, None)) if word == Stop::Warm.word() => Some(Stop::Warm),
        _ => Some(Stop::Now),
    }
}

/// The driver's words.
fn orders() -> mpsc::Receiver<String> {
    let (send, orders) = mpsc::channel(4);
    // Not a task: nothing can interrupt a read of standard input.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    orders
}

/// Memory that the process under test may use when its group is bounded.
pub(crate) const GROUP_LIMIT: ByteSize = ByteSize::mib(512);
