//! The choice of victims: residency, priorities, conflicts, pins, overdraft, pressure.

use majordomo_core::{ByteSize, Config, PressureLevel, Priority};
use majordomo_engine::{Effect, Footprints, Input, OperatorAction};
use majordomo_registry::ConflictPolicy;

use crate::rig::{Rig, config, id, seconds, spec, with};

/// A component stays for so many seconds once it is ready.
fn resident(time: f64) -> Config {
    let mut config = config();
    config.memory.min_residency = seconds(time);
    config
}

#[test]
fn minimum_residency_protects_a_ready_component() {
    let mut rig = Rig::with_pools(vec![spec("a"), spec("b")], Vec::new(), 100, resident(2.0));
    rig.make_ready("a");
    rig.wait(seconds(0.5));
    let w = rig.demand(&["b"]);
    rig.wait(seconds(1.4));
    assert_eq!(rig.states(&["a", "b"]), ["ready", "unloaded"]);
    rig.wait(seconds(0.2));
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "queued"]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn priority_decides_between_victims_of_similar_age() {
    // Ages of `high` and `low` when memory is needed, and the expected victim.
    let check = |high_age: f64, low_age: f64, want: &str| {
        let specs = vec![
            with(spec("high"), |s| s.priority = Priority::High),
            with(spec("low"), |s| s.priority = Priority::Low),
            spec("new"),
        ];
        let mut config = config();
        config.memory.policy = majordomo_core::PolicyKind::Lru;
        let mut rig = Rig::with_pools(specs, Vec::new(), 200, config);
        rig.make_ready("high");
        rig.make_ready("low");
        rig.wait(seconds(10.0));
        let (first, second) = if high_age > low_age { ("high", "low") } else { ("low", "high") };
        rig.used(first);
        rig.wait(seconds((high_age - low_age).abs()));
        rig.used(second);
        rig.wait(seconds(high_age.min(low_age)));
        rig.demand(&["new"]);
        let evicted = if rig.state("high") == "unloading" { "high" } else { "low" };
        assert_eq!(evicted, want, "ages {high_age} and {low_age}");
    };
    // keep = 1 / age: ages of 4.1 to 7.9 seconds lie in one octave.
    check(7.9, 4.1, "low");
    check(9.0, 3.0, "high");
    check(3.0, 9.0, "low");
}

#[test]
fn core_pinned_and_leased_components_are_not_evicted() {
    let check =
        |what: &str, change: &dyn Fn(&mut majordomo_registry::ComponentSpec), lease: bool| {
            let mut rig = Rig::new(vec![with(spec("a"), change), spec("b")], 100);
            rig.make_ready("a");
            rig.wait(seconds(3.0));
            if lease {
                assert!(rig.take("a"));
            }
            let w = rig.demand(&["b"]);
            let want = if lease { "waits" } else { "too_large" };
            assert_eq!((rig.answered(w), rig.state("a")), (want, "ready"), "{what}");
        };
    check("core", &|s| s.priority = Priority::Core, false);
    check("pinned", &|s| s.pinned = true, false);
    check("leased", &|_| (), true);
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.make_ready("a");
    rig.operator("a", OperatorAction::Pin);
    rig.wait(seconds(3.0));
    let w = rig.demand(&["b"]);
    assert_eq!(rig.answered(w), "too_large");
}

#[test]
fn evicting_a_dependency_unloads_its_dependents_first() {
    let specs = vec![
        spec("base"),
        with(spec("top"), |s| s.dependencies = vec![id("base")]),
        with(spec("big"), |s| s.memory = ByteSize::mib(200)),
    ];
    let mut rig = Rig::new(specs, 200);
    rig.make_ready("top");
    rig.wait(seconds(3.0));
    rig.demand(&["big"]);
    assert_eq!(rig.states(&["base", "top"]), ["draining", "unloading"], "dependents first");
    rig.unloaded("top");
    assert_eq!(rig.state("base"), "unloading");
    rig.settle();
    assert_eq!(rig.state("big"), "ready");
}

