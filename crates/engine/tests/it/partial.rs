//! Commands whose components cannot all be leased: the less confident are left out, with the
//! reason.

use majordomo_core::ByteSize;
use majordomo_engine::Input;
use majordomo_registry::ComponentSpec;

use crate::rig::{Rig, config, id, seconds, spec, with};

fn sized(name: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| s.memory = ByteSize::mib(mib))
}

/// `sure` and `doubtful` of 100 MiB each, and `other` of 100 MiB.
fn rig(budget_mib: u64) -> Rig {
    Rig::new(vec![sized("sure", 100), sized("doubtful", 100), sized("other", 100)], budget_mib)
}

#[test]
fn less_confident_component_is_left_out_when_both_exceed_the_budget() {
    let mut rig = rig(150);
    for (first, second) in [("sure", "doubtful"), ("doubtful", "sure")] {
        let w = rig.command(&[first, second], None);
        rig.settle();
        assert_eq!(rig.answered(w), "granted");
        assert_eq!(rig.left_out(w), [format!("{second}: too_large")]);
        assert_eq!(rig.states(&[first, second]), ["ready", "unloaded"]);
        rig.give_back(first);
        rig.wait(seconds(3.0));
    }
}

#[test]
fn demand_by_name_is_granted_completely_or_refused() {
    let mut rig = rig(150);
    let w = rig.demand(&["sure", "doubtful"]);
    assert_eq!(rig.answered(w), "too_large");
    assert_eq!(rig.states(&["sure", "doubtful"]), ["unloaded", "unloaded"]);
}

#[test]
fn less_confident_of_conflicting_components_is_left_out() {
    let conflicting = with(spec("doubtful"), |s| s.conflicts = vec![id("sure")]);
    let mut rig = Rig::new(vec![spec("sure"), conflicting, spec("other")], 1000);
    let w = rig.command(&["sure", "doubtful", "other"], None);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.left_out(w), ["doubtful: conflict_within"]);
    assert_eq!(rig.states(&["sure", "other"]), ["ready", "ready"]);
}

#[test]
fn component_blocked_by_leases_is_left_out_at_once() {
    let mut rig = rig(250);
    rig.demand(&["other"]);
    rig.loaded("other");
    let w = rig.command(&["sure", "doubtful"], None);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.left_out(w), ["doubtful: blocked"]);
}

#[test]
fn command_without_available_components_holds_nothing_while_it_waits() {
    let mut rig = rig(100);
    rig.demand(&["other"]);
    rig.loaded("other");
    let w = rig.command(&["sure", "doubtful"], None);
    assert_eq!(rig.answered(w), "waits");
    assert_eq!(rig.states(&["sure", "doubtful"]), ["unloaded", "unloaded"]);
    rig.wait(seconds(3.0));
    rig.give_back("other");
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.left_out(w), ["doubtful: too_large"]);
}

#[test]
fn command_waits_for_the_minimum_residency_of_a_victim() {
    let mut config = config();
    config.memory.min_residency = seconds(2.0);
    let specs = ["sure", "doubtful", "other"].map(|name| sized(name, 100));
    let mut rig = Rig::with_pools(specs.to_vec(), Vec::new(), 200, config);
    rig.make_ready("other");
    let w = rig.command(&["sure", "doubtful"], None);
    assert_eq!(rig.answered(w), "waits");
    assert_eq!(rig.state("sure"), "unloaded");
    rig.wait(seconds(2.0));
    rig.settle();
    assert_eq!((rig.answered(w), rig.left_out(w).len()), ("granted", 0));
}

#[test]
fn component_whose_load_fails_is_left_out() {
    let mut rig = rig(1000);
    let w = rig.command(&["sure", "doubtful"], None);
    rig.load_ends("sure", Err("no such file"));
    assert_eq!(rig.answered(w), "waits");
    assert!(rig.is_loading("doubtful"), "the other load continues");
    rig.loaded("doubtful");
    assert_eq!((rig.answered(w), rig.left_out(w)), ("granted", vec!["sure: load_failed".into()]));
    // The back-off lasts too long for the next command, which is granted without the component.
    let w = rig.command(&["sure", "doubtful"], Some(seconds(1.5)));
    assert_eq!((rig.answered(w), rig.left_out(w)), ("granted", vec!["sure: backing_off".into()]));
}

#[test]
fn component_not_ready_at_the_deadline_is_left_out() {
    let mut rig = rig(1000);
    let w = rig.command(&["sure", "doubtful"], Some(seconds(5.0)));
    rig.loaded("doubtful");
    assert_eq!(rig.answered(w), "waits");
    rig.wait(seconds(5.0));
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.left_out(w), ["sure: deadline_exceeded"]);
    assert_eq!(rig.cells.0[&rig.key("doubtful")].leases, 1);
}

#[test]
fn impossible_command_is_refused_with_the_reason_of_its_most_confident_component() {
    let mut rig = Rig::new(vec![sized("sure", 300), sized("doubtful", 400)], 200);
    let w = rig.command(&["sure", "doubtful"], None);
    assert_eq!(rig.answered(w), "too_large");
    let needs = rig.effects.iter().find_map(|e| match e {
        majordomo_engine::Effect::Refuse { refusal, .. } => Some(refusal.to_string()),
        _ => None,
    });
    assert!(needs.is_some_and(|text| text.starts_with("300 MiB are needed")));
    rig.input(Input::Tick);
}

#[test]
fn plan_of_a_command_lists_the_components_left_out() {
    let rig = rig(150);
    let order = [rig.key("doubtful"), rig.key("sure")];
    let plan = rig.engine.plan_partial(&order, rig.now, &rig.cells);
    assert_eq!(plan.refusal, None);
    let loads: Vec<_> = plan.loads.iter().map(|l| l.key).collect();
    let left: Vec<_> = plan.left_out.iter().map(|l| (l.component, l.refusal.code())).collect();
    assert_eq!((loads, left), (vec![order[0]], vec![(order[1], "too_large")]));
    assert_eq!(rig.engine.plan(&order, rig.now, &rig.cells).refusal.unwrap().code(), "too_large");
}
