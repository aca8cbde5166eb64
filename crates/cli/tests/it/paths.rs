//! Paths and addresses in a configuration: relative to its file, looked for by `check`, shown by `why`.

use std::os::unix::fs::PermissionsExt;

use crate::support::{UP, World};

#[test]
fn paths_are_relative_to_the_file_that_states_them() {
    let world = World::new();
    for folder in ["conf/inner", "conf/conf/inner", "inner"] {
        std::fs::create_dir_all(world.path(folder)).unwrap();
    }
    for (place, says) in [("conf/prog", "right"), ("conf/inner/prog", "wrong"), ("prog", "wrong")] {
        let script = format!("#!/bin/sh\necho {says} >which\n{UP}\n");
        world.write(place, script);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path(place), mode).unwrap();
    }
    let section = world.section("eyes", UP, "keywords = [\"see\"]");
    let section = section.replace("cwd = \".\"", "cwd = \"inner\"");
    let command = section.lines().find(|l| l.starts_with("command")).unwrap().to_owned();
    world.write("conf/m.toml", section.replace(&command, "command = [\"./prog\"]"));
    let full = world.path("conf/m.toml").display().to_string();
    for name in ["conf/m.toml", "./conf/../conf/m.toml", &full] {
        world.run(&["check", name]).check(0, &["ok"], &[]);
        world.run(&["run", name, "see"]).check(0, &["eyes"], &[]);
        assert_eq!(world.read("conf/inner/which"), "right\n", "{name}");
        std::fs::remove_file(world.path("conf/inner/which")).unwrap();
    }
    for other in ["which", "inner/which", "conf/which", "conf/conf/inner/which"] {
        assert!(!world.path(other).exists(), "{other}");
    }
}

