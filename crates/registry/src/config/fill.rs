//! Filling a target from a table by its rows of keys.
//!
//! Owns unknown and repeated keys, and which reader a key's kind has. Does not know what the keys mean together. A value
//! that is wrong is reported and leaves the target as it was.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use majordomo_core::{Config, Setting, quoted};

use super::keys::requests::{EXTERNAL, PROBE, STEP, STOP, TRIM, WARM_UP};
use super::keys::{Key, Kind, Target};
use super::node::{Node, Value};
use super::phrases;
use super::source::{Report, shorten};
use crate::nearest::NameIndex;

mod gateway;
mod scalar;
mod text;

pub(crate) use self::scalar::scalar;
pub(crate) use self::text::component_id;

use self::scalar::{count, duration, memory, number, size, truth, word};
use self::text::{as_http, names, ready, text, texts};

/// A key that a table may have, and its effect on a target.
pub(crate) trait Row<T> {
    fn key(&self) -> &'static str;

    fn read(&self, report: &mut Report<'_>, node: &Node<'_>, target: &mut T);
}

/// A setting of the manager, under its declaration.
impl Row<Config> for &'static Setting {
    fn key(&self) -> &'static str {
        self.key
    }

    fn read(&self, report: &mut Report<'_>, node: &Node<'_>, config: &mut Config) {
        if let Some(value) = scalar(report, self.key, node, &self.domain) {
            config.set(self, &value);
        }
    }
}

/// "Did you mean" over a fixed list of words.
pub(crate) fn suggest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    NameIndex::new(names, usize::MAX).nearest(word).map(|n| format!("did you mean \"{n}\"?"))
}

/// Reads a table's members into the target. `place` names the table in messages.
pub(crate) fn fill<T, R: Row<T>>(
    report: &mut Report<'_>,
    place: &dyn fmt::Display,
    table: &Node<'_>,
    rows: &[R],
    target: &mut T,
) {
    let Value::Table(members) = &table.value else {
        mismatch(report, place, table, "a table of keys", None);
        return;
    };
    // Only JSON repeats keys; a hostile table of many keys must not cost their square.
    let mut seen = HashSet::new();
    let few = members.len() <= 32;
    for (i, member) in members.iter().enumerate() {
        let repeated = match few {
            true => members[..i].iter().any(|m| m.key == member.key),
            false => !seen.insert(&*member.key),
        };
        if repeated {
            let message = format!("key {} is given twice in {place}", quoted(&member.key));
            report.error("duplicate", &member.key_span, message, Some("keep one of them".into()));
            continue;
        }
        let Some(row) = rows.iter().find(|row| row.key() == member.key) else {
            let message = format!("unknown key {} in {place}", quoted(&shorten(&member.key)));
            let nearest = suggest(&member.key, rows.iter().map(Row::key));
            let known = || format!("known keys are {}", join(rows.iter().map(Row::key)));
            report.error(
                "unknown-key",
                &member.key_span,
                message,
                Some(nearest.unwrap_or_else(known)),
            );
            continue;
        };
        row.read(report, &member.node, target);
    }
}

fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Reports a value of the wrong type.
pub(crate) fn mismatch(
    report: &mut Report<'_>,
    name: &dyn fmt::Display,
    node: &Node<'_>,
    expected: &str,
    suggestion: Option<String>,
) {
    let message = format!("{name} must be {expected}, not {}", node.type_name());
    report.error("wrong-type", &node.span, message, suggestion);
}

