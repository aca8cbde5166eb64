//! The choice of the connections that get a place when there are many.

use std::time::Duration;

use majordomo::ServerConfig;
use majordomo_server::wire::State;
use majordomo_server::{Address, Client, ServeOptions, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, Gate, Served, components, folder, problem, until};

const TOKEN: &str = "0123456789abcdef0123";

async fn over_tcp(config: ServerConfig) -> Served {
    let gate = Gate::default();
    let manager = components(config, &gate).start().await.unwrap();
    let options = ServeOptions {
        socket: Some(folder().join("s")),
        tcp: Some("127.0.0.1:0".parse().unwrap()),
        token: Some(Token::new(TOKEN).unwrap()),
        ..ServeOptions::default()
    };
    Served::over(manager, gate, options).await
}

/// The bytes received until the server closes.
async fn closes(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE * 4, stream.read_to_end(&mut answer));
    read.await.expect("the server does not close").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn silent_tcp_connections_keep_neither_the_unix_socket_nor_a_client_with_the_token_out() {
    let hour = Duration::from_secs(3600);
    let config = ServerConfig {
        max_connections: 4,
        header_time: hour,
        idle_time: hour,
        ..ServerConfig::default()
    };
    let served = over_tcp(config).await;
    let address = served.server.tcp().unwrap();
    let mut crowd = Vec::new();
    for n in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
        }
        crowd.push(stream);
    }
    assert_eq!(served.client().unload("music", false).await.unwrap().state, State::Unloaded);
    let known = Client::new(Address::Tcp(address, Token::new(TOKEN).unwrap()));
    known.status().await.unwrap();
    // A client that showed the token keeps its place: those who did not give way first.
    for _ in 0..40 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    let mut oldest = crowd.remove(0);
    assert_eq!(closes(&mut oldest).await, "", "the oldest of them gave way");
    known.status().await.unwrap();
    drop(crowd);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_reload_replaces_the_token_and_ends_what_the_old_one_has_under_way() {
    let dir = folder();
    std::fs::create_dir_all(&dir).unwrap();
    let (config, file) = (dir.join("m.toml"), dir.join("token"));
    std::fs::write(&config, "[components.c]\ncommand = [\"sh\"]\n").unwrap();
    let write = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, mode).unwrap();
    };
    write(TOKEN, 0o600);
    let manager = majordomo::Manager::builder().config_file(&config).pressure(None);
    let options = ServeOptions {
        tcp: Some("127.0.0.1:0".parse().unwrap()),
        token: Some(Token::read(&file).unwrap()),
        token_file: Some(file.clone()),
        ..ServeOptions::default()
    };
    let served = Served::over(manager.start().await.unwrap(), Gate::default(), options).await;
    let address = served.server.tcp().unwrap();
    let with = |token: &str| Client::new(Address::Tcp(address, Token::new(token).unwrap()));
    let (old, new) = (with(TOKEN), with("fedcba98765432100123"));
    let mut stream = old.follow_events(None).await.unwrap();
    // The same token again ends nothing, and one that cannot be used changes nothing.
    served.client().reload().await.unwrap();
    write("fedcba98765432100123", 0o644);
    let error = served.client().reload().await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "bad_configuration");
    write("fedcba98765432100123", 0o600);
    served.client().reload_preview().await.unwrap();
    old.health().await.unwrap();
    assert!(new.health().await.is_err());
    // The answer to the reload itself still comes, by the old token.
    old.reload().await.unwrap();
    new.health().await.unwrap();
    assert_eq!(old.health().await.unwrap_err().problem().unwrap().code, "unauthorized");
    let ended = tokio::time::timeout(DEADLINE * 4, async {
        while let Ok(Some(_)) = stream.next().await {}
    });
    ended.await.expect("the stream of the old token continues");
    served.end().await;
    drop(std::fs::remove_dir_all(&dir));
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_that_is_encoded_is_refused() {
    let served = Served::start(ServerConfig::default()).await;
    let ask = async |coding: &str| {
        let coding = format!("content-encoding: {coding}\r\n");
        served.ask("POST", "/v1/plan", &coding, "{\"text\":\"x\"}").await
    };
    assert!(ask("identity").await.starts_with("HTTP/1.1 200"));
    let answer = ask("gzip").await;
    assert_eq!(problem(&answer).0, 415);
    assert!(answer.contains("accept-encoding: identity\r\n"), "{answer}");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_that_is_not_let_through_ends_its_connection() {
    let served = over_tcp(ServerConfig::default()).await;
    let address = served.server.tcp().unwrap();
    let right = format!("authorization: Bearer {TOKEN}\r\n");
    let body = format!("content-length: 100000\r\n\r\n{}", "x".repeat(50_000));
    for (request, status) in [
        ("host: localhost\r\n\r\n".to_owned(), 401),
        // However much follows.
        (format!("host: localhost\r\n{body}"), 401),
        (format!("host: localhost\r\norigin: http://localhost\r\n{right}\r\n"), 403),
        (format!("host: evil.example\r\n{right}\r\n"), 421),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("POST /v1/plan HTTP/1.1\r\n{request}").as_bytes()).await.unwrap();
        let answer = closes(&mut stream).await;
        assert_eq!(problem(&answer).0, status);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_operator_gets_in_when_all_connections_are_in_use() {
    let config = ServerConfig { max_connections: 2, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let streams = (
        served.client().follow_events(None).await.unwrap(),
        served.client().follow_events(None).await.unwrap(),
    );
    let operator = served.client();
    assert_eq!(operator.status().await.unwrap().components.len(), 5);
    assert_eq!(operator.unload("music", true).await.unwrap().state, State::Unloaded);
    operator.last_logs("music", 5).await.unwrap();
    operator.events(None, Some(5)).await.unwrap();
    // A request that would stay, or wait, is refused for want of a place.
    let stays = served.client().follow_events(None).await.unwrap_err();
    assert_eq!(stays.problem().unwrap().code, "too_many_connections");
    assert!(stays.problem().unwrap().retry_after_s().is_some());
    let loads = served.client().load("mail").await.unwrap_err();
    assert_eq!(loads.problem().unwrap().code, "too_many_connections");
    drop(streams);
    until("room again", async || served.client().load("mail").await.is_ok()).await;
    served.end().await;
}
