//! Bodies in: bounded in bytes and time, and JSON or a problem. Bodies out: JSON, or a stream that makes its
//! next part when the one before has gone.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Frame;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::json::to_json;
use crate::problem::Problem;

/// The body of a request that takes no members: empty, or an empty object.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoMembers {}

/// Reads a body as JSON; an empty one is the default.
pub(crate) async fn read<T: DeserializeOwned + Default>(
    app: &App,
    body: Body,
) -> Result<T, Problem> {
    let limits = app.limits();
    let max = usize::try_from(limits.max_body.bytes()).unwrap_or(usize::MAX);
    let too_large = || {
        Problem::new(
            "body_too_large",
            format!("the body has more than {} (server.max_body)", limits.max_body),
        )
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(limits.body_time, Limited::new(body, max).collect()).await;
    let bytes = match collected {
        Err(_) => {
            let detail =
                format!("the body did not come within {:?} (server.body_time)", limits.body_time);
            return Err(Problem::new("body_timeout", detail));
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => {
            let why = cause(&*error);
            return Err(Problem::new("bad_request", format!("the body cannot be read: {why}")));
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if bytes.is_empty() {
        return Ok(T::default());
    }
    let text = majordomo::decode_text(bytes.into())
        .map_err(|error| Problem::new("bad_json", format!("the body cannot be read: {error}")))?;
    // A list would be taken for the members in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::new("bad_json", "the body is no JSON object"));
    }
    serde_json::from_str(&text).map_err(|error| {
        Problem::new("bad_json", format!("the body is not what this route takes: {error}"))
    })
}

/// The innermost cause of an error: those around it only say that a body was being read.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&e| e.source()).last().unwrap_or(error)
}

/// An answer of bytes that are JSON.
pub(crate) fn json_bytes(bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer as JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Response<Body>, Problem> {
    to_json(value).map(json_bytes)
}

/// A body whose parts `make` gives one after the other from a state, until it gives none.
pub(crate) struct Unfold<S, F, Fut> {
    make: F,
    state: Option<S>,
    making: Option<Pin<Box<Fut>>>,
}

impl<S, F, Fut> Unfold<S, F, Fut>
where
    F: FnMut(S) -> Fut,
    Fut: Future<Output = Option<(Bytes, S)>>,
{
    pub(crate) fn new(state: S, make: F) -> Self {
        Self { make, state: Some(state), making: None }
    }
}

impl<S, F, Fut> HttpBody for Unfold<S, F, Fut>
where
    S: Unpin,
    F: FnMut(S) -> Fut + Unpin,
    Fut: Future<Output = Option<(Bytes, S)>>,
{
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.making.is_none() {
            match this.state.take() {
                Some(state) => this.making = Some(Box::pin((this.make)(state))),
                None => return Poll::Ready(None),
            }
        }
        let Some(making) = &mut this.making else { return Poll::Ready(None) };
        match making.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(made) => {
                this.making = None;
                Poll::Ready(made.map(|(bytes, state)| {
                    this.state = Some(state);
                    Ok(Frame::data(bytes))
                }))
            }
        }
    }
}
