//! Expendable preloads: a demand for another component evicts them, and nothing restarts them.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, PressureLevel};
use majordomo_engine::{Footprints, Input, OperatorAction, Usage};
use majordomo_registry::{
    Catalog, ComponentSpec, ConflictPolicy, OnAbandon, OverLimit, RestartPolicy,
};

use crate::rig::{Rig, config, id, seconds, spec, with};

/// Must not run beside `other`.
fn refusing(name: &str) -> ComponentSpec {
    with(spec(name), |s| {
        s.conflicts = vec![id("other")];
        s.conflict_policy = ConflictPolicy::Refuse;
    })
}

/// `requested` must not run beside `other`, on which `app` depends.
fn rig() -> Rig {
    let app = with(spec("app"), |s| s.dependencies = vec![id("other")]);
    let specs = vec![refusing("requested"), refusing("too"), spec("other"), app];
    with_lanes(3, specs, 1000)
}

/// `n` load lanes, one of them for demands only.
fn with_lanes(n: usize, specs: Vec<ComponentSpec>, budget_mib: u64) -> Rig {
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (Some(n), 1);
    Rig::with_pools(specs, Vec::new(), budget_mib, config)
}

/// `other` is ready by a preload.
fn preloaded(specs: Vec<ComponentSpec>) -> Rig {
    let mut rig = Rig::new(specs, 1000);
    rig.hint(rig.key("other"));
    rig.settle();
    rig
}

fn exit_other(rig: &mut Rig) {
    rig.exits("other");
    rig.unloaded("other");
}

fn demand_and_abandon(rig: &mut Rig, name: &str) {
    let waiter = rig.demand(&[name]);
    rig.input(Input::Abandon { waiter });
}

fn sized(name: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| s.memory = ByteSize::mib(mib))
}

/// Changes the spec of one component and keeps the others.
fn change(rig: &mut Rig, changed: &ComponentSpec) {
    let old = rig.engine.catalog();
    let specs = old
        .keys()
        .filter_map(|k| old.spec(k))
        .map(|s| if s.id == changed.id { changed.clone() } else { ComponentSpec::clone(s) });
    let catalog = Catalog::build(specs.collect(), Vec::new(), Some(old));
    let catalog = Arc::new(catalog.expect("a catalog of a test"));
    let config = Box::new(rig.engine.config().clone());
    rig.input(Input::Configure { catalog, config, budget: ByteSize::mib(1000) });
}

fn next_version(name: &str) -> ComponentSpec {
    with(spec(name), |s| s.version = "2".into())
}

/// A demand that conflicts with `other` is not refused: `other` is unloaded, and the demand is
/// granted.
fn assert_evicted_for_a_demand(mut rig: Rig, case: &str) {
    let waits = rig.demand(&["requested"]);
    assert_eq!(rig.answered(waits), "waits", "{case}");
    rig.settle();
    assert_eq!(rig.answered(waits), "granted", "{case}");
    assert_eq!(rig.state("other"), "unloaded", "{case}");
}

#[test]
fn demand_is_not_refused_for_a_conflicting_preload() {
    for hinted in ["other", "app"] {
        for is_up in [false, true] {
            let mut rig = rig();
            rig.hint(rig.key(hinted));
            if is_up {
                rig.settle();
            }
            assert_evicted_for_a_demand(rig, &format!("{hinted}, up: {is_up}"));
        }
    }
}

#[test]
fn demand_is_not_refused_for_a_conflicting_preload_that_unloads() {
    for hinted in ["other", "app"] {
        let mut rig = rig();
        rig.hint(rig.key(hinted));
        rig.settle();
        rig.operator("other", OperatorAction::Unload { force: false });
        // Closed and without leases, `other` waits for its dependent.
        let state = if hinted == "app" { "draining" } else { "unloading" };
        assert_eq!(rig.state("other"), state);
        assert_evicted_for_a_demand(rig, hinted);
    }
    // A second demand conflicts with the same preload.
    let mut rig = rig();
    rig.hint(rig.key("app"));
    rig.settle();
    let both = [rig.demand(&["requested"]), rig.demand(&["too"])];
    assert_eq!(both.map(|w| rig.answered(w).to_owned()), ["waits", "waits"]);
    rig.settle();
    assert_eq!(both.map(|w| rig.answered(w).to_owned()), ["granted", "granted"]);
}

