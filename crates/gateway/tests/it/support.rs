//! Shared by the tests: a running gateway with scripted components, and raw bytes to and from it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use majordomo::{
    ByteSize, ComponentSpec, ComponentState, Config, GatewaySpec, ListenAddress, Manager,
};
use majordomo_gateway::{Running, StatusSection, claim};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::component::Component;

/// Nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct World {
    pub(crate) manager: Manager,
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

/// A gateway for these components, with a budget of 64 MiB.
pub(crate) async fn world(
    specs: Vec<ComponentSpec>,
    change: impl FnOnce(&mut GatewaySpec),
) -> World {
    world_in(Path::new("/"), specs, change).await
}

pub(crate) async fn world_in(
    folder: &Path,
    specs: Vec<ComponentSpec>,
    change: impl FnOnce(&mut GatewaySpec),
) -> World {
    let mut spec = GatewaySpec::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    spec.listen = vec![ListenAddress::Tcp(free)];
    change(&mut spec);
    let mut config = Config::default();
    config.memory.estimate_margin = 1.0;
    config.deadlines.demand = DEADLINE;
    let claimed = claim(&spec, folder).await.unwrap().with_components(&specs).await.unwrap();
    let section = StatusSection::default();
    let rows = section.clone();
    let builder = Manager::builder()
        .config(config)
        .budget(ByteSize::mib(64))
        .pressure(None)
        .gateway(spec)
        .section(move || rows.rows());
    let builder = specs.into_iter().fold(builder, majordomo::Builder::component);
    let manager = builder.start().await.unwrap();
    let running = claimed.serve(manager.clone(), &section).await.unwrap();
    let address = running.addresses()[0];
    World { manager, running, address }
}

/// A gateway with the component `chat`.
pub(crate) async fn chat(change: impl FnOnce(&mut ComponentSpec)) -> (World, Component) {
    let component = Component::start().await;
    let mut spec = component.spec("chat");
    change(&mut spec);
    (world(vec![spec], |_| {}).await, component)
}

impl World {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads all that comes back, until the gateway closes.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // A request that is refused early may not be read to its end.
        let _ = stream.write_all(request.as_ref()).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(DEADLINE, read).await.expect("the gateway closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to a request with fields and a body, on a connection of its own.
    pub(crate) async fn ask(&self, line: &str, fields: &str, body: &str) -> String {
        let length = match body {
            "" => String::new(),
            body => format!("content-length: {}\r\n", body.len()),
        };
        let host = if fields.contains("host: ") { "" } else { "host: localhost\r\n" };
        self.send(format!(
            "{line} HTTP/1.1\r\n{host}connection: close\r\n{fields}{length}\r\n{body}"
        ))
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path}"), "", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        self.ask(&format!("POST {path}"), "content-type: application/json\r\n", body).await
    }

    pub(crate) async fn state(&self, name: &str) -> ComponentState {
        let status = self.manager.status().await.unwrap();
        status.components.iter().find(|c| c.id.as_str() == name).unwrap().state
    }

    /// The leases on a component, as a status of the last 50 ms has them.
    pub(crate) async fn leases(&self, name: &str) -> u32 {
        let status = self.manager.status().await.unwrap();
        status.components.iter().find(|c| c.id.as_str() == name).unwrap().leases
    }

    pub(crate) async fn end(self) {
        self.running.close();
        self.manager.shutdown(None).await;
    }
}

/// The code in the first line of an answer; 0 without one.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The body of an answer, without the framing of chunks.
pub(crate) fn body(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or(("", ""));
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut all) = (body, String::new());
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        all += more.get(..size).unwrap_or(more);
        rest = more.get(size + 2..).unwrap_or("");
    }
    all
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !holds().await {
            looks.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "{what}");
}

impl World {
    /// Whether the gateway takes no connection any more.
    pub(crate) async fn connect_fails(&self) -> bool {
        match TcpStream::connect(self.address).await {
            Err(_) => true,
            Ok(mut stream) => stream.read(&mut [0]).await.is_ok_and(|n| n == 0),
        }
    }
}
