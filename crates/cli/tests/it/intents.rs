//! `intents`, `learn` and `feedback` with the real binary.

use crate::support::World;

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
fn a_table_with_a_fault_teaches_nothing() {
    let world = World::new();
    world.write("t.tsv", table() + "clock wake me\nmusic\tclock\tx\n");
    let ran = world.run(&["learn", "t.tsv", "--state-dir", "state"]);
    ran.check(1, &[], &["t.tsv:61: 1 columns", "t.tsv:62: 3 columns", "nothing was learned"]);
    assert!(!world.path("state").exists());
    world.write("c.toml", "[components.music]\nloader = \"builtin\"\n");
    world.write("t.tsv", table());
    let learn = ["learn", "t.tsv", "--state-dir", "state", "--config", "c.toml"];
    world.run(&learn).check(1, &[], &["t.tsv:2: \"clock\" is no component", "--skip-unknown"]);
    assert!(!world.path("state").exists());
    let skip = [&learn[..], &["--skip-unknown"]].concat();
    world.run(&skip).check(0, &["learned  40 lines", "skipped  20 with an unknown label"], &[]);
    world.run(&["intents", "--state-dir", "nosuch", "x"]).check(1, &[], &["nothing was learned"]);
    world.run(&["intents", "hello"]).check(1, &[], &["name a configuration, or --state-dir"]);
    world.run(&["learn", "nosuch.tsv", "--state-dir", "s"]).check(1, &[], &["nosuch.tsv"]);
}
