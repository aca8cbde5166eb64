//! `plan`: what a command would meet with; nothing is started.

use crate::support::{UP, World};

fn config(world: &World) -> String {
    format!(
        "[manager]\nbudget = \"30MiB\"\n{}{}{}{}",
        world.section("base", UP, "priority = \"CORE\""),
        world.section(
            "top",
            UP,
            "dependencies = [\"base\"]\nkeywords = [\"compose\", \"write a song\"]"
        ),
        world
            .section("wide", UP, "keywords = [\"paint\"]\nload_time = \"2s\"")
            .replace("10MiB", "28MiB"),
        ["x", "y", "z"].map(|n| world.section(n, UP, "keywords = [\"news\"]")).concat(),
    )
}

#[test]
fn needs_loads_and_times() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let ran = world.run(&["plan", "c.toml", "please", "compose", "something"]);
    let parts = [
        "needs    top (1.00) because of \"compose\"",
        "load     base in wave 1 (12 MiB, about 100 ms)",
        "load     top in wave 2 (12 MiB, about 100 ms)",
        "wait     about 200 ms",
    ];
    ran.check(0, &parts, &[]);
    let ran = world.run(&["plan", "c.toml", "the news"]);
    ran.check(0, &["nothing is loaded", "unsure   x (0.33)", "(shared by 3)"], &[]);
    world.run(&["plan", "c.toml", "hello"]).check(0, &["no component is needed"], &[]);
    let ran = world.run(&["plan", "--json", "c.toml", "write a song"]);
    ran.check(0, &[], &[]);
    let [plan] = ran.json().try_into().unwrap();
    assert_eq!(plan["needed"][0]["id"], "top");
    assert_eq!(plan["needed"][0]["evidence"][0]["keyword"], "write a song");
    assert_eq!(plan["loads"].as_array().unwrap().len(), 2);
    assert!(plan["refusal"].is_null());
    assert!(world.processes().is_empty(), "a plan starts nothing, not even CORE");
}

#[test]
fn memory_of_every_pool_is_planned_and_refused_by_pool() {
    let world = World::new();
    let text = format!(
        "[pools.gpu]\nbudget = \"2GiB\"\naccounting = \"declared\"\n{}",
        world
            .section("chat", UP, "keywords = [\"chat\"]")
            .replace("\"10MiB\"", "{ ram = \"10MiB\", gpu = \"1.5GiB\" }")
    );
    world.write("c.toml", &text);
    let ran = world.run(&["plan", "c.toml", "chat"]);
    ran.check(0, &["load     chat in wave 1 (12 MiB and 1.5 GiB of gpu, about 100 ms)"], &[]);
    world.write("c.toml", text.replace("2GiB", "1GiB"));
    let parts =
        ["c.toml:", "needs 1.5 GiB of pool \"gpu\"", "which is 1 GiB", "raise the pool's budget"];
    world.run(&["check", "c.toml"]).check(1, &parts, &[]);
}

#[test]
fn refusal_is_reported_by_text_code_and_exit() {
    let world = World::new();
    world.write("c.toml", config(&world));
    // 28 MiB fit, but not with the margin of a first load.
    let ran = world.run(&["plan", "c.toml", "paint"]);
    ran.check(3, &["refused", "33.6 MiB are needed", "30 MiB can be had"], &[]);
    let ran = world.run(&["plan", "c.toml", "paint", "--json"]);
    ran.check(3, &[], &[]);
    assert_eq!(ran.json()[0]["refusal"]["reason"], "too_large");
}

/// The blocks of a document that show a command of the program with its output: the words, and the lines after them.
fn transcripts<'a>(text: &'a str, command: &str) -> Vec<(Vec<&'a str>, String)> {
    let prompt = format!("$ majordomo {command} ");
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(words) = line.strip_prefix(&prompt) else { continue };
        let output: String = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .map(|line| format!("{line}\n"))
            .collect();
        found.push((words.split(' ').collect(), output));
    }
    found
}

#[test]
fn plans_in_the_documents_are_those_that_the_program_prints() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let text = std::fs::read_to_string(format!("{root}/docs/demo.md")).unwrap();
    let world = World::new();
    let plans = transcripts(&text, "plan");
    assert!(!plans.is_empty());
    for (words, output) in plans {
        let [config, rest @ ..] = &words[..] else { panic!("{words:?} names no configuration") };
        let config = format!("{root}/{config}");
        let ran = world.run(&[&["plan", &config], rest].concat());
        assert_eq!(ran.out, output, "{words:?}");
    }
}

/// Two programs of which one fits, and one that sleeps beside the other.
#[test]
fn server_plans_the_sleep_that_the_demand_causes() {
    const SLEEPER: &str = "trap : USR1 USR2; echo up; while :; do sleep 1; done";
    let world = World::new();
    let section = |name: &str, memory: &str, more: &str| {
        let more = format!(
            "keywords = [\"{name}\"]\nsleep = {{ signal = \"USR1\" }}\nwake = {{ signal = \"USR2\" }}\n{more}"
        );
        world.section(name, SLEEPER, &more).replace("\"10MiB\"", memory)
    };
    let main_memory = |name: &str| section(name, "\"60MiB\"", "asleep = \"5MiB\"");
    let card =
        |name: &str| section(name, "{ ram = \"10MiB\", gpu = \"1GiB\" }", "asleep = \"15MiB\"");
    let both = |of: &dyn Fn(&str) -> String| ["first", "second"].map(of).concat();
    let pool = "[pools.gpu]\nbudget = \"1.5GiB\"\naccounting = \"declared\"\n";
    for text in [both(&main_memory), format!("{pool}{}", both(&card))] {
        world.write("c.toml", format!("[manager]\nbudget = \"100MiB\"\n{text}"));
        let server = world.serve(&["c.toml"]);
        world.run(&["load", "first"]).check(0, &[], &[]);
        let ran = world.run(&["plan", "second"]);
        ran.check(0, &["park     first (", "load     second in wave 1"], &[]);
        let plan = world.run(&["plan", "second", "--json"]).json().swap_remove(0);
        assert_eq!(plan["evictions"][0]["to"], "asleep", "{plan}");
        world.run(&["load", "second"]).check(0, &[], &[]);
        world.run(&["status"]).check(0, &["first   asleep", "second  ready"], &[]);
        world.run(&["plan", "first"]).check(
            0,
            &["wake     first in wave 1", "since it is asleep"],
            &[],
        );
        server.stop();
    }
}
