//! Components between loaded and gone: parks, wakes, and the way through a failed wake to a cold load.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentState, Config, Moment, PressureLevel, Priority, StepId};
use majordomo_engine::{Effect, Input, Need, OperatorAction, ParkReport, WakeReport};
use majordomo_registry::{Catalog, ComponentSpec};

use crate::rig::{Rig, config, seconds, spec, with};

/// Components of 100 MiB each, all of which may be paged out.
pub(crate) fn rig(names: &[&str], budget_mib: u64, swap_mib: u64) -> Rig {
    let mut rig = Rig::new(names.iter().map(|n| spec(n)).collect(), budget_mib);
    rig.offer_paged(names, swap_mib);
    rig
}

/// `a` is parked and `b` loaded in its place.
pub(crate) fn parked_a() -> Rig {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    rig.parked("a");
    rig.loaded("b");
    rig.give_back("b");
    assert_eq!(rig.states(&["a", "b"]), ["paged", "ready"]);
    rig
}

/// The same where a policy without values decides, and where values are known of both.
pub(crate) fn in_both_modes() -> [Rig; 2] {
    let mut config = config();
    config.speculation.enabled = false;
    let specs = ["a", "b"].map(spec).into();
    let mut rig = Rig::with_pools(specs, Vec::new(), 150, config);
    rig.offer_paged(&["a", "b"], 500);
    for name in ["a", "b", "a", "b"] {
        let used = vec![rig.key(name)];
        rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
    }
    rig.make_ready("a");
    rig.demand(&["b"]);
    rig.parked("a");
    rig.loaded("b");
    rig.give_back("b");
    [parked_a(), rig]
}

pub(crate) fn booked(rig: &Rig, name: &str) -> (u64, u64) {
    let bookings = rig.engine.budget().bookings(rig.key(name));
    let own = rig.engine.scheduler().pool(rig.key(name));
    (bookings.of(own).0 >> 20, bookings.of(Need::SWAP).0 >> 20)
}

pub(crate) fn cause(rig: &Rig, name: &str) -> String {
    let e = rig.engine.scheduler().entry(rig.key(name));
    e.cause().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn idle_component_is_parked_for_a_demand_and_frees_its_bytes_when_that_is_proven() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    let waiter = rig.demand(&["b"]);
    assert_eq!(rig.states(&["a", "b"]), ["parking", "queued"]);
    assert_eq!(booked(&rig, "a"), (100, 90), "the old booking stays, swap is reserved");
    assert!(!rig.take("a") && !rig.is_loading("b"));
    rig.parked_with("a", 12, 80);
    assert_eq!(booked(&rig, "a"), (12, 80));
    rig.loaded("b");
    assert_eq!((rig.answered(waiter), rig.state("a")), ("granted", "paged"));
}

#[test]
fn nothing_is_parked_without_an_offer() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.make_ready("a");
    rig.demand(&["b"]);
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "queued"]);
}

#[test]
fn demand_wakes_a_parked_component_and_is_granted_in_the_input_that_ends_the_wake() {
    for mut rig in in_both_modes() {
        let before = rig.engine.incarnation(rig.key("a"));
        let waiter = rig.demand(&["a"]);
        assert_eq!(rig.states(&["a", "b"]), ["queued", "parking"]);
        rig.parked("b");
        assert_eq!(rig.state("a"), "waking");
        assert_eq!(booked(&rig, "a").0, 100, "the footprint that it had");
        assert!(!rig.take("a"), "its cell is closed during the wake");
        rig.woken("a");
        assert_eq!((rig.answered(waiter), rig.state("a")), ("granted", "ready"));
        let cell = &rig.cells.0[&rig.key("a")];
        assert_eq!((cell.leases, cell.closed), (1, false));
        assert_eq!(rig.engine.incarnation(rig.key("a")), before, "the same incarnation");
        assert!(rig.take("a"));
    }
}

