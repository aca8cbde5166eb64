//! `serve` as other programs meet it: races, deaths on either side, the socket, leases and streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::Value;

use crate::eventually::eventually;
use crate::support::{DEADLINE, Running, UP, World};

/// Two in a budget for both, and one whose load takes until a file is there.
fn config(world: &World) -> String {
    format!(
        "[manager]\nbudget = \"40MiB\"\n{}{}{}",
        world.section("music", UP, "keywords = [\"play\"]"),
        world.section("mail", UP, "keywords = [\"inbox\"]"),
        world.section(
            "slow",
            "while [ ! -e go ]; do sleep 0.01; done; echo up; exec sleep 1000",
            ""
        ),
    )
}

fn serve(world: &World) -> Running<'_> {
    let running = world.start(&["serve", "c.toml", "--socket", "s.sock"], Stdio::null());
    running.says("listening");
    running
}

fn connect(world: &World) -> UnixStream {
    UnixStream::connect(world.path("s.sock")).unwrap()
}

fn send(stream: &mut UnixStream, method: &str, path: &str, more: &str, body: &str) {
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
}

/// Asks over a connection of its own.
fn ask(world: &World, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = connect(world);
    send(&mut stream, method, path, "connection: close\r\n", body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let value = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    (head[9..12].parse().unwrap(), value)
}

/// Asks over a connection that stays.
fn ask_on(stream: &mut UnixStream, method: &str, path: &str, body: &str) -> Value {
    send(stream, method, path, "", body);
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the server closed");
        if let Some(n) = line.strip_prefix("content-length: ") {
            length = n.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn component(world: &World, name: &str) -> Value {
    ask(world, "GET", &format!("/v1/components/{name}"), "").1
}

#[test]
fn two_race_for_load_and_unload() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let server = serve(&world);
    std::thread::scope(|scope| {
        for verb in ["load", "unload"] {
            let socket = world.path("s.sock");
            scope.spawn(move || {
                for _ in 0..25 {
                    let mut stream = UnixStream::connect(&socket).unwrap();
                    let path = format!("/v1/components/music/{verb}");
                    send(&mut stream, "POST", &path, "connection: close\r\n", "");
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    // Done, or refused with the holder in the way; never silence, never an error of the server.
                    let status = &answer[9..12];
                    assert!(["200", "409", "502"].contains(&status), "{answer}");
                    if status == "502" {
                        assert!(answer.contains("an operator unloaded it"), "{answer}");
                    }
                }
            });
        }
    });
    // The reported components are the loaded ones.
    assert_eq!(ask(&world, "POST", "/v1/components/music/load", "").0, 200);
    assert_eq!(component(&world, "music")["state"], "ready");
    eventually(DEADLINE, "one program", || world.components().len() == 1);
    assert_eq!(ask(&world, "POST", "/v1/components/music/unload", "").0, 200);
    eventually(DEADLINE, "no program", || world.components().is_empty());
    server.signal("TERM");
    server.end().check(0, &["listening"], &[]);
}

#[test]
fn client_that_dies_during_a_load_ends_no_other_client() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let server = serve(&world);
    let lease = "{\"components\":[\"slow\"],\"bind\":\"connection\",\"tag\":\"dies\"}";
    let mut dies = connect(&world);
    send(&mut dies, "POST", "/v1/leases", "", lease);
    eventually(DEADLINE, "the load", || component(&world, "slow")["state"] == "loading");
    let mut stays = connect(&world);
    send(&mut stays, "POST", "/v1/leases", "", lease);
    let demands = || {
        let (_, status) = ask(&world, "GET", "/v1/status", "");
        let figures = status["sections"]["engine"].as_array().unwrap();
        figures.iter().find(|f| f["name"] == "transactions").unwrap()["value"].clone()
    };
    eventually(DEADLINE, "the second demand", || demands() == 2);
    drop(dies);
    let abandoned = || {
        let (_, page) = ask(&world, "GET", "/v1/events?follow=false", "");
        page["events"].as_array().unwrap().iter().any(|e| e["event"] == "abandoned")
    };
    eventually(DEADLINE, "the word of the end", abandoned);
    assert_eq!(component(&world, "slow")["state"], "loading");
    world.write("go", "");
    eventually(DEADLINE, "the lease", || component(&world, "slow")["leases"] == 1);
    // The load was one, and the lease ends with the other connection.
    assert_eq!(component(&world, "slow")["loads"], 1);
    drop(stays);
    eventually(DEADLINE, "the end of the lease", || component(&world, "slow")["leases"] == 0);
    server.signal("TERM");
    server.end().check(0, &[], &[]);
}

#[test]
fn a_killed_server_comes_back_without_its_leases() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let mut server = serve(&world);
    let mut holder = connect(&world);
    let body = "{\"components\":[\"music\",\"mail\"],\"tag\":\"holder\"}";
    let lease = ask_on(&mut holder, "POST", "/v1/leases", body);
    let path = format!("/v1/leases/{}", lease["id"].as_str().unwrap());
    assert_eq!(world.components().len(), 2);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    // The holder of the connection sees its end, and the guard ends the programs.
    assert_eq!(holder.read(&mut [0; 16]).unwrap_or(0), 0);
    eventually(DEADLINE, "the end of the programs", || world.components().is_empty());
    assert!(world.path("s.sock").exists(), "left behind");
    let server = serve(&world);
    let (status, problem) = ask(&world, "GET", &path, "");
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_lease")));
    assert!(problem["detail"].as_str().unwrap().contains("restarted"));
    assert_eq!(component(&world, "music")["leases"], 0);
    let (status, lease) = ask(&world, "POST", "/v1/leases", body);
    assert_eq!((status, lease["components"][0]["component"].as_str()), (201, Some("music")));
    server.signal("TERM");
    server.end().check(0, &[], &[]);
    assert!(!world.path("s.sock").exists());
}

