//! One connection: its requests through the gate to the routes, and its end.
//!
//! Owns which answers end the connection, and the time of an idle one without leases. Invariants: whatever ends the
//! connection, its leases end too; a request that the gate refuses ends it, so that a client without a token holds no
//! place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::app::App;
use crate::bounded::{Bounded, Role, Shared, no_place};
use crate::gate;
use crate::peer::{Peer, Via};
use crate::places::{Occupant, Phase, Place};
use crate::problem::Problem;
use crate::routes;
use crate::sse::MEDIA_TYPE;
use crate::wire::{VERSION, VERSION_HEADER};

/// An answer's body; when it is sent, the connection waits for its next request.
struct Tracked {
    body: Body,
    shared: Arc<Shared>,
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
        self.shared.answered();
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

/// Serves a connection, which has a place, to its end.
pub(crate) async fn serve<S>(
    app: Arc<App>,
    routes: Router,
    stream: S,
    via: Via,
    place: Place,
    (role, peer): (Role, Peer),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _ends = EndLeases { app: Arc::clone(&app), connection: peer.connection };
    let occupant = Arc::clone(&place.occupant);
    let shared = Arc::new(Shared::new(Arc::clone(&occupant), role, via));
    let io = Bounded::new(stream, Arc::clone(&app), Arc::clone(&shared));
    let idle = idle_for_too_long(Arc::clone(&app), Arc::clone(&occupant));
    let routes = TowerToHyperService::new(routes);
    let (gate, closed) = (Arc::clone(&app), app.closed());
    let replaced = app.access.is_replaced();
    let served = Arc::clone(&shared);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        shared.occupant.enter(Phase::Busy);
        let (app, routes, shared) = (Arc::clone(&gate), routes.clone(), Arc::clone(&shared));
        async move {
            let response = answer(&app, &routes, request, via, peer, &shared).await;
            let response = response.map(|body| Tracked { body, shared });
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection, closed, idle, replaced);
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
        // A client that showed the old token gets the answer under way and nothing else.
        () = &mut replaced, if via == Via::Tcp => {
            if served.is_streaming() {
                Ok(())
            } else {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
        () = occupant.gives_way() => match occupant.doing().0 {
            // A request came in that moment.
            Phase::Busy => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            Phase::Idle | Phase::Head => {
                tracing::debug!(connection = peer.connection, "an idle connection gave way");
                Ok(())
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, connection = peer.connection, "connection ended");
    }
    drop(place);
}

/// Ends when a connection without a request and without a lease is to be closed. Looks once in that time: requests
/// pay nothing for it.
async fn idle_for_too_long(app: Arc<App>, occupant: Arc<Occupant>) {
    loop {
        let time = app.limits().idle_time;
        let (phase, since) = occupant.doing();
        let until = if phase == Phase::Idle { since + time } else { Instant::now() + time };
        if until <= Instant::now() {
            if !app.leases.holds(occupant.connection) {
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
    shared: &Arc<Shared>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let request_time = app.limits().request_time;
    // A demand has a deadline of its own, after which its load continues; a time-out here would cancel the load.
    let time =
        if routes::has_own_deadline(&parts) { std::time::Duration::MAX } else { request_time };
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let refused = match shared.take_refused() {
        Some(problem) => Err(problem),
        None => gate::check(app, via, &parts),
    };
    let refused = refused.and_then(|()| match shared.role {
        Role::Visitor if !routes::is_for_visitors(&parts) => Err(no_place(app)),
        _ => Ok(()),
    });
    let ends = refused.is_err() || shared.role == Role::Visitor;
    if ends {
        shared.end_after_this();
    }
    let mut response = match refused {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            shared.occupant.is_known();
            parts.extensions.insert(peer);
            parts.extensions.insert(Arc::clone(shared));
            let is_large = routes::is_large(&parts);
            let request = Request::from_parts(parts, Body::new(body));
            let called = async {
                if is_large {
                    shared.occupies(app.large.permit(via).await);
                }
                routes.call(request).await
            };
            match tokio::time::timeout(time, called).await {
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
    if headers.get(header::CONTENT_TYPE).is_some_and(|t| t == MEDIA_TYPE) {
        shared.streams();
    }
    if ends {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
