//! Programs that misbehave: each ends in a clear error or a working component, never in a hang or
//! an orphan.

use majordomo::{
    ComponentState, LoaderSpec, Manager, Priority, Refusal, RestartPolicy, TrimSignal, TrimSpec,
};

use crate::eventually::until;
use crate::processes::signal;
use crate::support::{
    DEADLINE, STUBBORN, UP, World, changes, config, lease, ms, path, run, says, state, status,
};

/// The refusal of a component that cannot be loaded.
async fn failure(manager: &Manager, name: &str) -> String {
    match lease(manager, name).await {
        Err(refusal @ Refusal::LoadFailed { .. }) => refusal.to_string(),
        other => panic!("expected a failed load, not {other:?}"),
    }
}

#[test]
fn missing_executable_is_named_with_component_and_remedy() {
    run(async {
        let world = World::new();
        let specs = vec![
            world.command("ears", &["no-such-program-anywhere", "--listen"]),
            world.command("eyes", &["./eyes"]),
            world.command("nose", &["./nose"]),
        ];
        world.write("nose", "no program");
        let mut config = config();
        config.back_off.base = DEADLINE * 100;
        config.back_off.max = DEADLINE * 100;
        let manager =
            world.builder(specs).base_dir(world.path("")).config(config).start().await.unwrap();
        let text = failure(&manager, "ears").await;
        says(&text, &["ears", "\"no-such-program-anywhere\"", "install it or correct the command"]);
        says(&failure(&manager, "eyes").await, &["eyes", "eyes\"", "correct the command"]);
        says(&failure(&manager, "nose").await, &["nose\" cannot be run", "chmod"]);
        // A second demand at once is refused with the time of the next attempt, and no program is
        // started.
        let again = lease(&manager, "ears").await.unwrap_err();
        assert!(matches!(again, Refusal::BackingOff { .. }), "{again}");
        says(&again.to_string(), &["ears", "may be tried again in"]);
        assert_eq!(path(&manager, "ears"), ["queued", "loading", "failed"]);
        says(&status(&manager, "ears").await.cause, &["no-such-program-anywhere"]);
    });
}

#[test]
fn program_that_exits_at_once_is_reported_with_code_and_last_output() {
    run(async {
        let world = World::new();
        let script = "echo no model file >&2; exit 3";
        let manager = world.manager(vec![world.program("a", script)]).await;
        let text = failure(&manager, "a").await;
        says(&text, &["a could not be loaded", "/bin/sh", "ended with code 3", "no model file"]);
        assert_eq!(status(&manager, "a").await.booked.0, 0);
    });
}

#[test]
fn program_that_never_becomes_ready_is_killed_at_its_load_deadline() {
    run(async {
        let world = World::new();
        let mut spec = world.program("a", "trap '' TERM; echo starting; while :; do sleep 1; done");
        spec.load_deadline = Some(ms(200));
        spec.stop_deadline = Some(ms(100));
        let manager = world.manager(vec![spec]).await;
        let text = failure(&manager, "a").await;
        says(&text, &["a could not be loaded", "load_deadline"]);
        until(|| state(&manager, "a") == "failed").await;
        assert!(world.processes().is_empty());
        let logs = manager.operator().logs("a", 0, 10).unwrap();
        assert_eq!(&*logs.lines[0].text, "starting");
    });
}

#[test]
fn flood_on_stdout_is_bounded_and_delays_no_other_component() {
    run(async {
        let world = World::new();
        let flood = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
        let mut before = world.program("before", flood);
        before.load_deadline = Some(ms(300));
        before.stop_deadline = Some(ms(100));
        let after = world.program("after", &format!("echo up; {flood}"));
        let manager = world.manager(vec![before, after, world.program("b", UP)]).await;
        let flooding = lease(&manager, "after").await.unwrap();
        let text = failure(&manager, "before").await;
        assert!(text.len() < 10_000, "{} bytes", text.len());
        drop(lease(&manager, "b").await.unwrap());
        until(|| {
            manager
                .operator()
                .logs("after", 0, 1)
                .unwrap()
                .lines
                .first()
                .is_some_and(|l| l.number > 0)
        })
        .await;
        let logs = manager.operator().logs("after", 0, usize::MAX).unwrap();
        assert!(logs.lines.len() < 100_000, "{} lines are kept", logs.lines.len());
        drop(flooding);
        manager.operator().unload("after", false).await.unwrap();
        assert_eq!(state(&manager, "after"), "unloaded");
    });
}

#[test]
fn program_that_ignores_term_is_killed_at_its_stop_deadline() {
    run(async {
        let world = World::new();
        let mut spec = world.program("a", STUBBORN);
        spec.stop_deadline = Some(ms(100));
        let manager = world.manager(vec![spec]).await;
        drop(lease(&manager, "a").await.unwrap());
        assert!(!world.processes().is_empty());
        manager.operator().unload("a", false).await.unwrap();
        assert_eq!(path(&manager, "a"), ["queued", "loading", "ready", "unloading", "unloaded"]);
        assert!(world.processes().is_empty());
        assert_eq!(manager.status().await.unwrap().memory.booked.0, 0);
    });
}

