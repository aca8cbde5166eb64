//! Shutdown: its order, the time that leases and loads get, and stuck components.

use majordomo_core::EventKind;
use majordomo_engine::{Effect, Input};

use crate::rig::{Rig, id, seconds, spec, with};

fn done(rig: &Rig) -> bool {
    rig.effects.iter().any(|e| matches!(e, Effect::ShutdownDone { .. }))
}

#[test]
fn shutdown_unloads_dependents_first_and_ends_when_no_component_is_loaded() {
    let specs = vec![spec("base"), with(spec("top"), |s| s.dependencies = vec![id("base")])];
    let mut rig = Rig::new(specs, 1000);
    rig.make_ready("top");
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    assert_eq!(rig.states(&["base", "top"]), ["draining", "unloading"]);
    let late = rig.demand(&["top"]);
    assert_eq!(rig.answered(late), "shutting_down");
    rig.unloaded("top");
    assert!(!done(&rig));
    rig.unloaded("base");
    assert!(done(&rig) && rig.engine.is_down());
    assert_eq!(rig.engine.next_wakeup(), None);
}

#[test]
fn shutdown_waits_half_its_deadline_for_leases_and_lists_stuck_components() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.make_ready("a");
    assert!(rig.take("a"));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(4.9));
    assert_eq!(rig.state("a"), "draining");
    rig.wait(seconds(0.2));
    assert_eq!(rig.state("a"), "unloading", "the lease is revoked at half the deadline");
    rig.wait(seconds(3.95));
    let key = rig.key("a");
    let killed = |rig: &Rig| {
        rig.effects.iter().any(|e| match e {
            Effect::Record(r) => r.kind == EventKind::ShutdownKills { components: vec![key] },
            _ => false,
        })
    };
    assert!(
        killed(&rig),
        "a component that runs a second before the deadline is killed and recorded"
    );
    rig.wait(seconds(0.95));
    assert!(!killed(&rig));
    assert!(rig.effects.contains(&Effect::ShutdownDone { stuck: vec![key] }));
}

#[test]
fn shutdown_waits_a_fifth_of_its_deadline_for_demanded_loads() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    let w = rig.demand(&["a"]);
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(1.9));
    assert_eq!((rig.answered(w), rig.state("a")), ("waits", "loading"));
    rig.wait(seconds(0.2));
    assert_eq!((rig.answered(w), rig.state("a")), ("shutting_down", "unloading"));
}

#[test]
fn second_shutdown_request_revokes_leases_and_a_later_suspend_changes_nothing() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.wait(seconds(20.0));
    rig.make_ready("a");
    assert!(rig.take("a"));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(0.5));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    assert_eq!(rig.state("a"), "unloading");
    rig.wait(seconds(1.0));
    assert!(rig.engine.is_down());
    rig.input(Input::Resumed { gap: seconds(60.0) });
    assert!(!done(&rig), "the end is reported once");
}
