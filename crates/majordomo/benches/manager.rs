//! The cost of a lease and of a load through the whole manager, beside a control in the same run.
//!
//! Leases against one `Arc` clone and drop; a load and unload from a foreign thread against the same two round
//! trips through a bare task (flume in, oneshot back). Rounds of all cases take turns, and a ratio is the median
//! of the rounds' ratios, so a loaded machine slows both sides. `cargo bench` measures; run otherwise (or with
//! `--test`) each case runs once.

#[path = "shared/measure.rs"]
mod measure;

use std::hint::black_box;
use std::sync::{Arc, Barrier};

use majordomo::{ByteSize, ComponentKey, ComponentSpec, Config, Handle, Manager};
use majordomo_registry::Catalog;
use majordomo_runtime::clock::WallClock;
use majordomo_runtime::{AcquireOptions, CachedIncarnation, Factory, Host, Instance, ShellParts};
use measure::now;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// As many components as an assistant has; the two measured ones are in the middle.
const NAMES: [&str; 12] = [
    "alarm",
    "calendar",
    "camera",
    "email",
    "lights",
    "music",
    "weather",
    "news",
    "speech",
    "translate",
    "vision",
    "wake-word",
];
const FIRST: &str = NAMES[5];
const SECOND: &str = NAMES[6];

/// A component whose value is read through the lease.
struct Noop(u64);

struct Scale {
    n_rounds: usize,
    /// Leases in one round of a case: long enough for the clock, short enough to be seldom interrupted.
    n_leases: usize,
    n_loads: usize,
}

fn main() {
    let scale = if measure::is_measured() {
        Scale { n_rounds: 401, n_leases: 2_000, n_loads: 2_000 }
    } else {
        Scale { n_rounds: 1, n_leases: 2, n_loads: 2 }
    };
    leases(&scale);
    threads(&scale);
    loads(&scale);
}

fn runtime(n_workers: usize) -> Runtime {
    let mut builder = if n_workers == 0 {
        Builder::new_current_thread()
    } else {
        let mut b = Builder::new_multi_thread();
        b.worker_threads(n_workers);
        b
    };
    builder.enable_all().build().expect("the system gives threads")
}

fn specs() -> Vec<ComponentSpec> {
    let spec = |name: &&str| {
        let mut spec = ComponentSpec::builtin(name).expect("the names are good");
        spec.memory = ByteSize::mib(1);
        spec
    };
    NAMES.iter().map(spec).collect()
}

async fn manager() -> Manager {
    let mut builder = Manager::builder().budget(ByteSize::mib(64)).pressure(None);
    for spec in specs() {
        builder =
            builder.builtin_with(spec, majordomo::Factory::asynchronous(|_| async { Ok(Noop(7)) }));
    }
    builder.start().await.expect("the catalog is good")
}

/// The layer below, which knows components by key.
fn host() -> Host {
    let catalog = Arc::new(Catalog::build(specs(), Vec::new(), None).expect("the catalog is good"));
    let make = || Factory::asynchronous(|_| async { Ok(Instance::plain(Noop(7))) });
    Host::start(ShellParts {
        catalog,
        config: Config::default(),
        budget: ByteSize::mib(64),
        factories: NAMES.iter().map(|n| ((*n).to_owned(), make())).collect(),
        processes: None,
        base_dir: std::path::PathBuf::new(),
        store: None,
        pressure: None,
        wall_clock: WallClock::default(),
        start: true,
        sections: Vec::new(),
    })
    .expect("the system gives a thread")
}

/// Nanoseconds for one of `n` calls.
fn time(n: usize, mut call: impl FnMut()) -> f64 {
    let start = now();
    for _ in 0..n {
        call();
    }
    start.elapsed().as_nanos() as f64 / n as f64
}

fn arc_clone(control: &Arc<Noop>) {
    let clone = Arc::clone(control);
    black_box(clone.0);
}

fn by_key(host: &Host, key: ComponentKey) {
    let lease = host.try_acquire(key).expect("it is ready");
    black_box(lease.get::<Noop>().map(|n| n.0));
}

fn by_cached(cached: &CachedIncarnation<Noop>) {
    let lease = cached.acquire().expect("it is ready");
    black_box(lease.0);
}

fn by_handle(handle: &Handle<Noop>) {
    let lease = handle.try_acquire().expect("it is ready");
    black_box(lease.0);
}

fn by_name(manager: &Manager, name: &str) {
    let lease = manager.try_acquire::<Noop>(name).expect("it is ready");
    black_box(lease.0);
}

/// One column of figures, a row a round.
struct Series {
    name: &'static str,
    target: Option<f64>,
    ns: Vec<f64>,
}

