//! `check`: all problems at once with file, line and way out; and what a good configuration holds.

use crate::support::{UP, World};

const SLEEPS: &str =
    "asleep = \"5MiB\"\nsleep = { signal = \"USR1\" }\nwake = { signal = \"USR2\" }\n";

#[test]
fn a_good_configuration() {
    let world = World::new();
    let text = format!(
        "[manager]\nbudget = \"100MiB\"\n{}{}{}",
        world.section("base", UP, "priority = \"CORE\""),
        world.section("top", UP, "dependencies = [\"base\"]\nkeywords = [\"compose\"]"),
        world.section("other", UP, &format!("conflicts = [\"top\"]\n{SLEEPS}")),
    );
    world.write("c.toml", text);
    let ran = world.run(&["check", "c.toml"]);
    let figures = "3 components, 30 MiB in all; 1 CORE with 10 MiB; 1 conflict; 2 load waves";
    ran.check(0, &["ok c.toml", figures, "top", "needs base", "0 keywords, sleeps"], &[]);
    let ran = world.run(&["--json", "check", "c.toml"]);
    ran.check(0, &[], &[]);
    let value = ran.json().pop().unwrap();
    assert_eq!((&value["ok"], &value["components"]), (&true.into(), &3.into()));
    assert!(world.components().is_empty(), "a check starts nothing");
}

#[test]
fn every_problem_at_once() {
    let world = World::new();
    let text = "[manager]\npolicy = \"lfu\"\n[components.vision]\ncommand = [\"x\"]\nmemory = \"-1GiB\"\n\
                [components.ears]\ncomand = [\"x\"]\ndependencies = [\"visoin\", \"ears\"]\n\
                conflicts = [\"ears\"]\n";
    world.write("c.toml", text);
    let parts = [
        "c.toml:2:10: error[bad-value]",
        "did you mean \"lru\"",
        "c.toml:5:",
        "-1GiB",
        "c.toml:7:",
        "did you mean \"command\"",
        "c.toml:8:",
        "did you mean \"vision\"",
        "\"ears\" depends on itself",
        "conflicts with itself",
        "errors",
    ];
    world.run(&["check", "c.toml"]).check(1, &parts, &[]);
    let ran = world.run(&["check", "c.toml", "--json"]);
    ran.check(1, &[], &[]);
    let problems = ran.json();
    assert!(problems.len() >= 6, "{problems:?}");
    for problem in &problems {
        assert!(problem["file"] == "c.toml" && problem["line"].is_u64(), "{problem}");
        assert!(problem["code"].is_string() && problem["message"].is_string(), "{problem}");
    }
    // The other commands say the same and start nothing.
    for words in [&["run", "c.toml", "see"] as &[&str], &["plan", "c.toml", "see"]] {
        world.run(words).check(1, &[], &parts);
    }
}

#[test]
fn resolved_components_are_shown_with_the_table_of_each_value() {
    let world = World::new();
    let text = "[defaults]\nload_time = \"2s\"\n[templates.shell]\n\
                command = [\"sh\", \"-c\", \"exec sleep 1000\", \"{name}\"]\nmemory = \"10MiB\"\n\
                [components.eyes]\ntemplate = \"shell\"\n[components.ears]\ntemplate = \"shell\"\nmemory = \"20MiB\"\n";
    world.write("c.toml", text);
    let ran = world.run(&["check", "--resolved", "c.toml"]);
    let parts = [
        "[components.eyes]",
        "\"eyes\"]  # [templates.shell], line 4",
        "# [defaults], line 2",
        "[components.ears]",
        "# line 10",
    ];
    ran.check(0, &parts, &[]);
    // The output is a configuration of the same components.
    world.write("flat.toml", &ran.out);
    let flat = world.run(&["check", "flat.toml"]);
    let whole = world.run(&["check", "c.toml"]);
    assert_eq!(flat.out.replace("flat.toml", "c.toml"), whole.out);
    let ran = world.run(&["--json", "check", "--resolved", "c.toml"]);
    ran.check(0, &[], &[]);
    let ears = ran.json().pop().unwrap();
    assert_eq!(ears["component"], "ears");
    let key = |name: &str| {
        let keys = ears["keys"].as_array().unwrap();
        keys.iter().find(|key| key["key"] == name).unwrap().clone()
    };
    assert_eq!(
        (&key("memory")["value"], &key("memory")["from"]),
        (&"\"20MiB\"".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&key("load_time")["from"], &key("load_time")["line"]),
        (&"defaults".into(), &2.into())
    );
}

