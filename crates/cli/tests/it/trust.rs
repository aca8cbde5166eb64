//! Files and sockets that another user owns or may change, at any level, are refused by every command.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{UP, World};

const OPEN: &str = "every user of this machine may write to it (mode 777)";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A configuration below a folder whose mode can be changed.
fn configured() -> World {
    let world = World::new();
    std::fs::create_dir_all(world.path("shared/conf")).unwrap();
    world.write("shared/conf/c.toml", world.section("a", UP, "keywords = [\"play\"]"));
    world
}

#[test]
fn a_configuration_that_others_may_replace_is_refused() {
    let world = configured();
    let shared = world.path("shared");
    let config = "shared/conf/c.toml";
    set_mode(&shared, 0o777);
    let folder = shared.display().to_string();
    for words in [&["serve", config][..], &["run", config, "play"], &["plan", config, "play"]] {
        world.run(words).check(1, &[], &["not trusted", &folder, OPEN, "chmod go-w"]);
    }
    world.run(&["check", config]).check(1, &["not trusted", &folder, OPEN, "chmod go-w"], &[]);
    set_mode(&shared, 0o755);
    let server = world.serve(&[config]);
    set_mode(&shared, 0o777);
    let refused = world.run(&["reload"]);
    refused.check(1, &[], &["not trusted", OPEN, "\n  help: run: chmod go-w "]);
    // There, only the owner of a name replaces it.
    set_mode(&shared, 0o1777);
    world.run(&["reload"]).check(0, &[], &[]);
    world.run(&["check", config]).check(0, &[], &[]);
    if chown(&shared, Some(54_321), None).is_ok() {
        let owner = "belongs to user 54321, not to user 0";
        world.run(&["reload"]).check(1, &[], &["not trusted", &folder, owner]);
        chown(&shared, Some(0), None).unwrap();
    } else {
        eprintln!("skipped: only root can give a folder to another user");
    }
    server.stop();
}

#[test]
fn a_command_that_does_not_trust_the_socket_fails_and_sends_nothing() {
    let world = configured();
    set_mode(&world.path("shared"), 0o777);
    let socket = world.path("shared/s.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let socket = socket.to_str().unwrap();
    let ran = world.run(&["--socket", socket, "run", "secret words"]);
    ran.check(1, &[], &["is not trusted", OPEN, "chmod go-w"]);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nothing connected");
}

#[test]
fn state_of_root_is_read_by_commands_that_only_read() {
    let world = configured();
    world.write("rows.tsv", "a\tturn it on\n\tturn it off\n".repeat(4));
    let learned = world.run(&["learn", "rows.tsv", "--state-dir", "state"]);
    assert_eq!(learned.code, Some(0), "{learned:?}");
    let dir = world.path("state");
    let as_stranger = || {
        let mut command = Command::new(world.path("majordomo"));
        command.args(["intents", "--state-dir"]).arg(&dir).arg("turn it on").uid(54_321);
        world.start_as(&mut command, Stdio::null()).end()
    };
    if chown(world.path("rows.tsv"), Some(54_321), None).is_err() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    set_mode(&dir, 0o700);
    as_stranger().check(1, &[], &["Permission denied"]);
    set_mode(&dir, 0o755);
    for name in ["state.redb", "lock"] {
        set_mode(&dir.join(name), 0o644);
    }
    as_stranger().check(0, &["a "], &[]);
}
