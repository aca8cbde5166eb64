//! A connection to a server that stays open while its program is parked, woken or unloaded.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A program that is parked answers slowly, and by then it has.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    /// The process that was leased when it was opened: another one knows nothing of it.
    pub(super) pid: i32,
}

impl Connection {
    pub(super) async fn open(port: u16, pid: i32) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Self { stream: BufReader::new(stream), pid })
    }

    /// Sends a seed; the sum that comes back.
    pub(super) async fn ask(&mut self, seed: u64) -> anyhow::Result<u64> {
        tokio::time::timeout(PATIENCE, self.exchange(seed))
            .await
            .with_context(|| format!("no answer within {PATIENCE:?}"))?
    }

    async fn exchange(&mut self, seed: u64) -> anyhow::Result<u64> {
        let request = format!("GET /{seed} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the connection was closed");
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length:") {
                length = value.trim().parse().context("a length is a number")?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(String::from_utf8_lossy(&body).parse()?)
    }
}
