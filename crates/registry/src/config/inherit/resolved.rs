//! Components as they are after inheritance, for people who ask where a value comes from.

use std::fmt::Write;

use super::super::node::{Member, Node, Value};
use super::super::sections::{Declared, Draft};
use super::super::source::Report;
use super::add_places;

/// A component with every key that it states or inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedComponent {
    /// The component's name.
    pub name: String,
    /// The keys in the order of a reader: what is inherited, then what the component states.
    pub keys: Vec<ResolvedKey>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedKey {
    /// The key, with `.` before the key of an inner table.
    pub key: String,
    /// The value in TOML.
    pub value: String,
    /// The table that states the value, such as `templates.python`; none for the component's own.
    pub from: Option<String>,
    /// The line of the value.
    pub line: u32,
}

/// The tables below components, with the places of their values.
struct Origins(Vec<(String, Vec<std::ops::Range<usize>>)>);

impl Origins {
    fn new(draft: &Draft<'_>) -> Self {
        let layers = &draft.layers;
        let templates = layers.templates.iter();
        let tables = templates.map(|t| (format!("templates.{}", t.member.key), &t.member.node));
        let defaults = layers.defaults.map(|node| ("defaults".to_owned(), node));
        let all = tables.chain(defaults).map(|(name, table)| {
            let mut places = Vec::new();
            add_places(&mut places, table);
            (name, places)
        });
        Self(all.collect())
    }

    fn of(&self, member: &Member<'_>) -> Option<String> {
        let has = |places: &[std::ops::Range<usize>]| places.contains(&member.key_span);
        self.0.iter().find(|(_, places)| has(places)).map(|(name, _)| name.clone())
    }
}

/// Every component of a draft.
pub(crate) fn resolved(reports: &[Report<'_>], draft: &Draft<'_>) -> Vec<ResolvedComponent> {
    let origins = Origins::new(draft);
    let one = |declared: &Declared<'_>| {
        let mut keys = Vec::new();
        // Places of the predecessor's file are not places of the first file.
        let origins = (declared.file == 0).then_some(&origins);
        collect(&reports[declared.file], origins, "", &declared.keys, &mut keys);
        ResolvedComponent { name: declared.spec.id.to_string(), keys }
    };
    draft.components.iter().map(one).collect()
}

fn collect(
    report: &Report<'_>,
    origins: Option<&Origins>,
    before: &str,
    table: &Node<'_>,
    keys: &mut Vec<ResolvedKey>,
) {
    // Without the template's name the keys are a component on their own.
    for member in table.members().iter().filter(|member| member.key != "template") {
        let key = format!("{before}{}", toml_key(&member.key));
        if !member.node.members().is_empty() {
            collect(report, origins, &format!("{key}."), &member.node, keys);
            continue;
        }
        let mut value = String::new();
        write_value(&mut value, &member.node);
        let from = origins.and_then(|origins| origins.of(member));
        let line = report.source.position(member.key_span.start).line;
        keys.push(ResolvedKey { key, value, from, line });
    }
}

fn toml_key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) {
        return key.to_owned();
    }
    let mut quoted = String::new();
    write_text(&mut quoted, key);
    quoted
}

fn write_value(out: &mut String, node: &Node<'_>) {
    // Writing to a string does not fail.
    let _ = match &node.value {
        Value::Text(text) => {
            write_text(out, text);
            Ok(())
        }
        Value::Integer(Some(number)) => write!(out, "{number}"),
        Value::Float(number) => write!(out, "{number:?}"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_value(out, item);
            }
            out.push(']');
            Ok(())
        }
        Value::Table(members) => {
            out.push_str("{ ");
            for (i, member) in members.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                let _ = write!(out, "{} = ", toml_key(&member.key));
                write_value(out, &member.node);
            }
            out.push_str(" }");
            Ok(())
        }
        // No key of a valid configuration has such a value.
        Value::Integer(None) | Value::Other(_) => Ok(()),
    };
}

/// A text as a basic string of TOML.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
