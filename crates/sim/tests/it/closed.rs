//! Closed loops: waits shift later commands, and one recipe waits less than LRU.

use std::path::Path;
use std::time::Duration;

use majordomo_core::{ByteSize, Config, PolicyKind};
use majordomo_registry::ComponentSpec;
use majordomo_sim::replay::{
    ClosedCommand, ClosedEvent, ClosedLoop, ClosedShape, ClosedTally, RungTable, Trace,
    replay_closed,
};

fn specs(rows: &[(u64, u64)]) -> Vec<ComponentSpec> {
    let spec = |(i, (mib, load_ms)): (usize, &(u64, u64))| {
        let mut spec = ComponentSpec::builtin(&format!("c{i}")).expect("a good name");
        (spec.memory, spec.load_time) = (ByteSize::mib(*mib), Duration::from_millis(*load_ms));
        spec
    };
    rows.iter().enumerate().map(spec).collect()
}

fn run(given: &ClosedLoop, policy: PolicyKind, preloads: bool, mib: u64) -> ClosedTally {
    let mut config = Config::default();
    config.memory.policy = policy;
    config.memory.estimate_margin = 1.0;
    config.speculation.enabled = preloads;
    replay_closed(given, config, ByteSize::mib(mib), None, &mut |_| {}).expect("plain components")
}

#[test]
fn alternating_user_waits_for_loads_alone() {
    let command = |i: usize| ClosedCommand { pause: Duration::from_secs(1), component: i % 2 };
    let given = ClosedLoop {
        specs: specs(&[(100, 2000), (100, 500)]),
        usage: Duration::from_millis(100),
        history: Vec::new(),
        commands: (0..60).map(command).collect(),
    };
    let tally = run(&given, PolicyKind::Lru, false, 100);
    let expected = |i: usize| Duration::from_millis(if i.is_multiple_of(2) { 2000 } else { 500 });
    for (i, wait) in tally.waits.iter().enumerate() {
        assert_eq!(*wait, expected(i), "command {i}");
    }
    assert_eq!((tally.loads, tally.refused), (60, 0));
}

/// Twelve items by a rule that a model can learn: each work day has its rounds, with detours.
fn routine() -> Trace {
    let mut lines = String::new();
    let mut seed = 5u64;
    let mut at = 1_000_000;
    for round in 0..220u64 {
        for step in 0..5u64 {
            seed = seed * 48_271 % 2_147_483_647;
            let detour = seed.is_multiple_of(6);
            let item = if detour { seed / 7 % 12 } else { (round % 3) * 4 + step % 4 };
            at += 20 + seed % 200;
            lines.push_str(&format!("u\t{at}\titem-{item}\n"));
        }
    }
    Trace::read(Path::new("routine.tsv"), lines.as_bytes()).expect("a made trace")
}

/// MiB and milliseconds of a load.
const ASSISTANT: [(u64, u64); 12] = [
    (170, 2562),
    (203, 1342),
    (103, 715),
    (179, 960),
    (160, 783),
    (57, 394),
    (197, 1471),
    (136, 2078),
    (14, 166),
    (95, 608),
    (383, 297),
    (6, 21),
];

#[test]
fn default_policy_waits_less_than_lru_in_every_order_of_components() {
    let (trace, specs) = (routine(), specs(&ASSISTANT));
    let usage = Duration::from_millis(300);
    for order in 0..6 {
        let shape = ClosedShape {
            compress: 15.0,
            longest_pause: Duration::from_secs(8),
            commands: [300, 400],
            order,
        };
        let given =
            ClosedLoop::of_user(&trace.users[0], &specs, usage, &shape).expect("it is long");
        let default = run(&given, Config::default().memory.policy, true, 681);
        let lru = run(&given, PolicyKind::Lru, false, 681);
        let ratio = default.mean_ms() / lru.mean_ms();
        assert!(ratio < 0.9, "order {order}: {ratio:.2} of LRU's wait");
        let n = default.waits.len() as f64;
        let waste = default.wasted as f64 / n;
        assert!(waste < 0.12, "order {order}: {waste:.3} wasted a command");
        assert_eq!(default.refused, 0);
    }
}

#[test]
fn history_of_a_closed_loop_begins_no_load() {
    let command = |i: usize| ClosedCommand { pause: Duration::from_secs(60), component: i % 3 };
    let given = |n| ClosedLoop {
        specs: specs(&[(100, 2000), (100, 500), (100, 900)]),
        usage: Duration::from_millis(100),
        history: (0..60).map(command).collect(),
        commands: (0..n).map(command).collect(),
    };
    let mut config = Config::default();
    config.memory.estimate_margin = 1.0;
    config.speculation.delay = Duration::ZERO;
    let tally = |n| {
        replay_closed(&given(n), config.clone(), ByteSize::mib(100), None, &mut |_| {})
            .expect("plain components")
    };
    assert_eq!(tally(0).preloads, 0);
    let measured = tally(30);
    assert_eq!(measured.refused, 0);
    assert!(measured.preloads > 0, "settings hold from the first measured command on");
}

#[test]
fn rungs_halve_the_waits_of_a_closed_loop_and_wake_what_they_park() {
    let (trace, specs, rungs) = (routine(), specs(&ASSISTANT), RungTable::published());
    let shape = ClosedShape {
        compress: 15.0,
        longest_pause: Duration::from_secs(8),
        commands: [300, 200],
        order: 1,
    };
    let usage = Duration::from_millis(300);
    let given = ClosedLoop::of_user(&trace.users[0], &specs, usage, &shape).expect("it is long");
    let mut records = 0;
    let mut with = |rungs| {
        let mut config = Config::default();
        config.memory.estimate_margin = 1.0;
        let count = &mut |_: &ClosedEvent<'_>| records += 1;
        replay_closed(&given, config, ByteSize::mib(681), rungs, count).expect("plain components")
    };
    let (without, with) = (with(None), with(Some(&rungs)));
    assert_eq!((without.parks, without.wakes, with.refused), (0, 0, 0));
    assert!(with.parks >= with.wakes && with.wakes > 20, "{} {}", with.parks, with.wakes);
    let ratio = with.mean_ms() / without.mean_ms();
    assert!(ratio < 0.6, "{ratio:.2} of the wait without rungs");
    assert!(records > 400, "each command is granted and observed");
}
