//! Heads of requests: what is refused before it is parsed, and that the answer is a problem.

use std::time::Duration;

use majordomo::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Served, problem};

#[tokio::test(flavor = "current_thread")]
async fn every_refused_head_is_answered_by_a_problem_and_ends_the_connection() {
    let served = Served::start(ServerConfig::default()).await;
    let long = "x".repeat(70_000);
    let with = |fields: &str| {
        format!("POST /v1/plan HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n0\r\n\r\n")
    };
    let fields = "x: y\r\n".repeat(101);
    for (bytes, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /v1 HTTP/1.1\nhost: localhost\n\n".to_owned(), 400, "bad_request"),
        ("GET /v1 HTTP/1.1\r\nhost: localhost\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /v1 HTTP/9.1\r\nhost: localhost\r\n\r\n".to_owned(), 400, "bad_request"),
        (with("x: \0\r\n"), 400, "bad_request"),
        (with("content-length: 3\r\ncontent-length: 3\r\n"), 400, "bad_request"),
        (with("content-length: 3\r\ntransfer-encoding: chunked\r\n"), 400, "bad_request"),
        (with("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n"), 400, "bad_request"),
        (with("transfer-encoding: identity, chunked\r\n"), 400, "bad_request"),
        (with("content-length: x\r\n"), 400, "bad_request"),
        (with("content-length: 18446744073709551615\r\n"), 400, "bad_request"),
        (with("content-length: 18446744073709551613\r\n"), 400, "bad_request"),
        ("\r\n".repeat(5), 400, "bad_request"),
        (with("expect : 100-continue\r\n"), 400, "bad_request"),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 414, "uri_too_long"),
        (with(&format!("x: {long}\r\n")), 431, "head_too_large"),
        (with(&fields), 431, "head_too_large"),
    ] {
        let answer = served.raw(&bytes).await;
        let (got, name, value) = problem(&answer);
        assert_eq!((got, name.as_str()), (status, code), "{answer}");
        assert!(value["detail"].as_str().unwrap().len() < 1000, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // After a request that is right, in its turn.
    let right = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answers = served.raw(format!("{right}{right}nonsense\r\n\r\n{right}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 400 "), "{answers}");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn bodies_of_chunks_are_read_and_the_next_request_after_them() {
    let served = Served::start(ServerConfig::default()).await;
    let last = "GET /v1/none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let head = "POST /v1/plan HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = "13;x=y\r\n{\"components\":[\"mus\r\n5\r\nic\"]}\r\n0\r\na: b\r\n\r\n";
    let answers = served.raw(format!("{head}{body}{last}")).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 1, "{answers}");
    // Chunks that are none end it.
    let answer = served.raw(format!("{head}5\nabcde\r\n0\r\n\r\n{last}")).await;
    let (_, code, value) = problem(&answer);
    assert_eq!(code, "bad_request");
    assert!(value["detail"].as_str().unwrap().contains("RFC 9112"), "{answer}");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_pipelined_half_head_has_no_longer_than_any_other() {
    let config = ServerConfig {
        header_time: Duration::from_millis(60),
        idle_time: Duration::from_secs(3600),
        ..ServerConfig::default()
    };
    let served = Served::start(config).await;
    for rest in ["GET /hea", "G", "GET / HTTP/1.1\r\nhost: localhost\r\n"] {
        let right = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let answers = served.raw(format!("{right}{right}{rest}")).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_before_the_body_was_read_reaches_the_client_whole() {
    let served = Served::start(ServerConfig::default()).await;
    // More than the server reads at once: closing on the rest would reset the connection.
    let part = "x".repeat(100_000);
    for target in ["POST /v1/none", "DELETE /v1/status", "GET /healthz"] {
        let head =
            format!("{target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000\r\n\r\n");
        let mut stream = served.connect().await;
        stream.write_all(format!("{head}{part}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect(target);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_without_a_host_is_refused_for_that() {
    let served = Served::start(ServerConfig::default()).await;
    let (status, code, value) = problem(&served.raw("GET /healthz HTTP/1.0\r\n\r\n").await);
    assert_eq!((status, code.as_str()), (421, "host_forbidden"));
    assert!(value["detail"].as_str().unwrap().contains("names no host"), "{value}");
    served.end().await;
}
