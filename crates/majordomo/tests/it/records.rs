//! Records of the manager: events without gaps, counted gaps for slow followers, `why` with causes.

use majordomo::{Cause, ComponentSpec, EventKind, Factory, Followed};

use crate::eventually::until;
use crate::support::{DEADLINE, UP, World, changes, lease, mib, run, says, state};

#[test]
fn events_are_in_order_and_without_gaps() {
    run(async {
        let world = World::new();
        let manager = world.manager(vec![world.program("a", UP)]).await;
        let mut follower = manager.events(Some(0));
        drop(lease(&manager, "a").await.unwrap());
        manager.operator().unload("a", false).await.unwrap();
        let mut states = Vec::new();
        let mut next = 0;
        while states.last() != Some(&"unloaded") {
            let Some(Followed::Record(record)) = follower.next().await else { panic!("a gap") };
            assert_eq!(record.seq, next);
            next += 1;
            if let EventKind::State { to, component, .. } = record.kind {
                assert_eq!(manager.name_of(component).unwrap().as_str(), "a");
                states.push(to.name());
            }
        }
        assert_eq!(states, ["queued", "loading", "ready", "unloading", "unloaded"]);
        // A new follower gets no earlier events; its wait ends with the manager.
        let mut late = manager.events(None);
        assert_eq!(late.try_next(), None);
        manager.shutdown(None).await;
        drop(manager);
        let read_on = async { while late.next().await.is_some() {} };
        tokio::time::timeout(DEADLINE, read_on)
            .await
            .expect("the last event is followed by the end");
    });
}

#[test]
fn slow_follower_gets_the_number_of_missed_events() {
    run(async {
        let world = World::new();
        let spec = ComponentSpec::builtin("a").unwrap();
        let manager = world
            .builder(vec![spec])
            .factory("a", Factory::new(|_| Ok(1u8)))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "a").await.unwrap());
        let mut slow = manager.events(Some(0));
        let mut newest = manager.events(None);
        let sent = 5000u64;
        for _ in 0..sent {
            manager.operator().trim("a").await.unwrap();
        }
        let mut seen = 0;
        while seen < sent {
            seen += match newest.next().await.unwrap() {
                Followed::Record(_) => 1,
                Followed::Gap(n) => n,
            };
        }
        let Some(Followed::Gap(missed)) = slow.next().await else { panic!("no gap") };
        let Some(Followed::Record(first)) = slow.next().await else { panic!("a second gap") };
        assert!(missed >= sent - 4096, "{missed}");
        assert_eq!(first.seq, missed);
    });
}

#[test]
fn why_names_the_cause_of_every_change() {
    run(async {
        let world = World::new();
        let mut b = world.program("b", UP);
        b.conflicts = vec!["a".parse().unwrap()];
        let specs = vec![world.program("a", UP), b, world.program("c", "exit 1")];
        let manager = world.manager(specs).await;
        drop(lease(&manager, "a").await.unwrap());
        drop(lease(&manager, "b").await.unwrap());
        lease(&manager, "c").await.unwrap_err();
        let causes: Vec<_> = changes(&manager, "a").into_iter().map(|c| c.1).collect();
        assert!(matches!(causes[0], Cause::Demand { .. }), "{causes:?}");
        assert_eq!(causes[2..], [Cause::LoadFinished, Cause::Replaced, Cause::UnloadFinished]);
        says(&changes(&manager, "c").pop().unwrap().1.to_string(), &["its load failed", "code 1"]);
        let refused = manager.operator().why("c").unwrap().into_iter().any(|r| {
            matches!(r.kind, EventKind::Refused { refusal, .. } if refusal.code() == "load_failed")
        });
        assert!(refused);
    });
}

#[test]
fn pin_blocks_eviction_and_forced_unload_revokes_leases() {
    run(async {
        let world = World::new();
        let specs = ["a", "b"].map(|n| world.program(n, UP)).into();
        let manager = world.builder(specs).budget(mib(13)).start().await.unwrap();
        manager.operator().load("a").await.unwrap();
        assert!(changes(&manager, "a").iter().any(|c| c.0.name() == "ready"));
        manager.operator().pin("a", true).await.unwrap();
        let refusal = lease(&manager, "b").await.unwrap_err();
        says(&refusal.to_string(), &["a (10 MiB, pinned)"]);
        assert_eq!(manager.operator().unload("a", false).await.unwrap_err().code(), "in_use");
        manager.operator().pin("a", false).await.unwrap();
        drop(lease(&manager, "b").await.unwrap());
        until(|| state(&manager, "a") == "unloaded").await;
        // Force does not wait for leases.
        let held = lease(&manager, "b").await.unwrap();
        assert_eq!(manager.operator().unload("b", false).await.unwrap_err().code(), "in_use");
        manager.operator().unload("b", true).await.unwrap();
        assert!(held.revoked());
        assert_eq!(state(&manager, "b"), "unloaded");
    });
}
