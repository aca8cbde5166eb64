//! Arguments, exit codes, the schema, and what the documents promise.

use crate::support::World;

#[test]
fn wrong_arguments_exit_with_2_and_say_what_is_right() {
    let world = World::new();
    for (words, part) in [
        (&["chekc", "c.toml"] as &[&str], "'check'"),
        (&[], "Usage"),
        (&["check"], "<CONFIG>"),
        (&["plan", "c.toml"], "<TEXT>"),
        (&["demo", "--days", "0"], "1..=1000"),
        (&["run", "c.toml", "--hold", "5"], "write it as 500ms, 2s or 1min"),
        (&["run", "c.toml", "--hold", "5m"], "write minutes as 5min"),
        (&["run", "c.yaml", "play"], "\"c.yaml\" is not a configuration: write FILE.toml"),
        (&["hint", "a", "--confidence", "50%"], "write it as 0.5, for 50 %"),
        (&["feedback", "play"], "<--used <NAMES>|--none>"),
        (&["state", "forget"], "<NAME|--all>"),
        (&["serve", "c.toml", "--tcp", "7420"], "such as 127.0.0.1:7420"),
        (&["serve", "c.toml", "--token-file", "t"], "--tcp <ADDRESS>"),
    ] {
        world.run(words).check(2, &[], &[part]);
    }
}

#[test]
fn help_names_commands_and_exit_codes_and_hides_what_is_not_for_people() {
    let world = World::new();
    let ran = world.run(&["--help"]);
    ran.check(0, &["demo", "check", "plan", "run", "schema", "Exit codes"], &[]);
    assert!(!ran.out.contains("worker"), "{}", ran.out);
    world.run(&["--version"]).check(0, &[env!("CARGO_PKG_VERSION")], &[]);
}

#[test]
fn the_schema_is_json_and_knows_the_configuration() {
    let world = World::new();
    let ran = world.run(&["schema"]);
    ran.check(0, &[], &[]);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for section in ["manager", "pools", "components", "legacy"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let readme = read("README.md");
    let world = World::new();
    let mut seen = Vec::new();
    for line in readme.lines() {
        let line = line.split('#').next().unwrap().trim();
        if let Some(rest) = line.strip_prefix("cargo run --release -- ") {
            let command = rest.split(' ').next().unwrap();
            world.run(&[command, "--help"]).check(0, &["Usage: majordomo", command], &[]);
            seen.push(command);
        } else if let Some(command) = line.strip_prefix("cargo xtask ") {
            let command = command.split(' ').next().unwrap();
            assert!(read(".cargo/config.toml").contains("xtask = "));
            assert!(read("xtask/src/main.rs").contains(&format!("cmd {command}")), "{command}");
            seen.push(command);
        }
    }
    assert!(seen.contains(&"demo") && seen.contains(&"test"), "{seen:?}");
}

#[test]
fn the_example_configuration_is_good() {
    let world = World::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/programs.toml");
    world.run(&["check", example]).check(0, &["ok", "3 components"], &[]);
    let ran = world.run(&["plan", example, "will", "it", "rain"]);
    ran.check(0, &["needs    weather", "load     notes in wave 1", "wave 2"], &[]);
}

#[test]
fn the_assistant_of_public_packages_has_a_good_configuration() {
    let world = World::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/assistant/assistant.toml");
    world.run(&["check", example]).check(0, &["ok", "12 components", "1 conflict"], &[]);
}

#[test]
fn the_worker_of_the_demo_refuses_what_cannot_be() {
    let world = World::new();
    let mib = usize::MAX.to_string();
    world.run(&["worker", "--mib", &mib, "--load-ms", "0"]).check(
        1,
        &[],
        &["larger than any memory"],
    );
}
