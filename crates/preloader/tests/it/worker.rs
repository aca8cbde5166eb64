//! The worker: lanes, one load at a time, and the accounts after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, Moment, PressureLevel, SpeculationConfig,
};
use majordomo_preloader::{Hint, HintSource, LoadOutcome, PreloadWorker, Tier, WorkerConfig};

fn hint(key: u32, confidence: f32) -> Hint {
    Hint {
        key: ComponentKey(key),
        confidence: Confidence::saturating(confidence),
        tier: Tier::Immediate,
        source: HintSource::Application,
    }
}

#[test]
fn hints_become_loads_and_accounts() {
    let (loaded, loads) = flume::unbounded();
    let load = move |p: &majordomo_preloader::Proposal| {
        loaded.send(p.key.0).expect("the test listens");
        match p.key.0 {
            1 => LoadOutcome::Loaded(ByteSize::mib(1)),
            2 => LoadOutcome::Failed,
            _ => LoadOutcome::Declined,
        }
    };
    let worker = PreloadWorker::start(&WorkerConfig::default(), || Moment(1), load).unwrap();
    for key in 1..=3 {
        assert!(worker.hint(hint(key, 0.5)));
        assert_eq!(loads.recv().unwrap(), key);
    }
    worker.used(ComponentKey(1));
    let core = worker.stop().unwrap();
    let account = core.tier_account(Tier::Immediate);
    assert_eq!((account.started, account.hits, account.failed), (2, 1, 1));
    assert_eq!(core.account(ComponentKey(3)).started, 0);
}

/// A worker whose loads of 1 MiB the test begins and ends, on a clock that the test sets.
struct Stepped {
    worker: PreloadWorker,
    clock: Arc<AtomicU64>,
    begun: flume::Receiver<u32>,
    go: flume::Sender<()>,
}

impl Stepped {
    fn start() -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let (entered, begun) = flume::unbounded();
        let (go, gate) = flume::unbounded();
        let load = move |p: &majordomo_preloader::Proposal| {
            entered.send(p.key.0).expect("the test listens");
            gate.recv().expect("the test ends the load");
            LoadOutcome::Loaded(ByteSize::mib(1))
        };
        let read = Arc::clone(&clock);
        let now = move || Moment(read.load(Ordering::SeqCst));
        let worker = PreloadWorker::start(&WorkerConfig::default(), now, load)
            .expect("the settings are in range");
        Self { worker, clock, begun, go }
    }

    fn at(&self, micros: u64) {
        self.clock.store(micros, Ordering::SeqCst);
    }

    /// Hints at a component and waits until its load has begun.
    fn begin(&self, key: u32) {
        assert!(self.worker.hint(hint(key, 0.5)));
        assert_eq!(self.begun.recv().expect("the worker runs"), key);
    }

    fn end_load(&self) {
        self.go.send(()).expect("the worker runs");
    }
}

#[test]
fn use_during_its_own_load_is_late_by_the_rest_of_the_load() {
    let s = Stepped::start();
    s.at(1_000);
    s.begin(1);
    s.at(4_000);
    s.worker.used(ComponentKey(1));
    s.at(9_000);
    s.end_load();
    let core = s.worker.stop().unwrap();
    let account = core.account(ComponentKey(1));
    assert_eq!((account.started, account.hits, account.late), (1, 0, 1));
    assert_eq!(account.saved, Duration::from_micros(3_000));
}

#[test]
fn use_during_another_load_is_a_hit() {
    let s = Stepped::start();
    s.at(1_000);
    s.begin(1);
    s.at(2_000);
    s.end_load();
    s.begin(2);
    s.at(3_000);
    s.worker.used(ComponentKey(1));
    s.worker.evicted(ComponentKey(1));
    // A preload that is evicted before its use is wasted.
    s.worker.evicted(ComponentKey(2));
    s.worker.used(ComponentKey(2));
    s.at(9_000);
    s.end_load();
    let core = s.worker.stop().unwrap();
    let [one, two] = [1, 2].map(|key| core.account(ComponentKey(key)));
    assert_eq!((one.hits, one.late, one.wasted), (1, 0, 0));
    assert_eq!((two.hits, two.late, two.wasted), (0, 0, 1));
}

