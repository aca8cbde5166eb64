//! Loads and components that fail: back-off, quarantine, lost dependencies, stuck ones.

use majordomo_engine::{Effect, Input, OperatorAction};
use majordomo_registry::{ComponentSpec, ProbeRule, WhileLeased};

use crate::rig::{Rig, id, seconds, spec, with};

#[test]
fn back_off_doubles_and_the_fifth_failure_closes() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    for wait in [1.0, 2.0, 4.0, 8.0] {
        let w = rig.demand(&["a"]);
        rig.load_ends("a", Err("no"));
        assert_eq!(rig.answered(w), "load_failed");
        assert_eq!(rig.retry_at("a").since(rig.now), seconds(wait));
        let early = rig.ask(&["a"], None, Some(seconds(wait)));
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
    assert_eq!(rig.state("a"), "unloaded", "it opens by itself");
}

#[test]
fn an_operator_loads_what_backs_off() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.demand(&["a"]);
    rig.load_ends("a", Err("no"));
    let w = rig.operator("a", OperatorAction::Load);
    rig.loaded("a");
    assert_eq!(rig.answered(w), "done");
}

#[test]
fn a_lost_dependency_closes_its_dependents_at_once() {
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
    assert!(rig.cells.0[&top].revoked, "its holder is told");
    rig.give_back("top");
    rig.settle();
    assert_eq!(rig.states(&["base", "mid", "top"]), ["failed", "unloaded", "unloaded"]);
}

#[test]
fn loads_that_time_out_together_are_cancelled_once_each() {
    let specs = vec![spec("a"), spec("b")];
    let mut rig = Rig::new(specs, 1000);
    let w = rig.ask(&["a", "b"], None, Some(seconds(300.0)));
    rig.wait(seconds(60.0));
    assert_eq!(rig.answered(w), "load_failed");
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "unloading"]);
    rig.settle();
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn three_failed_probes_close_it() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.have("a");
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("it is up");
    for want in ["ready", "ready", "unloading"] {
        rig.input(Input::Health { id, result: Err("timed out".to_owned()) });
        assert_eq!(rig.state("a"), want);
    }
    rig.unloaded("a");
    assert_eq!(rig.state("a"), "failed");
}

/// A component with a probe every 10 s, as the configuration writes it.
fn probed(name: &str, while_leased: WhileLeased) -> ComponentSpec {
    with(spec(name), |s| {
        s.health_every = Some(seconds(10.0));
        s.health = ProbeRule { failures: 2, while_leased };
    })
}

fn probes_asked(rig: &Rig) -> usize {
    rig.effects.iter().filter(|e| matches!(e, Effect::Probe { .. })).count()
}

fn answers_probe(rig: &mut Rig, name: &str, result: Result<(), &str>) {
    let key = rig.key(name);
    let id = rig.engine.incarnation(key).expect("it is up");
    rig.input(Input::Health { id, result: result.map_err(str::to_owned) });
}

fn reported(rig: &Rig, name: &str) -> bool {
    let status = rig.engine.status(rig.now);
    let found = status.components.iter().find(|c| c.id == id(name));
    found.is_some_and(|c| c.probe_failing.is_some())
}

#[test]
fn a_leased_component_whose_probes_fail_is_reported_and_stays_up() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Report)], 100);
    rig.have("a");
    assert!(rig.take("a"));
    for want in [false, true, true, true] {
        answers_probe(&mut rig, "a", Err("no answer"));
        assert_eq!((rig.state("a"), reported(&rig, "a")), ("ready", want));
    }
    answers_probe(&mut rig, "a", Ok(()));
    assert!(!reported(&rig, "a"));
    rig.give_back("a");
    assert_eq!(rig.state("a"), "ready", "it has answered since");
}

#[test]
fn a_component_that_fails_its_probe_after_its_last_lease_is_taken_out_of_service() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Report)], 100);
    rig.have("a");
    assert!(rig.take("a") && rig.take("a"));
    for _ in 0..2 {
        answers_probe(&mut rig, "a", Err("no answer"));
    }
    // A probe is on its way when the last lease ends: it asked while the component was busy.
    rig.wait(seconds(10.0));
    rig.give_back("a");
    assert_eq!(probes_asked(&rig), 0, "one lease is still out");
    rig.give_back("a");
    assert_eq!(probes_asked(&rig), 1);
    answers_probe(&mut rig, "a", Err("no answer"));
    assert_eq!(rig.state("a"), "ready", "an older probe is no evidence");
    answers_probe(&mut rig, "a", Err("no answer"));
    assert_eq!(rig.state("a"), "unloading");
    rig.unloaded("a");
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn a_lease_on_a_dependent_keeps_a_failing_dependency_up() {
    let specs = vec![
        probed("base", WhileLeased::Report),
        with(spec("top"), |s| s.dependencies = vec![id("base")]),
    ];
    let mut rig = Rig::new(specs, 1000);
    rig.demand(&["top"]);
    rig.settle();
    for _ in 0..3 {
        answers_probe(&mut rig, "base", Err("no answer"));
    }
    assert_eq!(rig.states(&["base", "top"]), ["ready", "ready"]);
    rig.give_back("top");
    answers_probe(&mut rig, "base", Err("no answer"));
    assert_ne!(rig.state("base"), "ready");
}

#[test]
fn restart_while_leased_takes_a_leased_component_out_of_service() {
    let mut rig = Rig::new(vec![probed("a", WhileLeased::Restart)], 100);
    rig.have("a");
    assert!(rig.take("a"));
    for _ in 0..2 {
        answers_probe(&mut rig, "a", Err("no answer"));
    }
    assert_eq!(rig.state("a"), "draining");
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn a_stuck_component_keeps_its_bytes_and_may_come_back() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.have("a");
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
fn a_dependent_loaded_ahead_does_not_come_up_while_its_provider_drains() {
    let specs = vec![
        spec("base"),
        with(spec("top"), |s| {
            s.dependencies = vec![id("base")];
            s.load_deadline = Some(seconds(60.0));
        }),
        with(spec("big"), |s| s.memory = majordomo_core::ByteSize::mib(200)),
    ];
    let mut rig = Rig::new(specs, 200);
    rig.have("base");
    let key = rig.key("top");
    rig.hint(key);
    assert!(rig.is_loading("top"));
    assert!(rig.take("base"));
    rig.demand(&["big"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("base"), "draining");
    assert!(!rig.is_loading("top"), "its load was called off");
}
