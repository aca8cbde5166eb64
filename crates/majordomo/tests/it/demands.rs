//! Demands that share loads, order and conflicts, and the report of a command's outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use majordomo::{
    ComponentSpec, ConflictPolicy, EventKind, Factory, LoaderSpec, Manager, ProbeRule, ProbeSpec,
    ReadySpec, Refusal,
};

use crate::eventually::until;
use crate::support::{
    DEADLINE, UP, World, changes, config, lease, lease_within, ms, path, run, says, state, status,
    status_when,
};

/// A program that appends its start and its end to `log`.
fn logged(world: &World, name: &str, needs: &[&str]) -> ComponentSpec {
    let script = format!(
        "echo +{name} >>log; trap 'echo -{name} >>log; exit 0' TERM; echo up; \
         while :; do sleep 0.05; done"
    );
    let mut spec = world.program(name, &script);
    spec.dependencies = needs.iter().map(|n| n.parse().unwrap()).collect();
    spec
}

/// Becomes ready when the file `go` exists.
const WAITS: &str =
    "echo $$ >>pids; while [ ! -e go ]; do sleep 0.02; done; echo up; exec sleep 1000";

fn position(log: &str, word: &str) -> usize {
    log.lines().position(|l| l == word).unwrap_or_else(|| panic!("no {word} in {log:?}"))
}

#[test]
fn independent_members_of_a_demand_load_side_by_side() {
    run(async {
        let world = World::new();
        // Ready when all three have begun.
        let waits = |name: &str| {
            format!(
                "touch begun-{name}; while [ ! -e begun-a ] || [ ! -e begun-b ] || [ ! -e begun-c ]; \
                 do sleep 0.02; done; {UP}"
            )
        };
        let mut specs: Vec<_> = ["a", "b", "c"].map(|n| world.program(n, &waits(n))).into();
        let mut top = world.program("top", UP);
        top.dependencies = specs.iter().map(|s| s.id.clone()).collect();
        specs.push(top);
        let mut config = config();
        config.loads.max_concurrent = Some(3);
        let manager = world.builder(specs).config(config).start().await.unwrap();
        drop(lease(&manager, "top").await.unwrap());
        manager.shutdown(None).await;
    });
}

#[test]
fn dependencies_load_first_and_unload_last() {
    run(async {
        let world = World::new();
        let specs = vec![
            logged(&world, "top", &["left", "right"]),
            logged(&world, "left", &["base"]),
            logged(&world, "right", &["base"]),
            logged(&world, "base", &[]),
        ];
        let manager = world.manager(specs).await;
        drop(lease(&manager, "top").await.unwrap());
        manager.operator().unload("base", false).await.unwrap();
        let log = world.read("log");
        let at = |word: &str| position(&log, word);
        for side in ["left", "right"] {
            assert!(at("+base") < at(&format!("+{side}")), "{log}");
            assert!(at(&format!("+{side}")) < at("+top"), "{log}");
            assert!(at("-top") < at(&format!("-{side}")), "{log}");
            assert!(at(&format!("-{side}")) < at("-base"), "{log}");
        }
        // A component in use is not unloaded, and the refusal says why.
        let held = lease(&manager, "top").await.unwrap();
        let refusal = manager.operator().unload("base", false).await.unwrap_err();
        assert_eq!(refusal.code(), "in_use");
        says(&refusal.to_string(), &["base", "top", "1 lease", "use force"]);
        drop(held);
    });
}

#[test]
fn failed_dependency_is_named_and_its_dependents_are_not_loaded() {
    run(async {
        let world = World::new();
        let mut top = world.program("top", UP);
        top.dependencies = vec!["base".parse().unwrap()];
        let manager = world.manager(vec![world.program("base", "exit 4"), top]).await;
        let refusal = lease(&manager, "top").await.unwrap_err();
        says(&refusal.to_string(), &["base could not be loaded", "code 4"]);
        assert_eq!(state(&manager, "top"), "unloaded");
    });
}

