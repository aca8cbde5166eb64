//! The budget with real processes and builtins: evictions, waits, and plans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use majordomo::{
    ByteSize, Cause, Component, ComponentSpec, Confidence, EventKind, Factory, HintOutcome,
    HintTier, HolderKind, Manager, Refusal,
};

use crate::eventually::until;
use crate::support::{
    UP, World, changes, config, lease, lease_within, mib, ms, path, run, says, state, status,
    status_when,
};

/// Components of 10 MiB; the margin of 1.2 on first loads makes 12 of each.
async fn manager_of(world: &World, names: &[&str], budget: u64) -> Manager {
    let specs = names.iter().map(|n| world.program(n, UP)).collect();
    world.builder(specs).budget(mib(budget)).start().await.unwrap()
}

#[test]
fn least_recently_used_component_is_evicted_and_leased_ones_are_not() {
    run(async {
        let world = World::new();
        let manager = manager_of(&world, &["a", "b", "c", "d"], 25).await;
        drop(lease(&manager, "a").await.unwrap());
        let held = lease(&manager, "b").await.unwrap();
        drop(lease(&manager, "c").await.unwrap());
        assert_eq!((state(&manager, "a"), state(&manager, "b")), ("unloaded", "ready"));
        let gone = changes(&manager, "a").into_iter().rev().nth(1).unwrap().1;
        assert!(matches!(gone, Cause::EvictedForDemand { .. }), "{gone}");
        let also_held = lease(&manager, "c").await.unwrap();
        // All components are leased: the demand waits, and the refusal names the holders.
        let refusal = lease_within(&manager, "d", Some(ms(100))).await.unwrap_err();
        let Refusal::DeadlineExceeded { holders, missing, .. } = &refusal else {
            panic!("{refusal}");
        };
        assert_eq!(missing[0].as_str(), "d");
        let names: Vec<_> = holders.iter().map(|h| h.component.as_str()).collect();
        assert_eq!(names, ["b", "c"], "{refusal}");
        assert!(holders.iter().all(|h| h.kind == HolderKind::Leased { leases: 1 }), "{refusal}");
        assert!(!held.revoked() && !also_held.revoked());
        // A lease that ends lets the next demand in.
        let (granted, ()) = tokio::join!(lease(&manager, "d"), async {
            until(|| path(&manager, "d").is_empty()).await;
            drop(held);
        });
        drop(granted.unwrap());
        assert_eq!((state(&manager, "b"), state(&manager, "c")), ("unloaded", "ready"));
        assert!(manager.status().await.unwrap().memory.booked <= mib(25));
    });
}

#[test]
fn demand_that_can_never_fit_is_refused_at_once_with_its_numbers() {
    run(async {
        let world = World::new();
        let mut big = world.program("big", UP);
        big.dependencies = vec!["part".parse().unwrap()];
        let part = world.program("part", UP).memory(mib(15));
        let mut core = world.program("core", UP);
        core.pinned = true;
        let small = world.program("small", UP);
        let manager =
            world.builder(vec![big, part, core, small]).budget(mib(20)).start().await.unwrap();
        let refusal = lease(&manager, "big").await.unwrap_err();
        says(&refusal.to_string(), &["30 MiB are needed", "20 MiB can be had"]);
        drop(lease(&manager, "core").await.unwrap());
        let refusal = lease(&manager, "small").await.unwrap_err();
        assert_eq!(refusal.code(), "too_large");
        says(&refusal.to_string(), &["core (10 MiB, pinned)"]);
        let both = manager.acquire_all(&["core", "small"], Default::default()).await.unwrap_err();
        assert_eq!(both.code(), "too_large");
        assert_eq!(state(&manager, "core"), "ready");
    });
}

