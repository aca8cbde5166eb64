//! Leases of other processes.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use majordomo::{ServerConfig, quoted_start};
use majordomo_core::LEASE_TTL_MAX;
use serde::Deserialize;

use super::commands::options;
use super::{Asked, Name};
use crate::app::App;
use crate::body::{NoMembers, json, read};
use crate::connection::Peer;
use crate::leases::{Held, MAX_PAGE, Terms};
use crate::problem::Problem;
use crate::wire::{Bind, Exchange, LeaseRequest, LeaseTerms, Renew, whole_in_text};

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
            format!("the tag {} is no name of 1 to {MAX_TAG} characters", quoted_start(tag)),
        ));
    }
    let is_named = asked.tag.is_some() || peer.pid.is_some();
    let unnamed = || peer.tag().unwrap_or_else(|| "without a tag".to_owned());
    let tag = asked.tag.clone().unwrap_or_else(unnamed);
    let Peer { connection, pid } = peer;
    Ok(Terms { bind: asked.bind, ttl, tag, is_named, connection, pid })
}

/// The components asked for: some, and not too many.
pub(super) fn names(components: &[String]) -> Result<Vec<&str>, Problem> {
    if !(1..=MAX_COMPONENTS).contains(&components.len()) {
        return Err(Problem::new(
            "bad_value",
            format!(
                "`components` names {}; it may be 1 to {MAX_COMPONENTS}",
                majordomo::count(components.len(), "component")
            ),
        ));
    }
    Ok(components.iter().map(String::as_str).collect())
}

pub(crate) async fn acquire(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Answer {
    let asked: LeaseRequest = read(&app, body).await?;
    let names = names(&asked.components)?;
    let limits = app.limits();
    let terms = terms(&asked.terms(), &limits, peer)?;
    let options = options(asked.deadline_ms, asked.priority)?;
    // Before anything is loaded for nothing.
    app.leases.check_room(names.len(), &limits)?;
    let leases = app.manager.acquire_all(&names, options.party(terms.party())).await?;
    let lease = app.leases.insert(&app.manager, Held::Leases(leases), terms, &limits)?;
    let mut response = json(&lease)?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/leases/{}", lease.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `?after=` and `?max=` of leases.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListQuery {
    after: Option<String>,
    #[serde(deserialize_with = "whole_in_text")]
    max: Option<u64>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, Asked(query): Asked<ListQuery>) -> Answer {
    let asked = query.max.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let max = asked.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&max) {
        return Err(Problem::new("bad_value", format!("max is {max}; it may be 1 to {MAX_PAGE}")));
    }
    json(&app.leases.page(query.after.as_deref(), max, app.manager.now())?)
}

pub(crate) async fn one(State(app): State<Arc<App>>, Name(id): Name) -> Answer {
    json(&app.leases.get(&id, app.manager.now())?)
}

pub(crate) async fn renew(State(app): State<Arc<App>>, Name(id): Name, body: Body) -> Answer {
    let renew: Renew = read(&app, body).await?;
    let ttl = ttl(renew.ttl_ms)?;
    json(&app.leases.renew(&id, ttl, app.limits().lease_ttl, app.manager.now())?)
}

pub(crate) async fn release(State(app): State<Arc<App>>, Name(id): Name, body: Body) -> Answer {
    let NoMembers {} = read(&app, body).await?;
    drop(app.leases.release(&id)?);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Takes an exchange back that does not end with new leases, also when its client has left.
struct Undo<'a> {
    app: &'a App,
    id: &'a str,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.app.leases.undo_exchange(self.id);
    }
}

pub(crate) async fn exchange(State(app): State<Arc<App>>, Name(id): Name, body: Body) -> Answer {
    let asked: Exchange = read(&app, body).await?;
    let names = names(&asked.components)?;
    let options = options(asked.deadline_ms, asked.priority)?;
    // Names first: a wrong one must not touch the lease.
    for name in &names {
        app.manager.operator().why(name)?;
    }
    let wait = options.deadline.unwrap_or_else(|| app.manager.config().deadlines.demand);
    let limits = app.limits();
    let (old, party) =
        app.leases.begin_exchange(&id, names.len(), (wait, &limits), app.manager.now())?;
    let undo = Undo { app: &app, id: &id };
    let exchanged =
        app.manager.exchange_shared(Arc::clone(&old), &names, options.party(party)).await;
    match exchanged {
        Ok(new) => {
            let lease = app.leases.end_exchange(&app.manager, &id, new)?;
            drop(undo);
            json(&lease)
        }
        Err(refusal) => {
            let is_kept = !old.are_gone();
            drop(undo);
            let mut problem = Problem::from(refusal).with("lease_kept", is_kept);
            problem.detail += match is_kept {
                true => "; the lease is as it was",
                false => "; the lease had been given up for it: ask for a new one",
            };
            Err(problem)
        }
    }
}
