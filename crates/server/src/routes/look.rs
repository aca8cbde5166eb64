//! Routes that only look: health, status, events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use majordomo::Followed;
use serde::Deserialize;
use serde_json::Value;

use super::extract::Asked;
use super::openapi::OPENAPI;
use crate::app::App;
use crate::body::{json, json_bytes};
use crate::problem::Problem;
use crate::wire::{EventPage, Health, whole_in_text};
use crate::{record, stream};

type Answer = Result<Response<Body>, Problem>;

pub(crate) async fn healthz() -> Answer {
    json(&Health { status: "ok".to_owned() })
}

pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Answer {
    let status = app.manager.status().await?;
    let missing = app.missing(&status);
    if missing.is_empty() {
        return json(&Health { status: "ok".to_owned() });
    }
    let detail = missing.join("; ");
    Err(Problem::new("not_ready", detail)
        .with("missing", Value::from(missing))
        .retry_after(App::ready_in(&status)))
}

pub(crate) async fn info(State(app): State<Arc<App>>) -> Answer {
    json(&app.info())
}

pub(crate) async fn openapi() -> Answer {
    Ok(json_bytes(OPENAPI))
}

pub(crate) async fn status(State(app): State<Arc<App>>) -> Answer {
    app.status_bytes().await.map(json_bytes)
}

/// `?from=` and `?follow=` of events.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EventsQuery {
    #[serde(deserialize_with = "whole_in_text")]
    from: Option<u64>,
    #[serde(deserialize_with = "whole_in_text")]
    last: Option<u64>,
    follow: bool,
}

impl Default for EventsQuery {
    fn default() -> Self {
        Self { from: None, last: None, follow: true }
    }
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Asked(query): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Answer {
    if query.follow {
        if query.last.is_some() {
            return Err(Problem::new(
                "bad_value",
                "`last` needs `follow=false`; a stream begins at `from`",
            ));
        }
        return stream::events(&app, &headers, query.from);
    }
    let mut follower = app.manager.events(Some(query.from.unwrap_or(0)));
    let mut page = EventPage { next: query.from.unwrap_or(0), ..EventPage::default() };
    let mut records = Vec::new();
    while let Some(next) = follower.try_next() {
        match next {
            Followed::Record(record) => records.push(record),
            Followed::Gap(n) => page.missed += n,
        }
    }
    if let Some(last) = query.last.map(|n| usize::try_from(n).unwrap_or(usize::MAX)) {
        records.drain(..records.len().saturating_sub(last));
        page.missed = 0;
    }
    page.next = records.last().map_or(page.next, |r| r.seq + 1);
    page.events = records.iter().map(|r| record::event(&app.manager, r)).collect();
    json(&page)
}
