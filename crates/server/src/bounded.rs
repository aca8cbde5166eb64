//! The stream of one connection: its time limits, and requests handed to HTTP's parser one by one.
//!
//! Owns the times that hyper does not have: for an incomplete head, and for a client that reads nothing. Invariant: the
//! parser sees no byte of a head that was not checked, and none of a request before the one before it was answered, so
//! that a pipelined request has the same bounds as any other.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use majordomo::{ByteSize, CallSlot};
use majordomo_http::framing::{self, Fault, Framing, HeadEnd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::app::App;
use crate::large::{Room, WAITING_PER_LISTENER};
use crate::lock::locked;
use crate::open_files::Capacity;
use crate::peer::Via;
use crate::places::{Occupant, Phase};
use crate::problem::Problem;

/// Bytes that are read at once.
const PART: usize = 8 << 10;
/// A client that is to hear why its connection ends, or that has not sent its whole body, has this long to read the
/// answer: closing on unread bytes would take the answer away again.
const HEARING: Duration = Duration::from_millis(500);
/// A visitor has this long to send its request.
const VISIT: Duration = Duration::from_millis(250);
/// Handed to the parser in the place of a request that is refused: so its answer comes after those before it.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// The rights of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Client,
    /// One request, of an operator: there is no place for more.
    Visitor,
}

/// State that the stream and the service of a connection share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) occupant: Arc<Occupant>,
    pub(crate) role: Role,
    via: Via,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the next request is refused before it was read.
    refused: Option<Problem>,
    /// The connection ends after an answer that the client has not asked to be the last.
    is_ending: bool,
    /// Waits for the answer before it reads on.
    waker: Option<Waker>,
    /// The answer under way is a stream.
    is_stream: bool,
    /// The room of the answer that is being made, or handed to the parser.
    room: Room,
    /// The room of answers in the parser's buffer, which holds two at most.
    unsent: Vec<Room>,
}

impl Shared {
    pub(crate) fn new(occupant: Arc<Occupant>, role: Role, via: Via) -> Self {
        Self { occupant, role, via, state: Mutex::default() }
    }

    /// The problem in the place of a request that was not let through.
    pub(crate) fn take_refused(&self) -> Option<Problem> {
        locked(&self.state).refused.take()
    }

    pub(crate) fn end_after_this(&self) {
        locked(&self.state).is_ending = true;
    }

    /// The answer occupies this room until it was sent.
    pub(crate) fn occupies(&self, room: Room) {
        locked(&self.state).room = room;
    }

    /// Waits until the answer of a component has room among those that clients have not read, and occupies it: at most until the
    /// deadline of its call, and for `request_time`. The program makes no further answer in the slot of this one before this one
    /// has room or a place among those that wait.
    pub(crate) async fn make_room(
        &self,
        app: &App,
        size: ByteSize,
        slot: CallSlot,
    ) -> Result<(), Problem> {
        let dropped = |why: String| {
            let detail = format!(
                "the component has carried out the request, but its answer of {size} was dropped: {why} beside answers that clients have not read"
            );
            Problem::new("answer_dropped", detail)
        };
        let wait = app.large.room(self.via, size);
        let time = slot.time_left().min(app.limits().request_time);
        drop(slot);
        let Some(wait) = wait else {
            return Err(dropped(format!("{WAITING_PER_LISTENER} others wait for room")));
        };
        let room = tokio::time::timeout(time, wait.room()).await;
        self.occupies(room.map_err(|_| dropped(format!("there was no room within {time:?}")))?);
        Ok(())
    }

    /// The answer is a stream, which has no end of its own.
    pub(crate) fn streams(&self) {
        locked(&self.state).is_stream = true;
    }

    pub(crate) fn is_streaming(&self) -> bool {
        locked(&self.state).is_stream
    }

    /// Everything that was handed to the parser is sent. Another answer may be made meanwhile, and wait for this room.
    fn sent(&self) {
        locked(&self.state).unsent.clear();
    }

    /// The answer is with the parser: the connection waits for its next request.
    pub(crate) fn answered(&self) {
        self.occupant.enter(Phase::Idle);
        let mut state = locked(&self.state);
        if let Some(room) = state.room.take() {
            state.unsent.push(Some(room));
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Debug)]
enum At {
    Head(HeadEnd),
    Body(Framing),
    /// Nothing more is read.
    Refused,
}

/// A stream whose requests are checked and bounded.
pub(crate) struct Bounded<S> {
    stream: S,
    app: Arc<App>,
    shared: Arc<Shared>,
    /// Received bytes that were not handed to the parser yet.
    buffer: Vec<u8>,
    /// So much of it may be handed over.
    ready: usize,
    /// Where the rest of it belongs.
    at: At,
    /// Runs from the first wait for the rest of a head.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while the client hears why the connection ends.
    hearing: Option<Pin<Box<Sleep>>>,
}

fn late(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, what.to_owned())
}