#[test]
fn unload_ends_when_every_child_of_the_program_has_ended() {
    run(async {
        let world = World::new();
        let script = "sleep 1000 & (trap '' TERM; echo up; while :; do sleep 1; done) & wait";
        let mut spec = world.program("a", script);
        spec.stop_deadline = Some(ms(100));
        let manager = world.manager(vec![spec]).await;
        drop(lease(&manager, "a").await.unwrap());
        assert!(world.processes().len() >= 3, "{:?}", world.processes());
        manager.operator().unload("a", false).await.unwrap();
        assert!(world.processes().is_empty());
    });
}

#[test]
fn exit_of_the_leader_ends_the_component_and_its_children() {
    run(async {
        let world = World::new();
        let script = "sleep 1000 & echo up; while [ ! -e leave ]; do sleep 0.05; done";
        let manager = world.manager(vec![world.program("a", script)]).await;
        drop(lease(&manager, "a").await.unwrap());
        world.write("leave", "");
        until(|| state(&manager, "a") == "unloaded").await;
        says(&status(&manager, "a").await.cause, &["it ended by itself (exit code 0)"]);
        assert!(world.processes().is_empty());
    });
}

#[test]
fn program_killed_while_loading_fails_its_waiters_at_once() {
    run(async {
        let world = World::new();
        let script = "echo $$ >pid; sleep 1000";
        let manager = world.manager(vec![world.program("a", script)]).await;
        let kill = async {
            until(|| world.read("pid").ends_with('\n')).await;
            assert!(signal(world.read("pid").trim().parse().unwrap(), "KILL"));
        };
        let (text, other, ()) = tokio::join!(failure(&manager, "a"), failure(&manager, "a"), kill);
        says(&text, &["a could not be loaded", "was killed by SIGKILL"]);
        assert_eq!(text, other);
        until(|| state(&manager, "a") == "failed").await;
    });
}

#[test]
fn program_killed_while_leased_revokes_leases_and_reloads_on_demand() {
    run(async {
        let world = World::new();
        let mut spec = world.program("a", "echo $$ >pid; echo up; exec sleep 1000");
        spec.restart = RestartPolicy::OnDemand;
        let mut top = world.program("top", UP);
        top.dependencies = vec![spec.id.clone()];
        let mut config = config();
        config.back_off.base = ms(200);
        let manager = world.builder(vec![spec, top]).config(config).start().await.unwrap();
        let leases = (lease(&manager, "a").await.unwrap(), lease(&manager, "top").await.unwrap());
        assert!(signal(world.read("pid").trim().parse().unwrap(), "KILL"));
        until(|| leases.0.revoked() && leases.1.revoked()).await;
        // The dependent is unloaded when its lease ends.
        drop(leases);
        until(|| state(&manager, "a") == "failed" && state(&manager, "top") == "unloaded").await;
        says(&status(&manager, "a").await.cause, &["was killed by SIGKILL"]);
        // The demand waits for the back-off, which ends long before its deadline.
        drop(lease(&manager, "top").await.unwrap());
        assert_eq!(status(&manager, "a").await.loads, 2);
    });
}

#[test]
fn core_component_restarts_with_its_failed_dependency() {
    run(async {
        let world = World::new();
        let base = world.program("base", "echo $$ >pid; echo up; exec sleep 1000");
        let mut top = world.program("top", UP);
        top.priority = Priority::Core;
        top.dependencies = vec![base.id.clone()];
        let mut config = config();
        config.back_off.base = ms(50);
        let manager = world.builder(vec![base, top]).config(config).start().await.unwrap();
        until(|| state(&manager, "top") == "ready").await;
        assert!(signal(world.read("pid").trim().parse().unwrap(), "KILL"));
        until(|| path(&manager, "top").iter().filter(|s| **s == "ready").count() == 2).await;
        let lost = changes(&manager, "top").into_iter().find(|c| c.0 == ComponentState::UNLOADED);
        says(&lost.unwrap().1.to_string(), &["base, which it depends on", "was killed by SIGKILL"]);
        assert_eq!(status(&manager, "top").await.failures, 0);
    });
}