#[test]
fn preload_is_expendable_again_after_its_demand_is_abandoned() {
    for is_up in [false, true] {
        let mut rig = rig();
        rig.hint(rig.key("other"));
        if is_up {
            rig.settle();
        }
        // The load of `app` is cancelled; the preload of `other` continues.
        demand_and_abandon(&mut rig, "app");
        assert_evicted_for_a_demand(rig, &format!("up: {is_up}"));
    }
    let mut rig = with_lanes(2, ["abandoned", "first", "second"].map(spec).to_vec(), 1000);
    rig.hint(rig.key("abandoned"));
    demand_and_abandon(&mut rig, "abandoned");
    rig.demand(&["first"]);
    rig.demand(&["second"]);
    assert!(rig.is_loading("second"), "its lane is for waiting demands");

    let mut rig = with_lanes(2, vec![spec("abandoned")], 1000);
    rig.hint(rig.key("abandoned"));
    demand_and_abandon(&mut rig, "abandoned");
    rig.loaded("abandoned");
    rig.input(Input::Pressure(PressureLevel::Medium));
    assert_eq!(rig.state("abandoned"), "unloading", "an expendable component is the first victim");
}

#[test]
fn used_preload_is_not_expendable() {
    type Use = fn(&mut Rig);
    let ways: [(&str, Use); 4] = [
        ("a lease, not swept yet", |rig| assert!(rig.take("app"))),
        ("a swept lease", |rig| {
            assert!(rig.take("app"));
            rig.used("app");
            rig.give_back("app");
        }),
        ("a grant", |rig| rig.make_ready("app")),
        ("a reported use", |rig| {
            let used = vec![rig.key("app")];
            rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
        }),
    ];
    for (way, use_component) in ways {
        let mut rig = rig();
        rig.hint(rig.key("app"));
        rig.settle();
        use_component(&mut rig);
        let refused = rig.demand(&["requested"]);
        assert_eq!(rig.answered(refused), "conflict", "{way}");
        assert_eq!(rig.states(&["other", "app"]), ["ready", "ready"], "{way}");
    }
}

#[test]
fn late_report_of_a_use_does_not_count_for_the_next_incarnation() {
    let mut rig = rig();
    rig.make_ready("other");
    rig.used("other");
    exit_other(&mut rig);
    rig.wait(seconds(1.1));
    rig.hint(rig.key("other"));
    assert!(rig.is_loading("other"));
    // By now the use of the exited incarnation is recorded as a command.
    rig.wait(seconds(2.0));
    rig.loaded("other");
    assert_evicted_for_a_demand(rig, "used before its exit");
    // The use is reported while the next incarnation waits for its memory.
    let specs = vec![refusing("requested"), spec("other"), sized("old", 250)];
    let mut rig = Rig::new(specs, 300);
    rig.demand(&["other"]);
    rig.wait(seconds(3.0));
    rig.loaded("other");
    rig.give_back("other");
    rig.operator("other", OperatorAction::Unload { force: false });
    rig.unloaded("other");
    rig.make_ready("old");
    rig.hint(rig.key("other"));
    assert_eq!(rig.state("other"), "queued");
    let used = vec![rig.key("other")];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
    rig.settle();
    assert_evicted_for_a_demand(rig, "reported late");
}

