//! JSON schemas of both formats, for editors; made from the table of keys.
//!
//! Draft 2020-12. A schema is looser than the reader only where JSON schema cannot express a rule: ranges of durations and
//! sizes, names that must exist, budgets, cycles.

use majordomo_core::{Config, Domain, Setting};
use serde_json::{Map, Value, json};

use super::inherit::NO_DEFAULTS;
use super::keys::component::{COMPONENT, LOADER_KEYS};
use super::keys::gateway::{GATEWAY, SELECTOR, TOKEN};
use super::keys::legacy::{LEGACY, LEGACY_ENTRY};
use super::keys::pool::POOL;
use super::keys::requests::{
    EXTERNAL, PROBE, READY, READY_WORDS, STEP, STEP_WAYS, STOP, TRIM, WARM_UP, WARM_UP_WAYS,
};
use super::keys::{Key, Kind, Target};
use super::settings_of;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Component names, as `ComponentId` checks them.
const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
const SIZE: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]?[Bb]|[KkMmGgTt][Ii][Bb]|[KkMmGgTt])?\s*$";
const SHARE: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*%$";
/// `IP:PORT`, or a path with `/`.
const LISTEN: &str = r"/|^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$";
/// The units that `humantime` reads, up to weeks.
const DURATION: &str = "^\\s*(0|([0-9]+\\s*(nanos|nsec|ns|usec|us|µs|msec|millis|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w)\\s*)+)$";

/// The JSON schema of the TOML configuration, as text.
#[must_use]
pub fn schema() -> String {
    let mut component = table(COMPONENT);
    let mut defaults = component.clone();
    if let Some(properties) = defaults["properties"].as_object_mut() {
        properties.retain(|key, _| NO_DEFAULTS.iter().all(|(refused, _)| key != refused));
    }
    with_removals(&mut component);
    // The loader is stated, or follows from a key that only one kind has, or from an inherited one.
    let decisive = LOADER_KEYS.iter().flat_map(|(_, keys)| keys.iter());
    let has_loader: Value = ["loader", "template"]
        .into_iter()
        .chain(decisive.copied())
        .map(|key| json!({ "required": [key] }))
        .collect();
    let complete = json!({
        "properties": { "components": { "additionalProperties": { "anyOf": has_loader } } },
    });
    let mut legacy = table(LEGACY);
    legacy["required"] = json!(["file"]);
    text(&json!({
        "$schema": DRAFT,
        "title": "Majordomo configuration",
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{ "required": ["defaults"] }, complete],
        "properties": {
            "manager": settings("manager"),
            "intents": settings("intents"),
            "server": settings("server"),
            "gateway": table(GATEWAY),
            "pools": by_name(&table(POOL)),
            "defaults": defaults,
            "templates": by_name(&component),
            "components": by_name(&component),
            "legacy": legacy,
        },
    }))
}

/// The JSON schema of the predecessor's `components.json`, as text.
#[must_use]
pub fn legacy_schema() -> String {
    let mut entry = table(LEGACY_ENTRY);
    entry["required"] = json!(["priority"]);
    let mut whole = by_name(&entry);
    whole["$schema"] = json!(DRAFT);
    whole["title"] = json!("Components of the predecessor");
    text(&whole)
}

/// Lets `false` stand for the removal of an inherited value.
fn with_removals(component: &mut Value) {
    let removal = json!({ "enum": [false] });
    for key in COMPONENT {
        let property = &mut component["properties"][key.name];
        if matches!(key.kind, Kind::TextMap(_)) {
            let text = property["additionalProperties"].take();
            property["additionalProperties"] = json!({ "anyOf": [text, removal] });
        }
        if matches!(key.kind, Kind::Memory(..)) {
            let pools = &mut property["anyOf"][1];
            let size = pools["additionalProperties"].take();
            pools["additionalProperties"] = json!({ "anyOf": [size, removal] });
        }
        if matches!(key.kind, Kind::Bool(_)) {
            continue;
        }
        let mut whole = json!({});
        for about in ["description", "default"] {
            if let Some(text) = property.as_object_mut().and_then(|rules| rules.remove(about)) {
                whole[about] = text;
            }
        }
        whole["anyOf"] = json!([property.take(), removal]);
        *property = whole;
    }
}

fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn by_name(entry: &Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": NAME },
        "additionalProperties": entry,
    })
}

