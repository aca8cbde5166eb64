//! `serve` as an operator runs it: its socket, its state directory, its signals, and faults around it.

use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use crate::eventually::eventually;
use crate::support::{DEADLINE, STUBBORN, UP, World};

fn configured() -> World {
    let world = World::new();
    world.write("c.toml", world.section("a", UP, "keywords = [\"play\"]"));
    world
}

#[test]
fn a_second_server_is_refused_with_the_pid_of_the_first() {
    let world = configured();
    let first = world.serve(&["c.toml", "--state-dir", "state"]);
    let pid = format!("pid {}", first.pid());
    world.run(&["serve", "c.toml"]).check(1, &[], &["belongs to a running server", &pid]);
    let words = ["serve", "c.toml", "--socket", "other.sock", "--state-dir", "state"];
    world.run(&words).check(1, &[], &["state directory", "is in use", &pid]);
    world.run(&["status"]).check(0, &[&pid], &[]);
    first.stop().check(0, &[], &[]);
    assert!(!world.path("other.sock").exists());
}

#[test]
fn a_socket_that_was_left_behind_is_taken_over() {
    let world = configured();
    let mut killed = world.serve(&["c.toml"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(world.socket().exists(), "the socket of a killed server stays");
    world.run(&["status"]).check(4, &[], &["no server listens at"]);
    let server = world.serve(&["c.toml"]);
    world.run(&["status"]).check(0, &["a     unloaded"], &[]);
    let ran = server.stop();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_ends_nothing() {
    let world = configured();
    let mut command = Command::new("/bin/sh");
    let words = ["-c", "exec \"$@\" 2>/dev/full", "sh", env!("CARGO_BIN_EXE_majordomo")];
    command.args(words).args(["serve", "c.toml", "-vvv"]);
    let server = world.start_as(&mut command, Stdio::null());
    eventually(DEADLINE, "it serves", || world.socket().exists());
    world.run(&["load", "a"]).check(0, &[], &[]);
    world.run(&["unload", "a"]).check(0, &[], &[]);
    server.stop().check(0, &[], &[]);
}

#[test]
fn fewer_connections_than_configured_are_warned_of_with_the_limit_that_is_in_the_way() {
    let world = configured();
    let config = world.read("c.toml");
    world.write("c.toml", format!("[server]\nmax_connections = 300\n{config}"));
    let mut command = Command::new("/bin/sh");
    let words = ["-c", "ulimit -n 300; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_majordomo")];
    command.args(words).args(["serve", "c.toml"]);
    let server = world.start_as(&mut command, Stdio::null());
    server.says(".sock");
    let warning = "allows 100 connections a listener, fewer than server.max_connections (300)";
    let ran = server.stop();
    ran.check(0, &[], &[warning, "raise the limit to 900"]);
    assert_eq!(ran.err.matches(warning).count(), 1, "{ran:?}");
}

/// Sends one request by hand and gives the whole answer.
fn ask(world: &World, path: &str) -> String {
    let mut stream = UnixStream::connect(world.socket()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_reload_is_checked_shown_and_applied() {
    let world = World::new();
    let a = world.section("a", UP, "keywords = [\"play\"]");
    let b = world.section("b", UP, "");
    world.write("c.toml", format!("{a}{b}"));
    let server = world.serve(&["c.toml"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    let held = world.start(&["lease", "b"], Stdio::null());
    held.says("lease ");
    // A bad file changes nothing, and all that is wrong with it is said.
    world.write("c.toml", "[manager]\nbudget = \"lots\"\n[components.a]\nmemory = -1\n");
    for words in [&["reload", "--dry-run"] as &[&str], &["reload"]] {
        world.run(words).check(1, &[], &["\"lots\"", "memory is negative"]);
    }
    server.signal("HUP");
    eventually(DEADLINE, "the log of a bad file", || {
        server.err().contains("nothing was changed") && server.err().contains("\"lots\"")
    });
    // The changes, and their effects.
    let budget = "[manager]\nbudget = \"100MiB\"\nqueue_capacity = 7\n";
    let a = world.section("a", UP, "keywords = [\"sing\"]");
    let b = world.section("b", UP, "version = \"2\"");
    let c = world.section("c", UP, "lazy_init = false");
    world.write("c.toml", format!("{budget}{a}{b}{c}"));
    let expected = [
        "~ a keeps running\n    keywords: [\"play\"] -> [\"sing\"]",
        "~ b is in use: loaded again when its lease is given back\n    version:  -> 2",
        "+ c is loaded now",
        "~ memory.budget.bytes: nothing -> 100 MiB",
        "~ queue.capacity: 1024 -> 7  (takes effect when the server is restarted)",
    ];
    world.run(&["reload", "--dry-run"]).check(0, &expected, &[]);
    world.run(&["reload", "--dry-run"]).check(0, &["nothing was applied"], &[]);
    let dry = world.run(&["reload", "--dry-run", "--json"]).json().swap_remove(0);
    assert_eq!((&dry["dry_run"], &dry["components"][2]["change"]), (&true.into(), &"added".into()));
    server.signal("HUP");
    eventually(DEADLINE, "the reload", || server.err().contains("+ c is loaded now"));
    eventually(DEADLINE, "the new one", || world.run(&["status"]).out.contains("c     ready"));
    world.run(&["run", "sing"]).check(0, &["a 1.00"], &[]);
    world.run(&["status"]).check(0, &["stale"], &[]);
    held.signal("INT");
    held.end().check(0, &[], &[]);
    eventually(DEADLINE, "b reloaded", || !world.run(&["status"]).out.contains("stale"));
    world.run(&["reload"]).check(0, &["no changes"], &[]);
    server.stop().check(0, &[], &[]);
    assert!(world.processes().is_empty());
}

#[test]
fn a_core_component_that_fails_makes_it_degraded_and_nothing_more() {
    let world = World::new();
    let core = "priority = \"CORE\"";
    let dies = world.section("ears", "echo no microphone >&2; exit 3", core);
    world.write("c.toml", format!("{dies}{}", world.section("a", UP, "keywords = [\"play\"]")));
    let server = world.serve(&["c.toml"]);
    eventually(DEADLINE, "the failure", || server.err().contains("degraded: CORE component ears"));
    world.run(&["status"]).check(0, &["not ready: ears is "], &[]);
    let answer = ask(&world, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("ears"), "{answer}");
    assert!(ask(&world, "/healthz").starts_with("HTTP/1.1 200 "));
    world.run(&["run", "play"]).check(0, &["waited"], &[]);
    server.stop().check(0, &[], &[]);
}

#[test]
fn signals_end_it_with_nothing_left_and_the_second_kills() {
    let world = World::new();
    let slow = "[manager]\nshutdown_deadline = \"1h\"\nstop_deadline = \"1h\"\n";
    world.write("c.toml", slow.to_owned() + &world.section("a", STUBBORN, ""));
    let server = world.serve(&["c.toml"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    let held = world.start(&["lease", "a"], Stdio::null());
    held.says("lease ");
    server.signal("TERM");
    eventually(DEADLINE, "the end to begin", || server.err().contains("stopping"));
    server.signal("INT");
    server.end().check(0, &[], &["interrupt again to stop at once"]);
    assert!(world.components().is_empty() && !world.socket().exists());
    let ran = held.end();
    assert!(matches!(ran.code, Some(4 | 6)), "the lease is gone with its server: {ran:?}");
}

#[test]
fn service_manager_is_notified() {
    let world = World::new();
    let core = world.section("a", UP, "priority = \"CORE\"");
    world.write("c.toml", &core);
    let path = world.socket().with_file_name("notify");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(DEADLINE * 10)).unwrap();
    let hear = || {
        let mut buffer = [0; 1024];
        let n = listener.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    let wait_for = |part: &str| while !hear().contains(part) {};
    let mut command = Command::new(world.path("majordomo"));
    command.args(["serve", "c.toml"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let server = world.start_as(&mut command, Stdio::null());
    wait_for("READY=1\nSTATUS=1 of 1 component loaded");
    wait_for("WATCHDOG=1");
    server.signal("HUP");
    wait_for("RELOADING=1\nMONOTONIC_USEC=");
    wait_for("READY=1");
    server.signal("TERM");
    wait_for("STOPPING=1");
    server.end().check(0, &[], &[]);
}

#[test]
fn files_that_others_may_write_are_refused() {
    let world = configured();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(world.path(name), Permissions::from_mode(mode)).unwrap();
    };
    mode("c.toml", 0o666);
    let parts = ["c.toml", "every user of this machine may write to it", "chmod go-w"];
    world.run(&["serve", "c.toml"]).check(1, &[], &parts);
    world.run(&["run", "c.toml", "play"]).check(1, &[], &parts);
    mode("c.toml", 0o644);
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    // Only the superuser can give files away.
    if std::os::unix::fs::chown(world.path("c.toml"), Some(54_321), Some(54_321)).is_ok() {
        let parts = ["c.toml", "not trusted", "belongs to user 54321", "chown"];
        world.run(&["reload"]).check(1, &[], &parts);
        world.run(&["run", "c.toml", "play"]).check(1, &[], &parts);
        std::os::unix::fs::chown(world.path("c.toml"), Some(0), Some(54_321)).unwrap();
        mode("c.toml", 0o664);
        world.run(&["reload"]).check(1, &[], &["group 54321 may write to it", "chmod g-w"]);
        mode("c.toml", 0o644);
        world.run(&["reload"]).check(0, &[], &[]);
    }
    server.stop();
    mode("state", 0o777);
    world.run(&["serve", "c.toml", "--state-dir", "state"]).check(1, &[], &["mode 777", "chmod"]);
}

#[test]
fn read_only_state_directory_is_used_and_reported() {
    let world = configured();
    let learn = world.serve(&["c.toml", "--state-dir", "state"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    learn.stop();
    let modes = [("state/state.redb", 0o444), ("state/lock", 0o444), ("state", 0o555)];
    for (name, mode) in modes {
        std::fs::set_permissions(world.path(name), Permissions::from_mode(mode)).unwrap();
    }
    // The superuser writes what it likes, so it gets a file system that is read only.
    let is_root = OpenOptions::new().write(true).open(world.path("state/lock")).is_ok();
    let mut command = Command::new(if is_root { "unshare" } else { "env" });
    if is_root {
        let script = "mount --bind state state && mount -o remount,bind,ro state && exec \"$@\"";
        command.args(["-m", "sh", "-c", script, "sh"]);
    }
    command.arg(world.path("majordomo")).args(["serve", "c.toml", "--state-dir", "state"]);
    let server = world.start_as(&mut command, Stdio::null());
    let mut is_up = false;
    eventually(DEADLINE, "the server, or that there are no mounts here", || {
        is_up = server.out().contains(".sock");
        is_up || server.err().contains("unshare") || server.err().contains("mount")
    });
    if is_up {
        assert!(server.err().contains("cannot be written"), "{}", server.err());
        let status = world.run(&["status"]);
        status.check(0, &["state problem: ", "nothing new is kept"], &[]);
        world.run(&["state", "show"]).check(0, &["\na  "], &[]);
        world.run(&["load", "a"]).check(0, &["a is ready"], &[]);
        server.stop().check(0, &[], &[]);
    } else {
        eprintln!("skipped: run as root where nothing can be mounted: {}", server.err());
    }
    std::fs::set_permissions(world.path("state"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn learned_data_is_shown_exported_and_forgotten() {
    let world = World::new();
    let b = world.section("b", UP, "");
    world.write("c.toml", world.section("a", UP, "keywords = [\"play\"]") + &b);
    let (here, there) = (["state", "show"], ["state", "show", "--state-dir", "state"]);
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    world.run(&here).check(0, &["nothing is learned yet"], &[]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    world.run(&["load", "b"]).check(0, &[], &[]);
    let pid = format!("pid {}", server.pid());
    world.run(&there).check(1, &[], &["is in use", &pid]);
    server.stop().check(0, &[], &[]);
    world.run(&there).check(0, &["COMPONENT", "\na  ", "\nb  "], &[]);
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    world.run(&here).check(0, &["\na  ", "\nb  "], &[]);
    assert!(!world.run(&["status"]).out.contains("a     unloaded    -"));
    let all = world.run(&["state", "export", "--json"]).json().swap_remove(0);
    assert_eq!(all["figures"][0]["component"], "a");
    let measured = |v: &&serde_json::Value| v["namespace"] == "measured";
    let last = all["values"].as_array().unwrap().iter().rfind(measured).unwrap();
    assert!(last["key"].as_str().unwrap().starts_with("b/"), "{all}");
    world.run(&["state", "forget", "a"]).check(0, &["1 value forgotten"], &[]);
    world.run(&["state", "forget", "c"]).check(6, &[], &["no component is called \"c\""]);
    let left = world.run(&here);
    assert!(!left.out.contains("\na  ") && left.out.contains("\nb  "), "{}", left.out);
    let status = world.run(&["status", "--json"]).json().swap_remove(0);
    assert!(status["components"][0]["load_time_ms"].is_null(), "{status}");
    assert!(status["components"][0]["load_stages"].is_null(), "{status}");
    assert_eq!(status["components"][1]["load_stages"][0]["stage"], "spawn", "{status}");
    world.run(&["run", "play"]).check(0, &[], &[]);
    let usage = ["state", "export", "--usage"];
    world.run(&usage).check(0, &["me\t", "\ta\n"], &[]);
    let learned = || world.run(&["status", "--all"]).out;
    assert!(learned().contains("commands learned from                  1"), "{}", learned());
    world.run(&["state", "forget", "--all", "--json"]).check(0, &["{\"forgotten\":"], &[]);
    world.run(&usage).check(0, &[], &["nothing to export"]);
    assert!(learned().contains("commands learned from                  0"), "{}", learned());
    world.run(&["load", "a"]).check(0, &[], &[]);
    server.stop();
    world.run(&["state", "forget", "--all", "--state-dir", "state"]).check(0, &["forgotten"], &[]);
    world.run(&there).check(0, &["nothing is learned yet"], &[]);
    world.run(&["state", "show", "--state-dir", "else"]).check(
        1,
        &[],
        &["nothing was ever learned"],
    );
}

#[test]
fn full_disk_is_reported_and_no_failure() {
    let world = configured();
    let settings = "[manager]\nwrite_state_after = \"1s\"\n";
    world.write("c.toml", format!("{settings}\n{}", world.read("c.toml")));
    // Writes behind a size fail as on a full disk, without the signal that says so.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(world.path("majordomo"));
    command.args(["serve", "c.toml", "--state-dir", "state"]);
    let server = world.start_as(&mut command, Stdio::null());
    server.says(".sock");
    let limit = |size: &str| {
        let pid = server.pid().to_string();
        let done =
            Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}:")]).status();
        done.is_ok_and(|s| s.success())
    };
    if !limit("8192") {
        eprintln!("skipped: there is no prlimit here");
        server.stop();
        return;
    }
    world.run(&["load", "a"]).check(0, &["a is ready"], &[]);
    world.run(&["run", "play"]).check(0, &["a 1.00"], &[]);
    world.run(&["feedback", "--used", "a", "a song"]).check(0, &["learned"], &[]);
    let n_lines = |words: &str| server.err().lines().filter(|l| l.contains(words)).count();
    let both = ["learned figures", "what was learned from texts"];
    for what in both {
        eventually(DEADLINE, what, || n_lines(&format!("{what} cannot be written")) > 0);
    }
    world.run(&["status"]).check(0, &["after a failure"], &[]);
    // There is room again: what was kept is written, without anything new to learn.
    assert!(limit("unlimited"));
    for what in both {
        let again = ["are written again", "is written again"];
        let said = || again.iter().any(|words| n_lines(&format!("{what} {words}")) > 0);
        eventually(DEADLINE, what, said);
        // Tried several times, logged once.
        assert_eq!(n_lines(&format!("{what} cannot be written")), 1, "{}", server.err());
    }
    assert!(limit("8192"));
    world.run(&["feedback", "--used", "a", "another song"]).check(0, &["learned"], &[]);
    let ran = server.stop();
    ran.check(0, &[], &["cannot be written"]);
    assert!(world.processes().is_empty());
    // The stored data is complete, and is used again.
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    world.run(&["load", "a"]).check(0, &[], &[]);
    let ran = server.stop();
    assert!(!ran.err.contains("set aside") && !ran.err.contains("renamed"), "{}", ran.err);
    world.run(&["state", "show", "--state-dir", "state"]).check(0, &["\na  "], &[]);
}

#[test]
fn the_log_as_json() {
    let world = configured();
    let server = world.serve(&["c.toml", "--log-format", "json"]);
    server.signal("HUP");
    eventually(DEADLINE, "the log", || server.err().contains("configuration reloaded"));
    let ran = server.stop();
    let first = ran.err.lines().find(|l| l.contains("configuration reloaded")).unwrap();
    let line: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"configuration reloaded".into())
    );
}

#[test]
fn units_completions_and_manual_pages() {
    let world = configured();
    let config = world.path("c.toml").display().to_string();
    let ran = world.run(&["service", "print", "systemd", "c.toml"]);
    let exec = format!(
        "ExecStart={} serve {config} --state-dir %S/majordomo",
        world.path("majordomo").display()
    );
    // The default shutdown_deadline of 10 s, and 20 s for the rest.
    let timeout = "TimeoutStopSec=30\n";
    ran.check(0, &[&exec, "Type=notify\n", "systemctl --user", timeout], &[]);
    let longer =
        format!("[manager]\nshutdown_deadline = \"90500ms\"\n{}", world.section("a", UP, ""));
    world.write("longer.toml", longer);
    let print = |manager: &str| world.run(&["service", "print", manager, "longer.toml"]);
    print("systemd").check(0, &["TimeoutStopSec=111\n"], &[]);
    print("launchd").check(0, &["<key>ExitTimeOut</key>\n  <integer>111</integer>"], &[]);
    world.run(&["service", "print", "systemd", "absent.toml"]).check(1, &[], &["absent.toml"]);
    let words =
        ["service", "print", "systemd", "c.toml", "--user", "bot", "--state-dir", "/srv/st"];
    world.run(&words).check(0, &["User=bot", "--state-dir /srv/st --socket %t/"], &[]);
    let ran = world.run(&["service", "print", "launchd", "c.toml"]);
    ran.check(0, &["<string>serve</string>", &config, "launchctl bootstrap"], &[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        world.run(&["completions", shell]).check(0, &["majordomo", "status"], &[]);
    }
    world.run(&["man", "man"]).check(0, &["man -l man/majordomo.1"], &[]);
    for page in
        ["majordomo.1", "majordomo-serve.1", "majordomo-lease.1", "majordomo-service-print.1"]
    {
        assert!(world.read(&format!("man/{page}")).contains(".TH"), "{page}");
    }
}

#[test]
fn gateway_is_mounted_where_it_is_configured_and_shown_with_its_address() {
    let world = configured();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let gateway = format!("[gateway]\nlisten = [\"127.0.0.1:{port}\"]\n");
    world.write("g.toml", format!("{gateway}{}", world.section("a", UP, "")));
    let server = world.serve(&["g.toml"]);
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"GET /v1/models HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK") && answer.contains("\"object\":\"list\""), "{answer}");
    let second = world.run(&["serve", "g.toml", "--socket", "other.sock"]);
    second.check(1, &[], &["cannot listen at", "gateway.listen"]);
    world.write("g.toml", format!("{gateway}use_gap = \"1s\"\n{}", world.section("a", UP, "")));
    world.run(&["reload"]).check(0, &["gateway.use_gap: "], &[]);
    let where_it_listens = format!("components at http://127.0.0.1:{port}");
    server.stop().check(0, &[&where_it_listens], &[]);
}
