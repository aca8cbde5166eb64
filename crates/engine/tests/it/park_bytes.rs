//! Bytes of parks and wakes: what is booked, what is expected to come free, and what is learned of both.

use majordomo_core::{ByteSize, Rung};
use majordomo_engine::{Footprints, Input, Offers, OperatorAction};

use crate::ladder::{booked, parked_a, rig};
use crate::rig::{Rig, seconds};

fn park(rig: &mut Rig, name: &str, ram: u64, swap: u64) {
    rig.operator(name, OperatorAction::Park);
    rig.parked_with(name, ram, swap);
}

fn wake(rig: &mut Rig, name: &str) {
    rig.demand(&[name]);
    rig.woken(name);
    rig.give_back(name);
}

fn unload(rig: &mut Rig, name: &str) {
    rig.operator(name, OperatorAction::Unload { force: false });
    rig.settle();
}

/// `a` is ready and was measured in use at 100 MiB for long.
fn used_a(names: &[&str], budget_mib: u64) -> Rig {
    let mut rig = rig(names, budget_mib, 500);
    rig.make_ready("a");
    rig.used("a");
    rig.measure(&[("a", 100)]);
    rig.wait(seconds(11.0));
    rig.measure(&[("a", 100)]);
    rig
}

#[test]
fn component_whose_parks_free_nothing_is_given_up_after_two() {
    let mut rig = used_a(&["a", "b"], 500);
    let mut parks = 0;
    for _ in 0..5 {
        // All of it is locked; the rest of its reservation is not in use.
        rig.measure(&[("a", 22)]);
        rig.operator("a", OperatorAction::Park);
        if rig.state("a") == "parking" {
            parks += 1;
            rig.parked_with("a", 22, 0);
            wake(&mut rig, "a");
            rig.used("a");
        }
    }
    assert_eq!((parks, rig.state("a")), (2, "ready"));
}

#[test]
fn park_before_the_first_sample_after_a_wake_expects_and_teaches_what_the_last_one_did() {
    let mut rig = parked_a();
    rig.demand(&["a"]);
    rig.parked("b");
    rig.woken_with_swap("a", 90);
    rig.give_back("a");
    rig.demand(&["b"]);
    assert_eq!(rig.states(&["a", "b"]), ["parking", "queued"]);
    rig.parked("a");
    let key = rig.key("a");
    let figures = |rig: &Rig| {
        let rung = rig.engine.scheduler().entry(key).parking().rung(Rung::Paged);
        rung.map(|r| (r.figures().stays, r.figures().swapped)).unwrap_or_default()
    };
    let (stays, swapped) = figures(&rig);
    assert!((stays - 0.1).abs() < 1e-6 && (swapped - 0.9).abs() < 1e-6, "{stays} {swapped}");
    rig.woken("b");
    rig.give_back("b");
    rig.demand(&["a"]);
    rig.parked("b");
    assert_eq!((rig.state("a"), booked(&rig, "a").0), ("waking", 100), "all of it may come back");
}

#[test]
fn park_of_a_component_that_is_half_in_swap_expects_what_one_of_all_its_memory_does() {
    let mut rig = parked_a();
    rig.demand(&["a"]);
    rig.parked("b");
    rig.woken("a");
    rig.measure_with_swap("a", 40, 60);
    rig.give_back("a");
    rig.operator("a", OperatorAction::Park);
    assert_eq!(booked(&rig, "a").1, 90);
    rig.parked("a");
    let rung = rig.engine.scheduler().entry(rig.key("a")).parking().rung(Rung::Paged).cloned();
    let (own, all) = (rig.engine.scheduler().pool(rig.key("a")), ByteSize::mib(100));
    let held = rung.map(|r| r.held(&[(own, all)].into_iter().collect(), own)).unwrap_or_default();
    assert_eq!(held.of(own).0 >> 20, 10);
}

#[test]
fn woken_component_is_booked_by_its_uses_since_the_wake() {
    let mut rig = used_a(&["a", "b", "c"], 250);
    park(&mut rig, "a", 10, 90);
    wake(&mut rig, "a");
    assert_eq!(booked(&rig, "a").0, 100, "what the first use is expected to need");
    rig.used("a");
    rig.measure(&[("a", 30)]);
    assert_eq!(booked(&rig, "a").0, 30);
    rig.make_ready("b");
    let waiter = rig.demand(&["c"]);
    assert!(rig.is_loading("c"), "nothing is evicted for bytes that no component has");
    rig.settle();
    assert_eq!((rig.answered(waiter), rig.states(&["a", "b"])), ("granted", vec!["ready"; 2]));
    rig.measure(&[("a", 45)]);
    rig.measure(&[("a", 20)]);
    assert_eq!(booked(&rig, "a").0, 45, "the highest since the wake");
}

#[test]
fn wake_reserves_what_the_first_use_after_the_last_one_needed() {
    let mut rig = used_a(&["a", "b"], 250);
    park(&mut rig, "a", 10, 90);
    wake(&mut rig, "a");
    rig.used("a");
    rig.measure_with_swap("a", 30, 70);
    park(&mut rig, "a", 10, 90);
    rig.demand(&["a"]);
    assert_eq!((rig.state("a"), booked(&rig, "a").0), ("waking", 30));
}

