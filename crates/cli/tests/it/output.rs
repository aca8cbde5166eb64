//! Standard output that fails or is closed, and text of others that would act on a terminal.

use std::io::{BufRead, BufReader, Write};

use crate::support::{UP, World};

/// `play` loads `music`.
fn configured() -> World {
    let world = World::new();
    let music = world.section("music", UP, "keywords = [\"play\", \"स\u{902}गीत\"]");
    world.write("c.toml", music);
    world
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_exit_1_with_a_message() {
    let world = configured();
    let check = |words: &[&str]| {
        let ran = world.start_into("/dev/full", words).end();
        ran.check(1, &[], &["error: standard output cannot be written: No space left"]);
        assert_eq!(ran.err.matches("error:").count(), 1, "{words:?}: {}", ran.err);
    };
    for words in [
        &["check", "c.toml"] as &[&str],
        &["check", "c.toml", "--json"],
        &["plan", "c.toml", "play"],
        &["memory", "c.toml"],
        &["run", "c.toml", "play"],
        &["intents", "c.toml", "play"],
        &["schema"],
        &["completions", "bash"],
        &["service", "print", "systemd", "c.toml"],
        &["--help"],
        &["--version"],
        // Its days would take half a minute.
        &["demo"],
    ] {
        check(words);
    }
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    for words in [
        &["status"] as &[&str],
        &["status", "--watch"],
        &["load", "music"],
        &["run", "play"],
        &["logs", "music", "--follow"],
        &["events"],
        &["state", "export"],
    ] {
        check(words);
    }
    server.stop().check(0, &[], &[]);
}

#[test]
fn command_ends_at_once_and_quietly_when_its_reader_ends() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    world.run(&["load", "music"]).check(0, &[], &[]);
    for (words, input) in [
        // Its input stays open all the time.
        (&["run", "c.toml"] as &[&str], "play\n"),
        (&["run"], "play\n"),
        (&["intents", "c.toml"], "play\n"),
        (&["demo", "--lines"], "play some music\n"),
        // Nothing more happens that could be written.
        (&["logs", "music", "--follow"], ""),
        (&["events", "--follow", "--last", "1"], ""),
        (&["status", "--watch", "--every", "1min"], ""),
        (&["lease", "music"], ""),
    ] {
        let mut running = world.start_piped(words);
        let mut stdin = running.child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        let mut out = BufReader::new(running.child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{words:?}: {}", running.err());
        drop(out);
        let ran = running.end();
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
        assert!(!ran.err.contains("error"), "{words:?}: {}", ran.err);
        drop(stdin);
    }
    server.stop().check(0, &[], &[]);
}

/// Output of a component that would clear the screen, set the title, colour the next lines and reverse the text.
const NOISE: &str = r"printf '\033[2J\033]0;title\007\033[31mred \302\233 \342\200\256rtl \340\244\270\340\244\202\n'";

#[test]
fn text_of_a_component_does_not_act_on_the_terminal() {
    let world = World::new();
    let bad = world.section("bad", &format!("{NOISE}; exit 3"), "");
    let loud = world.section("loud", &format!("{NOISE}; {UP}"), "");
    world.write("c.toml", format!("{bad}{loud}"));
    let server = world.serve(&["c.toml", "-v"]);
    let quoted = "\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{1b}[31mred \\u{9b} \\u{202e}rtl स\u{902}";
    // That no ESC stands in any output is checked wherever a run ends.
    let check = |code: i32, words: &[&str], part: &str| {
        let ran = world.run(words);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let text = format!("{}{}", ran.out, ran.err);
        assert!(text.contains(part), "{part} is missing in: {text}");
        let raw = ['\u{9b}', '\u{202e}', '\u{7}'];
        assert!(!text.contains(raw), "{words:?}: {text}");
    };
    check(3, &["load", "bad"], quoted);
    check(0, &["status"], "\\u{1b}[2J");
    check(0, &["why", "bad"], quoted);
    check(0, &["events"], quoted);
    check(0, &["why", "bad", "--json"], r"\\u{202e}rtl");
    check(0, &["load", "loud"], "loud is ready");
    check(0, &["logs", "loud"], "red \\u{9b} \\u{202e}rtl स\u{902}");
    check(0, &["logs", "loud", "--json"], "\\u009b \\u202ertl");
    check(0, &["run", "see\u{202e}this\u{1b}[2J"], "> see\\u{202e}this\\u{1b}[2J");
    let tag = ["lease", "loud", "--ttl", "60s", "--tag", "kids\u{202e}room"];
    check(0, &tag, "lease");
    check(0, &["leases"], "kids\\u{202e}room");
    let ran = server.stop();
    assert!(!ran.err.contains('\u{202e}') && !ran.out.contains('\u{202e}'), "{ran:?}");
}

#[test]
fn evidence_is_shown_in_readable_unicode() {
    let world = configured();
    let ran = world.run(&["plan", "c.toml", "स\u{902}गीत"]);
    ran.check(0, &["needs    music", "because of \"स\u{902}गीत\""], &[]);
}
