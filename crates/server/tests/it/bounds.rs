//! Refused requests and their answers: bad, too large, too slow, for wrong hosts.

use std::time::Duration;

use majordomo::{ByteSize, ServerConfig};
use majordomo_server::wire::{LeaseRequest, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Served, problem, rest, until};

const SHORT: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "current_thread")]
async fn bad_requests_have_codes() {
    let config = ServerConfig { max_body: ByteSize::kib(4), ..ServerConfig::default() };
    let served = Served::start(config).await;
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(5000));
    for (method, path, more, body, status, code) in [
        ("POST", "/v1/commands", "", "{\"text\": ", 400, "bad_json"),
        ("POST", "/v1/commands", "", "not json", 400, "bad_json"),
        ("POST", "/v1/commands", "", "[]", 400, "bad_json"),
        ("POST", "/v1/commands", "", "{\"text\":\"a\",\"program\":\"/bin/sh\"}", 400, "bad_json"),
        ("POST", "/v1/commands", "", "", 422, "bad_value"),
        ("POST", "/v1/commands", "", "{\"text\":\"  \"}", 422, "bad_value"),
        ("POST", "/v1/commands", "", &long, 413, "body_too_large"),
        ("POST", "/v1/plan", "", "{}", 422, "bad_value"),
        ("POST", "/v1/intents", "", "{\"text\":\" \"}", 422, "bad_value"),
        // A byte order mark is no part of a text.
        ("POST", "/v1/plan", "", "\u{feff}{}", 422, "bad_value"),
        ("POST", "/v1/plan", "", "{\"components\":[\"musik\"]}", 404, "unknown_component"),
        ("POST", "/v1/leases", "", "{}", 422, "bad_value"),
        ("POST", "/v1/leases", "", "{\"components\":[\"x y\"]}", 404, "unknown_component"),
        (
            "POST",
            "/v1/leases",
            "",
            "{\"components\":[\"mail\"],\"ttl_ms\":600001}",
            422,
            "bad_value",
        ),
        ("POST", "/v1/leases", "", "{\"components\":[\"mail\"],\"ttl_ms\":0}", 422, "bad_value"),
        ("POST", "/v1/leases", "", "{\"components\":[\"mail\"],\"tag\":\"\\n\"}", 422, "bad_value"),
        ("GET", "/v1/leases/none", "", "", 404, "unknown_lease"),
        ("DELETE", "/v1/leases/1-1", "", "", 404, "unknown_lease"),
        ("GET", "/v1/components/musik", "", "", 404, "unknown_component"),
        ("GET", "/v1/components/%FF", "", "", 400, "bad_request"),
        ("GET", "/v1/components/music/logs?max=0", "", "", 422, "bad_value"),
        ("GET", "/v1/components/music/logs?form=1", "", "", 422, "bad_value"),
        ("GET", "/v1/events?from=x", "", "", 422, "bad_value"),
        // Forgotten figures cannot be restored, so a slip forgets nothing.
        ("POST", "/v1/state/forget", "", "", 422, "bad_value"),
        (
            "POST",
            "/v1/state/forget",
            "",
            r#"{"component": "music", "all": true}"#,
            422,
            "bad_value",
        ),
        ("GET", "/v1/events", "last-event-id: x\r\n", "", 422, "bad_value"),
        ("GET", "/v1/nothing", "", "", 404, "unknown_route"),
        ("GET", "/", "", "", 404, "unknown_route"),
        ("GET", "/v2/status", "", "", 404, "unknown_version"),
        ("PUT", "/v1/status", "", "", 405, "method_not_allowed"),
        ("GET", "/v1/status", "majordomo-version: 9.0.0\r\n", "", 400, "version_mismatch"),
        ("GET", "/v1/status", "origin: http://localhost\r\n", "", 403, "origin_forbidden"),
        ("GET", "/healthz", "origin: null\r\n", "", 403, "origin_forbidden"),
        ("POST", "/v1/reload", "", "", 409, "no_file"),
    ] {
        let answer = served.ask(method, path, more, body).await;
        let (got, name, value) = problem(&answer);
        assert_eq!((got, name.as_str()), (status, code), "{method} {path} {body}: {answer}");
        assert!(!value["detail"].as_str().unwrap().is_empty());
        assert!(answer.contains("majordomo-version: "), "{answer}");
    }
    let near = served.ask("GET", "/v1/components/musik", "", "").await;
    assert_eq!(problem(&near).2["did_you_mean"], "music");
    let mismatch = served.ask("GET", "/v1", "majordomo-version: 9.0.0\r\n", "").await;
    let detail = problem(&mismatch).2["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("9.0.0") && detail.contains("0.1") && detail.contains("restart"));
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn only_this_machine_is_meant() {
    let served = Served::start(ServerConfig::default()).await;
    for (host, status) in [
        ("host: localhost\r\n", 200),
        ("host: LOCALHOST:80\r\n", 200),
        ("host: 127.0.0.1:7000\r\n", 200),
        ("host: [::1]:7000\r\n", 200),
        ("host: evil.example\r\n", 421),
        ("host: localhost.evil.example\r\n", 421),
        ("host: \r\n", 421),
        ("", 421),
        ("host: localhost\r\nhost: evil.example\r\n", 421),
    ] {
        let request = format!("GET /v1 HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let answer = served.raw(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host:?}: {answer}");
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn slow_clients_are_cut() {
    let config = ServerConfig {
        header_time: SHORT,
        body_time: SHORT,
        idle_time: SHORT,
        ..ServerConfig::default()
    };
    let served = Served::start(config).await;
    // Nothing at all, half a head, and half a head after a whole request.
    assert_eq!(served.raw("").await, "");
    assert_eq!(served.raw("GET /v1 HTTP/1.1\r\nhost: loc").await, "");
    let answer = served.raw("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /hea").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"status\":\"ok\"}"),
        "{answer}"
    );
    // A byte now and then does not help.
    let mut drip = served.connect().await;
    let cut = tokio::time::timeout(Duration::from_secs(20), async {
        let mut drops = tokio::time::interval(Duration::from_millis(5));
        for byte in "GET / HTTP/1.1\r\nx: ".bytes().chain(std::iter::repeat(b'y')) {
            drops.tick().await;
            if drip.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    cut.await.expect("the slow client is never cut");
    // Half a body is answered before the connection closes.
    let half = "POST /v1/plan HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    assert_eq!(problem(&served.raw(half).await).1, "body_timeout");
    // Idle after a whole request.
    let mut idle = served.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200"));
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_that_reads_nothing_is_cut() {
    let config = ServerConfig { stall_time: SHORT, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let mut stream = served.connect().await;
    // More answers than fit into the buffers of the system.
    let request = b"GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let cut = tokio::time::timeout(Duration::from_secs(20), async {
        while stream.write_all(request).await.is_ok() {}
    });
    cut.await.expect("the deaf client is never cut");
    assert!(served.client().health().await.is_ok());
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn surplus_connections_are_answered_with_a_retry_time() {
    let config = ServerConfig { max_streams: 1, max_leases: 1, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let client = served.client();
    let stream = client.follow_events(None).await.unwrap();
    let error = client.follow_events(None).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "too_many_streams");
    assert!(error.problem().unwrap().retry_after_s().is_some());
    let request = LeaseRequest { components: vec!["music".into()], ..LeaseRequest::default() };
    client.acquire(&request).await.unwrap();
    let error = client.acquire(&request).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "too_many_leases");
    drop(stream);
    served.end().await;
}

/// This queue is never emptied; the real server's holds 1024.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_is_not_taken_for_a_server_that_is_not_there() {
    let path = std::env::temp_dir().join(format!("mj-queue-{}", std::process::id()));
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _listener = socket.listen(0).unwrap();
    let client = || majordomo_server::Client::new(majordomo_server::Address::Unix(path.clone()));
    let _first = tokio::net::UnixStream::connect(&path).await.unwrap();
    let error = client().health().await.unwrap_err();
    assert!(matches!(error, majordomo_server::ClientError::Crowded { .. }), "{error}");
    assert!(error.to_string().contains("try again"), "{error}");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn every_connection_of_a_crowd_gets_an_answer() {
    let config = ServerConfig { max_connections: 1, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let stream = served.client().follow_events(None).await.unwrap();
    // More than are answered at once; all are there before the first of them asks.
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(served.connect().await);
    }
    for stream in &mut crowd {
        stream.write_all(b"POST /v1/plan HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    }
    // A connection that sends nothing is answered, too.
    crowd.push(served.connect().await);
    for (n, mut stream) in crowd.into_iter().enumerate() {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(problem(&answer).1, "too_many_connections", "{n}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    // A client hears it in words, too: an answer before the request, or a close on unread bytes, would be lost.
    for _ in 0..50 {
        let error = served.client().load("mail").await.unwrap_err();
        let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(problem.code, "too_many_connections");
    }
    drop(stream);
    until("room again", async || served.client().load("mail").await.is_ok()).await;
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_that_takes_too_long_is_given_up() {
    let config = ServerConfig { request_time: SHORT, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let client = served.client();
    // A load has a deadline of its own, and is not cut off.
    let load = tokio::spawn({
        let client = served.client();
        async move { client.load("slow").await }
    });
    let loads = async || client.component("slow").await.unwrap().state == State::Loading;
    until("the load", loads).await;
    let error = client.unload("slow", true).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "request_timeout");
    assert_eq!(load.await.unwrap().unwrap_err().problem().unwrap().code, "unloaded");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let served = Served::start(ServerConfig::default()).await;
    let mut stream = served.connect().await;
    let one = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET /v1/none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(i, _)| &answers[i + 9..i + 12]).collect();
    assert_eq!(statuses, ["200", "200", "404"]);
    served.end().await;
}
