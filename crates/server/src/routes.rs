//! The routes: one table from which the router is made, and which the description of the interface is compared
//! with.

mod calls;
mod commands;
mod components;
mod extract;
mod leases;
mod look;
mod openapi;
mod state;
mod terms;

pub use openapi::OPENAPI;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use majordomo::start_of;

use crate::app::App;
use crate::problem::Problem;

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// With place-holders in braces.
    pub path: &'static str,
    /// Its name in the description.
    pub operation: &'static str,
}

macro_rules! routes {
    ($($method:ident $path:literal => $module:ident::$handler:ident;)*) => {
        /// Every route that there is.
        pub const ROUTES: &[Route] = &[
            $(Route {
                method: stringify!($method),
                path: $path,
                operation: concat!(stringify!($module), "_", stringify!($handler)),
            },)*
        ];

        pub(crate) fn router(app: Arc<App>) -> Router {
            Router::new()
                $(.route($path, methods::$method($module::$handler)))*
                .method_not_allowed_fallback(method_not_allowed)
                .route_layer(axum::middleware::from_fn(refuse_query))
                .fallback(unknown)
                .with_state(app)
        }
    };
}

/// The methods under the names that the table writes.
mod methods {
    pub(super) use axum::routing::{delete as DELETE, get as GET, post as POST};
}

routes! {
    GET "/healthz" => look::healthz;
    GET "/readyz" => look::readyz;
    GET "/v1" => look::info;
    GET "/v1/openapi.json" => look::openapi;
    GET "/v1/status" => look::status;
    GET "/v1/events" => look::events;
    GET "/v1/components" => components::list;
    GET "/v1/components/{name}" => components::one;
    GET "/v1/components/{name}/why" => components::why;
    GET "/v1/components/{name}/logs" => components::logs;
    POST "/v1/components/{name}/load" => components::load;
    POST "/v1/components/{name}/unload" => components::unload;
    POST "/v1/components/{name}/park" => components::park;
    POST "/v1/components/{name}/pin" => components::pin;
    POST "/v1/components/{name}/trim" => components::trim;
    POST "/v1/components/{name}/call" => calls::component;
    POST "/v1/commands" => commands::command;
    POST "/v1/plan" => commands::plan;
    POST "/v1/intents" => commands::intents;
    POST "/v1/hints" => commands::hint;
    POST "/v1/feedback" => commands::feedback;
    POST "/v1/reload" => commands::reload;
    GET "/v1/state" => state::remembered;
    POST "/v1/state/forget" => state::forget;
    GET "/v1/leases" => leases::list;
    POST "/v1/leases" => leases::acquire;
    GET "/v1/leases/{id}" => leases::one;
    DELETE "/v1/leases/{id}" => leases::release;
    POST "/v1/leases/{id}/renew" => leases::renew;
    POST "/v1/leases/{id}/exchange" => leases::exchange;
    POST "/v1/leases/{id}/call" => calls::lease;
}

/// Whether a request waits until components are ready or answer, within a deadline of its own.
pub(crate) fn has_own_deadline(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let waits = match path.strip_prefix("/v1/components/") {
        Some(_) => matches!(last(path), "load" | "call"),
        None => path.starts_with("/v1/leases/") && last(path) == "call",
    };
    parts.method == Method::POST && (matches!(path, "/v1/leases" | "/v1/commands") || waits)
}

/// Whether a request may come when there is no place for its connection: what an operator looks at and does to make
/// room. It is neither a stream nor a wait for components, and holds nothing.
pub(crate) fn is_for_visitors(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let is_of_component = path.starts_with("/v1/components/");
    match parts.method {
        Method::GET => !follows(parts),
        Method::DELETE => path.starts_with("/v1/leases/"),
        Method::POST => {
            is_of_component && matches!(last(path), "unload" | "park" | "pin" | "trim")
                || path == "/v1/reload"
        }
        _ => false,
    }
}

/// Whether the answer grows with what the manager keeps, and is made for this request alone.
pub(crate) fn is_large(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let is_list = matches!(path, "/v1/components" | "/v1/events" | "/v1/leases" | "/v1/state")
        || path.starts_with("/v1/components/") && matches!(last(path), "logs" | "why");
    parts.method == Method::GET && is_list && !follows(parts)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether the answer may be a stream.
fn follows(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let has = |what: &str| query.split('&').any(|part| part == what);
    match last(parts.uri.path()) {
        "events" => !has("follow=false"),
        // Escapes could spell it, too.
        "logs" => has("follow=true") || query.contains('%'),
        _ => false,
    }
}

/// Paths of which GET takes a query.
const WITH_QUERY: [&str; 3] = ["/v1/events", "/v1/components/{name}/logs", "/v1/leases"];

/// Refuses a query where none is taken: the routes would ignore it.
async fn refuse_query(path: MatchedPath, request: Request, next: Next) -> Response {
    let is_taken = matches!(*request.method(), Method::GET | Method::HEAD)
        && WITH_QUERY.contains(&path.as_str());
    match request.uri().query() {
        Some(query) if !query.is_empty() && !is_taken => {
            let detail = format!(
                "{} {} takes no query; see GET /v1/openapi.json",
                start_of(request.method().as_str()),
                path.as_str()
            );
            Problem::new("bad_value", detail).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        "method_not_allowed",
        format!(
            "{} does not take {}; see GET /v1/openapi.json",
            start_of(uri.path()),
            start_of(method.as_str())
        ),
    )
}

async fn unknown(uri: Uri) -> Problem {
    let path = uri.path();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let is_version = first.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    if is_version && first != "v1" {
        return Problem::new(
            "unknown_version",
            format!(
                "{}: this server supports /v1 only; use a client for that, or another server",
                start_of(path)
            ),
        );
    }
    Problem::new(
        "unknown_route",
        format!("there is no {}; see GET /v1/openapi.json", start_of(path)),
    )
}