#[test]
fn samples_of_a_woken_component_that_is_not_used_teach_nothing() {
    let mut rig = used_a(&["a"], 150);
    let ready = |rig: &Rig| rig.engine.scheduler().entry(rig.key("a")).figures().learned().ready();
    let before = ready(&rig);
    park(&mut rig, "a", 10, 90);
    rig.hint(rig.key("a"));
    rig.woken("a");
    rig.measure(&[("a", 22)]);
    assert_eq!(ready(&rig), before);
    assert_eq!(booked(&rig, "a").0, 100, "it is not in use yet");
}

#[test]
fn swap_of_a_component_that_is_up_is_booked_as_measured() {
    let mut rig = rig(&["a", "b"], 250, 100);
    rig.make_ready("a");
    park(&mut rig, "a", 10, 90);
    rig.demand(&["a"]);
    rig.woken_with_swap("a", 90);
    rig.give_back("a");
    assert_eq!(booked(&rig, "a").1, 90);
    rig.measure_with_swap("a", 100, 0);
    rig.make_ready("b");
    rig.operator("b", OperatorAction::Park);
    assert_eq!((rig.state("b"), booked(&rig, "b").1), ("parking", 90));
    rig.measure_with_swap("b", 50, 40);
    assert_eq!(booked(&rig, "b").1, 90, "what a park under way reserved stays");
}

#[test]
fn overdraft_of_swap_bars_no_growth_and_no_preload_of_memory() {
    let mut rig = rig(&["a", "b"], 350, 100);
    rig.make_ready("a");
    park(&mut rig, "a", 10, 90);
    rig.demand(&["a"]);
    rig.woken_with_swap("a", 90);
    // It is in use: nothing can be done about its bytes in swap.
    rig.offer_paged(&["a", "b"], 50);
    let id = rig.engine.incarnation(rig.key("a")).expect("it is up");
    let granted = rig.engine.budget().granted_for(rig.key("a"));
    rig.input(Input::Grow { id, bytes: ByteSize::mib(10) });
    let grown = rig.engine.budget().granted_for(rig.key("a"));
    assert_eq!(grown, granted + ByteSize::mib(10));
    rig.hint(rig.key("b"));
    assert!(rig.is_loading("b"));
}

#[test]
fn park_of_what_is_in_swap_already_takes_nothing_of_the_writes_of_a_day() {
    let mut rig = rig(&["a"], 150, 500);
    rig.make_ready("a");
    let figures = rig.engine.scheduler().entry(rig.key("a")).parking().rung(Rung::Paged).cloned();
    let figures = *figures.expect("it is offered").figures();
    let offer = majordomo_engine::RungOffer { key: rig.key("a"), rung: Rung::Paged, figures };
    let may_write = Some(ByteSize::mib(300));
    let (swap, rungs) = (ByteSize::mib(500), vec![offer]);
    rig.input(Input::Offers(Offers { swap, may_write, wake_lanes: 4, rungs }));
    for n in 0..5 {
        rig.operator("a", OperatorAction::Park);
        assert_eq!(rig.state("a"), "parking", "{n}");
        rig.parked("a");
        rig.demand(&["a"]);
        rig.woken_with_swap("a", 90);
        rig.measure(&[("a", 100)]);
        rig.give_back("a");
    }
    assert_eq!(rig.engine.scheduler().may_write(), Some(ByteSize::mib(210)));
}

#[test]
fn writes_that_did_not_take_place_are_given_back() {
    let mut rig = rig(&["a"], 150, 500);
    rig.make_ready("a");
    let figures = rig.engine.scheduler().entry(rig.key("a")).parking().rung(Rung::Paged).cloned();
    let figures = *figures.expect("it is offered").figures();
    let offer = majordomo_engine::RungOffer { key: rig.key("a"), rung: Rung::Paged, figures };
    let may_write = Some(ByteSize::mib(300));
    let (swap, rungs) = (ByteSize::mib(500), vec![offer]);
    rig.input(Input::Offers(Offers { swap, may_write, wake_lanes: 4, rungs }));
    rig.operator("a", OperatorAction::Park);
    assert_eq!(rig.engine.scheduler().may_write(), Some(ByteSize::mib(210)));
    rig.parked_with("a", 80, 20);
    assert_eq!(rig.engine.scheduler().may_write(), Some(ByteSize::mib(280)));
}

#[test]
fn park_that_moves_nothing_because_swap_is_full_is_no_failure_and_the_component_is_usable_again() {
    let mut rig = rig(&["a", "b"], 250, 500);
    rig.make_ready("a");
    let waiter = rig.operator("a", OperatorAction::Park);
    rig.park_moves_nothing("a");
    assert_eq!(rig.answered(waiter), "park_failed");
    assert_eq!((rig.state("a"), booked(&rig, "a")), ("waking", (100, 0)));
    rig.woken("a");
    assert!(rig.take("a"));
    rig.give_back("a");
    let parking = |rig: &Rig| rig.engine.scheduler().entry(rig.key("a")).parking().n_failed();
    assert_eq!(parking(&rig), 0);
    let again = rig.operator("a", OperatorAction::Park);
    assert_eq!((rig.answered(again), rig.state("a")), ("cannot_park", "ready"), "not at once");
    rig.wait(seconds(31.0));
    rig.operator("a", OperatorAction::Park);
    assert_eq!(rig.state("a"), "parking");
}

