//! Learning from one command and ranking all components, with 100 and 1000 of them, beside what LRU with
//! a first-order Markov table pays for the same (a dense row of counts, its largest, and LRU's ranking).
//! Also printed: p50 and p99 of single calls, since criterion reports means.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use majordomo_core::{ByteSize, ComponentKey, Moment, Priority, Values, WallSeconds};
use majordomo_memory::{Candidate, EvictionPolicy, Lru, VRank};
use majordomo_predictor::SequenceModel;

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
        load_time: Duration::from_millis(50 + (i as u64 * 91) % 900),
        last_use: Moment(i as u64 * 1_000_000),
        uses: 1,
        speculative: false,
    };
    (0..n).map(candidate).collect()
}

/// A model that has seen every component and some thousand commands.
fn trained(n: usize) -> (SequenceModel, Usage) {
    let (mut model, mut usage) = (SequenceModel::new(), Usage::new(n));
    for i in 0..n {
        model.observe(&[ComponentKey(i as u32)], usage.next().1);
    }
    for _ in 0..3000 {
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
    let (policy, candidates, mut values) = (VRank::default(), candidates(n), Values::new());
    let mut times: Vec<Duration> = (0..20_000)
        .map(|_| {
            let (key, at) = usage.next();
            let start = Instant::now();
            model.observe(&[key], at);
            model.refresh(&mut values);
            black_box(policy.rank(&candidates, &values, Moment(1 << 40)));
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

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe_and_rank");
    for n in [100, 1000] {
        quantiles(n);
        let (candidates, mut values) = (candidates(n), Values::new());
        let (mut model, mut usage) = trained(n);
        let policy = VRank::default();
        group.bench_function(BenchmarkId::new("majordomo", n), |b| {
            b.iter(|| {
                let (key, at) = usage.next();
                model.observe(&[key], at);
                model.refresh(&mut values);
                policy.rank(black_box(&candidates), &values, Moment(1 << 40)).len()
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
