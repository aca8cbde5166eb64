//! Parked components and the others: dependencies, conflicts, operators, configurations, the shutdown, and ends for want of use.

use majordomo_core::{ByteSize, PressureLevel, Priority};
use majordomo_engine::{Input, OperatorAction};

use crate::ladder::{cause, configure, configure_budget, in_both_modes, parked_a};
use crate::rig::{Rig, id, seconds, spec, with};

#[test]
fn dependent_is_parked_before_its_provider_and_woken_after_it() {
    let specs = vec![spec("p"), with(spec("d"), |s| s.dependencies = vec![id("p")]), spec("b")];
    let specs = specs.into_iter().map(|s| {
        let is_big = s.id == id("b");
        with(s, |s| s.memory = ByteSize::mib(if is_big { 180 } else { 100 }))
    });
    let mut rig = Rig::new(specs.collect(), 220);
    rig.offer_paged(&["p", "d", "b"], 500);
    rig.make_ready("d");
    let b = rig.demand(&["b"]);
    assert_eq!(rig.states(&["d", "p"]), ["parking", "draining"]);
    rig.parked("d");
    assert_eq!(rig.states(&["d", "p"]), ["paged", "parking"]);
    rig.parked("p");
    rig.settle();
    assert_eq!(rig.answered(b), "granted");
    rig.give_back("b");
    let d = rig.demand(&["d"]);
    rig.parked_with("b", 18, 162);
    assert_eq!(rig.states(&["d", "p"]), ["queued", "waking"]);
    rig.woken("p");
    rig.woken("d");
    assert_eq!(rig.answered(d), "granted");
}

#[test]
fn parked_dependents_end_with_their_provider() {
    let specs = vec![spec("p"), with(spec("d"), |s| s.dependencies = vec![id("p")]), spec("b")];
    let mut rig = Rig::new(specs, 250);
    rig.offer_paged(&["d"], 500);
    rig.make_ready("d");
    rig.demand(&["b"]);
    rig.parked("d");
    rig.settle();
    assert_eq!(rig.states(&["d", "p"]), ["paged", "ready"]);
    rig.exits("p");
    assert_eq!(rig.states(&["d", "p"]), ["unloading", "unloading"]);
    rig.settle_unloads();
    assert_eq!(rig.state("d"), "unloaded");
    assert!(cause(&rig, "d").starts_with("p, which it depends on"), "{}", cause(&rig, "d"));
}

#[test]
fn provider_that_is_unloaded_ends_a_dependent_on_its_way_to_be_parked() {
    let low = |name| with(spec(name), |s| s.priority = Priority::Low);
    let specs = vec![low("p"), with(low("d"), |s| s.dependencies = vec![id("p")]), spec("b")];
    let mut rig = Rig::new(specs, 250);
    rig.offer_paged(&["d"], 500);
    rig.make_ready("d");
    rig.demand(&["b"]);
    assert_eq!(rig.states(&["d", "p"]), ["parking", "ready"]);
    rig.input(Input::Pressure(PressureLevel::Critical));
    assert_eq!(rig.states(&["d", "p"]), ["parking", "draining"]);
    rig.parked("d");
    assert_eq!(rig.states(&["d", "p"]), ["unloading", "draining"]);
    rig.settle_unloads();
    assert_eq!(rig.states(&["d", "p"]), ["unloaded", "unloaded"]);
}

#[test]
fn demand_in_conflict_with_a_parked_component_ends_it() {
    let specs = vec![spec("a"), with(spec("c"), |s| s.conflicts = vec![id("a")]), spec("b")];
    let mut rig = Rig::new(specs, 250);
    rig.offer_paged(&["a"], 500);
    rig.make_ready("a");
    rig.make_ready("b");
    configure_budget(&mut rig, 120);
    rig.wait(seconds(1.0));
    assert_eq!(rig.state("a"), "parking");
    rig.parked("a");
    rig.operator("b", OperatorAction::Unload { force: false });
    rig.settle();
    let waiter = rig.demand(&["c"]);
    assert_eq!(rig.states(&["a", "c"]), ["unloading", "queued"]);
    rig.settle();
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn pinned_component_is_woken_and_never_parked() {
    for mut rig in in_both_modes() {
        rig.operator("b", OperatorAction::Unload { force: false });
        rig.settle();
        rig.operator("a", OperatorAction::Pin);
        assert_eq!(rig.state("a"), "waking");
        rig.woken("a");
        let waiter = rig.demand(&["b"]);
        assert_eq!((rig.state("a"), rig.answered(waiter)), ("ready", "too_large"));
    }
}

#[test]
fn operator_unloads_a_parked_component() {
    for mut rig in in_both_modes() {
        let waiter = rig.operator("a", OperatorAction::Unload { force: false });
        assert_eq!((rig.state("a"), rig.answered(waiter)), ("unloading", "waits"));
        rig.settle();
        assert_eq!((rig.state("a"), rig.answered(waiter)), ("unloaded", "done"));
    }
}

#[test]
fn changed_configuration_ends_a_parked_component() {
    let mut rig = parked_a();
    let specs = vec![with(spec("a"), |s| s.version = "2".to_owned()), spec("b")];
    configure(&mut rig, specs);
    assert_eq!(rig.state("a"), "unloading");
    rig.settle();
    assert_eq!(rig.state("a"), "unloaded", "only a demand loads it again");
}

#[test]
fn shutdown_ends_parked_components_and_steps_under_way() {
    let mut rig = parked_a();
    rig.demand(&["a"]);
    rig.parked("b");
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(3.0));
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "unloading"]);
    rig.settle();
    assert!(rig.engine.is_down());
}

#[test]
fn idle_timeout_ends_a_parked_component() {
    let specs = vec![with(spec("a"), |s| s.idle_timeout = Some(seconds(60.0))), spec("b")];
    let mut rig = Rig::new(specs, 150);
    rig.offer_paged(&["a"], 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    rig.parked("a");
    rig.settle();
    rig.wait(seconds(57.0));
    assert_eq!(rig.state("a"), "paged");
    rig.wait(seconds(4.0));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn overdraft_of_swap_ends_parked_components() {
    let mut rig = parked_a();
    rig.offer_paged(&["a", "b"], 50);
    rig.wait(seconds(5.0));
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "ready"]);
}
