//! Lists of models, as clients of the APIs ask for them. Asking loads nothing and is no use.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use majordomo::{ComponentSpec, ComponentState, ComponentStatus, SelectorSpec, Status};
use serde_json::{Value, json};

use crate::access::Right;
use crate::answer::Body;
use crate::gateway::Table;
use crate::refused::Refused;

/// A list, or one entry of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List<'p> {
    /// OpenAI's `/v1/models`.
    Models,
    /// One of them.
    Model(&'p str),
    /// Ollama's `/api/tags`.
    Tags,
    /// Ollama's `/api/ps`.
    Running,
    /// Ollama's `/api/version`.
    Version,
    /// Whether the gateway answers at all.
    Health,
}

impl<'p> List<'p> {
    /// The list at a path of the front door.
    pub(crate) fn at(method: &Method, path: &'p str) -> Option<Self> {
        if ![Method::GET, Method::HEAD].contains(method) {
            return None;
        }
        Some(match path {
            "/v1/models" | "/models" => Self::Models,
            "/api/tags" => Self::Tags,
            "/api/ps" => Self::Running,
            "/api/version" => Self::Version,
            "/health" | "/" => Self::Health,
            _ => Self::Model(path.strip_prefix("/v1/models/").filter(|name| !name.is_empty())?),
        })
    }

    /// The answer to a client with this right.
    ///
    /// # Errors
    /// A model that does not exist.
    pub(crate) fn answer(
        self,
        table: &Table,
        status: &Status,
        right: Right<'_>,
    ) -> Result<Response<Body>, Refused> {
        let models = || Listed::all(table, status, right);
        Ok(json_answer(&match self {
            Self::Models => {
                let data: Vec<_> = models().iter().map(Listed::open_ai).collect();
                json!({ "object": "list", "data": data })
            }
            Self::Model(name) => {
                let found = models().into_iter().find(|m| m.has_name(name));
                found.ok_or_else(|| Refused::unknown(name))?.open_ai()
            }
            Self::Tags => {
                let models: Vec<_> = models().iter().map(Listed::ollama).collect();
                json!({ "models": models })
            }
            Self::Running => {
                let running = models().into_iter().filter(|m| m.state() == "loaded");
                let models: Vec<_> = running.map(|m| m.ollama()).collect();
                json!({ "models": models })
            }
            // The version of the interface that these paths have.
            Self::Version => json!({ "version": "0.5.0", "majordomo": env!("CARGO_PKG_VERSION") }),
            Self::Health => json!({ "status": "ok" }),
        }))
    }
}

/// A name that lists show.
struct Listed<'t> {
    name: &'t str,
    spec: Option<&'t ComponentSpec>,
    component: Option<&'t ComponentStatus>,
}

impl<'t> Listed<'t> {
    /// Components that serve something, then selectors.
    fn all(table: &'t Table, status: &'t Status, right: Right<'_>) -> Vec<Self> {
        let of = |name: &str| status.components.iter().find(|c| c.id.as_str() == name);
        let shown = table.declared.components.iter().filter(|spec| {
            let route = spec.route();
            !route.serves.is_empty() && !route.unlisted && right.opens(&spec.id)
        });
        let components = shown.map(|spec| Self {
            name: spec.id.as_str(),
            spec: Some(&**spec),
            component: of(spec.id.as_str()),
        });
        let selectors = selectors(table, right);
        let selectors =
            selectors.map(|selector| Self { name: &selector.name, spec: None, component: None });
        components.chain(selectors).collect()
    }

    fn has_name(&self, name: &str) -> bool {
        let is_alias = |spec: &ComponentSpec| spec.route().aliases.iter().any(|a| a == name);
        self.name == name || self.spec.is_some_and(is_alias)
    }

    /// The state, in the words of llama.cpp's server.
    fn state(&self) -> &'static str {
        match self.component.map(|c| c.state) {
            Some(ComponentState::Ready) => "loaded",
            Some(ComponentState::Loading { .. } | ComponentState::Queued { .. }) => "loading",
            Some(
                ComponentState::Failed { .. }
                | ComponentState::Quarantined { .. }
                | ComponentState::Stuck,
            ) => "failed",
            _ => "unloaded",
        }
    }

    fn open_ai(&self) -> Value {
        let route = self.spec.map(ComponentSpec::route);
        let serves = route.map(|r| r.serves.iter().map(|s| s.as_str()).collect::<Vec<_>>());
        let load_ms = self.component.and_then(|c| c.load_time).map(|time| time.as_millis() as u64);
        json!({
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "majordomo",
            "status": { "value": self.state() },
            "serves": serves.unwrap_or_default(),
            "aliases": route.map(|r| r.aliases.clone()).unwrap_or_default(),
            "description": self.spec.map_or("", |spec| spec.description.as_str()),
            "load_time_ms": load_ms,
        })
    }

    fn ollama(&self) -> Value {
        let bytes = self.component.map_or(0, |c| c.measured.unwrap_or(c.estimate).bytes());
        json!({
            "name": self.name,
            "model": self.name,
            "modified_at": "1970-01-01T00:00:00Z",
            "size": bytes,
            "size_vram": 0,
            "digest": digest(self.name),
            "details": { "format": "", "family": "", "families": [], "parameter_size": "", "quantization_level": "" },
        })
    }
}

/// The selectors that a client with this right may use.
fn selectors<'t>(table: &'t Table, right: Right<'_>) -> impl Iterator<Item = &'t SelectorSpec> {
    table.names.selectors().iter().filter(move |selector| {
        !selector.unlisted && selector.components.iter().any(|id| right.opens(id))
    })
}

/// Clients made for Ollama show the beginning of a digest, and take its bytes without looking how many there are.
fn digest(name: &str) -> String {
    let part = |n: u8| {
        let mut hasher = DefaultHasher::new();
        (n, name).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (0..4).map(part).collect()
}

/// The names that a client with this right may use, for a client that used another.
pub(crate) fn names(table: &Table, right: Right<'_>) -> Vec<String> {
    let reachable = table.declared.components.iter().filter(|spec| {
        let is_reachable = table.members.get(&spec.id).is_some_and(|m| m.is_reachable());
        is_reachable && right.opens(&spec.id) && !spec.route().unlisted
    });
    let selectors = selectors(table, right).map(|selector| selector.name.clone());
    reachable.map(|spec| spec.id.to_string()).chain(selectors).collect()
}

fn json_answer(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
