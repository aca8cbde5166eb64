//! What was loaded ahead and nobody has had: it goes for whoever asks for something else, and nothing keeps it.

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

/// `wanted` must not run beside `other`, on which `app` depends.
fn rig() -> Rig {
    let app = with(spec("app"), |s| s.dependencies = vec![id("other")]);
    let specs = vec![refusing("wanted"), refusing("too"), spec("other"), app];
    with_lanes(3, specs, 1000)
}

/// So many lanes, one of them for demands only.
fn with_lanes(n: usize, specs: Vec<ComponentSpec>, budget_mib: u64) -> Rig {
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (n, 1);
    Rig::with_pools(specs, Vec::new(), budget_mib, config)
}

/// `other` is up, on a guess.
fn guessed(specs: Vec<ComponentSpec>) -> Rig {
    let mut rig = Rig::new(specs, 1000);
    rig.hint(rig.key("other"));
    rig.settle();
    rig
}

/// `other` ends by itself.
fn die(rig: &mut Rig) {
    rig.exits("other");
    rig.unloaded("other");
}

/// Somebody asks for it and leaves at once.
fn ask_and_leave(rig: &mut Rig, name: &str) {
    let waiter = rig.demand(&[name]);
    rig.input(Input::Abandon { waiter });
}

fn sized(name: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| s.memory = ByteSize::mib(mib))
}

/// The other components stay as they are configured.
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

/// What is in conflict with `other` is not refused for it, and is had in the end.
fn assert_gives_way(mut rig: Rig, case: &str) {
    let waits = rig.demand(&["wanted"]);
    assert_eq!(rig.answered(waits), "waits", "{case}");
    rig.settle();
    assert_eq!(rig.answered(waits), "granted", "{case}");
    assert_eq!(rig.state("other"), "unloaded", "{case}");
}

#[test]
fn a_demand_is_not_refused_for_a_guess() {
    for ahead in ["other", "app"] {
        for is_up in [false, true] {
            let mut rig = rig();
            rig.hint(rig.key(ahead));
            if is_up {
                rig.settle();
            }
            assert_gives_way(rig, &format!("{ahead}, up: {is_up}"));
        }
    }
}

#[test]
fn a_demand_is_not_refused_for_a_guess_that_leaves() {
    for ahead in ["other", "app"] {
        let mut rig = rig();
        rig.hint(rig.key(ahead));
        rig.settle();
        rig.operator("other", OperatorAction::Unload { force: false });
        // Closed and without leases, it waits for what runs on it.
        let leaves = if ahead == "app" { "draining" } else { "unloading" };
        assert_eq!(rig.state("other"), leaves);
        assert_gives_way(rig, ahead);
    }
    // A second demand for which it would have to go.
    let mut rig = rig();
    rig.hint(rig.key("app"));
    rig.settle();
    let both = [rig.demand(&["wanted"]), rig.demand(&["too"])];
    assert_eq!(both.map(|w| rig.answered(w).to_owned()), ["waits", "waits"]);
    rig.settle();
    assert_eq!(both.map(|w| rig.answered(w).to_owned()), ["granted", "granted"]);
}

#[test]
fn a_guess_that_a_demand_joined_and_left_is_a_guess_again() {
    for is_up in [false, true] {
        let mut rig = rig();
        rig.hint(rig.key("other"));
        if is_up {
            rig.settle();
        }
        // The load of `app` is cancelled; `other`, begun for nobody, goes on.
        ask_and_leave(&mut rig, "app");
        assert_gives_way(rig, &format!("up: {is_up}"));
    }
    let mut rig = with_lanes(2, ["left", "first", "second"].map(spec).to_vec(), 1000);
    rig.hint(rig.key("left"));
    ask_and_leave(&mut rig, "left");
    rig.demand(&["first"]);
    rig.demand(&["second"]);
    assert!(rig.is_loading("second"), "its lane is for whoever waits");

    let mut rig = with_lanes(2, vec![spec("left")], 1000);
    rig.hint(rig.key("left"));
    ask_and_leave(&mut rig, "left");
    rig.loaded("left");
    rig.input(Input::Pressure(PressureLevel::Medium));
    assert_eq!(rig.state("left"), "unloading", "it is the first victim");
}

