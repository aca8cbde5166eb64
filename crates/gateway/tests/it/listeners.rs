//! Transparent listeners: a component's own port, open all the time, whatever the protocol.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use majordomo::{
    ByteSize, ComponentSpec, ComponentState, ConnectionUse, ExternalSpec, ListenAddress, LoadOn,
    ServiceUrl,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::support::{World, until, world_in};

/// A server of lines: sends back each, and "bye" when the client has ended its side. With a greeting it sends the first bytes.
async fn lines(greeting: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = Arc::new(AtomicUsize::new(0));
    let n = Arc::clone(&open);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let open = Arc::clone(&n);
            open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = stream.write_all(greeting.as_bytes()).await;
                let mut chunk = vec![0; 64 << 10];
                loop {
                    match stream.read(&mut chunk).await {
                        Ok(0) => {
                            let _ = stream.write_all(b"bye").await;
                            break;
                        }
                        Ok(n) if stream.write_all(&chunk[..n]).await.is_ok() => {}
                        _ => break,
                    }
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, open)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> ListenAddress {
    ListenAddress::parse(&format!("127.0.0.1:{port}")).unwrap()
}

/// A component for a server that runs, which listens at an address of its own.
fn spec(server: u16, listen: &ListenAddress) -> ComponentSpec {
    let url = ServiceUrl::parse(&format!("tcp://127.0.0.1:{server}")).unwrap();
    let spec = ComponentSpec::external("redis", ExternalSpec::new(url)).unwrap();
    let mut spec = spec.memory(ByteSize::mib(10));
    spec.route_mut().listen = vec![listen.clone()];
    spec
}

async fn world(spec: ComponentSpec) -> World {
    world_in(Path::new("/"), vec![spec], |_| {}).await
}

async fn says(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn first_byte_loads_the_component_and_a_probe_of_the_port_does_not() {
    let ((server, open), port) = (lines("").await, free_port());
    let world = world(spec(server, &at(port))).await;
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    let mut idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_ne!(world.state("redis").await, ComponentState::Ready);
    says(&mut idle, b"PING\r\n").await;
    assert_eq!(world.state("redis").await, ComponentState::Ready);
    assert_eq!(world.leases("redis").await, 1);
    // The end of one side is passed on, and the answer to it comes back.
    idle.write_all(b"last").await.unwrap();
    idle.shutdown().await.unwrap();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "lastbye");
    until("the lease is back", async || world.leases("redis").await == 0).await;
    until("the component's side is closed", async || open.load(Ordering::SeqCst) == 0).await;
    world.end().await;
}

#[tokio::test]
async fn servers_that_send_first_are_loaded_by_the_connection() {
    let ((server, _), port) = (lines("220 ready\r\n").await, free_port());
    let mut spec = spec(server, &at(port));
    spec.route_mut().load_on = LoadOn::Connect;
    let world = world(spec).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut greeting = [0; 11];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn idle_connections_give_the_lease_back_and_traffic_takes_it_again() {
    let ((server, _), port) = (lines("").await, free_port());
    let mut spec = spec(server, &at(port));
    spec.route_mut().connection_idle = Duration::from_millis(100);
    let world = world(spec).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    says(&mut client, b"one").await;
    until("the lease is back", async || world.leases("redis").await == 0).await;
    says(&mut client, b"two").await;
    until("the lease is back", async || world.leases("redis").await == 0).await;
    // The component is unloaded: the next traffic finds it gone, and the connection ends.
    world.manager.operator().unload("redis", false).await.unwrap();
    let _ = client.write_all(b"three").await;
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
    world.end().await;
}

#[tokio::test]
async fn open_connections_hold_the_lease_where_that_is_stated() {
    let ((server, _), port) = (lines("").await, free_port());
    let mut spec = spec(server, &at(port));
    let route = spec.route_mut();
    (route.connection_use, route.connection_idle) =
        (ConnectionUse::Hold, Duration::from_millis(50));
    let world = world(spec).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    says(&mut client, b"one").await;
    for _ in 0..5 {
        assert_eq!(world.leases("redis").await, 1);
    }
    drop(client);
    until("the lease is back", async || world.leases("redis").await == 0).await;
    world.end().await;
}

#[tokio::test]
async fn bytes_pass_in_both_directions_without_being_kept() {
    const N: usize = 32 << 20;
    let ((server, _), port) = (lines("").await, free_port());
    let world = world(spec(server, &at(port))).await;
    let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut from, mut to) = client.into_split();
    let writes = tokio::spawn(async move {
        to.write_all(&vec![7; N]).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut chunk = vec![0; 64 << 10];
    let mut n = 0;
    loop {
        match from.read(&mut chunk).await.unwrap() {
            0 => break,
            read => n += read,
        }
    }
    writes.await.unwrap();
    assert_eq!(n, N + "bye".len());
    world.end().await;
}

#[tokio::test]
async fn nothing_is_left_of_a_thousand_clients_that_vanish() {
    let ((server, open), port) = (lines("").await, free_port());
    let world = world(spec(server, &at(port))).await;
    for round in 0..20 {
        let mut clients = Vec::new();
        for _ in 0..50 {
            let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            match round % 3 {
                0 => says(&mut client, b"hello").await,
                1 => client.write_all(b"no answer is read").await.unwrap(),
                _ => {}
            }
            clients.push(client);
        }
        drop(clients);
    }
    until("no lease is left", async || world.leases("redis").await == 0).await;
    until("no connection is left", async || open.load(Ordering::SeqCst) == 0).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    says(&mut client, b"still there").await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn unix_sockets_are_listeners_too_and_are_removed_at_the_end() {
    let (server, _) = lines("").await;
    let folder = std::env::temp_dir().join(format!("mj-listeners-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let spec = spec(server, &ListenAddress::parse("./a.sock").unwrap());
    let world = world_in(&folder, vec![spec], |_| {}).await;
    let mut client = UnixStream::connect(folder.join("a.sock")).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "hellobye");
    world.end().await;
    until("the socket is removed", async || !folder.join("a.sock").exists()).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn taken_and_exposed_addresses_are_refused_with_component_and_address() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let gateway = || async {
        let mut spec = majordomo::GatewaySpec::default();
        spec.listen = vec![at(free_port())];
        majordomo_gateway::claim(&spec, Path::new("/")).await.unwrap()
    };
    let refused =
        gateway().await.with_components(&[spec(1, &at(address.port()))]).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("\"redis\"") && text.contains(&address.to_string()), "{text}");
    assert!(text.contains("stop the program"), "{text}");
    let open = ListenAddress::parse(&format!("0.0.0.0:{}", free_port())).unwrap();
    let refused = gateway().await.with_components(&[spec(1, &open)]).await.unwrap_err();
    assert!(refused.to_string().contains("expose = true"), "{refused}");
}
