//! The request to warm up: the last part of a load, after the condition of readiness.
//!
//! Knows how the request is sent and when it has failed. That a failure fails the load, and the deadline of the load, are the
//! loader's.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::printable;
use majordomo_registry::{WarmUpRequest, WarmUpSpec};
use tokio::time::{sleep, timeout};

use super::Endpoint;
use super::http::{self, RequestError};
use crate::polling::Pauses;
use crate::stdio::{CallError, CallRequest, Caller, Calls};

/// The end of a program is a better cause than the request that it did not answer, and is seen a little later.
const END_IS_SEEN: Duration = Duration::from_millis(500);

/// Sends the request to a program at `endpoint`, and waits for its whole answer. An error says in words why it failed.
pub(super) async fn ask(
    spec: &WarmUpSpec,
    endpoint: &Endpoint,
    calls: Option<&Arc<Calls>>,
) -> Result<(), String> {
    let asked = async {
        match (&spec.how, calls) {
            (WarmUpRequest::Http { path, body }, _) => {
                by_http(endpoint, path, body.as_deref()).await
            }
            (WarmUpRequest::Call(text), Some(calls)) => {
                by_call(&Caller::new(calls), text, spec.timeout).await
            }
            _ => Err("this version does not know the way".to_owned()),
        }
    };
    let outcome = timeout(spec.timeout, asked).await.unwrap_or_else(|_| Err(late(spec.timeout)));
    if outcome.is_err() {
        sleep(END_IS_SEEN).await;
    }
    outcome
}

fn late(limit: Duration) -> String {
    format!("no whole answer within {limit:?}; raise its timeout if it needs longer")
}

/// A program that does not listen yet is asked again: not every condition of readiness says that it does.
async fn by_http(endpoint: &Endpoint, path: &str, body: Option<&str>) -> Result<(), String> {
    let pauses = Pauses::begin(None);
    loop {
        match http::request_whole(endpoint, path, body).await {
            Ok(200..300) => return Ok(()),
            Ok(status) => return Err(format!("it was answered {status} instead of 2xx")),
            Err(RequestError::NoConnection(_)) => pauses.pause().await,
            Err(why) => return Err(why.to_string()),
        }
    }
}

async fn by_call(caller: &Caller, text: &str, limit: Duration) -> Result<(), String> {
    match caller.call(&CallRequest::text(text), Some(limit)).await {
        Ok(_) => Ok(()),
        Err(CallError::Answered { message, .. }) => {
            Err(format!("it was answered with an error: {}", printable(&message)))
        }
        Err(CallError::Deadline { .. }) => Err(late(limit)),
        Err(CallError::Ended { source, .. }) => Err(source.to_string()),
        Err(other) => Err(other.to_string()),
    }
}
