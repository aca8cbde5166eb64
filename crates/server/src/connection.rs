//! One connection: its bounds in time, its requests through the gate to the routes, and its end.
//!
//! Owns the times that hyper does not: a head that does not come in whole, an idle connection without leases, a
//! client that reads nothing. Invariant: whatever ends the connection, its leases end too.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use majordomo::Party;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::app::{App, locked};
use crate::gate;
use crate::problem::Problem;
use crate::routes;
use crate::wire::{VERSION, VERSION_HEADER};

/// How a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Unix,
    Tcp,
}

/// Who is at the other end; handed to the routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The connection's number.
    pub(crate) connection: u64,
    /// The process, where the system tells.
    pub(crate) pid: Option<u32>,
}

impl Peer {
    /// The tag of a client that states none: its process, where that is known.
    pub(crate) fn tag(self) -> Option<String> {
        self.pid.map(|pid| format!("pid {pid}"))
    }

    /// The client as a party without a tag of its own.
    pub(crate) fn party(self) -> Party {
        let Self { connection, pid } = self;
        Party { tag: self.tag().map(Into::into), pid, connection: Some(connection) }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request is there.
    Idle,
    /// A head is being read.
    Head,
    /// A request is being answered.
    Busy,
}

/// The phase and since when.
type SharedPhase = Arc<Mutex<(Phase, Instant)>>;

fn enter(shared: &SharedPhase, phase: Phase) {
    *locked(shared) = (phase, Instant::now());
}

/// A stream on which a head, and the taking of an answer, have an end.
struct Timed<S> {
    stream: S,
    app: Arc<App>,
    phase: SharedPhase,
    /// Runs from the first wait for the rest of a head.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

fn late(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, what.to_owned())
}

impl<S> Timed<S> {
    fn new(stream: S, app: Arc<App>, phase: SharedPhase) -> Self {
        Self { stream, app, phase, head: None, stalled: None }
    }

    /// Whether the rest of a head has not come in time.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Error> {
        if locked(&self.phase).0 != Phase::Head {
            self.head = None;
            return Poll::Pending;
        }
        let time = || self.app.limits().header_time;
        let head = self.head.get_or_insert_with(|| Box::pin(tokio::time::sleep(time())));
        head.as_mut().poll(cx).map(|()| late("the head of the request did not come in time"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.poll_head(cx).map(Err),
            Poll::Ready(done) => {
                let is_new = locked(&self.phase).0 == Phase::Idle;
                if is_new && buf.filled().len() > before {
                    enter(&self.phase, Phase::Head);
                    self.head = None;
                }
                Poll::Ready(done)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
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
        self.poll_stalled(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer's body; when it has gone, the connection waits for its next request.
struct Tracked {
    body: Body,
    phase: SharedPhase,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        enter(&self.phase, Phase::Idle);
    }
}

/// Gives back what ends with the connection, whatever ends it.
struct EndLeases {
    app: Arc<App>,
    connection: u64,
}

impl Drop for EndLeases {
    fn drop(&mut self) {
        self.app.leases.disconnected(self.connection);
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve<S>(app: Arc<App>, routes: Router, stream: S, via: Via, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _ends = EndLeases { app: Arc::clone(&app), connection: peer.connection };
    // A client that says nothing at all has as long as one that says half a head.
    let phase = Arc::new(Mutex::new((Phase::Head, Instant::now())));
    let io = Timed::new(stream, Arc::clone(&app), Arc::clone(&phase));
    let idle = idle_for_too_long(Arc::clone(&app), peer.connection, Arc::clone(&phase));
    let routes = TowerToHyperService::new(routes);
    let (gate, closed) = (Arc::clone(&app), app.closed());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        enter(&phase, Phase::Busy);
        let (app, routes, phase) = (Arc::clone(&gate), routes.clone(), Arc::clone(&phase));
        async move {
            let response = answer(&app, &routes, request, via, peer).await;
            let response = response.map(|body| Tracked { body, phase });
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection, closed, idle);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = &mut closed => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = &mut idle => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, connection = peer.connection, "connection ended");
    }
}

/// Ends when a connection without a request and without a lease is to be closed. Looks once in that time: requests
/// pay nothing for it.
async fn idle_for_too_long(app: Arc<App>, connection: u64, phase: SharedPhase) {
    loop {
        let time = app.limits().idle_time;
        let (phase, since) = *locked(&phase);
        let until = if phase == Phase::Idle { since + time } else { Instant::now() + time };
        if until <= Instant::now() {
            if !app.leases.holds(connection) {
                return;
            }
            tokio::time::sleep(time).await;
        } else {
            tokio::time::sleep_until(until).await;
        }
    }
}

async fn answer(
    app: &App,
    routes: &TowerToHyperService<Router>,
    request: Request<Incoming>,
    via: Via,
    peer: Peer,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let request_time = app.limits().request_time;
    // A demand has a deadline of its own, after which its load goes on; cut off here it would be called off.
    let time =
        if routes::waits_for_components(&parts) { std::time::Duration::MAX } else { request_time };
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let mut response = match gate::check(app, via, &parts) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            parts.extensions.insert(peer);
            let request = Request::from_parts(parts, Body::new(body));
            match tokio::time::timeout(time, routes.call(request)).await {
                Ok(Ok(response)) => response,
                Err(_) => Problem::new(
                    "request_timeout",
                    format!("there was no answer within {request_time:?} (server.request_time)"),
                )
                .into_response(),
            }
        }
    };
    // The path only: the user's words are in bodies, and stay there.
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
