//! Streams of server-sent events: the event at which a follower continues, gaps, and the end with the server.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use majordomo::{Followed, Follower, LogFollower, count, quoted_start};

use crate::app::{App, StreamPlace};
use crate::body::Unfold;
use crate::problem::Problem;
use crate::sse::{MEDIA_TYPE, frame};
use crate::wire::{Gap, LogLine};

/// A stream without events sends a comment this often, so that dead peers are noticed and proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Lines of a log in one part of a stream.
const LINES: usize = 256;
/// Frames that are sent together.
const FRAMES: usize = 64;

/// The last event that a client had: its number, and whether it was of this server's run.
pub(crate) fn last_event_id(
    app: &App,
    headers: &HeaderMap,
) -> Result<Option<(u64, bool)>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let parsed = match text.rsplit_once('-') {
        Some((boot, number)) => number.parse().ok().map(|n: u64| (n, boot == app.boot)),
        None => text.parse().ok().map(|n| (n, true)),
    };
    parsed.map(Some).ok_or_else(|| {
        Problem::new(
            "bad_value",
            format!("Last-Event-ID {} is not one that this server gave", quoted_start(text)),
        )
    })
}

fn respond<S, F, Fut>(state: S, make: F) -> Response<Body>
where
    S: Unpin + Send + 'static,
    F: FnMut(S) -> Fut + Unpin + Send + 'static,
    Fut: Future<Output = Option<(Bytes, S)>> + Send + 'static,
{
    let mut response = Response::new(Body::new(Unfold::new(state, make)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Events {
    follower: Follower,
    place: StreamPlace,
    first: Option<Bytes>,
}

/// The events from where the client was, or from `from`, or from now on.
pub(crate) fn events(
    app: &Arc<App>,
    headers: &HeaderMap,
    from: Option<u64>,
) -> Result<Response<Body>, Problem> {
    let place = app.stream_place()?;
    let (from, mut first, is_ours) = match last_event_id(app, headers)? {
        Some((number, is_ours)) => (Some(number.saturating_add(1)), None, is_ours),
        // A comment at once: the client sees that it is connected.
        None => (from, Some(Bytes::from_static(b": following\n\n")), true),
    };
    let mut follower = app.manager.events(from);
    // A number without the run before it may be of an earlier run, too: then it is one that was not reached yet.
    if !is_ours || follower.is_beyond_newest() {
        let text = "the server was restarted; its events begin again".to_owned();
        first = Some(frame(None, "gap", &Gap { missed: None, text }));
        follower = app.manager.events(Some(0));
    }
    Ok(respond(Events { follower, place, first }, |mut s: Events| async move {
        if let Some(first) = s.first.take() {
            return Some((first, s));
        }
        let app = Arc::clone(&s.place.app);
        let next = tokio::select! {
            biased;
            next = s.follower.next() => next?,
            () = app.closed() => return None,
            () = tokio::time::sleep(HEARTBEAT) => return Some((Bytes::from_static(b": \n\n"), s)),
        };
        let bytes = encode(&app, next);
        // Further events that are there already are sent with it.
        let Some(more) = s.follower.try_next() else { return Some((bytes, s)) };
        let mut all = bytes.to_vec();
        all.extend_from_slice(&encode(&app, more));
        for _ in 2..FRAMES {
            let Some(more) = s.follower.try_next() else { break };
            all.extend_from_slice(&encode(&app, more));
        }
        Some((all.into(), s))
    }))
}

fn encode(app: &App, followed: Followed) -> Bytes {
    match followed {
        Followed::Record(record) => app.event_frame(&record),
        Followed::Gap(missed) => frame(
            None,
            "gap",
            &Gap {
                missed: Some(missed),
                text: format!("{} no longer kept", count(missed, "event")),
            },
        ),
    }
}

struct Logs {
    follower: LogFollower,
    place: StreamPlace,
}

/// The lines of a log from number `from` on, as they come.
pub(crate) fn logs(app: &Arc<App>, name: &str, from: u64) -> Result<Response<Body>, Problem> {
    let follower = app.manager.operator().follow_logs(name, from)?;
    let place = app.stream_place()?;
    Ok(respond(Logs { follower, place }, |mut s: Logs| async move {
        let chunk = tokio::select! {
            biased;
            chunk = s.follower.next(LINES) => chunk,
            () = s.place.app.closed() => return None,
            () = tokio::time::sleep(HEARTBEAT) => return Some((Bytes::from_static(b": \n\n"), s)),
        };
        let mut out = Vec::new();
        if chunk.missed > 0 {
            let text = format!("{} no longer kept", count(chunk.missed, "line"));
            out.extend_from_slice(&frame(None, "gap", &Gap { missed: Some(chunk.missed), text }));
        }
        for line in &chunk.lines {
            let id = line.number.to_string();
            out.extend_from_slice(&frame(Some(&id), "line", &LogLine::from(line)));
        }
        Some((out.into(), s))
    }))
}
