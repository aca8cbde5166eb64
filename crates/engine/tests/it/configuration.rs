//! Changes of the configuration while components run.

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
fn changed_component_restarts_when_idle_drains_when_leased_and_is_tuned_in_place() {
    let newer = |s: &mut ComponentSpec| s.version = "2".to_owned();
    let mut rig = Rig::new(vec![spec("idle"), spec("leased"), spec("tuned")], 1000);
    for name in ["idle", "leased", "tuned"] {
        rig.make_ready(name);
    }
    assert!(rig.take("leased"));
    let tuned = with(spec("tuned"), |s| {
        (s.idle_timeout, s.idle_park) = (Some(seconds(9.0)), Some(seconds(5.0)));
    });
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
fn demand_for_a_removed_component_is_refused() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.make_ready("a");
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
fn removed_component_is_not_loaded_for_demands_that_share_its_load() {
    let specs = || {
        vec![
            spec("base"),
            with(spec("x"), |s| s.dependencies = vec![id("base")]),
            with(spec("old"), |s| s.memory = ByteSize::mib(300)),
        ]
    };
    let mut rig = Rig::new(specs(), 300);
    rig.make_ready("old");
    rig.wait(seconds(3.0));
    let (first, second) = (rig.demand(&["base"]), rig.demand(&["x"]));
    assert_eq!(rig.states(&["base", "old"]), ["queued", "unloading"]);
    configure(&mut rig, vec![with(spec("old"), |s| s.memory = ByteSize::mib(300))], vec![], 300);
    assert_eq!((rig.answered(first), rig.answered(second)), ("removed", "removed"));
    rig.settle();
    assert!(rig.loading().is_empty());
}

#[test]
fn pools_are_matched_by_name_when_their_order_changes() {
    let red = |name| with(spec(name), |s: &mut ComponentSpec| s.pool = Arc::from("red"));
    let specs = || vec![red("a"), spec("b"), red("c")];
    let (one, two) = (pool("red", 150), pool("blue", 500));
    let mut rig = Rig::with_pools(specs(), vec![one.clone(), two.clone()], 1000, config());
    rig.make_ready("a");
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
fn second_change_keeps_the_running_spec_of_a_draining_component() {
    let moved = |s: &mut ComponentSpec| s.pool = Arc::from("ml");
    let mut rig = Rig::new(vec![spec("a")], 1000);
    rig.make_ready("a");
    assert!(rig.take("a"));
    configure(&mut rig, vec![with(spec("a"), moved)], vec![], 1000);
    let tuned = with(with(spec("a"), moved), |s| s.idle_timeout = Some(seconds(60.0)));
    configure(&mut rig, vec![tuned], vec![], 1000);
    let key = rig.key("a");
    let running = rig.engine.scheduler().entry(key).spec().cloned().expect("the component runs");
    assert_eq!(&*running.pool, "general");
    rig.give_back("a");
    rig.settle();
    assert_eq!(rig.state("a"), "ready");
}

#[test]
fn changed_memory_and_conflicts_apply_to_admitted_demands() {
    let old = || with(spec("old"), |s| s.memory = ByteSize::mib(300));
    let mut rig = Rig::new(vec![spec("a"), spec("b"), old()], 300);
    rig.make_ready("old");
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
fn new_lease_limit_reloads_the_component() {
    let mut rig = Rig::new(vec![spec("a")], 100);
    rig.make_ready("a");
    configure(&mut rig, vec![with(spec("a"), |s| s.max_leases = Some(1))], vec![], 100);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn smaller_budget_is_overdraft_until_enough_is_evicted() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 200);
    rig.make_ready("a");
    rig.make_ready("b");
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
