//! Learning from one command and ranking all components, with 100 and 1000 of them, compared with LRU and
//! a first-order Markov table (a dense row of counts, its largest, and LRU's ranking).
//! Also printed: p50 and p99 of single calls, since criterion reports means, and the same for everything that
//! the engine computes for one command: learning, hints, victims, preloads.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use majordomo_core::{
    ByteSize, Cause, CommandId, ComponentId, ComponentKey, Config, IncarnationId, Moment, Priority,
    Values, WaiterId, WallSeconds,
};
use majordomo_engine::{Cells, CloseAnswer, Effect, Engine, Input, LoadReport};
use majordomo_memory::{Candidate, EvictionPolicy, Lru, Ranked, VRank};
use majordomo_predictor::SequenceModel;
use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec};

/// A skewed first-order chain over `n` components with pauses, from a fixed seed.
struct Usage {
    seed: u64,
    n: u64,
    last: u64,
    at: i64,
}

impl Usage {
    fn new(n: usize) -> Self {
        Self { seed: 42, n: n as u64, last: 0, at: 1_700_000_000 }
    }

    fn next(&mut self) -> (ComponentKey, WallSeconds) {
        let mut random = || {
            self.seed = self.seed * 48_271 % 2_147_483_647;
            self.seed
        };
        let (kind, a, b) = (random() % 10, random() % self.n, random() % self.n);
        self.last = if kind < 6 { (self.last * 7 + 1) % self.n } else { a.min(b) };
        self.at += if kind == 9 { 3600 } else { 20 };
        (ComponentKey(self.last as u32), WallSeconds(self.at))
    }
}

fn candidates(n: usize) -> Vec<Candidate> {
    let candidate = |i: usize| Candidate {
        key: ComponentKey(i as u32),
        priority: Priority::Medium,
        size: ByteSize::mib(20 + (i as u64 * 37) % 500),
        worth: 0.0,
        last_use: Moment(i as u64 * 1_000_000),
        uses: 1,
        speculative: false,
    };
    (0..n).map(candidate).collect()
}

fn load_time(key: ComponentKey) -> Duration {
    Duration::from_millis(50 + (u64::from(key.0) * 91) % 900)
}

/// The candidates are worth what the values of now say.
fn rank(policy: &VRank, candidates: &mut [Candidate], values: &Values) -> Vec<Ranked> {
    for c in &mut *candidates {
        c.worth = policy.worth(values.get(c.key), load_time(c.key));
    }
    policy.rank(candidates, values, Moment(1 << 40))
}

/// A model that has observed every component and some thousand commands.
fn trained(n: usize) -> (SequenceModel, Usage) {
    let (mut model, mut usage) = (SequenceModel::new(), Usage::new(n));
    for i in 0..n {
        model.observe(&[ComponentKey(i as u32)], usage.next().1);
    }
    for _ in 0..n_samples() / 3 {
        let (key, at) = usage.next();
        model.observe(&[key], at);
    }
    (model, usage)
}

struct Markov {
    counts: Vec<Vec<u32>>,
    last: usize,
}

impl Markov {
    fn observe(&mut self, key: ComponentKey) -> Option<usize> {
        self.counts[self.last][key.index()] += 1;
        self.last = key.index();
        let row = self.counts[self.last].iter().enumerate();
        row.max_by_key(|(_, n)| **n).map(|(i, _)| i)
    }
}