#[test]
fn failed_wake_falls_through_to_a_cold_load_in_the_same_transaction() {
    for mut rig in in_both_modes() {
        let waiter = rig.demand(&["a"]);
        rig.parked("b");
        rig.wake_fails("a");
        assert_eq!((rig.state("a"), rig.answered(waiter)), ("unloading", "waits"));
        rig.unloaded("a");
        assert_eq!(rig.state("a"), "loading", "no back-off");
        rig.loaded("a");
        assert_eq!(rig.answered(waiter), "granted");
        let e = rig.engine.scheduler().entry(rig.key("a"));
        assert_eq!((e.failures().n_total(), e.parking().n_failed()), (0, 1));
    }
}

/// A wake may take as long as a cold load.
const LATE: (&str, &str) = ("unloading", "it was not woken by the deadline");

#[test]
fn wake_past_its_deadline_falls_through_within_the_deadline_of_the_demand() {
    for mut rig in in_both_modes() {
        let waiter = rig.demand_with(&["a"], None, Some(seconds(30.0)));
        rig.parked("b");
        let (id, step) = rig.step("a");
        rig.wait(seconds(1.1));
        assert_eq!((rig.state("a"), cause(&rig, "a").as_str()), LATE);
        rig.input(Input::Woken { id, step, result: Ok(WakeReport::default()) });
        assert_eq!(rig.state("a"), "unloading", "it comes too late");
        rig.settle();
        assert_eq!(rig.answered(waiter), "granted");
    }
}

#[test]
fn component_that_ends_while_it_is_woken_is_loaded_cold() {
    for mut rig in in_both_modes() {
        let waiter = rig.demand(&["a"]);
        rig.parked("b");
        rig.exits("a");
        rig.settle();
        assert_eq!(rig.answered(waiter), "granted");
    }
}

#[test]
fn death_while_parked_leaves_the_cause_and_no_back_off() {
    for mut rig in in_both_modes() {
        rig.exits("a");
        rig.unloaded("a");
        assert_eq!(rig.state("a"), "unloaded");
        assert_eq!(cause(&rig, "a"), "it was killed by SIGKILL");
        assert_eq!(booked(&rig, "a"), (0, 0));
        let waiter = rig.demand(&["a"]);
        rig.parked("b");
        rig.settle();
        assert_eq!(rig.answered(waiter), "granted");
    }
}

#[test]
fn third_death_while_parked_within_the_window_ends_parking() {
    let mut rig = rig(&["a", "b"], 150, 500);
    for deaths in 0..4 {
        rig.make_ready("a");
        rig.demand(&["b"]);
        let parks = rig.state("a") == "parking";
        assert_eq!(parks, deaths < 3, "{deaths}");
        if parks {
            rig.parked("a");
            rig.exits("a");
        }
        rig.settle();
        rig.give_back("b");
        rig.operator("b", OperatorAction::Unload { force: false });
        rig.settle();
    }
}

#[test]
fn demand_that_meets_a_park_waits_for_its_end_and_wakes_the_component() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    let b = rig.demand(&["b"]);
    let a = rig.demand(&["a"]);
    assert_eq!(rig.state("a"), "parking");
    rig.parked("a");
    rig.loaded("b");
    assert_eq!((rig.answered(b), rig.answered(a)), ("granted", "waits"));
    rig.give_back("b");
    rig.parked("b");
    rig.woken("a");
    assert_eq!(rig.answered(a), "granted");
}

#[test]
fn reports_of_another_step_are_ignored() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    let (id, step) = rig.step("a");
    let older = StepId(step.0 - 1);
    rig.input(Input::Parked { id, step: older, result: Ok(ParkReport::default()) });
    rig.input(Input::Woken { id, step, result: Ok(WakeReport::default()) });
    rig.input(Input::Woken { id, step, result: Err("no answer".to_owned()) });
    assert_eq!((rig.state("a"), booked(&rig, "a").0), ("parking", 100));
    rig.input(Input::Parked { id, step, result: Ok(ParkReport::default()) });
    rig.input(Input::Parked { id, step, result: Err("the disk is full".to_owned()) });
    assert_eq!((rig.state("a"), booked(&rig, "a").0), ("paged", 0));
}

#[test]
fn failed_park_unloads_the_component_and_the_demand_has_its_bytes() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    let waiter = rig.demand(&["b"]);
    rig.park_fails("a");
    assert_eq!(rig.state("a"), "unloading");
    rig.settle();
    assert_eq!((rig.answered(waiter), rig.state("a")), ("granted", "unloaded"));
}

