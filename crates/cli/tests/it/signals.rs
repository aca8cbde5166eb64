//! Signals to the manager: a graceful end, an immediate one, and a SIGKILL that leaves no process behind.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::eventually::eventually;
use crate::support::{DEADLINE, Running, STUBBORN, UP, World};

/// A run that has its component up and waits for more commands.
fn up<'a>(world: &'a World, words: &[&str]) -> Running<'a> {
    let mut running = world.start(words, Stdio::piped());
    running.child.stdin.as_mut().unwrap().write_all(b"play\n").unwrap();
    running.says("waited");
    running
}

#[test]
fn interrupts_end_gracefully() {
    let world = World::new();
    let script = "trap 'echo bye >>bye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let slow = world.section("slow", "sleep 1000", "keywords = [\"wait\"]");
    let polite = world.section("polite", script, "keywords = [\"play\"]");
    world.write("c.toml", format!("{polite}{slow}"));
    for (n, name) in ["INT", "TERM"].into_iter().enumerate() {
        let mut running = up(&world, &["run", "c.toml"]);
        // In the middle of a command that waits for a load.
        running.child.stdin.as_mut().unwrap().write_all(b"wait\n").unwrap();
        eventually(DEADLINE, "the load", || world.components().len() >= 3);
        running.signal(name);
        let ran = running.end();
        ran.check(0, &["commands   1"], &["interrupted; stopping"]);
        assert_eq!(world.read("bye").lines().count(), n + 1);
        assert!(world.processes().is_empty(), "all is down when the program ends");
    }
}

#[test]
fn a_shutdown_has_a_deadline() {
    let world = World::new();
    let manager = "[manager]\nshutdown_deadline = \"2s\"\nstop_deadline = \"1h\"\n";
    world.write(
        "c.toml",
        manager.to_owned() + &world.section("a", STUBBORN, "keywords = [\"play\"]"),
    );
    let running = up(&world, &["run", "c.toml"]);
    running.signal("TERM");
    running.end().check(0, &["commands   1"], &[]);
    assert!(world.processes().is_empty());
}

#[test]
fn second_interrupt_stops_at_once() {
    let world = World::new();
    let manager = "[manager]\nshutdown_deadline = \"1h\"\nstop_deadline = \"1h\"\n";
    let script = "trap 'echo term >term' TERM; echo up; while :; do sleep 0.05; done";
    world
        .write("c.toml", manager.to_owned() + &world.section("a", script, "keywords = [\"play\"]"));
    let running = up(&world, &["run", "c.toml"]);
    running.signal("INT");
    eventually(DEADLINE, "the polite request", || !world.read("term").is_empty());
    running.signal("TERM");
    running.end().check(0, &["commands   1"], &["interrupt again to stop at once"]);
    assert!(world.processes().is_empty());
}

#[test]
fn a_manager_that_is_killed_leaves_nothing_and_starts_again() {
    let world = World::new();
    let children = "sleep 1000 & (trap '' TERM; echo up; while :; do sleep 1; done) & wait";
    let top = world.section("top", UP, "keywords = [\"play\"]\ndependencies = [\"base\"]");
    let base = world.section("base", children, "keywords = [\"hum\"]\nstop_deadline = \"200ms\"");
    let loads = world.section("loads", "sleep 1000", "lazy_init = false");
    world.write("c.toml", format!("{base}{top}{loads}"));
    let words = ["run", "c.toml", "--state-dir", "state"];
    world.run_with(&words, b"play\n").check(0, &[], &[]);
    let learned = || {
        let ran = world.run(&["plan", "c.toml", "hum", "--state-dir", "state", "--json"]);
        ran.check(0, &[], &[]);
        ran.json()[0]["loads"][0]["bytes"].as_u64().unwrap()
    };
    let before = learned();
    assert!(before < 12 << 20);
    let mut killed = up(&world, &words);
    eventually(DEADLINE, "all three", || world.components().len() >= 5);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    eventually(Duration::from_secs(2), "the guard's work", || world.processes().is_empty());
    assert!(learned() >= before, "figures survive");
    world.run_with(&words, b"play\nplay\n").check(0, &["commands   2", "hit"], &[]);
}

#[test]
fn manager_and_guard_killed_together_are_swept_up_by_the_next_start() {
    let world = World::new();
    world.write("c.toml", world.section("a", STUBBORN, "keywords = [\"play\"]"));
    let words = ["run", "c.toml", "--state-dir", "state"];
    let mut killed = up(&world, &words);
    let manager = i32::try_from(killed.child.id()).unwrap();
    let guards = crate::processes::running(&world.path("majordomo"));
    if guards.len() < 2 {
        // Only on Linux can the guard's process be identified.
        return;
    }
    for guard in guards.into_iter().filter(|pid| *pid != manager) {
        // Stopped first, so that it cannot do its work in between.
        assert!(crate::processes::signal(guard, "STOP"));
        killed.child.kill().unwrap();
        killed.child.wait().unwrap();
        assert!(crate::processes::signal(guard, "KILL"));
    }
    assert!(!world.components().is_empty(), "no process is left to end it");
    world.run(&["run", "c.toml", "hello", "--state-dir", "state"]).check(0, &[], &[]);
    assert!(world.components().is_empty());
}
