//! Loads and components that fail: back-off, quarantine, failed dependencies, stuck components.

use majordomo_engine::{Effect, Input, OperatorAction};
use majordomo_registry::{ComponentSpec, ProbeRule, WhileLeased};

use crate::rig::{Rig, id, seconds, spec, with};

#[test]
fn back_off_doubles_and_the_fifth_failure_quarantines() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    for wait in [1.0, 2.0, 4.0, 8.0] {
        let w = rig.demand(&["a"]);
        rig.load_ends("a", Err("no"));
        assert_eq!(rig.answered(w), "load_failed");
        assert_eq!(rig.retry_at("a").since(rig.now), seconds(wait));
        let early = rig.demand_with(&["a"], None, Some(seconds(wait)));
        assert_eq!(rig.answered(early), "backing_off");
        rig.wait(seconds(wait));
    }
    rig.demand(&["a"]);
    rig.load_ends("a", Err("no"));
    assert_eq!(rig.state("a"), "quarantined");
    let w = rig.demand(&["a"]);
    assert_eq!(rig.answered(w), "quarantined");
    rig.wait(seconds(899.0));
    assert_eq!(rig.state("a"), "quarantined");
    rig.wait(seconds(1.0));
    assert_eq!(rig.state("a"), "unloaded", "the quarantine ends by itself");
}

#[test]
fn operator_load_ignores_the_back_off() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.demand(&["a"]);
    rig.load_ends("a", Err("no"));
    let w = rig.operator("a", OperatorAction::Load);
    rig.loaded("a");
    assert_eq!(rig.answered(w), "done");
}

#[test]
fn failed_dependency_closes_its_dependents_at_once() {
    let specs = vec![
        spec("base"),
        with(spec("mid"), |s| s.dependencies = vec![id("base")]),
        with(spec("top"), |s| s.dependencies = vec![id("mid")]),
    ];
    let mut rig = Rig::new(specs, 1000);
    rig.demand(&["top"]);
    rig.settle();
    rig.exits("base");
    assert_eq!(rig.states(&["base", "mid", "top"]), ["unloading", "draining", "draining"]);
    assert!(!rig.take("mid") && !rig.take("top"));
    let top = rig.key("top");
    assert!(rig.cells.0[&top].revoked, "its holder is notified");
    rig.give_back("top");
    rig.settle();
    assert_eq!(rig.states(&["base", "mid", "top"]), ["failed", "unloaded", "unloaded"]);
}

#[test]
fn loads_that_time_out_together_are_cancelled_once_each() {
    let specs = vec![spec("a"), spec("b")];
    let mut rig = Rig::new(specs, 1000);
    let w = rig.demand_with(&["a", "b"], None, Some(seconds(300.0)));
    rig.wait(seconds(60.0));
    assert_eq!(rig.answered(w), "load_failed");
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "unloading"]);
    rig.settle();
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn component_is_unloaded_after_three_failed_probes() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.make_ready("a");
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component is up");
    for want in ["ready", "ready", "unloading"] {
        rig.input(Input::Health { id, result: Err("timed out".to_owned()) });
        assert_eq!(rig.state("a"), want);
    }
    rig.unloaded("a");
    assert_eq!(rig.state("a"), "failed");
}

/// A component with a probe every 10 s, which fails at the second failed probe.
fn probed(name: &str, while_leased: WhileLeased) -> ComponentSpec {
    with(spec(name), |s| {
        s.health_every = Some(seconds(10.0));
        s.health = ProbeRule { failures: 2, while_leased };
    })
}

fn n_probes(rig: &Rig) -> usize {
    rig.effects.iter().filter(|e| matches!(e, Effect::Probe { .. })).count()
}

fn answer_probe(rig: &mut Rig, name: &str, result: Result<(), &str>) {
    let key = rig.key(name);
    let id = rig.engine.incarnation(key).expect("the component is up");
    rig.input(Input::Health { id, result: result.map_err(str::to_owned) });
}