#[test]
fn restart_policy_decides_after_a_crash() {
    run(async {
        let world = World::new();
        let script = |name: &str| format!("echo $$ >{name}; echo up; exec sleep 1000");
        let mut always = world.program("always", &script("always"));
        always.restart = RestartPolicy::Always;
        let mut never = world.program("never", &script("never"));
        never.restart = RestartPolicy::Never;
        let mut config = config();
        config.back_off.base = ms(20);
        let manager = world.builder(vec![always, never]).config(config).start().await.unwrap();
        for name in ["always", "never"] {
            drop(lease(&manager, name).await.unwrap());
            assert!(signal(world.read(name).trim().parse().unwrap(), "KILL"));
        }
        until(|| path(&manager, "always").iter().filter(|s| **s == "ready").count() == 2).await;
        until(|| matches!(state(&manager, "never"), "quarantined" | "failed")).await;
        let refused = lease(&manager, "never").await.unwrap_err();
        says(&refused.to_string(), &["never"]);
        // An operator may load it.
        manager.operator().load("never").await.unwrap();
        assert_eq!(state(&manager, "never"), "ready");
    });
}

#[test]
fn regular_exit_after_use_is_no_failure() {
    run(async {
        let world = World::new();
        let script =
            |code: u8| format!("echo up; while [ ! -e leave ]; do sleep 0.05; done; exit {code}");
        let mut config = config();
        config.quarantine.failures = 1;
        let mut own_code = world.program("own_code", &script(3));
        own_code.exit_ok = vec![0, 3];
        let once = "if [ -e began ]; then echo up; exec sleep 1000; fi; : > began; echo up; \
             until [ -e leave ]; do sleep 0.05; done";
        let mut always = world.program("always", once);
        always.restart = RestartPolicy::Always;
        let specs = vec![
            world.program("clean", &script(0)),
            own_code,
            world.program("bad", &script(4)),
            always,
        ];
        let manager = world.builder(specs).config(config).start().await.unwrap();
        for name in ["clean", "own_code", "bad", "always"] {
            drop(lease(&manager, name).await.unwrap());
        }
        world.write("leave", "");
        until(|| state(&manager, "bad") == "quarantined").await;
        for (name, code) in [("clean", 0), ("own_code", 3)] {
            until(|| state(&manager, name) == "unloaded").await;
            let status = status(&manager, name).await;
            says(&status.cause, &[&format!("it ended by itself (exit code {code})")]);
            assert_eq!(status.failures, 0, "{name}");
        }
        until(|| path(&manager, "always").iter().filter(|s| **s == "ready").count() == 2).await;
    });
}

#[test]
fn repeated_failures_quarantine_a_component_until_an_operator_loads_it() {
    run(async {
        let world = World::new();
        let script = "[ -e good ] || exit 1; echo up; exec sleep 1000";
        let mut config = config();
        config.back_off.base = ms(1);
        config.back_off.max = ms(1);
        config.quarantine.failures = 2;
        let builder = world.builder(vec![world.program("a", script)]).config(config);
        let manager = builder.start().await.unwrap();
        let mut refusals = Vec::new();
        while state(&manager, "a") != "quarantined" {
            refusals.push(lease(&manager, "a").await.unwrap_err().code());
        }
        assert_eq!(refusals.iter().filter(|c| **c == "load_failed").count(), 2, "{refusals:?}");
        let refusal = lease(&manager, "a").await.unwrap_err();
        assert_eq!(refusal.code(), "quarantined");
        says(
            &refusal.to_string(),
            &["a failed too often", "`majordomo load a`", "ends the quarantine"],
        );
        world.write("good", "");
        manager.operator().load("a").await.unwrap();
        drop(lease(&manager, "a").await.unwrap());
    });
}

#[test]
fn loader_that_is_not_compiled_in_is_named_in_the_refusal() {
    run(async {
        let world = World::new();
        world.write("c.json", r#"{"vision": {"priority": "LOW", "intent_keywords": ["see"]}}"#);
        let manager = world.manager_of_file("c.json").await;
        let outcome = manager.command("what do you see").await;
        let refusal = outcome.refusal().unwrap();
        assert_eq!(refusal.code(), "load_failed");
        says(&refusal.to_string(), &["vision", "python loader not in this build"]);
    });
}

#[test]
fn trim_is_refused_when_the_request_does_not_reach_the_program() {
    run(async {
        let world = World::new();
        let handles = "trap 'echo trimmed' USR1; echo up; while :; do sleep 0.05; done";
        let specs = [("able", handles), ("deaf", UP)].map(|(name, script)| {
            let mut spec = world.program(name, script);
            if let LoaderSpec::Process(p) = &mut spec.loader {
                p.trim = Some(TrimSpec::Signal(TrimSignal::Usr1));
            }
            spec
        });
        let manager = world.builder(specs.to_vec()).start().await.unwrap();
        for name in ["able", "deaf"] {
            drop(lease(&manager, name).await.unwrap());
        }
        manager.operator().trim("able").await.unwrap();
        // Only Linux reports which signals a program handles; on other systems the signal is sent.
        if cfg!(target_os = "linux") {
            let refusal = manager.operator().trim("deaf").await.unwrap_err();
            assert_eq!(refusal.code(), "trim_failed");
            says(&refusal.to_string(), &["deaf could not be asked to trim", "does not handle it"]);
            assert_eq!(state(&manager, "deaf"), "ready");
        }
    });
}
