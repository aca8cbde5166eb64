//! Requests that are not passed on: the reason, its status and code, and the shape in which a client expects them.
//!
//! Invariant: every answer that is the gateway's own and no success is made here, and says what to do.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use majordomo::{ComponentId, Refusal, quoted_start, start_within};
use serde_json::{Value, json};

use crate::answer::Body;
use crate::api::Api;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 2048;

/// A request that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A head that RFC 9112 does not allow, by the code of [`majordomo_http::framing::Fault`].
    pub(crate) fn bad_head(fault: majordomo_http::framing::Fault) -> Self {
        let status = match fault.code {
            "uri_too_long" => StatusCode::URI_TOO_LONG,
            "head_too_large" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, fault.code, fault.detail)
    }

    pub(crate) fn unknown(name: &str) -> Self {
        let message = format!("no component, alias or selector is named {}", quoted_start(name));
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message)
    }

    /// Adds the names that there are.
    pub(crate) fn listing(mut self, names: &[String]) -> Self {
        const SHOWN: usize = 32;
        if self.code == "model_not_found" {
            let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(SHOWN);
            self.message += &match (names.is_empty(), more) {
                (true, _) => "; there is none that this client may use".to_owned(),
                (false, 0) => format!("; there are {shown}"),
                (false, more) => format!("; there are {shown} and {more} more"),
            };
        }
        self
    }

    pub(crate) fn no_name() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_model",
            "the request names no component: name one by `model` in a JSON body or form, by the query `model`, by the header X-Majordomo-Component, by the path /c/NAME/ or by the host NAME.localhost",
        )
    }

    pub(crate) fn no_address(id: &ComponentId) -> Self {
        let message = format!("component {id} has no address to pass requests to");
        Self::new(StatusCode::NOT_FOUND, "no_address", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "every request needs a token of the gateway: `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`",
        )
    }

    pub(crate) fn forbidden(id: &ComponentId) -> Self {
        let message = format!("the token does not open component {id}");
        Self::new(StatusCode::FORBIDDEN, "model_forbidden", message)
    }

    pub(crate) fn foreign_host(host: &str) -> Self {
        let message = match host {
            "" => "the request names no host".to_owned(),
            host => format!(
                "the request is for host {}, which is not one of this machine; add it to gateway.hosts if it is",
                quoted_start(host)
            ),
        };
        Self::new(StatusCode::MISDIRECTED_REQUEST, "host_forbidden", message)
    }

    pub(crate) fn foreign_origin(origin: &str) -> Self {
        let message = format!(
            "the request comes from a web page of {}; add it to gateway.origins to let it in",
            quoted_start(origin)
        );
        Self::new(StatusCode::FORBIDDEN, "origin_forbidden", message)
    }

    pub(crate) fn too_large(limit: majordomo::ByteSize) -> Self {
        let message = format!(
            "the body is larger than {limit} (gateway.max_routed_body), so its `model` is not read: name the component by the header X-Majordomo-Component, by the query `model` or by the path /c/NAME/, and the body is passed on as it comes"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub(crate) fn slow_head() -> Self {
        let message = "the head of the request was not complete within gateway.header_time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "head_timeout", message)
    }

    pub(crate) fn slow_body() -> Self {
        let message = "nothing of the body came within gateway.stall_time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
    }

    pub(crate) fn no_room() -> Self {
        let message = "the bodies of other requests fill gateway.max_buffered";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_room", message)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn busy(id: &ComponentId, max_in_flight: u32, queue: u32) -> Self {
        let message = format!(
            "component {id} has {max_in_flight} in flight (max_in_flight), and {queue} more wait (queue)"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn still_busy(id: &ComponentId, waited: Duration) -> Self {
        let message = format!(
            "component {id} had no place for the request within {waited:.1?} (max_in_flight)"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue_timeout", message)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn not_loaded(id: &ComponentId) -> Self {
        let message = format!(
            "component {id} is not loaded, and this path loads nothing (gateway.ignore_paths)"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_loaded", message)
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the gateway is shutting down")
    }

    pub(crate) fn none_selected(name: &str) -> Self {
        let message = format!("no component of selector {} can be used now", quoted_start(name));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "none_selected", message)
            .retry_after(Duration::from_secs(5))
    }

    /// The component failed while it had the request.
    pub(crate) fn component_failed(id: &ComponentId, why: &str) -> Self {
        let message = format!("component {id} failed to answer: {}", start_within(why, 512));
        Self::new(StatusCode::BAD_GATEWAY, "component_failed", message)
    }

    /// The component did not begin an answer before its deadline.
    pub(crate) fn component_silent(id: &ComponentId, waited: Duration) -> Self {
        let message = format!(
            "component {id} did not begin an answer within {waited:?} (gateway.answer_time)"
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, "component_timeout", message)
    }

    /// The manager's reason. `load_time` is the learned time of a load, for the time of the next attempt.
    pub(crate) fn by_manager(refusal: &Refusal, load_time: Option<Duration>) -> Self {
        let status = match refusal {
            Refusal::UnknownComponent { .. } | Refusal::Removed { .. } => StatusCode::NOT_FOUND,
            Refusal::LoadFailed { .. } | Refusal::WrongType { .. } => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut refused = Self::new(status, refusal.code(), refusal.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let after = refusal.retry_after().or(load_time).unwrap_or_default();
            refused.retry_after = Some(after);
        }
        refused
    }

    fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// A stable word for the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The reason and the way out, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The kind of error, as the APIs name it.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// The error in the shape of an API.
    pub(crate) fn json(&self, api: Api) -> Value {
        let message = start_within(&self.message, MAX_MESSAGE);
        match api {
            Api::Anthropic => {
                json!({ "type": "error", "error": { "type": self.kind(), "message": &*message } })
            }
            Api::Ollama => json!({ "error": &*message }),
            Api::OpenAi | Api::Other => json!({ "error": {
                "message": &*message,
                "type": self.kind(),
                "code": self.code,
                "param": null,
            } }),
        }
    }

    /// The answer in the shape of an API.
    pub(crate) fn response(&self, api: Api) -> Response<Body> {
        let mut response = Response::new(Body::full(self.json(api).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whole seconds, at least one: a client that comes earlier finds the same.
pub(crate) fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ComponentId {
        ComponentId::new("chat").unwrap()
    }

    #[test]
    fn each_api_gets_its_own_shape() {
        let refused = Refused::busy(&id(), 2, 0);
        let open_ai = refused.json(Api::OpenAi);
        assert_eq!(open_ai["error"]["type"], "rate_limit_error");
        assert_eq!(open_ai["error"]["code"], "queue_full");
        let anthropic = refused.json(Api::Anthropic);
        assert_eq!(
            (&anthropic["type"], &anthropic["error"]["type"]),
            (&json!("error"), &json!("rate_limit_error"))
        );
        assert!(refused.json(Api::Ollama)["error"].is_string());
        let response = refused.response(Api::OpenAi);
        assert_eq!(
            (response.status(), &response.headers()[RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(1))
        );
    }

    #[test]
    fn failure_and_time_and_refusal_have_their_own_statuses() {
        let second = Duration::from_secs(1);
        assert_eq!(Refused::component_failed(&id(), "x").status(), 502);
        assert_eq!(Refused::component_silent(&id(), second).status(), 504);
        let overloaded = Refused::by_manager(&Refusal::Overloaded { capacity: 1 }, None);
        assert_eq!((overloaded.status(), overloaded.retry_after), (503, Some(second)));
        let blocked = Refusal::Blocked { component: id(), holders: Vec::new() };
        let learned = Some(Duration::from_millis(2500));
        let refused = Refused::by_manager(&blocked, learned);
        assert_eq!(refused.response(Api::Other).headers()[RETRY_AFTER], "3");
        assert_eq!(Refused::by_manager(&Refusal::Removed { component: id() }, None).status(), 404);
    }

    #[test]
    fn unknown_name_lists_what_there_is_and_stays_short() {
        let names: Vec<_> = (0..40).map(|n| format!("m{n}")).collect();
        let refused = Refused::unknown(&"x".repeat(9000)).listing(&names);
        assert!(refused.message().contains("m31 and 8 more"), "{}", refused.message());
        assert!(refused.message().len() < MAX_MESSAGE);
        assert!(Refused::unknown("x").listing(&[]).message().contains("none"));
    }
}
