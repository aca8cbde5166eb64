//! The stream of a client's connection: requests delimited strictly before the parser of HTTP sees them, and the times that the
//! parser does not have.
//!
//! Bodies are checked where they lie and never copied. Invariant: the parser sees no byte of a head that was not checked by
//! `majordomo_http::framing`; of a head that is refused it sees a request in its place, whose answer is the refusal.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use majordomo_http::framing::{self, Framing, HeadEnd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::lock::locked;
use crate::refused::Refused;

/// Bytes of a head that are read at once.
const PART: usize = 8 << 10;
/// A client that has not sent its whole body has this long to read the answer: closing on unread bytes would take it away.
const HEARING: Duration = Duration::from_millis(500);
/// Handed to the parser in the place of a request that is refused, so that its answer comes after those before it.
const IN_ITS_PLACE: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// The times of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
}

/// State that the stream and the service of a connection share.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A request is being answered.
    is_busy: bool,
    /// The connection has another protocol.
    is_changed: bool,
    refused: Option<Refused>,
    /// An answer broke off whose end only the end of the connection shows.
    ends_broken: bool,
}

impl Shared {
    /// A request begins. The refusal in the place of one that was not let through.
    pub(crate) fn begin(&self) -> Option<Refused> {
        let mut state = locked(&self.0);
        state.is_busy = true;
        state.refused.take()
    }

    /// The answer is with the parser.
    pub(crate) fn answered(&self) {
        locked(&self.0).is_busy = false;
    }

    /// The answer broke off, and the client takes an orderly end of the connection for the end of the answer.
    pub(crate) fn ends_broken(&self) {
        locked(&self.0).ends_broken = true;
    }

    /// The bytes after this answer are not HTTP.
    pub(crate) fn changes_protocol(&self) {
        locked(&self.0).is_changed = true;
    }
}

#[derive(Debug)]
enum At {
    Head(HeadEnd),
    Body(Framing),
    /// Nothing more is read.
    Refused,
}

/// The subject of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Idle,
    Head,
}

/// A stream whose requests are checked and bounded.
#[derive(Debug)]
pub(crate) struct Strict<S> {
    stream: S,
    shared: Arc<Shared>,
    times: Times,
    /// Received bytes that were not handed to the parser yet.
    buffer: Vec<u8>,
    /// So much of it may be handed over.
    ready: usize,
    at: At,
    /// A head was let through.
    was_used: bool,
    wait: Option<Wait>,
    timer: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
    hearing: Option<Pin<Box<Sleep>>>,
    /// Makes the end of the stream one that the client sees as a failure.
    reset: fn(&S),
}

impl<S> Drop for Strict<S> {
    fn drop(&mut self) {
        if locked(&self.shared.0).ends_broken {
            (self.reset)(&self.stream);
        }
    }
}

impl<S> Strict<S> {
    pub(crate) fn new(stream: S, shared: Arc<Shared>, times: Times, reset: fn(&S)) -> Self {
        Self {
            stream,
            shared,
            times,
            buffer: Vec::new(),
            ready: 0,
            at: At::Head(HeadEnd::default()),
            was_used: false,
            wait: None,
            timer: Box::pin(tokio::time::sleep(times.header)),
            stalled: None,
            hearing: None,
            reset,
        }
    }

    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.ready.min(buf.remaining());
        buf.put_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        self.ready -= n;
    }

    fn refuse(&mut self, refused: Refused) {
        locked(&self.shared.0).refused = Some(refused);
        self.buffer.clear();
        self.buffer.extend_from_slice(IN_ITS_PLACE);
        self.ready = self.buffer.len();
        self.at = At::Refused;
    }

    /// Finds what of the buffer may be handed over.
    fn release(&mut self) -> io::Result<()> {
        let checked = match &mut self.at {
            At::Refused => return Ok(()),
            At::Body(framing) => {
                self.ready = framing.take(&self.buffer).ok_or_else(broken_chunks)?;
                if framing.is_done() {
                    self.at = At::Head(HeadEnd::default());
                }
                return Ok(());
            }
            At::Head(end) => match end.find(&self.buffer) {
                Ok(None) => return Ok(()),
                Ok(Some(n)) => framing::check(&self.buffer[..n]).map(|framing| (n, framing)),
                Err(fault) => Err(fault),
            },
        };
        match checked {
            Ok((n, framing)) => {
                self.ready = n;
                self.was_used = true;
                self.at = match framing.is_done() {
                    true => At::Head(HeadEnd::default()),
                    false => At::Body(framing),
                };
            }
            Err(fault) => self.refuse(Refused::bad_head(fault)),
        }
        Ok(())
    }

    /// Ready when the wait of a connection without a complete head is over.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        let is_busy = locked(&self.shared.0).is_busy;
        let wait = match &self.at {
            At::Head(_) if !self.buffer.is_empty() => Wait::Head,
            At::Head(_) if !is_busy => Wait::Idle,
            _ => {
                self.wait = None;
                return Poll::Pending;
            }
        };
        if self.wait != Some(wait) {
            let time = match wait {
                // A client that never says anything has as long as one that says half a head.
                Wait::Idle if self.was_used => self.times.idle,
                Wait::Idle | Wait::Head => self.times.header,
            };
            self.wait = Some(wait);
            self.timer.as_mut().reset(Instant::now() + time);
        }
        self.timer.as_mut().poll(cx).map(|()| wait)
    }
}