#[test]
fn conflict_policy_replaces_or_refuses() {
    run(async {
        let world = World::new();
        let mut b = logged(&world, "b", &[]);
        b.conflicts = vec!["a".parse().unwrap()];
        let mut d = logged(&world, "d", &[]);
        d.conflicts = vec!["c".parse().unwrap()];
        d.conflict_policy = ConflictPolicy::Refuse;
        let specs = vec![logged(&world, "a", &[]), b, logged(&world, "c", &[]), d];
        let manager = world.manager(specs).await;
        drop(lease(&manager, "a").await.unwrap());
        drop(lease(&manager, "b").await.unwrap());
        // Conflicts are symmetric.
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(world.read("log"), "+a\n-a\n+b\n-b\n+a\n");
        drop(lease(&manager, "c").await.unwrap());
        let refusal = lease(&manager, "d").await.unwrap_err();
        assert_eq!(refusal.code(), "conflict");
        says(&refusal.to_string(), &["d conflicts with c", "unload c first"]);
        manager.operator().unload("c", false).await.unwrap();
        drop(lease(&manager, "d").await.unwrap());
        let refusal = lease(&manager, "c").await.unwrap_err();
        assert_eq!(refusal.code(), "conflict");
        let both = manager.acquire_all(&["a", "b"], Default::default()).await.unwrap_err();
        assert_eq!(both.code(), "conflict_within");
    });
}

#[test]
fn demand_waits_for_the_leases_of_a_conflicting_component() {
    run(async {
        let world = World::new();
        let mut b = world.program("b", UP);
        b.conflicts = vec!["a".parse().unwrap()];
        let manager = world.manager(vec![world.program("a", UP), b]).await;
        let held = lease(&manager, "a").await.unwrap();
        let refusal = lease_within(&manager, "b", Some(ms(50))).await.unwrap_err();
        says(&refusal.to_string(), &["a"]);
        assert!(!held.revoked());
        assert_eq!(state(&manager, "a"), "ready");
        drop(held);
        drop(lease(&manager, "b").await.unwrap());
        assert_eq!(state(&manager, "a"), "unloaded");
    });
}

#[test]
fn demands_share_one_load_and_an_abandoned_demand_does_not_cancel_it() {
    run(async {
        let world = World::new();
        let manager = world.manager(vec![world.program("a", WAITS)]).await;
        let demand = || {
            let manager = manager.clone();
            tokio::spawn(async move { lease(&manager, "a").await })
        };
        let first = demand();
        until(|| state(&manager, "a") == "loading").await;
        let others: Vec<_> = (0..20).map(|_| demand()).collect();
        // Demands are handled in order: when the last one is over its deadline, the others wait.
        let last = {
            let manager = manager.clone();
            tokio::spawn(async move { lease_within(&manager, "a", Some(ms(50))).await })
        };
        let refusal = last.await.unwrap().unwrap_err();
        assert_eq!(refusal.code(), "deadline_exceeded");
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(state(&manager, "a"), "loading");
        world.write("go", "");
        for other in others {
            drop(other.await.unwrap().unwrap());
        }
        assert_eq!(world.read("pids").lines().count(), 1);
        assert_eq!(status(&manager, "a").await.loads, 1);
    });
}

#[test]
fn load_that_ends_as_its_last_demand_times_out_is_unloaded() {
    // The manager runs only when this thread waits. Then the load has ended, its demand is over its
    // deadline, and a use is to be counted, all at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let mut slow = ComponentSpec::builtin("slow").unwrap();
        slow.on_abandon = majordomo::OnAbandon::Cancel;
        let specs = vec![ComponentSpec::builtin("used").unwrap(), slow];
        let (go, may_end) = std::sync::mpsc::channel::<()>();
        let may_end = std::sync::Mutex::new(may_end);
        let ended = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ended);
        let builder = world.builder(specs).factory("used", Factory::new(|_| Ok(1u8)));
        let builder = builder.factory(
            "slow",
            Factory::new(move |_| {
                may_end.lock().unwrap().recv()?;
                ends.store(true, Ordering::Release);
                Ok(2u8)
            }),
        );
        let manager = builder.start().await.unwrap();
        drop(lease(&manager, "used").await.unwrap());
        let demand = {
            let manager = manager.clone();
            tokio::spawn(async move { lease_within(&manager, "slow", Some(ms(50))).await })
        };
        until(|| state(&manager, "slow") == "loading").await;
        drop(manager.try_acquire::<u8>("used").unwrap());
        go.send(()).unwrap();
        let late = manager.now() + ms(100);
        while !ended.load(Ordering::Acquire) || manager.now() < late {
            std::thread::yield_now();
        }
        let refusal = demand.await.unwrap().unwrap_err();
        assert_eq!(refusal.code(), "deadline_exceeded");
        until(|| state(&manager, "slow") == "unloaded").await;
    });
}

