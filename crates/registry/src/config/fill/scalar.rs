//! Reading one value of a plain type: truth, words, numbers, sizes, shares and durations.
//!
//! Owns types, ranges and the advice about a value that is nearly right. A value that is wrong is reported.

use std::time::Duration;

use majordomo_core::{
    BudgetSetting, BudgetSettingError, ByteSize, ByteSizeError, Domain, SettingValue, quoted,
};

use super::super::advice;
use super::super::keys::{MemoryDraft, RAM};
use super::super::node::{Node, Value};
use super::super::source::{Report, shorten};
use super::text::text;
use super::{join, mismatch, suggest};

/// Reads a value of a domain.
pub(crate) fn scalar(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    domain: &Domain,
) -> Option<SettingValue> {
    let value = match domain {
        Domain::Bool => SettingValue::Bool(truth(report, name, node)?),
        Domain::Word(words) => SettingValue::Word(words[word(report, name, node, words)?]),
        Domain::Count { min, max } => SettingValue::Count(count(report, name, node, *min, *max)?),
        Domain::Number { min, max } => {
            SettingValue::Number(number(report, name, node, *min, *max)?)
        }
        Domain::Duration { min, max } => {
            SettingValue::Duration(duration(report, name, node, *min, *max)?)
        }
        Domain::Size { .. } => SettingValue::Size(size(report, name, node)?),
        Domain::Budget { .. } => SettingValue::Budget(budget(report, name, node, domain)?),
        other => unreachable!("no reader for {other:?}"),
    };
    Some(value)
}

fn out_of_range(report: &mut Report<'_>, name: &str, node: &Node<'_>, domain: &Domain) {
    let message = format!("{name} must lie within {}", domain.range());
    report.error("out-of-range", &node.span, message, None);
}