#[test]
fn conflict_policy_replaces_or_refuses() {
    let specs = |policy| {
        vec![
            with(spec("a"), |s| {
                s.conflicts = vec![id("b")];
                s.conflict_policy = policy;
            }),
            spec("b"),
        ]
    };
    let mut rig = Rig::new(specs(ConflictPolicy::Replace), 1000);
    rig.make_ready("a");
    let early = rig.demand(&["b"]);
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "queued"], "`b` is not loaded beside `a`");
    rig.unloaded("a");
    rig.settle();
    assert_eq!(rig.answered(early), "granted");
    // A demand waits while the conflicting component is leased.
    rig.wait(seconds(3.0));
    let w = rig.demand(&["a"]);
    assert_eq!((rig.answered(w), rig.state("b")), ("waits", "ready"));
    rig.give_back("b");
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    let both = rig.demand(&["a", "b"]);
    assert_eq!(rig.answered(both), "conflict_within");

    let mut rig = Rig::new(specs(ConflictPolicy::Refuse), 1000);
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    let w = rig.demand(&["a"]);
    assert_eq!(rig.answered(w), "conflict");
}

#[test]
fn conflicting_components_are_not_both_admitted_while_a_victim_unloads() {
    // Both demands wait for the bytes of `old`; only one is admitted.
    let specs = vec![
        with(spec("a"), |s| s.conflicts = vec![id("b")]),
        spec("b"),
        with(spec("old"), |s| s.memory = ByteSize::mib(200)),
    ];
    let mut rig = Rig::new(specs, 200);
    rig.make_ready("old");
    rig.wait(seconds(3.0));
    let first = rig.demand(&["a"]);
    let second = rig.demand(&["b"]);
    rig.unloaded("old");
    assert_eq!((rig.is_loading("a"), rig.is_loading("b")), (true, false));
    rig.loaded("a");
    rig.give_back("a");
    rig.wait(seconds(3.0));
    rig.settle();
    assert_eq!((rig.answered(first), rig.answered(second)), ("granted", "granted"));
}

#[test]
fn growth_beyond_the_budget_is_overdraft_until_it_is_reclaimed() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 200);
    rig.make_ready("a");
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component is up");
    let own = vec![(id, ByteSize::mib(150).into())];
    rig.input(Input::Footprints(Footprints { own, ..Footprints::default() }));
    assert_eq!(rig.engine.budget().overdraft(), ByteSize::mib(50));
    assert!(rig.effects.iter().any(|e| matches!(e, Effect::Trim { .. })), "a trim comes first");
    rig.wait(seconds(5.0));
    rig.settle();
    assert_eq!(rig.engine.budget().overdraft(), ByteSize::ZERO);
    // One component is left, with at most the 150 MiB that were measured.
    assert!(rig.engine.budget().booked() <= ByteSize::mib(150));
}

#[test]
fn pressure_evicts_by_priority_and_refuses_loads_in_an_emergency() {
    let specs = || {
        vec![
            with(spec("low"), |s| s.priority = Priority::Low),
            spec("medium"),
            with(spec("high"), |s| s.priority = Priority::High),
            with(spec("core"), |s| s.priority = Priority::Core),
        ]
    };
    let names = ["low", "medium", "high", "core"];
    let check = |level: PressureLevel, want: [&str; 4]| {
        let mut rig = Rig::new(specs(), 1000);
        for name in names {
            rig.make_ready(name);
        }
        rig.wait(seconds(3.0));
        rig.input(Input::Pressure(level));
        rig.settle();
        assert_eq!(rig.states(&names), want, "{level}");
        if level == PressureLevel::Emergency {
            let w = rig.demand(&["low"]);
            assert_eq!(rig.answered(w), "pressure");
        }
    };
    check(PressureLevel::Medium, ["ready"; 4]);
    check(PressureLevel::High, ["unloaded", "ready", "ready", "ready"]);
    check(PressureLevel::Critical, ["unloaded", "unloaded", "ready", "ready"]);
    check(PressureLevel::Emergency, ["unloaded", "unloaded", "unloaded", "ready"]);
}