#[test]
fn program_that_is_not_there_is_answered_with_what_to_write() {
    let world = World::new();
    for (line, way_out) in [
        ("command = [\"sleep 10\"]", "write program and arguments one by one: [\"sleep\", \"10\"]"),
        ("command = [\"~/bin/x\"]", "~ and variables are not expanded; write the whole path"),
        ("command = [\"$HOME/x\"]", "~ and variables are not expanded; write the whole path"),
        ("command = [\"no-such-program\"]", "install it or correct the command"),
        ("command = [\"sleep\"]\ncwd = \"~/x\"", "~ and variables are not expanded"),
    ] {
        world.write("c.toml", format!("[components.a]\nmemory = \"1MiB\"\n{line}\n"));
        world.run(&["check", "c.toml"]).check(0, &["help: ", way_out], &[]);
    }
}

#[test]
fn files_that_are_none() {
    let world = World::new();
    std::fs::create_dir(world.path("folder")).unwrap();
    world.write("empty.toml", "");
    world.write("binary.toml", [0, 159, 146, 150]);
    world.write("broken.json", "{\"a\": {\"priority\": }}");
    let cases = [
        ("absent.toml", "cannot read the file", "check the path"),
        ("folder", "this is a directory", "name the configuration file in it"),
        ("empty.toml", "the file is empty", "declare a component"),
        ("binary.toml", "UTF-8", "save it as UTF-8"),
        ("broken.json", "broken.json:1:", "error"),
    ];
    for (file, what, way_out) in cases {
        world.run(&["check", file]).check(1, &[file, what, way_out], &[]);
        world.run(&["run", "--config", file, "hello"]).check(1, &[], &[file, what, way_out]);
    }
}

#[test]
fn the_json_of_the_predecessor() {
    let world = World::new();
    let entry = |more: &str| {
        format!(
            "{{\"priority\": \"LOW\", \"estimated_memory_mb\": 20, \"estimated_load_time_ms\": 30, \
             \"intent_keywords\": [\"see\"], \"dependencies\": [], \"conflicts\": [], \
             \"preload_triggers\": [], \"arm64_optimized\": true, \"lazy_init\": true, \
             \"import_path\": \"senses.eyes\", \"import_function\": \"import_eyes\", \
             \"description\": \"eyes\"{more}}}"
        )
    };
    world.write("old.json", format!("{{\"eyes\": {}}}", entry("")));
    let ran = world.run(&["check", "old.json"]);
    ran.check(0, &["ok old.json", "1 component, 20 MiB", "eyes", "python"], &[]);
    // It cannot be loaded here, and says why.
    let ran = world.run(&["run", "old.json", "what do you see"]);
    ran.check(3, &["eyes", "python loader not in this build"], &[]);
    // A template makes programs of its entries.
    let script = "echo up; exec sleep 1000";
    let toml = format!(
        "[legacy]\nfile = \"old.json\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}, \
         \"{{import_path}}:{{import_function}}\"]\n"
    );
    world.write("new.toml", toml);
    world.run(&["check", "new.toml"]).check(0, &["eyes", "process"], &[]);
    world.run(&["run", "new.toml", "see"]).check(0, &["eyes", "waited"], &[]);
    world.write("old.json", format!("{{\"eyes\": {}}}", entry(", \"colour\": 1")));
    let ran = world.run(&["check", "old.json"]);
    assert!(ran.out.contains("colour"), "{ran:?}");
}
