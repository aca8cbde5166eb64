//! Where the server listens: whose the socket is, what is refused, and TCP with its token.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use majordomo::ServerConfig;
use majordomo_server::{Address, Client, ClientError, ServeError, ServeOptions, Token, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Gate, Served, components, folder};

#[tokio::test(flavor = "current_thread")]
async fn the_socket_is_private_and_has_one_owner() {
    let served = Served::start(ServerConfig::default()).await;
    let socket = served.server.socket().to_path_buf();
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(socket.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    let manager = served.server.manager().clone();
    let options = || ServeOptions { socket: Some(socket.clone()), ..ServeOptions::default() };
    let error = serve(manager.clone(), options()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    assert!(served.client().health().await.is_ok());
    served.end().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "current_thread")]
async fn path_that_cannot_be_a_socket_is_refused_with_the_reason() {
    let gate = Gate::default();
    let manager = components(ServerConfig::default(), &gate).start().await.unwrap();
    let dir = folder();
    std::fs::create_dir_all(&dir).unwrap();
    let try_at = async |name: &str| {
        let socket = Some(dir.join(name));
        serve(manager.clone(), ServeOptions { socket, ..ServeOptions::default() }).await
    };
    let error = try_at(&"x".repeat(200)).await.unwrap_err().to_string();
    assert!(error.contains("shorter"), "{error}");
    std::fs::write(dir.join("file"), "precious").unwrap();
    let error = try_at("file").await.unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "precious");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = try_at("s").await.unwrap_err().to_string();
    assert!(error.contains("chmod go-w"), "{error}");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    // A stale one is taken over.
    drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap());
    let server = try_at("s").await.unwrap();
    assert!(Client::new(Address::Unix(dir.join("s"))).health().await.is_ok());
    gate.open();
    server.shutdown(None).await;
    drop(std::fs::remove_dir_all(&dir));
}

#[tokio::test(flavor = "current_thread")]
async fn missing_server_is_reported_with_the_way_out() {
    let client = Client::new(Address::Unix("/nonexistent/s.sock".into()));
    let error = client.health().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("majordomo serve CONFIG"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn tcp_needs_a_token_and_this_machine() {
    let gate = Gate::default();
    let manager = components(ServerConfig::default(), &gate).start().await.unwrap();
    let token = Token::new("0123456789abcdef0123").unwrap();
    let at = |address: &str, token| ServeOptions {
        socket: Some(folder().join("s")),
        tcp: Some(address.parse().unwrap()),
        token,
        ..ServeOptions::default()
    };
    let error = serve(manager.clone(), at("0.0.0.0:0", Some(token.clone()))).await.unwrap_err();
    assert!(
        matches!(error, ServeError::Tcp { .. }) && error.to_string().contains("TLS"),
        "{error}"
    );
    let error = serve(manager.clone(), at("127.0.0.1:0", None)).await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
    let served = Served::over(manager, gate, at("127.0.0.1:0", Some(token.clone()))).await;
    let address = served.server.tcp().unwrap();
    assert!(Client::new(Address::Tcp(address, token)).health().await.is_ok());
    let wrong = Token::new("0123456789abcdef0124").unwrap();
    let error = Client::new(Address::Tcp(address, wrong)).health().await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "unauthorized");
    // Of a web page, even with the token.
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /v1 HTTP/1.1\r\nhost: rebound.example\r\nauthorization: Bearer 0123456789abcdef0123\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn server_of_another_version_is_reported_with_both_versions() {
    let dir = folder();
    std::fs::create_dir_all(&dir).unwrap();
    let listener = tokio::net::UnixListener::bind(dir.join("s")).unwrap();
    let other = async {
        for answer in ["majordomo-version: 7.8.9\r\n", "server: another\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let n = stream.read(&mut asked).await.unwrap();
            assert!(String::from_utf8_lossy(&asked[..n]).contains("majordomo-version: 0.1"));
            let answer = format!("HTTP/1.1 200 OK\r\n{answer}content-length: 2\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let asks = async {
        let client = Client::new(Address::Unix(dir.join("s")));
        let error = client.health().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::Version { .. }), "{text}");
        assert!(text.contains("7.8.9") && text.contains("0.1") && text.contains("restart"));
        let error = client.health().await.unwrap_err();
        assert!(error.to_string().contains("no Majordomo"), "{error}");
    };
    tokio::join!(other, asks);
    drop(std::fs::remove_dir_all(&dir));
}
