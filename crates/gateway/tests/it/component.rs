//! A scripted component: an HTTP server whose paths behave well or badly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo::{ByteSize, ComponentSpec, ExternalSpec, ServiceRequest, ServiceUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server of the test, which the manager "loads" by a request to `/wake`.
#[derive(Clone)]
pub(crate) struct Component {
    pub(crate) port: u16,
    /// Request lines, but for those of loads.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) loads: Arc<AtomicUsize>,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicUsize>,
    /// Loads end while this is true.
    gate: Arc<watch::Sender<bool>>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Component {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let component = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            loads: Arc::default(),
            open: Arc::default(),
            gate: Arc::new(watch::channel(true).0),
        };
        let shared = component.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (component, open) = (shared.clone(), Open(Arc::clone(&shared.open)));
                tokio::spawn(async move {
                    // A client that disconnects ends the connection with an error.
                    let _ = component.serve(stream).await;
                    drop(open);
                });
            }
        });
        component
    }

    /// Loads wait from now on.
    pub(crate) fn shut(&self) {
        self.gate.send_replace(false);
    }

    /// Loads end from now on.
    pub(crate) fn let_in(&self) {
        self.gate.send_replace(true);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Its specification: a service with a load of its own and 10 MiB.
    pub(crate) fn spec(&self, name: &str) -> ComponentSpec {
        let url = ServiceUrl::parse(&format!("http://127.0.0.1:{}", self.port)).unwrap();
        let mut service = ExternalSpec::new(url);
        service.wake = Some(ServiceRequest::parse("POST /wake").unwrap());
        service.sleep = Some(ServiceRequest::parse("POST /sleep").unwrap());
        ComponentSpec::external(name, service).unwrap().memory(ByteSize::mib(10))
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        while let Some(request) = read(&mut stream).await {
            let line = request.split("\r\n").next().unwrap_or_default().to_owned();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            if path == "/wake" {
                self.loads.fetch_add(1, Ordering::SeqCst);
                let mut gate = self.gate.subscribe();
                gate.wait_for(|is_open| *is_open).await.unwrap();
            } else if path != "/sleep" {
                self.asked.lock().unwrap().push(line);
            }
            match path.split('?').next().unwrap_or_default() {
                "/half" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await?;
                    return Ok(());
                }
                "/half-chunks" => {
                    let head =
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
                    stream.write_all(head).await?;
                    return Ok(());
                }
                // A length beside the chunks, which a reader of chunks ignores.
                "/length-and-chunks" => {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";
                    stream.write_all(answer).await?;
                    return Ok(());
                }
                "/garbage" => {
                    stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await?;
                    return Ok(());
                }
                "/huge" => {
                    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
                    stream.write_all(head.as_bytes()).await?;
                    return Ok(());
                }
                "/closes" => return Ok(()),
                // The end of the client is the end of this.
                "/never" => {
                    stream.read_to_end(&mut Vec::new()).await?;
                    return Ok(());
                }
                "/endless" => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    stream.write_all(head.as_bytes()).await?;
                    let mut ticks = tokio::time::interval(Duration::from_millis(2));
                    loop {
                        stream.write_all(b"9\r\ndata: 1\n\n\r\n").await?;
                        ticks.tick().await;
                    }
                }
                "/events" | "/v1/chat/completions" | "/v1/messages" => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    stream.write_all(head.as_bytes()).await?;
                    for n in 1..=3 {
                        stream.write_all(format!("9\r\ndata: {n}\n\n\r\n").as_bytes()).await?;
                        stream.flush().await?;
                    }
                    stream.write_all(b"0\r\n\r\n").await?;
                }
                "/trailers" => {
                    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await?;
                }
                "/redirect" => {
                    let answer =
                        "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await?;
                }
                "/v1/large-json" => {
                    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(100 << 10));
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                    let answer = format!("{head}: {}\r\n\r\n{text}", text.len());
                    stream.write_all(answer.as_bytes()).await?;
                }
                "/v1/capitals" => {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\ncontent-length: 9\r\n\r\ndata: 1\n\n";
                    stream.write_all(answer.as_bytes()).await?;
                }
                "/cors" => {
                    let answer = "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer.as_bytes()).await?;
                }
                "/large" => {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 8 << 20);
                    stream.write_all(answer.as_bytes()).await?;
                    stream.write_all(&vec![b'x'; 8 << 20]).await?;
                }
                "/socket" => {
                    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await?;
                    return echo(stream).await;
                }
                // The request itself, as it came.
                _ => {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{request}",
                        request.len()
                    );
                    stream.write_all(answer.as_bytes()).await?;
                }
            }
        }
        Ok(())
    }
}

/// Sends everything back, until the client says `bye` or disconnects.
async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut part = [0; 1024];
    loop {
        let n = stream.read(&mut part).await?;
        if n == 0 || part[..n].ends_with(b"bye") {
            return Ok(());
        }
        stream.write_all(&part[..n]).await?;
    }
}

/// A request with its body; none at the end of the connection.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|n| n.parse::<usize>().ok());
            let is_whole = match length {
                Some(length) => bytes.len() >= head.len() + 4 + length,
                None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
                None => true,
            };
            if is_whole {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut part).await {
            Ok(n @ 1..) => bytes.extend_from_slice(&part[..n]),
            _ => return None,
        }
    }
}
