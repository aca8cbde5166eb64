//! JSON bodies of requests: the members that decide a route, and changes of members.
//!
//! Invariant: a body that is not changed is passed on byte for byte, and in one that is changed all other members keep their
//! bytes and their order.

use std::borrow::Cow;
use std::fmt;

use majordomo::RouteSpec;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::refused::Refused;

/// The members of an object, in their order.
#[derive(Debug)]
pub(crate) struct Members<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'de: 'b, 'b> Deserialize<'de> for Members<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Read).map(Self)
    }
}

/// A name that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'b>(#[serde(borrow)] Cow<'b, str>);

impl<'b> Members<'b> {
    /// Reads an object.
    ///
    /// # Errors
    /// A body that is no JSON object.
    pub(crate) fn read(body: &'b [u8]) -> Result<Self, Refused> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Refused::bad_request(format!("the body is not JSON, which is UTF-8: {error}"))
        })?;
        serde_json::from_str(text).map_err(|error| {
            Refused::bad_request(format!("the body cannot be read as a JSON object: {error}"))
        })
    }

    /// The text of a member; none when it is not there.
    ///
    /// # Errors
    /// A member that is there twice, or is no text: two readers could take it differently.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Refused> {
        let mut found = self.0.iter().filter(|(key, _)| *key == name);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Refused::bad_request(format!("the body has `{name}` twice; send it once")));
        }
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| Refused::bad_request(format!("`{name}` in the body is no text")))
    }

    /// Whether a member is `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| *key == name && value.get() == "true")
    }
}

/// The body as a component is sent it. `model` are the members that name the model.
///
/// # Errors
/// A body that is no JSON object.
pub(crate) fn rewritten(
    body: &[u8],
    route: &RouteSpec,
    model: &[&str],
) -> Result<Vec<u8>, Refused> {
    let members = Members::read(body)?;
    let mut object = Object::of(&members);
    if let Some(name) = &route.model_name {
        let value = serde_json::Value::from(name.as_str()).to_string();
        let stated = model.iter().find(|m| members.0.iter().any(|(key, _)| key == *m));
        if let Some(member) = stated {
            object.set(member, &value);
        }
    }
    for path in &route.strip_params {
        object.strip(path);
    }
    for (path, value) in &route.set_params {
        object.set(path, value);
    }
    Ok(object.write().into_bytes())
}

/// An object whose members may be changed.
struct Object(Vec<(String, String)>);

impl Object {
    fn of(members: &Members<'_>) -> Self {
        let of = |(key, value): &(Cow<'_, str>, &RawValue)| {
            (key.clone().into_owned(), value.get().to_owned())
        };
        Self(members.0.iter().map(of).collect())
    }

    /// An object, or an empty one in the place of another value.
    fn inner(text: &str) -> Self {
        serde_json::from_str::<Members<'_>>(text).map_or(Self(Vec::new()), |m| Self::of(&m))
    }

