//! Bad input, components that fail, and ends in the middle.

use std::time::Duration;

use majordomo::{ByteSize, ComponentState, ListenAddress};
use majordomo_gateway::{GatewayError, claim};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::component::Component;
use crate::support::{DEADLINE, body, chat, status, until, world};

#[tokio::test]
async fn heads_that_two_readers_could_take_differently_are_refused() {
    let (world, component) = chat(|_| {}).await;
    for (fields, want) in [
        ("content-length: 3\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: chunked\r\ncontent-length: 3\r\n", 400),
        ("content-length: 3\r\ncontent-length: 3\r\n", 400),
        ("transfer-encoding: gzip, chunked\r\n", 400),
        ("x : y\r\n", 400),
        ("x: a\r\n b\r\n", 400),
        ("host: localhost\r\n", 400),
        (&format!("x: {}\r\n", "y".repeat(64 << 10)), 431),
    ] {
        let request = format!(
            "POST /c/chat/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\nabc"
        );
        let answer = world.send(request).await;
        assert_eq!(status(&answer), want, "{fields:.40}: {answer}");
        assert!(answer.contains("\"error\""), "{answer}");
    }
    let long = format!("GET /c/chat/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(9000));
    assert_eq!(status(&world.send(long).await), 414);
    let none = "GET /c/chat/x HTTP/1.1\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&world.send(none).await), 421, "no host");
    assert_eq!(component.asked().len(), 0);
    world.end().await;
}

#[tokio::test]
async fn client_that_is_slow_hears_so_and_is_closed() {
    let component = Component::start().await;
    let world = world(vec![component.spec("chat")], |gateway| {
        gateway.header_time = Duration::from_millis(100);
        gateway.stall_time = Duration::from_millis(100);
    })
    .await;
    let answer = world.send("GET /c/chat/x HTTP/1.1\r\nhost: lo").await;
    assert_eq!(status(&answer), 408, "{answer}");
    let answer = world
        .send("POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99\r\n\r\n{")
        .await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert_eq!(world.send("").await, "", "one that says nothing is closed");
    world.end().await;
}

#[tokio::test]
async fn component_that_fails_is_502_and_one_that_is_silent_504() {
    let component = Component::start().await;
    let world = world(vec![component.spec("chat")], |gateway| {
        gateway.answer_time = Duration::from_millis(200);
    })
    .await;
    for (path, want) in [("/garbage", 502), ("/huge", 502), ("/closes", 502), ("/never", 504)] {
        let answer = world.get(&format!("/c/chat{path}")).await;
        assert_eq!(status(&answer), want, "{path}: {answer:.300}");
    }
    assert_eq!(status(&world.get("/c/chat/x").await), 200, "it continues");
    until("the silent one is closed", async || component.open() <= 1).await;
    assert_eq!(world.leases("chat").await, 0);
    world.end().await;
}

#[tokio::test]
async fn answer_that_breaks_off_is_never_whole() {
    let (world, _) = chat(|_| {}).await;
    let answer = world.get("/c/chat/half").await;
    assert!(answer.contains("content-length: 100") && answer.ends_with("half"), "{answer}");
    let answer = world.get("/c/chat/half-chunks").await;
    assert!(answer.ends_with("half\r\n") && !answer.contains("\r\n0\r\n"), "{answer}");
    let answer = world.get("/c/chat/length-and-chunks").await;
    assert!(body(&answer).contains("whole"), "{answer}");
    // An old client has no chunks: an orderly end would be the end of the answer.
    let mut client = world.connect().await;
    client.write_all(b"GET /c/chat/half-chunks HTTP/1.0\r\nhost: localhost\r\n\r\n").await.unwrap();
    let ended = client.read_to_end(&mut Vec::new()).await;
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(world.leases("chat").await, 0);
    world.end().await;
}

#[tokio::test]
async fn client_that_disconnects_ends_its_request_and_its_lease() {
    let (world, component) = chat(|_| {}).await;
    for path in ["/never", "/endless"] {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = world.connect().await;
            let request = format!("GET /c/chat{path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            clients.push(client);
        }
        until("all are with the component", async || component.open() >= 20).await;
        drop(clients);
        until("all requests have ended", async || component.open() == 0).await;
        until("all leases are back", async || world.leases("chat").await == 0).await;
    }
    world.end().await;
}

#[tokio::test]
async fn request_under_way_survives_an_unload_that_its_component_survives() {
    let (world, _) = chat(|_| {}).await;
    let mut client = world.connect().await;
    client
        .write_all(b"POST /c/chat/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nab")
        .await
        .unwrap();
    until("the request is under way", async || world.leases("chat").await == 1).await;
    let manager = world.manager.clone();
    let unload = tokio::spawn(async move { manager.operator().unload("chat", true).await });
    until("the operator is heard", async || world.state("chat").await != ComponentState::Ready)
        .await;
    client.write_all(b"cd").await.unwrap();
    let mut answer = [0; 4096];
    let n = client.read(&mut answer).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer[..n])), 200);
    drop(client);
    unload.await.unwrap().unwrap();
    assert_eq!(status(&world.get("/c/chat/x").await), 200, "the next request loads it again");
    world.end().await;
}

