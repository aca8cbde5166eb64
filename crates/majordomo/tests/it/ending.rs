//! The end: shutdown by hand and by dropping, what it refuses, and what it leaves behind.

use majordomo::{ByteSize, LoadStage, Manager, Priority, StageTime, StatusValue, StdinMode};

use crate::eventually::{eventually, until};
use crate::support::{
    DEADLINE, STUBBORN, UP, World, config, lease, lease_within, ms, path, run, says, state, status,
};

#[test]
fn shutdown_takes_everything_down_and_refuses_what_comes() {
    run(async {
        let world = World::new();
        let mut top = world.program("top", UP);
        top.dependencies = vec!["base".parse().unwrap()];
        let mut core = world.program("core", UP);
        core.priority = Priority::Core;
        let manager = world.manager(vec![world.program("base", UP), top, core]).await;
        until(|| state(&manager, "core") == "ready").await;
        drop(lease(&manager, "top").await.unwrap());
        assert_eq!(world.processes().len(), 3);
        assert!(manager.shutdown(None).await.is_empty());
        assert!(world.processes().is_empty());
        for name in ["top", "base", "core"] {
            assert_eq!(state(&manager, name), "unloaded");
        }
        assert_eq!(lease(&manager, "top").await.unwrap_err().code(), "shutting_down");
        assert_eq!(manager.operator().load("top").await.unwrap_err().code(), "shutting_down");
        assert_eq!(manager.plan("x").await.unwrap_err().code(), "shutting_down");
        assert_eq!(manager.status().await.unwrap_err().code(), "shutting_down");
        let outcome = manager.command("hello").await;
        assert!(outcome.needed().is_empty());
        // Once more does no harm.
        assert!(manager.shutdown(None).await.is_empty());
    });
}

#[test]
fn shutdown_revokes_leases_and_kills_what_does_not_stop() {
    run(async {
        let world = World::new();
        let mut stubborn = world.program("stubborn", STUBBORN);
        stubborn.stop_deadline = Some(DEADLINE * 100);
        let manager = world.manager(vec![stubborn, world.program("a", UP)]).await;
        let held = lease(&manager, "a").await.unwrap();
        drop(lease(&manager, "stubborn").await.unwrap());
        assert!(manager.shutdown(Some(ms(2_000))).await.is_empty());
        assert!(held.revoked());
        assert!(world.processes().is_empty());
    });
}

#[test]
fn second_shutdown_shortens_the_first() {
    run(async {
        let world = World::new();
        let mut stubborn = world.program("stubborn", STUBBORN);
        stubborn.stop_deadline = Some(DEADLINE * 100);
        let manager = world.manager(vec![stubborn]).await;
        drop(lease(&manager, "stubborn").await.unwrap());
        let first = manager.clone();
        // By itself this one would outlast the test.
        let first = tokio::spawn(async move { first.shutdown(Some(DEADLINE * 100)).await });
        until(|| state(&manager, "stubborn") == "unloading").await;
        let began = manager.now();
        assert!(manager.shutdown(None).await.is_empty());
        assert!(first.await.unwrap().is_empty());
        // At once, so far as a busy machine can; not at the end of some deadline.
        assert!(manager.now().since(began) < DEADLINE, "{:?}", manager.now().since(began));
        assert!(world.processes().is_empty());
    });
}

#[test]
fn waiting_demands_and_loads_end_with_the_manager() {
    run(async {
        let world = World::new();
        let specs = vec![world.program("a", "sleep 1000"), world.program("b", UP)];
        let manager = world.manager(specs).await;
        let waits = manager.clone();
        let waits = tokio::spawn(async move { lease(&waits, "a").await });
        until(|| state(&manager, "a") == "loading").await;
        assert!(manager.shutdown(Some(ms(2_000))).await.is_empty());
        assert_eq!(waits.await.unwrap().unwrap_err().code(), "shutting_down");
        assert!(world.processes().is_empty());
    });
}