#[test]
fn component_that_could_not_be_evicted_is_not_preloaded() {
    let app = with(spec("app"), |s| s.dependencies = vec![id("base")]);
    let mut rig = Rig::new(vec![spec("base"), app, spec("free")], 1000);
    rig.operator("base", OperatorAction::Pin);
    for name in ["base", "app", "free"] {
        rig.hint(rig.key(name));
    }
    assert_eq!(rig.states(&["base", "app", "free"]), ["unloaded", "unloaded", "loading"]);
    // A dependency that runs already is no part of the preload.
    rig.make_ready("base");
    rig.hint(rig.key("app"));
    assert!(rig.is_loading("app"));
}

#[test]
fn cancelled_preload_continues_only_for_components_that_a_demand_shares() {
    let small = |name: &str| with(spec(name), |s| s.memory = ByteSize::mib(50));
    let requested = with(small("requested"), |s| s.conflicts = vec![id("app")]);
    let app = with(spec("app"), |s| s.dependencies = vec![id("base")]);
    let old = with(spec("old"), |s| s.memory = ByteSize::mib(200));
    let specs = vec![requested, app, spec("base"), small("x"), old];
    let mut rig = with_lanes(6, specs, 390);
    rig.make_ready("old");
    rig.hint(rig.key("app"));
    let joined = rig.demand(&["base", "x"]);
    let requested = rig.demand(&["requested"]);
    // Conflicting components would both run if the entire preload continued: the rig audits after
    // every input.
    rig.settle();
    assert_eq!([rig.answered(joined), rig.answered(requested)], ["granted", "granted"]);
    assert_eq!(rig.states(&["base", "app", "requested"]), ["ready", "unloaded", "ready"]);
}

#[test]
fn failed_preload_is_not_restarted() {
    let always = with(spec("other"), |s| s.restart = RestartPolicy::Always);
    for is_up in [false, true] {
        let mut rig = Rig::new(vec![refusing("requested"), always.clone()], 1000);
        rig.hint(rig.key("other"));
        if is_up {
            rig.settle();
            exit_other(&mut rig);
        } else {
            rig.load_ends("other", Err("no"));
        }
        rig.wait(seconds(60.0));
        assert_eq!(rig.state("other"), "failed", "up: {is_up}");
    }
    // A used component is restarted.
    let mut rig = preloaded(vec![always]);
    rig.make_ready("other");
    exit_other(&mut rig);
    rig.wait(seconds(60.0));
    assert!(rig.is_loading("other"));
}

#[test]
fn changed_preload_is_not_reloaded() {
    let mut rig = preloaded(vec![spec("other"), spec("x")]);
    change(&mut rig, &next_version("other"));
    rig.settle();
    assert_eq!(rig.state("other"), "unloaded");
    // A demand joins the preload and is abandoned while it unloads.
    rig.hint(rig.key("other"));
    rig.settle();
    let waiter = rig.demand(&["other", "x"]);
    change(&mut rig, &spec("other"));
    rig.input(Input::Abandon { waiter });
    rig.settle();
    assert_eq!(rig.state("other"), "unloaded");
}

#[test]
fn pinned_preload_is_restarted() {
    for restart in [RestartPolicy::OnDemand, RestartPolicy::Always] {
        let other = with(spec("other"), |s| s.restart = restart);
        let mut rig = preloaded(vec![other]);
        rig.operator("other", OperatorAction::Pin);
        exit_other(&mut rig);
        rig.wait(seconds(50.0));
        assert!(rig.is_loading("other"), "{restart:?}");
        rig.loaded("other");
        let changed = with(next_version("other"), |s| s.restart = restart);
        change(&mut rig, &changed);
        rig.unloaded("other");
        assert!(rig.is_loading("other"), "{restart:?}");
    }
}

#[test]
fn leased_preload_without_a_recorded_last_use_is_restarted() {
    let always = with(spec("other"), |s| s.restart = RestartPolicy::Always);
    let mut rig = preloaded(vec![always]);
    assert!(rig.take("other"));
    let key = rig.key("other");
    let id = rig.engine.incarnation(key).expect("the component is up");
    rig.input(Input::Usage(vec![Usage { id, uses: 1, last_use: None }]));
    exit_other(&mut rig);
    rig.wait(seconds(60.0));
    assert!(rig.is_loading("other"));
}