#[test]
fn the_socket_is_private_and_a_second_server_is_refused() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let server = serve(&world);
    assert_eq!(std::fs::metadata(world.path("s.sock")).unwrap().mode() & 0o777, 0o600);
    let pid = server.child.id().to_string();
    let second = world.run(&["serve", "c.toml", "--socket", "s.sock"]);
    second.check(1, &[], &["running server", &pid, "--socket"]);
    assert_eq!(ask(&world, "GET", "/healthz", "").0, 200);
    server.signal("TERM");
    server.end().check(0, &[], &[]);
}

#[test]
fn endpoints_logs_and_events() {
    let world = World::new();
    let talks = format!(
        "[components.talks]\nmemory = \"10MiB\"\ncwd = \".\"\nenv = {{ {} = {:?} }}\n\
         command = [\"/bin/sh\", \"-c\", \"echo up at $0; echo more; exec sleep 1000\", \"{{port}}\", \"{{socket}}\"]\n\
         ready = {{ stdout = \"up\" }}\nkeywords = [\"talk\"]\n",
        crate::processes::MARK,
        world.path("").display().to_string().trim_end_matches('/'),
    );
    world.write("c.toml", talks);
    let server = serve(&world);
    let mut events = connect(&world);
    send(&mut events, "GET", "/v1/events?from=0", "", "");
    let body = "{\"text\":\"talk to me\",\"lease\":{\"ttl_ms\":60000}}";
    let (_, outcome) = ask(&world, "POST", "/v1/commands", body);
    let endpoint = &outcome["components"][0]["endpoint"];
    assert_eq!(endpoint["host"], "127.0.0.1");
    let port = endpoint["port"].as_u64().unwrap();
    assert!(endpoint["socket"].as_str().unwrap().contains("talks"));
    let (_, page) = ask(&world, "GET", "/v1/components/talks/logs", "");
    assert_eq!(page["lines"][0]["text"], format!("up at {port}"));
    // Both streams go on until the server ends, and then end themselves.
    let mut logs = connect(&world);
    send(&mut logs, "GET", "/v1/components/talks/logs?follow=true&last=9", "", "");
    let mut lines = BufReader::new(logs).lines().map(Result::unwrap);
    assert!(lines.any(|l| l.contains("\"text\":\"more\"")));
    server.signal("TERM");
    server.end().check(0, &[], &[]);
    assert!(lines.all(|l| !l.contains("gap")));
    let mut expected = String::new();
    events.read_to_string(&mut expected).unwrap();
    assert!(
        expected.contains("\"text\":\"talks: queued -> loading") && expected.contains("granted"),
        "{expected}"
    );
}

#[test]
fn a_thousand_leases_of_a_dead_client_come_back() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let server = serve(&world);
    let mut leaker = connect(&world);
    let body = "{\"components\":[\"music\"],\"bind\":\"connection\",\"tag\":\"leaker\"}";
    for _ in 0..1000 {
        ask_on(&mut leaker, "POST", "/v1/leases", body);
    }
    let (status, problem) = ask(&world, "POST", "/v1/components/music/unload", "");
    assert_eq!(status, 409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1000 leases of leaker"), "{detail}");
    drop(leaker);
    eventually(DEADLINE, "all of them", || component(&world, "music")["leases"] == 0);
    assert_eq!(ask(&world, "POST", "/v1/components/music/unload", "").0, 200);
    server.signal("TERM");
    server.end().check(0, &[], &[]);
}

#[test]
fn what_users_say_is_not_logged() {
    let world = World::new();
    world.write("c.toml", config(&world));
    let words = ["-vvv", "serve", "c.toml", "--socket", "s.sock"];
    let server = world.start(&words, Stdio::null());
    server.says("listening");
    for body in ["{\"text\":\"play sesame\"}", "{\"text\":\"sesame\"}"] {
        assert_eq!(ask(&world, "POST", "/v1/commands", body).0, 200);
        assert_eq!(ask(&world, "POST", "/v1/plan", body).0, 200);
    }
    server.signal("TERM");
    let ran = server.end();
    ran.check(0, &[], &["/v1/commands"]);
    assert!(!ran.err.contains("sesame") && !ran.out.contains("sesame"), "{}", ran.err);
}
