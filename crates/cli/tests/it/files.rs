//! Input files that are none, a state directory that is only read, and one that is removed under a server.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::eventually::eventually;
use crate::support::{DEADLINE, UP, World};

fn configured() -> World {
    let world = World::new();
    let sections = ["a", "b"].map(|n| world.section(n, UP, &format!("keywords = [\"{n}word\"]")));
    world.write("c.toml", sections.concat());
    world
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_named_pipe_in_the_place_of_a_file_is_refused_at_once() {
    let world = configured();
    make_pipe(&world.path("pipe.toml"));
    make_pipe(&world.path("pipe.json"));
    world.write("legacy.toml", "[legacy]\nfile = \"pipe.json\"\ncommand = [\"x\"]\n");
    let pipe = "this is a named pipe, not a file";
    world.run(&["check", "pipe.toml"]).check(1, &[pipe], &[]);
    world.run(&["check", "legacy.toml"]).check(1, &["pipe.json", pipe], &[]);
    world.run(&["check", "/dev/zero"]).check(1, &["this is a device, not a file"], &[]);
    world.run(&["serve", "pipe.toml"]).check(1, &[], &[pipe]);
    world.run(&["run", "pipe.toml", "x"]).check(1, &[], &[pipe]);
    let tcp = ["serve", "c.toml", "--tcp", "127.0.0.1:0", "--token-file", "pipe.toml"];
    world.run(&tcp).check(1, &[], &[pipe]);
}

#[test]
fn a_server_whose_configuration_became_a_pipe_still_hears_a_signal() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    std::fs::remove_file(world.path("c.toml")).unwrap();
    make_pipe(&world.path("c.toml"));
    server.signal("HUP");
    eventually(DEADLINE, "the error of the reload", || server.err().contains("a named pipe"));
    world.run(&["status"]).check(0, &["a     unloaded"], &[]);
    server.stop().check(0, &[], &["nothing was changed"]);
}

/// Everything in a folder with its time and content.
fn content(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let entry = |e: std::io::Result<std::fs::DirEntry>| {
        let e = e.unwrap();
        let modified = e.metadata().unwrap().modified().unwrap();
        (
            e.file_name().into_string().unwrap(),
            (modified, std::fs::read(e.path()).unwrap_or_default()),
        )
    };
    std::fs::read_dir(dir).unwrap().map(entry).collect()
}

#[test]
fn commands_that_only_read_change_nothing_in_a_state_directory() {
    let world = configured();
    world.write("rows.tsv", "a\tturn it on\nb\tturn it off\n".repeat(4));
    let learned = world.run(&["learn", "rows.tsv", "--state-dir", "state"]);
    assert_eq!(learned.code, Some(0), "{learned:?}");
    let dir = world.path("state");
    // A directory from elsewhere has no lock file, which reading must not make.
    std::fs::remove_file(dir.join("lock")).unwrap();
    let mode = |mode| {
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o555);
    let reading: [&[&str]; 6] = [
        &["state", "show", "--state-dir", "state"],
        &["state", "export", "--state-dir", "state"],
        &["state", "export", "--usage", "--state-dir", "state"],
        &["intents", "--state-dir", "state", "turn it on"],
        &["plan", "c.toml", "--state-dir", "state", "turn it on"],
        &["memory", "c.toml", "--state-dir", "state"],
    ];
    let before = content(&dir);
    for words in reading {
        let ran = world.run(words);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(content(&dir), before, "{words:?}");
    }
    mode(0o755);
    std::fs::write(dir.join("state.redb"), "rubbish").unwrap();
    let before = content(&dir);
    for words in reading {
        let ran = world.run(words);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("cannot be read"), "{ran:?}");
        assert_eq!(content(&dir), before, "{words:?}");
    }
    for words in reading {
        let mut elsewhere = words.to_vec();
        let at = words.iter().position(|w| *w == "--state-dir").unwrap();
        elsewhere[at + 1] = "none";
        world.run(&elsewhere);
        assert!(!world.path("none").exists(), "{words:?}");
    }
}

#[test]
fn directory_in_the_place_of_a_file_and_file_in_the_place_of_a_directory_are_named() {
    let world = configured();
    std::fs::create_dir_all(world.path("st/state.redb")).unwrap();
    std::fs::set_permissions(world.path("st"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let table = "a\tturn it on\n";
    world.write("rows.tsv", table);
    for words in [
        &["state", "show"] as &[&str],
        &["intents", "turn it on"],
        &["learn", "rows.tsv"],
        &["plan", "c.toml", "turn it on"],
        &["run", "c.toml", "turn it on"],
        &["serve", "c.toml"],
    ] {
        let with = |dir| [words, &["--state-dir", dir]].concat();
        let expected = "state.redb\": this is a directory, not a file; remove or rename";
        world.run(&with("st")).check(1, &[], &[expected]);
        let ran = world.run(&with("rows.tsv"));
        assert_eq!((ran.code, world.read("rows.tsv")), (Some(1), table.to_owned()), "{ran:?}");
        let expected =
            ["rows.tsv\": this is a file, not a directory", "nothing was learned in rows.tsv"];
        assert!(expected.iter().any(|part| ran.err.contains(part)), "{ran:?}");
    }
    world.run(&["--socket", ".", "status"]).check(4, &[], &["it is a directory, not a socket"]);
    world.run(&["--socket", "c.toml", "status"]).check(4, &[], &["it is a file, not a socket"]);
    world.run(&["man", "c.toml"]).check(1, &[], &["c.toml is a file; name a folder"]);
}

fn temporary_folders(world: &World) -> Vec<String> {
    let names = std::fs::read_dir(world.path("")).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("majordomo-")).collect()
}

#[test]
fn server_continues_when_its_state_directory_is_removed() {
    let world = configured();
    for kept in [true, false] {
        let words: &[&str] = if kept { &["c.toml", "--state-dir", "st"] } else { &["c.toml"] };
        let server = world.serve(words);
        world.run(&["load", "a"]).check(0, &["a is ready"], &[]);
        let dir = match temporary_folders(&world).as_slice() {
            [] if kept => world.path("st"),
            [one] if !kept => world.path(one),
            other => panic!("{other:?}"),
        };
        std::fs::remove_dir_all(&dir).unwrap();
        world.run(&["load", "b"]).check(0, &["b is ready"], &[]);
        world.run(&["unload", "a"]).check(0, &["a is unloaded"], &[]);
        world.run(&["load", "a"]).check(0, &["a is ready"], &[]);
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let ran = server.stop();
        ran.check(0, &[], &[]);
        assert_eq!(ran.err.matches("the state directory was removed").count(), 1, "{ran:?}");
        assert_eq!(temporary_folders(&world), Vec::<String>::new(), "nothing is left behind");
    }
    world.run(&["state", "show", "--state-dir", "st"]).check(0, &["COMPONENT", "a ", "b "], &[]);
}

#[test]
fn killed_server_without_a_state_directory_leaves_no_folder_behind() {
    let world = configured();
    let mut server = world.serve(&["c.toml"]);
    world.run(&["load", "a"]).check(0, &["a is ready"], &[]);
    assert_eq!(temporary_folders(&world).len(), 1);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    eventually(DEADLINE, "the guard's work", || temporary_folders(&world).is_empty());
}
