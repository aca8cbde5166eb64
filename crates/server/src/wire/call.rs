//! Calls of components.

use majordomo::{CallError, CallRequest, ComponentId, Priority};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{raw_object, whole};

/// `POST /v1/components/{name}/call`: either `text` or `object`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// The text of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The object of the request, as JSON.
    #[serde(deserialize_with = "raw_object", skip_serializing_if = "Option::is_none")]
    pub object: Option<Box<RawValue>>,
    /// How long the lease and the call may take together; none = `demand_deadline`, then `call_deadline` of the component.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The priority in the queue of demands; none = that of the component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// `POST /v1/leases/{id}/call`: either `text` or `object`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseCall {
    /// The component, where the lease has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// See [`Call::text`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// See [`Call::object`].
    #[serde(deserialize_with = "raw_object", skip_serializing_if = "Option::is_none")]
    pub object: Option<Box<RawValue>>,
    /// How long the call may take; none = `call_deadline` of the component.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// The request of a call; none unless it has exactly one of text and object.
pub(crate) fn request(
    text: Option<String>,
    object: Option<&RawValue>,
) -> Option<Result<CallRequest, CallError>> {
    match (text, object) {
        (Some(text), None) => Some(Ok(CallRequest::text(text))),
        (None, Some(object)) => Some(CallRequest::object(object.get())),
        _ => None,
    }
}

impl Call {
    /// A request of a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A request of an object.
    #[must_use]
    pub fn object(object: Box<RawValue>) -> Self {
        Self { object: Some(object), ..Self::default() }
    }
}

/// The answer of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The component that answered.
    pub component: ComponentId,
    /// Its answer, as JSON.
    pub answer: Box<RawValue>,
    /// How long the call took, with the wait for the component.
    pub took_ms: f64,
}
