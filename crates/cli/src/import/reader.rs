//! Values of keys as the kinds that llama-swap takes, with a problem for every other kind.

use super::document::{Kind, Node, Value};
use super::macros::left_in;
use super::marks;
use super::problem::Problem;
use super::report::{Outcome, Path, Report, shown};

/// Durations of a configuration are no longer, in seconds.
const MAX_SECONDS: u64 = 30 * 24 * 3600;

/// A table and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Section<'n> {
    pub path: Path,
    pub node: &'n Node,
}

/// The value of a key and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Found<'n> {
    pub path: Path,
    pub line: usize,
    pub node: &'n Node,
}

impl<'n> Section<'n> {
    pub(super) const fn root(node: &'n Node) -> Self {
        Self { path: Vec::new(), node }
    }

    /// The value of a key; an empty one counts as missing.
    pub(super) fn get(&self, key: &str) -> Option<Found<'n>> {
        self.all().into_iter().find(|found| found.path.last().is_some_and(|k| k == key))
    }

    pub(super) fn all(&self) -> Vec<Found<'n>> {
        let found = |member: &'n super::document::Member| {
            let mut path = self.path.clone();
            path.push(member.key.clone());
            Found { path, line: member.line, node: &member.node }
        };
        self.node.members().iter().map(found).collect()
    }
}

impl<'n> Found<'n> {
    pub(super) fn key(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn section(&self) -> Section<'n> {
        Section { path: self.path.clone(), node: self.node }
    }
}

/// The account and the problems of a translation so far.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub report: Report,
    pub problems: Vec<Problem>,
    /// Why models have no component.
    pub left_out: Vec<Problem>,
}

impl Context {
    pub(super) fn translated(&mut self, found: &Found<'_>, detail: impl Into<String>) {
        self.report.add(Outcome::Translated, &found.path, found.line, detail);
    }

    pub(super) fn not_needed(&mut self, found: &Found<'_>, detail: impl Into<String>) {
        self.report.add(Outcome::NotNeeded, &found.path, found.line, detail);
    }

    pub(super) fn not_supported(&mut self, found: &Found<'_>, detail: impl Into<String>) {
        self.report.add(Outcome::NotSupported, &found.path, found.line, detail);
    }

    pub(super) fn wrong(&mut self, found: &Found<'_>, what: impl std::fmt::Display) {
        self.problems.push(Problem::at(found.line, format!("{}: {what}", shown(&found.path))));
    }

    fn expected(&mut self, found: &Found<'_>, kind: &str) {
        self.wrong(found, format!("is {}; write {kind}", found.node.kind()));
    }

    /// A text; a number or a truth counts as its text. `None` when it is empty or wrong.
    pub(super) fn text(&mut self, found: &Found<'_>) -> Option<String> {
        match &found.node.value {
            _ if found.node.is_null() => None,
            Value::Scalar(scalar) if scalar.kind == Kind::Text => Some(scalar.text.clone()),
            Value::Scalar(scalar) => Some(scalar.shown().into_owned()),
            _ => {
                self.expected(found, "a text");
                None
            }
        }
    }

    /// A text whose variables are all known. `None` when it is empty or wrong.
    pub(super) fn known_text(&mut self, found: &Found<'_>) -> Option<String> {
        let text = self.text(found)?;
        if let Some(name) = marks::variables(&text).first() {
            self.wrong(found, format!("the environment variable {name} is not set, and its value decides here; set it for the import"));
            return None;
        }
        if text.contains(marks::PORT) {
            self.wrong(found, "${PORT} has no value here, since ports are chosen when programs start; write a text without it");
            return None;
        }
        Some(text)
    }

    pub(super) fn integer(&mut self, found: &Found<'_>) -> Option<i64> {
        match &found.node.value {
            _ if found.node.is_null() => None,
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Integer(number) => Some(number),
                Kind::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                    Some(number as i64)
                }
                _ => {
                    self.expected(found, "a whole number");
                    None
                }
            },
            _ => {
                self.expected(found, "a whole number");
                None
            }
        }
    }

    /// Seconds as a duration of the configuration.
    pub(super) fn duration(&mut self, found: &Found<'_>, seconds: i64) -> Option<u64> {
        match u64::try_from(seconds) {
            Ok(seconds) if seconds <= MAX_SECONDS => Some(seconds),
            Ok(_) => {
                self.wrong(found, "is longer than 30 days; write at most 2592000 seconds");
                None
            }
            Err(_) => {
                self.wrong(found, "is negative");
                None
            }
        }
    }

    pub(super) fn truth(&mut self, found: &Found<'_>) -> Option<bool> {
        let truth = match &found.node.value {
            Value::Scalar(scalar) => match (scalar.kind, scalar.text.as_str()) {
                (Kind::Null, _) => return None,
                (Kind::Bool(truth), _) => Some(truth),
                (Kind::Text, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Some(true),
                (Kind::Text, "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => Some(false),
                _ => None,
            },
            _ => None,
        };
        if truth.is_none() {
            self.expected(found, "true or false");
        }
        truth
    }

    /// The items of a list of texts, each with its place.
    pub(super) fn texts<'n>(&mut self, found: &Found<'n>) -> Vec<(String, Found<'n>)> {
        let Value::List(items) = &found.node.value else {
            if !found.node.is_null() {
                self.expected(found, "a list of texts");
            }
            return Vec::new();
        };
        let places =
            items.iter().map(|node| Found { path: found.path.clone(), line: node.line, node });
        let places: Vec<_> = places.collect();
        places.into_iter().filter_map(|place| Some((self.text(&place)?, place))).collect()
    }

    /// Whether a value is a table; one that is empty counts as a table without keys.
    pub(super) fn is_table(&mut self, found: &Found<'_>) -> bool {
        let is_table = matches!(found.node.value, Value::Map(_));
        if !is_table && !found.node.is_null() {
            self.expected(found, "a table");
        }
        is_table
    }

    /// Reports macros that are left in a tree. `known` are those that are declared somewhere.
    pub(super) fn macros_left(
        &mut self,
        node: &Node,
        path: &mut Path,
        known: &dyn Fn(&str) -> bool,
        stop: bool,
    ) {
        match &node.value {
            Value::List(items) => {
                items.iter().for_each(|item| self.macros_left(item, path, known, stop));
            }
            Value::Map(members) => {
                for member in members {
                    path.push(member.key.clone());
                    // Only there, a process has an id.
                    let stop = path.len() == 3 && path[0] == "models" && member.key == "cmdStop";
                    self.macros_left(&member.node, path, known, stop);
                    path.pop();
                }
            }
            Value::Scalar(scalar) => {
                let text =
                    if stop { scalar.text.replace("${PID}", "") } else { scalar.text.clone() };
                let Some(name) = left_in(&text) else { return };
                let why = match name {
                    "PID" => "${PID} is only known in cmdStop".to_owned(),
                    "PORT" if path.first().is_some_and(|key| key == "models") => {
                        "${PORT} is only known where cmd has it".to_owned()
                    }
                    name if known(name) => format!(
                        "the macro {name} is used above its declaration, or in a circle; declare it before the macros that use it"
                    ),
                    name => format!("there is no macro {name}; declare it in macros"),
                };
                self.problems.push(Problem::at(node.line, format!("{}: {why}", shown(path))));
            }
        }
    }
}