#[test]
fn plan_predicts_the_loads_and_evictions_of_the_demand() {
    run(async {
        let world = World::new();
        let mut top = world.program("top", UP);
        top.dependencies = vec!["base".parse().unwrap()];
        top.keywords = vec!["compose".to_owned()];
        let mut shy = world.program("shy", UP);
        shy.conflicts = vec!["base".parse().unwrap()];
        let specs = vec![world.program("base", UP), top, shy, world.program("old", UP)];
        let manager = world.builder(specs).budget(mib(36)).start().await.unwrap();
        drop(lease(&manager, "old").await.unwrap());
        drop(lease(&manager, "shy").await.unwrap());
        let plan = manager.plan("please compose a song").await.unwrap();
        assert_eq!(plan.needed[0].id.as_str(), "top");
        assert_eq!(plan.needed[0].evidence[0].keyword, "compose");
        let loads: Vec<_> =
            plan.loads.iter().map(|l| (l.component.as_str(), l.wave, l.bytes)).collect();
        assert_eq!(loads, [("base", 0, mib(12)), ("top", 1, mib(12))]);
        let evicted: Vec<_> =
            plan.evictions.iter().map(|e| (e.component.as_str(), e.conflict)).collect();
        assert_eq!(evicted, [("shy", true)]);
        assert_eq!((plan.wait, plan.refusal), (ms(200), None));
        assert_eq!(state(&manager, "top"), "unloaded", "a plan changes nothing");
        let outcome = manager.command("please compose a song").await;
        assert!(outcome.refusal().is_none() && !outcome.was_hit());
        let states = ["base", "top", "shy", "old"].map(|n| state(&manager, n));
        assert_eq!(states, ["ready", "ready", "unloaded", "ready"]);
        // With the leases out nothing may go: both say so.
        let plan = manager.plan_for(&["shy"]).await.unwrap();
        let held: Vec<_> = plan.holders.iter().map(|h| h.component.as_str()).collect();
        let refusal = lease_within(&manager, "shy", Some(ms(50))).await.unwrap_err();
        match (&plan.refusal, &refusal) {
            (None, Refusal::DeadlineExceeded { .. }) => assert!(!held.is_empty()),
            (Some(planned), refusal) => assert_eq!(planned.code(), refusal.code()),
            (None, other) => panic!("planned to wait for {held:?}, then {other}"),
        }
        drop(outcome);
        let plan = manager.plan_for(&["old", "top"]).await.unwrap();
        assert_eq!((plan.ready.len(), plan.loads.len()), (3, 0));
    });
}

#[test]
fn growth_over_the_budget_is_shown_and_idle_ones_go() {
    struct Growing(Arc<AtomicU64>);
    impl Component for Growing {
        fn footprint(&self) -> Option<ByteSize> {
            Some(mib(self.0.load(Ordering::Relaxed)))
        }
    }
    run(async {
        let world = World::new();
        let size = Arc::new(AtomicU64::new(10));
        let theirs = Arc::clone(&size);
        let mut growing = ComponentSpec::builtin("growing").unwrap();
        growing.memory = mib(10);
        let mut config = config();
        config.memory.relief_back_off = ms(1);
        let manager = world
            .builder(vec![growing, world.program("idle", UP)])
            .config(config)
            .budget(mib(30))
            .factory("growing", Factory::component(move |_| Ok(Growing(Arc::clone(&theirs)))))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "idle").await.unwrap());
        let held = lease(&manager, "growing").await.unwrap();
        size.store(40, Ordering::Relaxed);
        until(|| state(&manager, "idle") == "unloaded").await;
        let memory = manager.status().await.unwrap().memory.clone();
        assert_eq!((memory.booked, memory.overdraft), (mib(40), mib(10)));
        assert_eq!(memory.overdraft_by_kind.growth, mib(10));
        assert!(!held.revoked());
        // In overdraft nothing is preloaded.
        assert!(manager.hint("idle", Confidence::ONE, HintTier::Immediate).unwrap());
        until(|| hint_outcomes(&manager, "idle") == [HintOutcome::Forbidden]).await;
        drop(held);
        until(|| state(&manager, "growing") == "unloaded").await;
        assert_eq!(manager.status().await.unwrap().memory.overdraft.0, 0);
    });
}

