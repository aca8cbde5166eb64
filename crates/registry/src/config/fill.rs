//! Filling a target from a table by its rows of keys.
//!
//! Owns unknown and repeated keys, types, ranges and the reading of sizes, durations and shares. Does not
//! know what the keys mean together. A value that is wrong is reported and leaves the target as it was.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use majordomo_core::{BudgetSetting, ByteSize, ByteSizeError, ComponentId, quoted};

use super::advice;
use super::keys::component::{PROBE, READY, READY_WORDS, ReadyDraft, TRIM};
use super::keys::{Key, Kind, LARGEST, SMALLEST};
use super::node::{Node, Value};
use super::phrases;
use super::source::{Report, shorten};
use crate::ReadySpec;
use crate::nearest::NameIndex;

/// "Did you mean" over a fixed list of words.
pub(crate) fn suggest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    NameIndex::new(names, usize::MAX).nearest(word).map(|n| format!("did you mean \"{n}\"?"))
}

/// Reads a table's members into the target. `place` names the table in messages.
pub(crate) fn fill<T>(
    report: &mut Report<'_>,
    place: &dyn fmt::Display,
    table: &Node<'_>,
    keys: &[Key<T>],
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
            let message = format!("key {} stands twice in {place}", quoted(&member.key));
            report.error("duplicate", &member.key_span, message, Some("keep one of them".into()));
            continue;
        }
        let Some(key) = keys.iter().find(|k| k.name == member.key) else {
            let message = format!("unknown key {} in {place}", quoted(&shorten(&member.key)));
            let nearest = suggest(&member.key, keys.iter().map(|k| k.name));
            let known = || format!("known keys are {}", join(keys.iter().map(|k| k.name)));
            report.error(
                "unknown-key",
                &member.key_span,
                message,
                Some(nearest.unwrap_or_else(known)),
            );
            continue;
        };
        set(report, key, &member.node, target);
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
    wanted: &str,
    suggestion: Option<String>,
) {
    let message = format!("{name} must be {wanted}, not {}", node.type_name());
    report.error("wrong-type", &node.span, message, suggestion);
}

fn out_of_range(report: &mut Report<'_>, name: &str, node: &Node<'_>, range: &str) {
    report.error("out-of-range", &node.span, format!("{name} must lie within {range}"), None);
}

fn set<T>(report: &mut Report<'_>, key: &Key<T>, node: &Node<'_>, target: &mut T) {
    let name = key.name;
    match &key.kind {
        Kind::Bool(set) => match &node.value {
            Value::Bool(v) => set(target, *v),
            other => mismatch(report, &name, node, "true or false", advice::truth(other)),
        },
        Kind::Word(words, set) => {
            if let Some(i) = word(report, name, node, words) {
                set(target, i);
            }
        }
        Kind::Text(set) => {
            if let Some(v) = text(report, &name, node, "text") {
                set(target, v.to_owned());
            }
        }
        Kind::Size(set) => {
            if let Some(v) = size(report, name, node) {
                set(target, v);
            }
        }
        Kind::Budget(set) => {
            if let Some(v) = budget(report, name, node) {
                set(target, v);
            }
        }
        Kind::Duration(min, max, set) => {
            if let Some(v) = duration(report, name, node, *min, *max) {
                set(target, v);
            }
        }
        Kind::Count(min, max, set) => {
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
            let number = match &node.value {
                Value::Integer(v) => v.map_or(f64::INFINITY, |v| v as f64),
                Value::Float(v) => *v,
                _ => return mismatch(report, &name, node, "a number", None),
            };
            if (*min..=*max).contains(&number) {
                set(target, number);
            } else {
                out_of_range(report, name, node, &format!("{min} and {max}"));
            }
        }
        Kind::Names(set) => set(target, names(report, name, node)),
        Kind::Phrases(set) => {
            let wanted = "a list of words and phrases";
            let mut phrases = texts(report, name, node, wanted, |report, item, phrase| {
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
            if let Some(suggestion) = as_http(report, name, node) {
                return mismatch(report, &name, node, "a table of keys", Some(suggestion));
            }
            let before = report.problems.len();
            let mut trim = Default::default();
            fill(report, &name, node, TRIM, &mut trim);
            // What is wrong in it was reported; it must not be reported as missing besides.
            if report.problems.len() == before {
                set(target, trim);
            }
        }
    }
}

fn count(report: &mut Report<'_>, name: &str, node: &Node<'_>, min: u64, max: u64) -> Option<u64> {
    let Value::Integer(number) = &node.value else {
        let suggestion = advice::integer(&node.value, min, max);
        mismatch(report, &name, node, "an integer", suggestion);
        return None;
    };
    let found = number.and_then(|n| u64::try_from(n).ok()).filter(|n| (min..=max).contains(n));
    if found.is_none() {
        out_of_range(report, name, node, &format!("{min} and {max}"));
    }
    found
}

fn text<'n>(
    report: &mut Report<'_>,
    name: &dyn fmt::Display,
    node: &'n Node<'_>,
    wanted: &str,
) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => {
            let quoted = report.source.text.get(node.span.clone());
            let quoted = quoted.map(|raw| format!("put it in quotation marks: \"{raw}\""));
            mismatch(report, name, node, wanted, quoted);
            None
        }
        _ => {
            mismatch(report, name, node, wanted, None);
            None
        }
    }
}

