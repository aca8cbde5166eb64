//! New configurations under running components.

use std::sync::Arc;

use majordomo_core::ByteSize;
use majordomo_engine::Input;
use majordomo_registry::{Catalog, ComponentSpec, PoolSpec};

use crate::rig::{Rig, config, id, seconds, spec, with};

fn configure(rig: &mut Rig, specs: Vec<ComponentSpec>, pools: Vec<PoolSpec>, budget_mib: u64) {
    let catalog = Catalog::build(specs, pools, Some(rig.engine.catalog())).expect("a good catalog");
    rig.input(Input::Configure {
        catalog: Arc::new(catalog),
        config: Box::new(config()),
        budget: ByteSize::mib(budget_mib),
    });
}

fn pool(name: &str, budget_mib: u64) -> PoolSpec {
    PoolSpec { name: Arc::from(name), budget: Some(ByteSize::mib(budget_mib)), declared: false }
}

#[test]
fn idle_restarts_leased_waits_and_managing_changes_in_place() {
    let newer = |s: &mut ComponentSpec| s.version = "2".to_owned();
    let mut rig = Rig::new(vec![spec("idle"), spec("leased"), spec("tuned")], 1000);
    for name in ["idle", "leased", "tuned"] {
        rig.have(name);
    }
    assert!(rig.take("leased"));
    let tuned = with(spec("tuned"), |s| s.idle_timeout = Some(seconds(9.0)));
    configure(
        &mut rig,
        vec![with(spec("idle"), newer), with(spec("leased"), newer), tuned],
        vec![],
        1000,
    );
    let names = ["idle", "leased", "tuned"];
    assert_eq!(rig.states(&names), ["unloading", "draining", "ready"]);
    rig.settle();
    assert_eq!(rig.states(&names), ["ready", "draining", "ready"]);
    rig.give_back("leased");
    rig.settle();
    assert_eq!(rig.states(&names), ["ready"; 3]);
    rig.wait(seconds(9.1));
    assert_eq!(rig.state("tuned"), "unloading");
}

#[test]
fn a_removed_component_goes_and_is_refused() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.have("a");
    rig.wait(seconds(3.0));
    assert!(rig.take("a"));
    let waits = rig.demand(&["b"]);
    let b = rig.key("b");
    configure(&mut rig, vec![spec("a")], vec![], 100);
    assert_eq!(rig.answered(waits), "removed");
    let waiter = rig.waiter();
    rig.input(Input::Demand {
        waiter,
        keys: vec![b],
        priority: None,
        deadline: None,
        partial: false,
    });
    assert_eq!(rig.answered(waiter), "removed");
}

#[test]
fn what_is_removed_is_not_loaded_for_those_who_counted_on_it() {
    let specs = || {
        vec![
            spec("base"),
            with(spec("x"), |s| s.dependencies = vec![id("base")]),
            with(spec("old"), |s| s.memory = ByteSize::mib(300)),
        ]
    };
    let mut rig = Rig::new(specs(), 300);
    rig.have("old");
    rig.wait(seconds(3.0));
    let (first, second) = (rig.demand(&["base"]), rig.demand(&["x"]));
    assert_eq!(rig.states(&["base", "old"]), ["queued", "unloading"]);
    configure(&mut rig, vec![with(spec("old"), |s| s.memory = ByteSize::mib(300))], vec![], 300);
    assert_eq!((rig.answered(first), rig.answered(second)), ("removed", "removed"));
    rig.settle();
    assert!(rig.loading().is_empty());
}

#[test]
fn pools_are_known_by_name_whatever_their_order() {
    let red = |name| with(spec(name), |s: &mut ComponentSpec| s.pool = Arc::from("red"));
    let specs = || vec![red("a"), spec("b"), red("c")];
    let (one, two) = (pool("red", 150), pool("blue", 500));
    let mut rig = Rig::with_pools(specs(), vec![one.clone(), two.clone()], 1000, config());
    rig.have("a");
    assert!(rig.take("a"));
    rig.wait(seconds(3.0));
    configure(&mut rig, specs(), vec![two, one], 1000);
    let status = rig.engine.status(rig.now);
    let booked = |name: &str| {
        status.memory.pools.iter().find(|p| &*p.name == name).map(|p| p.booked.as_mib_f64())
    };
    assert_eq!((booked("red"), booked("blue")), (Some(100.0), Some(0.0)));
    let w = rig.demand(&["c"]);
    assert_eq!(rig.answered(w), "waits", "red is full");
}

#[test]
fn a_second_change_leaves_what_drains_by_the_first_alone() {
    let moved = |s: &mut ComponentSpec| s.pool = Arc::from("ml");
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.have("a");
    assert!(rig.take("a"));
    configure(&mut rig, vec![with(spec("a"), moved)], vec![], 1000);
    let tuned = with(with(spec("a"), moved), |s| s.idle_timeout = Some(seconds(60.0)));
    configure(&mut rig, vec![tuned], vec![], 1000);
    let key = rig.key("a");
    let running = rig.engine.scheduler().entry(key).spec().cloned().expect("it runs");
    assert_eq!(&*running.pool, "general");
    rig.give_back("a");
    rig.settle();
    assert_eq!(rig.state("a"), "ready");
}

#[test]
fn new_bytes_and_new_conflicts_are_seen_by_what_was_admitted() {
    let old = || with(spec("old"), |s| s.memory = ByteSize::mib(300));
    let mut rig = Rig::new(vec![spec("a"), spec("b"), old()], 300);
    rig.have("old");
    rig.wait(seconds(3.0));
    let (a, b) = (rig.demand(&["a"]), rig.demand(&["b"]));
    let larger = with(spec("a"), |s| {
        s.memory = ByteSize::mib(200);
        s.conflicts = vec![id("b")];
    });
    configure(&mut rig, vec![larger, spec("b"), old()], vec![], 300);
    rig.unloaded("old");
    assert_eq!((rig.is_loading("a"), rig.is_loading("b")), (true, false));
    assert_eq!(rig.engine.budget().booked(), ByteSize::mib(200));
    rig.loaded("a");
    assert_eq!((rig.answered(a), rig.answered(b)), ("granted", "waits"));
}

#[test]
fn a_limit_of_leases_that_is_new_means_a_reload() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.have("a");
    configure(&mut rig, vec![with(spec("a"), |s| s.max_leases = Some(1))], vec![], 100);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn a_smaller_budget_is_overdraft_until_enough_has_gone() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 200);
    rig.have("a");
    rig.have("b");
    rig.wait(seconds(3.0));
    configure(&mut rig, vec![spec("a"), spec("b")], vec![], 100);
    assert_eq!(rig.engine.budget().overdraft(), ByteSize::mib(100));
    for _ in 0..10 {
        rig.wait(seconds(1.0));
        rig.settle();
    }
    let ready = rig.states(&["a", "b"]).iter().filter(|s| **s == "ready").count();
    assert_eq!((ready, rig.engine.budget().overdraft()), (1, ByteSize::ZERO));
}
