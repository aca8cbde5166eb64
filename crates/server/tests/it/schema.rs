//! A checker of values by JSON schema: the part that the description of the interface uses.

use regex_lite::Regex;
use serde_json::Value;

/// The mistakes in a value by a schema.
pub(crate) fn wrong(doc: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = doc.pointer(reference.trim_start_matches('#')).expect(reference);
        return wrong(doc, target, value, at, out);
    }
    let is_one = |schema: &Value| {
        let mut inner = Vec::new();
        wrong(doc, schema, value, at, &mut inner);
        inner.is_empty()
    };
    if let Some(all) = schema["oneOf"].as_array() {
        let n = all.iter().filter(|s| is_one(s)).count();
        if n != 1 {
            out.push(format!("{at}: it is {n} of those of which it must be one"));
        }
    }
    if let Some(all) = schema["anyOf"].as_array()
        && !all.iter().any(is_one)
    {
        out.push(format!("{at}: it is none of those of which it must be one"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        out.push(format!("{at}: {value} is none of {words:?}"));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        out.push(format!("{at}: {value} is not {only}"));
    }
    wrong_type(&schema["type"], value, at, out);
    wrong_number(schema, value, at, out);
    wrong_text(schema, value, at, out);
    if let Some(items) = value.as_array() {
        bound(schema, ("minItems", "maxItems"), items.len(), at, out);
        for (i, item) in items.iter().enumerate() {
            wrong(doc, &schema["items"], item, &format!("{at}[{i}]"), out);
        }
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            out.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => wrong(doc, schema, member, &at, out),
            (None, Value::Bool(false)) => out.push(format!("{at}: not described")),
            (None, schema) => wrong(doc, schema, member, &at, out),
        }
    }
}

fn wrong_type(kinds: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let kinds: Vec<_> = match kinds {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // A number whose fraction is zero is an integer, however it is written.
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the test does not know type {other}"),
    };
    if !kinds.iter().any(is) {
        out.push(format!("{at}: {value} is no {kinds:?}"));
    }
}

fn wrong_number(schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let Some(n) = value.as_f64() else { return };
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    if least.is_some_and(|m| n < m) || most.is_some_and(|m| n > m) {
        out.push(format!("{at}: {n} is not within {least:?} and {most:?}"));
    }
}

fn wrong_text(schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let Some(text) = value.as_str() else { return };
    bound(schema, ("minLength", "maxLength"), text.chars().count(), at, out);
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        out.push(format!("{at}: {value} is not as {pattern}"));
    }
}

fn bound(schema: &Value, names: (&str, &str), n: usize, at: &str, out: &mut Vec<String>) {
    let of = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let (least, most) = (of(names.0), of(names.1));
    if least.is_some_and(|m| n < m) || most.is_some_and(|m| n > m) {
        out.push(format!("{at}: {n} is not within {least:?} and {most:?}"));
    }
}
