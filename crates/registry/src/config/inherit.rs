//! Keys that a component inherits from `[defaults]` and from templates, and its name in their texts.
//!
//! Owns precedence (component, then its template and the templates that this one uses, then `[defaults]`), the tables that
//! are merged, the removal of an inherited value, and `{name}`. The result is one table for each component, whose values
//! keep their places, so that everything after it reads a component as if all of it stood in one place.

mod overlay;
mod resolved;

use std::ops::{Deref, Range};

use majordomo_core::quoted;

use self::overlay::{QUOTE, REMOVE_LINE, inner_removals, is_removal, overlay, without_removals};
use super::fill::{component_id, fill, suggest};
use super::keys::component::{COMPONENT, ComponentDraft, LOADER_KEYS, LOADERS, is_shared};
use super::node::{Member, Node, Value};
use super::source::{Report, shorten};
use crate::problem::Severity;

pub(crate) use self::resolved::resolved;
pub use self::resolved::{ResolvedComponent, ResolvedKey};

/// Keys that one component states for itself, with the reason why they are no defaults.
pub(crate) const NO_DEFAULTS: [(&str, &str); 4] = [
    ("template", "the keys of [defaults] apply to every component without it"),
    ("aliases", "two components cannot have one name"),
    ("listen", "two components cannot listen at one address"),
    ("port", "two components cannot have one port; use {port} in command for a free one"),
];

/// The keys of a component.
#[derive(Debug)]
pub(crate) enum Keys<'n> {
    /// As they stand in its table.
    Own(&'n Member<'n>),
    /// With those that it inherits.
    Merged(Box<Member<'n>>),
}

impl<'n> Keys<'n> {
    pub(crate) fn member(&self) -> &Member<'n> {
        match self {
            Self::Own(member) => member,
            Self::Merged(member) => member,
        }
    }
}

impl<'n> Deref for Keys<'n> {
    type Target = Node<'n>;

    fn deref(&self) -> &Node<'n> {
        &self.member().node
    }
}

#[derive(Debug)]
struct Template<'n> {
    member: &'n Member<'n>,
    /// The template that this one uses, by position.
    base: Option<usize>,
    is_used: bool,
}

/// `[defaults]` and `[templates]`.
#[derive(Debug, Default)]
pub(crate) struct Layers<'n> {
    defaults: Option<&'n Node<'n>>,
    templates: Vec<Template<'n>>,
    /// Whether the file has `{name}` anywhere.
    has_names: bool,
}

impl<'n> Layers<'n> {
    /// Reads both tables. Values that are wrong by themselves are reported here, once.
    pub(crate) fn read(report: &mut Report<'_>, root: &'n Node<'n>) -> Self {
        let mut layers = Self { has_names: report.source.text.contains(NAME), ..Self::default() };
        if let Some(section) = root.get("defaults") {
            let refused = |key: &str| NO_DEFAULTS.iter().find(|(name, _)| *name == key);
            for member in section.node.members() {
                if let Some((key, why)) = refused(&member.key) {
                    let message = format!("{key} cannot be a default");
                    let help = Some((*why).to_owned());
                    report.error("not-a-default", &member.key_span, message, help);
                } else if is_removal(member) {
                    nothing_to_remove(report, member, REMOVE_LINE);
                }
                for inner in inner_removals(member) {
                    nothing_to_remove(report, inner, QUOTE);
                }
            }
            check_values(report, "[defaults]", &section.node);
            add_places(&mut report.inheritable, &section.node);
            layers.defaults = Some(&section.node);
        }
        if let Some(section) = root.get("templates") {
            for member in super::sections::table(report, "[templates]", &section.node) {
                component_id(report, &member.key, &member.key_span);
                check_values(report, &format!("[templates.{}]", member.key), &member.node);
                add_places(&mut report.inheritable, &member.node);
                layers.templates.push(Template { member, base: None, is_used: false });
            }
        }
        for idx in 0..layers.templates.len() {
            layers.templates[idx].base = layers.named(report, &layers.templates[idx].member.node);
        }
        layers.break_circles(report);
        layers
    }

