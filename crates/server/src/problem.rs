//! Errors as they are sent: problem details (RFC 9457) with stable codes, all in one table.
//!
//! Owns the codes, their statuses and titles. Invariant: every refusal of the manager has a row, and no answer
//! but those of the table says that something went wrong.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use majordomo::{CallError, Holder, HolderKind, Refusal, start_of, start_within};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::wire::Leased;

/// Characters of a text in a problem. A client's own words are cut shorter where they are repeated: see
/// [`majordomo::start_of`].
const MAX_TEXT: usize = 2048;
/// Items of a list in a problem; `NAME_left_out` counts the others.
const MAX_ITEMS: usize = 64;

/// The media type of problem details.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stable word.
    pub code: &'static str,
    /// The status that it is sent with.
    pub status: u16,
    /// The meaning of the code, for people.
    pub title: &'static str,
}

const fn row(code: &'static str, status: u16, title: &'static str) -> Row {
    Row { code, status, title }
}

/// Every code that there is. First the manager's refusals, then the server's own.
pub const TABLE: &[Row] = &[
    row("unknown_component", 404, "no component has this name"),
    row("overloaded", 503, "the queue of demands is full"),
    row("shutting_down", 503, "the server is shutting down"),
    row("too_large", 409, "the components do not fit into the budget"),
    row("conflict", 409, "a conflicting component is in the way"),
    row("conflict_within", 422, "two of the components must not run together"),
    row("backing_off", 503, "a component failed and may not be tried yet"),
    row("quarantined", 503, "a component failed too often"),
    row("stuck", 503, "a component neither loads nor stops"),
    row("load_failed", 502, "a component could not be loaded"),
    row("unloaded", 409, "an operator unloaded a component that was waited for"),
    row("deadline_exceeded", 504, "the deadline of the demand passed"),
    row("pressure", 503, "memory pressure forbids loads"),
    row("removed", 410, "the configuration no longer has this component"),
    row("reentrant_acquire", 500, "a component asked for a lease while it was loaded"),
    row("wrong_type", 500, "a component is not of the type asked for"),
    row("in_use", 409, "the component is in use"),
    row("cannot_trim", 409, "the component has no way to trim"),
    row("trim_failed", 502, "the component could not be asked to trim"),
    row("cannot_park", 409, "the component cannot be parked now"),
    row("park_failed", 502, "the component could not be parked and was unloaded"),
    row("blocked", 409, "leases are in the way of a component of the command"),
    row("own_leases", 409, "only leases of the same holder are in the way"),
    row("abandoned", 503, "the demand was called off"),
    row("not_callable", 409, "the component takes no calls"),
    row("call_failed", 502, "the component answered a call with an error"),
    row("call_ended", 502, "the component ended while a call was open"),
    row("call_deadline_exceeded", 504, "the deadline of the call passed"),
    row("call_queue_full", 503, "too many calls wait for the component"),
    row("call_too_large", 413, "the request of the call is too large for the component"),
    row("answer_too_large", 502, "the answer to the call is too large"),
    row("answer_dropped", 504, "the component answered, but there was no room for its answer"),
    row("bad_request", 400, "the request cannot be read"),
    row("bad_json", 400, "the body is not the JSON that this route takes"),
    row("bad_value", 422, "a value in the request is out of its range"),
    row("body_too_large", 413, "the body is too large"),
    row("uri_too_long", 414, "the first line of the request is too long"),
    row("head_too_large", 431, "the head of the request is too large"),
    row("unsupported_encoding", 415, "the body is encoded in a way that is not taken"),
    row("body_timeout", 408, "the body was not complete within its time"),
    row("unknown_route", 404, "there is no such path"),
    row("unknown_version", 404, "this server supports another version of the interface"),
    row("method_not_allowed", 405, "this path takes other methods"),
    row("version_mismatch", 400, "client and server are of different versions"),
    row("unauthorized", 401, "a token is needed"),
    row("host_forbidden", 421, "the request is for another host"),
    row("origin_forbidden", 403, "web pages may not talk to this server"),
    row("not_ready", 503, "something is missing"),
    row("bad_configuration", 422, "the configuration has problems; nothing was changed"),
    row("no_file", 409, "there is no configuration file to read again"),
    row("unknown_lease", 404, "there is no such lease"),
    row("lease_ended", 410, "the lease has ended"),
    row("lease_revoked", 410, "a component of the lease has ended or is being stopped"),
    row("exchange_under_way", 409, "the lease is being exchanged already"),
    row("no_outcome", 409, "the lease was not given by a command"),
    row("too_many_leases", 503, "too many components are leased"),
    row("too_many_streams", 503, "too many followers"),
    row("too_many_connections", 503, "too many connections"),
    row("request_timeout", 504, "the answer took too long"),
    row("internal", 500, "the server is at fault"),
];