#[test]
fn dropping_the_last_manager_shuts_everything_down() {
    run(async {
        let world = World::new();
        let mut stubborn = world.program("stubborn", STUBBORN);
        stubborn.stop_deadline = Some(ms(100));
        let mut config = config();
        config.deadlines.shutdown = ms(500);
        let builder = world.builder(vec![world.program("a", UP), stubborn]).config(config);
        let manager = builder.start().await.unwrap();
        let state_dir = manager.state_dir().to_owned();
        let clone = manager.clone();
        drop(lease(&manager, "stubborn").await.unwrap());
        drop(manager);
        // A clone keeps it up; so does nothing else.
        let held = lease(&clone, "a").await.unwrap();
        assert!(world.processes().len() >= 2);
        drop(clone);
        until(|| world.processes().is_empty()).await;
        assert!(held.revoked());
        until(|| !state_dir.exists()).await;
    });
}

#[test]
fn guard_kills_programs_when_the_runtime_is_dropped_first() {
    let world = World::new();
    run(async {
        let manager = world.manager(vec![world.program("a", STUBBORN)]).await;
        let held = lease(&manager, "a").await.unwrap();
        // Neither shut down nor dropped in order: the guard alone is left to see to it.
        std::mem::forget((manager, held));
    });
    eventually(DEADLINE, "the guard's work", || world.processes().is_empty());
}

#[test]
fn measured_figures_survive_a_restart() {
    run(async {
        let world = World::new();
        let spec = || world.program("a", UP);
        let start = || world.builder(vec![spec()]).state_dir(world.path("state")).start();
        let manager = start().await.unwrap();
        assert_eq!(manager.plan_for(&["a"]).await.unwrap().loads[0].bytes, ByteSize::mib(12));
        drop(lease(&manager, "a").await.unwrap());
        let learned = status(&manager, "a").await;
        assert!(learned.load_peak.is_some_and(|p| p.0 > 0 && p < ByteSize::mib(10)), "{learned:?}");
        manager.shutdown(None).await;
        // The directory is free again, and the figures are there before the first load.
        let manager = start().await.unwrap();
        let now = status(&manager, "a").await;
        assert_eq!((now.load_peak, now.loads), (learned.load_peak, 0));
        assert!(now.load_time.is_some());
        let plan = manager.plan_for(&["a"]).await.unwrap();
        assert_eq!(plan.loads[0].bytes, ByteSize::mib(10), "as declared, without the margin");
        manager.shutdown(None).await;
        // Of another configuration they say nothing.
        let other = world.builder(vec![spec().version("2")]);
        let manager = other.state_dir(world.path("state")).start().await.unwrap();
        assert_eq!(manager.plan_for(&["a"]).await.unwrap().loads[0].bytes, ByteSize::mib(12));
        manager.shutdown(None).await;
    });
}

#[test]
fn load_stages_survive_a_restart_and_belong_to_their_configuration() {
    run(async {
        let world = World::new();
        let start = |version: &str| {
            let spec = world.program("a", UP).version(version);
            world.builder(vec![spec]).state_dir(world.path("state")).start()
        };
        let manager = start("1").await.unwrap();
        assert!(status(&manager, "a").await.load_stages.is_empty());
        drop(lease(&manager, "a").await.unwrap());
        let learned = status(&manager, "a").await.load_stages;
        let stages: Vec<_> = learned.iter().map(|s| s.stage).collect();
        assert_eq!(stages, [LoadStage::Spawn, LoadStage::FirstOutput, LoadStage::Ready]);
        assert!(learned.iter().all(|s| s.last == Some(s.learned)), "{learned:?}");
        manager.shutdown(None).await;

        let manager = start("1").await.unwrap();
        let kept = status(&manager, "a").await.load_stages;
        let micros = |times: &[StageTime]| -> Vec<_> {
            times.iter().map(|s| (s.stage, s.learned.as_micros())).collect()
        };
        assert_eq!(micros(&kept), micros(&learned));
        assert!(kept.iter().all(|s| s.last.is_none()), "{kept:?}");
        manager.shutdown(None).await;

        let manager = start("2").await.unwrap();
        assert!(status(&manager, "a").await.load_stages.is_empty());
        manager.shutdown(None).await;
    });
}