/// A text in the place of a table of ways, as the path that it probably is.
fn as_http(report: &Report<'_>, name: &str, node: &Node<'_>) -> Option<String> {
    let Value::Text(_) = &node.value else { return None };
    let raw = report.source.text.get(node.span.clone())?;
    Some(format!("write {name} = {{ http = {raw} }}"))
}

fn word(report: &mut Report<'_>, name: &str, node: &Node<'_>, words: &[&str]) -> Option<usize> {
    let Value::Text(given) = &node.value else {
        let all: Vec<_> = words.iter().map(|w| format!("\"{w}\"")).collect();
        mismatch(report, &name, node, &format!("one of {}", all.join(", ")), None);
        return None;
    };
    let found = words.iter().position(|w| *w == given);
    if found.is_none() {
        let message = format!("{} is no value of {name}", quoted(&shorten(given)));
        let same = words.iter().find(|w| w.eq_ignore_ascii_case(given)).copied();
        let suggestion = same
            .map(|w| format!("did you mean \"{w}\"?"))
            .or_else(|| suggest(given, words.iter().copied()))
            .unwrap_or_else(|| format!("use one of {}", join(words.iter().copied())));
        report.error("bad-value", &node.span, message, Some(suggestion));
    }
    found
}

fn texts(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    wanted: &str,
    mut check: impl FnMut(&mut Report<'_>, &Node<'_>, &str),
) -> Vec<String> {
    let Value::List(items) = &node.value else {
        let suggestion = match &node.value {
            Value::Text(line) if name == "command" => Some(advice::command_line(line)),
            Value::Text(text) => Some(advice::in_brackets(text)),
            _ => None,
        };
        mismatch(report, &name, node, wanted, suggestion);
        return Vec::new();
    };
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        if let Some(one) = text(report, &format_args!("each item of {name}"), item, "text") {
            check(report, item, one);
            all.push(one.to_owned());
        }
    }
    all
}