#[tokio::test]
async fn component_that_a_change_removes_finishes_its_request_and_is_unknown_then() {
    let (one, two) = (Component::start().await, Component::start().await);
    let world = world(vec![one.spec("chat"), two.spec("draw")], |_| {}).await;
    let mut client = world.connect().await;
    client
        .write_all(b"POST /c/chat/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nab")
        .await
        .unwrap();
    until("the request is under way", async || world.leases("chat").await == 1).await;
    world.manager.remove("chat").await.unwrap();
    let gone = world.get("/c/chat/x").await;
    assert_eq!(status(&gone), 404, "{gone}");
    client.write_all(b"cd").await.unwrap();
    let mut answer = [0; 4096];
    let n = client.read(&mut answer).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer[..n])), 200);
    let mut spec = one.spec("chat");
    spec.route_mut().aliases = vec!["again".to_owned()];
    world.manager.add_component(spec).await.unwrap();
    assert_eq!(status(&world.get("/c/again/x").await), 200);
    world.end().await;
}

#[tokio::test]
async fn shutdown_ends_streams_within_its_deadline() {
    let (world, component) = chat(|_| {}).await;
    let mut client = world.connect().await;
    client.write_all(b"GET /c/chat/endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("the stream is under way", async || component.open() == 1).await;
    world.running.close();
    let ended = world.manager.shutdown(Some(Duration::from_millis(300)));
    assert!(tokio::time::timeout(DEADLINE, ended).await.is_ok());
    assert!(world.connect_fails().await, "it listens no more");
}

#[tokio::test]
async fn address_that_is_taken_or_open_to_all_is_refused_at_the_start() {
    let (world, _) = chat(|_| {}).await;
    let mut spec = majordomo::GatewaySpec::default();
    spec.listen = vec![ListenAddress::Tcp(world.address)];
    let error = claim(&spec, std::path::Path::new("/")).await.unwrap_err();
    assert!(matches!(error, GatewayError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("gateway.listen"), "{error}");
    spec.listen = vec![ListenAddress::parse("0.0.0.0:7").unwrap()];
    let error = claim(&spec, std::path::Path::new("/")).await.unwrap_err();
    assert!(error.to_string().contains("no token"), "{error}");
    world.end().await;
}

#[tokio::test]
async fn refusal_of_the_manager_says_why_and_when_to_come_again() {
    let component = Component::start().await;
    let world = world(
        vec![
            component.spec("large").memory(ByteSize::mib(60)),
            Component::start().await.spec("held"),
        ],
        |gateway| {
            gateway.wait = Some(Duration::from_millis(200));
        },
    )
    .await;
    let held = world.manager.acquire::<majordomo::Endpoint>("held").await.unwrap();
    let answer = world.get("/c/large/x").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: "), "{answer}");
    assert!(body(&answer).contains("held"), "it names the holder: {answer}");
    drop(held);
    assert_eq!(status(&world.get("/c/large/x").await), 200);
    world.end().await;
}
