//! `run`: commands typed or piped in, each with what it needed, and the summary.

use std::process::{Command, Stdio};

use crate::eventually::eventually;
use crate::support::{DEADLINE, UP, World};

fn config(world: &World) -> String {
    format!(
        "[manager]\nbudget = \"26MiB\"\n{}{}{}",
        world.section("music", UP, "keywords = [\"play\", \"song\"]"),
        world.section("mail", UP, "keywords = [\"inbox\"]"),
        world.section("maps", UP, "keywords = [\"route\"]"),
    )
}

#[test]
fn lines_of_standard_input() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let lines = b"play a song\n\n  Play!\r\nhello\n\xff\xfe play\nread my INBOX\nthe route home";
    let ran = world.run_with(&["run", "c.toml"], lines);
    let parts = [
        "> play a song\n  waited ",
        "  music 1.00 because of \"play\", \"song\"",
        "> Play!\n  hit, ",
        "> hello\n  no component needed, ",
        "> read my INBOX\n  waited ",
        "commands   5 (1 needed no component)",
        "loads      3, unloads 1, failures 0",
        "refused    none",
    ];
    // A line that is not UTF-8 is no command.
    ran.check(1, &parts, &["standard input: line 5: byte 1 of the line, 0xFF, is not UTF-8"]);
    assert!(world.processes().is_empty());
}

#[test]
fn one_command_and_json() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let words = ["run", "c.toml", "--hold", "10ms", "play", "a", "song"];
    world.run(&words).check(0, &["> play a song", "commands   1"], &[]);
    let ran = world.run_with(&["--json", "run", "c.toml"], b"play\nplay\n");
    ran.check(0, &[], &[]);
    let [first, second, summary] = ran.json().try_into().unwrap();
    assert_eq!((&first["command"], &first["hit"]), (&"play".into(), &false.into()));
    assert!(first["waited_ms"].as_f64().unwrap() > 0.0 && first["refusal"].is_null());
    assert_eq!(first["needed"][0]["id"], "music");
    assert!(first["memory_bytes"].as_u64().unwrap() > 0, "measured from the process");
    assert_eq!(second["hit"], true);
    let summary = &summary["summary"];
    assert_eq!((&summary["commands"], &summary["hits"]), (&2.into(), &1.into()));
    assert!(summary["memory_bytes"]["peak"].as_u64().unwrap() > 0);
}

#[test]
fn refused_commands_are_counted_by_reason_and_end_in_code_3() {
    let world = World::new();
    let missing = "[components.ears]\ncommand = [\"no-such-program\"]\nkeywords = [\"listen\"]\n\
                   memory = \"10MiB\"\n";
    let dies = world.section("dies", "echo out of luck >&2; exit 9", "keywords = [\"hope\"]");
    // A demand waits out a back-off that ends before its deadline.
    let long = "[manager]\nback_off = \"1h\"\nback_off_max = \"1h\"\n";
    let words = config(&world).replace("[manager]\n", long);
    world.write("c.toml", format!("{words}{missing}{dies}"));
    let ran = world.run_with(&["run", "c.toml"], b"listen\nlisten again\nhope\nplay\n");
    let parts = [
        "refused: ears could not be loaded",
        "\"no-such-program\"",
        "install it or correct the command",
        "refused: ears failed; it may be tried again in",
        "ended with code 9",
        "out of luck",
        "backing_off 1, load_failed 2",
        "failures 2",
    ];
    ran.check(3, &parts, &[]);
    let ran = world.run(&["run", "c.toml", "listen", "--json"]);
    ran.check(3, &[], &[]);
    assert_eq!(ran.json()[0]["refusal"]["reason"], "load_failed");
}

#[test]
fn what_was_learned_is_there_next_time() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let state = ["--state-dir", "state"];
    let plan = |words: &[&str]| {
        let ran = world.run(&[&["plan", "c.toml", "play", "--json"], words].concat());
        ran.json()[0]["loads"][0]["bytes"].as_u64().unwrap()
    };
    let first = plan(&[]);
    assert_eq!(first, 12 << 20);
    world.run(&["run", "c.toml", "play", state[0], state[1]]).check(0, &[], &[]);
    assert!(plan(&state) < first);
    assert_eq!(plan(&[]), first);
}

#[test]
fn a_state_directory_in_use_is_refused_with_the_owner() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let words = ["run", "c.toml", "--state-dir", "state"];
    let mut first = world.start(&words, std::process::Stdio::piped());
    let pipe = first.child.stdin.as_mut().unwrap();
    std::io::Write::write_all(pipe, b"play\n").unwrap();
    first.says("waited");
    let pid = first.child.id().to_string();
    world.run(&words).check(1, &[], &["state", "in use", &pid, "another directory"]);
    drop(first.child.stdin.take());
    first.end().check(0, &["commands   1"], &[]);
}

#[test]
fn work_continues_when_the_reader_of_its_output_ends() {
    let world = World::new();
    world.write("c.toml", config(&world));
    for words in [&["schema"] as &[&str], &["check", "c.toml"], &["run", "c.toml", "play"]] {
        let mut child = std::process::Command::new(world.path("majordomo"))
            .args(words)
            .current_dir(world.path(""))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::fs::File::create(world.path("err")).unwrap())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{words:?}: {}", world.read("err"));
    }
}

#[test]
fn first_start_on_a_full_disk_is_an_error_with_the_way_out_and_without_partial_files() {
    let world = World::new();
    world.write("c.toml", config(&world));
    // Small files fit, the state does not; nor does it in the folder for temporary files.
    let script = "mkfifo o e; cat o & cat e >&2 & trap '' XFSZ; ulimit -f 2; exec \"$@\" >o 2>e";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(world.path("majordomo"));
    command.args(["run", "c.toml", "--state-dir", "state", "play"]);
    let ran = world.start_as(&mut command, Stdio::null()).end();
    ran.check(1, &[], &["cannot be written", "free some space, or choose another state directory"]);
    // With room again it starts as for the first time.
    let ran = world.run(&["run", "c.toml", "--state-dir", "state", "play"]);
    ran.check(0, &["loads      1"], &[]);
    assert!(!ran.err.contains("renamed"), "{}", ran.err);
}

#[test]
fn a_full_disk_keeps_no_component_from_loading() {
    let world = World::new();
    world.write("c.toml", config(&world));
    // A limit on the size of files stands for the full disk; the output is in files of others.
    let script = "mkfifo o e; cat o & cat e >&2 & trap '' XFSZ; ulimit -f 0; exec \"$@\" >o 2>e";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(world.path("majordomo"));
    command.args(["run", "c.toml", "--hold", "10ms", "play"]);
    let ran = world.start_as(&mut command, Stdio::null());
    ran.says("refused    none");
    eventually(DEADLINE, "the warning", || ran.err().contains("what they started may stay"));
    ran.end().check(0, &["loads      1"], &[]);
}
