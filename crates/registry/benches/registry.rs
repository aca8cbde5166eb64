//! The catalog and the reader against controls in the same run.
//!
//! - `order`: cycle, dangling and order of 100 000 components with two dependencies each on interned keys
//!   against one petgraph `toposort` of the same graph; conflicts apart.
//! - `check`: reading and checking a valid TOML of 10 000 and of 100 000 components, 5 keys an entry.
//! - `plan`: `plan_load` of components with at most 32 dependencies among 10 000 against a plain
//!   depth-first closure.
//!
//! After criterion's own figures the ratios are measured once more in turn (A B A B ..) and printed with
//! their medians, since neighbours on the machine disturb figures that are taken minutes apart.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench is no library")]
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use majordomo_core::{ComponentId, ComponentKey};
use majordomo_registry::{Catalog, ComponentSpec, LoadGraph, LoaderSpec, parse_toml};
use petgraph::graph::{DiGraph, NodeIndex};

/// A fixed generator (splitmix64), so that every run measures the same graph.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Two dependencies each on any earlier components, and 100 conflicts between components that no other needs.
struct Generated {
    n: usize,
    dependencies: Vec<(usize, usize)>,
    conflicts: Vec<(usize, usize)>,
}

fn generate(n: usize) -> Generated {
    let mut random = Random(7);
    let mut needed = vec![false; n];
    let mut dependencies = Vec::new();
    for i in 2..n {
        let first = random.below(i);
        let second = (first + 1 + random.below(i - 1)) % i;
        for target in [first, second] {
            needed[target] = true;
            dependencies.push((i, target));
        }
    }
    let free: Vec<usize> = (0..n).filter(|i| !needed[*i]).collect();
    let conflicts = (0..100).map(|i| (free[2 * i], free[2 * i + 1])).collect();
    Generated { n, dependencies, conflicts }
}

fn name(i: usize) -> String {
    format!("component-{i}")
}

fn specs(graph: &Generated) -> Vec<ComponentSpec> {
    let id = |i: usize| ComponentId::new(&name(i)).unwrap();
    let mut specs: Vec<_> = (0..graph.n)
        .map(|i| ComponentSpec::new(id(i), LoaderSpec::Builtin { factory: String::new() }))
        .collect();
    for (a, b) in &graph.dependencies {
        specs[*a].dependencies.push(id(*b));
    }
    for (a, b) in &graph.conflicts {
        specs[*a].conflicts.push(id(*b));
    }
    specs
}

/// Five keys an entry.
fn toml(graph: &Generated) -> String {
    let mut lists = vec![String::new(); graph.n];
    for (a, b) in &graph.dependencies {
        let list = &mut lists[*a];
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}\"{}\"", name(*b));
    }
    let mut conflicts = vec![None; graph.n];
    for (a, b) in &graph.conflicts {
        conflicts[*a] = Some(*b);
    }
    let mut text = String::from("[manager]\nbudget = \"4GiB\"\n");
    for i in 0..graph.n {
        let fifth = match conflicts[i] {
            Some(other) => format!("conflicts = [\"{}\"]", name(other)),
            None => format!("keywords = [\"word{i}\", \"a phrase of {i}\"]"),
        };
        let _ = write!(
            text,
            "\n[components.{}]\nmemory = \"{}MiB\"\nload_time = \"80ms\"\ndependencies = [{}]\ncommand = [\"program\", \"--port={{port}}\"]\n{fifth}\n",
            name(i),
            10 + i % 200,
            lists[i],
        );
    }
    text
}

fn keys(pairs: &[(usize, usize)]) -> Vec<(ComponentKey, ComponentKey)> {
    let key = ComponentKey::from_index;
    pairs.iter().map(|(a, b)| (key(*a), key(*b))).collect()
}

/// Dangling, cycle and order, from pairs of interned keys.
fn order(n: usize, present: &[bool], pairs: &[(ComponentKey, ComponentKey)]) -> Vec<ComponentKey> {
    assert!(pairs.iter().all(|(_, target)| present[target.index()]));
    LoadGraph::new(n, pairs, &[]).order().unwrap()
}

fn petgraph_of(graph: &Generated) -> DiGraph<(), ()> {
    let mut g = DiGraph::with_capacity(graph.n, graph.dependencies.len());
    (0..graph.n).for_each(|_| {
        g.add_node(());
    });
    for (a, b) in &graph.dependencies {
        g.add_edge(NodeIndex::new(*b), NodeIndex::new(*a), ());
    }
    g
}

/// 10 000 components; the closure of each of the upper ones has 32 dependencies at most.
fn shallow() -> (Catalog, Vec<Vec<u32>>, Vec<ComponentKey>) {
    const N: usize = 10_000;
    let mut random = Random(11);
    let mut graph = Generated { n: N, dependencies: Vec::new(), conflicts: Vec::new() };
    for i in 0..N {
        // Blocks of 33: at most 32 earlier ones in the same block.
        let at = i % 33;
        let targets: std::collections::BTreeSet<usize> =
            (0..3.min(at)).map(|_| i - 1 - random.below(at)).collect();
        graph.dependencies.extend(targets.into_iter().map(|t| (i, t)));
    }
    let catalog = Catalog::build(specs(&graph), vec![], None).unwrap();
    let mut rows = vec![Vec::new(); N];
    for (a, b) in &graph.dependencies {
        rows[*a].push(*b as u32);
    }
    let tops = (0..N).filter(|i| i % 33 == 32).map(ComponentKey::from_index).collect();
    (catalog, rows, tops)
}

