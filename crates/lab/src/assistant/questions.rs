//! Questions for components, and the check whether an answer is real.
//!
//! Knows the form of `questions.json`; sends nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A request to a component.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// `POST` of an object to the endpoint; the answer is JSON.
    Http { path: String, json: Value },
    /// A request through the server, in the form of its interface: `text` or `object`.
    Call(Value),
    /// A page to open, below the assistant's folder; the answer is its title.
    Page(String),
    /// A command for redis.
    Redis(Vec<String>),
}

/// The sign of a real answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Expect {
    /// At least so many of these words are in the answer's text; all of them if no number is given.
    Words { words: Vec<String>, at_least: Option<usize> },
    /// Members with these values.
    Members { json: Map<String, Value> },
    /// Members with numbers that are not smaller.
    AtLeast { json_min: Map<String, Value> },
    /// An answer of at least so many characters, where its content cannot be known before.
    Any {
        #[serde(rename = "any")]
        _any: bool,
        min_chars: usize,
    },
}

/// A question with the sign of a real answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) ask: Ask,
    pub(super) expect: Expect,
}

/// Questions by component.
pub(super) type Questions = BTreeMap<String, Vec<Question>>;

/// Reads `questions.json`.
pub(super) fn read(path: &Path) -> anyhow::Result<Questions> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} has questions that cannot be read", path.display()))
}

/// An answer: JSON, or text as a text of JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer(pub(super) Value);

impl Answer {
    /// The member `text` where there is one, else all texts and numbers of the answer, one a line.
    pub(super) fn text(&self) -> String {
        if let Some(text) = self.0.get("text").and_then(Value::as_str) {
            return text.to_owned();
        }
        let mut out = Vec::new();
        gather(&self.0, &mut out);
        out.join("\n")
    }
}

fn gather(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Number(number) => out.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|v| gather(v, out)),
        Value::Object(members) => members.values().for_each(|v| gather(v, out)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether a text contains a word, as a word of its own; several words, or one with other
/// characters, anywhere.
fn contains(text: &str, word: &str) -> bool {
    let word = word.to_lowercase();
    if word.chars().all(char::is_alphanumeric) {
        text.split(|c: char| !c.is_alphanumeric()).any(|w| w == word)
    } else {
        text.contains(&word)
    }
}

fn is_equal(found: Option<&Value>, expected: &Value) -> bool {
    match (found.and_then(Value::as_f64), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        _ => found == Some(expected),
    }
}

impl Expect {
    /// Whether an answer is real; if not, the missing sign.
    pub(super) fn check(&self, answer: &Answer) -> Result<(), String> {
        let shown = || {
            let text: String = answer.text().chars().take(120).collect();
            format!("the answer is {text:?}")
        };
        match self {
            Self::Words { words, at_least } => {
                let text = answer.text().to_lowercase();
                let n = words.iter().filter(|word| contains(&text, word)).count();
                let least = at_least.unwrap_or(words.len());
                if n >= least {
                    return Ok(());
                }
                Err(format!(
                    "{n} of the words {} are in it, {least} must be; {}",
                    words.join(", "),
                    shown()
                ))
            }
            Self::Members { json } => {
                let wrong = json.iter().find(|(key, value)| !is_equal(answer.0.get(key), value));
                wrong.map_or(Ok(()), |(key, value)| {
                    Err(format!("{key} is not {value}; {}", shown()))
                })
            }
            Self::AtLeast { json_min } => {
                let number = |value: Option<&Value>| value.and_then(Value::as_f64);
                let wrong = json_min.iter().find(|(key, least)| {
                    let (found, least) = (number(answer.0.get(*key)), number(Some(least)));
                    !matches!((found, least), (Some(found), Some(least)) if found >= least)
                });
                wrong.map_or(Ok(()), |(key, least)| {
                    Err(format!("{key} is not at least {least}; {}", shown()))
                })
            }
            Self::Any { min_chars, .. } => {
                let n = answer.text().trim().chars().count();
                if n >= *min_chars {
                    return Ok(());
                }
                Err(format!("{n} characters, {min_chars} are expected; {}", shown()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A case of the example, whose `ask.py` checks the same ones.
    #[derive(Deserialize)]
    struct Case {
        expect: Expect,
        answer: Value,
        is_real: bool,
    }

    #[test]
    fn an_answer_is_real_by_the_cases_of_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/assistant/answers.json");
        let cases: Vec<Case> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(cases.iter().any(|c| c.is_real) && cases.iter().any(|c| !c.is_real));
        for Case { expect, answer, is_real } in cases {
            let checked = expect.check(&Answer(answer.clone()));
            assert_eq!(checked.is_ok(), is_real, "{expect:?} {answer}: {checked:?}");
        }
    }

    #[test]
    fn questions_with_unknown_members_are_refused() {
        let read = |value: Value| serde_json::from_value::<Question>(value);
        let sound =
            json!({"ask": {"http": {"path": "/ask", "json": {}}}, "expect": {"words": ["a"]}});
        assert!(read(sound).is_ok());
        assert!(read(json!({"ask": {"redis": ["PING"]}, "expect": {"json": {}}})).is_ok());
        assert!(read(json!({"ask": {"mail": {}}, "expect": {"words": ["a"]}})).is_err());
        assert!(read(json!({"ask": {"page": "a.html"}, "expect": {"word": "a"}})).is_err());
    }
}
