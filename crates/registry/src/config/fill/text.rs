//! Reading texts: lists of them, names of components, and the ways in which readiness is checked.

use std::fmt;

use majordomo_core::{ComponentId, quoted};

use super::super::advice;
use super::super::keys::requests::{READY, READY_WORDS, ReadyDraft};
use super::super::node::{Node, Value};
use super::super::source::{Report, shorten};
use super::scalar::word;
use super::{fill, mismatch};
use crate::ReadySpec;

pub(super) fn text<'n>(
    report: &mut Report<'_>,
    name: &dyn fmt::Display,
    node: &'n Node<'_>,
    expected: &str,
) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => {
            let quoted = report.source.text.get(node.span.clone());
            let quoted = quoted.map(|raw| format!("put it in quotation marks: \"{raw}\""));
            mismatch(report, name, node, expected, quoted);
            None
        }
        _ => {
            mismatch(report, name, node, expected, None);
            None
        }
    }
}

/// A text in the place of a table of ways, as the path that it probably is.
pub(super) fn as_http(report: &Report<'_>, name: &str, node: &Node<'_>) -> Option<String> {
    let Value::Text(_) = &node.value else { return None };
    let raw = report.source.text.get(node.span.clone())?;
    Some(format!("write {name} = {{ http = {raw} }}"))
}

pub(super) fn texts(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    expected: &str,
    mut check: impl FnMut(&mut Report<'_>, &Node<'_>, &str),
) -> Vec<String> {
    let Value::List(items) = &node.value else {
        let suggestion = match &node.value {
            Value::Text(line) if name == "command" => Some(advice::command_line(line)),
            Value::Text(text) => Some(advice::in_brackets(text)),
            _ => None,
        };
        mismatch(report, &name, node, expected, suggestion);
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

pub(super) fn names(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<ComponentId> {
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
            let message = format!("{} is not a valid name: {error}", quoted(&shorten(name)));
            report.error("bad-name", span, message, suggestion);
            None
        }
    }
}

pub(super) fn ready(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<ReadySpec> {
    let way = match &node.value {
        Value::Text(text) => {
            [("http", "/health"), ("stdout", "listening")].into_iter().find(|(way, _)| way == text)
        }
        _ => None,
    };
    if let Some((way, example)) = way {
        let message = format!("\"{way}\" alone is not a value of {name}");
        let suggestion = Some(format!("write {name} = {{ {way} = \"{example}\" }}"));
        report.error("bad-value", &node.span, message, suggestion);
        return None;
    }
    if let Value::Text(text) = &node.value
        && text.starts_with('/')
    {
        let message = format!("{} is not a value of {name}", quoted(&shorten(text)));
        let suggestion = as_http(report, name, node);
        report.error("bad-value", &node.span, message, suggestion);
        return None;
    }
    if !matches!(node.value, Value::Table(_)) {
        return match word(report, name, node, READY_WORDS)? {
            0 => Some(ReadySpec::Started),
            1 => Some(ReadySpec::Connect),
            _ => Some(ReadySpec::Line),
        };
    }
    let mut draft = ReadyDraft::default();
    let before = report.n_added();
    fill(report, &name, node, READY, &mut draft);
    match (draft.stdout, draft.http) {
        (Some(text), None) => Some(ReadySpec::Stdout(text)),
        (None, Some(path)) => Some(ReadySpec::Http(path)),
        // Something in it was reported already.
        _ if report.n_added() > before => None,
        _ => {
            let message = format!("{name} needs either stdout or http");
            let suggestion = Some("such as { stdout = \"listening\" }".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
    }
}
