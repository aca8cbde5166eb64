//! The end: who is waited for, how long, and what is left.

use majordomo_core::EventKind;
use majordomo_engine::{Effect, Input};

use crate::rig::{Rig, id, seconds, spec, with};

fn done(rig: &Rig) -> bool {
    rig.effects.iter().any(|e| matches!(e, Effect::ShutdownDone { .. }))
}

#[test]
fn it_ends_when_everything_is_down_dependents_first() {
    let specs = vec![spec("base"), with(spec("top"), |s| s.dependencies = vec![id("base")])];
    let mut rig = Rig::new(specs, 1000);
    rig.have("top");
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
fn leases_are_waited_for_up_to_half_and_the_stuck_are_listed() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.have("a");
    assert!(rig.take("a"));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(4.9));
    assert_eq!(rig.state("a"), "draining");
    rig.wait(seconds(0.2));
    assert_eq!(rig.state("a"), "unloading", "revoked at half the time");
    rig.wait(seconds(3.95));
    let key = rig.key("a");
    let killed = |rig: &Rig| {
        rig.effects.iter().any(|e| match e {
            Effect::Record(r) => r.kind == EventKind::ShutdownKills { components: vec![key] },
            _ => false,
        })
    };
    assert!(killed(&rig), "what has not stopped a second before the end is killed and named");
    rig.wait(seconds(0.95));
    assert!(!killed(&rig));
    assert!(rig.effects.contains(&Effect::ShutdownDone { stuck: vec![key] }));
}

#[test]
fn a_demanded_load_gets_a_fifth() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    let w = rig.demand(&["a"]);
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(1.9));
    assert_eq!((rig.answered(w), rig.state("a")), ("waits", "loading"));
    rig.wait(seconds(0.2));
    assert_eq!((rig.answered(w), rig.state("a")), ("shutting_down", "unloading"));
}

#[test]
fn asked_twice_it_hastens_and_a_suspend_after_it_changes_nothing() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.wait(seconds(20.0));
    rig.have("a");
    assert!(rig.take("a"));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    rig.wait(seconds(0.5));
    rig.input(Input::Shutdown { deadline: seconds(10.0) });
    assert_eq!(rig.state("a"), "unloading");
    rig.wait(seconds(1.0));
    assert!(rig.engine.is_down());
    rig.input(Input::Resumed { gap: seconds(60.0) });
    assert!(!done(&rig), "it has ended once");
}