#[test]
fn programs_run_in_the_folder_of_the_file_and_find_what_its_venv_has() {
    let world = World::new();
    std::fs::create_dir_all(world.path("conf/venv/bin")).unwrap();
    let script = |path: &str, text: &str| {
        world.write(path, format!("#!/bin/sh\n{text}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path(path), mode).unwrap();
    };
    script("conf/venv/bin/interpreter", "exec sh \"$@\"");
    script("conf/venv/bin/tool", "echo found >tool");
    world.write("conf/eyes.sh", format!("tool\necho \"$MODEL $1\" >eyes\n{UP}\n"));
    let text = format!(
        "[defaults.env]\nPATH = \"{{config_dir}}/venv/bin:/usr/bin:/bin\"\n{} = {:?}\n\
         [templates.script]\ncommand = [\"venv/bin/interpreter\", \"{{name}}.sh\", \"{{config_dir}}\"]\n\
         memory = \"10MiB\"\nready = {{ stdout = \"up\" }}\nenv = {{ MODEL = \"{{name}}-model\" }}\n\
         [components.eyes]\ntemplate = \"script\"\nkeywords = [\"see\"]\n",
        crate::support::MARK,
        world.mark(),
    );
    world.write("conf/m.toml", text);
    world.run(&["check", "conf/m.toml"]).check(0, &["ok conf/m.toml"], &[]);
    world.run(&["run", "conf/m.toml", "see"]).check(0, &["eyes"], &[]);
    assert_eq!(world.read("conf/tool"), "found\n");
    let folder = std::fs::canonicalize(world.path("conf")).unwrap();
    assert_eq!(world.read("conf/eyes").trim(), format!("eyes-model {}", folder.display()));
}

#[test]
fn check_warns_of_programs_that_are_not_there() {
    let world = World::new();
    std::fs::create_dir(world.path("conf")).unwrap();
    world.write("conf/plain", "no program");
    let text = "[components.a]\ncommand = [\"no-such-program-anywhere\"]\n\
        [components.b]\ncommand = [\"./absent\"]\n\
        [components.c]\ncommand = [\"./plain\"]\n\
        [components.d]\ncommand = [\"sh\"]\ncwd = \"nowhere\"\n\
        [components.e]\ncommand = [\"{state_dir}/made-later\"]\n\
        [components.f]\ncommand = [\"tool\"]\nenv = { PATH = \"/no/bin:/nor/this\" }\n";
    world.write("conf/c.toml", text);
    let ran = world.run(&["check", "conf/c.toml"]);
    let absent = world.path("conf/absent").display().to_string();
    let parts = [
        "conf/c.toml:2:11: warning[no-program]: there is no program \"no-such-program-anywhere\"; looked in PATH (",
        "install it or correct the command",
        "conf/c.toml:4:11: warning[no-program]: there is no program \"./absent\"; looked in",
        &absent,
        "conf/c.toml:6:11: warning[no-program]",
        "chmod +x",
        "warning[no-directory]",
        "nowhere",
        "looked in PATH (/no/bin:/nor/this)",
        "ok conf/c.toml",
    ];
    ran.check(0, &parts, &[]);
    assert!(!ran.out.contains("made-later"), "{ran:?}");
}

#[test]
fn a_loader_that_this_build_lacks_is_an_error() {
    let world = World::new();
    world.write("c.toml", "[components.eyes]\nmodule = \"senses\"\nkeywords = [\"see\"]\n");
    let parts = ["c.toml:2:10: error[no-loader]", "eyes", "no python loader", "command = ["];
    world.run(&["check", "c.toml"]).check(1, &parts, &[]);
    world.run(&["run", "c.toml", "see"]).check(1, &[], &parts);
    world.write("mac.toml", "[components.eyes]\nmodel = \"eyes.mlmodelc\"\nkeywords = [\"see\"]\n");
    let parts = ["mac.toml:2:9: error[no-loader]", "\"eyes\"", "macOS only"];
    world.run(&["check", "mac.toml"]).check(
        1,
        if cfg!(target_os = "macos") { &[] } else { &parts },
        &[],
    );
    // A builtin needs a factory, and this program has none.
    world.write("builtin.toml", "[components.eyes]\nloader = \"builtin\"\nkeywords = [\"see\"]\n");
    let parts = ["builtin.toml:2:10: error[no-factory]", "\"eyes\"", "command = ["];
    world.run(&["check", "builtin.toml"]).check(1, &parts, &[]);
    world.run(&["run", "builtin.toml", "see"]).check(1, &[], &["error[no-factory]", "\"eyes\""]);
    world.write("old.json", "{\"eyes\": {\"priority\": \"LOW\"}}");
    let parts = ["old.json:1:2: warning[no-loader]", "eyes", "[legacy]", "ok old.json"];
    world.run(&["check", "old.json"]).check(0, &parts, &[]);
}

#[test]
fn a_running_program_is_shown_with_process_and_address() {
    let world = World::new();
    let section = world
        .section("eyes", UP, "")
        .replace("exec sleep 1000\"]", "exec sleep 1000\", \"{port}\"]");
    world.write("c.toml", section);
    let _server = world.serve(&["c.toml"]);
    world.run(&["load", "eyes"]).check(
        0,
        &["eyes is ready", "process ", " at http://127.0.0.1:"],
        &[],
    );
    let ran = world.run(&["why", "eyes", "--json"]);
    let component = ran.json().pop().unwrap()["component"].clone();
    let (pid, endpoint) = (component["pid"].as_i64().unwrap(), &component["endpoint"]);
    assert!(world.components().contains(&i32::try_from(pid).unwrap()), "{component}");
    assert_eq!(endpoint["host"], "127.0.0.1");
    assert_eq!(endpoint["url"], format!("http://127.0.0.1:{}", endpoint["port"]));
    world.run(&["unload", "eyes"]).check(0, &["eyes is unloaded"], &[]);
    let ran = world.run(&["why", "eyes", "--json"]);
    let component = ran.json().pop().unwrap()["component"].clone();
    assert!(component["pid"].is_null() && component["endpoint"].is_null(), "{component}");
}
