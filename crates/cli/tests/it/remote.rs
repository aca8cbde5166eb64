//! Every verb for a server once, as text and as JSON, with its exit code.

use std::process::Stdio;

use crate::eventually::eventually;
use crate::support::{DEADLINE, UP, World};

/// `music` needs `base`; `mail` stands alone.
fn configured() -> World {
    let world = World::new();
    let music = "keywords = [\"play\"]\ndependencies = [\"base\"]";
    world.write(
        "c.toml",
        format!(
            "[manager]\nbudget = \"64MiB\"\n{}{}{}",
            world.section("base", UP, ""),
            world.section("music", UP, music),
            world.section(
                "mail",
                "echo up; echo oops >&2; exec sleep 1000",
                "keywords = [\"inbox\"]"
            ),
        ),
    );
    world
}

#[test]
fn without_a_server_every_verb_says_where_it_looked() {
    let world = World::new();
    let socket = world.socket().display().to_string();
    for words in [
        &["status"] as &[&str],
        &["status", "--watch"],
        &["load", "a"],
        &["unload", "a"],
        &["park", "a"],
        &["pin", "a"],
        &["unpin", "a"],
        &["trim", "a"],
        &["call", "a", "text"],
        &["hint", "a"],
        &["why", "a"],
        &["events"],
        &["events", "--follow"],
        &["logs", "a"],
        &["memory"],
        &["reload"],
        &["leases"],
        &["lease", "a"],
        &["release", "a"],
        &["run", "play"],
        &["run"],
        &["plan", "play"],
        &["intents", "play"],
        &["intents"],
    ] {
        world.run(words).check(4, &[], &[&socket, "start one with `majordomo serve CONFIG`"]);
    }
    let ran = world.run(&["status", "--json", "--socket", "elsewhere.sock"]);
    assert_eq!(ran.code, Some(4));
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert!(error["error"].as_str().unwrap().contains("elsewhere.sock"), "{error}");
    assert_eq!(error["exit"], 4);
    for words in [&["frobnicate", "--json"] as &[&str], &["--json", "load"]] {
        let ran = world.run(words);
        assert_eq!(ran.code, Some(2));
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["exit"], 2);
        assert!(!error["error"].as_str().unwrap().starts_with("error"), "{error}");
    }
    // Of the command that is run, not of this program.
    world.run(&["load", "--", "--json"]).check(4, &[], &["error: no server listens"]);
}

#[test]
fn verbs_about_components() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let check = |words: &[&str], code: i32, out: &[&str], err: &[&str]| {
        world.run(words).check(code, out, err);
    };
    check(&["load", "music"], 0, &["music is ready, "], &[]);
    check(
        &["status"],
        0,
        &["majordomo 0", ", ready", "NAME", "music  ready", "mail   unloaded"],
        &[],
    );
    check(
        &["memory"],
        0,
        &[
            "bounds",
            "machine",
            "total                    64 MiB",
            "woken by",
            "music",
            "limits of processes",
            "files read ahead",
            "wasted                   0 B",
        ],
        &[],
    );
    check(
        &["memory", "c.toml"],
        0,
        &["booked                   0 B", "mail ", "unloaded", "begins below"],
        &[],
    );
    check(&["load", "musik"], 6, &[], &["did you mean \"music\"?"]);
    check(&["pin", "music"], 0, &["music is ready, pinned"], &[]);
    check(&["unload", "music"], 3, &[], &["music stays loaded: it is pinned", "use force"]);
    check(&["unpin", "music"], 0, &["music is ready, no longer pinned"], &[]);
    check(&["trim", "music"], 3, &[], &["music has no way to trim", "signal = \"USR1\""]);
    check(&["why", "music"], 0, &["music: has no way to trim"], &[]);
    check(&["unload", "base"], 0, &["base is unloaded"], &[]);
    check(&["status"], 0, &["music  unloaded"], &[]);
    check(
        &["hint", "mail", "--confidence", "0.9"],
        0,
        &["hint accepted; see `majordomo why mail`"],
        &[],
    );
    check(&["hint", "mail", "--confidence", "2"], 2, &[], &["\"2\" is not in 0 to 1"]);
    check(&["why", "music"], 0, &["music is unloaded", "loading -> ready"], &[]);
    check(&["events", "--last", "3"], 0, &["->"], &[]);
    check(&["reload"], 0, &["no changes"], &[]);
    check(&["why", "--load", "mail"], 0, &["no load of mail was measured yet"], &[]);
    check(&["load", "mail"], 0, &["mail is ready"], &[]);
    check(&["logs", "mail"], 0, &["up", "oops", "ready, process"], &[]);
    check(&["logs", "mail", "--last", "1"], 0, &[], &[]);
    let stages = ["mail loads in about", "STAGE", "\nspawn ", "\nfirst output ", "\nready "];
    check(&["why", "--load", "mail"], 0, &stages, &[]);
    check(&["unload", "mail", "--force"], 0, &["mail is unloaded"], &[]);
    server.stop().check(0, &["listening at"], &["stopping"]);
    assert!(!world.socket().exists(), "nothing is left behind");
}