    /// The template that a table names, by position.
    fn named(&self, report: &mut Report<'_>, table: &Node<'_>) -> Option<usize> {
        let member = table.get("template")?;
        // Another type, or a blank name, is reported where the keys are read.
        let Value::Text(name) = &member.node.value else { return None };
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        let found = self.templates.iter().position(|template| template.member.key == name);
        if found.is_none() {
            let names = self.templates.iter().map(|template| &*template.member.key);
            let help = suggest(name, names)
                .unwrap_or_else(|| format!("declare it: [templates.{}]", shorten(name)));
            let message = format!("there is no template {}", quoted(&shorten(name)));
            report.error("unknown-template", &member.node.span, message, Some(help));
        }
        found
    }

    /// Reports templates that use each other in a circle, and cuts each circle.
    fn break_circles(&mut self, report: &mut Report<'_>) {
        for first in 0..self.templates.len() {
            let mut circle = vec![first];
            let mut at = self.templates[first].base;
            while let Some(next) = at.filter(|next| !circle.contains(next)) {
                circle.push(next);
                at = self.templates[next].base;
            }
            if at != Some(first) {
                continue;
            }
            circle.push(first);
            let names: Vec<_> = circle.iter().map(|i| &*self.templates[*i].member.key).collect();
            let message = format!("templates use each other in a circle: {}", names.join(" -> "));
            let member = self.templates[first].member;
            let span = member.node.get("template").map_or(&member.key_span, |m| &m.node.span);
            let help = Some("remove one of these template keys".to_owned());
            report.error("template-circle", span, message, help);
            self.templates[first].base = None;
        }
    }