fn names(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<ComponentId> {
    let mut ids = Vec::new();
    texts(report, name, node, "a list of component names", |report, item, one| {
        ids.extend(component_id(report, one, &item.span));
    });
    ids
}

/// Checks a component's name, and proposes one that would do.
pub(crate) fn component_id(
    report: &mut Report<'_>,
    name: &str,
    span: &std::ops::Range<usize>,
) -> Option<ComponentId> {
    match ComponentId::new(name) {
        Ok(id) => Some(id),
        Err(error) => {
            let fixed: String = name
                .trim()
                .chars()
                .map(|c| c.to_ascii_lowercase())
                .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
                .collect();
            let fixed = ComponentId::new(fixed.trim_start_matches(['_', '-'])).ok();
            let suggestion = fixed.map(|id| format!("call it \"{id}\""));
            let message = format!("{} is no name: {error}", quoted(&shorten(name)));
            report.error("bad-name", span, message, suggestion);
            None
        }
    }
}

fn size(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<ByteSize> {
    const WANTED: &str = "a size such as \"300MiB\"";
    let given = match &node.value {
        Value::Integer(Some(n)) => {
            let suggestion = advice::with_unit(&n.to_string());
            if *n < 0 {
                let message = format!("{name} is negative");
                report.error("out-of-range", &node.span, message, suggestion);
            } else {
                mismatch(report, &name, node, WANTED, suggestion);
            }
            return None;
        }
        Value::Float(_) => {
            let raw = report.source.text.get(node.span.clone());
            mismatch(report, &name, node, WANTED, raw.and_then(advice::with_unit));
            return None;
        }
        _ => text(report, &name, node, WANTED)?,
    };
    match given.parse::<ByteSize>() {
        Ok(size) if (SMALLEST..=LARGEST).contains(&size) => Some(size),
        Ok(size) => {
            let is_number = given.trim().bytes().all(|b| b.is_ascii_digit());
            let suggestion = is_number.then(|| advice::with_unit(given)).flatten();
            let message = format!("{name} is {size}; it must lie within {SMALLEST} and {LARGEST}");
            report.error("out-of-range", &node.span, message, suggestion);
            None
        }
        Err(error) => {
            let code = match error {
                ByteSizeError::Negative(_) | ByteSizeError::TooLarge(_) => "out-of-range",
                _ => "bad-value",
            };
            report.error(code, &node.span, format!("{name}: {error}"), None);
            None
        }
    }
}

fn budget(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<BudgetSetting> {
    let percent = match &node.value {
        Value::Text(text) => text.trim().strip_suffix('%'),
        _ => None,
    };
    let Some(percent) = percent else {
        return size(report, name, node).map(BudgetSetting::Bytes);
    };
    match percent.trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 100.0 => Some(BudgetSetting::Share(share / 100.0)),
        Ok(_) => {
            out_of_range(report, name, node, "1% and 100%");
            None
        }
        Err(_) => {
            let message = format!("{name}: {} is no share", quoted(&shorten(percent)));
            let suggestion = Some("write a share such as \"60%\"".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
    }
}

fn duration(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    min: Duration,
    max: Duration,
) -> Option<Duration> {
    const WANTED: &str = "a duration such as \"80ms\", \"5s\" or \"2min\"";
    let given = match &node.value {
        Value::Integer(Some(n)) if *n >= 0 => {
            let suggestion = Some(format!("write the unit: \"{n}s\" or \"{n}ms\""));
            mismatch(report, &name, node, WANTED, suggestion);
            return None;
        }
        Value::Float(seconds) => {
            let suggestion = advice::duration_of(*seconds, min..=max);
            mismatch(report, &name, node, WANTED, suggestion);
            return None;
        }
        _ => text(report, &name, node, WANTED)?,
    };
    let trimmed = given.trim();
    if trimmed.starts_with('-') {
        report.error("out-of-range", &node.span, format!("{name} is negative"), None);
        return None;
    }
    match humantime::parse_duration(trimmed) {
        Ok(v) if (min..=max).contains(&v) => Some(v),
        Ok(_) => {
            let show = humantime::format_duration;
            out_of_range(report, name, node, &format!("{} and {}", show(min), show(max)));
            None
        }
        Err(error) => {
            let message = format!("{name}: {} is no duration: {error}", quoted(&shorten(given)));
            let suggestion =
                Some("write whole numbers with units, such as \"80ms\" or \"1min 30s\"".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
    }
}

fn ready(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<ReadySpec> {
    let way = match &node.value {
        Value::Text(text) => {
            [("http", "/health"), ("stdout", "listening")].into_iter().find(|(way, _)| way == text)
        }
        _ => None,
    };
    if let Some((way, example)) = way {
        let message = format!("\"{way}\" alone is no value of {name}");
        let suggestion = Some(format!("write {name} = {{ {way} = \"{example}\" }}"));
        report.error("bad-value", &node.span, message, suggestion);
        return None;
    }
    if let Value::Text(text) = &node.value
        && text.starts_with('/')
    {
        let message = format!("{} is no value of {name}", quoted(&shorten(text)));
        let suggestion = as_http(report, name, node);
        report.error("bad-value", &node.span, message, suggestion);
        return None;
    }
    if !matches!(node.value, Value::Table(_)) {
        return match word(report, name, node, READY_WORDS)? {
            0 => Some(ReadySpec::Started),
            _ => Some(ReadySpec::Connect),
        };
    }
    let mut draft = ReadyDraft::default();
    let before = report.problems.len();
    fill(report, &name, node, READY, &mut draft);
    match (draft.stdout, draft.http) {
        (Some(text), None) if text.contains(['\n', '\r']) => {
            let span = node.get("stdout").map_or(&node.span, |m| &m.node.span);
            let message = format!("the text of {name} contains a line end, so no line contains it");
            let suggestion = Some("state a part of one line".to_owned());
            report.error("bad-value", span, message, suggestion);
            None
        }
        (Some(text), None) => Some(ReadySpec::Stdout(text)),
        (None, Some(path)) => Some(ReadySpec::Http(path)),
        // Something in it was reported already.
        _ if report.problems.len() > before => None,
        _ => {
            let message = format!("{name} must say either stdout or http");
            let suggestion = Some("such as { stdout = \"listening\" }".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
    }
}