fn find(code: &str) -> &'static Row {
    // The last row stands for what should not be.
    TABLE.iter().find(|r| r.code == code).unwrap_or(&TABLE[TABLE.len() - 1])
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI for the kind of problem: `urn:majordomo:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The meaning of the code.
    pub title: Box<str>,
    /// The status that it is sent with.
    pub status: u16,
    /// The event, with names and numbers, and the way out.
    pub detail: String,
    /// The stable word.
    pub code: String,
    /// Further members: `holders`, `missing`, `retry_after_s` and so on.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// A problem of the table.
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        let row = find(code);
        Self {
            kind: format!("urn:majordomo:problem:{}", row.code).into(),
            title: row.title.into(),
            status: row.status,
            detail: start_within(&detail.into(), MAX_TEXT).into_owned(),
            code: row.code.to_owned(),
            more: Map::new(),
        }
    }

    /// With a member. However much there is, the problem stays small.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        bound(&mut self.more);
        self
    }

    /// A lease whose components have ended or are being stopped.
    pub(crate) fn revoked(id: &str, lost: &[Leased]) -> Self {
        let words: Vec<_> = lost.iter().filter_map(Leased::revocation).collect();
        let detail = format!(
            "lease {id} cannot be used any more: {}; give it back and ask for a new one",
            words.join("; ")
        );
        let reason = lost.iter().find_map(|l| l.reason.clone()).unwrap_or_default();
        Self::new("lease_revoked", detail)
            .with("components", serde_json::to_value(lost).unwrap_or_default())
            .with("reason", reason)
    }

    /// With the time to retry after; rounded up to whole seconds, at least one.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with("retry_after_s", seconds.max(1))
    }

    /// The seconds to retry after, where that helps.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        self.more.get("retry_after_s").and_then(Value::as_u64)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

/// Cuts the texts and lists in members, at every depth, and counts what lists lose.
fn bound(members: &mut Map<String, Value>) {
    let mut left_out = Vec::new();
    for (name, value) in members.iter_mut() {
        match value {
            Value::String(text) if text.len() > MAX_TEXT => {
                *text = start_within(text, MAX_TEXT).into_owned();
            }
            Value::Array(items) => {
                if items.len() > MAX_ITEMS {
                    left_out.push((format!("{name}_left_out"), items.len() - MAX_ITEMS));
                    items.truncate(MAX_ITEMS);
                }
                items.iter_mut().filter_map(Value::as_object_mut).for_each(bound);
            }
            Value::Object(inner) => bound(inner),
            _ => {}
        }
    }
    members.extend(left_out.into_iter().map(|(name, n)| (name, n.into())));
}

fn holder(h: &Holder) -> Value {
    let (kind, leases) = match h.kind {
        HolderKind::Core => ("core", None),
        HolderKind::Pinned => ("pinned", None),
        HolderKind::Leased { leases } => ("leased", Some(leases)),
        HolderKind::InTransaction => ("in_transaction", None),
        HolderKind::JustLoaded => ("just_loaded", None),
        HolderKind::Stuck => ("stuck", None),
        HolderKind::Draining => ("draining", None),
        HolderKind::Unloading => ("unloading", None),
        HolderKind::BackingOff => ("backing_off", None),
        // A kind that is newer than this file.
        _ => ("other", None),
    };
    let mut out = json!({ "component": h.component, "booked": h.booked, "kind": kind });
    if !h.tags.is_empty() {
        out["tags"] = h.tags.iter().map(|t| &**t).collect();
    }
    if let Some(leases) = leases {
        out["leases"] = leases.into();
    }
    out
}

fn holders(list: &[Holder]) -> Value {
    list.iter().map(holder).collect()
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let problem = Self::new(refusal.code(), refusal.to_string());
        let problem = match refusal.retry_after() {
            Some(after) => problem.retry_after(after),
            None => problem,
        };
        match refusal {
            Refusal::UnknownComponent { name, did_you_mean } => {
                let problem = problem.with("name", &*start_of(name));
                match did_you_mean {
                    Some(near) => problem.with("did_you_mean", near.as_str()),
                    None => problem,
                }
            }
            Refusal::Overloaded { capacity } => problem.with("capacity", *capacity),
            Refusal::TooLarge { need, available, pool, holders: list, measured } => {
                let problem = problem
                    .with("need", need.bytes())
                    .with("available", available.bytes())
                    .with("holders", holders(list));
                let problem = match measured {
                    Some(m) => {
                        let mut problem = problem
                            .with("measured_component", m.component.as_str())
                            .with("measured", m.peak.bytes())
                            .with("declared", m.declared.bytes());
                        for (name, peak) in
                            [("load_peak", m.load_peak), ("working_peak", m.working_peak)]
                        {
                            if let Some(peak) = peak {
                                problem = problem.with(name, peak.bytes());
                            }
                        }
                        problem
                    }
                    None => problem,
                };
                match pool {
                    Some(pool) => problem.with("pool", &**pool),
                    None => problem,
                }
            }
            Refusal::Conflict { component, with, refuses } => problem
                .with("component", component.as_str())
                .with("conflicts_with", with.as_str())
                .with("refuses", *refuses),
            Refusal::ConflictWithin { a, b } => {
                problem.with("components", json!([a.as_str(), b.as_str()]))
            }
            Refusal::Stuck { component }
            | Refusal::Unloaded { component }
            | Refusal::Removed { component }
            | Refusal::CannotTrim { component } => problem.with("component", component.as_str()),
            Refusal::CannotPark { component, why } => {
                problem.with("component", component.as_str()).with("cause", why.to_string())
            }
            Refusal::TrimFailed { component, error } | Refusal::ParkFailed { component, error } => {
                problem.with("component", component.as_str()).with("cause", error.as_str())
            }
            Refusal::BackingOff { component, cause, .. }
            | Refusal::Quarantined { component, cause, .. }
            | Refusal::LoadFailed { component, cause } => {
                problem.with("component", component.as_str()).with("cause", &**cause)
            }
            Refusal::DeadlineExceeded { waited, missing, holders: list, still_loading } => {
                let missing = missing.iter().map(majordomo::ComponentId::as_str);
                let problem = problem
                    .with("waited_ms", crate::wire::ms(*waited))
                    .with("missing", missing.collect::<Vec<_>>())
                    .with("holders", holders(list));
                match still_loading {
                    Some(load) => problem.with("loading", load.component.as_str()),
                    None => problem,
                }
            }
            Refusal::Pressure { level } => problem.with("level", level.to_string()),
            Refusal::OwnLeases { missing, holders: list } => problem
                .with(
                    "missing",
                    missing.iter().map(majordomo::ComponentId::as_str).collect::<Vec<_>>(),
                )
                .with("holders", holders(list)),
            Refusal::Blocked { component, holders: list }
            | Refusal::InUse { component, holders: list } => {
                problem.with("component", component.as_str()).with("holders", holders(list))
            }
            _ => problem,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::from(&refusal)
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let problem = Self::new(error.code(), error.to_string());
        let problem = match error.component() {
            Some(component) => problem.with("component", component.as_str()),
            None => problem,
        };
        match error {
            CallError::Refused(refusal) => refusal.into(),
            CallError::Answered { message, .. } => problem.with("message", message),
            CallError::Deadline { waited, .. } => {
                problem.with("waited_ms", crate::wire::ms(waited))
            }
            CallError::QueueFull { .. } => problem.retry_after(Duration::from_secs(1)),
            CallError::Ended { source, .. } => problem.with("cause", source.to_string()),
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == "unsupported_encoding" {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self.code == "unauthorized" {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_error_of_the_manager_has_a_row_and_codes_are_unique() {
        let codes: BTreeSet<_> = TABLE.iter().map(|r| r.code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for code in Refusal::CODES.iter().chain(&CallError::CODES) {
            assert!(codes.contains(code), "{code} has no row");
        }
        assert!(TABLE.iter().all(|r| (400..600).contains(&r.status)));
    }

    #[test]
    fn a_problem_stays_small_whatever_it_is_about() {
        let name = "\u{1b}".repeat(1 << 20);
        let unknown = Problem::from(Refusal::UnknownComponent { name, did_you_mean: None });
        let holders: Vec<_> = (0..10_000)
            .map(|n| Holder {
                component: majordomo::ComponentId::new(&format!("c{n}")).unwrap(),
                booked: majordomo::ByteSize::mib(1),
                kind: HolderKind::Leased { leases: 500 },
                tags: vec!["t".repeat(64).as_str().into(); 500],
            })
            .collect();
        let component = holders[0].component.clone();
        let blocked = Problem::from(Refusal::Blocked { component, holders });
        assert_eq!(blocked.more["holders_left_out"], 10_000 - 64);
        for (problem, max) in [(unknown, 4_000), (blocked, 400_000)] {
            let length = serde_json::to_vec(&problem).unwrap().len();
            assert!(length < max, "{length}");
        }
    }

    #[test]
    fn overload_says_when_to_come_again() {
        let response = Problem::from(Refusal::Overloaded { capacity: 3 }).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
