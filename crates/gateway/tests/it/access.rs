//! The right to use the gateway: tokens, hosts, pages.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use majordomo::{ComponentId, Manager, TokenSpec};
use majordomo_gateway::{GatewayError, StatusSection, claim};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::component::Component;
use crate::support::{body, chat, status, world_in};

const PHONE: &str = "0123456789abcdef";
const DESK: &str = "fedcba9876543210";

/// A folder that is removed with the test.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tokens(name: &str) -> Dir {
    let dir = std::env::temp_dir().join(format!("majordomo-gateway-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    for (name, token) in [("phone", PHONE), ("desk", DESK)] {
        let path = dir.join(name);
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Dir(dir)
}

#[tokio::test]
async fn token_opens_its_components_and_is_not_passed_on() {
    let dir = tokens("opens");
    let (one, two) = (Component::start().await, Component::start().await);
    let world = world_in(&dir.0, vec![one.spec("chat"), two.spec("draw")], |gateway| {
        let mut phone = TokenSpec::new("phone".to_owned(), "phone".into());
        phone.components = Some(vec![ComponentId::new("chat").unwrap()]);
        gateway.tokens = vec![phone, TokenSpec::new("desk".to_owned(), "desk".into())];
    })
    .await;
    let ask = async |path: &str, fields: &str| world.ask(&format!("GET {path}"), fields, "").await;
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    for fields in [String::new(), bearer("0123456789abcdeX"), "x-api-key: no\r\n".to_owned()] {
        let answer = ask("/c/chat/x", &fields).await;
        assert_eq!(status(&answer), 401, "{answer}");
        assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        assert_eq!(status(&ask("/v1/models", &fields).await), 401);
    }
    assert_eq!(one.loads(), 0);
    let answer = ask("/c/chat/x", &bearer(PHONE)).await;
    assert_eq!(status(&answer), 200);
    assert!(!body(&answer).contains(PHONE) && !body(&answer).contains("authorization"), "{answer}");
    assert_eq!(status(&ask("/c/draw/x", &bearer(PHONE)).await), 403);
    assert_eq!(two.loads(), 0);
    assert_eq!(status(&ask("/c/draw/x", &format!("x-api-key: {DESK}\r\n")).await), 200);
    let unknown = ask("/c/stranger/x", &bearer(PHONE)).await;
    assert!(unknown.contains("chat") && !unknown.contains("draw"), "{unknown}");
    world.end().await;
}

#[tokio::test]
async fn token_that_others_may_read_is_refused_at_the_start() {
    let dir = tokens("others");
    let path = dir.0.join("phone");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut spec = majordomo::GatewaySpec::default();
    spec.tokens = vec![TokenSpec::new("phone".to_owned(), "phone".into())];
    let error = claim(&spec, &dir.0).await.unwrap_err();
    assert!(matches!(&error, GatewayError::Token { name, .. } if name == "phone"), "{error}");
}

#[tokio::test]
async fn own_token_of_a_client_passes_where_the_gateway_has_none() {
    let (world, _) = chat(|_| {}).await;
    let fields = "authorization: Bearer mine\r\n";
    let answer = world.ask("GET /c/chat/x", fields, "").await;
    assert!(body(&answer).contains("authorization: Bearer mine"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn pages_of_other_hosts_need_leave() {
    let component = Component::start().await;
    let world = crate::support::world(vec![component.spec("chat")], |gateway| {
        gateway.origins = vec!["https://chat.example".to_owned()];
    })
    .await;
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        let line = format!("{method} /c/chat/x");
        let answer = world.ask(&line, "origin: https://evil.example\r\n", "").await;
        assert_eq!(status(&answer), 403, "{method}: {answer}");
    }
    assert_eq!(component.loads(), 0);
    let fields = "origin: https://chat.example\r\n";
    let answer = world.ask("GET /c/chat/cors", fields, "").await;
    assert!(answer.contains("access-control-allow-origin: https://chat.example\r\n"), "{answer}");
    let question = format!(
        "{fields}access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n"
    );
    let answer = world.ask("OPTIONS /c/chat/x", &question, "").await;
    assert_eq!(status(&answer), 204, "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization\r\n"), "{answer}");
    let answer = world.get("/c/chat/cors").await;
    assert!(!answer.contains("access-control"), "{answer}");
    world.end().await;
}

/// A port that was free a moment ago.
fn free() -> u16 {
    std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn reload_never_opens_an_address_that_other_machines_reach() {
    let dir = tokens("reload");
    let (config, port) = (dir.0.join("majordomo.toml"), free());
    let open = "[gateway]\nlisten = [\"127.0.0.1:1\"]\n";
    let exposed = format!(
        "[gateway]\nlisten = [\"0.0.0.0:{port}\"]\n[gateway.tokens.phone]\nfile = \"phone\"\n"
    );
    std::fs::write(&config, exposed).unwrap();
    let manager = Manager::builder().config_file(&config).pressure(None).start().await.unwrap();
    let spec = manager.declared().gateway.clone().unwrap();
    let claimed = claim(&spec, &dir.0).await.unwrap();
    let running = claimed.serve(manager.clone(), &StatusSection::default()).await.unwrap();
    let ask = async |fields: &str| {
        let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        status(&answer)
    };
    let bearer = format!("authorization: Bearer {PHONE}\r\n");
    assert_eq!((ask("").await, ask(&bearer).await), (401, 200));
    for _ in 0..2 {
        std::fs::write(&config, open).unwrap();
        manager.operator().reload().await.unwrap();
        assert_eq!((ask("").await, ask(&bearer).await), (401, 200));
    }
    running.close();
    manager.shutdown(None).await;
}
