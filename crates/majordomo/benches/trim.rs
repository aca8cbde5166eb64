//! The cost of a lease of a ready component while the allocator is trimmed, beside the same in quiet times of the same
//! run: a million small allocations are freed by an unload, and the trim that follows holds the allocator's locks.
//!
//! `cargo bench` measures; run otherwise (or with `--test`) it runs once with little.

#[path = "shared/measure.rs"]
mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use majordomo::{ByteSize, ComponentSpec, Factory, Manager};
use measure::now;

/// Samples of a lease taken and given back: when, and how long it took.
type Samples = Vec<(Instant, Duration)>;

fn main() {
    let (n_rounds, n_small) = if measure::is_measured() { (5, 1_000_000) } else { (1, 20_000) };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be had");
    for round in 0..n_rounds {
        let manager = runtime.block_on(start(n_small));
        let (quiet, during, took) = one_round(&runtime, &manager);
        println!(
            "round {round}: trim of {took:.1?}; acquire-ready quiet p50 {} ns, p99 {} ns ({}); during the trim p50 {} ns, p99 {} ns ({})",
            quantile(&quiet, 0.5),
            quantile(&quiet, 0.99),
            quiet.len(),
            quantile(&during, 0.5),
            quantile(&during, 0.99),
            during.len(),
        );
        runtime.block_on(manager.shutdown(None));
    }
}

async fn start(n_small: usize) -> Manager {
    let spec = |name, memory| {
        let mut spec = ComponentSpec::builtin(name).expect("a name");
        spec.memory = ByteSize::mib(memory);
        spec
    };
    let manager = Manager::builder()
        .budget(ByteSize::gib(1))
        .pressure(None)
        .component(spec("ready", 1))
        .component(spec("small", 320))
        .factory("ready", Factory::new(|_| Ok(7u64)))
        .factory(
            "small",
            Factory::new(move |_| {
                Ok((0..n_small).map(|i| vec![i as u8; 256 + i % 97]).collect::<Vec<_>>())
            }),
        )
        .start()
        .await
        .expect("it starts");
    manager.operator().load("ready").await.expect("it loads");
    manager.operator().load("small").await.expect("it loads");
    manager
}

/// Latencies in quiet times and during the trim, and how long the trim took.
fn one_round(
    runtime: &tokio::runtime::Runtime,
    manager: &Manager,
) -> (Vec<u64>, Vec<u64>, Duration) {
    let quiet = sample(manager, |n| n >= 20_000);
    let done = Arc::new(AtomicBool::new(false));
    let (theirs, watched) = (Arc::clone(&done), manager.clone());
    let ended = runtime.spawn(async move {
        watched.operator().unload("small", false).await.expect("it unloads");
        loop {
            let trims = watched.status().await.expect("it runs").memory.trims;
            // An allocator that cannot be trimmed says so at once; that is a trim too.
            if let Some(took) = trims.last_took {
                let at = now();
                theirs.store(true, Ordering::Relaxed);
                return (at, took);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let all = sample(manager, |_| done.load(Ordering::Relaxed));
    let (at, took) = runtime.block_on(ended).expect("it ends");
    // The status is up to 50 ms old: the trim lies somewhere in this window, which may hold quiet samples too.
    let from = at.checked_sub(took + Duration::from_millis(55)).unwrap_or(at);
    let during = all.into_iter().filter(|s| s.0 >= from).collect();
    (nanos(quiet), nanos(during), took)
}

fn sample(manager: &Manager, done: impl Fn(usize) -> bool) -> Samples {
    let mut samples = Samples::new();
    while !done(samples.len()) {
        let start = now();
        drop(manager.try_acquire::<u64>("ready").expect("it is ready"));
        samples.push((start, start.elapsed()));
        // Not one core for this alone: the trim runs beside it.
        std::thread::yield_now();
    }
    samples
}

fn nanos(samples: Samples) -> Vec<u64> {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let mut all: Vec<_> = samples.into_iter().map(|s| nanos(s.1)).collect();
    all.sort_unstable();
    all
}

fn quantile(sorted: &[u64], q: f64) -> u64 {
    let at = (sorted.len() as f64 * q) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