#[test]
fn what_was_had_is_no_guess() {
    type Have = fn(&mut Rig);
    let ways: [(&str, Have); 4] = [
        ("a lease, not swept yet", |rig| assert!(rig.take("app"))),
        ("a swept lease", |rig| {
            assert!(rig.take("app"));
            rig.used("app");
            rig.give_back("app");
        }),
        ("a grant", |rig| rig.have("app")),
        ("a use that was told", |rig| {
            let used = vec![rig.key("app")];
            rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
        }),
    ];
    for (way, have) in ways {
        let mut rig = rig();
        rig.hint(rig.key("app"));
        rig.settle();
        have(&mut rig);
        let refused = rig.demand(&["wanted"]);
        assert_eq!(rig.answered(refused), "conflict", "{way}");
        assert_eq!(rig.states(&["other", "app"]), ["ready", "ready"], "{way}");
    }
}

#[test]
fn a_use_that_nobody_told_of_is_of_its_own_incarnation() {
    let mut rig = rig();
    rig.have("other");
    rig.used("other");
    die(&mut rig);
    rig.wait(seconds(1.1));
    rig.hint(rig.key("other"));
    assert!(rig.is_loading("other"));
    // By now the use of the one that died is taken for a command.
    rig.wait(seconds(2.0));
    rig.loaded("other");
    assert_gives_way(rig, "used before it died");
    // Told of while the next one waits for its memory.
    let specs = vec![refusing("wanted"), spec("other"), sized("old", 250)];
    let mut rig = Rig::new(specs, 300);
    rig.have("other");
    rig.wait(seconds(3.0));
    rig.operator("other", OperatorAction::Unload { force: false });
    rig.unloaded("other");
    rig.have("old");
    rig.wait(config().memory.min_residency);
    rig.hint(rig.key("other"));
    assert_eq!(rig.state("other"), "queued");
    let used = vec![rig.key("other")];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
    rig.settle();
    assert_gives_way(rig, "told of late");
}

#[test]
fn what_could_not_be_let_go_again_is_not_loaded_on_a_guess() {
    let app = with(spec("app"), |s| s.dependencies = vec![id("base")]);
    let mut rig = Rig::new(vec![spec("base"), app, spec("free")], 1000);
    rig.operator("base", OperatorAction::Pin);
    for name in ["base", "app", "free"] {
        rig.hint(rig.key(name));
    }
    assert_eq!(rig.states(&["base", "app", "free"]), ["unloaded", "unloaded", "loading"]);
    // What runs already is no part of the guess.
    rig.have("base");
    rig.hint(rig.key("app"));
    assert!(rig.is_loading("app"));
}

#[test]
fn an_ended_guess_goes_on_for_those_who_count_on_it_and_no_others() {
    let small = |name: &str| with(spec(name), |s| s.memory = ByteSize::mib(50));
    let wanted = with(small("wanted"), |s| s.conflicts = vec![id("app")]);
    let app = with(spec("app"), |s| s.dependencies = vec![id("base")]);
    let old = with(spec("old"), |s| s.memory = ByteSize::mib(200));
    let specs = vec![wanted, app, spec("base"), small("x"), old];
    let mut rig = with_lanes(6, specs, 390);
    rig.have("old");
    rig.wait(config().memory.min_residency);
    rig.hint(rig.key("app"));
    let joined = rig.demand(&["base", "x"]);
    let wanted = rig.demand(&["wanted"]);
    // Two that conflict would both be alive if all of the guess went on: the rig audits after every input.
    rig.settle();
    assert_eq!([rig.answered(joined), rig.answered(wanted)], ["granted", "granted"]);
    assert_eq!(rig.states(&["base", "app", "wanted"]), ["ready", "unloaded", "ready"]);
}

#[test]
fn nothing_brings_a_guess_back() {
    let always = with(spec("other"), |s| s.restart = RestartPolicy::Always);
    for is_up in [false, true] {
        let mut rig = Rig::new(vec![refusing("wanted"), always.clone()], 1000);
        rig.hint(rig.key("other"));
        if is_up {
            rig.settle();
            die(&mut rig);
        } else {
            rig.load_ends("other", Err("no"));
        }
        rig.wait(seconds(60.0));
        assert_eq!(rig.state("other"), "failed", "up: {is_up}");
    }
    // What somebody has had is brought back.
    let mut rig = guessed(vec![always]);
    rig.have("other");
    die(&mut rig);
    rig.wait(seconds(60.0));
    assert!(rig.is_loading("other"));
}

#[test]
fn a_changed_guess_is_not_loaded_anew() {
    let mut rig = guessed(vec![spec("other"), spec("x")]);
    change(&mut rig, &next_version("other"));
    rig.settle();
    assert_eq!(rig.state("other"), "unloaded");
    // Somebody joined it, and leaves while it goes.
    rig.hint(rig.key("other"));
    rig.settle();
    let waiter = rig.demand(&["other", "x"]);
    change(&mut rig, &spec("other"));
    rig.input(Input::Abandon { waiter });
    rig.settle();
    assert_eq!(rig.state("other"), "unloaded");
}

