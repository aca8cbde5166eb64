//! Demands: their order, the loads that they share, and how they end.

use std::time::Duration;

use majordomo_core::Priority;
use majordomo_engine::{Effect, Input, OperatorAction};

use crate::rig::{Rig, config, id, seconds, spec, with};

fn many(n: usize, mib: u64) -> Vec<majordomo_registry::ComponentSpec> {
    (0..n)
        .map(|i| with(spec(&format!("c{i}")), |s| s.memory = majordomo_core::ByteSize::mib(mib)))
        .collect()
}

#[test]
fn demands_for_one_component_cost_one_load() {
    let mut rig = Rig::new(many(1, 100), 100);
    let waiters: Vec<_> = (0..5).map(|_| rig.demand(&["c0"])).collect();
    rig.loaded("c0");
    for w in waiters {
        assert_eq!(rig.answered(w), "granted");
    }
    assert_eq!(rig.cells.0[&rig.key("c0")].leases, 5);
}

#[test]
fn independent_members_of_a_closure_load_side_by_side() {
    let mut specs = many(4, 10);
    specs.push(with(spec("first"), |s| s.dependencies = vec![id("c0")]));
    let needs = ["first", "c1", "c2", "c3"];
    specs.push(with(spec("top"), |s| s.dependencies = needs.map(id).to_vec()));
    let mut config = config();
    config.loads.fit_to(4);
    let mut rig = Rig::with_pools(specs, Vec::new(), 1000, config);
    let w = rig.demand(&["top"]);
    let loading = |rig: &Rig| {
        ["c0", "c1", "c2", "c3", "first", "top"].map(|name| u8::from(rig.is_loading(name)))
    };
    assert_eq!(loading(&rig), [1, 1, 1, 1, 0, 0]);
    // A member waits for its own dependencies, not for the others.
    rig.loaded("c0");
    assert_eq!(loading(&rig), [0, 1, 1, 1, 1, 0]);
    for name in ["c1", "first", "c2", "c3", "top"] {
        rig.loaded(name);
    }
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn dependencies_load_first_and_their_failure_refuses_the_demand() {
    let specs = vec![spec("a"), with(spec("b"), |s| s.dependencies = vec![id("a")])];
    let mut rig = Rig::new(specs, 1000);
    let w = rig.demand(&["b"]);
    assert_eq!((rig.is_loading("a"), rig.is_loading("b")), (true, false));
    rig.load_ends("a", Err("no such file"));
    assert_eq!(rig.answered(w), "load_failed");
    assert_eq!(rig.states(&["a", "b"]), ["failed", "unloaded"]);
}

#[test]
fn operator_unload_refuses_demands_as_unloaded_and_not_as_a_failed_load() {
    let specs = vec![spec("a"), with(spec("b"), |s| s.dependencies = vec![id("a")])];
    let mut rig = Rig::new(specs, 1000);
    let (own, through) = (rig.demand(&["a"]), rig.demand(&["b"]));
    rig.operator("a", OperatorAction::Unload { force: true });
    assert_eq!((rig.answered(own), rig.answered(through)), ("unloaded", "unloaded"));
}

#[test]
fn queue_is_ordered_by_aged_priority_and_then_by_arrival() {
    // `c0` holds all memory and two demands wait; `want` names the load that starts after its
    // release.
    let check = |first: Priority, second: Priority, between: f64, want: [bool; 2]| {
        let mut rig = Rig::new(many(3, 100), 100);
        rig.demand(&["c0"]);
        rig.loaded("c0");
        rig.wait(seconds(3.0));
        let deadline = Some(seconds(60.0));
        rig.demand_with(&["c1"], Some(first), deadline);
        rig.wait(seconds(between));
        rig.demand_with(&["c2"], Some(second), deadline);
        rig.give_back("c0");
        rig.unloaded("c0");
        assert_eq!(
            [rig.is_loading("c1"), rig.is_loading("c2")],
            want,
            "{first} {second} {between}"
        );
    };
    check(Priority::Low, Priority::Low, 0.1, [true, false]);
    check(Priority::Low, Priority::Medium, 0.1, [false, true]);
    check(Priority::Low, Priority::Medium, 1.9, [false, true]);
    // `c0` drains after two seconds, and its memory belongs to the demand that caused the drain.
    check(Priority::Low, Priority::High, 5.1, [true, false]);
}

#[test]
fn ageing_requests_no_wakeup_twice() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.demand_with(&["c1"], Some(Priority::Low), Some(seconds(60.0)));
    // `wait` fails when the engine requests the same wakeup repeatedly.
    rig.wait(seconds(59.0));
    assert_eq!(rig.state("c0"), "draining");
}

