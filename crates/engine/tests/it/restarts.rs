//! Components that run whoever asks: how they are tried again, and what the failure of a dependency means for them.

use majordomo_core::{Cause, Config, Moment, Priority};
use majordomo_engine::{Input, OperatorAction};
use majordomo_registry::{ComponentSpec, RestartPolicy};

use crate::rig::{Rig, config, id, seconds, spec, with};

fn core(name: &str) -> ComponentSpec {
    with(spec(name), |s| s.priority = Priority::Core)
}

fn always(name: &str) -> ComponentSpec {
    with(spec(name), |s| s.restart = RestartPolicy::Always)
}

fn quick() -> Config {
    let mut config = config();
    config.back_off.max = seconds(8.0);
    config
}

/// When the engine will try a component again by itself.
fn next_attempt(rig: &Rig, name: &str) -> Option<Moment> {
    let status = rig.engine.status(rig.now);
    status.components.iter().find(|c| c.id.as_str() == name).and_then(|c| c.retry_at)
}

fn cause(rig: &Rig, name: &str) -> String {
    let status = rig.engine.status(rig.now);
    status.components.into_iter().find(|c| c.id.as_str() == name).map(|c| c.cause).unwrap()
}

#[test]
fn core_and_always_are_tried_at_the_capped_back_off_and_never_quarantined() {
    for spec in [core("a"), always("a"), with(spec("a"), |s| s.pinned = true)] {
        let mut rig = Rig::with_pools(vec![spec], vec![], 1000, quick());
        rig.demand(&["a"]);
        let mut waits = Vec::new();
        for _ in 0..40 {
            rig.load_ends("a", Err("its disk is not there yet"));
            assert_eq!(rig.state("a"), "failed");
            waits.push(rig.retry_at("a").since(rig.now).as_secs());
            assert_eq!(next_attempt(&rig, "a"), Some(rig.retry_at("a")));
            rig.wait(seconds(waits[waits.len() - 1] as f64));
            assert!(rig.is_loading("a"), "it is tried again without being asked for");
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert!(waits[4..].iter().all(|w| *w == 8), "{waits:?}");
    }
}

#[test]
fn what_core_depends_on_is_not_quarantined_either() {
    let app = with(core("app"), |s| s.dependencies = vec![id("db")]);
    let mut rig = Rig::with_pools(vec![spec("db"), app], vec![], 1000, quick());
    rig.input(Input::Start);
    for _ in 0..12 {
        rig.load_ends("db", Err("no"));
        let wait = rig.retry_at("db").since(rig.now);
        rig.wait(wait);
    }
    rig.settle();
    assert_eq!(rig.states(&["db", "app"]), ["ready", "ready"]);
}

#[test]
fn back_off_starts_anew_after_a_long_run_without_failures() {
    let mut rig = Rig::with_pools(vec![core("a")], vec![], 1000, quick());
    rig.input(Input::Start);
    for wait in [1, 2, 4] {
        rig.load_ends("a", Err("no"));
        assert_eq!(rig.retry_at("a").since(rig.now), seconds(f64::from(wait)));
        rig.wait(seconds(f64::from(wait)));
    }
    rig.loaded("a");
    rig.exits("a");
    rig.unloaded("a");
    assert_eq!(rig.retry_at("a").since(rig.now), seconds(8.0), "a short run ends no row");
    rig.wait(seconds(8.0));
    rig.loaded("a");
    rig.wait(seconds(3600.0));
    rig.exits("a");
    rig.unloaded("a");
    assert_eq!(rig.retry_at("a").since(rig.now), seconds(1.0));
}

#[test]
fn never_is_not_quarantined_either_and_is_not_tried_by_itself() {
    let spec = with(spec("a"), |s| s.restart = RestartPolicy::Never);
    let mut rig = Rig::new(vec![spec], 1000);
    for _ in 0..6 {
        rig.operator("a", OperatorAction::Load);
        rig.load_ends("a", Err("no"));
        assert_eq!(rig.retry_at("a"), Moment::NEVER);
        assert_eq!(next_attempt(&rig, "a"), None);
    }
}

#[test]
fn dependents_restart_when_the_dependency_is_ready_again() {
    let on = |name: &str, base: &str| {
        let base = id(base);
        with(spec(name), move |s| s.dependencies = vec![base.clone()])
    };
    let specs = vec![
        spec("db"),
        with(on("app", "db"), |s| s.priority = Priority::Core),
        with(on("bot", "app"), |s| s.restart = RestartPolicy::Always),
        on("page", "db"),
    ];
    let mut rig = Rig::with_pools(specs, vec![], 1000, quick());
    rig.input(Input::Start);
    rig.settle();
    for name in ["bot", "page"] {
        rig.have(name);
    }
    rig.exits("db");
    rig.settle();
    assert_eq!(rig.states(&["db", "app", "bot", "page"]), [
        "failed", "unloaded", "unloaded", "unloaded"
    ]);
    for name in ["app", "bot"] {
        let e = rig.engine.scheduler().entry(rig.key(name));
        assert_eq!((e.failures, e.recent_failures.len()), (0, 0), "{name} did not fail");
        assert_eq!(next_attempt(&rig, name), Some(rig.retry_at("db")), "{name}");
        let told = cause(&rig, name);
        assert!(told.contains("which it depends on"), "{name}: {told}");
    }
    assert!(cause(&rig, "app").contains("db") && cause(&rig, "app").contains("signal 9"));
    assert_eq!(next_attempt(&rig, "page"), None);
    // Each failure of the dependency moves its dependents with it.
    for wait in [1.0, 2.0, 4.0, 8.0, 8.0, 8.0] {
        assert_eq!(rig.retry_at("db").since(rig.now), seconds(wait));
        rig.wait(seconds(wait));
        rig.load_ends("db", Err("no"));
        assert_eq!(next_attempt(&rig, "app"), Some(rig.retry_at("db")));
        assert!(cause(&rig, "app").contains("db"), "{}", cause(&rig, "app"));
    }
    rig.wait(seconds(8.0));
    rig.loaded("db");
    assert!(rig.is_loading("app"), "it waits for nothing but its dependency");
    rig.loaded("app");
    assert!(rig.is_loading("bot"));
}

#[test]
fn a_dependency_loaded_by_hand_brings_its_dependents_back_at_once() {
    let app = with(core("app"), |s| s.dependencies = vec![id("db")]);
    let db = with(spec("db"), |s| s.restart = RestartPolicy::Never);
    let mut rig = Rig::new(vec![db, app], 1000);
    rig.input(Input::Start);
    rig.load_ends("db", Err("no"));
    rig.wait(seconds(3600.0));
    assert_eq!(rig.states(&["db", "app"]), ["failed", "unloaded"]);
    assert_eq!((next_attempt(&rig, "db"), next_attempt(&rig, "app")), (None, None));
    rig.operator("db", OperatorAction::Load);
    rig.loaded("db");
    assert!(rig.is_loading("app"));
}

#[test]
fn a_dependent_that_ends_with_its_dependency_did_not_fail() {
    let app = with(core("app"), |s| s.dependencies = vec![id("db")]);
    for dependent_first in [true, false] {
        let mut rig = Rig::new(vec![spec("db"), app.clone()], 1000);
        rig.input(Input::Start);
        rig.settle();
        assert!(rig.take("app"));
        for name in if dependent_first { ["app", "db"] } else { ["db", "app"] } {
            rig.exits(name);
        }
        rig.settle();
        assert_eq!(rig.states(&["db", "app"]), ["failed", "unloaded"], "{dependent_first}");
        assert_eq!(rig.engine.scheduler().entry(rig.key("app")).failures, 0);
        assert_eq!(next_attempt(&rig, "app"), Some(rig.retry_at("db")));
    }
}

#[test]
fn a_member_whose_dependency_could_not_be_loaded_says_so() {
    let top = with(spec("top"), |s| s.dependencies = vec![id("base")]);
    let mut rig = Rig::new(vec![spec("base"), top], 1000);
    rig.demand(&["top"]);
    rig.load_ends("base", Err("no model file"));
    assert_eq!(rig.state("top"), "unloaded");
    let e = rig.engine.scheduler().entry(rig.key("top"));
    assert!(matches!(e.cause, Some(Cause::DependencyFailed { .. })), "{:?}", e.cause);
    assert!(cause(&rig, "top").contains("base") && cause(&rig, "top").contains("no model file"));
}
