//! Routes that show and erase what the manager has learned.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use majordomo::{Refusal, StateError};

use crate::app::App;
use crate::body::{json, read};
use crate::problem::Problem;
use crate::wire::{Forget, Forgotten, Remembered};

type Answer = Result<Response<Body>, Problem>;

fn problem(error: StateError) -> Problem {
    match error {
        StateError::Refused(refusal) => refusal.into(),
        StateError::ShuttingDown => Refusal::ShuttingDown.into(),
        other => Problem::new("internal", other.to_string()),
    }
}

pub(crate) async fn remembered(State(app): State<Arc<App>>) -> Answer {
    let mut remembered =
        Remembered::from(&app.manager.operator().remembered().await.map_err(problem)?);
    // The last commands may not be written yet.
    remembered.usage = app.manager.usage().export().await?;
    json(&remembered)
}

pub(crate) async fn forget(State(app): State<Arc<App>>, body: Body) -> Answer {
    let Forget { component, all } = read(&app, body).await?;
    let forgotten = match (component, all) {
        (Some(name), false) => {
            app.manager.operator().forget_figures(Some(&name)).await.map_err(problem)?
        }
        (None, true) => {
            let all = app.manager.operator().remembered().await.map_err(problem)?.values.len();
            app.manager.operator().forget_figures(None).await.map_err(problem)?;
            let texts = app.manager.intents().forget_everything().await;
            texts.map_err(|e| Problem::new("internal", e.to_string()))?;
            app.manager.usage().forget().await?;
            all
        }
        // Forgotten figures cannot be restored: an empty body must not mean everything.
        _ => return Err(Problem::new("bad_value", "either `component`, or `all` as true")),
    };
    json(&Forgotten { forgotten })
}
