//! Clients: many small requests on kept connections, and one large transfer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[expect(clippy::disallowed_methods, reason = "benches measure time")]
fn now() -> Instant {
    Instant::now()
}

/// The times of all requests of a run.
pub(crate) struct Load {
    pub(crate) n: usize,
    /// Ascending.
    times: Vec<Duration>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Load {
    /// Asks for a path again and again, one request after the other on each connection.
    pub(crate) fn run(port: u16, path: &str, n_connections: usize, time: Duration) -> Self {
        let request = Arc::new(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        runtime().block_on(async {
            let mut clients = tokio::task::JoinSet::new();
            for _ in 0..n_connections {
                clients.spawn(client(port, Arc::clone(&request), time));
            }
            let mut times: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
            times.sort_unstable();
            Self { n: times.len(), times }
        })
    }

    pub(crate) fn at(&self, share: f64) -> Duration {
        let idx = (self.times.len() as f64 * share) as usize;
        self.times.get(idx.min(self.times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

async fn client(port: u16, request: Arc<String>, time: Duration) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut times, mut answer, end) = (Vec::new(), [0; 4096], now() + time);
    while now() < end {
        let began = now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut n = 0;
        // The answer ends with its body, which has no such bytes before.
        while !answer[..n].ends_with(b"hello, world\n") {
            let more = stream.read(&mut answer[n..]).await.unwrap();
            assert!(more > 0, "{}", String::from_utf8_lossy(&answer[..n]));
            n += more;
        }
        times.push(began.elapsed());
    }
    times
}

/// A large body.
#[derive(Clone, Copy)]
pub(crate) enum Transfer {
    Down,
    Up,
}

impl Transfer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Down => "download",
            Self::Up => "upload",
        }
    }

    pub(crate) fn run(self, port: u16, prefix: &str, bytes: usize) -> Duration {
        runtime().block_on(async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let began = now();
            let mut part = vec![b'x'; 256 << 10];
            match self {
                Self::Down => {
                    let head = format!("GET {prefix}/large/{bytes} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let mut n = 0;
                    loop {
                        match stream.read(&mut part).await.unwrap() {
                            0 => break,
                            more => n += more,
                        }
                    }
                    assert!(n > bytes, "{n} of {bytes}");
                }
                Self::Up => {
                    let head = format!("POST {prefix}/sink HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let mut left = bytes;
                    while left > 0 {
                        let n = left.min(part.len());
                        stream.write_all(&part[..n]).await.unwrap();
                        left -= n;
                    }
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
            }
            began.elapsed()
        })
    }
}