impl Series {
    fn new(name: &'static str, target: Option<f64>) -> Self {
        Self { name, target, ns: Vec::new() }
    }
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

/// The first series is the control of the others.
fn report(title: &str, series: &[Series]) {
    println!("{title}");
    let (control, cases) = series.split_first().expect("there is a control");
    println!("  {:44} {:9.1} ns", control.name, quantile(&control.ns, 0.5));
    for case in cases {
        let ratios: Vec<f64> = case.ns.iter().zip(&control.ns).map(|(a, b)| a / b).collect();
        let target = case.target.map_or(String::new(), |t| format!("  (target <= {t})"));
        let (median, ratio) = (quantile(&case.ns, 0.5), quantile(&ratios, 0.5));
        println!("  {:44} {median:9.1} ns   {ratio:5.2} x{target}", case.name);
    }
}

fn leases(scale: &Scale) {
    let rt = runtime(1);
    rt.block_on(async {
        let (manager, host) = (manager().await, host());
        let key = host.key(FIRST).expect("it exists");
        drop(host.acquire_all(&[key], AcquireOptions::default()).await.expect("it loads"));
        drop(manager.acquire::<Noop>(FIRST).await.expect("it loads"));
        let handle = manager.handle_of::<Noop>(FIRST).expect("it exists");
        let control = Arc::new(Noop(7));
        let mut series = [
            Series::new("Arc clone + drop", None),
            Series::new("lease by key", Some(2.5)),
            Series::new("lease by cached handle", Some(2.0)),
            Series::new("lease by name", Some(4.0)),
            Series::new("lease by name, awaited", None),
        ];
        let n = scale.n_leases;
        for _ in 0..scale.n_rounds {
            series[0].ns.push(time(n, || arc_clone(black_box(&control))));
            series[1].ns.push(time(n, || by_key(&host, black_box(key))));
            series[2].ns.push(time(n, || by_handle(&handle)));
            series[3].ns.push(time(n, || by_name(&manager, black_box(FIRST))));
            let start = now();
            for _ in 0..n {
                let lease = manager.acquire::<Noop>(black_box(FIRST)).await.expect("it is ready");
                black_box(lease.0);
            }
            series[4].ns.push(start.elapsed().as_nanos() as f64 / n as f64);
        }
        report("acquire, use and release a ready component, one thread", &series);
        manager.shutdown(None).await;
        host.shutdown(None).await;
    });
}

/// Both threads start together; the slower one counts.
fn both(n: usize, call: impl Fn(usize) + Sync) -> f64 {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|i| {
            let (start, call) = (&start, &call);
            scope.spawn(move || {
                start.wait();
                time(n, || call(i))
            })
        });
        threads.map(|t| t.join().expect("no case panics")).into_iter().fold(0.0, f64::max)
    })
}

fn threads(scale: &Scale) {
    let rt = runtime(1);
    let _entered = rt.enter();
    let host = host();
    let keys = [FIRST, SECOND].map(|n| host.key(n).expect("it exists"));
    drop(rt.block_on(host.acquire_all(&keys, AcquireOptions::default())).expect("they load"));
    let controls = [Arc::new(Noop(7)), Arc::new(Noop(8))];
    let cached: [CachedIncarnation<Noop>; 2] = keys.map(|key| host.cached(key).expect("it exists"));
    let n = scale.n_leases * 5;
    let mut one = [Series::new("one Arc", None), Series::new("one component by key", None)];
    let mut two = [
        Series::new("two Arcs", None),
        Series::new("two components by cached handle", Some(1.5)),
        Series::new("two components by key", None),
    ];
    for _ in 0..scale.n_rounds.div_ceil(4) {
        one[0].ns.push(both(n, |_| arc_clone(&controls[0])));
        one[1].ns.push(both(n, |_| by_key(&host, keys[0])));
        two[0].ns.push(both(n, |i| arc_clone(&controls[i])));
        two[1].ns.push(both(n, |i| by_cached(&cached[i])));
        two[2].ns.push(both(n, |i| by_key(&host, keys[i])));
    }
    report("the same on two threads, one component", &one);
    report("the same on two threads, a component each", &two);
    rt.block_on(host.shutdown(None));
}

async fn cycle(manager: &Manager) {
    manager.operator().load(FIRST).await.expect("it loads");
    manager.operator().unload(FIRST, false).await.expect("it is not leased");
}

/// Microseconds of each cycle from a task of the runtime.
async fn from_a_task(manager: &Manager, n: usize) -> Vec<f64> {
    let manager = manager.clone();
    let cycles = tokio::spawn(async move {
        let mut us = Vec::with_capacity(n);
        for _ in 0..n {
            let start = now();
            cycle(&manager).await;
            us.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
        us
    });
    cycles.await.expect("no cycle panics")
}

fn loads(scale: &Scale) {
    for (name, n_workers) in [("current-thread", 0), ("one worker", 1), ("two workers", 2)] {
        let rt = runtime(n_workers);
        let us = rt.block_on(async {
            let manager = manager().await;
            from_a_task(&manager, scale.n_loads / 10).await;
            let us = from_a_task(&manager, scale.n_loads).await;
            manager.shutdown(None).await;
            us
        });
        println!(
            "load and unload from a task, {name} runtime (target p50 <= 20 us, p99 <= 200 us)"
        );
        let [p50, p99] = [0.5, 0.99].map(|q| quantile(&us, q));
        println!("  p50 {p50:.1} us   p99 {p99:.1} us");
    }
    foreign(scale);
}

/// A task that answers, and nothing else: what any design with one owner pays to be asked.
fn skeleton(rt: &Runtime) -> flume::Sender<oneshot::Sender<()>> {
    let (ask, asked) = flume::unbounded::<oneshot::Sender<()>>();
    rt.spawn(async move {
        while let Ok(reply) = asked.recv_async().await {
            let _ = reply.send(());
        }
    });
    ask
}

fn foreign(scale: &Scale) {
    let rt = runtime(1);
    let manager = rt.block_on(manager());
    let ask = skeleton(&rt);
    let round_trip = || {
        let (reply, answer) = oneshot::channel();
        ask.send(reply).expect("the task lives");
        answer.blocking_recv().expect("it answers");
    };
    let mut series = [
        Series::new("two round trips through a task", None),
        Series::new("load and unload", Some(1.5)),
    ];
    for _ in 0..scale.n_rounds {
        let n = scale.n_loads.div_ceil(100);
        series[0].ns.push(time(n, || {
            round_trip();
            round_trip();
        }));
        // Not `rt.block_on`: on a foreign thread that only waits, as `blocking_recv` does above.
        series[1].ns.push(time(n, || wait_for(cycle(&manager))));
    }
    report("load and unload from a foreign thread", &series);
    rt.block_on(manager.shutdown(None));
}

/// Waits for a future on a thread that belongs to no runtime.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
