//! `intents`, `learn` and `feedback` with the real binary.

use crate::eventually::eventually;
use crate::support::{DEADLINE, UP, World};

/// Lines of `labels TAB text`.
fn table() -> String {
    let texts = [
        ("music", ["play some jazz", "start the playlist", "louder please", "put on the radio"]),
        ("clock", ["wake me at six", "set a timer", "what time is it", "remind me at noon"]),
        ("", ["good morning", "how are you", "thank you very much", "that is all"]),
    ];
    let mut out = String::new();
    for i in 0..60 {
        let (labels, texts) = texts[i % 3];
        out += &format!("{labels}\t{} {i}\n", texts[(i / 3) % 4]);
    }
    out
}

#[test]
fn a_table_is_learned_asked_and_corrected() {
    let world = World::new();
    world.write("t.tsv", table());
    let ran = world.run(&["learn", "t.tsv", "--state-dir", "state"]);
    ran.check(0, &["learned  60 lines about 2 components", "60 different texts", "model "], &[]);
    let ask = |text: &str| world.run(&["intents", "--state-dir", "state", text]);
    ask("play jazz").check(0, &["needs    music", "as learned from", "jazz"], &[]);
    ask("good morning").check(0, &["no component is needed"], &[]);
    let ran = world.run(&["--json", "intents", "--state-dir", "state", "set", "a", "timer"]);
    ran.check(0, &[], &[]);
    let [answer] = ran.json().try_into().unwrap();
    assert_eq!(answer["decision"], "confident");
    assert_eq!(answer["needed"][0]["id"], "clock");
    assert!(!answer["needed"][0]["n_grams"].as_array().unwrap().is_empty());
    let say = ["feedback", "--state-dir", "state", "--used", "lights", "dim", "the", "lamp"];
    world.run(&say).check(0, &["61 different texts"], &[]);
    let say = ["feedback", "--state-dir", "state", "--none", "hello there"];
    world.run(&say).check(0, &["62 different texts"], &[]);
    // With a configuration, its keywords speak as well.
    world.write("c.toml", "[components.music]\nloader = \"builtin\"\nkeywords = [\"song\"]\n");
    world.run(&["intents", "c.toml", "a song"]).check(0, &["because of \"song\""], &[]);
}

#[test]
fn decision_of_a_confirmed_text_names_its_outcomes_as_the_reason() {
    let world = World::new();
    let say = |used: &str| {
        let words = ["feedback", "--state-dir", "state", "--used", used, "the", "usual"];
        world.run(&words).check(0, &["learned"], &[]);
    };
    let line = "the usual";
    world.write("t.tsv", format!("lights\t{line}\nmusic\tplay some jazz\n"));
    world.run(&["learn", "t.tsv", "--state-dir", "state"]).check(0, &[], &[]);
    let confirmed = "as earlier outcomes of this text confirm";
    let ask = || world.run(&["intents", "--state-dir", "state", line]);
    assert!(!ask().out.contains(confirmed), "one outcome confirms nothing");
    (0..5).for_each(|_| say("lights"));
    ask().check(0, &["needs    lights", confirmed], &[]);
    (0..5).for_each(|_| say("music"));
    ask().check(0, &["needs    lights", confirmed], &[]);
    say("music");
    ask().check(0, &["needs    music", confirmed], &[]);
}

#[test]
fn splits_are_held_out_unless_all_is_asked_for() {
    let world = World::new();
    let splits = ["train", "train", "train", "train", "valid", "test"];
    let lines = |splits: &[&str]| -> String {
        let lines = table();
        let lines = lines.lines().enumerate();
        lines.map(|(i, line)| format!("{}\t{line}\n", splits[i / 3 % splits.len()])).collect()
    };
    world.write("t.tsv", lines(&splits));
    let learn = ["learn", "t.tsv", "--state-dir", "some"];
    world.run(&learn).check(0, &["learned  42 lines", "valid ", "% of 9 texts", "test "], &[]);
    let ran = world.run(&["--json", "learn", "t.tsv", "--state-dir", "all", "--all"]);
    ran.check(0, &[], &[]);
    let [report] = ran.json().try_into().unwrap();
    assert_eq!((&report["read"], &report["checks"]), (&60.into(), &serde_json::json!([])));
    assert_eq!(report["learned"]["outcomes"], 60);
    // A table to check with only.
    world.write("t.tsv", lines(&["test"]));
    let learn = ["learn", "t.tsv", "--state-dir", "none"];
    world.run(&learn).check(1, &[], &["60 of valid and test; learn from these too with --all"]);
    assert!(!world.path("none").exists());
}

/// Said to a server, over its socket, and asked of it.
#[test]
fn server_learns_a_reported_text() {
    let world = World::new();
    let parts = [("music", "keywords = [\"song\"]"), ("lights", "")];
    let sections = parts.map(|(name, more)| world.section(name, UP, more)).concat();
    world.write("c.toml", format!("[manager]\nbudget = \"64MiB\"\n{sections}"));
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    let ran = world.run(&["run", "dim the lamp"]);
    assert!(!ran.out.contains("lights"), "{ran:?}");
    for i in 0..6 {
        let text = format!("dim the lamp {i}");
        world.run(&["feedback", "--used", "lights", &text]).check(0, &["learned"], &[]);
        let text = format!("play a song {i}");
        world.run(&["feedback", "--used", "music", &text]).check(0, &["learned"], &[]);
    }
    let ran = world.run(&["--json", "feedback", "--none", "good", "morning"]);
    assert_eq!(ran.json(), [serde_json::json!({ "accepted": true })]);
    // Names that are wrong teach nothing, nor does a text without a word.
    let ran = world.run(&["feedback", "--used", "light", "dim the lamp"]);
    ran.check(6, &[], &["did you mean \"lights\"?"]);
    let ran = world.run(&["feedback", "--used", "lights", "?!"]);
    ran.check(3, &[], &["the text has no word to learn from"]);
    // The answer changes as soon as the server has learned, for which no caller waits; after its end the directory has it.
    eventually(DEADLINE, "the lights", || {
        world.run(&["run", "dim the lamp"]).out.contains("lights")
    });
    server.stop().check(0, &[], &[]);
    let ask = ["intents", "--state-dir", "state", "dim the lamp"];
    world.run(&ask).check(0, &["needs    lights"], &[]);
}

#[test]
fn a_table_with_a_fault_teaches_nothing() {
    let world = World::new();
    world.write("t.tsv", table() + "clock wake me\nmusic\tclock\tx\n");
    let ran = world.run(&["learn", "t.tsv", "--state-dir", "state"]);
    ran.check(
        1,
        &[],
        &["t.tsv:61: 1 column, the first", "t.tsv:62: 3 columns", "nothing was learned"],
    );
    assert!(!world.path("state").exists());
    world.write("c.toml", "[components.music]\nloader = \"builtin\"\n");
    world.write("t.tsv", table());
    let learn = ["learn", "t.tsv", "--state-dir", "state", "--config", "c.toml"];
    world.run(&learn).check(1, &[], &["t.tsv:2: \"clock\" is not a component", "--skip-unknown"]);
    assert!(!world.path("state").exists());
    let skip = [&learn[..], &["--skip-unknown"]].concat();
    world.run(&skip).check(0, &["learned  40 lines", "skipped  20 with an unknown label"], &[]);
    world.run(&["intents", "--state-dir", "nosuch", "x"]).check(1, &[], &["has no learned data"]);
    world.run(&["intents", "hello"]).check(4, &[], &["no server listens"]);
    world.run(&["learn", "nosuch.tsv", "--state-dir", "s"]).check(1, &[], &["nosuch.tsv"]);
}
