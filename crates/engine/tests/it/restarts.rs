//! Components that must run: how they are restarted, and what the failure of a dependency means for
//! them.

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

/// When the engine will retry a component without a demand.
fn next_attempt(rig: &Rig, name: &str) -> Option<Moment> {
    let status = rig.engine.status(rig.now);
    status.components.iter().find(|c| c.id.as_str() == name).and_then(|c| c.retry_at)
}

fn cause(rig: &Rig, name: &str) -> String {
    let status = rig.engine.status(rig.now);
    let found = status.components.into_iter().find(|c| c.id.as_str() == name);
    found.expect("a configured name").cause
}

#[test]
fn core_and_always_components_are_retried_at_the_capped_back_off_and_never_quarantined() {
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
            assert!(rig.is_loading("a"), "the retry needs no demand");
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert!(waits[4..].iter().all(|w| *w == 8), "{waits:?}");
    }
}

#[test]
fn dependency_of_a_core_component_is_never_quarantined() {
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
fn back_off_is_reset_after_a_long_run_without_failures() {
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
    assert_eq!(
        rig.retry_at("a").since(rig.now),
        seconds(8.0),
        "a short run does not reset the back-off"
    );
    rig.wait(seconds(8.0));
    rig.loaded("a");
    rig.wait(seconds(3600.0));
    rig.exits("a");
    rig.unloaded("a");
    assert_eq!(rig.retry_at("a").since(rig.now), seconds(1.0));
}

#[test]
fn status_reports_whether_the_next_attempt_needs_a_demand() {
    for (spec, on_demand) in [(spec("a"), true), (core("a"), false), (always("a"), false)] {
        let mut rig = Rig::with_pools(vec![spec], vec![], 1000, quick());
        rig.demand(&["a"]);
        rig.load_ends("a", Err("no"));
        let status = rig.engine.status(rig.now);
        let a = &status.components[0];
        assert_eq!(
            (a.retry_at, a.retry_on_demand),
            (Some(rig.retry_at("a")), on_demand),
            "{:?}",
            a.priority
        );
    }
}

#[test]
fn component_with_restart_never_is_neither_quarantined_nor_retried() {
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
        rig.make_ready(name);
    }
    rig.exits("db");
    rig.settle();
    assert_eq!(
        rig.states(&["db", "app", "bot", "page"]),
        ["failed", "unloaded", "unloaded", "unloaded"]
    );
    for name in ["app", "bot"] {
        let e = rig.engine.scheduler().entry(rig.key(name));
        assert_eq!(
            (e.failures().n_total(), e.failures().n_recent()),
            (0, 0),
            "{name} did not fail"
        );
        assert_eq!(next_attempt(&rig, name), Some(rig.retry_at("db")), "{name}");
        let cause = cause(&rig, name);
        assert!(cause.contains("which it depends on"), "{name}: {cause}");
    }
    assert!(
        cause(&rig, "app").contains("db") && cause(&rig, "app").contains("was killed by SIGKILL")
    );
    assert_eq!(next_attempt(&rig, "page"), None);
    // Each failure of the dependency postpones its dependents.
    for wait in [1.0, 2.0, 4.0, 8.0, 8.0, 8.0] {
        assert_eq!(rig.retry_at("db").since(rig.now), seconds(wait));
        rig.wait(seconds(wait));
        rig.load_ends("db", Err("no"));
        assert_eq!(next_attempt(&rig, "app"), Some(rig.retry_at("db")));
        assert!(cause(&rig, "app").contains("db"), "{}", cause(&rig, "app"));
    }
    rig.wait(seconds(8.0));
    rig.loaded("db");
    assert!(rig.is_loading("app"), "its dependency is ready");
    rig.loaded("app");
    assert!(rig.is_loading("bot"));
}

#[test]
fn operator_load_of_a_dependency_restarts_its_dependents_at_once() {
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
fn exit_of_a_dependent_together_with_its_dependency_is_no_failure() {
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
        assert_eq!(rig.engine.scheduler().entry(rig.key("app")).failures().n_total(), 0);
        assert_eq!(next_attempt(&rig, "app"), Some(rig.retry_at("db")));
    }
}

#[test]
fn cause_of_an_unloaded_component_names_its_failed_dependency() {
    let top = with(spec("top"), |s| s.dependencies = vec![id("base")]);
    let mut rig = Rig::new(vec![spec("base"), top], 1000);
    rig.demand(&["top"]);
    rig.load_ends("base", Err("no model file"));
    assert_eq!(rig.state("top"), "unloaded");
    let e = rig.engine.scheduler().entry(rig.key("top"));
    assert!(matches!(e.cause(), Some(Cause::DependencyFailed { .. })), "{:?}", e.cause());
    assert!(cause(&rig, "top").contains("base") && cause(&rig, "top").contains("no model file"));
}

/// A component that is up and unused.
fn up(spec: ComponentSpec) -> Rig {
    let mut rig = Rig::new(vec![spec], 1000);
    rig.make_ready("a");
    rig.used("a");
    rig.wait(seconds(60.0));
    rig
}

