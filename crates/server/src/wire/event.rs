//! Events and logs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Component;

/// Something that happened. The members beside the named ones depend on `event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its running number since the server's start.
    pub seq: u64,
    /// When, since the server's start.
    pub at_ms: f64,
    /// When, in seconds since 1970.
    pub time: i64,
    /// What, as a fixed word: `state`, `granted`, `refused`, …
    pub event: String,
    /// The same in a line for people.
    pub text: String,
    /// The rest: `component`, `from`, `to`, `cause` and so on.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// `GET /v1/events?follow=false`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// Events that were asked for and are gone already.
    pub missed: u64,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The number to ask for next time.
    pub next: u64,
}

/// In a stream: what a follower missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many events; none when that is unknown, since the server was restarted.
    pub missed: Option<u64>,
    /// Why, for people.
    pub text: String,
}

/// `GET /v1/components/{name}/why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The component as it is now.
    pub component: Component,
    /// The last events about it, oldest first.
    pub events: Vec<Event>,
}

/// One line of a component's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 0; a number is missing where a line was replaced.
    pub number: u64,
    /// When, in seconds since 1970.
    pub time: i64,
    /// `stdout`, `stderr`, or `manager` for the manager's own remarks.
    pub stream: String,
    /// The line as the program wrote it, without its line end.
    pub text: String,
    /// Whether the beginning of the line was cut off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// How many bytes were cut off, where any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_bytes: Option<u64>,
}

impl From<&majordomo::LogLine> for LogLine {
    fn from(l: &majordomo::LogLine) -> Self {
        Self {
            number: l.number,
            time: l.at.0,
            stream: l.stream.name().to_owned(),
            text: l.text.to_string(),
            cut: l.cut_bytes > 0,
            cut_bytes: Some(l.cut_bytes).filter(|n| *n > 0),
        }
    }
}

/// `GET /v1/components/{name}/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Lines that were asked for and are gone already.
    pub missed: u64,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// The number to ask for next time.
    pub next: u64,
}
