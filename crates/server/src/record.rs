//! Records of the manager as events: names for keys, milliseconds for spans, and a line for people.

use majordomo::{ComponentKey, EventKind, EventRecord, Manager, PreloadEnd};
use serde_json::{Map, Value};

use crate::wire::{Event, ms};

/// Members of a record whose numbers are keys of components.
const KEYS: [&str; 5] = ["component", "components", "used", "stuck", "wanted_by"];

/// The event that is sent for a record.
pub(crate) fn event(manager: &Manager, record: &EventRecord) -> Event {
    let names = |key: ComponentKey| {
        manager.name_of(key).map_or_else(|| key.to_string(), |id| id.to_string())
    };
    let mut more = match serde_json::to_value(&record.kind) {
        Ok(Value::Object(more)) => more,
        _ => Map::new(),
    };
    let event = match more.remove("event") {
        Some(Value::String(event)) => event,
        _ => "other".to_owned(),
    };
    Event {
        seq: record.seq,
        at_ms: record.at.0 as f64 / 1e3,
        time: manager.wall_at(record.at).0,
        text: text(&record.kind, &names),
        event,
        more: readable(more, &names),
    }
}

fn readable(
    members: Map<String, Value>,
    names: &dyn Fn(ComponentKey) -> String,
) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in members {
        let (name, value) = match value {
            value if KEYS.contains(&name.as_str()) => (name, named(value, names)),
            Value::Object(inner) => match span(&inner) {
                Some(ms) => (format!("{name}_ms"), ms.into()),
                None => (name, Value::Object(readable(inner, names))),
            },
            Value::Array(list) => {
                let list = list.into_iter().map(|v| match v {
                    Value::Object(inner) => Value::Object(readable(inner, names)),
                    other => other,
                });
                (name, list.collect())
            }
            other => (name, other),
        };
        out.insert(name, value);
    }
    out
}

/// Keys become names; names stay.
fn named(value: Value, names: &dyn Fn(ComponentKey) -> String) -> Value {
    match value {
        Value::Number(n) => match n.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => names(ComponentKey::from_index(n)).into(),
            None => Value::Number(n),
        },
        Value::Array(list) => list.into_iter().map(|v| named(v, names)).collect(),
        other => other,
    }
}

/// A duration as serde writes it, in milliseconds.
fn span(object: &Map<String, Value>) -> Option<f64> {
    let (secs, nanos) = (object.get("secs")?.as_u64()?, object.get("nanos")?.as_u64()?);
    let nanos = u32::try_from(nanos).ok()?;
    (object.len() == 2).then(|| ms(std::time::Duration::new(secs, nanos)))
}

/// The event in a line for people.
fn text(kind: &EventKind, names: &dyn Fn(ComponentKey) -> String) -> String {
    let list =
        |keys: &[ComponentKey]| keys.iter().map(|k| names(*k)).collect::<Vec<_>>().join(", ");
    match kind {
        EventKind::State { component, from, to, cause, booked, .. } => {
            let bytes = if booked.bytes() == 0 { String::new() } else { format!(" ({booked})") };
            format!("{}: {from} -> {to}{bytes}: {cause}", names(*component))
        }
        EventKind::Granted { components, waited_us, .. } => {
            format!("granted: {} after {:.1} ms", list(components), *waited_us as f64 / 1e3)
        }
        EventKind::Refused { components, refusal, .. } => {
            format!("refused: {}: {refusal}", list(components))
        }
        EventKind::Abandoned { waiter } => format!("waiter {waiter} left"),
        EventKind::Hint { component, confidence, tier, source, outcome, because } => {
            let outcome = serde_json::to_value(outcome).ok();
            let outcome = outcome.as_ref().and_then(Value::as_str).unwrap_or_default();
            let said: Vec<_> = because
                .iter()
                .map(|o| format!("{} says {:.0} %", o.expert, o.probability * 100.0))
                .collect();
            let said =
                if said.is_empty() { String::new() } else { format!("; {}", said.join(", ")) };
            format!(
                "hint: {} ({confidence}, {}, {}): {}{said}",
                names(*component),
                source.name(),
                tier.name(),
                outcome.replace('_', " ")
            )
        }
        EventKind::Preload { component, result } => {
            let how = match result {
                PreloadEnd::Hit => "was ready when it was needed".to_owned(),
                PreloadEnd::Late { saved_us } => {
                    format!("was needed {:.1} ms after its load began", *saved_us as f64 / 1e3)
                }
                PreloadEnd::Wasted { byte_seconds } => {
                    format!(
                        "went unused after {:.0} MiB-seconds",
                        byte_seconds / f64::from(1 << 20)
                    )
                }
                _ => "failed".to_owned(),
            };
            format!("load ahead: {} {how}", names(*component))
        }
        EventKind::Victim { component, policy, keep, next, reuse, wanted_by } => format!(
            "victim: {} for {}: {policy} keeps it for {keep:.4}, next {next}, soon {reuse}",
            names(*component),
            names(*wanted_by)
        ),
        EventKind::Pressure { from, to } => format!("memory pressure: {from} -> {to}"),
        EventKind::Overdraft { total } => format!("{total} beyond the budget"),
        EventKind::LoadBeyondBudget { component, peak, beyond } => format!(
            "{}: loads alone: the peak of its load is {peak}, {beyond} more than the budget has for it; raise the budget, or make its start-up take less",
            names(*component)
        ),
        EventKind::EstimateRaised { component, to } => {
            format!("{}: ran out of memory; its next load reserves {to}", names(*component))
        }
        EventKind::Trimmed { component } => format!("{}: asked to trim", names(*component)),
        EventKind::ProbeFailing { component, failures, error } => format!(
            "{}: {failures} health probes in a row failed; it stays up while it is leased: {error}",
            names(*component)
        ),
        EventKind::ProbeRecovered { component } => {
            format!("{}: answers its health probes again", names(*component))
        }
        EventKind::CannotTrim { component } => format!("{}: has no way to trim", names(*component)),
        EventKind::TrimFailed { component, error } => {
            format!("{}: could not be asked to trim: {error}", names(*component))
        }
        EventKind::OverLimit { component, measured, limit } => {
            format!("{}: uses {measured}, more than its limit of {limit}", names(*component))
        }
        EventKind::Revoked { component } => format!("{}: leases revoked", names(*component)),
        EventKind::ConfigApplied { changed } => {
            format!("configuration applied: {changed} components changed")
        }
        EventKind::Resumed { gap_us } => {
            format!("the machine slept for {:.1} s", *gap_us as f64 / 1e6)
        }
        EventKind::Observed { used } => format!("used: {}", list(used)),
        EventKind::ShutdownStarted => "shutdown begins".to_owned(),
        EventKind::ShutdownDone { stuck } if stuck.is_empty() => "shutdown is done".to_owned(),
        EventKind::ShutdownDone { stuck } => {
            format!("shutdown is done; not stopped: {}", list(stuck))
        }
        // A kind that is newer than this file.
        other => format!("{other:?}"),
    }
}