#[test]
fn late_park_unloads_the_component() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn component_is_not_parked_after_two_failed_steps() {
    let mut rig = rig(&["a", "b"], 150, 500);
    for failures in 0..3 {
        rig.make_ready("a");
        rig.demand(&["b"]);
        assert_eq!(rig.state("a") == "parking", failures < 2, "{failures}");
        if failures < 2 {
            rig.park_fails("a");
        }
        rig.settle();
        rig.give_back("b");
        rig.operator("b", OperatorAction::Unload { force: false });
        rig.settle();
    }
}

#[test]
fn wake_without_waiters_continues_and_is_then_a_preload() {
    for mut rig in in_both_modes() {
        let waiter = rig.demand(&["a"]);
        rig.parked("b");
        rig.input(Input::Abandon { waiter });
        assert_eq!(rig.state("a"), "waking");
        rig.woken("a");
        assert_eq!(rig.state("a"), "ready");
        assert!(rig.engine.scheduler().entry(rig.key("a")).is_speculative());
        assert!(rig.take("a"));
    }
}

#[test]
fn abandoned_demand_keeps_the_component_parked_before_its_wake_begins() {
    for mut rig in in_both_modes() {
        let waiter = rig.demand(&["a"]);
        rig.input(Input::Abandon { waiter });
        assert_eq!((rig.state("a"), booked(&rig, "a")), ("paged", (10, 90)));
        rig.parked("b");
        assert_eq!(rig.states(&["a", "b"]), ["paged", "paged"]);
    }
}

#[test]
fn component_is_unloaded_where_swap_has_no_room() {
    let mut rig = rig(&["a", "b"], 150, 89);
    rig.make_ready("a");
    rig.demand(&["b"]);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn component_whose_wake_takes_longer_than_a_load_is_unloaded() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.make_ready("a");
    rig.offer_paged(&["a", "b"], 500);
    rig.demand(&["b"]);
    assert_eq!(rig.state("a"), "unloading", "its load took no time");
}

#[test]
fn swap_is_shared_by_all_parks_of_a_plan() {
    let mut rig = rig(&["a", "b", "c"], 200, 100);
    let mut big =
        rig.engine.catalog().spec(rig.key("c")).map(|s| (**s).clone()).expect("it is configured");
    big.memory = ByteSize::mib(180);
    let specs = vec![spec("a"), spec("b"), big];
    configure(&mut rig, specs);
    rig.make_ready("a");
    rig.make_ready("b");
    rig.demand(&["c"]);
    assert_eq!(rig.states(&["a", "b"]), ["parking", "unloading"]);
}

#[test]
fn parked_component_is_unloaded_when_its_rest_is_needed() {
    let mut rig = rig(&["a", "b"], 105, 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "queued"], "a park alone frees too little");
    let mut rig = parked_a();
    let specs = vec![spec("a"), spec("b"), with(spec("c"), |s| s.memory = ByteSize::mib(135))];
    configure(&mut rig, specs);
    let waiter = rig.demand(&["c"]);
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "parking"], "parks come first");
    rig.parked("b");
    rig.settle();
    assert_eq!((rig.answered(waiter), rig.state("b")), ("granted", "paged"));
}

#[test]
fn samples_of_a_parked_component_teach_nothing() {
    let mut rig = parked_a();
    let before = *rig.engine.scheduler().entry(rig.key("a")).figures().learned();
    rig.measure(&[("a", 14)]);
    assert_eq!(booked(&rig, "a").0, 14, "memory that came back is booked");
    let after = *rig.engine.scheduler().entry(rig.key("a")).figures().learned();
    assert_eq!(before, after);
}

#[test]
fn wake_needs_the_last_footprint_and_not_the_reservation() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    rig.measure(&[("a", 60)]);
    assert_eq!(booked(&rig, "a").0, 100, "until a use was measured");
    rig.demand(&["b"]);
    assert_eq!(booked(&rig, "a"), (100, 54));
    rig.parked_with("a", 6, 54);
    rig.settle();
    rig.give_back("b");
    rig.demand(&["a"]);
    rig.parked("b");
    assert_eq!((rig.state("a"), booked(&rig, "a")), ("waking", (60, 54)));
}