#[test]
fn queue_head_is_overtaken_at_most_eight_times_and_for_two_seconds() {
    let world = || {
        let mut specs = many(12, 1);
        specs.push(with(spec("big"), |s| s.memory = majordomo_core::ByteSize::mib(100)));
        specs.push(with(spec("holder"), |s| s.memory = majordomo_core::ByteSize::mib(80)));
        let mut rig = Rig::new(specs, 120);
        rig.demand(&["holder"]);
        rig.loaded("holder");
        let head = rig.demand(&["big"]);
        assert_eq!(rig.answered(head), "waits");
        rig
    };
    let overtakes = |rig: &mut Rig, gap: f64| {
        let mut n = 0;
        for i in 0..12 {
            let w = rig.demand_with(&[&format!("c{i}")], None, Some(seconds(1.0)));
            rig.settle();
            n += usize::from(rig.answered(w) == "granted");
            rig.wait(seconds(gap));
        }
        n
    };
    assert_eq!(overtakes(&mut world(), 0.01), 8);
    assert_eq!(overtakes(&mut world(), 0.5), 4);
}

#[test]
fn demands_that_wait_for_one_component_are_granted_by_one_load() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.wait(seconds(3.0));
    let b1 = rig.demand(&["c1"]);
    let a = rig.demand(&["c0"]);
    assert_eq!(rig.answered(a), "granted", "a ready component is granted whatever else waits");
    let b2 = rig.demand(&["c1"]);
    rig.give_back("c0");
    rig.give_back("c0");
    rig.settle();
    assert_eq!((rig.answered(b1), rig.answered(b2)), ("granted", "granted"));
    assert_eq!(rig.engine.scheduler().entry(rig.key("c1")).n_loads(), 1);
}

#[test]
fn overlapping_leases_do_not_starve_the_queue_head() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.make_ready("c0");
    rig.wait(seconds(3.0));
    assert!(rig.take("c0"));
    let head = rig.demand(&["c1"]);
    let mut n_taken = 0;
    for _ in 0..30 {
        // A new client leases `c0` while another one holds it.
        let taken = rig.take("c0");
        n_taken += u32::from(taken);
        if taken {
            rig.give_back("c0");
        }
        rig.wait(seconds(0.1));
    }
    assert!((19..=21).contains(&n_taken), "{n_taken}");
    assert_eq!(rig.state("c0"), "draining");
    rig.give_back("c0");
    rig.settle();
    assert_eq!(rig.answered(head), "granted");
}

#[test]
fn drain_ends_when_its_demand_is_abandoned() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    let head = rig.demand(&["c1"]);
    rig.wait(seconds(4.5));
    assert_eq!(rig.state("c0"), "draining");
    rig.input(Input::Abandon { waiter: head });
    assert_eq!(rig.state("c0"), "ready");
    assert!(rig.take("c0"), "its cell is open again");
}

#[test]
fn demand_is_refused_at_its_deadline() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    let w = rig.demand_with(&["c1"], None, Some(seconds(1.5)));
    rig.wait(Duration::from_micros(1_499_999));
    assert_eq!(rig.answered(w), "waits");
    rig.wait(Duration::from_micros(1));
    assert_eq!(rig.answered(w), "deadline_exceeded");
}

#[test]
fn deadlines_restart_after_a_suspend() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    let w = rig.demand_with(&["c1"], None, Some(seconds(5.0)));
    rig.wait(seconds(4.0));
    rig.input(Input::Resumed { gap: seconds(3600.0) });
    rig.wait(seconds(4.0));
    assert_eq!(rig.answered(w), "waits");
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(w), "deadline_exceeded");
}

