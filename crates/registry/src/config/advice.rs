//! How a value that was written wrongly is written rightly.
//!
//! Owns the help texts that quote the given value. Invariant: a value as advised is accepted where it was refused.

use std::ops::RangeInclusive;
use std::time::Duration;

use majordomo_core::ByteSize;

use super::node::Value;

/// A size whose unit is missing; `None` when no usual unit makes a size of it that is allowed.
pub(crate) fn with_unit(number: &str) -> Option<String> {
    let number = number.trim().trim_start_matches('-');
    let is_allowed = |size: &String| {
        size.parse::<ByteSize>().is_ok_and(|size| ByteSize::SETTING.contains(&size))
    };
    let sized = ["MiB", "B"].map(|unit| format!("{number}{unit}"));
    sized.into_iter().find(is_allowed).map(|size| format!("write the unit: \"{size}\""))
}

/// A number as a duration, which it probably gives in seconds.
pub(crate) fn duration_of(seconds: f64, range: RangeInclusive<Duration>) -> Option<String> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    let ms = duration.as_millis();
    range.contains(&duration).then(|| format!("write the unit: \"{ms}ms\""))
}

/// A list in the place of one text, whose items may stand in it with commas between.
pub(crate) fn in_brackets(text: &str) -> String {
    let items: Vec<_> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    format!("put it in brackets: {}", list(&items))
}

/// True or false in other words.
pub(crate) fn truth(value: &Value<'_>) -> Option<String> {
    let truth = match value {
        Value::Text(text) => match &*text.to_ascii_lowercase() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => return None,
        },
        Value::Integer(Some(0)) => false,
        Value::Integer(Some(1)) => true,
        _ => return None,
    };
    Some(format!("write {truth}, without quotation marks"))
}

/// An integer that was written as text, or with a point.
pub(crate) fn integer(value: &Value<'_>, min: u64, max: u64) -> Option<String> {
    let number = match value {
        Value::Text(text) => text.trim().parse().ok()?,
        Value::Float(number) if number.fract() == 0.0 && (0.0..1e15).contains(number) => {
            *number as u64
        }
        _ => return None,
    };
    (min..=max).contains(&number).then(|| format!("write {number}"))
}

/// A command line as a list.
pub(crate) fn command_line(line: &str) -> String {
    let advice = "write program and arguments one by one";
    match words_of(line) {
        Some(words) => format!("{advice}: {}", list(&words)),
        None => format!("{advice}; where a shell is needed: [\"sh\", \"-c\", {line:?}]"),
    }
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// The words of a command line, in quotation marks or not; `None` where a shell would do more than split it.
fn words_of(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(mark), c) if mark == c => quote = None,
            (Some('"'), '$' | '`' | '\\') => return None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if "|&;<>()$`\\*?[]#~".contains(c) => return None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
