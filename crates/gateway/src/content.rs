//! The body of a request, read as far as it decides something, and as the component is sent it.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::{Body as HttpBody, Bytes};
use majordomo::{GatewaySpec, RouteSpec};

use crate::answer::BodyError;
use crate::api::Api;
use crate::buffer::{Reading, Room, Taken};
use crate::json::{self, Members};
use crate::multipart::{Form, Found};
use crate::outgoing::Outgoing;
use crate::refused::Refused;

/// A body that may have been read.
pub(crate) enum Content<B> {
    /// It is passed on as it comes.
    Unread(B),
    /// JSON in memory.
    Json {
        bytes: Vec<u8>,
        taken: Taken,
        model: Option<String>,
        /// The client asked for a stream of events.
        streams: bool,
    },
    /// A form, up to its field `model` and a little more.
    Form { bytes: Vec<u8>, taken: Taken, rest: B, model: String, at: Range<usize> },
}

/// A body as the component is sent it.
pub(crate) struct Sent {
    pub(crate) body: Outgoing,
    /// Its length is not the client's any more.
    pub(crate) is_rewritten: bool,
    /// A text that is learned when the request succeeds.
    pub(crate) text: Option<String>,
}

/// Why a body is read.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'r> {
    /// To find the component.
    Find,
    /// To change it, or to learn from it; a body that is neither JSON nor small enough stays as it is.
    Change(&'r RouteSpec),
}

/// The body of a type as a client states it.
enum Kind {
    Json,
    Form(Form),
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let Some(stated) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
            return Ok(Self::Json);
        };
        if let Some(form) = Form::of(stated)? {
            return Ok(Self::Form(form));
        }
        let kind = stated.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        // curl sends JSON as a plain form unless the caller names a type.
        let is_json = kind == "application/json"
            || kind.ends_with("+json")
            || kind == "application/x-www-form-urlencoded";
        Ok(if is_json { Self::Json } else { Self::Other })
    }
}

impl<B> Content<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
{
    /// Reads a body that was not read yet.
    ///
    /// # Errors
    /// A body that cannot be read, is too large, or is not what it is said to be.
    pub(crate) async fn read(
        self,
        headers: &HeaderMap,
        (spec, room): (&GatewaySpec, &Room),
        api: Api,
        purpose: Purpose<'_>,
    ) -> Result<Self, Refused> {
        let Self::Unread(body) = self else { return Ok(self) };
        if body.is_end_stream() {
            return Ok(Self::Unread(body));
        }
        let (limit, times) = (spec.max_routed_body, (spec.stall_time, spec.stall_time));
        match (Kind::of(headers)?, purpose) {
            (Kind::Form(form), Purpose::Find) => {
                read_form(form, Reading::begin(body, room, limit, times).await?).await
            }
            (Kind::Json, Purpose::Change(route))
                if !route.rewrites_bodies() && body.size_hint().lower() > limit.bytes() =>
            {
                Ok(Self::Unread(body))
            }
            (Kind::Json, purpose) => {
                let reading = Reading::begin(body, room, limit, times).await?;
                let (bytes, taken) = reading.whole().await?;
                let (model, streams) = match (Members::read(&bytes), purpose) {
                    (Ok(members), _) => (named(&members, api)?, members.is_true("stream")),
                    (Err(refused), Purpose::Find) => return Err(refused),
                    // The component says by itself why it is wrong.
                    (Err(_), Purpose::Change(_)) => (None, false),
                };
                Ok(Self::Json { bytes, taken, model, streams })
            }
            (Kind::Form(_), Purpose::Change(_)) | (Kind::Other, _) => Ok(Self::Unread(body)),
        }
    }

    /// The name of the component in the body.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Unread(_) => None,
            Self::Json { model, .. } => model.as_deref(),
            Self::Form { model, .. } => Some(model),
        }
    }

    /// Whether the client asked for a stream of events.
    pub(crate) fn streams(&self) -> bool {
        matches!(self, Self::Json { streams: true, .. })
    }

    /// The body as the component is sent it: JSON and forms with a `model` by its route, all others as they are.
    ///
    /// # Errors
    /// None for a body that was read.
    pub(crate) fn sent(self, route: &RouteSpec, api: Api) -> Result<Sent, Refused> {
        let mut sent = match self {
            Self::Unread(body) => Sent::from(Outgoing::stream(Bytes::new(), None, body)),
            Self::Json { bytes, taken, model, .. } => {
                let text = route.learn_text.as_deref().and_then(|at| json::text_at(&bytes, at));
                let is_rewritten = model.is_some() && route.rewrites_bodies();
                let bytes = match is_rewritten {
                    true => json::rewritten(&bytes, route, api.model_members())?,
                    false => bytes,
                };
                Sent { body: Outgoing::full(bytes, Some(taken)), is_rewritten, text }
            }
            Self::Form { mut bytes, taken, rest, at, .. } => {
                let is_rewritten = route.model_name.is_some();
                if let Some(name) = &route.model_name {
                    drop(bytes.splice(at, name.bytes()));
                }
                let body = Outgoing::stream(bytes, Some(taken), rest);
                Sent { body, is_rewritten, text: None }
            }
        };
        sent.text = sent.text.filter(|text| !text.trim().is_empty());
        Ok(sent)
    }
}

impl From<Outgoing> for Sent {
    fn from(body: Outgoing) -> Self {
        Self { body, is_rewritten: false, text: None }
    }
}

/// The name in the first member that names the model.
fn named(members: &Members<'_>, api: Api) -> Result<Option<String>, Refused> {
    for member in api.model_members() {
        if let Some(name) = members.text(member)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn read_form<B>(mut form: Form, mut reading: Reading<B>) -> Result<Content<B>, Refused>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
{
    loop {
        match form.find(reading.bytes())? {
            Found::Field(model, at) => {
                let (bytes, taken, rest) = reading.into_parts();
                return Ok(Content::Form { bytes, taken, rest, model, at });
            }
            Found::Nowhere => return Err(Refused::no_name()),
            Found::NotYet => {}
        }
        if !reading.more().await? {
            return Err(Refused::bad_request("the form ends before its last boundary"));
        }
    }
}