#[test]
fn answers_as_json() {
    let world = configured();
    let server = world.serve(&["c.toml", "--json"]);
    let run = |words: &[&str]| {
        let words: Vec<_> = ["--json"].iter().chain(words).copied().collect();
        let ran = world.run(&words);
        ran.check(0, &[], &[]);
        ran.json()
    };
    let one = |words: &[&str]| run(words).swap_remove(0);
    assert_eq!(one(&["load", "music"])["state"], "ready");
    let memory = one(&["memory"]);
    assert!(memory["memory"]["booked"].as_u64() > Some(0), "{memory}");
    assert!(memory["memory"]["felt"]["bounds"][0]["name"] == "machine", "{memory}");
    assert!(memory["components"].as_array().is_some_and(|c| c.len() == 3), "{memory}");
    assert_eq!(one(&["pin", "music"])["pinned"], true);
    assert_eq!(one(&["unpin", "music"])["pinned"], false);
    let untrimmed = world.run(&["--json", "trim", "music"]);
    untrimmed.check(3, &[], &["\"code\":\"cannot_trim\""]);
    assert_eq!(one(&["hint", "mail"])["accepted"], true);
    assert_eq!(one(&["status"])["ready"], true);
    assert_eq!(one(&["why", "music"])["component"]["name"], "music");
    assert_eq!(one(&["leases"])["leases"], serde_json::json!([]));
    assert_eq!(one(&["reload"])["changed"], serde_json::json!([]));
    let outcome = one(&["run", "play"]);
    assert_eq!((&outcome["command"], &outcome["hit"]), (&"play".into(), &true.into()));
    let lease = one(&["lease", "music", "--ttl", "1min"]);
    let id = lease["id"].as_str().unwrap();
    assert_eq!(one(&["release", id])["released"], id);
    assert_eq!(one(&["unload", "music", "--force"])["state"], "unloaded");
    let events = run(&["events"]);
    let since = events[0]["seq"].as_u64().unwrap();
    let later = run(&["events", "--since", &since.to_string()]);
    assert_eq!(later[0]["seq"], since + 1);
    assert_eq!(run(&["logs", "music"])[0]["text"], "up");
    let error = world.run(&["load", "missing", "--json"]);
    error.check(6, &[], &["\"code\":\"unknown_component\""]);
    server.stop();
}

#[test]
fn plans_and_intents_are_asked_of_the_server() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let by_configuration = world.run(&["plan", "c.toml", "play a song"]);
    by_configuration.check(0, &["needs    music", "load     base in wave 1", "wait "], &[]);
    assert_eq!(world.run(&["plan", "play", "a", "song"]).out, by_configuration.out);
    world.run(&["load", "music"]).check(0, &[], &[]);
    let ran = world.run(&["plan", "play a song"]);
    ran.check(0, &["needs    music", "ready    music"], &[]);
    assert!(!ran.out.contains("load "), "{ran:?}");
    world.run(&["plan", "hello"]).check(0, &["no component is needed"], &[]);
    let ran = world.run(&["intents", "play", "a", "song"]);
    ran.check(
        0,
        &["needs    music 1.00 (at least ", "because of \"play\"", "model    version "],
        &[],
    );
    let offline = world.run(&["intents", "c.toml", "play", "a", "song"]);
    assert_eq!(ran.out.lines().next(), offline.out.lines().next());
    let ran = world.run_with(&["intents"], b"my inbox\nhello\n");
    ran.check(0, &["> my inbox\nneeds    mail", "> hello\nno component is needed"], &[]);
    let json = |words: &[&str]| world.run(&[words, &["--json"]].concat()).json().swap_remove(0);
    assert_eq!(json(&["plan", "my inbox"])["decision"], "confident");
    let intents = json(&["intents", "my inbox"]);
    assert_eq!(
        (&intents["text"], &intents["needed"][0]["component"]),
        (&"my inbox".into(), &"mail".into())
    );
    // Nothing was loaded or used by asking.
    world.run(&["status"]).check(0, &["mail   unloaded"], &[]);
    world.write("play", "");
    for verb in ["plan", "intents"] {
        world.run(&[verb, "play", "it"]).check(2, &[], &["is a file or folder", "--server"]);
        world.run(&[verb, "--server", "play", "it"]).check(0, &["needs    music"], &[]);
    }
    world.run(&["plan", "x", "--state-dir", "s"]).check(1, &[], &["needs a configuration"]);
    server.stop();
}