/// The control: what a plain closure costs at least.
fn plain_closure(rows: &[Vec<u32>], from: u32) -> Vec<u32> {
    let mut seen = vec![false; rows.len()];
    let mut stack = vec![from];
    let mut found = Vec::new();
    while let Some(i) = stack.pop() {
        if !std::mem::replace(&mut seen[i as usize], true) {
            found.push(i);
            stack.extend(&rows[i as usize]);
        }
    }
    found
}

fn benches(c: &mut Criterion) {
    for n in [10_000, 100_000] {
        let graph = generate(n);
        let (pairs, present) = (keys(&graph.dependencies), vec![true; n]);
        let control = petgraph_of(&graph);
        let mut group = c.benchmark_group("order");
        group.sample_size(10);
        group.bench_function(format!("cycle, dangling, order/{n}"), |b| {
            b.iter(|| order(n, &present, black_box(&pairs)));
        });
        group.bench_function(format!("petgraph toposort/{n}"), |b| {
            b.iter(|| petgraph::algo::toposort(black_box(&control), None).unwrap());
        });
        group.finish();
        let text = toml(&graph);
        let mut group = c.benchmark_group("check");
        group.sample_size(10);
        group.bench_function(format!("toml/{n}"), |b| {
            b.iter(|| parse_toml(black_box(&text), "bench.toml", None).unwrap());
        });
        group.finish();
    }
    let (catalog, rows, tops) = shallow();
    let mut group = c.benchmark_group("plan");
    group.bench_function("plan_load/10000", |b| {
        b.iter(|| tops.iter().map(|k| catalog.plan_load(&[*k]).order().len()).sum::<usize>());
    });
    group.bench_function("plain closure/10000", |b| {
        b.iter(|| tops.iter().map(|k| plain_closure(&rows, k.0).len()).sum::<usize>());
    });
    group.finish();
}

/// The medians of two things measured in turn.
fn in_turn<A, B>(
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut control: impl FnMut() -> B,
) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(ours());
        times[0].push(start.elapsed());
        let start = Instant::now();
        black_box(control());
        times[1].push(start.elapsed());
    }
    times.map(|mut t| {
        t.sort_unstable();
        t[t.len() / 2]
    })
}

fn print(what: &str, [ours, control]: [Duration; 2], bound: f64) {
    let ratio = ours.as_secs_f64() / control.as_secs_f64();
    println!("{what}: {ours:.2?} / {control:.2?} = {ratio:.2} (goal <= {bound})");
}

fn ratios() {
    println!("\nmedians measured in turn:");
    let graph = generate(100_000);
    let (pairs, present) = (keys(&graph.dependencies), vec![true; graph.n]);
    let control = petgraph_of(&graph);
    let toposort = || petgraph::algo::toposort(&control, None).unwrap();
    print(
        "cycle + dangling + order of 100 000 / petgraph toposort",
        in_turn(15, || order(graph.n, &present, &pairs), toposort),
        2.0,
    );
    let (with, without) =
        (specs(&graph), specs(&Generated { conflicts: vec![], ..generate(100_000) }));
    let share =
        |specs: Vec<ComponentSpec>| specs.into_iter().map(std::sync::Arc::new).collect::<Vec<_>>();
    let (with, without) = (share(with), share(without));
    let [with, without] = in_turn(
        9,
        || Catalog::build_shared(with.clone(), vec![], None).unwrap(),
        || Catalog::build_shared(without.clone(), vec![], None).unwrap(),
    );
    println!(
        "whole catalog of 100 000 with 100 conflict pairs: {with:.2?}, without: {without:.2?}"
    );
    let (large, small) = (toml(&graph), toml(&generate(10_000)));
    let check = |text: &str| parse_toml(text, "bench.toml", None).unwrap().specs.len();
    print(
        "check of 100 000 (goal <= 1.5 s) / check of 10 000",
        in_turn(5, || check(&large), || check(&small)),
        15.0,
    );
    let (catalog, rows, tops) = shallow();
    let sizes: Vec<usize> = tops.iter().map(|k| catalog.closure(&[*k]).len() - 1).collect();
    println!(
        "closures of {} components: {} dependencies on average, {} at most",
        sizes.len(),
        sizes.iter().sum::<usize>() / sizes.len(),
        sizes.iter().max().unwrap()
    );
    print(
        "plan_load among 10 000 / plain closure",
        in_turn(
            101,
            || tops.iter().map(|k| catalog.plan_load(&[*k]).order().len()).sum::<usize>(),
            || tops.iter().map(|k| plain_closure(&rows, k.0).len()).sum::<usize>(),
        ),
        3.0,
    );
}

criterion_group!(all, benches);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if !has("--ratios") {
        all();
        Criterion::default().configure_from_args().final_summary();
    }
    // `cargo test` and CI's smoke run execute each bench once, without figures.
    if has("--bench") && !has("--test") {
        ratios();
    }
}