#[test]
fn end_of_a_back_off_does_not_restart_a_preload() {
    let always = with(spec("other"), |s| s.restart = RestartPolicy::Always);
    let mut rig = Rig::new(vec![always.clone()], 1000);
    for _ in 0..8 {
        rig.hint(rig.key("other"));
        if rig.is_loading("other") {
            rig.load_ends("other", Err("no"));
        }
        rig.wait(config().back_off.max);
        assert_eq!(rig.state("other"), "failed");
    }
    // A used component is restarted.
    let mut rig = Rig::new(vec![always], 1000);
    rig.make_ready("other");
    rig.used("other");
    rig.exits("other");
    rig.settle();
    rig.wait(config().back_off.base);
    assert!(rig.is_loading("other"));
}

#[test]
fn demand_is_not_refused_for_a_conflicting_load_that_was_abandoned() {
    let other = with(sized("other", 50), |s| s.on_abandon = OnAbandon::Finish);
    let requested = with(refusing("requested"), |s| s.memory = ByteSize::mib(1));
    let others = [("x", 150), ("held", 100), ("head", 200)].map(|(name, mib)| sized(name, mib));
    let specs = [requested, other].into_iter().chain(others).collect();
    let mut rig = Rig::new(specs, 350);
    rig.make_ready("x");
    rig.demand(&["held"]);
    rig.settle();
    rig.wait(seconds(3.0));
    let waiter = rig.demand(&["other", "x"]);
    rig.demand(&["head"]);
    rig.wait(seconds(3.0));
    let waits = rig.demand(&["requested"]);
    rig.input(Input::Abandon { waiter });
    assert_eq!(rig.answered(waits), "waits");
}

#[test]
fn cancelled_preload_reserves_only_what_the_demands_that_share_it_need() {
    let app = with(sized("app", 200), |s| s.dependencies = vec![id("base")]);
    let others = [("base", 50), ("old", 20), ("held", 140), ("want", 100)];
    let specs = others.map(|(name, mib)| sized(name, mib)).into_iter().chain([app]).collect();
    let mut rig = with_lanes(6, specs, 400);
    rig.make_ready("old");
    rig.demand(&["held"]);
    rig.settle();
    rig.hint(rig.key("app"));
    rig.demand(&["base"]);
    rig.demand(&["want"]);
    assert!(rig.is_loading("want"), "180 MiB are free for it");
}

#[test]
fn pinned_dependent_that_unloads_does_not_block_a_demand() {
    for policy in [ConflictPolicy::Refuse, ConflictPolicy::Replace] {
        let requested = with(refusing("requested"), |s| s.conflict_policy = policy);
        let app = with(spec("app"), |s| s.dependencies = vec![id("other")]);
        let mut rig = preloaded(vec![requested, spec("other"), app]);
        rig.operator("app", OperatorAction::Pin);
        demand_and_abandon(&mut rig, "app");
        assert_eq!(rig.states(&["other", "app"]), ["ready", "unloading"]);
        assert_evicted_for_a_demand(rig, &format!("{policy:?}"));
    }
}

#[test]
fn preload_above_its_memory_limit_is_not_restarted() {
    let limited = with(spec("other"), |s| {
        s.memory_limit = Some(ByteSize::mib(120));
        s.over_limit = OverLimit::Restart;
    });
    let mut rig = preloaded(vec![limited]);
    let key = rig.key("other");
    let id = rig.engine.incarnation(key).expect("the component is up");
    let measure = |rig: &mut Rig, after: Duration| {
        rig.wait(after);
        let own = vec![(id, ByteSize::mib(200).into())];
        let footprints = Footprints { own, external: ByteSize::ZERO, unreturned: ByteSize::ZERO };
        rig.input(Input::Footprints(footprints));
    };
    measure(&mut rig, Duration::ZERO);
    measure(&mut rig, config().memory.over_limit_grace);
    rig.settle();
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("other"), "failed", "a preload is not restarted");
}
