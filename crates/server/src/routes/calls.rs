//! Calls of components: by name, and of a lease.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use majordomo::{CallAnswer, CallRequest, CallSlot, ComponentId, Moment};
use serde_json::value::RawValue;

use super::extract::Name;
use super::terms::options;
use crate::app::App;
use crate::body::{json, read};
use crate::bounded::Shared;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::wire::{Answered, Call, LeaseCall, ms, request};

type Answer = Result<Response<Body>, Problem>;

fn checked(text: Option<String>, object: Option<&RawValue>) -> Result<CallRequest, Problem> {
    let either = || Problem::new("bad_value", "either `text` or `object`");
    Ok(request(text, object).ok_or_else(either)??)
}

pub(crate) async fn component(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(shared): Extension<Arc<Shared>>,
    Name(name): Name,
    body: Body,
) -> Answer {
    let call: Call = read(&app, body).await?;
    let request = checked(call.text, call.object.as_deref())?;
    let options = options(call.deadline_ms, call.priority)?.party(peer.party());
    let since = app.manager.now();
    let answer = app.manager.call_with_slot(&name, &request, options).await?;
    let component = ComponentId::new(&name)
        .map_err(|error| Problem::new("unknown_component", error.to_string()))?;
    answered(&app, &shared, component, answer, since).await
}

pub(crate) async fn lease(
    State(app): State<Arc<App>>,
    Extension(shared): Extension<Arc<Shared>>,
    Name(id): Name,
    body: Body,
) -> Answer {
    let call: LeaseCall = read(&app, body).await?;
    let request = checked(call.text, call.object.as_deref())?;
    let deadline = options(call.deadline_ms, None)?.deadline;
    let since = app.manager.now();
    let (component, caller) = app.leases.caller(&id, call.component.as_deref())?;
    let answer = caller.call_with_slot(&request, deadline).await?;
    answered(&app, &shared, component, answer, since).await
}

async fn answered(
    app: &App,
    shared: &Shared,
    component: ComponentId,
    (answer, slot): (CallAnswer, CallSlot),
    since: Moment,
) -> Answer {
    let took_ms = ms(app.manager.now().since(since));
    shared.make_room(app, answer.size(), slot).await?;
    json(&Answered { component, answer: answer.into(), took_ms })
}