fn settings(table: &str) -> Value {
    let properties: Map<String, Value> =
        settings_of(table).iter().map(|s| (s.key.to_owned(), setting(s))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn setting(setting: &Setting) -> Value {
    let mut property = domain(&setting.domain);
    property["description"] = json!(super::description(setting));
    let default = Config::default().get(setting).to_toml();
    if let Some(default) = default.and_then(|text| serde_json::from_str(&text).ok()) {
        property["default"] = default;
    }
    property
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Bool => json!({ "type": "boolean" }),
        Domain::Word(words) => json!({ "enum": words }),
        Domain::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Domain::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Domain::Duration { .. } => pattern(DURATION),
        Domain::Size { .. } => pattern(SIZE),
        Domain::Budget { .. } => json!({ "anyOf": [pattern(SIZE), pattern(SHARE)] }),
        other => unreachable!("no schema for {other:?}"),
    }
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn table<T: Target>(keys: &[Key<T>]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property<T: Target>(key: &Key<T>) -> Value {
    let mut property = kind(&key.kind);
    property["description"] = json!(key.doc);
    if let Some(default) = default_of(key) {
        property["default"] = default;
    }
    property
}

/// Defaults are written as TOML values that are JSON too: texts, numbers, words and empty lists.
fn default_of<T: Target>(key: &Key<T>) -> Option<Value> {
    serde_json::from_str(key.default).ok()
}

fn kind<T: Target>(kind: &Kind<T>) -> Value {
    let list = |items: &Value| json!({ "type": "array", "items": items });
    match kind {
        Kind::Bool(_) => json!({ "type": "boolean" }),
        Kind::Word(words, _) => json!({ "enum": words }),
        Kind::Words(words, _) => list(&json!({ "enum": words })),
        Kind::Text(_) => json!({ "type": "string" }),
        Kind::Name(_) => pattern(r"\S"),
        Kind::Size(..) => pattern(SIZE),
        Kind::Memory(..) => {
            let mut pools = by_name(&pattern(SIZE));
            pools["minProperties"] = json!(1);
            json!({ "anyOf": [pattern(SIZE), pools] })
        }
        Kind::Duration(..) => pattern(DURATION),
        Kind::Count(min, max, ..) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Counts(min, max, _) => {
            list(&json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Kind::Number(min, max, _) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Names(_) => list(&pattern(NAME)),
        Kind::Phrases(_) => list(&pattern(r"\S")),
        Kind::Texts(_) => list(&json!({ "type": "string" })),
        Kind::TextMap(_) => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Params(_) => json!({ "type": "object" }),
        Kind::Listen(_) => list(&pattern(LISTEN)),
        Kind::Addresses(_) => list(&pattern("^[0-9A-Fa-f:.]+$")),
        Kind::Tokens(_) => {
            let mut token = table(TOKEN);
            token["required"] = json!(["file"]);
            json!({ "type": "object", "additionalProperties": token })
        }
        Kind::Selectors(_) => {
            let mut selector = table(SELECTOR);
            selector["required"] = json!(["components"]);
            json!({ "type": "object", "additionalProperties": selector })
        }
        Kind::Ready(_) => {
            json!({ "anyOf": [{ "enum": READY_WORDS }, one_of(READY)] })
        }
        Kind::Probe(_) => table(PROBE),
        Kind::Trim(_) => one_of(TRIM),
        Kind::Step(_) => table_of_ways(STEP, &STEP_WAYS),
        Kind::WarmUp(_) => {
            let mut warm_up = table_of_ways(WARM_UP, &WARM_UP_WAYS);
            warm_up["dependentRequired"] = json!({ "body": ["http"] });
            warm_up
        }
        Kind::Stop(_) => one_of(STOP),
        Kind::External(_) => table(EXTERNAL),
    }
}

/// A table that says exactly one of these keys, and others.
fn table_of_ways<T: Target>(keys: &[Key<T>], ways: &[&str]) -> Value {
    let mut table = table(keys);
    table["oneOf"] = ways.iter().map(|way| json!({ "required": [way] })).collect();
    table
}

/// A table that says exactly one of its keys.
fn one_of<T: Target>(keys: &[Key<T>]) -> Value {
    let mut one = table(keys);
    one["minProperties"] = json!(1);
    one["maxProperties"] = json!(1);
    one
}