#[test]
fn component_used_since_its_hint_is_not_loaded() {
    let s = Stepped::start();
    s.at(1_000);
    s.begin(1);
    for (at, key) in [(2_000, 2), (3_000, 3)] {
        s.at(at);
        assert!(s.worker.hint(hint(key, 0.5)));
    }
    s.worker.used(ComponentKey(2));
    s.at(4_000);
    // A hint after the use is for the next use.
    s.worker.used(ComponentKey(4));
    s.at(5_000);
    assert!(s.worker.hint(hint(4, 0.4)));
    for _ in 0..3 {
        s.end_load();
    }
    assert_eq!([s.begun.recv().unwrap(), s.begun.recv().unwrap()], [3, 4]);
    let core = s.worker.stop().unwrap();
    assert_eq!(core.account(ComponentKey(2)).started, 0);
}

/// More than any lane or inbox holds.
const MANY: u32 = 10_000;

#[test]
fn load_function_may_send_any_number_of_reports() {
    let (loaded, loads) = flume::unbounded();
    let own: Arc<OnceLock<Weak<PreloadWorker>>> = Arc::default();
    let cell = Arc::clone(&own);
    let load = move |p: &majordomo_preloader::Proposal| {
        if p.key.0 == 2 {
            let worker = cell.wait().upgrade().expect("the test holds it");
            for n in 0..MANY {
                worker.observe(vec![hint(3, 0.5)]);
                worker.used(ComponentKey(10 + n));
                worker.evicted(ComponentKey(10 + n));
            }
            worker.used(ComponentKey(1));
        }
        loaded.send(p.key.0).expect("the test listens");
        LoadOutcome::Loaded(ByteSize::mib(1))
    };
    let config = WorkerConfig::default();
    let worker = Arc::new(PreloadWorker::start(&config, || Moment(1), load).unwrap());
    own.set(Arc::downgrade(&worker)).unwrap();
    worker.hint(hint(1, 0.5));
    assert_eq!(loads.recv().unwrap(), 1);
    worker.hint(hint(2, 0.5));
    // The latest observation is loaded, and the used component is a hit.
    assert_eq!([loads.recv().unwrap(), loads.recv().unwrap()], [2, 3]);
    let core = Arc::into_inner(worker).expect("the load is over").stop().unwrap();
    assert_eq!(core.account(ComponentKey(1)).hits, 1);
}

#[test]
fn worker_dropped_by_its_own_load_function_ends() {
    let (give, given) = flume::bounded::<PreloadWorker>(1);
    let (dropped, ended) = flume::bounded::<()>(1);
    let load = move |_: &majordomo_preloader::Proposal| {
        drop(given.recv().expect("the test gives it"));
        dropped.send(()).expect("the test listens");
        LoadOutcome::Declined
    };
    let worker = PreloadWorker::start(&WorkerConfig::default(), || Moment(1), load).unwrap();
    worker.hint(hint(1, 0.5));
    give.send(worker).unwrap();
    assert_eq!(ended.recv(), Ok(()));
    // The function is dropped when the thread ends.
    assert_eq!(ended.recv(), Err(flume::RecvError::Disconnected));
}

#[test]
fn hints_over_a_full_lane_are_counted_and_a_stopped_worker_loads_nothing() {
    let (gate, opened) = flume::bounded::<()>(0);
    let (entered, inside) = flume::unbounded();
    let load = move |_: &majordomo_preloader::Proposal| {
        entered.send(()).expect("the test listens");
        // Ends when the test drops its side.
        let _ = opened.recv();
        LoadOutcome::Declined
    };
    let preloader = SpeculationConfig { queue: 2, ..SpeculationConfig::default() };
    let worker = PreloadWorker::start(&WorkerConfig { preloader }, || Moment(1), load).unwrap();
    worker.hint(hint(0, 0.5));
    inside.recv().unwrap();
    // The thread is inside the load function, so the lane takes two hints.
    let taken = (1..=5).filter(|k| worker.hint(hint(*k, 0.5))).count();
    assert_eq!((taken, worker.n_overflowed()), (2, 3));
    worker.pressure(PressureLevel::High);
    drop(gate);
    let core = worker.stop().unwrap();
    assert_eq!(core.n_waiting(), 2, "hints before the stop are queued, not loaded");
    assert!(inside.try_recv().is_err());
}

#[test]
fn settings_out_of_range_start_no_worker() {
    let preloader = SpeculationConfig { queue: 0, ..SpeculationConfig::default() };
    let worker =
        PreloadWorker::start(&WorkerConfig { preloader }, || Moment(0), |_| LoadOutcome::Declined);
    let error = worker.unwrap_err().to_string();
    assert_eq!(error, "speculation.queue is 0; it must lie within 1 and 4096");
}
