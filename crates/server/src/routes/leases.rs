//! Leases of other processes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;

use super::extract::{Asked, Name};
use super::terms::{names, options, terms, ttl};
use crate::app::App;
use crate::body::{NoMembers, json, read};
use crate::leases::{Held, MAX_PAGE};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::wire::{Exchange, LeaseRequest, Renew, whole_in_text};

type Answer = Result<Response<Body>, Problem>;

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
