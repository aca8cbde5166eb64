//! Reloads of the configuration while components run.

use majordomo::{Cause, ComponentId, Manager, ReloadError};

use crate::eventually::until;
use crate::support::{UP, World, changes, lease, lease_within, mib, ms, run, says, state, status};

const FAST: &str = "[manager]\nbudget = \"1000MiB\"\nrelief_back_off = \"1ms\"\n";

fn names(ids: &[ComponentId]) -> Vec<&str> {
    ids.iter().map(ComponentId::as_str).collect()
}

async fn manager_of(world: &World, text: &str) -> Manager {
    world.write("c.toml", text);
    world.manager_of_file("c.toml").await
}

#[test]
fn reload_adds_changes_and_removes_components() {
    run(async {
        let world = World::new();
        let section = |name: &str, more: &str| world.section(name, UP, more);
        let text = [
            FAST.to_owned(),
            section("same", ""),
            section("changed", "version = \"1\""),
            section("words", ""),
            section("removed", ""),
        ];
        let manager = manager_of(&world, &text.concat()).await;
        for name in ["same", "changed", "words", "removed"] {
            drop(lease(&manager, name).await.unwrap());
        }
        let text = [
            FAST.to_owned(),
            section("same", ""),
            section("changed", "version = \"2\""),
            section("words", "keywords = [\"hello\"]"),
            section("added", "keywords = [\"bonjour\"]"),
        ];
        world.write("c.toml", &text.concat());
        let reloaded = manager.operator().reload().await.unwrap();
        assert_eq!(names(&reloaded.added), ["added"]);
        assert_eq!(names(&reloaded.removed), ["removed"]);
        assert_eq!(names(&reloaded.changed), ["changed", "words"]);
        // A changed idle component restarts, one with new keywords only stays, and a removed one is
        // unloaded.
        until(|| state(&manager, "removed") == "unloaded").await;
        until(|| path_has(&manager, "changed", 2)).await;
        assert_eq!((state(&manager, "same"), state(&manager, "words")), ("ready", "ready"));
        assert_eq!(status(&manager, "same").await.loads, 1);
        assert_eq!(status(&manager, "words").await.loads, 1);
        assert!(manager.command("hello").await.was_hit());
        assert_eq!(manager.command("bonjour").await.needed()[0].id.as_str(), "added");
        let refusal = lease(&manager, "removed").await.unwrap_err();
        says(&refusal.to_string(), &["removed"]);
        assert!(matches!(refusal.code(), "removed" | "unknown_component"), "{refusal}");
    });
}

#[test]
fn changed_template_changes_each_component_that_inherits_it() {
    run(async {
        let world = World::new();
        let text = |version: &str| {
            // The command and the mark of the helper's section, in a template.
            let section = world.section("x", UP, "");
            let template = section.replace("[components.x]", "[templates.t]");
            let other = world.section("other", UP, "");
            format!(
                "{FAST}{template}version = \"{version}\"\n[components.a]\ntemplate = \"t\"\n\
                 [components.b]\ntemplate = \"t\"\n[components.own]\ntemplate = \"t\"\nversion = \"7\"\n{other}"
            )
        };
        let manager = manager_of(&world, &text("1")).await;
        for name in ["a", "b", "own", "other"] {
            drop(lease(&manager, name).await.unwrap());
        }
        world.write("c.toml", &text("2"));
        let reloaded = manager.operator().reload().await.unwrap();
        assert_eq!(names(&reloaded.changed), ["a", "b"]);
        until(|| path_has(&manager, "a", 2) && path_has(&manager, "b", 2)).await;
        assert_eq!((state(&manager, "own"), state(&manager, "other")), ("ready", "ready"));
        assert_eq!(status(&manager, "own").await.loads, 1);
    });
}

/// Whether a component became ready `times` times.
fn path_has(manager: &Manager, name: &str, times: usize) -> bool {
    crate::support::path(manager, name).iter().filter(|s| **s == "ready").count() == times
}

#[test]
fn changed_leased_component_is_stale_until_its_last_release() {
    run(async {
        let world = World::new();
        let text = |a: &str, b: &str| {
            let a = world.section("a", &format!("echo {a} >>log; {UP}"), "");
            format!("{FAST}{a}{b}")
        };
        let b = world.section("b", UP, "");
        let manager = manager_of(&world, &text("one", &b)).await;
        let first = lease(&manager, "a").await.unwrap();
        let second = lease(&manager, "a").await.unwrap();
        let removed = lease(&manager, "b").await.unwrap();
        world.write("c.toml", &text("two", ""));
        manager.operator().reload().await.unwrap();
        until(|| state(&manager, "a") == "draining" && state(&manager, "b") == "draining").await;
        assert!(status(&manager, "a").await.stale);
        assert!(!first.revoked(), "a new configuration revokes no lease");
        // New demands wait for the new incarnation.
        let refusal = lease_within(&manager, "a", Some(ms(50))).await.unwrap_err();
        assert_eq!(refusal.code(), "deadline_exceeded");
        drop(first);
        assert_eq!(state(&manager, "a"), "draining");
        drop(second);
        drop(removed);
        until(|| state(&manager, "b") == "unloaded").await;
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(world.read("log"), "one\ntwo\n");
        assert!(changes(&manager, "a").iter().any(|c| c.1 == Cause::ConfigChanged));
        assert!(!status(&manager, "a").await.stale);
    });
}

