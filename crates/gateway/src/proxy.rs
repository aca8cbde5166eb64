//! A request to a component, and its answer back, both as streams.
//!
//! Invariant: an answer that breaks off at the component breaks off at the client; a client that disconnects ends the request at the
//! component; lease and place are given back with the last byte of the answer, however it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant};

use crate::answer::BodyError;
use crate::figures::{Counted, Figures};
use crate::hold::Held;
use crate::outgoing::Outgoing;
use crate::refused::Refused;
use crate::upstream::Lent;

/// The answer of a component on its way to the client.
#[derive(Debug)]
pub(crate) struct Passed {
    body: Incoming,
    /// The connection, which waits for its next request once the answer has ended.
    lent: Option<Lent>,
    /// None once a connection that changed its protocol has taken the lease over.
    held: Option<Held>,
    is_done: bool,
}

impl Passed {
    /// Ends the exchange and hands the lease over, for a connection that changes its protocol.
    pub(crate) fn into_held(mut self) -> Option<Held> {
        self.lent = None;
        self.held.take()
    }

    fn figures(&self) -> Option<&Figures> {
        self.held.as_ref().map(|held| &held.member.figures)
    }
}

impl HttpBody for Passed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                if let Some(figures) = this.figures() {
                    figures.passed(bytes);
                }
            }
            Some(Err(_)) => {
                if let Some(figures) = this.figures() {
                    figures.count(Counted::Failed);
                }
                this.lent = None;
            }
            None => this.is_done = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Component)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take()
            && (self.is_done || self.body.is_end_stream())
        {
            lent.give_back();
        }
    }
}

/// Sends a request to the component that is held, and returns its answer as the component gave it.
///
/// # Errors
/// The component cannot be reached, fails, or begins no answer within `within`.
pub(crate) async fn send(
    held: Held,
    parts: Parts,
    body: Outgoing,
    within: Duration,
) -> Result<Response<Passed>, Refused> {
    let began = Instant::now();
    let member = Arc::clone(&held.member);
    let failed = |why: &dyn std::fmt::Display| {
        member.figures.count(Counted::Failed);
        Refused::component_failed(&member.id, &why.to_string())
    };
    let mut lent = member.pool.lend(&held.address).await.map_err(|e| failed(&e))?;
    let again = match lent.may_be_stale() && is_idempotent(&parts.method) {
        true => body.again().map(|body| Request::from_parts(parts.clone(), body)),
        false => None,
    };
    let sent = lent.sender.try_send_request(Request::from_parts(parts, body));
    let answered = tokio::time::timeout(within, sent).await;
    let silent = || {
        member.figures.count(Counted::Failed);
        Refused::component_silent(&member.id, within)
    };
    let answer = match answered.map_err(|_| silent())? {
        Ok(answer) => answer,
        Err(mut error) => {
            let unsent = error.take_message().or(again).filter(|_| lent.is_used());
            let Some(request) = unsent else { return Err(failed(&said(&error.into_error()))) };
            lent = member.pool.open(&held.address).await.map_err(|e| failed(&e))?;
            let sent = lent.sender.send_request(request);
            let left = within.saturating_sub(began.elapsed());
            let answered = tokio::time::timeout(left, sent).await.map_err(|_| silent())?;
            answered.map_err(|error| failed(&said(&error)))?
        }
    };
    member.figures.answered(began.elapsed());
    Ok(answer.map(|body| Passed { body, lent: Some(lent), held: Some(held), is_done: false }))
}

/// Whether a request may be sent twice without doing anything twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

/// An error of HTTP with its causes.
fn said(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