fn hint_outcomes(manager: &Manager, name: &str) -> Vec<HintOutcome> {
    let records = manager.operator().why(name).unwrap().into_iter();
    records
        .filter_map(|r| match r.kind {
            EventKind::Hint { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect()
}

#[test]
fn hints_load_into_spare_memory_only() {
    run(async {
        let world = World::new();
        let manager = manager_of(&world, &["a", "b", "c"], 25).await;
        let hint =
            |name, p| manager.hint(name, Confidence::saturating(p), HintTier::Immediate).unwrap();
        drop(lease(&manager, "a").await.unwrap());
        assert!(hint("b", 0.9));
        until(|| state(&manager, "b") == "ready").await;
        assert!(status(&manager, "b").await.speculative);
        assert_eq!(hint_outcomes(&manager, "b"), [HintOutcome::Started]);
        assert!(hint("c", 0.05));
        until(|| hint_outcomes(&manager, "c") == [HintOutcome::BelowFloor]).await;
        // Once used it is no longer speculative; while all are leased nothing is preloaded.
        lease(&manager, "b").await.unwrap().mark_used();
        assert_eq!(status_when(&manager, "b", |s| !s.speculative).await.loads, 1);
        let held = [lease(&manager, "a").await.unwrap(), lease(&manager, "b").await.unwrap()];
        assert!(hint("c", 0.9));
        until(|| hint_outcomes(&manager, "c").last() == Some(&HintOutcome::NoRoom)).await;
        assert_eq!(state(&manager, "c"), "unloaded");
        drop(held);
    });
}

#[test]
fn trigger_in_a_command_preloads_its_component() {
    run(async {
        let world = World::new();
        let mut later = world.program("later", UP);
        later.preload_triggers = vec!["cook".to_owned()];
        let mut now = world.program("now", UP);
        now.keywords = vec!["recipe".to_owned()];
        let manager = world.manager(vec![later, now]).await;
        let outcome = manager.command("a recipe to cook").await;
        assert_eq!(outcome.needed().len(), 1);
        until(|| state(&manager, "later") == "ready").await;
        assert!(status(&manager, "later").await.speculative);
    });
}

#[test]
fn idle_component_is_unloaded_after_its_timeout_and_a_leased_one_is_not() {
    run(async {
        let world = World::new();
        let idle = |name| {
            let mut spec = world.program(name, UP);
            spec.idle_timeout = Some(ms(50));
            spec
        };
        let manager = world.manager(vec![idle("a"), idle("b"), world.program("c", UP)]).await;
        drop(lease(&manager, "c").await.unwrap());
        let held = lease(&manager, "b").await.unwrap();
        drop(lease(&manager, "a").await.unwrap());
        until(|| state(&manager, "a") == "unloaded").await;
        assert!(changes(&manager, "a").iter().any(|c| c.1 == Cause::Idle));
        assert_eq!((state(&manager, "b"), state(&manager, "c")), ("ready", "ready"));
        drop(held);
        until(|| state(&manager, "b") == "unloaded").await;
        assert_eq!(state(&manager, "c"), "ready");
    });
}

#[test]
fn more_than_max_leases_wait_for_one_to_end() {
    run(async {
        let world = World::new();
        let mut spec = world.program("a", UP);
        spec.max_leases = Some(2);
        let manager = world.manager(vec![spec]).await;
        let first = lease(&manager, "a").await.unwrap();
        let second = lease(&manager, "a").await.unwrap();
        let refusal = lease_within(&manager, "a", Some(ms(50))).await.unwrap_err();
        says(&refusal.to_string(), &["waited", "a", "2 leases"]);
        let (third, ()) = tokio::join!(lease(&manager, "a"), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert_eq!(status(&manager, "a").await.leases, 2);
        drop((second, third.unwrap()));
        assert_eq!(status(&manager, "a").await.loads, 1);
    });
}
