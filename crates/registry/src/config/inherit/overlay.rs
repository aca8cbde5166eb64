//! One table of keys over another: what replaces, what is merged, and what is removed.

use super::super::keys::component::{COMPONENT, ComponentDraft};
use super::super::keys::{Kind, RAM};
use super::super::node::{Member, Node, Value};
use super::super::source::Report;
use super::nothing_to_remove;

pub(super) const REMOVE_LINE: &str = "remove the line";
pub(super) const QUOTE: &str = "remove the line, or put false in quotation marks";

/// How a table over an inherited one is read.
struct Merging {
    /// Keys of which one excludes the others: stating one drops the inherited others.
    alternatives: &'static [&'static str],
    /// Keys whose value may be `false`, which removes nothing there.
    truths: &'static [&'static str],
}

/// The tables that are merged key by key. All others are replaced.
fn merging(key: &str) -> Option<Merging> {
    match kind(key)? {
        Kind::TextMap(_) | Kind::Memory(..) => Some(Merging { alternatives: &[], truths: &[] }),
        Kind::Probe(_) => {
            Some(Merging { alternatives: &["http", "connect"], truths: &["connect"] })
        }
        _ => None,
    }
}

fn kind(key: &str) -> Option<&'static Kind<ComponentDraft>> {
    COMPONENT.iter().find(|row| row.name == key).map(|row| &row.kind)
}

/// Whether a member removes an inherited value: `false` where a key is not one of true and false.
pub(super) fn is_removal(member: &Member<'_>) -> bool {
    super::is_false(member) && kind(&member.key).is_some_and(|kind| !matches!(kind, Kind::Bool(_)))
}

/// Whether a member of a table that is merged removes an inherited value.
fn is_inner_removal(member: &Member<'_>, truths: &[&str]) -> bool {
    super::is_false(member) && !truths.contains(&&*member.key)
}

/// The members of a table that is merged which remove inherited values.
pub(super) fn inner_removals<'a, 'n>(
    table: &'a Member<'n>,
) -> impl Iterator<Item = &'a Member<'n>> {
    let merging = merging(&table.key).into_iter();
    merging.flat_map(|merging| {
        let inner = table.node.members().iter();
        inner.filter(move |member| is_inner_removal(member, merging.truths))
    })
}

/// A table without the members that remove inherited values.
pub(super) fn without_removals<'n>(table: &Node<'n>) -> Node<'n> {
    let Value::Table(members) = &table.value else { return table.clone() };
    let kept = members.iter().filter(|member| !is_removal(member)).map(|member| {
        let mut kept = member.clone();
        if let (Some(merging), Value::Table(inner)) = (merging(&member.key), &mut kept.node.value) {
            inner.retain(|m| !is_inner_removal(m, merging.truths));
        }
        kept
    });
    Node { span: table.span.clone(), value: Value::Table(kept.collect()) }
}

/// Puts the keys of a table over those that a component has so far.
pub(super) fn overlay<'n>(
    report: &mut Report<'_>,
    members: &mut Vec<Member<'n>>,
    table: &Node<'n>,
    is_own: bool,
) {
    for over in table.members() {
        // A template's own template was followed.
        if over.key == "template" && !is_own {
            continue;
        }
        let below = members.iter().position(|member| member.key == over.key);
        if is_removal(over) {
            match below {
                Some(idx) => drop(members.remove(idx)),
                None => nothing_to_remove(report, over, REMOVE_LINE),
            }
            continue;
        }
        let merged = match merging(&over.key) {
            Some(merging) if matches!(over.node.value, Value::Table(_)) => {
                let inherited = below.map_or_else(Vec::new, |idx| as_table(&members[idx]));
                merge(report, &merging, &inherited, over)
            }
            _ => over.clone(),
        };
        match below {
            Some(idx) => members[idx] = merged,
            None => members.push(merged),
        }
    }
}

/// The members of an inherited table; a plain size of `memory` is its `ram`.
fn as_table<'n>(member: &Member<'n>) -> Vec<Member<'n>> {
    if !matches!(kind(&member.key), Some(Kind::Memory(..)))
        || matches!(member.node.value, Value::Table(_))
    {
        return member.node.members().to_vec();
    }
    let (key_span, node) = (member.key_span.clone(), member.node.clone());
    vec![Member { key: RAM.into(), key_span, node }]
}

fn merge<'n>(
    report: &mut Report<'_>,
    Merging { alternatives, truths }: &Merging,
    inherited: &[Member<'n>],
    over: &Member<'n>,
) -> Member<'n> {
    let is_alternative = |member: &&Member<'_>| alternatives.contains(&&*member.key);
    let drops = over.node.members().iter().any(|member| is_alternative(&member));
    let mut all: Vec<Member<'n>> =
        inherited.iter().filter(|member| !(drops && is_alternative(member))).cloned().collect();
    for member in over.node.members() {
        let below = all.iter().position(|known| known.key == member.key);
        match below {
            _ if !is_inner_removal(member, truths) => match below {
                Some(idx) => all[idx] = member.clone(),
                None => all.push(member.clone()),
            },
            Some(idx) => drop(all.remove(idx)),
            None => nothing_to_remove(report, member, QUOTE),
        }
    }
    let node = Node { span: over.node.span.clone(), value: Value::Table(all) };
    Member { key: over.key.clone(), key_span: over.key_span.clone(), node }
}