    fn set(&mut self, path: &str, value: &str) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(n, rest)| (n, Some(rest)));
        let before = self.0.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str());
        let value = match rest {
            None => value.to_owned(),
            Some(rest) => {
                let mut inner = Self::inner(before.unwrap_or("{}"));
                inner.set(rest, value);
                inner.write()
            }
        };
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, text)) => *text = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn strip(&mut self, path: &str) {
        match path.split_once('.') {
            None => self.0.retain(|(key, _)| key != path),
            Some((name, rest)) => {
                for (_, text) in self.0.iter_mut().filter(|(key, _)| key == name) {
                    if let Ok(members) = serde_json::from_str::<Members<'_>>(text) {
                        let mut inner = Self::of(&members);
                        inner.strip(rest);
                        *text = inner.write();
                    }
                }
            }
        }
    }

    fn write(&self) -> String {
        let mut out = String::from("{");
        for (idx, (key, value)) in self.0.iter().enumerate() {
            if idx > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(key.as_str()).to_string());
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

/// The text at a JSON pointer (RFC 6901), in which the index -1 is the last item. A list of parts, as chat clients send, is the
/// text of its first part with one.
pub(crate) fn text_at(body: &[u8], pointer: &str) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_slice(body).ok()?;
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        value = match value {
            serde_json::Value::Array(mut items) => {
                let last = items.len().checked_sub(1);
                let idx = if name == "-1" { last } else { name.parse().ok() }?;
                (idx < items.len()).then(|| items.swap_remove(idx))?
            }
            serde_json::Value::Object(mut members) => members.remove(&name)?,
            _ => return None,
        };
    }
    match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(parts) => {
            parts.iter().find_map(|part| part.get("text")?.as_str().map(str::to_owned))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(body: &str) -> Result<Option<String>, u16> {
        let members = Members::read(body.as_bytes()).map_err(|refused| refused.status())?;
        members.text("model").map_err(|refused| refused.status())
    }

    #[test]
    fn model_is_read_once_or_refused() {
        let is = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(model(r#"{"model":"a"}"#), is("a"));
        assert_eq!(model(r#" {"x":[{"model":"b"}],"model":"a\u00e9"} "#), is("a\u{e9}"));
        assert_eq!(model(r#"{"m\u006fdel":"a"}"#), is("a"));
        assert_eq!(model("{}"), Ok(None));
        for wrong in [
            r#"{"model":"a","model":"a"}"#,
            r#"{"model":"a","m\u006fdel":"b"}"#,
            r#"{"model":1}"#,
            r#"{"model":null}"#,
            r#"["model"]"#,
            r#"{"model":"a""#,
            r#"{"model":"a"}x"#,
            "",
            "model=a",
        ] {
            assert_eq!(model(wrong), Err(400), "{wrong}");
        }
        assert!(Members::read(b"{\"model\":\"\xff\"}").is_err());
    }

    #[test]
    fn stream_is_true_only_as_the_literal() {
        let is = |body: &str| Members::read(body.as_bytes()).unwrap().is_true("stream");
        assert!(is(r#"{"stream": true }"#));
        assert!(!is(r#"{"stream":"true"}"#) && !is(r#"{"stream":false}"#) && !is("{}"));
    }

    #[test]
    fn changed_body_keeps_all_other_bytes_in_their_order() {
        let mut route = RouteSpec::default();
        let check = |route: &RouteSpec, body: &str, want: &str| {
            let got = rewritten(body.as_bytes(), route, &["model"]).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), want);
        };
        route.model_name = Some("real \"7b\"".to_owned());
        check(
            &route,
            r#"{ "z": 1.50, "model": "a", "b": [1, 2] }"#,
            r#"{"z":1.50,"model":"real \"7b\"","b":[1, 2]}"#,
        );
        check(&route, "{}", "{}");
        route.model_name = None;
        route.strip_params = vec!["top_k".to_owned(), "options.seed".to_owned()];
        route.set_params.insert("temperature".to_owned(), "0.7".to_owned());
        route.set_params.insert("options.num_ctx".to_owned(), "4096".to_owned());
        check(
            &route,
            r#"{"temperature":1,"options":{"seed":1,"x":{}},"top_k":3,"n":1}"#,
            r#"{"temperature":0.7,"options":{"x":{},"num_ctx":4096},"n":1}"#,
        );
        check(&route, r#"{"options":3}"#, r#"{"options":{"num_ctx":4096},"temperature":0.7}"#);
    }

    #[test]
    fn text_is_found_by_pointer() {
        let body = br#"{"messages":[{"content":"first"},{"content":"last"}],"a/b":{"~":"c"},
            "parts":[{"type":"image"},{"type":"text","text":"see"}]}"#;
        let check = |pointer: &str, want: Option<&str>| {
            assert_eq!(text_at(body, pointer).as_deref(), want, "{pointer}");
        };
        check("/messages/-1/content", Some("last"));
        check("/messages/0/content", Some("first"));
        check("/a~1b/~0", Some("c"));
        check("/parts", Some("see"));
        check("/messages/2/content", None);
        check("/messages", None);
        check("/nothing", None);
        assert_eq!(text_at(b"{", "/a"), None);
        assert_eq!(text_at(br#"{"a":[]}"#, "/a/-1"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut route = RouteSpec::default();
            route.model_name = Some("m".to_owned());
            if let Ok(members) = Members::read(&body) {
                let _ = members.text("model");
                prop_assert!(rewritten(&body, &route, &["model"]).is_ok());
            }
            let _ = text_at(&body, "/a/-1");
        }
    }
}