/// The number of components whose files are known, once it is `n`.
#[cfg(target_os = "linux")]
async fn n_learned_files(manager: &Manager, n: u64) -> u64 {
    let known = std::cell::Cell::new(0);
    let looks = async {
        loop {
            let sections = manager.status().await.unwrap().sections.clone();
            let name = "components with learned files";
            let row = sections["read_ahead"].iter().find(|(row, _)| row == name);
            if let Some((_, StatusValue::Count(n))) = row {
                known.set(*n);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = until(|| known.get() == n) => known.get(),
        () = looks => 0,
    }
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_a_program_are_learned_and_read_ahead_after_a_restart() {
    run(async {
        let world = World::new();
        let declared = world.write("declared.bin", &"x".repeat(200 << 10));
        let start = || {
            let spec = world.program("a", UP).files(["declared.*"]);
            let builder = world.builder(vec![spec]).base_dir(declared.parent().unwrap());
            builder.state_dir(world.path("state")).start()
        };
        let manager = start().await.unwrap();
        drop(lease(&manager, "a").await.unwrap());
        // The files are looked for beside the load.
        assert_eq!(n_learned_files(&manager, 1).await, 1);
        manager.shutdown(None).await;

        let manager = start().await.unwrap();
        assert_eq!(n_learned_files(&manager, 1).await, 1);
        drop(lease(&manager, "a").await.unwrap());
        let sections = manager.status().await.unwrap().sections.clone();
        let row = |name: &str| sections["read_ahead"].iter().any(|(known, _)| known == name);
        assert!(row("for demanded loads") && row("useful") && row("wasted"), "{sections:?}");
        manager.shutdown(None).await;
    });
}

#[test]
fn corrupt_state_file_is_set_aside_and_the_manager_starts() {
    run(async {
        let world = World::new();
        let start = || world.builder(vec![world.program("a", UP)]).state_dir(world.path("state"));
        start().start().await.unwrap().shutdown(None).await;
        let files = || {
            let entries = std::fs::read_dir(world.path("state")).unwrap();
            entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect::<Vec<_>>()
        };
        let redb = files().into_iter().find(|p| p.extension().is_some_and(|e| e == "redb"));
        std::fs::write(redb.unwrap(), "garbage").unwrap();
        let before = files().len();
        let manager = start().start().await.unwrap();
        drop(lease(&manager, "a").await.unwrap());
        manager.shutdown(None).await;
        assert!(files().len() > before, "the corrupt file is kept: {:?}", files());
    });
}

#[test]
fn failed_core_component_leaves_the_others_in_service() {
    run(async {
        let world = World::new();
        let core = |name, script: &str| world.program(name, script).priority(Priority::Core);
        let specs = vec![core("bad", "exit 1"), core("good", UP), world.program("a", UP)];
        let manager = world.manager(specs).await;
        until(|| state(&manager, "good") == "ready" && state(&manager, "bad") == "failed").await;
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(path(&manager, "good"), ["queued", "loading", "ready"]);
        says(&status(&manager, "bad").await.cause, &["ended with code 1"]);
    });
}

#[test]
fn programs_that_leave_at_the_end_of_their_input_can_be_held() {
    run(async {
        let world = World::new();
        let script = "echo up; cat; echo left";
        let mut held = world.program("held", script);
        if let majordomo::LoaderSpec::Process(p) = &mut held.loader {
            p.stdin = StdinMode::Hold;
        }
        let manager = world.manager(vec![held, world.program("empty", script)]).await;
        drop(lease(&manager, "held").await.unwrap());
        drop(lease_within(&manager, "empty", None).await);
        until(|| state(&manager, "empty") == "unloaded").await;
        assert_eq!(state(&manager, "held"), "ready");
    });
}
