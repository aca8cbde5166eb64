//! Components: one, all, why, logs, and what an operator does with them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use majordomo::Refusal;
use serde::Deserialize;

use super::extract::{Asked, Name};
use crate::app::App;
use crate::body::{NoMembers, json, read};
use crate::problem::Problem;
use crate::wire::{Component, LogLine, LogPage, Pin, Unload, Why, whole_in_text};
use crate::{record, stream};

type Answer = Result<Response<Body>, Problem>;

/// Lines of a log in one answer.
const MAX_LINES: u64 = 2000;

pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer {
    let status = app.manager.status().await?;
    let all: Vec<_> = status.components.iter().map(|c| Component::new(c, status.at)).collect();
    json(&all)
}

async fn find(app: &App, name: &str) -> Result<Component, Problem> {
    let status = app.manager.status().await?;
    if let Some(c) = status.components.iter().find(|c| c.id.as_str() == name) {
        return Ok(Component::new(c, status.at));
    }
    // The manager knows names that are gone, and near ones.
    app.manager.operator().why(name)?;
    let id = majordomo::ComponentId::new(name);
    Err(match id {
        Ok(component) => Refusal::Removed { component }.into(),
        Err(e) => Problem::new("unknown_component", e.to_string()),
    })
}

pub(crate) async fn one(State(app): State<Arc<App>>, Name(name): Name) -> Answer {
    json(&find(&app, &name).await?)
}

pub(crate) async fn why(State(app): State<Arc<App>>, Name(name): Name) -> Answer {
    let component = find(&app, &name).await?;
    let records = app.manager.operator().why(&name)?;
    let events = records.iter().map(|r| record::event(&app.manager, r)).collect();
    json(&Why { component, events })
}

/// `?from=`, `?last=`, `?max=` and `?follow=` of logs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogsQuery {
    #[serde(deserialize_with = "whole_in_text")]
    from: Option<u64>,
    #[serde(deserialize_with = "whole_in_text")]
    last: Option<u64>,
    #[serde(deserialize_with = "whole_in_text")]
    max: Option<u64>,
    follow: bool,
}

pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    Name(name): Name,
    Asked(query): Asked<LogsQuery>,
) -> Answer {
    // A number beyond the newest line gives the number that comes next.
    let next = app.manager.operator().logs(&name, u64::MAX, 0)?.next;
    let from = match (query.from, query.last) {
        (Some(_), Some(_)) => {
            return Err(Problem::new("bad_value", "either `from` or `last`, not both"));
        }
        (Some(from), None) => from,
        (None, Some(last)) => next.saturating_sub(last),
        (None, None) => 0,
    };
    if query.follow {
        return stream::logs(&app, &name, from);
    }
    let max = query.max.unwrap_or(MAX_LINES);
    if !(1..=MAX_LINES).contains(&max) {
        return Err(Problem::new("bad_value", format!("max is {max}; it may be 1 to {MAX_LINES}")));
    }
    let chunk =
        app.manager.operator().logs(&name, from, usize::try_from(max).unwrap_or(usize::MAX))?;
    let missed = if query.from.is_some() { chunk.missed } else { 0 };
    json(&LogPage {
        missed,
        lines: chunk.lines.iter().map(LogLine::from).collect(),
        next: chunk.next,
    })
}

pub(crate) async fn load(State(app): State<Arc<App>>, Name(name): Name, body: Body) -> Answer {
    let NoMembers {} = read(&app, body).await?;
    app.manager.operator().load(&name).await?;
    json(&find(&app, &name).await?)
}

pub(crate) async fn unload(State(app): State<Arc<App>>, Name(name): Name, body: Body) -> Answer {
    let unload: Unload = read(&app, body).await?;
    app.manager.operator().unload(&name, unload.force).await?;
    json(&find(&app, &name).await?)
}

pub(crate) async fn park(State(app): State<Arc<App>>, Name(name): Name, body: Body) -> Answer {
    let NoMembers {} = read(&app, body).await?;
    app.manager.operator().park(&name).await?;
    json(&find(&app, &name).await?)
}

pub(crate) async fn pin(State(app): State<Arc<App>>, Name(name): Name, body: Body) -> Answer {
    let pin: Pin = read(&app, body).await?;
    app.manager.operator().pin(&name, pin.pinned).await?;
    json(&find(&app, &name).await?)
}

pub(crate) async fn trim(State(app): State<Arc<App>>, Name(name): Name, body: Body) -> Answer {
    let NoMembers {} = read(&app, body).await?;
    app.manager.operator().trim(&name).await?;
    json(&find(&app, &name).await?)
}
