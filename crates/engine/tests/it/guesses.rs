//! What was loaded ahead and nobody has had: it goes for whoever asks for something else, and nothing keeps it.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, PressureLevel};
use majordomo_engine::{Footprints, Input, OperatorAction};
use majordomo_registry::{Catalog, ComponentSpec, ConflictPolicy, OverLimit, RestartPolicy};

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
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (3, 1);
    Rig::with_pools(specs, Vec::new(), 1000, config)
}

/// Two lanes, one of them for demands only.
fn two_lanes(specs: Vec<ComponentSpec>, budget_mib: u64) -> Rig {
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (2, 1);
    Rig::with_pools(specs, Vec::new(), budget_mib, config)
}

/// Somebody asks for it and leaves at once.
fn ask_and_leave(rig: &mut Rig, name: &str) {
    let waiter = rig.demand(&[name]);
    rig.input(Input::Abandon { waiter });
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
    let mut rig = two_lanes(["left", "first", "second"].map(spec).to_vec(), 1000);
    rig.hint(rig.key("left"));
    ask_and_leave(&mut rig, "left");
    rig.demand(&["first"]);
    rig.demand(&["second"]);
    assert!(rig.is_loading("second"), "its lane is for whoever waits");

    let mut rig = two_lanes(vec![spec("left")], 1000);
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
    rig.exits("other");
    rig.unloaded("other");
    rig.wait(seconds(1.1));
    rig.hint(rig.key("other"));
    assert!(rig.is_loading("other"));
    // By now the use of the one that died is taken for a command.
    rig.wait(seconds(2.0));
    rig.loaded("other");
    assert_gives_way(rig, "used before it died");
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

/// A guess that may take the place of another: had once the idle one is down.
#[test]
fn an_ended_guess_goes_on_for_those_who_count_on_it_and_no_others() {
    let small = |name: &str| with(spec(name), |s| s.memory = ByteSize::mib(50));
    let wanted = with(small("wanted"), |s| s.conflicts = vec![id("app")]);
    let app = with(spec("app"), |s| s.dependencies = vec![id("base")]);
    let old = with(spec("old"), |s| s.memory = ByteSize::mib(200));
    let specs = vec![wanted, app, spec("base"), small("x"), old];
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (6, 1);
    let mut rig = Rig::with_pools(specs, Vec::new(), 390, config.clone());
    rig.have("old");
    rig.wait(config.memory.min_residency);
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
            rig.exits("other");
            rig.unloaded("other");
        } else {
            rig.load_ends("other", Err("no"));
        }
        rig.wait(seconds(60.0));
        assert_eq!(rig.state("other"), "failed", "up: {is_up}");
    }
    // What somebody has had is brought back.
    let mut rig = Rig::new(vec![always], 1000);
    rig.hint(rig.key("other"));
    rig.settle();
    rig.have("other");
    rig.exits("other");
    rig.unloaded("other");
    rig.wait(seconds(60.0));
    assert!(rig.is_loading("other"));
}

#[test]
fn a_changed_guess_is_not_loaded_anew() {
    let mut rig = Rig::new(vec![refusing("wanted"), spec("other")], 1000);
    rig.hint(rig.key("other"));
    rig.settle();
    let changed = with(spec("other"), |s| s.version = "2".into());
    let specs = vec![refusing("wanted"), changed];
    let catalog =
        Catalog::build(specs, Vec::new(), Some(rig.engine.catalog())).expect("a catalog of a test");
    let budget = ByteSize::mib(1000);
    rig.input(Input::Configure { catalog: Arc::new(catalog), config: Box::new(config()), budget });
    rig.settle();
    assert_eq!(rig.state("other"), "unloaded");
}

#[test]
fn a_guess_above_its_limit_is_not_restarted() {
    let limited = with(spec("other"), |s| {
        s.memory_limit = Some(ByteSize::mib(120));
        s.over_limit = OverLimit::Restart;
    });
    let mut rig = Rig::new(vec![limited], 1000);
    rig.hint(rig.key("other"));
    rig.settle();
    let key = rig.key("other");
    let op = rig.engine.scheduler().entry(key).op.expect("it is up");
    let measure = |rig: &mut Rig, after: Duration| {
        rig.wait(after);
        let own = vec![(key, op, ByteSize::mib(200))];
        let footprints = Footprints { own, external: ByteSize::ZERO, unreturned: ByteSize::ZERO };
        rig.input(Input::Footprints(footprints));
    };
    measure(&mut rig, Duration::ZERO);
    measure(&mut rig, config().memory.over_limit_grace);
    rig.settle();
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("other"), "unloaded");
}