impl<T: Target> Row<T> for Key<T> {
    fn key(&self) -> &'static str {
        self.name
    }

    fn read(&self, report: &mut Report<'_>, node: &Node<'_>, target: &mut T) {
        let name = self.name;
        match &self.kind {
            Kind::Bool(set) => {
                if let Some(v) = truth(report, name, node) {
                    set(target, v);
                }
            }
            Kind::Word(words, set) => {
                if let Some(i) = word(report, name, node, words) {
                    set(target, i);
                }
            }
            Kind::Words(words, set) => {
                let Value::List(items) = &node.value else {
                    let one = matches!(node.value, Value::Text(_));
                    let raw = report.source.text.get(node.span.clone()).filter(|_| one);
                    let suggestion = raw.map(|raw| format!("put it in brackets: [{raw}]"));
                    return mismatch(report, &name, node, "a list of words", suggestion);
                };
                set(target, items.iter().filter_map(|i| word(report, name, i, words)).collect());
            }
            Kind::Text(set) => {
                if let Some(v) = text(report, &name, node, "text") {
                    set(target, v.to_owned());
                }
            }
            Kind::Name(set) => match text(report, &name, node, "text") {
                Some(v) if v.trim().is_empty() => {
                    let help = Some("name it, or leave the key out".to_owned());
                    report.error("bad-value", &node.span, format!("{name} is empty"), help);
                }
                Some(v) => set(target, v.to_owned()),
                None => {}
            },
            Kind::Size(_, set) => {
                if let Some(v) = size(report, name, node) {
                    set(target, v);
                }
            }
            Kind::Memory(_, set) => {
                if let Some(v) = memory(report, name, node) {
                    set(target, v);
                }
            }
            Kind::Duration(min, max, _, set) => {
                if let Some(v) = duration(report, name, node, *min, *max) {
                    set(target, v);
                }
            }
            Kind::Count(min, max, _, set) => {
                if let Some(v) = count(report, name, node, *min, *max) {
                    set(target, v);
                }
            }
            Kind::Counts(min, max, set) => {
                let Value::List(items) = &node.value else {
                    let raw = report.source.text.get(node.span.clone());
                    let one = raw.filter(|_| matches!(node.value, Value::Integer(_)));
                    let suggestion = one.map(|raw| format!("put it in brackets: [{raw}]"));
                    return mismatch(report, &name, node, "a list of integers", suggestion);
                };
                let counts = items.iter().filter_map(|i| count(report, name, i, *min, *max));
                set(target, counts.collect());
            }
            Kind::Number(min, max, set) => {
                if let Some(v) = number(report, name, node, *min, *max) {
                    set(target, v);
                }
            }
            Kind::Names(set) => set(target, names(report, name, node)),
            Kind::Phrases(set) => {
                let expected = "a list of words and phrases";
                let mut phrases = texts(report, name, node, expected, |report, item, phrase| {
                    phrases::report_no_word(report, name, item, phrase);
                });
                phrases.retain(|phrase| phrases::has_word(phrase));
                set(target, phrases);
            }
            Kind::Texts(set) => {
                set(target, texts(report, name, node, "a list of texts", |_, _, _| ()));
            }
            Kind::TextMap(set) => {
                let Value::Table(members) = &node.value else {
                    let suggestion = Some(format!("write {name} = {{ NAME = \"value\" }}"));
                    return mismatch(report, &name, node, "a table of texts", suggestion);
                };
                let mut map = BTreeMap::new();
                for member in members {
                    if let Some(v) = text(report, &member.key, &member.node, "text") {
                        map.insert(member.key.to_string(), v.to_owned());
                    }
                }
                set(target, map);
            }
            Kind::Params(set) => set(target, gateway::params(report, name, node)),
            Kind::Listen(set) => set(target, gateway::listen(report, name, node)),
            Kind::Addresses(set) => set(target, gateway::ip_addresses(report, name, node)),
            Kind::Tokens(set) => set(target, gateway::tokens(report, name, node)),
            Kind::Selectors(set) => set(target, gateway::selectors(report, name, node)),
            Kind::Ready(set) => {
                if let Some(v) = ready(report, name, node) {
                    set(target, v);
                }
            }
            Kind::Probe(set) => {
                if let Some(suggestion) = as_http(report, name, node) {
                    return mismatch(report, &name, node, "a table of keys", Some(suggestion));
                }
                let mut probe = Default::default();
                fill(report, &name, node, PROBE, &mut probe);
                set(target, probe);
            }
            Kind::Trim(set) => {
                if let Some(trim) = way(report, name, node, TRIM) {
                    set(target, trim);
                }
            }
            Kind::Step(set) => {
                if let Some(step) = way(report, name, node, STEP) {
                    set(target, step);
                }
            }
            Kind::WarmUp(set) => {
                if let Some(warm_up) = way(report, name, node, WARM_UP) {
                    set(target, warm_up);
                }
            }
            Kind::Stop(set) => {
                if let Some(stop) = way(report, name, node, STOP) {
                    set(target, stop);
                }
            }
            Kind::External(set) => {
                let mut external = Default::default();
                fill(report, &name, node, EXTERNAL, &mut external);
                set(target, external);
            }
        }
    }
}

/// A table that states one of several ways; none when something in it was reported, which must not be reported as missing too.
fn way<D: Target + Default>(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    keys: &'static [Key<D>],
) -> Option<D> {
    if let Some(suggestion) = as_http(report, name, node) {
        mismatch(report, &name, node, "a table of keys", Some(suggestion));
        return None;
    }
    let before = report.n_added();
    let mut draft = D::default();
    fill(report, &name, node, keys, &mut draft);
    (report.n_added() == before).then_some(draft)
}
