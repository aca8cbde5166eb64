//! Demands for components that back off after a failure: some wait for the next attempt, others are
//! refused.

use majordomo_core::HolderKind;
use majordomo_engine::{Input, OperatorAction};

use crate::rig::{Rig, id, seconds, spec, with};

/// Lets loads of a component fail until it backs off for `wait` seconds, which is 1, 2, 4 or 8.
fn backing_off(rig: &mut Rig, name: &str, wait: f64) {
    loop {
        let waiter = rig.demand(&[name]);
        rig.load_ends(name, Err("no"));
        assert_eq!(
            rig.answered(waiter),
            "load_failed",
            "a demand that starts a load is refused with the cause"
        );
        let left = rig.retry_at(name).since(rig.now);
        if left == seconds(wait) {
            return;
        }
        rig.wait(left);
    }
}

#[test]
fn demand_waits_for_an_attempt_before_its_deadline() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 1.0);
    let waiters = [rig.demand(&["a"]), rig.demand(&["a"])];
    assert_eq!(waiters.map(|w| rig.answered(w).to_owned()), ["waits", "waits"]);
    rig.wait(seconds(0.999));
    assert_eq!(rig.state("a"), "failed", "a demand does not shorten the back-off");
    rig.wait(seconds(0.001));
    assert!(rig.is_loading("a"));
    rig.loaded("a");
    assert_eq!(waiters.map(|w| rig.answered(w).to_owned()), ["granted", "granted"]);
    assert_eq!(rig.engine.scheduler().entry(rig.key("a")).n_loads(), 1, "one load for all");
}

#[test]
fn demand_whose_deadline_comes_before_the_attempt_is_refused_at_once() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 2.0);
    for (deadline, answer) in [(1.0, "backing_off"), (2.0, "backing_off"), (2.1, "waits")] {
        let waiter = rig.demand_with(&["a"], None, Some(seconds(deadline)));
        assert_eq!(rig.answered(waiter), answer, "{deadline}");
    }
}

#[test]
fn waiter_of_a_failed_attempt_waits_for_the_next_one_before_its_deadline() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 1.0);
    let short = rig.demand_with(&["a"], None, Some(seconds(2.5)));
    let long = rig.demand_with(&["a"], None, Some(seconds(20.0)));
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
fn quarantine_refuses_waiters_with_the_cause_and_later_demands_at_once() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 8.0);
    let waiter = rig.demand_with(&["a"], None, Some(seconds(3000.0)));
    rig.wait(seconds(8.0));
    rig.load_ends("a", Err("no"));
    assert_eq!(rig.state("a"), "quarantined");
    assert_eq!(rig.answered(waiter), "load_failed");
    let late = rig.demand_with(&["a"], None, Some(seconds(3000.0)));
    assert_eq!(rig.answered(late), "quarantined");
}

#[test]
fn demand_that_waits_for_an_attempt_delays_no_other_load() {
    let mut rig = Rig::new(["a", "b", "c", "d", "e"].map(spec).to_vec(), 1000);
    backing_off(&mut rig, "a", 8.0);
    let waits = rig.demand(&["a"]);
    rig.wait(seconds(5.0));
    for name in ["b", "c", "d"] {
        rig.make_ready(name);
        rig.wait(seconds(0.8));
    }
    assert_eq!(rig.answered(waits), "waits");
    // The waiting demand keeps no memory free and does not suspend preloads.
    rig.hint(rig.key("e"));
    assert!(rig.is_loading("e"), "the likely next component is preloaded");
}

#[test]
fn operator_load_ends_the_wait_for_an_attempt() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 8.0);
    let waits = rig.demand(&["a"]);
    let operator = rig.operator("a", OperatorAction::Load);
    rig.loaded("a");
    assert_eq!([waits, operator].map(|w| rig.answered(w).to_owned()), ["granted", "done"]);
}

#[test]
fn abandoned_demand_causes_no_attempt() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 2.0);
    let waiter = rig.demand(&["a"]);
    rig.input(Input::Abandon { waiter });
    rig.wait(seconds(60.0));
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn demand_waits_for_the_next_attempt_of_a_dependency() {
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
fn plan_reports_the_time_until_the_next_attempt() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    backing_off(&mut rig, "a", 4.0);
    let plan = rig.engine.plan(&[rig.key("a")], rig.now, &rig.cells);
    assert_eq!(plan.refusal, None);
    assert_eq!(plan.holders[0].kind, HolderKind::BackingOff);
    assert!(plan.wait >= seconds(4.0), "{:?}", plan.wait);
}