#[test]
fn load_without_waiters_is_cancelled() {
    run(async {
        let world = World::new();
        let mut spec = world.program("a", WAITS);
        spec.on_abandon = majordomo::OnAbandon::Cancel;
        let manager = world.manager(vec![spec]).await;
        let refusal = lease_within(&manager, "a", Some(ms(300))).await.unwrap_err();
        assert_eq!(refusal.code(), "deadline_exceeded");
        until(|| state(&manager, "a") == "unloaded").await;
        assert!(world.processes().is_empty());
        assert_eq!(path(&manager, "a"), ["queued", "loading", "unloading", "unloaded"]);
    });
}

#[test]
fn outcome_reports_needs_hits_and_uses() {
    run(async {
        let world = World::new();
        let spec = |name: &str, keywords: &[&str]| {
            let mut spec = world.program(name, UP);
            spec.keywords = keywords.iter().map(|k| (*k).to_owned()).collect();
            spec
        };
        let specs = vec![
            spec("music", &["play", "some music"]),
            spec("video", &["film"]),
            spec("radio", &["station", "news"]),
            spec("papers", &["news"]),
            spec("tv", &["news"]),
        ];
        let manager = world.manager(specs).await;
        let outcome = manager.command("Play SOME music; no playing around").await;
        let words: Vec<_> =
            outcome.needed()[0].evidence.iter().map(|e| e.keyword.as_str()).collect();
        assert_eq!(words, ["Play", "SOME music"]);
        assert!(!outcome.was_hit() && outcome.waited() > ms(0));
        drop(outcome);
        let outcome = manager.command("play").await;
        assert!(outcome.was_hit());
        assert_eq!(outcome.ready_at_once()[0].as_str(), "music");
        // Three components share a word, which is too little to load one.
        let unsure = manager.command("the news").await;
        assert!(unsure.needed().is_empty() && unsure.leases().is_empty());
        assert_eq!(unsure.candidates().len(), 3);
        assert_eq!(state(&manager, "tv"), "unloaded");
        // Only uses are learned; feedback overrides them.
        assert!(used(&manager).is_empty());
        drop(outcome);
        let outcome = manager.command("play").await;
        outcome.mark_used();
        drop(outcome);
        until(|| used(&manager) == [["music"]]).await;
        let mut outcome = manager.command("play").await;
        outcome.mark_used();
        outcome.feedback(&["music", "video"]).unwrap();
        until(|| used(&manager).len() == 2).await;
        assert_eq!(used(&manager)[1], ["music", "video"]);
        let mut outcome = manager.command("play").await;
        let refusal = outcome.feedback(&["vidoe"]).unwrap_err();
        says(&refusal.to_string(), &["did you mean \"video\"?"]);
        // The outcome is unchanged: it keeps its leases, and feedback still works. A second
        // feedback is no second use.
        assert!(outcome.lease("music").is_some());
        outcome.feedback(&["video"]).unwrap();
        outcome.feedback(&["music"]).unwrap();
        assert!(outcome.lease("music").is_some());
        drop(outcome);
        drop(manager.command("play").await);
        until(|| used(&manager).len() == 3).await;
        assert_eq!(used(&manager)[2], ["video"]);
    });
}

/// The reported uses of commands.
fn used(manager: &Manager) -> Vec<Vec<String>> {
    let mut follower = manager.events(Some(0));
    let mut all = Vec::new();
    while let Some(majordomo::Followed::Record(record)) = follower.try_next() {
        if let EventKind::Observed { used } = record.kind {
            all.push(used.iter().map(|k| manager.name_of(*k).unwrap().to_string()).collect());
        }
    }
    all
}

