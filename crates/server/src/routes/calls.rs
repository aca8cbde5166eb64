//! Calls of components: by name, and of a lease.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use majordomo::{CallAnswer, CallRequest, ComponentId, Moment};
use serde_json::value::RawValue;

use super::extract::Name;
use super::terms::options;
use crate::app::App;
use crate::body::{json, read};
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
    Name(name): Name,
    body: Body,
) -> Answer {
    let call: Call = read(&app, body).await?;
    let request = checked(call.text, call.object.as_deref())?;
    let options = options(call.deadline_ms, call.priority)?.party(peer.party());
    let since = app.manager.now();
    let answer = app.manager.call(&name, &request, options).await?;
    let component = ComponentId::new(&name)
        .map_err(|error| Problem::new("unknown_component", error.to_string()))?;
    answered(&app, component, answer, since)
}

pub(crate) async fn lease(State(app): State<Arc<App>>, Name(id): Name, body: Body) -> Answer {
    let call: LeaseCall = read(&app, body).await?;
    let request = checked(call.text, call.object.as_deref())?;
    let deadline = options(call.deadline_ms, None)?.deadline;
    let since = app.manager.now();
    let (component, caller) = app.leases.caller(&id, call.component.as_deref())?;
    let answer = caller.call(&request, deadline).await?;
    answered(&app, component, answer, since)
}

fn answered(app: &App, component: ComponentId, answer: CallAnswer, since: Moment) -> Answer {
    let answer = RawValue::from_string(answer.into_json().into_string())
        .map_err(|error| Problem::new("internal", format!("the answer is no JSON: {error}")))?;
    json(&Answered { component, answer, took_ms: ms(app.manager.now().since(since)) })
}
