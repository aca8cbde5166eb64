//! `bench-rungs`: figures of real programs at each rung, and what cannot be measured by name.

use crate::support::{UP, World};

fn world() -> World {
    let world = World::new();
    let lines = world.answering_lines("lines");
    let bad = "[components.bad]\ncommand = [\"no-such-program\"]\n";
    world.write("c.toml", format!("{lines}{}{bad}", world.section("plain", UP, "")));
    world
}

#[test]
fn components_have_rows_by_rung_or_the_reason_why_they_are_not_parked() {
    let world = world();
    let words =
        ["bench-rungs", "c.toml", "lines", "plain", "--repeats", "1", "--request", "lines=hi"];
    let ran = world.run(&words);
    ran.check(0, &["2 components, 1 round each", "NAME", "lines  gone", "plain  gone"], &[]);
    for name in ["lines", "plain"] {
        let is_measured = ran.out.contains(&format!("{name}  paged"));
        assert!(is_measured || ran.out.contains(&format!("{name} is not parked: ")), "{}", ran.out);
    }
    assert!(ran.out.contains("No answer was measured of plain: add --request NAME=REQUEST."));
    assert!(world.processes().is_empty());
    let ran = world.run(&["bench-rungs", "c.toml", "plain", "--repeats", "1", "--json"]);
    ran.check(0, &[], &[]);
    let row = &ran.json()[0];
    assert_eq!((&row["component"], &row["rung"]), (&"plain".into(), &"gone".into()), "{row}");
    assert!(row["wait_ms"].as_f64().unwrap() > 0.0, "{row}");
    assert!(row["first_answer_beyond_warm_ms"].is_null(), "{row}");
}

#[test]
fn figures_are_kept_and_uses_are_not() {
    let world = world();
    let words = ["bench-rungs", "c.toml", "lines", "--request", "lines=hi", "--state-dir", "state"];
    world.run(&words).check(0, &["lines  gone"], &[]);
    world.run(&["state", "show", "--state-dir", "state"]).check(0, &["LOADS IN", "lines"], &[]);
    let ran = world.run(&["state", "export", "--usage", "--state-dir", "state"]);
    ran.check(0, &[], &[]);
    assert_eq!(ran.out, "", "answers of a measurement are no uses");
    let ran = world.run(&["state", "show", "--state-dir", "state"]);
    assert!(!ran.out.contains("sequence") && !ran.out.contains("usage"), "{}", ran.out);
}

#[test]
fn problem_of_one_component_leaves_the_others_measured() {
    let world = world();
    let ran = world.run(&["bench-rungs", "c.toml", "bad", "plain", "--repeats", "1"]);
    ran.check(1, &["plain  gone"], &["bad: ", "no-such-program"]);
    let words = ["bench-rungs", "c.toml", "lines", "--repeats", "1", "--request", "lines=fail"];
    world.run(&words).check(1, &[], &["lines: ", "there is no page 3"]);
    assert!(world.processes().is_empty());
}

#[test]
fn names_and_requests_that_mean_nothing_are_errors() {
    let world = world();
    let check = |words: &[&str], err: &str| {
        let words: Vec<_> = ["bench-rungs", "c.toml"].iter().chain(words).copied().collect();
        world.run(&words).check(1, &[], &[err]);
    };
    check(&["ears"], "\"ears\" is no component of the configuration, which has lines, plain, bad");
    check(&["--request", "hi"], "--request \"hi\" has no component: write NAME=REQUEST");
    check(&["--request", "plain=hi"], "the request \"hi\" of plain is none: write /PATH");
}
