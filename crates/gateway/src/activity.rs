//! The meaning of an open connection for the lease of its component: traffic is a use, or the connection is, or neither.
//!
//! Invariant: with `activity`, a connection that was idle for its time holds neither lease nor place; the traffic that takes them
//! again either finds the component ready or ends the connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use majordomo::ConnectionUse;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::hold::Held;
use crate::lock::locked;
use crate::member::Member;

/// A connection of which one direction has ended is closed when the other is idle for this long.
const HALF_OPEN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct State {
    held: Option<Held>,
    last: Instant,
    /// One direction has ended.
    is_half_open: bool,
}

/// The lease of one connection.
#[derive(Debug)]
pub struct Tracker {
    gateway: Gateway,
    member: Arc<Member>,
    rule: ConnectionUse,
    idle: Duration,
    state: Mutex<State>,
    touched: Notify,
}

impl Tracker {
    /// Tracks a connection to the component that is held, by the component's own rule.
    #[must_use]
    pub fn new(gateway: Gateway, held: Held) -> Arc<Self> {
        let member = Arc::clone(&held.member);
        let spec = member.spec();
        let route = spec.route();
        let (rule, idle) = (route.connection_use, route.connection_idle);
        let held = (rule != ConnectionUse::Ignore).then_some(held);
        let state = State { held, last: Instant::now(), is_half_open: false };
        let (state, touched) = (Mutex::new(state), Notify::new());
        Arc::new(Self { gateway, member, rule, idle, state, touched })
    }

    /// Records traffic. False when the component is not ready any more, and the connection has to close.
    fn touch(&self) -> bool {
        let mut state = locked(&self.state);
        state.last = Instant::now();
        if self.rule != ConnectionUse::Activity || state.held.is_some() {
            return true;
        }
        state.held = self.gateway.hold_if_ready(&self.member);
        let is_held = state.held.is_some();
        drop(state);
        if is_held {
            self.touched.notify_one();
        }
        is_held
    }

    fn half_closed(&self) {
        let mut state = locked(&self.state);
        state.is_half_open = true;
        drop(state);
        self.touched.notify_one();
    }

    /// Gives the lease back whenever the connection is idle. Ends when one direction has ended and the other is idle.
    pub(crate) async fn run(&self) {
        loop {
            let (idle_at, is_half_open, is_held) = {
                let state = locked(&self.state);
                let idle = if state.is_half_open { HALF_OPEN.min(self.idle) } else { self.idle };
                (state.last + idle, state.is_half_open, state.held.is_some())
            };
            let is_timed = is_half_open || (is_held && self.rule == ConnectionUse::Activity);
            tokio::select! {
                () = tokio::time::sleep_until(idle_at), if is_timed => {}
                () = self.touched.notified() => continue,
            }
            let mut state = locked(&self.state);
            let is_idle = state.last + HALF_OPEN.min(self.idle) <= Instant::now();
            if state.is_half_open && is_idle {
                return;
            }
            if state.last + self.idle <= Instant::now() {
                let held = state.held.take();
                drop(state);
                drop(held);
            }
        }
    }
}

/// The client's side of a connection, whose traffic is recorded.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    tracker: Arc<Tracker>,
    /// Written before the end, when the component has ended the connection.
    farewell: Farewell,
}

/// The last words to a client whose component has ended the connection without any.
#[derive(Debug, Default)]
pub(crate) enum Farewell {
    /// The protocol is not known.
    #[default]
    None,
    /// A close frame follows the last whole frame.
    WebSocket(crate::websocket::Frames),
    /// These bytes, of which so many are written.
    Writing(Vec<u8>, usize),
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, tracker: Arc<Tracker>, farewell: Farewell) -> Self {
        Self { stream, tracker, farewell }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the component is not ready any more")
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            if buf.filled().len() == before {
                this.tracker.half_closed();
            } else if !this.tracker.touch() {
                return Poll::Ready(Err(gone()));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.tracker.touch() {
            return Poll::Ready(Err(gone()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let (Poll::Ready(Ok(n)), Farewell::WebSocket(frames)) = (&written, &mut this.farewell) {
            frames.pass(&buf[..*n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Farewell::WebSocket(frames) = &this.farewell {
            this.farewell = Farewell::Writing(frames.farewell(), 0);
            this.tracker.half_closed();
        }
        while let Farewell::Writing(bytes, written) = &mut this.farewell {
            if *written == bytes.len() {
                break;
            }
            let stream = Pin::new(&mut this.stream);
            match std::task::ready!(stream.poll_write(cx, &bytes[*written..])) {
                Ok(0) | Err(_) => break,
                Ok(n) => *written += n,
            }
        }
        this.tracker.half_closed();
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// Passes bytes between a client and a component until both directions have ended, or the component is gone.
pub(crate) async fn splice<C, U>(
    client: C,
    mut component: U,
    tracker: Arc<Tracker>,
    farewell: Farewell,
) where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    use tokio::io::AsyncWriteExt;

    let mut client = Watched::new(client, Arc::clone(&tracker), farewell);
    let ended = tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut client, &mut component) => ended,
        () = tracker.run() => Ok((0, 0)),
    };
    if let Err(error) = ended {
        tracing::debug!(component = %tracker.member.id, %error, "a connection ended");
        // The component broke off; the client hears it, if it still listens.
        drop(tokio::time::timeout(HALF_OPEN, client.shutdown()).await);
    }
}