#[test]
fn component_parked_often_is_judged_by_its_measured_wake() {
    let mut rig = parked_a();
    let waiter = rig.demand(&["a"]);
    rig.parked("b");
    rig.wait(seconds(0.4));
    rig.woken("a");
    assert_eq!(rig.answered(waiter), "granted");
    let wake = rig.engine.scheduler().wait_at(rig.key("a"), majordomo_core::Rung::Paged);
    assert_eq!(wake, seconds(0.4));
}

#[test]
fn hint_wakes_a_parked_component_and_adds_only_what_it_lacks() {
    let mut rig = parked_a();
    rig.operator("b", OperatorAction::Unload { force: false });
    rig.settle();
    rig.hint(rig.key("a"));
    assert_eq!(rig.state("a"), "waking");
    rig.woken("a");
    assert_eq!((rig.state("a"), booked(&rig, "a").0), ("ready", 100));
    let e = rig.engine.scheduler().entry(rig.key("a"));
    assert!(e.is_speculative() && rig.take("a"));
}

/// Components of low priority, which a high pressure takes first; `a` is parked and `b` loaded in its place.
fn low_and_parked() -> Rig {
    let low = |name| with(spec(name), |s| s.priority = Priority::Low);
    let mut rig = Rig::new(vec![low("a"), low("b")], 150);
    rig.offer_paged(&["a", "b"], 500);
    rig.make_ready("a");
    rig.demand(&["b"]);
    rig.parked("a");
    rig.loaded("b");
    rig.give_back("b");
    rig
}

#[test]
fn component_that_was_just_woken_is_left_alone_by_a_pressure_until_its_rest_is_over() {
    for (rest, state) in [(0.1, "ready"), (2.0, "parking")] {
        let mut rig = low_and_parked();
        rig.operator("b", OperatorAction::Unload { force: false });
        rig.settle();
        rig.demand(&["a"]);
        rig.wait(seconds(0.4));
        rig.woken("a");
        rig.give_back("a");
        rig.wait(seconds(rest));
        rig.input(Input::Pressure(PressureLevel::High));
        assert_eq!(rig.state("a"), state, "{rest} s after a wake of 0.4 s");
        rig.wait(seconds(1.9));
        assert_ne!(rig.state("a"), "ready", "the rest of 2 x 0.4 s is over");
    }
}

#[test]
fn nothing_is_parked_at_critical_pressure() {
    let mut rig = rig(&["a"], 150, 500);
    rig.make_ready("a");
    rig.input(Input::Pressure(PressureLevel::Critical));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn pressure_ends_parked_components_before_it_parks_others() {
    let mut rig = low_and_parked();
    rig.input(Input::Pressure(PressureLevel::High));
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "ready"]);
    rig.settle_unloads();
    rig.wait(seconds(1.5));
    assert_eq!(rig.states(&["a", "b"]), ["unloaded", "parking"]);
}

#[test]
fn effects_of_a_wake_come_in_the_order_of_its_parts() {
    let mut rig = parked_a();
    rig.demand(&["a"]);
    rig.parked("b");
    let starts: Vec<_> =
        rig.effects.iter().filter(|e| matches!(e, Effect::StartWake { .. })).collect();
    assert_eq!(starts.len(), 1);
    assert!(matches!(rig.engine.state(rig.key("a")), ComponentState::Loading { .. }));
    assert!(rig.engine.next_wakeup().is_some_and(|t| t > Moment::ZERO));
}

pub(crate) fn configure(rig: &mut Rig, specs: Vec<ComponentSpec>) {
    let catalog = Catalog::build(specs, Vec::new(), Some(rig.engine.catalog()));
    let catalog = catalog.expect("a catalog of a test");
    let budget = rig.engine.budget().total();
    apply(rig, catalog, config(), budget);
}

pub(crate) fn configure_budget(rig: &mut Rig, mib: u64) {
    let catalog = Arc::clone(rig.engine.catalog());
    apply(rig, (*catalog).clone(), config(), ByteSize::mib(mib));
}

fn apply(rig: &mut Rig, catalog: Catalog, config: Config, budget: ByteSize) {
    let (catalog, config) = (Arc::new(catalog), Box::new(config));
    rig.input(Input::Configure { catalog, config, budget });
}