#[expect(clippy::disallowed_methods, reason = "a quantile of single calls needs a clock")]
fn quantiles(n: usize) {
    let (mut model, mut usage) = trained(n);
    let (policy, mut candidates, mut values) = (VRank::default(), candidates(n), Values::new());
    let mut times: Vec<Duration> = (0..n_samples())
        .map(|_| {
            let (key, at) = usage.next();
            let start = Instant::now();
            model.observe(&[key], at);
            model.refresh(&mut values);
            black_box(rank(&policy, &mut candidates, &values));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "observe + rank, {n} components: p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// Cells without leases.
struct Unused;

impl Cells for Unused {
    fn try_close(&mut self, _key: ComponentKey) -> CloseAnswer {
        CloseAnswer::Closed
    }
    fn close(&mut self, _key: ComponentKey) {}
    fn reopen(&mut self, _key: ComponentKey) {}
    fn want(&mut self, _key: ComponentKey) {}
    fn revoke(&mut self, _key: ComponentKey, _why: &Cause) {}
    fn lease_n(&mut self, _key: ComponentKey, _n: u32) {}
    fn install(&mut self, _: IncarnationId, _: u32) {}
}

/// An engine with room for a third of its components, where loads and unloads end at once.
struct Driver {
    engine: Engine,
    now: Moment,
    n_demands: u64,
}

impl Driver {
    fn new(n: usize) -> Self {
        let specs: Vec<_> = candidates(n)
            .iter()
            .map(|c| {
                let id = ComponentId::new(&format!("c{:04}", c.key.0)).expect("allowed letters");
                let loader = LoaderSpec::Builtin { factory: String::new() };
                let mut spec = ComponentSpec::new(id, loader);
                (spec.memory, spec.load_time) = (c.size, load_time(c.key));
                spec
            })
            .collect();
        let budget = ByteSize(specs.iter().map(|s| s.memory.0).sum::<u64>() / 3);
        let catalog = Catalog::build(specs, Vec::new(), None).expect("plain components");
        let config = Config::default();
        let mut driver = Self {
            engine: Engine::new(Arc::new(catalog), config, budget),
            now: Moment::ZERO,
            n_demands: 0,
        };
        driver.handle(Input::Start);
        driver
    }

    /// Handles one input and the inputs that follow from it. Returns the time that the engine took.
    #[expect(clippy::disallowed_methods, reason = "a quantile of single calls needs a clock")]
    fn handle(&mut self, input: Input) -> Duration {
        let (mut inputs, mut took) = (VecDeque::from([input]), Duration::ZERO);
        while let Some(input) = inputs.pop_front() {
            let start = Instant::now();
            let effects = self.engine.handle(input, self.now, &mut Unused);
            took += start.elapsed();
            inputs.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::StartLoad { id, .. } => {
                    Some(Input::LoadFinished { id, result: Ok(LoadReport::default()) })
                }
                Effect::StartUnload { id, .. } | Effect::CancelLoad { id, .. } => {
                    Some(Input::UnloadFinished { id })
                }
                _ => None,
            }));
        }
        took
    }

    /// A command: its beginning, its demand, its use, and the preloads after the delay.
    fn command(&mut self, key: ComponentKey, at: WallSeconds) -> Duration {
        self.now = self.now.max(Moment(at.0.unsigned_abs() * 1_000_000));
        self.n_demands += 1;
        let (waiter, command) = (WaiterId(self.n_demands), CommandId(self.n_demands));
        let demand = Input::Demand {
            waiter,
            keys: vec![key],
            priority: None,
            deadline: None,
            partial: false,
        };
        let observed =
            Input::Observed { command: Some(command), used: vec![key], text_scores: Vec::new() };
        let mut took = self.handle(Input::Begun { command, uses: vec![key] });
        took += self.handle(demand) + self.handle(observed);
        self.now += Duration::from_millis(100);
        took + self.handle(Input::Tick)
    }
}

/// Commands of a measurement; few in a smoke test, which is not timed.
fn n_samples() -> usize {
    if std::env::args().any(|a| a == "--test") { 300 } else { 10_000 }
}

fn quantiles_of_the_engine(n: usize) {
    let (mut driver, mut usage) = (Driver::new(n), Usage::new(n));
    let mut times: Vec<Duration> = (0..n_samples())
        .map(|_| {
            let (key, at) = usage.next();
            driver.command(key, at)
        })
        .skip(n_samples() / 3)
        .collect();
    times.sort_unstable();
    println!(
        "a command through the engine, {n} components: p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe_and_rank");
    for n in [100, 1000] {
        quantiles(n);
        quantiles_of_the_engine(n);
        let (mut candidates, mut values) = (candidates(n), Values::new());
        let (mut model, mut usage) = trained(n);
        let policy = VRank::default();
        group.bench_function(BenchmarkId::new("majordomo", n), |b| {
            b.iter(|| {
                let (key, at) = usage.next();
                model.observe(&[key], at);
                model.refresh(&mut values);
                rank(&policy, black_box(&mut candidates), &values).len()
            });
        });
        let mut markov = Markov { counts: vec![vec![0; n]; n], last: 0 };
        group.bench_function(BenchmarkId::new("lru_markov_1", n), |b| {
            b.iter(|| {
                let (key, _) = usage.next();
                let next = markov.observe(key);
                (next, Lru.rank(black_box(&candidates), &values, Moment(1 << 40)).len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