#[test]
fn invalid_file_changes_nothing() {
    run(async {
        let world = World::new();
        let good = format!("{FAST}{}", world.section("a", UP, "keywords = [\"hello\"]"));
        let manager = manager_of(&world, &good).await;
        let held = lease(&manager, "a").await.unwrap();
        for (text, part) in [
            ("[components.b\n", "error"),
            ("[components.b]\ncommand = [\"x\"]\nconflicts = [\"b\"]\n", "conflicts with itself"),
            ("[manager]\nbudget = \"-1GiB\"\n", "-1GiB"),
        ] {
            world.write("c.toml", text);
            let error = manager.operator().reload().await.unwrap_err().to_string();
            says(&error, &["c.toml:", part]);
        }
        std::fs::remove_file(world.path("c.toml")).unwrap();
        says(
            &manager.operator().reload().await.unwrap_err().to_string(),
            &["c.toml", "cannot read"],
        );
        assert_eq!(manager.components().len(), 1);
        assert!(!status(&manager, "a").await.stale && !held.revoked());
        assert!(manager.command("hello").await.was_hit());
    });
}

#[test]
fn reload_of_a_manager_without_a_file_is_refused() {
    run(async {
        let world = World::new();
        let manager = world.manager(vec![]).await;
        assert!(matches!(manager.operator().reload().await, Err(ReloadError::NoFile)));
    });
}

#[test]
fn smaller_budget_evicts_idle_components_and_waits_for_leased_ones() {
    run(async {
        let world = World::new();
        let components = ["a", "b", "c"].map(|n| world.section(n, UP, "")).concat();
        let manager = manager_of(&world, &format!("{FAST}{components}")).await;
        let held = lease(&manager, "a").await.unwrap();
        drop(lease(&manager, "b").await.unwrap());
        drop(lease(&manager, "c").await.unwrap());
        // The budget holds one and a half components.
        world.write("c.toml", &format!("{}{components}", FAST.replace("1000MiB", "18MiB")));
        manager.operator().reload().await.unwrap();
        until(|| state(&manager, "b") == "unloaded" && state(&manager, "c") == "unloaded").await;
        assert!(changes(&manager, "b").iter().any(|c| c.1 == Cause::Overdraft));
        assert!(!held.revoked());
        let memory = manager.status().await.unwrap().memory.clone();
        assert_eq!((memory.booked, memory.overdraft), (mib(10), mib(0)));
        // A budget below the bookings of two leased components is an overdraft until one is
        // released.
        world.write("c.toml", &format!("{FAST}{components}"));
        manager.operator().reload().await.unwrap();
        let other = lease(&manager, "c").await.unwrap();
        world.write("c.toml", &format!("{}{components}", FAST.replace("1000MiB", "19MiB")));
        manager.operator().reload().await.unwrap();
        let memory = manager.status().await.unwrap().memory.clone();
        assert_eq!((memory.overdraft, memory.overdraft_by_kind.config), (mib(1), mib(1)));
        assert_eq!(state(&manager, "a"), "ready");
        assert!(!held.revoked());
        let refusal = lease_within(&manager, "b", Some(ms(50))).await.unwrap_err();
        says(&refusal.to_string(), &["a"]);
        drop(held);
        until(|| state(&manager, "a") == "unloaded").await;
        assert!(!other.revoked());
        assert_eq!(manager.status().await.unwrap().memory.overdraft, mib(0));
    });
}

#[test]
fn added_core_component_loads_at_once() {
    run(async {
        let world = World::new();
        let manager = manager_of(&world, FAST).await;
        let core = world.section("core", UP, "priority = \"CORE\"");
        let eager = world.section("eager", UP, "lazy_init = false");
        world.write("c.toml", &format!("{FAST}{core}{eager}"));
        manager.operator().reload().await.unwrap();
        until(|| state(&manager, "core") == "ready" && state(&manager, "eager") == "ready").await;
        let refusal = manager.operator().unload("core", false).await.unwrap_err();
        says(&refusal.to_string(), &["core", "CORE"]);
    });
}

#[test]
fn dropping_the_last_manager_uses_the_shutdown_deadline_in_force() {
    run(async {
        let world = World::new();
        let text = |deadline: &str| {
            format!("{FAST}shutdown_deadline = \"{deadline}\"\n{}", world.section("a", UP, ""))
        };
        let manager = manager_of(&world, &text("30days")).await;
        let held = lease(&manager, "a").await.unwrap();
        world.write("c.toml", &text("200ms"));
        manager.operator().reload().await.unwrap();
        drop(manager);
        until(|| held.revoked() && world.processes().is_empty()).await;
    });
}
