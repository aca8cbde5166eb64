//! Leases of other processes.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use majordomo::{ServerConfig, quoted};
use majordomo_core::LEASE_TTL_MAX;

use super::Name;
use super::commands::options;
use crate::app::App;
use crate::body::{json, read};
use crate::connection::Peer;
use crate::leases::{Held, Terms};
use crate::problem::Problem;
use crate::wire::{Bind, LeaseRequest, LeaseTerms, Leases, Renew};

type Answer = Result<Response<Body>, Problem>;

/// Characters of a tag.
const MAX_TAG: usize = 64;
/// Components of a lease.
const MAX_COMPONENTS: usize = 256;

fn ttl(ms: Option<u64>) -> Result<Option<Duration>, Problem> {
    let ttl = ms.map(Duration::from_millis);
    match ttl {
        Some(ttl) if ttl.is_zero() || ttl > LEASE_TTL_MAX => Err(Problem::new(
            "bad_value",
            format!(
                "ttl_ms is {}; it may be 1 to {} (renew the lease to hold it longer)",
                ttl.as_millis(),
                LEASE_TTL_MAX.as_millis()
            ),
        )),
        _ => Ok(ttl),
    }
}

/// What was asked for, checked and with defaults.
pub(super) fn terms(
    asked: &LeaseTerms,
    limits: &ServerConfig,
    peer: Peer,
) -> Result<Terms, Problem> {
    let ttl = match (ttl(asked.ttl_ms)?, asked.bind) {
        (None, Bind::Ttl) => Some(limits.lease_ttl),
        (ttl, _) => ttl,
    };
    if let Some(tag) = &asked.tag
        && (tag.trim().is_empty()
            || tag.chars().count() > MAX_TAG
            || tag.chars().any(char::is_control))
    {
        return Err(Problem::new(
            "bad_value",
            format!("the tag {} is no name of 1 to {MAX_TAG} characters", quoted(tag)),
        ));
    }
    let unnamed = || peer.pid.map_or_else(|| "without a tag".to_owned(), |p| format!("pid {p}"));
    let tag = asked.tag.clone().unwrap_or_else(unnamed);
    Ok(Terms { bind: asked.bind, ttl, tag, connection: peer.connection, pid: peer.pid })
}

pub(crate) async fn acquire(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Answer {
    let asked: LeaseRequest = read(&app, body).await?;
    if !(1..=MAX_COMPONENTS).contains(&asked.components.len()) {
        return Err(Problem::new(
            "bad_value",
            format!(
                "`components` names {} components; it may be 1 to {MAX_COMPONENTS}",
                asked.components.len()
            ),
        ));
    }
    let limits = app.limits();
    let terms = terms(&asked.terms(), &limits, peer)?;
    let options = options(asked.deadline_ms, asked.priority)?;
    // Before anything is loaded for nothing.
    app.leases.check_room(&limits)?;
    let names: Vec<_> = asked.components.iter().map(String::as_str).collect();
    let leases = app.manager.acquire_all(&names, options).await?;
    let lease = app.leases.insert(&app.manager, Held::Leases(leases), terms, &limits)?;
    let mut response = json(&lease)?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/leases/{}", lease.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer {
    json(&Leases { leases: app.leases.list(app.manager.now()) })
}

pub(crate) async fn one(State(app): State<Arc<App>>, Name(id): Name) -> Answer {
    json(&app.leases.get(&id, app.manager.now())?)
}

pub(crate) async fn renew(State(app): State<Arc<App>>, Name(id): Name, body: Body) -> Answer {
    let renew: Renew = read(&app, body).await?;
    let ttl = ttl(renew.ttl_ms)?;
    json(&app.leases.renew(&id, ttl, app.limits().lease_ttl, app.manager.now())?)
}

pub(crate) async fn release(State(app): State<Arc<App>>, Name(id): Name) -> Answer {
    drop(app.leases.release(&id)?);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
