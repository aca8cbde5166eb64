//! `serve` as it is run for real: its socket, its state directory, its signals, and what goes wrong around it.

use crate::support::{UP, World};

fn configured() -> World {
    let world = World::new();
    world.write("c.toml", world.section("a", UP, "keywords = [\"play\"]"));
    world
}

#[test]
fn a_second_server_is_refused_with_the_pid_of_the_first() {
    let world = configured();
    let first = world.serve(&["c.toml", "--state-dir", "state"]);
    let pid = format!("pid {}", first.pid());
    world.run(&["serve", "c.toml"]).check(1, &[], &["belongs to a running server", &pid]);
    let words = ["serve", "c.toml", "--socket", "other.sock", "--state-dir", "state"];
    world.run(&words).check(1, &[], &["state directory", "is in use", &pid]);
    world.run(&["status"]).check(0, &[&pid], &[]);
    first.stop().check(0, &[], &[]);
    assert!(!world.path("other.sock").exists());
}

#[test]
fn a_socket_that_was_left_behind_is_taken_over() {
    let world = configured();
    let mut killed = world.serve(&["c.toml"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(world.socket().exists(), "nobody could tidy up");
    world.run(&["status"]).check(4, &[], &["no server listens at"]);
    let server = world.serve(&["c.toml"]);
    world.run(&["status"]).check(0, &["a     unloaded"], &[]);
    let ran = server.stop();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
