//! Text of every kind that is read: byte order marks, line ends, other encodings; and empty environment variables.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{UP, World};

fn configured() -> World {
    let world = World::new();
    world.write("c.toml", world.section("lamp", UP, "keywords = [\"lamp\"]"));
    world
}

/// As editors of other systems write it: UTF-16 with a byte order mark.
fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const UTF16: &str = "the text is UTF-16 (little-endian), not UTF-8; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8";

#[test]
fn byte_order_mark_and_carriage_returns_are_no_part_of_any_text() {
    let world = configured();
    let toml = world.read("c.toml");
    world.write("w.toml", format!("\u{feff}{}", toml.replace('\n', "\r\n")));
    world.run(&["check", "w.toml"]).check(0, &["ok w.toml"], &[]);
    world.write("w.tsv", "\u{feff}lamp\tturn it on\r\nlamp\tturn it off\r\n");
    let learn = ["learn", "w.tsv", "--state-dir", "state", "--config", "w.toml"];
    world.run(&learn).check(0, &["learned  2 lines"], &[]);
    world.write("token", "\u{feff}0123456789abcdef\r\n");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("token"), private).unwrap();
    let server = world.serve(&["w.toml", "--tcp", "127.0.0.1:0", "--token-file", "token"]);
    let input = "\u{feff}lamp\r\n\r\nlamp\r\n";
    let expected = "> lamp\n  waited";
    world.run_with(&["run"], input.as_bytes()).check(0, &[expected, "> lamp\n  hit"], &[]);
    world.run_with(&["run", "w.toml"], input.as_bytes()).check(0, &[expected], &[]);
    let ran = world.run_with(&["intents", "w.toml"], input.as_bytes());
    ran.check(0, &["> lamp\nneeds    lamp"], &[]);
    assert!(!ran.out.contains("feff"), "{ran:?}");
    server.stop();
}

#[test]
fn other_encodings_are_refused_by_name_in_every_text() {
    let world = configured();
    let toml = world.read("c.toml");
    world.write("w.toml", utf16(&toml));
    let way_out = "help: save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8";
    let expected =
        ["w.toml: error[not-utf8]: the text is UTF-16 (little-endian), not UTF-8", way_out];
    world.run(&["check", "w.toml"]).check(1, &expected, &[]);
    world.run(&["serve", "w.toml"]).check(1, &[], &expected);
    world.write("w.tsv", utf16("lamp\tturn it on\n"));
    let learn = ["learn", "w.tsv", "--state-dir", "state"];
    world.run(&learn).check(1, &[], &[&format!("w.tsv:1: {UTF16}")]);
    let replay = ["replay", "w.tsv", "--budget", "1GiB"];
    world.run(&replay).check(1, &[], &["w.tsv", "line 1", UTF16]);
    world.write("token", utf16("0123456789abcdef"));
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("token"), private).unwrap();
    let tcp = ["serve", "c.toml", "--tcp", "127.0.0.1:0", "--token-file", "token"];
    world.run(&tcp).check(1, &[], &["\"token\": ", UTF16]);
    let server = world.serve(&["c.toml"]);
    let expected = format!("standard input: {UTF16}");
    for words in
        [&["run"] as &[&str], &["run", "c.toml"], &["intents", "c.toml"], &["demo", "--lines"]]
    {
        let ran = world.run_with(words, &utf16("lamp\nlamp\n"));
        ran.check(1, &[], &[&expected]);
        assert_eq!(ran.err.matches("UTF-16 (").count(), 1, "{ran:?}");
    }
    world.run_with(&["--json", "intents", "c.toml"], &utf16("lamp\n")).check(
        1,
        &[],
        &[&format!("{{\"error\":\"{expected}\",\"exit\":1}}")],
    );
    server.stop();
}

#[test]
fn line_that_is_not_utf8_is_named_and_the_next_is_read() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let expected = "standard input: line 2: byte 4 of the line, 0xE9, is not UTF-8 (in Windows-1252 it is \"é\")";
    for words in [&["run"] as &[&str], &["run", "c.toml"], &["intents", "c.toml"]] {
        let ran = world.run_with(words, b"hello\ncaf\xe9\nlamp\n");
        ran.check(1, &["> hello", "> lamp"], &[expected]);
        assert!(!ran.out.contains("caf"), "{ran:?}");
    }
    server.stop();
}

#[test]
fn empty_environment_variable_is_one_that_is_not_set() {
    let world = configured();
    let run = |name: &str, words: &[&str]| {
        let program = world.path("majordomo");
        let mut command = Command::new("/usr/bin/env");
        // After what the world sets.
        command.arg(format!("{name}=")).arg(program).args(words);
        world.start_as(&mut command, Stdio::null()).end()
    };
    let socket = world.socket().display().to_string();
    run("MAJORDOMO_SOCKET", &["status"]).check(4, &[], &[&socket]);
    run("TMPDIR", &["run", "c.toml", "lamp"]).check(0, &["> lamp\n  waited"], &[]);
    world.write("p.toml", "[components.a]\nmemory = \"1MiB\"\ncommand = [\"sleep\", \"1000\"]\n");
    let ran = run("PATH", &["check", "p.toml"]);
    ran.check(0, &["ok p.toml"], &[]);
    assert!(!ran.out.contains("no program"), "{ran:?}");
    let ran = run("RUST_LOG", &["run", "c.toml", "lamp"]);
    ran.check(0, &[], &[]);
    let ran = run("XDG_RUNTIME_DIR", &["status"]);
    ran.check(4, &[], &["majordomo.sock"]);
}

#[test]
fn log_filter_that_cannot_be_read_is_named() {
    let world = configured();
    let mut command = Command::new("/usr/bin/env");
    command.arg("RUST_LOG=a=b=c").arg(world.path("majordomo")).args(["check", "c.toml"]);
    world.start_as(&mut command, Stdio::null()).end().check(0, &[], &["RUST_LOG is \"a=b=c\""]);
}