    /// A component with the keys that it inherits.
    pub(crate) fn merge(&mut self, report: &mut Report<'_>, member: &'n Member<'n>) -> Keys<'n> {
        if !matches!(member.node.value, Value::Table(_)) {
            return Keys::Own(member);
        }
        // From the component to the template that is used last.
        let mut tables = vec![&member.node];
        let mut at = self.named(report, &member.node);
        while let Some(idx) = at {
            let template = &mut self.templates[idx];
            template.is_used = true;
            tables.push(&template.member.node);
            at = template.base;
        }
        if tables.len() == 1 && self.defaults.is_none() && !self.has_names && !removes(member) {
            return Keys::Own(member);
        }
        let mut members = match self.defaults {
            Some(defaults) => applicable(defaults, kind_of(&tables)),
            None => Vec::new(),
        };
        for (i, table) in tables.iter().enumerate().rev() {
            overlay(report, &mut members, table, i == 0);
        }
        if self.has_names {
            members.iter_mut().for_each(|inherited| fill_name(&mut inherited.node, &member.key));
        }
        let node = Node { span: member.node.span.clone(), value: Value::Table(members) };
        let (key, key_span) = (member.key.clone(), member.key_span.clone());
        Keys::Merged(Box::new(Member { key, key_span, node }))
    }

    /// Hints at templates that no component uses.
    pub(crate) fn report_unused(&self, report: &mut Report<'_>) {
        for template in self.templates.iter().filter(|template| !template.is_used) {
            let name = shorten(&template.member.key);
            let message = format!("no component uses template {}", quoted(&name));
            let help = Some(format!("write template = \"{name}\" in a component, or remove it"));
            let span = &template.member.key_span;
            report.add(Severity::Warning, "unused-template", span, message, help);
        }
    }
}

/// The kind of loader that a component or its templates decide, the nearest first.
fn kind_of(tables: &[&Node<'_>]) -> Option<&'static str> {
    tables.iter().find_map(|table| {
        let stated = match table.get("loader").map(|member| &member.node.value) {
            Some(Value::Text(word)) => LOADERS.iter().find(|kind| **kind == *word).copied(),
            _ => None,
        };
        let has = |key: &&str| table.get(key).is_some();
        let implied = || LOADER_KEYS.iter().find(|(_, keys)| keys.iter().any(has));
        stated.or_else(|| implied().map(|(kind, _)| *kind))
    })
}

/// The defaults for a component whose kind of loader is known: without the keys of other kinds.
fn applicable<'n>(defaults: &Node<'n>, kind: Option<&str>) -> Vec<Member<'n>> {
    let is_foreign = |key: &str| {
        let is_of = |(other, keys): &(&str, &[&str])| Some(*other) != kind && keys.contains(&key);
        kind.is_some_and(|kind| {
            key == "loader" || (LOADER_KEYS.iter().any(is_of) && !is_shared(key, kind))
        })
    };
    let is_refused = |key: &str| NO_DEFAULTS.iter().any(|(name, _)| *name == key);
    // Nothing lies below the defaults that they could remove.
    let kept = without_removals(defaults);
    let all = kept.members().iter();
    all.filter(|m| !is_foreign(&m.key) && !is_refused(&m.key)).cloned().collect()
}

/// Whether a table removes something, which only an inherited value can be.
fn removes(member: &Member<'_>) -> bool {
    member.node.members().iter().any(|member| {
        is_removal(member) || (member.key == "env" && member.node.members().iter().any(is_false))
    })
}

fn is_false(member: &Member<'_>) -> bool {
    matches!(member.node.value, Value::Bool(false))
}

fn nothing_to_remove(report: &mut Report<'_>, member: &Member<'_>, help: &str) {
    let key = shorten(&member.key);
    let message = format!("{key} = false removes an inherited value, and no {key} is inherited");
    report.error("nothing-inherited", &member.node.span, message, Some(help.to_owned()));
}

/// Reports values that are wrong by themselves, whatever inherits them.
fn check_values(report: &mut Report<'_>, place: &str, table: &Node<'_>) {
    let Ok(id) = majordomo_core::ComponentId::new("name") else { return };
    let mut table = without_removals(table);
    fill_name(&mut table, id.as_str());
    fill(report, &place, &table, COMPONENT, &mut ComponentDraft::new(id));
}

/// The places of all keys and values of a table.
fn add_places(places: &mut Vec<Range<usize>>, table: &Node<'_>) {
    for member in table.members() {
        places.push(member.key_span.clone());
        places.push(member.node.span.clone());
        add_places(places, &member.node);
    }
}

/// The place-holder of a component's name.
const NAME: &str = "{name}";

/// Fills a component's name into all texts of a value.
fn fill_name(node: &mut Node<'_>, name: &str) {
    match &mut node.value {
        Value::Text(text) => {
            if let Some(filled) = with_name(text, name) {
                *text = filled.into();
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill_name(item, name)),
        Value::Table(members) => members.iter_mut().for_each(|m| fill_name(&mut m.node, name)),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Other(_) => {}
    }
}

/// A text with the name in it; none without a place-holder. Doubled braces are no place-holders.
fn with_name(text: &str, name: &str) -> Option<String> {
    if !text.contains(NAME) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(NAME) {
            out.push_str(name);
            rest = after;
        } else {
            let (kept, after) = rest.split_at(if rest.starts_with("{{") { 2 } else { 1 });
            out.push_str(kept);
            rest = after;
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_filled_in_where_it_is_a_place_holder() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(with_name(text, "ocr").as_deref(), want, "{text}");
        };
        check("{name}.py", Some("ocr.py"));
        check("a{name}b{name}", Some("aocrbocr"));
        check("{{name}} {name}", Some("{{name}} ocr"));
        check("{{{name}}}", Some("{{ocr}}"));
        check("{ {name} {port}", Some("{ ocr {port}"));
        check("{port}", None);
        check("", None);
    }
}
