//! Streams, large answers, and connections that are kept.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{body, chat, status, until};

#[tokio::test]
async fn events_arrive_as_they_are_made_and_a_connection_is_kept() {
    let (world, component) = chat(|_| {}).await;
    let answer = world.get("/c/chat/events").await;
    assert_eq!(body(&answer), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    let mut client = world.connect().await;
    for n in 0..5 {
        client.write_all(b"GET /c/chat/x HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let n_read = client.read(&mut answer).await.unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&answer[..n_read])), 200, "{n}");
    }
    assert_eq!(component.open(), 1, "the component's connection is kept, too");
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn large_answers_and_heads_without_bodies_pass() {
    let (world, _) = chat(|_| {}).await;
    let answer = world.get("/c/chat/large").await;
    assert_eq!(answer.len() - answer.find("\r\n\r\n").unwrap() - 4, 8 << 20);
    let answer = world.ask("HEAD /c/chat/x", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && body(&answer).is_empty(), "{answer}");
    until("all leases are back", async || world.leases("chat").await == 0).await;
    world.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (world, _) = chat(|_| {}).await;
    let answer = world
        .send("GET /c/chat/1 HTTP/1.1\r\nhost: localhost\r\n\r\nGET /c/chat/2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    let (one, two) = (answer.find("GET /1 "), answer.find("GET /2 "));
    assert!(one.is_some() && one < two, "{answer}");
    world.end().await;
}