#[test]
fn memory_in_several_pools_is_planned_booked_and_shown() {
    let world = World::new();
    let section = |name: &str, card: &str| {
        let section = world.section(name, UP, "");
        let memory = format!("memory = {{ ram = \"10MiB\", gpu = \"{card}\" }}");
        section.replace("memory = \"10MiB\"", &memory)
    };
    let text = format!(
        "[manager]\nbudget = \"1GiB\"\n[pools.gpu]\nbudget = \"2GiB\"\naccounting = \"declared\"\n{}{}{}",
        section("chat", "1.5GiB"),
        section("draw", "1GiB"),
        world.section("plain", UP, ""),
    );
    world.write("c.toml", text);
    let _server = world.serve(&["c.toml"]);
    world.run(&["load", "chat", "plain"]).check(0, &["chat is ready", "plain is ready"], &[]);
    let shown = ["declared 1.5 GiB of gpu, not measured, booked 1.5 GiB"];
    world.run(&["why", "chat"]).check(0, &shown, &[]);
    let row = "in pool gpu: declared 1.5 GiB, not measured, booked 1.5 GiB";
    world.run(&["memory"]).check(0, &["1.5 GiB of 2 GiB booked, no RAM", row], &[]);
    // Only the component that holds memory of the card makes room on the card.
    world.run(&["load", "draw"]).check(0, &["draw is ready"], &[]);
    let ran = world.run(&["status", "--json"]);
    let status = ran.json().pop().unwrap();
    let component = |name: &str| {
        let all = status["components"].as_array().unwrap();
        all.iter().find(|c| c["name"] == name).unwrap().clone()
    };
    let states = ["chat", "draw", "plain"].map(|name| component(name)["state"].clone());
    assert_eq!(states, ["unloaded", "ready", "ready"]);
    let want = serde_json::json!([{ "pool": "gpu", "declared": 1u64 << 30, "booked": 1u64 << 30 }]);
    assert_eq!(component("draw")["apart"], want);
    assert!(component("plain")["apart"].is_null(), "{}", component("plain"));
}

#[test]
fn commands_go_to_the_server() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let ran = world.run(&["run", "play", "a", "song"]);
    ran.check(0, &["> play a song\n  waited ", "music 1.00 because of \"play\""], &[]);
    let ran = world.run_with(&["run", "--hold", "1ms"], b"play\n\nhello\nmy inbox\n");
    ran.check(0, &["> play\n  hit", "> hello\n  no component needed", "> my inbox\n  waited"], &[]);
    // A file of that name could be meant.
    world.write("play", "");
    world.run(&["run", "play", "it"]).check(
        2,
        &[],
        &["\"play\" is a file or folder", "--config", "--server"],
    );
    world.run(&["run", "--server", "play", "it"]).check(0, &["> play it\n  hit"], &[]);
    world.run(&["run", "play it", "--state-dir", "x"]).check(1, &[], &["needs a configuration"]);
    server.stop();
}

#[test]
fn a_lease_for_as_long_as_a_command_runs() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let script = "echo \"$MAJORDOMO_LEASE\"; exec \"$0\" leases";
    let binary = world.path("majordomo").display().to_string();
    let ran = world.run(&["lease", "music", "--", "sh", "-c", script, &binary]);
    ran.check(0, &["HOLDER", "sh -c ", "music"], &[]);
    let id = ran.out.lines().next().unwrap();
    assert!(ran.out.matches(id).count() == 2, "{}", ran.out);
    world.run(&["leases"]).check(0, &["no leases"], &[]);
    world.run(&["lease", "music", "--", "sh", "-c", "exit 42"]).check(42, &[], &[]);
    world.run(&["lease", "music", "--", "sh", "-c", "kill -9 $$"]).check(137, &[], &[]);
    world.run(&["lease", "music", "--", "no-such-program"]).check(127, &[], &["cannot be run"]);
    world.run(&["lease", "musik", "--", "true"]).check(6, &[], &["did you mean"]);
    world.run(&["leases"]).check(0, &["no leases"], &[]);
    server.stop();
}