#[test]
fn restart_policy_decides_what_follows_a_regular_exit() {
    use RestartPolicy as P;
    let plain = |policy| with(spec("a"), move |s| s.restart = policy);
    let pinned = |policy| with(plain(policy), |s| s.pinned = true);
    for (spec, restarts) in [
        (plain(P::OnDemand), false),
        (plain(P::OnFailure), false),
        (plain(P::Always), true),
        (plain(P::Never), false),
        (pinned(P::OnDemand), true),
        (pinned(P::OnFailure), true),
        (pinned(P::Never), false),
    ] {
        let case = format!("{:?}, pinned: {}", spec.restart, spec.pinned);
        let mut rig = up(spec);
        rig.exits_with("a", Some(0));
        rig.unloaded("a");
        assert_eq!(rig.state("a"), if restarts { "loading" } else { "unloaded" }, "{case}");
        let e = rig.engine.scheduler().entry(rig.key("a"));
        assert_eq!((e.failures().n_total(), e.failures().n_recent()), (0, 0), "{case}");
        if !restarts {
            assert_eq!(cause(&rig, "a"), "it ended by itself (exit code 0)", "{case}");
            // A demand may load it at once.
            let waiter = rig.demand(&["a"]);
            rig.settle();
            assert_eq!(rig.answered(waiter), "granted", "{case}");
        }
    }
}

#[test]
fn restart_policy_decides_what_follows_a_failure() {
    use RestartPolicy as P;
    for (policy, restarts) in
        [(P::OnDemand, false), (P::OnFailure, true), (P::Always, true), (P::Never, false)]
    {
        for code in [None, Some(1)] {
            let mut rig = up(with(spec("a"), move |s| s.restart = policy));
            rig.exits_with("a", code);
            rig.unloaded("a");
            assert_eq!(rig.state("a"), "failed", "{policy:?}");
            rig.wait(seconds(60.0));
            assert_eq!(rig.is_loading("a"), restarts, "{policy:?}");
        }
    }
}

#[test]
fn exit_ok_lists_the_exit_codes_that_are_no_failure() {
    for (exit_ok, code, state) in [
        (vec![0], 0, "unloaded"),
        (vec![0], 3, "failed"),
        (vec![0, 3], 3, "unloaded"),
        (vec![3], 0, "failed"),
        (vec![], 0, "failed"),
    ] {
        let case = format!("{code} with {exit_ok:?}");
        let mut rig = up(with(spec("a"), move |s| s.exit_ok = exit_ok.clone()));
        rig.exits_with("a", Some(code));
        rig.unloaded("a");
        assert_eq!(rig.state("a"), state, "{case}");
    }
}

#[test]
fn component_that_exits_soon_after_each_start_restarts_with_growing_back_off() {
    let mut rig = Rig::with_pools(vec![always("a")], vec![], 1000, quick());
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.give_back("a");
    rig.used("a");
    for wait in [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0] {
        rig.exits_with("a", Some(0));
        rig.unloaded("a");
        assert_eq!(rig.state("a"), "unloaded", "a regular exit is no failure");
        assert_eq!(next_attempt(&rig, "a"), Some(rig.now + seconds(wait)));
        assert!(cause(&rig, "a").contains("must run in the foreground"));
        rig.wait(seconds(wait));
        rig.loaded("a");
    }
    // After a longer run the restart is immediate.
    rig.wait(seconds(30.0));
    rig.exits_with("a", Some(0));
    rig.unloaded("a");
    assert!(rig.is_loading("a"));
}

#[test]
fn dependency_that_exits_at_once_restarts_with_growing_back_off_for_its_dependents() {
    let app = with(core("app"), |s| s.dependencies = vec![id("db")]);
    let mut rig = Rig::with_pools(vec![spec("db"), app], vec![], 1000, quick());
    rig.input(Input::Start);
    rig.settle();
    for wait in [1.0, 2.0, 4.0, 8.0, 8.0] {
        rig.exits_with("db", Some(0));
        rig.settle();
        assert_eq!(rig.states(&["db", "app"]), ["unloaded", "unloaded"]);
        assert_eq!(next_attempt(&rig, "app"), Some(rig.now + seconds(wait)));
        rig.wait(seconds(wait));
        rig.settle();
        assert_eq!(rig.states(&["db", "app"]), ["ready", "ready"]);
    }
}

#[test]
fn exit_while_draining_completes_the_unload_and_is_no_failure() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.wait(seconds(5.0));
    rig.demand(&["b"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.state("a"), "draining", "the demand for `b` waits for its memory");
    rig.exits_with("a", Some(0));
    rig.unloaded("a");
    assert!(rig.is_loading("b"));
    rig.settle();
    assert_eq!(rig.state("a"), "unloaded");
    assert_eq!(rig.engine.scheduler().entry(rig.key("a")).failures().n_total(), 0);
}
