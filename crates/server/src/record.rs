//! Records of the manager as events: names for keys, milliseconds for spans, and a line for people.

use majordomo::{ComponentKey, EventRecord, Manager};
use serde_json::{Map, Value};

use crate::wire::{Event, ms};

/// Members of a record whose numbers are keys of components.
const KEYS: [&str; 5] = ["component", "components", "used", "stuck", "needed_by"];

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
    if record.names_left_out > 0 {
        more.insert("names_left_out".to_owned(), record.names_left_out.into());
    }
    Event {
        seq: record.seq,
        at_ms: record.at.0 as f64 / 1e3,
        time: manager.wall_at(record.at).0,
        text: record.text(&names),
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