fn broken_chunks() -> io::Error {
    let why = "the chunks of the body are not as RFC 9112 has them";
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<S: AsyncRead + Unpin> Strict<S> {
    /// Reads a body straight into the parser's buffer, and keeps what follows it. Ready with false when nothing of the body came.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let At::Body(framing) = &mut self.at else { return Poll::Ready(Ok(true)) };
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let n = framing.take(read).ok_or_else(broken_chunks)?;
        if framing.is_done() {
            self.at = At::Head(HeadEnd::default());
        }
        self.buffer.extend_from_slice(&read[n..]);
        buf.set_filled(before + n);
        Poll::Ready(Ok(n > 0))
    }

    /// Reads more of a head; false at the end of the stream.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut part = [0; PART];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        self.buffer.extend_from_slice(part.filled());
        Poll::Ready(Ok(!part.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready > 0 {
                this.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            if locked(&this.shared.0).is_changed {
                if this.buffer.is_empty() {
                    return Pin::new(&mut this.stream).poll_read(cx, buf);
                }
                this.ready = this.buffer.len();
                continue;
            }
            if !this.buffer.is_empty() {
                this.release()?;
                if this.ready > 0 {
                    continue;
                }
            }
            match &this.at {
                At::Refused => return Poll::Pending,
                At::Body(_) => match this.poll_body(cx, buf) {
                    Poll::Ready(Ok(false)) => {}
                    Poll::Ready(done) => return Poll::Ready(done.map(drop)),
                    Poll::Pending => return Poll::Pending,
                },
                At::Head(_) => match this.poll_head(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(done) => return Poll::Ready(done.map(drop)),
                    Poll::Pending => match ready!(this.poll_wait(cx)) {
                        // The end of the stream, as if the client had closed it.
                        Wait::Idle => return Poll::Ready(Ok(())),
                        Wait::Head => this.refuse(Refused::slow_head()),
                    },
                },
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Strict<S> {
    fn poll_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let time = self.times.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing");
        stalled.as_mut().poll(cx).map(|()| Err(late()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_stalled(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_stalled(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stalled(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.hearing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if matches!(this.at, At::Head(_)) {
                return Poll::Ready(Ok(()));
            }
        }
        loop {
            this.buffer.clear();
            match this.poll_head(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        let sleep = || Box::pin(tokio::time::sleep(HEARING));
        this.hearing.get_or_insert_with(sleep).as_mut().poll(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMES: Times = Times {
        header: Duration::from_secs(1),
        idle: Duration::from_secs(9),
        stall: Duration::from_secs(9),
    };

    /// The bytes that the parser sees of some bytes, and the status of the refusal.
    async fn seen(bytes: &[u8], step: usize) -> (Vec<u8>, Option<u16>) {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let shared = Arc::new(Shared::default());
        let mut strict = Strict::new(server, Arc::clone(&shared), TIMES, |_| {});
        let write = async {
            for part in bytes.chunks(step) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let mut all = Vec::new();
        let read = async {
            let mut part = [0; 64];
            while let Ok(Ok(n @ 1..)) =
                tokio::time::timeout(Duration::from_secs(30), strict.read(&mut part)).await
            {
                all.extend_from_slice(&part[..n]);
            }
        };
        tokio::join!(write, read);
        (all, shared.begin().map(|refused| refused.status()))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pass_unchanged_however_their_bytes_come() {
        let bytes = b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: x\r\n\r\n\
            PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: y\r\n\r\n";
        for step in [1, 3, 50, bytes.len()] {
            assert_eq!(seen(bytes, step).await, (bytes.to_vec(), None), "{step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn head_that_two_readers_could_split_differently_is_replaced() {
        let bad = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        let good = b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n".as_slice();
        for step in [1, 9999] {
            assert_eq!(seen(bad, step).await, (IN_ITS_PLACE.to_vec(), Some(400)));
            let both = [good, bad].concat();
            assert_eq!(seen(&both, step).await, ([good, IN_ITS_PLACE].concat(), Some(400)));
        }
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
        assert_eq!(seen(long.as_bytes(), 9999).await, (IN_ITS_PLACE.to_vec(), Some(431)));
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_finish_its_head_hears_so() {
        let (mut client, server) = tokio::io::duplex(1024);
        let shared = Arc::new(Shared::default());
        let mut strict = Strict::new(server, Arc::clone(&shared), TIMES, |_| {});
        client.write_all(b"GET / HT").await.unwrap();
        let mut part = [0; 64];
        let n = strict.read(&mut part).await.unwrap();
        assert_eq!(&part[..n], IN_ITS_PLACE);
        assert_eq!(shared.begin().map(|r| r.status()), Some(408));
        // One that says nothing is closed.
        let (_client, server) = tokio::io::duplex(1024);
        let mut strict = Strict::new(server, Arc::default(), TIMES, |_| {});
        assert_eq!(strict.read(&mut part).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn used_connection_waits_longer_for_its_next_request() {
        let (mut client, server) = tokio::io::duplex(1024);
        let shared = Arc::new(Shared::default());
        let mut strict = Strict::new(server, Arc::clone(&shared), TIMES, |_| {});
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut part = [0; 64];
        assert!(strict.read(&mut part).await.unwrap() > 0);
        assert!(shared.begin().is_none());
        // The parser looks for the end of the client while it is answered.
        let busy = tokio::time::timeout(Duration::from_secs(60), strict.read(&mut part)).await;
        assert!(busy.is_err(), "an answer may take its time");
        shared.answered();
        let start = Instant::now();
        assert_eq!(strict.read(&mut part).await.unwrap(), 0);
        assert_eq!(start.elapsed().as_secs(), TIMES.idle.as_secs());
    }
}