fn is_reported(rig: &Rig, name: &str) -> bool {
    let status = rig.engine.status(rig.now);
    let found = status.components.iter().find(|c| c.id == id(name));
    found.is_some_and(|c| c.probe_failing.is_some())
}

#[test]
fn leased_component_whose_probes_fail_is_reported_and_stays_ready() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Report)], 100);
    rig.make_ready("a");
    assert!(rig.take("a"));
    for want in [false, true, true, true] {
        answer_probe(&mut rig, "a", Err("no answer"));
        assert_eq!((rig.state("a"), is_reported(&rig, "a")), ("ready", want));
    }
    answer_probe(&mut rig, "a", Ok(()));
    assert!(!is_reported(&rig, "a"));
    rig.give_back("a");
    assert_eq!(rig.state("a"), "ready", "a later probe succeeded");
}

#[test]
fn component_that_fails_a_probe_after_its_last_lease_is_unloaded() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Report)], 100);
    rig.make_ready("a");
    assert!(rig.take("a") && rig.take("a"));
    for _ in 0..2 {
        answer_probe(&mut rig, "a", Err("no answer"));
    }
    // The probe in flight when the last lease ends was sent while the component was busy.
    rig.wait(seconds(10.0));
    rig.give_back("a");
    assert_eq!(n_probes(&rig), 0, "one lease is left");
    rig.give_back("a");
    assert_eq!(n_probes(&rig), 1);
    answer_probe(&mut rig, "a", Err("no answer"));
    assert_eq!(rig.state("a"), "ready", "a probe sent before the release is no evidence");
    answer_probe(&mut rig, "a", Err("no answer"));
    assert_eq!(rig.state("a"), "unloading");
    rig.unloaded("a");
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn lease_on_a_dependent_keeps_a_failing_dependency_ready() {
    let specs = vec![
        probed("base", WhileLeased::Report),
        with(spec("top"), |s| s.dependencies = vec![id("base")]),
    ];
    let mut rig = Rig::new(specs, 1000);
    rig.demand(&["top"]);
    rig.settle();
    for _ in 0..3 {
        answer_probe(&mut rig, "base", Err("no answer"));
    }
    assert_eq!(rig.states(&["base", "top"]), ["ready", "ready"]);
    rig.give_back("top");
    answer_probe(&mut rig, "base", Err("no answer"));
    assert_ne!(rig.state("base"), "ready");
}

#[test]
fn while_leased_restart_unloads_a_leased_component_whose_probes_fail() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Restart)], 100);
    rig.make_ready("a");
    assert!(rig.take("a"));
    for _ in 0..2 {
        answer_probe(&mut rig, "a", Err("no answer"));
    }
    assert_eq!(rig.state("a"), "draining");
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn stuck_component_keeps_its_bytes_until_it_has_stopped() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.make_ready("a");
    rig.operator("a", OperatorAction::Unload { force: false });
    rig.wait(seconds(7.5));
    assert_eq!(rig.state("a"), "stuck");
    for (name, want) in [("a", "stuck"), ("b", "too_large")] {
        let w = rig.demand(&[name]);
        assert_eq!(rig.answered(w), want);
    }
    rig.unloaded("a");
    assert_eq!(rig.state("a"), "unloaded");
}

#[test]
fn preload_is_cancelled_when_its_dependency_drains() {
    let specs = vec![
        spec("base"),
        with(spec("top"), |s| {
            s.dependencies = vec![id("base")];
            s.load_deadline = Some(seconds(60.0));
        }),
        with(spec("big"), |s| s.memory = majordomo_core::ByteSize::mib(200)),
    ];
    let mut rig = Rig::new(specs, 200);
    rig.make_ready("base");
    let key = rig.key("top");
    rig.hint(key);
    assert!(rig.is_loading("top"));
    assert!(rig.take("base"));
    rig.demand(&["big"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("base"), "draining");
    assert!(!rig.is_loading("top"), "its load is cancelled");
}
