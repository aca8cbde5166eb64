//! Demands for components that back off after a failure: who waits for the next attempt, and who does not.

use majordomo_core::HolderKind;
use majordomo_engine::{Input, OperatorAction};

use crate::rig::{Rig, id, seconds, spec, with};

/// A component that backs off for `wait` seconds, which is 1, 2, 4 or 8.
fn backing_off(rig: &mut Rig, name: &str, wait: f64) {
    loop {
        let waiter = rig.demand(&[name]);
        rig.load_ends(name, Err("no"));
        assert_eq!(rig.answered(waiter), "load_failed", "a first wait is refused with the cause");
        let left = rig.retry_at(name).since(rig.now);
        if left == seconds(wait) {
            return;
        }
        rig.wait(left);
    }
}

#[test]
fn a_demand_waits_for_an_attempt_that_comes_before_its_deadline() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 1.0);
    let waiters = [rig.demand(&["a"]), rig.demand(&["a"])];
    assert_eq!(waiters.map(|w| rig.answered(w).to_owned()), ["waits", "waits"]);
    rig.wait(seconds(0.999));
    assert_eq!(rig.state("a"), "failed", "no demand hastens it");
    rig.wait(seconds(0.001));
    assert!(rig.is_loading("a"));
    rig.loaded("a");
    assert_eq!(waiters.map(|w| rig.answered(w).to_owned()), ["granted", "granted"]);
    assert_eq!(rig.engine.scheduler().entry(rig.key("a")).n_loads(), 1, "one load for all");
}

#[test]
fn a_demand_whose_deadline_comes_before_the_attempt_is_refused_at_once() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 2.0);
    for (deadline, answer) in [(1.0, "backing_off"), (2.0, "backing_off"), (2.1, "waits")] {
        let waiter = rig.ask(&["a"], None, Some(seconds(deadline)));
        assert_eq!(rig.answered(waiter), answer, "{deadline}");
    }
}

#[test]
fn who_waited_for_one_attempt_waits_for_the_next_while_that_comes_in_time() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 1.0);
    let short = rig.ask(&["a"], None, Some(seconds(2.5)));
    let long = rig.ask(&["a"], None, Some(seconds(20.0)));
    rig.wait(seconds(1.0));
    rig.load_ends("a", Err("still no"));
    assert_eq!(rig.answered(short), "load_failed", "the next attempt comes at 3 s");
    assert_eq!(rig.answered(long), "waits");
    rig.wait(seconds(2.0));
    rig.load_ends("a", Err("still no"));
    assert_eq!(rig.answered(long), "waits");
    rig.wait(seconds(4.0));
    rig.loaded("a");
    assert_eq!(rig.answered(long), "granted");
}

#[test]
fn quarantine_refuses_those_who_waited_with_the_cause_and_newcomers_at_once() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 8.0);
    let waiter = rig.ask(&["a"], None, Some(seconds(3000.0)));
    rig.wait(seconds(8.0));
    rig.load_ends("a", Err("no"));
    assert_eq!(rig.state("a"), "quarantined");
    assert_eq!(rig.answered(waiter), "load_failed");
    let late = rig.ask(&["a"], None, Some(seconds(3000.0)));
    assert_eq!(rig.answered(late), "quarantined");
}

#[test]
fn a_demand_that_waits_for_an_attempt_holds_nobody_up() {
    let mut rig = Rig::new(["a", "b", "c", "d", "e"].map(spec).to_vec(), 1000);
    backing_off(&mut rig, "a", 8.0);
    let waits = rig.demand(&["a"]);
    rig.wait(seconds(5.0));
    for name in ["b", "c", "d"] {
        rig.have(name);
        rig.wait(seconds(0.8));
    }
    assert_eq!(rig.answered(waits), "waits");
    // Nor is memory kept free for it, or anything left undone that is done when no demand waits.
    rig.hint(rig.key("e"));
    assert!(rig.is_loading("e"), "the likely next component is preloaded");
}

#[test]
fn a_load_by_hand_ends_the_wait_for_an_attempt() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 8.0);
    let waits = rig.demand(&["a"]);
    let operator = rig.operator("a", OperatorAction::Load);
    rig.loaded("a");
    assert_eq!([waits, operator].map(|w| rig.answered(w).to_owned()), ["granted", "done"]);
}

#[test]
fn who_leaves_while_it_waits_for_an_attempt_causes_none() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 2.0);
    let waiter = rig.demand(&["a"]);
    rig.input(Input::Abandon { waiter });
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn a_dependency_is_waited_for_as_the_component_itself() {
    let top = with(spec("top"), |s| s.dependencies = vec![id("base")]);
    let mut rig = Rig::new(vec![spec("base"), top], 1000);
    backing_off(&mut rig, "base", 2.0);
    let waiter = rig.demand(&["top"]);
    assert_eq!(rig.answered(waiter), "waits");
    rig.wait(seconds(2.0));
    rig.settle();
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn a_plan_says_how_long_the_attempt_is_away() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 4.0);
    let plan = rig.engine.plan(&[rig.key("a")], rig.now, &rig.cells);
    assert_eq!(plan.refusal, None);
    assert_eq!(plan.holders[0].kind, HolderKind::BackingOff);
    assert!(plan.wait >= seconds(4.0), "{:?}", plan.wait);
}