#[test]
fn what_is_pinned_is_brought_back_however_it_was_loaded() {
    for restart in [RestartPolicy::OnDemand, RestartPolicy::Always] {
        let other = with(spec("other"), |s| s.restart = restart);
        let mut rig = guessed(vec![other]);
        rig.operator("other", OperatorAction::Pin);
        die(&mut rig);
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
fn what_is_leased_is_brought_back_though_its_lease_tells_of_no_last_use_yet() {
    let always = with(spec("other"), |s| s.restart = RestartPolicy::Always);
    let mut rig = guessed(vec![always]);
    assert!(rig.take("other"));
    let key = rig.key("other");
    let id = rig.engine.incarnation(key).expect("it is up");
    rig.input(Input::Usage(vec![Usage { id, uses: 1, last_use: None }]));
    die(&mut rig);
    rig.wait(seconds(60.0));
    assert!(rig.is_loading("other"));
}

#[test]
fn the_end_of_a_back_off_brings_no_guess_back() {
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
    // What was used is.
    let mut rig = Rig::new(vec![always], 1000);
    rig.have("other");
    rig.used("other");
    rig.exits("other");
    rig.settle();
    rig.wait(config().back_off.base);
    assert!(rig.is_loading("other"));
}

#[test]
fn a_demand_whose_turn_comes_as_a_load_becomes_nobodys_is_not_refused_for_it() {
    let other = with(sized("other", 50), |s| s.on_abandon = OnAbandon::Finish);
    let wanted = with(refusing("wanted"), |s| s.memory = ByteSize::mib(1));
    let others = [("x", 150), ("held", 100), ("head", 200)].map(|(name, mib)| sized(name, mib));
    let specs = [wanted, other].into_iter().chain(others).collect();
    let mut rig = Rig::new(specs, 350);
    rig.have("x");
    rig.demand(&["held"]);
    rig.settle();
    rig.wait(seconds(3.0));
    let waiter = rig.demand(&["other", "x"]);
    rig.demand(&["head"]);
    rig.wait(seconds(3.0));
    let waits = rig.demand(&["wanted"]);
    rig.input(Input::Abandon { waiter });
    assert_eq!(rig.answered(waits), "waits");
}

#[test]
fn an_ended_guess_claims_no_more_than_those_who_count_on_it_need() {
    let app = with(sized("app", 200), |s| s.dependencies = vec![id("base")]);
    let others = [("base", 50), ("old", 20), ("held", 140), ("want", 100)];
    let specs = others.map(|(name, mib)| sized(name, mib)).into_iter().chain([app]).collect();
    let mut rig = with_lanes(6, specs, 400);
    rig.have("old");
    rig.demand(&["held"]);
    rig.settle();
    rig.wait(config().memory.min_residency);
    rig.hint(rig.key("app"));
    rig.demand(&["base"]);
    rig.demand(&["want"]);
    assert!(rig.is_loading("want"), "180 MiB are free for it");
}

#[test]
fn a_pinned_dependent_that_goes_is_in_nobodys_way() {
    for policy in [ConflictPolicy::Refuse, ConflictPolicy::Replace] {
        let wanted = with(refusing("wanted"), |s| s.conflict_policy = policy);
        let app = with(spec("app"), |s| s.dependencies = vec![id("other")]);
        let mut rig = guessed(vec![wanted, spec("other"), app]);
        rig.operator("app", OperatorAction::Pin);
        ask_and_leave(&mut rig, "app");
        assert_eq!(rig.states(&["other", "app"]), ["ready", "unloading"]);
        assert_gives_way(rig, &format!("{policy:?}"));
    }
}

#[test]
fn a_guess_above_its_limit_is_not_restarted() {
    let limited = with(spec("other"), |s| {
        s.memory_limit = Some(ByteSize::mib(120));
        s.over_limit = OverLimit::Restart;
    });
    let mut rig = guessed(vec![limited]);
    let key = rig.key("other");
    let id = rig.engine.incarnation(key).expect("it is up");
    let measure = |rig: &mut Rig, after: Duration| {
        rig.wait(after);
        let own = vec![(id, ByteSize::mib(200))];
        let footprints = Footprints { own, external: ByteSize::ZERO, unreturned: ByteSize::ZERO };
        rig.input(Input::Footprints(footprints));
    };
    measure(&mut rig, Duration::ZERO);
    measure(&mut rig, config().memory.over_limit_grace);
    rig.settle();
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("other"), "failed", "guesses back off");
}
