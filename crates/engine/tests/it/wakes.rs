//! The time of a wake: its deadline beside those of the callers that wait for it, and what a plan says of it.

use std::time::Duration;

use majordomo_core::{ByteSize, Rung, WaiterId};
use majordomo_engine::{Effect, Footprints, Input, OperatorAction};

use crate::rig::{Rig, config, id, seconds, spec, with};

/// `a` is parked alone; its cold load takes 8 s.
fn parked() -> Rig {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.offer_paged(&["a", "b"], 500);
    rig.loads_take(seconds(8.0));
    rig.make_ready("a");
    rig.operator("a", OperatorAction::Park);
    rig.parked("a");
    rig
}

fn demand(rig: &mut Rig, deadline: f64) -> WaiterId {
    rig.demand_with(&["a"], None, Some(seconds(deadline)))
}

#[test]
fn wake_that_hangs_leaves_its_demand_the_time_for_a_cold_load() {
    let mut rig = parked();
    let waiter = demand(&mut rig, 14.0);
    assert_eq!(rig.state("a"), "waking");
    rig.wait(seconds(3.5));
    assert_eq!(rig.state("a"), "unloading", "half of the 6 s beyond a cold load are over");
    rig.settle();
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn demand_that_joins_a_wake_under_way_shortens_it() {
    let mut rig = parked();
    let first = demand(&mut rig, 60.0);
    rig.wait(seconds(4.0));
    let second = demand(&mut rig, 12.0);
    rig.wait(seconds(2.5));
    assert_eq!(rig.state("a"), "unloading");
    rig.settle();
    assert_eq!((rig.answered(first), rig.answered(second)), ("granted", "granted"));
}

#[test]
fn demand_that_no_cold_load_could_serve_does_not_shorten_the_wake() {
    let mut rig = parked();
    let waiter = demand(&mut rig, 3.0);
    rig.wait(seconds(7.5));
    assert_eq!((rig.answered(waiter), rig.state("a")), ("deadline_exceeded", "waking"));
    rig.wait(seconds(1.0));
    assert_eq!(rig.state("a"), "unloading", "as long as a cold load");
}

#[test]
fn wake_has_twice_its_expected_time_however_short_the_demand_is() {
    let mut rig = parked();
    let waiter = demand(&mut rig, 8.2);
    rig.wait(seconds(0.45));
    assert_eq!(rig.state("a"), "waking", "expected are 0.2 s, and the least is half a second");
    rig.woken("a");
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn plan_says_from_which_rung_a_component_starts_and_how_long_parks_take() {
    let mut rig = parked();
    rig.make_ready("b");
    let plan = |rig: &Rig| rig.engine.plan(&[rig.key("a")], rig.now, &rig.cells);
    let wake = plan(&rig);
    assert_eq!((wake.loads[0].from, wake.loads[0].load_time), (Rung::Paged, seconds(0.2)));
    assert_eq!(wake.evictions[0].to, Rung::Paged);
    assert_eq!((wake.parking, wake.wait), (seconds(0.1), seconds(0.3)));
    let waiter = demand(&mut rig, 60.0);
    rig.parked("b");
    let under_way = plan(&rig);
    assert!(under_way.loads[0].under_way);
    assert_eq!((under_way.loads[0].from, under_way.parking), (Rung::Paged, Duration::ZERO));
    rig.woken("a");
    assert_eq!(rig.answered(waiter), "granted");
    rig.give_back("a");
    let cold = rig.engine.plan(&[rig.key("a")], rig.now, &rig.cells);
    assert!(cold.loads.is_empty() && cold.wait.is_zero());
    rig.operator("a", OperatorAction::Unload { force: false });
    rig.settle();
    let cold = plan(&rig);
    assert_eq!((cold.loads[0].from, cold.loads[0].load_time), (Rung::Gone, seconds(8.0)));
}

#[test]
fn plan_for_a_component_that_is_being_parked_waits_for_that_and_wakes_it() {
    let mut rig = Rig::new(vec![spec("a")], 150);
    rig.offer_paged(&["a"], 500);
    rig.make_ready("a");
    rig.operator("a", OperatorAction::Park);
    rig.wait(seconds(0.04));
    let plan = rig.engine.plan(&[rig.key("a")], rig.now, &rig.cells);
    assert_eq!((plan.loads[0].from, plan.loads[0].load_time), (Rung::Paged, seconds(0.2)));
    assert_eq!((plan.parking, plan.wait), (seconds(0.06), seconds(0.26)));
}

#[test]
fn suspend_gives_a_wake_its_whole_time_again() {
    let mut rig = parked();
    demand(&mut rig, 60.0);
    rig.wait(seconds(7.9));
    rig.input(Input::Resumed { gap: seconds(3600.0) });
    rig.wait(seconds(7.5));
    assert_eq!(rig.state("a"), "waking");
    rig.wait(seconds(1.0));
    assert_eq!(rig.state("a"), "unloading");
}

/// `a` and `c` are parked with 90 MiB each in swap; two wakes may run, one of them for a preload.
fn two_parked() -> Rig {
    let mut config = config();
    config.loads.max_concurrent = Some(4);
    let specs = vec![spec("a"), spec("b"), spec("c")];
    let mut rig = Rig::with_pools(specs, Vec::new(), 250, config);
    rig.offer_paged_with(&["a", "b", "c"], 500, 2, None);
    for name in ["a", "c"] {
        rig.make_ready(name);
        rig.operator(name, OperatorAction::Park);
        rig.parked(name);
    }
    rig
}

#[test]
fn preload_that_has_no_wake_lane_reserves_nothing() {
    let mut rig = two_parked();
    rig.hint(rig.key("a"));
    assert_eq!(rig.state("a"), "waking");
    rig.hint(rig.key("c"));
    assert_eq!(rig.state("c"), "paged");
    rig.woken("a");
    rig.wait(seconds(0.1));
    assert_eq!(rig.state("c"), "waking", "its hint was not lost");
}

#[test]
fn relief_leaves_a_component_parked_that_waits_to_be_woken_for_a_preload() {
    let mut rig =
        Rig::new(vec![spec("p"), with(spec("d"), |s| s.dependencies = vec![id("p")])], 250);
    rig.offer_paged(&["p", "d"], 500);
    rig.make_ready("d");
    rig.operator("p", OperatorAction::Park);
    rig.parked("d");
    rig.parked("p");
    rig.hint(rig.key("d"));
    assert_eq!(rig.states(&["p", "d"]), ["waking", "queued"]);
    let external = ByteSize::mib(51);
    rig.input(Input::Footprints(Footprints { external, ..Footprints::default() }));
    rig.wait(seconds(0.1));
    assert_eq!(rig.states(&["p", "d"]), ["waking", "paged"]);
    let unloads = |e: &&Effect| matches!(e, Effect::StartUnload { .. });
    assert_eq!(rig.effects.iter().filter(unloads).count(), 0);
}
