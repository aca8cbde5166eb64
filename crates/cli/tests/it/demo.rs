//! `demo`: ends by itself with a summary measured from its processes, all of which are gone then.

use std::process::Stdio;

use crate::support::World;

#[test]
fn a_day_ends_with_the_summary() {
    let world = World::new();
    let ran = world.run(&["demo", "--days", "1"]);
    let parts = [
        "An assistant of 12 components, 415 MiB declared, in a budget of 138.3 MiB.",
        "1 day from seed 7",
        "day  1: ",
        "commands   ",
        "understood ",
        "wait       p50 ",
        "refused    none",
        "if every component used were loaded at once",
        "as managed",
        "Every process of the demo has ended.",
    ];
    ran.check(0, &parts, &[]);
    assert!(world.processes().is_empty(), "guard and workers included");
}

#[test]
fn the_same_in_json() {
    let world = World::new();
    let ran = world.run(&["demo", "--days", "1", "--seed", "3", "--json"]);
    ran.check(0, &[], &[]);
    let [value] = ran.json().try_into().unwrap();
    let summary = &value["summary"];
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert!((25..=35).contains(&number("commands")), "{summary}");
    let decided = number("hits") + number("waited") + number("without_need");
    assert_eq!(decided, number("commands"), "{summary}");
    assert!((1..=number("commands")).contains(&number("understood")), "{summary}");
    assert!(number("loads") > 0 && number("failures") == 0, "{summary}");
    let bytes = |name: &str| summary["memory_bytes"][name].as_u64().unwrap();
    assert!(bytes("everything") > bytes("peak") && bytes("peak") >= bytes("mean"), "{summary}");
    assert!(bytes("mean") > 10 << 20, "real memory of real processes: {summary}");
}

#[test]
fn lines_that_are_piped_in_take_the_place_of_days() {
    let world = World::new();
    let ran = world.run_with(&["demo"], b"some music please\nmore music\ntranslate this\n");
    let parts = [
        "> some music please\n  music waited",
        "> more music\n  music hit",
        "> translate this\n  translate waited",
        "commands   3",
        "loads      3, unloads 0",
    ];
    ran.check(0, &parts, &[]);
}

#[test]
fn an_interrupt_ends_it_with_the_figures_so_far() {
    let world = World::new();
    let running = world.start(&["demo", "--days", "1000"], Stdio::null());
    running.says("day  1: ");
    running.signal("INT");
    let ran = running.end();
    ran.check(0, &["commands   ", "Every process of the demo has ended."], &["interrupted"]);
    assert!(world.processes().is_empty());
}
