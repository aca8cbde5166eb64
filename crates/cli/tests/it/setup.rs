//! `setup`: the script that is printed, and what runs with `--yes`, by tools that only record that they were called.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::World;

/// Puts recording tools before the real ones, one of which may fail.
fn with_tools(world: &World, failing: &str) -> String {
    for tool in ["fallocate", "dd", "mkswap", "swapon", "btrfs"] {
        let code = i32::from(tool == failing);
        let text =
            format!("#!/bin/sh\necho {tool} \"$@\" >> typed\necho broken >&2\nexit {code}\n");
        world.write(tool, text);
        let path = world.path(tool);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", world.mark(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn script_is_printed_with_how_to_keep_and_undo_it() {
    let world = World::new();
    let ran = world.run(&["setup", "swap", "--size", "64MiB", "--file", "s.swap"]);
    // No other failure is one of the machine.
    if ran.err.contains("which cannot hold a swap file") || ran.err.contains("do not fit: ") {
        eprintln!("skipped: no swap file can be made here: {}", ran.err);
        return;
    }
    let undo =
        ["mkswap /", "swapon /", "/etc/fstab", "# to undo it: swapoff /", "s.swap && rm -- /"];
    ran.check(0, &undo, &[]);
    assert!(!world.path("s.swap").exists(), "nothing runs without --yes");
    let ran = world.run(&["--json", "setup", "swap", "--size", "64MiB", "--file", "s.swap"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((value["ran"].as_bool(), value["commands"].is_array()), (Some(false), true));
    world.write("s.swap", "");
    world.run(&["setup", "swap", "--file", "s.swap"]).check(1, &[], &["exists; remove it"]);
    world.run(&["setup", "swap", "--size", "much"]).check(2, &[], &["300MiB"]);
}

#[test]
fn commands_are_run_with_yes_and_a_failed_one_leaves_no_file() {
    let world = World::new();
    for (failing, code) in [("swapon", 1), ("", 0)] {
        let path = with_tools(&world, failing);
        let words = ["setup", "swap", "--size", "64MiB", "--file", "s.swap", "--yes"];
        let mut command = std::process::Command::new(world.path("majordomo"));
        let running = world.start_as(command.args(words).env("PATH", path), Stdio::null());
        let ran = running.end();
        if ran.err.contains("needs root") || ran.err.contains("cannot hold a swap file") {
            eprintln!("skipped: {}", ran.err);
            return;
        }
        let part: &[&str] = if code == 0 { &[] } else { &["s.swap` failed: broken"] };
        ran.check(code, if code == 0 { &["done", "swap now:"] } else { &[] }, part);
        assert_eq!(world.path("s.swap").exists(), code == 0);
    }
    let typed = world.read("typed");
    assert!(typed.contains("mkswap /") && typed.contains("swapon /"), "{typed}");
}