/// The problem for a connection that finds no place.
pub(crate) fn no_place(app: &App) -> Problem {
    Problem::new("too_many_connections", Capacity::now(&app.limits()).bound())
        .retry_after(Duration::from_secs(1))
}

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S, app: Arc<App>, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            app,
            shared,
            buffer: Vec::new(),
            ready: 0,
            at: At::Head(HeadEnd::default()),
            head: None,
            stalled: None,
            hearing: None,
        }
    }

    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.ready.min(buf.remaining());
        buf.put_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        self.ready -= n;
    }

    /// Has the next request answered by a problem.
    fn refuse(&mut self, problem: Problem) {
        let mut state = locked(&self.shared.state);
        state.refused = Some(problem);
        state.is_ending = true;
        drop(state);
        self.buffer.clear();
        self.buffer.extend_from_slice(REFUSED);
        self.ready = self.buffer.len();
        self.at = At::Refused;
    }

    /// Finds what of the buffer may be handed over.
    fn release(&mut self) -> std::io::Result<()> {
        let found = match &mut self.at {
            At::Refused => return Ok(()),
            At::Body(framing) => match framing.take(&self.buffer) {
                Some(n) => {
                    self.ready = n;
                    if framing.is_done() {
                        self.at = At::Head(HeadEnd::default());
                    }
                    return Ok(());
                }
                None => {
                    let why = "the chunks of the body are not as RFC 9112 has them";
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
                }
            },
            At::Head(end) => end.find(&self.buffer),
        };
        let checked =
            found.and_then(|n| n.map(|n| Ok((n, framing::check(&self.buffer[..n])?))).transpose());
        match checked {
            Ok(Some((n, framing))) => {
                self.ready = n;
                self.at = match framing.is_done() {
                    true => At::Head(HeadEnd::default()),
                    false => At::Body(framing),
                };
            }
            Ok(None) => {}
            Err(Fault { code, detail }) => self.refuse(Problem::new(code, detail)),
        }
        Ok(())
    }

    /// Ready when the rest of a head has not arrived within its time.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_in_head = self.shared.occupant.doing().0 == Phase::Head;
        if !is_in_head || !matches!(self.at, At::Head(_)) {
            self.head = None;
            return Poll::Pending;
        }
        let limit = self.app.limits().header_time;
        let time = match self.shared.role {
            Role::Client => limit,
            Role::Visitor => limit.min(VISIT),
        };
        self.head.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> Bounded<S> {
    /// Reads on from the client; false at its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        let mut part = [0; PART];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        self.buffer.extend_from_slice(part.filled());
        Poll::Ready(Ok(!part.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready > 0 {
                this.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            match (&this.at, this.shared.occupant.doing().0) {
                (At::Refused, _) => return Poll::Pending,
                (At::Head(_), Phase::Busy) if !this.buffer.is_empty() => {
                    locked(&this.shared.state).waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                // The end of the client is seen while it is being answered.
                (At::Head(_), Phase::Busy) => {}
                (At::Head(_), Phase::Idle) if !this.buffer.is_empty() => {
                    this.shared.occupant.enter(Phase::Head);
                    this.head = None;
                    this.release()?;
                }
                _ if !this.buffer.is_empty() => this.release()?,
                _ => {}
            }
            if this.ready > 0 {
                continue;
            }
            match this.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(this.poll_head(cx));
                    if this.shared.role == Role::Client {
                        let error = late(
                            "the head of the request was not complete within server.header_time",
                        );
                        return Poll::Ready(Err(error));
                    }
                    let problem = no_place(&this.app);
                    this.refuse(problem);
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Bounded<S> {
    fn poll_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let time = || self.app.limits().stall_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(time())));
        stalled.as_mut().poll(cx).map(|()| Err(late("the client reads nothing")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_stalled(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_stalled(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        if done.is_ready() {
            self.shared.sent();
        }
        self.poll_stalled(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.hearing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            let is_in_body = matches!(this.at, At::Body(_));
            if !is_in_body && !locked(&this.shared.state).is_ending {
                return Poll::Ready(Ok(()));
            }
            // Another may have its place meanwhile.
            this.shared.occupant.enter(Phase::Idle);
        }
        loop {
            this.buffer.clear();
            match this.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        let sleep = || Box::pin(tokio::time::sleep(HEARING));
        this.hearing.get_or_insert_with(sleep).as_mut().poll(cx).map(Ok)
    }
}
