//! WebSockets: bytes both ways, and what an open connection means for the lease.

use std::time::Duration;

use majordomo::{ComponentSpec, ConnectionUse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, chat, until};

fn with(rule: ConnectionUse) -> impl FnOnce(&mut ComponentSpec) {
    move |spec| {
        let route = spec.route_mut();
        (route.connection_use, route.connection_idle) = (rule, Duration::from_millis(150));
    }
}

/// A WebSocket to the component that sends everything back.
async fn open(world: &World) -> TcpStream {
    let mut client = world.connect().await;
    let request = "GET /c/chat/socket HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket"), "{head}");
    client
}

async fn says(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn idle_connection_gives_the_lease_back_and_traffic_takes_it_again() {
    let (world, component) = chat(with(ConnectionUse::Activity)).await;
    let mut client = open(&world).await;
    says(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    until("it is leased", async || world.leases("chat").await == 1).await;
    until("it is idle", async || world.leases("chat").await == 0).await;
    says(&mut client, b"\x81\x02hi").await;
    until("it is leased again", async || world.leases("chat").await == 1).await;
    drop(client);
    until("the lease is back", async || world.leases("chat").await == 0).await;
    until("the component's side is closed", async || component.open() == 0).await;
    world.end().await;
}

#[tokio::test]
async fn open_connection_holds_or_is_ignored_by_the_rule() {
    let (world, _) = chat(with(ConnectionUse::Hold)).await;
    let client = open(&world).await;
    let (other, _) = chat(with(ConnectionUse::Activity)).await;
    let _idle = open(&other).await;
    until("the other is leased", async || other.leases("chat").await == 1).await;
    until("the other is idle", async || other.leases("chat").await == 0).await;
    assert_eq!(world.leases("chat").await, 1);
    other.end().await;
    drop(client);
    until("the lease is back", async || world.leases("chat").await == 0).await;
    world.end().await;
    let (world, _) = chat(with(ConnectionUse::Ignore)).await;
    let mut client = open(&world).await;
    says(&mut client, b"hello").await;
    until("it is not leased", async || world.leases("chat").await == 0).await;
    world.end().await;
}

#[tokio::test]
async fn client_of_a_component_that_ended_hears_a_close_code() {
    let (world, _) = chat(with(ConnectionUse::Activity)).await;
    let mut client = open(&world).await;
    says(&mut client, b"\x81\x02hi").await;
    client.write_all(b"bye").await.unwrap();
    let mut last = Vec::new();
    client.read_to_end(&mut last).await.unwrap();
    assert_eq!((last[0], &last[2..4]), (0x88, &1012_u16.to_be_bytes()[..]), "{last:?}");
    world.end().await;
}

#[tokio::test]
async fn traffic_after_the_component_was_unloaded_ends_the_connection() {
    let (world, _) = chat(with(ConnectionUse::Activity)).await;
    let mut client = open(&world).await;
    says(&mut client, b"\x81\x02hi").await;
    until("it is idle", async || world.leases("chat").await == 0).await;
    world.manager.operator().unload("chat", false).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let mut last = Vec::new();
    client.read_to_end(&mut last).await.unwrap();
    assert_eq!(last.first(), Some(&0x88), "{last:?}");
    world.end().await;
}

#[tokio::test]
async fn many_connections_leave_nothing_behind() {
    let (world, component) = chat(with(ConnectionUse::Activity)).await;
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(open(&world).await);
        }
        drop(clients);
    }
    until("all connections have ended", async || component.open() == 0).await;
    until("all leases are back", async || world.leases("chat").await == 0).await;
    world.end().await;
}