#[test]
fn demand_that_a_park_moves_nothing_for_has_its_bytes_by_an_unload() {
    let mut rig = rig(&["a", "b"], 150, 500);
    rig.make_ready("a");
    let waiter = rig.demand(&["b"]);
    rig.park_moves_nothing("a");
    assert_eq!(rig.state("a"), "unloading");
    rig.settle();
    assert_eq!(rig.answered(waiter), "granted");
    assert_eq!(rig.engine.scheduler().entry(rig.key("a")).parking().n_failed(), 0);
}

#[test]
fn wake_that_the_component_is_well_after_makes_up_for_a_failed_step() {
    let mut rig = parked_a();
    rig.demand(&["a"]);
    rig.parked("b");
    rig.wake_fails("a");
    rig.settle();
    rig.give_back("a");
    unload(&mut rig, "b");
    park(&mut rig, "a", 10, 90);
    wake(&mut rig, "a");
    let failed = |rig: &Rig| rig.engine.scheduler().entry(rig.key("a")).parking().n_failed();
    rig.measure(&[("a", 100)]);
    assert_eq!(failed(&rig), 1);
    rig.wait(seconds(11.0));
    rig.measure(&[("a", 100)]);
    assert_eq!(failed(&rig), 0);
}

#[test]
fn use_after_a_wake_teaches_of_loads_only_what_is_more_than_they_hold() {
    let mut rig = rig(&["a"], 250, 500);
    rig.make_ready("a");
    rig.measure(&[("a", 80)]);
    park(&mut rig, "a", 8, 72);
    rig.demand(&["a"]);
    rig.woken("a");
    rig.used("a");
    rig.wait(seconds(20.0));
    let settled = |rig: &Rig| rig.engine.scheduler().needs(rig.key("a")).settled.0 >> 20;
    rig.measure(&[("a", 12)]);
    assert_eq!(settled(&rig), 100, "most of it is in swap");
    rig.measure(&[("a", 130)]);
    assert_eq!(settled(&rig), 130);
}

#[test]
fn overdraft_of_swap_ends_no_component_that_is_up() {
    let mut rig = rig(&["a", "b"], 350, 200);
    for name in ["a", "b"] {
        rig.make_ready(name);
        park(&mut rig, name, 10, 90);
    }
    rig.demand(&["a"]);
    rig.woken_with_swap("a", 90);
    rig.give_back("a");
    rig.wait(seconds(60.0));
    rig.offer_paged(&["a", "b"], 50);
    rig.wait(seconds(5.0));
    rig.settle();
    assert_eq!(rig.states(&["a", "b"]), ["ready", "unloaded"], "its memory is in use");
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("a"), "ready");
}

#[test]
fn status_of_a_parked_component_has_the_bytes_in_swap_that_its_park_reported() {
    let rig = parked_a();
    let status = rig.engine.status(rig.now);
    let swapped = |name: &str| {
        let of = status.components.iter().find(|c| c.id == crate::rig::id(name));
        of.map(|c| c.parking.swapped.0 >> 20)
    };
    assert_eq!((swapped("a"), swapped("b")), (Some(booked(&rig, "a").1), Some(0)));
    assert!(swapped("a") > Some(0));
}

#[test]
fn relief_parks_no_more_than_may_be_written() {
    let mut rig = rig(&["a", "b"], 250, 500);
    rig.make_ready("a");
    rig.make_ready("b");
    rig.offer_paged_with(&["a", "b"], 500, 4, Some(100));
    let external = ByteSize::mib(190);
    rig.input(Input::Footprints(Footprints { external, ..Footprints::default() }));
    // The first round trims.
    rig.wait(seconds(1.2));
    let mut states = rig.states(&["a", "b"]);
    states.sort_unstable();
    assert_eq!(states, ["parking", "unloading"]);
    assert_eq!(rig.engine.scheduler().writes_under_way(), ByteSize::mib(90));
}

#[test]
fn parked_component_that_is_larger_than_the_budget_is_woken_with_what_there_is() {
    let mut rig = rig(&["a"], 150, 500);
    rig.make_ready("a");
    rig.used("a");
    rig.measure(&[("a", 200)]);
    // The first round trims.
    rig.wait(seconds(1.2));
    assert_eq!(rig.state("a"), "parking", "its growth exceeds the budget");
    rig.parked_with("a", 20, 180);
    let waiter = rig.demand(&["a"]);
    assert_eq!((rig.answered(waiter), rig.state("a")), ("waits", "waking"));
    assert!(booked(&rig, "a").0 <= 150);
    rig.woken("a");
    assert_eq!(rig.answered(waiter), "granted");
}