#[test]
fn abandon_does_not_cancel_a_load_that_others_wait_for() {
    let mut rig = Rig::new(many(1, 100), 100);
    let (first, second) = (rig.demand(&["c0"]), rig.demand(&["c0"]));
    rig.input(Input::Abandon { waiter: first });
    assert!(rig.is_loading("c0"));
    rig.input(Input::Abandon { waiter: second });
    assert_eq!(rig.state("c0"), "unloading", "no waiter is left");
}

#[test]
fn abandon_after_a_refusal_does_not_cancel_a_load_that_others_share() {
    // `first` clears memory for `c1`, and `second` shares the load. `first` is refused and then
    // abandoned.
    let mut rig = Rig::new(many(2, 100), 100);
    rig.make_ready("c0");
    rig.wait(seconds(3.0));
    let first = rig.demand_with(&["c1"], None, Some(seconds(1.0)));
    let second = rig.demand(&["c1"]);
    assert_eq!(rig.states(&["c0", "c1"]), ["unloading", "queued"]);
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(first), "deadline_exceeded");
    rig.input(Input::Abandon { waiter: first });
    rig.settle();
    assert_eq!(rig.answered(second), "granted");
}

#[test]
fn load_does_not_start_without_its_bytes_when_a_victim_is_stuck() {
    // `second` shares the load of `first`, whose victim gets stuck.
    let mut rig = Rig::new(many(2, 100), 100);
    rig.make_ready("c0");
    rig.wait(seconds(3.0));
    let (first, second) = (rig.demand(&["c1"]), rig.demand(&["c1"]));
    // The unload takes five seconds of grace and two after the kill.
    rig.wait(seconds(7.5));
    assert_eq!(rig.state("c0"), "stuck");
    assert!(!rig.is_loading("c1"));
    for w in [first, second] {
        assert_eq!(rig.answered(w), "too_large", "a stuck component holds the bytes");
    }
}

#[test]
fn demand_waits_at_the_lease_limit() {
    let mut rig = Rig::new(vec![with(spec("a"), |s| s.max_leases = Some(2))], 100);
    let w: Vec<_> = (0..3).map(|_| rig.demand(&["a"])).collect();
    rig.loaded("a");
    let answers: Vec<_> = w.iter().map(|w| rig.answered(*w)).collect();
    assert_eq!(answers, ["granted", "granted", "waits"]);
    rig.give_back("a");
    assert_eq!(rig.answered(w[2]), "granted");
}

#[test]
fn demand_cancels_a_preload_that_takes_its_memory() {
    let mut rig = Rig::new(many(2, 100), 100);
    let key = rig.key("c0");
    rig.hint(key);
    assert!(rig.is_loading("c0"));
    let w = rig.demand(&["c1"]);
    assert_eq!(rig.state("c0"), "unloading", "cancelled for the demand");
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn operator_is_answered_when_the_action_is_done() {
    let mut rig = Rig::new(many(1, 100), 100);
    let load = rig.operator("c0", OperatorAction::Load);
    assert_eq!(rig.answered(load), "waits");
    rig.loaded("c0");
    assert_eq!(rig.answered(load), "done");
    assert!(rig.take("c0"));
    let soft = rig.operator("c0", OperatorAction::Unload { force: false });
    assert_eq!(rig.answered(soft), "in_use");
    let hard = rig.operator("c0", OperatorAction::Unload { force: true });
    assert!(rig.effects.iter().any(|e| matches!(e, Effect::StartUnload { .. })));
    rig.unloaded("c0");
    assert_eq!(rig.answered(hard), "done");
}

#[test]
fn unload_is_answered_when_the_next_load_follows_at_once() {
    let mut rig = Rig::new(many(1, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.give_back("c0");
    let unload = rig.operator("c0", OperatorAction::Unload { force: true });
    let again = rig.demand(&["c0"]);
    rig.unloaded("c0");
    assert_eq!(rig.answered(unload), "done");
    rig.loaded("c0");
    assert_eq!(rig.answered(again), "granted");
}
