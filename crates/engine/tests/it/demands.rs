//! Demands: their order, what they share, and how they end.

use std::time::Duration;

use majordomo_core::Priority;
use majordomo_engine::{Effect, Input, OperatorAction};

use crate::rig::{Rig, id, seconds, spec, with};

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
fn dependencies_come_first_and_their_failure_is_told() {
    let specs = vec![spec("a"), with(spec("b"), |s| s.dependencies = vec![id("a")])];
    let mut rig = Rig::new(specs, 1000);
    let w = rig.demand(&["b"]);
    assert_eq!((rig.is_loading("a"), rig.is_loading("b")), (true, false));
    rig.load_ends("a", Err("no such file"));
    assert_eq!(rig.answered(w), "load_failed");
    assert_eq!(rig.states(&["a", "b"]), ["failed", "unloaded"]);
}

#[test]
fn a_demand_for_what_an_operator_unloads_is_not_refused_as_a_failed_load() {
    let specs = vec![spec("a"), with(spec("b"), |s| s.dependencies = vec![id("a")])];
    let mut rig = Rig::new(specs, 1000);
    let (own, through) = (rig.demand(&["a"]), rig.demand(&["b"]));
    rig.operator("a", OperatorAction::Unload { force: true });
    assert_eq!((rig.answered(own), rig.answered(through)), ("unloaded", "unloaded"));
}

#[test]
fn the_queue_goes_by_priority_then_arrival_and_waiting_raises() {
    // One holds all memory; two wait; whose turn it is when it lets go.
    let check = |first: Priority, second: Priority, between: f64, want: [bool; 2]| {
        let mut rig = Rig::new(many(3, 100), 100);
        rig.demand(&["c0"]);
        rig.loaded("c0");
        rig.wait(seconds(3.0));
        let deadline = Some(seconds(60.0));
        rig.ask(&["c1"], Some(first), deadline);
        rig.wait(seconds(between));
        rig.ask(&["c2"], Some(second), deadline);
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
    // Drained after two seconds, the memory belongs to the one it was drained for.
    check(Priority::Low, Priority::High, 5.1, [true, false]);
}

#[test]
fn ageing_asks_for_no_call_twice() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.ask(&["c1"], Some(Priority::Low), Some(seconds(60.0)));
    // `wait` fails when the engine wants to be called at one moment again and again.
    rig.wait(seconds(59.0));
    assert_eq!(rig.state("c0"), "draining");
}

#[test]
fn the_head_is_overtaken_eight_times_or_for_two_seconds() {
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
            let w = rig.ask(&[&format!("c{i}")], None, Some(seconds(1.0)));
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
fn waiting_demands_for_the_same_component_go_together() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.wait(seconds(3.0));
    let b1 = rig.demand(&["c1"]);
    let a = rig.demand(&["c0"]);
    assert_eq!(rig.answered(a), "granted", "what is ready is granted whatever waits");
    let b2 = rig.demand(&["c1"]);
    rig.give_back("c0");
    rig.give_back("c0");
    rig.settle();
    assert_eq!((rig.answered(b1), rig.answered(b2)), ("granted", "granted"));
    assert_eq!(rig.engine.scheduler().entry(rig.key("c1")).n_loads(), 1);
}

#[test]
fn overlapping_leases_do_not_starve_the_head() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.have("c0");
    rig.wait(seconds(3.0));
    assert!(rig.take("c0"));
    let head = rig.demand(&["c1"]);
    let mut n_taken = 0;
    for _ in 0..30 {
        // A new client comes before the last one leaves.
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
fn what_drains_for_nobody_stays() {
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
fn a_wait_ends_at_its_deadline() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    let w = rig.ask(&["c1"], None, Some(seconds(1.5)));
    rig.wait(Duration::from_micros(1_499_999));
    assert_eq!(rig.answered(w), "waits");
    rig.wait(Duration::from_micros(1));
    assert_eq!(rig.answered(w), "deadline_exceeded");
}

#[test]
fn after_a_suspend_deadlines_begin_anew() {
    let mut rig = Rig::new(many(2, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    let w = rig.ask(&["c1"], None, Some(seconds(5.0)));
    rig.wait(seconds(4.0));
    rig.input(Input::Resumed { gap: seconds(3600.0) });
    rig.wait(seconds(4.0));
    assert_eq!(rig.answered(w), "waits");
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(w), "deadline_exceeded");
}

#[test]
fn who_leaves_ends_no_load_of_others() {
    let mut rig = Rig::new(many(1, 100), 100);
    let (first, second) = (rig.demand(&["c0"]), rig.demand(&["c0"]));
    rig.input(Input::Abandon { waiter: first });
    assert!(rig.is_loading("c0"));
    rig.input(Input::Abandon { waiter: second });
    assert_eq!(rig.state("c0"), "unloading", "nobody is left");
}

#[test]
fn who_leaves_after_his_answer_ends_no_load_that_others_took_over() {
    // `first` clears memory for c1; `second` counts on that; `first` is refused and then says that he leaves.
    let mut rig = Rig::new(many(2, 100), 100);
    rig.have("c0");
    rig.wait(seconds(3.0));
    let first = rig.ask(&["c1"], None, Some(seconds(1.0)));
    let second = rig.demand(&["c1"]);
    assert_eq!(rig.states(&["c0", "c1"]), ["unloading", "queued"]);
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(first), "deadline_exceeded");
    rig.input(Input::Abandon { waiter: first });
    rig.settle();
    assert_eq!(rig.answered(second), "granted");
}

#[test]
fn no_load_begins_without_its_bytes_when_its_payer_plans_anew() {
    // `second` counts on `first` to make room; what makes room gets stuck.
    let mut rig = Rig::new(many(2, 100), 100);
    rig.have("c0");
    rig.wait(seconds(3.0));
    let (first, second) = (rig.demand(&["c1"]), rig.demand(&["c1"]));
    // Five seconds of grace and two after the kill.
    rig.wait(seconds(7.5));
    assert_eq!(rig.state("c0"), "stuck");
    assert!(!rig.is_loading("c1"));
    for w in [first, second] {
        assert_eq!(rig.answered(w), "too_large", "a stuck component holds the bytes");
    }
}

#[test]
fn a_limit_of_leases_is_kept_and_waited_for() {
    let mut rig = Rig::new(vec![with(spec("a"), |s| s.max_leases = Some(2))], 100);
    let w: Vec<_> = (0..3).map(|_| rig.demand(&["a"])).collect();
    rig.loaded("a");
    let answers: Vec<_> = w.iter().map(|w| rig.answered(*w)).collect();
    assert_eq!(answers, ["granted", "granted", "waits"]);
    rig.give_back("a");
    assert_eq!(rig.answered(w[2]), "granted");
}

#[test]
fn a_hint_gives_way_to_a_demand() {
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
fn operators_wait_for_word() {
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
fn an_unload_is_answered_though_the_next_load_follows_at_once() {
    let mut rig = Rig::new(many(1, 100), 100);
    rig.demand(&["c0"]);
    rig.loaded("c0");
    rig.give_back("c0");
    let gone = rig.operator("c0", OperatorAction::Unload { force: true });
    let again = rig.demand(&["c0"]);
    rig.unloaded("c0");
    assert_eq!(rig.answered(gone), "done");
    rig.loaded("c0");
    assert_eq!(rig.answered(again), "granted");
}
