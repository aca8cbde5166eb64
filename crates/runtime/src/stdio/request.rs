//! Requests and answers of calls, as callers have them.

use majordomo_core::ByteSize;
use serde_json::value::RawValue;

use super::CallError;
use super::codec::Content;

/// A request to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRequest(Body);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Text(String),
    /// Valid JSON of an object, without line ends.
    Object(String),
}

impl CallRequest {
    /// A request of a text, of any content.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Body::Text(text.into()))
    }

    /// An object, as JSON text.
    ///
    /// # Errors
    /// [`CallError::BadObject`] when the text is no JSON object.
    pub fn object(json: &str) -> Result<Self, CallError> {
        let bad = |why: String| CallError::BadObject { why };
        serde_json::from_str::<&RawValue>(json).map_err(|error| bad(error.to_string()))?;
        if !json.trim_ascii_start().starts_with('{') {
            return Err(bad("it is another kind of JSON".to_owned()));
        }
        // Within texts JSON has no line ends, so that these are white space.
        Ok(Self(Body::Object(json.replace(['\n', '\r'], " "))))
    }

    pub(super) fn content(&self) -> Content<'_> {
        match &self.0 {
            Body::Text(text) => Content::Text(text),
            Body::Object(json) => Content::Object(json),
        }
    }
}

/// A component's answer.
#[derive(Clone, Debug)]
pub struct CallAnswer(Box<RawValue>);

impl CallAnswer {
    pub(super) fn new(json: &RawValue) -> Self {
        Self(json.to_owned())
    }

    /// The answer as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// The answer as JSON text.
    #[must_use]
    pub fn into_json(self) -> Box<str> {
        self.0.into()
    }

    /// The answer, if it is a text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        serde_json::from_str(self.json()).ok()
    }

    /// Its size as JSON text.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        ByteSize(self.json().len() as u64)
    }
}

impl PartialEq for CallAnswer {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for CallAnswer {}

/// The answer as checked JSON.
impl From<CallAnswer> for Box<RawValue> {
    fn from(answer: CallAnswer) -> Self {
        answer.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_of_a_request_is_checked_and_loses_its_line_ends() {
        let request = CallRequest::object(" {\r\n \"a\": [1,\n2] }\n").unwrap();
        assert_eq!(request, CallRequest(Body::Object(" {   \"a\": [1, 2] } ".to_owned())));
        for bad in ["", "[]", "\"a\"", "{", "{\"a\":1} 2", "{'a':1}"] {
            let error = CallRequest::object(bad).unwrap_err();
            assert!(matches!(error, CallError::BadObject { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn answer_is_read_as_text_only_if_it_is_one() {
        let text = |json: &str| CallAnswer::new(serde_json::from_str(json).unwrap()).text();
        assert_eq!(text("\"a\\nb\"").as_deref(), Some("a\nb"));
        assert_eq!(text("[\"a\"]"), None);
    }
}