pub(super) fn truth(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<bool> {
    match &node.value {
        Value::Bool(v) => Some(*v),
        other => {
            mismatch(report, &name, node, "true or false", advice::truth(other));
            None
        }
    }
}

pub(super) fn number(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    min: f64,
    max: f64,
) -> Option<f64> {
    let number = match &node.value {
        Value::Integer(v) => v.map_or(f64::INFINITY, |v| v as f64),
        Value::Float(v) => *v,
        _ => {
            mismatch(report, &name, node, "a number", None);
            return None;
        }
    };
    let found = (min..=max).contains(&number).then_some(number);
    if found.is_none() {
        out_of_range(report, name, node, &Domain::Number { min, max });
    }
    found
}

pub(super) fn count(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    min: u64,
    max: u64,
) -> Option<u64> {
    let Value::Integer(number) = &node.value else {
        let suggestion = advice::integer(&node.value, min, max);
        mismatch(report, &name, node, "an integer", suggestion);
        return None;
    };
    let found = number.and_then(|n| u64::try_from(n).ok()).filter(|n| (min..=max).contains(n));
    if found.is_none() {
        out_of_range(report, name, node, &Domain::Count { min, max });
    }
    found
}

pub(super) fn word(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    words: &[&str],
) -> Option<usize> {
    let Value::Text(given) = &node.value else {
        let all: Vec<_> = words.iter().map(|w| format!("\"{w}\"")).collect();
        mismatch(report, &name, node, &format!("one of {}", all.join(", ")), None);
        return None;
    };
    let found = words.iter().position(|w| *w == given);
    if found.is_none() {
        let message = format!("{} is not a value of {name}", quoted(&shorten(given)));
        let same = words.iter().find(|w| w.eq_ignore_ascii_case(given)).copied();
        let suggestion = same
            .map(|w| format!("did you mean \"{w}\"?"))
            .or_else(|| suggest(given, words.iter().copied()))
            .unwrap_or_else(|| format!("use one of {}", join(words.iter().copied())));
        report.error("bad-value", &node.span, message, Some(suggestion));
    }
    found
}

pub(super) fn size(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<ByteSize> {
    const EXPECTED: &str = "a size such as \"300MiB\"";
    let given = match &node.value {
        Value::Integer(Some(n)) => {
            let suggestion = advice::with_unit(&n.to_string());
            if *n < 0 {
                let message = format!("{name} is negative");
                report.error("out-of-range", &node.span, message, suggestion);
            } else {
                mismatch(report, &name, node, EXPECTED, suggestion);
            }
            return None;
        }
        Value::Float(_) => {
            let raw = report.source.text.get(node.span.clone());
            mismatch(report, &name, node, EXPECTED, raw.and_then(advice::with_unit));
            return None;
        }
        _ => text(report, &name, node, EXPECTED)?,
    };
    match given.parse::<ByteSize>() {
        Ok(size) if ByteSize::SETTING.contains(&size) => Some(size),
        Ok(size) => {
            let is_number = given.trim().bytes().all(|b| b.is_ascii_digit());
            let suggestion = is_number.then(|| advice::with_unit(given)).flatten();
            let (min, max) = ByteSize::SETTING.into_inner();
            let message = format!("{name} is {size}; it must lie within {min} and {max}");
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

/// A size, or a table of sizes.
pub(super) fn memory(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Option<MemoryDraft> {
    let Value::Table(members) = &node.value else {
        return size(report, name, node)
            .map(|ram| MemoryDraft { ram: Some(ram), ..MemoryDraft::default() });
    };
    if members.is_empty() {
        let message = format!("{name} states no size");
        let help = Some(format!("write {name} = {{ {RAM} = \"300MiB\", gpu = \"1.5GiB\" }}"));
        report.error("bad-value", &node.span, message, help);
    }
    let mut draft = MemoryDraft::default();
    for member in members {
        let path = format!("{name}.{}", shorten(&member.key));
        let Some(bytes) = size(report, &path, &member.node) else { continue };
        match &*member.key {
            RAM => draft.ram = Some(bytes),
            pool => draft.pools.push((pool.to_owned(), bytes)),
        }
    }
    Some(draft)
}

/// A size, or a share of a budget's domain.
fn budget(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    domain: &Domain,
) -> Option<BudgetSetting> {
    let share = match &node.value {
        Value::Text(text) if text.trim().ends_with('%') => text.parse::<BudgetSetting>(),
        _ => return size(report, name, node).map(BudgetSetting::Bytes),
    };
    match share {
        Ok(share) if domain.contains(&SettingValue::Budget(share)) => Some(share),
        Ok(_) => {
            out_of_range(report, name, node, domain);
            None
        }
        Err(BudgetSettingError::Share(percent)) => {
            let message = format!("{name}: {} is not a share", quoted(&shorten(&percent)));
            let suggestion = Some("write a share such as \"60%\"".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
        Err(error) => {
            report.error("bad-value", &node.span, format!("{name}: {error}"), None);
            None
        }
    }
}

pub(super) fn duration(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
    min: Duration,
    max: Duration,
) -> Option<Duration> {
    const EXPECTED: &str = "a duration such as \"80ms\", \"5s\" or \"2min\"";
    let given = match &node.value {
        Value::Integer(Some(n)) if *n >= 0 => {
            let suggestion = Some(format!("write the unit: \"{n}s\" or \"{n}ms\""));
            mismatch(report, &name, node, EXPECTED, suggestion);
            return None;
        }
        Value::Float(seconds) => {
            let suggestion = advice::duration_of(*seconds, min..=max);
            mismatch(report, &name, node, EXPECTED, suggestion);
            return None;
        }
        _ => text(report, &name, node, EXPECTED)?,
    };
    let trimmed = given.trim();
    if trimmed.starts_with('-') {
        report.error("out-of-range", &node.span, format!("{name} is negative"), None);
        return None;
    }
    match humantime::parse_duration(trimmed) {
        Ok(v) if (min..=max).contains(&v) => Some(v),
        Ok(_) => {
            out_of_range(report, name, node, &Domain::Duration { min, max });
            None
        }
        Err(error) => {
            let message = format!("{name}: {} is not a duration: {error}", quoted(&shorten(given)));
            let suggestion =
                Some("write whole numbers with units, such as \"80ms\" or \"1min 30s\"".to_owned());
            report.error("bad-value", &node.span, message, suggestion);
            None
        }
    }
}
