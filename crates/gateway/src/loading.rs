//! The answer to a client that asked for a stream while its component is loaded: comments until the stream begins.
//!
//! Comments of server-sent events are no events: clients skip them, and proxies see that the connection lives. Invariant: status
//! 200 is sent, so that a failure from then on is an event of the API, never silence.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::time::Interval;

use crate::answer::{Body, BodyError};
use crate::api::Api;
use crate::gateway::Gateway;
use crate::member::Member;
use crate::refused::Refused;

/// The time between two comments.
const EVERY: Duration = Duration::from_secs(1);
/// The most of a component's error that is passed on as an event.
const MAX_ERROR: usize = 64 << 10;

/// An answer that is being made.
pub(crate) type Making =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Refused>> + Send + 'static>>;
type Describing = Pin<Box<dyn Future<Output = Option<Bytes>> + Send + 'static>>;

enum Stage {
    /// The component is loaded, and sent the request.
    Making(Making),
    /// The component streams.
    Streaming(Body),
    /// The component answered with something else.
    Collecting(Body, Vec<u8>),
    Ended,
}

/// A stream that begins with comments.
pub(crate) struct Loading {
    stage: Stage,
    describing: Option<Describing>,
    ticks: Interval,
    gateway: Gateway,
    member: Arc<Member>,
    api: Api,
}

impl Loading {
    /// The answer of a client that waits for `making`.
    pub(crate) fn response(
        making: Making,
        gateway: Gateway,
        member: Arc<Member>,
        api: Api,
    ) -> Response<Body> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stage = Stage::Making(making);
        let body = Self { stage, describing: None, ticks, gateway, member, api };
        let mut response = Response::new(Body::stream(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// The next comment, when it is due.
    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            match &mut self.describing {
                None => {
                    std::task::ready!(self.ticks.poll_tick(cx));
                    let (gateway, member) = (self.gateway.clone(), Arc::clone(&self.member));
                    self.describing = Some(Box::pin(async move {
                        let progress = gateway.progress(&member).await?;
                        Some(Bytes::from(format!(": {progress}\n\n")))
                    }));
                }
                Some(describing) => {
                    let comment = std::task::ready!(describing.as_mut().poll(cx));
                    self.describing = None;
                    return Poll::Ready(comment.unwrap_or(Bytes::from_static(b": waiting\n\n")));
                }
            }
        }
    }

    /// The answer is there: it streams, or is an error.
    fn begin(&mut self, made: Result<Response<Body>, Refused>) -> Option<Bytes> {
        match made {
            Ok(response) => {
                let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
                let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
                let is_stream = kind.trim().eq_ignore_ascii_case("text/event-stream");
                let is_success = response.status().is_success();
                let body = response.into_body();
                self.stage = match is_stream && is_success {
                    true => Stage::Streaming(body),
                    false => Stage::Collecting(body, Vec::new()),
                };
                None
            }
            Err(refused) => {
                self.stage = Stage::Ended;
                Some(event(self.api, &refused.json(self.api).to_string()))
            }
        }
    }
}

/// An event with JSON, in one line.
fn event(api: Api, json: &str) -> Bytes {
    let name = if api == Api::Anthropic { "event: error\n" } else { "" };
    Bytes::from(format!("{name}data: {}\n\n", json.replace(['\n', '\r'], " ")))
}

impl HttpBody for Loading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Streaming(body) => return Pin::new(body).poll_frame(cx),
                Stage::Making(making) => match making.as_mut().poll(cx) {
                    Poll::Ready(made) => {
                        if let Some(event) = this.begin(made) {
                            return Poll::Ready(Some(Ok(Frame::data(event))));
                        }
                    }
                    Poll::Pending => {
                        let comment = std::task::ready!(this.poll_comment(cx));
                        return Poll::Ready(Some(Ok(Frame::data(comment))));
                    }
                },
                Stage::Collecting(body, bytes) => {
                    let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                    match frame {
                        Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Some(Ok(frame)) => {
                            let data = frame.into_data().unwrap_or_default();
                            if data.len() > MAX_ERROR.saturating_sub(bytes.len()) {
                                // A part of it would be no JSON, and look like all of it.
                                let why = "its answer to a request for a stream is none, and larger than 64 KiB";
                                let refused = Refused::component_failed(&this.member.id, why);
                                this.stage = Stage::Ended;
                                let event = event(this.api, &refused.json(this.api).to_string());
                                return Poll::Ready(Some(Ok(Frame::data(event))));
                            }
                            bytes.extend_from_slice(&data);
                        }
                        None => {
                            let text = String::from_utf8_lossy(bytes).into_owned();
                            this.stage = Stage::Ended;
                            let event = event(this.api, text.trim());
                            return Poll::Ready(Some(Ok(Frame::data(event))));
                        }
                    }
                }
            }
        }
    }
}