#[test]
fn cached_handle_follows_its_component_through_reloads() {
    struct Counted;
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![ComponentSpec::builtin("a").unwrap()])
            .factory("a", Factory::new(|_| Ok(Counted)))
            .start()
            .await
            .unwrap();
        let handle = manager.handle_of::<Counted>("a").unwrap();
        assert!(handle.try_acquire().is_none());
        let lease = handle.acquire().await.unwrap();
        assert!(handle.try_acquire().is_some());
        drop(lease);
        manager.operator().unload("a", false).await.unwrap();
        assert!(handle.try_acquire().is_none());
        drop(handle.acquire().await.unwrap());
        assert_eq!(status(&manager, "a").await.loads, 2);
    });
}

/// A program that runs, with a port at which no process listens: every probe fails.
fn failing_its_probes(world: &World, rule: ProbeRule) -> ComponentSpec {
    let mut spec = world.program("a", "echo {port}; echo up; exec sleep 1000");
    if let LoaderSpec::Process(p) = &mut spec.loader {
        let (every, timeout) = (ms(20), ms(20));
        p.probe = Some(ProbeSpec { how: ReadySpec::Connect, every, timeout, rule });
    }
    spec
}

#[test]
fn failed_probes_unload_a_component() {
    run(async {
        let world = World::new();
        let spec = failing_its_probes(&world, ProbeRule::default());
        let mut config = config();
        config.back_off.base = DEADLINE * 100;
        config.back_off.max = DEADLINE * 100;
        let manager = world.builder(vec![spec]).config(config).start().await.unwrap();
        drop(lease(&manager, "a").await.unwrap());
        until(|| state(&manager, "a") == "failed").await;
        let failed = changes(&manager, "a").pop().unwrap().1.to_string();
        says(&failed, &["health probes failed"]);
        let refusal = lease(&manager, "a").await.unwrap_err();
        assert!(matches!(refusal, Refusal::BackingOff { .. }), "{refusal}");
    });
}

#[test]
fn leased_program_that_fails_its_probes_runs_until_its_last_release() {
    run(async {
        let world = World::new();
        let spec = failing_its_probes(&world, ProbeRule { failures: 2, ..ProbeRule::default() });
        let manager = world.manager(vec![spec]).await;
        let lease = lease(&manager, "a").await.unwrap();
        let shown = status_when(&manager, "a", |s| {
            s.probe_failing.as_ref().is_some_and(|p| p.failures > 4)
        })
        .await;
        assert_eq!((shown.state.name(), lease.revoked()), ("ready", false));
        drop(lease);
        until(|| state(&manager, "a") == "failed").await;
    });
}

#[test]
fn lease_reports_why_its_component_has_ended() {
    run(async {
        let world = World::new();
        let manager = world.manager(vec![world.program("a", UP)]).await;
        let lease = lease(&manager, "a").await.unwrap();
        assert_eq!((lease.revoked(), lease.revocation()), (false, None));
        for pid in world.processes() {
            crate::processes::signal(pid, "KILL");
        }
        until(|| lease.revoked()).await;
        let revocation = lease.revocation().unwrap();
        assert!(revocation.ended);
        says(&revocation.to_string(), &["has ended: it was killed by SIGKILL"]);
    });
}

#[test]
fn lease_reports_the_stop_of_its_component_and_then_its_end() {
    run(async {
        let world = World::new();
        // Ends only when the file `go` exists.
        let script = "trap 'while [ ! -e go ]; do sleep 0.05; done; exit 0' TERM; echo up; \
                      while :; do sleep 0.05; done";
        let manager = world.manager(vec![world.program("a", script)]).await;
        let lease = lease(&manager, "a").await.unwrap();
        let unloads = {
            let manager = manager.clone();
            tokio::spawn(async move { manager.operator().unload("a", true).await })
        };
        until(|| lease.revoked()).await;
        let words = lease.revocation().unwrap().to_string();
        assert_eq!(words, "is being stopped: an operator requested it");
        world.write("go", "");
        unloads.await.unwrap().unwrap();
        assert_eq!(lease.revocation().unwrap().to_string(), "has ended: an operator requested it");
    });
}
