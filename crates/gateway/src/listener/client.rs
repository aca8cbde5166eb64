//! A client's connection before and after its component is there: what it has sent meanwhile is kept, within a bound.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub(super) use crate::upstream::Stream;

/// Bytes that are taken from a client that waits; more stay with the client.
const MAX_EARLY: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    /// Bytes that it sent while it waited, and how many of them are passed on.
    early: Vec<u8>,
    passed: usize,
    /// It has sent all that it will.
    is_ended: bool,
}

impl Client {
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream, early: Vec::new(), passed: 0, is_ended: false }
    }

    /// Waits for the first byte. False when the client ends without any. Cancel safe.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn first_byte(&mut self) -> io::Result<bool> {
        while self.early.is_empty() && !self.is_ended {
            self.read_early().await?;
        }
        Ok(!self.early.is_empty())
    }

    /// Resolves when the client has gone: its connection broke, or it ended without a byte. A client that has sent something and
    /// ends its side waits for an answer. Cancel safe.
    pub(super) async fn gone(&mut self) {
        loop {
            if self.is_ended && self.early.is_empty() {
                return;
            }
            if self.is_ended || self.early.len() >= MAX_EARLY {
                drop(self.ready(Interest::ERROR).await);
                // Readiness for errors alone may be reported without one.
                if self.is_ended || self.take_error().is_some() {
                    return;
                }
                return std::future::pending().await;
            }
            if self.read_early().await.is_err() {
                return;
            }
        }
    }

    async fn read_early(&mut self) -> io::Result<()> {
        self.ready(Interest::READABLE).await?;
        let mut chunk = [0; 4096];
        let room = chunk.len().min(MAX_EARLY - self.early.len());
        let read = match &self.stream {
            Stream::Tcp(stream) => stream.try_read(&mut chunk[..room]),
            Stream::Unix(stream) => stream.try_read(&mut chunk[..room]),
        };
        match read {
            Ok(0) => self.is_ended = true,
            Ok(n) => self.early.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => TcpStream::ready(stream, interest).await.map(drop),
            Stream::Unix(stream) => UnixStream::ready(stream, interest).await.map(drop),
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        match &self.stream {
            Stream::Tcp(stream) => stream.take_error().ok().flatten(),
            Stream::Unix(stream) => stream.take_error().ok().flatten(),
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.passed < this.early.len() {
            let n = buf.remaining().min(this.early.len() - this.passed);
            buf.put_slice(&this.early[this.passed..this.passed + n]);
            this.passed += n;
            if this.passed == this.early.len() {
                (this.early, this.passed) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Client::new(Stream::Unix(ours)), theirs)
    }

    #[tokio::test]
    async fn early_bytes_come_first_and_the_end_is_passed_on() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(b"early").await.unwrap();
        assert!(client.first_byte().await.unwrap());
        theirs.write_all(b" late").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "early late");
    }

    #[tokio::test]
    async fn a_client_without_a_byte_is_gone_at_its_end() {
        let (mut client, theirs) = pair();
        drop(theirs);
        assert!(!client.first_byte().await.unwrap());
        client.gone().await;
    }

    #[tokio::test]
    async fn no_more_than_the_bound_is_taken_from_a_client_that_waits() {
        let (mut client, mut theirs) = pair();
        let writes = tokio::spawn(async move { theirs.write_all(&vec![7; 4 << 20]).await });
        let full = async {
            while client.early.len() < MAX_EARLY {
                client.read_early().await.unwrap();
            }
        };
        full.await;
        tokio::task::yield_now().await;
        assert!(!writes.is_finished());
        assert_eq!(client.early.len(), MAX_EARLY);
        drop(client);
        assert!(writes.await.unwrap().is_err());
    }
}
