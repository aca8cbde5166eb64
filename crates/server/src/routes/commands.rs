//! Commands, plans, hints, feedback, reload.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use majordomo::{BuildError, Confidence, HintTier, IntentError, Refusal, ReloadError};
use serde_json::Value;

use super::terms::{names as checked_names, options, terms};
use crate::app::App;
use crate::body::{json, read};
use crate::error::ReloadFailed;
use crate::leases::{Held, Terms, leased};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::wire::{
    Accepted, Command, CommandOutcome, Feedback, Hint, Intents, IntentsRequest, LeftOut, Need,
    Plan, PlanRequest, Reload, Reloaded, Tier, Warning, ms,
};

type Answer = Result<Response<Body>, Problem>;

pub(crate) async fn command(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Answer {
    let command: Command = read(&app, body).await?;
    if command.text.trim().is_empty() {
        return Err(Problem::new("bad_value", "`text` is missing or blank"));
    }
    let limits = app.limits();
    let terms = match &command.lease {
        Some(asked) => {
            app.leases.check_room(1, &limits)?;
            Some(terms(asked, &limits, peer)?)
        }
        None => None,
    };
    let options = options(command.deadline_ms, command.priority)?;
    let party = terms.as_ref().map_or_else(|| peer.party(), Terms::party);
    let outcome = app.manager.command_with(&command.text, options.party(party)).await;
    match outcome.refusal() {
        // These refusals are about the server, not about the command.
        Some(refusal @ (Refusal::Overloaded { .. } | Refusal::ShuttingDown)) => {
            return Err(refusal.into());
        }
        _ => outcome.mark_used(),
    }
    let mut answer = CommandOutcome {
        needed: outcome.needed().iter().map(Need::from).collect(),
        candidates: outcome.candidates().iter().map(Need::from).collect(),
        hit: outcome.was_hit(),
        ready_at_once: outcome.ready_at_once().to_vec(),
        waited_ms: ms(outcome.waited()),
        refusal: outcome.refusal().map(Problem::from),
        components: outcome.leases().iter().map(leased).collect(),
        left_out: outcome.left_out().iter().map(LeftOut::from).collect(),
        lease: None,
    };
    if let Some(terms) = terms
        && !outcome.leases().is_empty()
    {
        let held = Held::Outcome(Box::new(outcome));
        answer.lease = Some(app.leases.insert(&app.manager, held, terms, &limits)?);
    }
    json(&answer)
}

pub(crate) async fn plan(State(app): State<Arc<App>>, body: Body) -> Answer {
    let asked: PlanRequest = read(&app, body).await?;
    let plan = match (&asked.text, asked.components.as_slice()) {
        (Some(text), []) => {
            let plan = app.manager.plan(text).await?;
            return json(&Plan { decision: Some(plan.decision.into()), ..Plan::from(&plan) });
        }
        (None, names @ [_, ..]) => app.manager.plan_for(&checked_names(names)?).await?,
        _ => return Err(Problem::new("bad_value", "either `text` or `components`")),
    };
    json(&Plan::from(&plan))
}

pub(crate) async fn intents(State(app): State<Arc<App>>, body: Body) -> Answer {
    let asked: IntentsRequest = read(&app, body).await?;
    if asked.text.trim().is_empty() {
        return Err(Problem::new("bad_value", "`text` is missing or blank"));
    }
    json(&Intents::from(&app.manager.intents().explain(&asked.text)))
}

pub(crate) async fn hint(State(app): State<Arc<App>>, body: Body) -> Answer {
    let hint: Hint = read(&app, body).await?;
    if hint.component.is_empty() {
        return Err(Problem::new("bad_value", "`component` is missing"));
    }
    let tier = match hint.tier {
        Tier::Immediate => HintTier::Immediate,
        Tier::Delayed => HintTier::Delayed,
        Tier::Background => HintTier::Background,
    };
    let confidence = hint.confidence.unwrap_or(Confidence::saturating(0.5));
    let accepted = app.manager.hint(&hint.component, confidence, tier)?;
    json(&Accepted { accepted })
}

pub(crate) async fn feedback(State(app): State<Arc<App>>, body: Body) -> Answer {
    let feedback: Feedback = read(&app, body).await?;
    if feedback.lease.is_empty() == feedback.text.is_empty() {
        return Err(Problem::new("bad_value", "either `lease` or `text`"));
    }
    let used = match feedback.used.as_slice() {
        [] => Vec::new(),
        names => checked_names(names)?,
    };
    // Names first: a wrong one must not end the lease.
    for name in &used {
        app.manager.operator().why(name)?;
    }
    if feedback.text.is_empty() {
        let mut outcome = app.leases.take_outcome(&feedback.lease)?;
        outcome.feedback(&used)?;
        return json(&Accepted { accepted: true });
    }
    match app.manager.intents().teach(&feedback.text, &used).await {
        Ok(()) => json(&Accepted { accepted: true }),
        // Too many wait already: not taken on.
        Err(IntentError::Busy) => json(&Accepted { accepted: false }),
        Err(IntentError::Unknown(refusal)) => Err(refusal.into()),
        Err(IntentError::ShuttingDown) => Err(Refusal::ShuttingDown.into()),
        Err(error) => Err(Problem::new("bad_value", error.to_string())),
    }
}

pub(crate) async fn reload(State(app): State<Arc<App>>, body: Body) -> Answer {
    let Reload { dry_run } = read(&app, body).await?;
    let error = match app.reload(dry_run).await {
        Ok(reloaded) => return json(&Reloaded::new(&reloaded, dry_run)),
        Err(ReloadFailed::Token(error)) => {
            return Err(Problem::new("bad_configuration", error.to_string()));
        }
        Err(ReloadFailed::Configuration(error)) => error,
    };
    Err(match error {
        ReloadError::ShuttingDown => Refusal::ShuttingDown.into(),
        error @ ReloadError::NoFile => Problem::new("no_file", error.to_string()),
        error => {
            let problem = Problem::new("bad_configuration", error.to_string());
            match &error {
                ReloadError::Build(BuildError::Config(problems)) => {
                    let list: Vec<_> = problems.as_slice().iter().map(Warning::from).collect();
                    let list = serde_json::to_value(list).unwrap_or(Value::Null);
                    problem.with("problems", list)
                }
                _ => problem,
            }
        }
    })
}
