//! The worker: lanes, one load at a time, and the accounts it leaves.

use majordomo_core::{ByteSize, ComponentKey, Confidence, Moment, PressureLevel};
use majordomo_preloader::{
    Hint, HintSource, LoadOutcome, PreloadWorker, PreloaderConfig, Tier, WorkerConfig,
};

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
    let worker = PreloadWorker::start(WorkerConfig::default(), || Moment(1), load).unwrap();
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

#[test]
fn a_full_lane_is_counted_and_a_stopped_worker_loads_nothing() {
    let (gate, opened) = flume::bounded::<()>(0);
    let (entered, inside) = flume::unbounded();
    let load = move |_: &majordomo_preloader::Proposal| {
        entered.send(()).expect("the test listens");
        // Ends when the test drops its side.
        let _ = opened.recv();
        LoadOutcome::Declined
    };
    let preloader = PreloaderConfig { queue: 2, ..PreloaderConfig::default() };
    let worker = PreloadWorker::start(WorkerConfig { preloader }, || Moment(1), load).unwrap();
    worker.hint(hint(0, 0.5));
    inside.recv().unwrap();
    // The thread is inside the load function: the lane takes two.
    let taken = (1..=5).filter(|k| worker.hint(hint(*k, 0.5))).count();
    assert_eq!((taken, worker.n_overflowed()), (2, 3));
    worker.pressure(PressureLevel::High);
    drop(gate);
    let core = worker.stop().unwrap();
    assert_eq!(core.n_waiting(), 2, "hints that came before the stop were taken in, not loaded");
    assert!(inside.try_recv().is_err());
}

#[test]
fn bad_settings_start_nothing() {
    let preloader = PreloaderConfig { queue: 0, ..PreloaderConfig::default() };
    let worker =
        PreloadWorker::start(WorkerConfig { preloader }, || Moment(0), |_| LoadOutcome::Declined);
    assert_eq!(worker.unwrap_err().name, "queue");
}