#[test]
fn a_lease_without_a_command_is_held_until_an_interrupt_or_its_time() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let held = world.start(&["lease", "music", "--tag", "me"], Stdio::null());
    held.says("music");
    world.run(&["status"]).check(0, &["LEASE", "me"], &[]);
    world.run(&["unload", "music"]).check(3, &[], &["1 lease"]);
    held.signal("INT");
    held.end().check(0, &["lease "], &["held until Ctrl-C"]);
    world.run(&["leases"]).check(0, &["no leases"], &[]);
    let ran = world.run(&["lease", "music", "--ttl", "5min"]);
    ran.check(0, &["ends in 5 min"], &[]);
    let id = ran.out.split([' ', ',']).nth(1).unwrap();
    world.run(&["release", id]).check(0, &["released"], &[]);
    world.run(&["release", id]).check(6, &[], &["was given back"]);
    server.stop();
}

#[test]
fn followers_see_what_happens_and_end_with_the_server() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    world.run(&["load", "base"]).check(0, &[], &[]);
    let events = world.start(&["events", "--follow", "--last", "1"], Stdio::null());
    let json = world.start(&["events", "-f", "--since", "0", "--json"], Stdio::null());
    let logs = world.start(&["logs", "music", "--follow"], Stdio::null());
    let watch = world.start(&["status", "--watch", "--every", "50ms"], Stdio::null());
    events.says("granted: base");
    world.run(&["run", "play"]).check(0, &[], &[]);
    events.says("music: loading -> ready");
    logs.says("ready, process");
    eventually(DEADLINE, "a second table", || {
        watch.out().matches("NAME").count() >= 2 && watch.out().contains("music  ready")
    });
    watch.signal("INT");
    watch.end().check(0, &[], &[]);
    server.stop();
    events.end().check(0, &["music"], &["the server has ended"]);
    logs.end().check(0, &["up\n"], &[]);
    let seen = json.end();
    assert!(seen.json().iter().any(|e| e["event"] == "state"), "{seen:?}");
}

#[test]
fn a_server_of_another_version_has_an_exit_code_of_its_own() {
    use std::io::{Read as _, Write as _};
    let world = World::new();
    std::fs::create_dir_all(world.socket().parent().unwrap()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(world.socket()).unwrap();
    let words: [&[&str]; 3] = [&["status"], &["load", "a"], &["--json", "status"]];
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Less than a request will do: all are answered alike.
            let n = stream.read(&mut [0; 4096]).unwrap();
            assert!(n > 0);
            let answer =
                "HTTP/1.1 200 OK\r\nmajordomo-version: 7.8.9\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for words in words {
        let expected = ["7.8.9", env!("CARGO_PKG_VERSION"), "restart the server"];
        let ran = world.run(words);
        assert_eq!(ran.code, Some(5), "{words:?}: {} {}", ran.out, ran.err);
        expected.iter().for_each(|word| assert!(ran.err.contains(word) || ran.out.contains(word)));
    }
}

#[test]
fn a_lease_whose_component_ends_says_so_and_ends_with_a_code_of_its_own() {
    let world = configured();
    let server = world.serve(&["c.toml"]);
    let held = world.start(&["lease", "mail"], Stdio::null());
    held.says("lease ");
    let kill = || {
        for pid in world.components() {
            crate::processes::signal(pid, "KILL");
        }
    };
    kill();
    held.end().check(7, &[], &["mail has ended: it was killed by SIGKILL", "ask for a new one"]);
    // The command is notified and finishes by itself. The component is loaded by request, since it backs off.
    world.run(&["load", "mail"]).check(0, &[], &[]);
    let script = "echo here >runs; while [ ! -e go ]; do sleep 0.05; done";
    let held = world.start(&["lease", "mail", "--", "sh", "-c", script], Stdio::null());
    eventually(DEADLINE, "the command", || world.read("runs").contains("here"));
    kill();
    eventually(DEADLINE, "the word of it", || held.err().contains("mail has ended: "));
    world.write("go", "");
    held.end().check(7, &[], &[]);
    drop(server.stop());
}
