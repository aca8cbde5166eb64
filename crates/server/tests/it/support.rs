//! Shared by the tests: a served manager of builtins in a folder of its own, and raw bytes to and from it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use majordomo::{
    ByteSize, ComponentSpec, Config, LoadContext, LoadError, Manager, Priority, ServerConfig,
};
use majordomo_server::{Address, Client, ServeOptions, Server, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Holds the loads of `slow` until it is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

/// A running server and its folder, which is removed with it.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) gate: Gate,
    dir: PathBuf,
}

/// `alarm` (CORE), `music`, `mail`, `slow` with 10 MiB each, and `big` with 40, in a budget of 64.
pub(crate) fn components(server: ServerConfig, gate: &Gate) -> majordomo::Builder {
    let mut config = Config { server, ..Config::default() };
    config.memory.estimate_margin = 1.0;
    let mut builder = Manager::builder().config(config).budget(ByteSize::mib(64)).pressure(None);
    for (name, mib, priority) in [
        ("alarm", 10, Priority::Core),
        ("music", 10, Priority::Medium),
        ("mail", 10, Priority::Low),
        ("slow", 10, Priority::Medium),
        ("big", 40, Priority::Medium),
    ] {
        let mut spec = ComponentSpec::builtin(name).unwrap();
        spec.memory = ByteSize::mib(mib);
        spec.priority = priority;
        spec.keywords = vec![format!("{name} please")];
        let gate = (name == "slow").then(|| gate.clone());
        let make = move |_: LoadContext| -> Result<(), LoadError> {
            gate.iter().for_each(Gate::wait);
            Ok(())
        };
        builder = builder.builtin(spec, make);
    }
    builder
}

impl Served {
    pub(crate) async fn start(server: ServerConfig) -> Self {
        let gate = Gate::default();
        let manager = components(server, &gate).start().await.unwrap();
        // Every test finds CORE up.
        manager.operator().load("alarm").await.unwrap();
        Self::over(manager, gate, ServeOptions::default()).await
    }

    pub(crate) async fn over(manager: Manager, gate: Gate, options: ServeOptions) -> Self {
        let dir = folder();
        let options = ServeOptions { socket: Some(dir.join("s.sock")), ..options };
        let server = serve(manager, options).await.unwrap();
        Self { server, gate, dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Address::Unix(self.server.socket().to_path_buf()))
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.server.socket()).await.unwrap()
    }

    /// The answer to these bytes until the server closes.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // A server that refuses early need not have read everything.
        drop(stream.write_all(bytes.as_ref()).await);
        rest(&mut stream).await
    }

    /// The same for a request that ends its connection.
    pub(crate) async fn ask(&self, method: &str, path: &str, more: &str, body: &str) -> String {
        let length = body.len();
        self.raw(format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    pub(crate) async fn end(self) {
        self.gate.open();
        assert!(self.server.shutdown(None).await.is_empty());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.gate.open();
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// A folder that no other test has. Short: the system bounds the path of a socket.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("mj-{}-{n}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    dir
}

/// The remaining bytes until the other side closes.
pub(crate) async fn rest(stream: &mut UnixStream) -> String {
    let mut out = Vec::new();
    let read = tokio::time::timeout(DEADLINE * 4, async {
        // A connection that is cut off ends with an error, after what was sent before.
        drop(stream.read_to_end(&mut out).await);
    });
    read.await.expect("the server does not close");
    String::from_utf8_lossy(&out).into_owned()
}

/// Asks until it is so.
pub(crate) async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let rounds = tokio::time::timeout(DEADLINE * 4, async {
        while !check().await {
            tokio::task::yield_now().await;
        }
    });
    rounds.await.unwrap_or_else(|_| panic!("waited too long for: {what}"));
}

#[track_caller]
pub(crate) fn problem(answer: &str) -> (u16, String, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    assert!(head.contains("application/problem+json"), "{answer}");
    let value: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let status: u16 = head[9..12].parse().unwrap();
    assert_eq!(value["status"], status, "{answer}");
    (status, value["code"].as_str().unwrap().to_owned(), value)
}
