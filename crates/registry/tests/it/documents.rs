//! Schema and reference agree with the reader.

use majordomo_core::Config;
use majordomo_registry::{legacy_schema, parse_legacy_json, parse_toml, reference, schema};
use serde_json::{Value, json};

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The part of JSON schema that ours use.
fn allows(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("type {other}"),
    };
    let rules = schema.as_object().unwrap();
    rules.iter().all(|(rule, expected)| match rule.as_str() {
        "type" => is(expected.as_str().unwrap()),
        "enum" => expected.as_array().unwrap().contains(value),
        "minimum" => value.as_f64().is_none_or(|v| v >= expected.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|v| v <= expected.as_f64().unwrap()),
        "pattern" => value.as_str().is_none_or(|v| matches(expected.as_str().unwrap(), v)),
        "items" => value.as_array().is_none_or(|v| v.iter().all(|item| allows(expected, item))),
        "anyOf" => expected.as_array().unwrap().iter().any(|one| allows(one, value)),
        "oneOf" => {
            let all = expected.as_array().unwrap();
            all.iter().filter(|one| allows(one, value)).count() == 1
        }
        "required" => value.as_object().is_none_or(|v| {
            expected.as_array().unwrap().iter().all(|k| v.contains_key(k.as_str().unwrap()))
        }),
        "dependentRequired" => value.as_object().is_none_or(|v| {
            let needs =
                expected.as_object().unwrap().iter().filter(|(key, _)| v.contains_key(*key));
            needs
                .flat_map(|(_, keys)| keys.as_array().unwrap())
                .all(|k| v.contains_key(k.as_str().unwrap()))
        }),
        "minProperties" => {
            value.as_object().is_none_or(|v| v.len() as u64 >= expected.as_u64().unwrap())
        }
        "maxProperties" => {
            value.as_object().is_none_or(|v| v.len() as u64 <= expected.as_u64().unwrap())
        }
        "propertyNames" => value
            .as_object()
            .is_none_or(|v| v.keys().all(|k| matches(expected["pattern"].as_str().unwrap(), k))),
        "properties" => value.as_object().is_none_or(|v| {
            v.iter().all(|(k, v)| expected.get(k).is_none_or(|schema| allows(schema, v)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|v| {
            let known = |k: &str| rules.get("properties").is_some_and(|p| p.get(k).is_some());
            v.iter()
                .filter(|(k, _)| !known(k))
                .all(|(_, v)| expected != &json!(false) && allows(expected, v))
        }),
        "$schema" | "title" | "description" | "default" => true,
        other => panic!("rule {other}"),
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).unwrap().is_match(text)
}

/// As TOML; the values here are texts, numbers, lists and tables.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<_> = map.iter().map(|(k, v)| format!("{k:?} = {}", toml(v))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Values of every type, good for some key or other and bad for the rest.
fn samples() -> Vec<Value> {
    vec![
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(3.5),
        json!(0.5),
        json!(1_000_000_000),
        json!(""),
        json!("voice"),
        json!("300MiB"),
        json!("60%"),
        json!("5s"),
        json!("1min 30s"),
        json!("80ms"),
        json!("lru"),
        json!("gdsf"),
        json!("LOW"),
        json!("legacy"),
        json!("declared"),
        json!("HIGH"),
        json!("CRITICAL"),
        json!("refuse"),
        json!("always"),
        json!("never"),
        json!("auto"),
        json!("finish"),
        json!("unload"),
        json!("hold"),
        json!("report"),
        json!("connect"),
        json!("process"),
        json!("stdio"),
        json!([]),
        json!(["voice"]),
        json!(["no name"]),
        json!([" "]),
        json!([3]),
        json!({}),
        json!({ "A": "b" }),
        json!({ "A": 1 }),
        json!({ "stdout": "up" }),
        json!({ "http": "/x" }),
        json!({ "connect": true }),
        json!({ "stdout": "up", "http": "/x" }),
    ]
}

/// Whether a problem is one of the value's type or form, and not of its meaning among others.
fn about_form(code: &str) -> bool {
    ["wrong-type", "bad-value", "out-of-range", "unknown-key", "empty-phrase", "bad-name"]
        .contains(&code)
}

#[test]
fn reader_and_schema_agree_on_every_key() {
    let whole = value(&schema());
    let sections = &whole["properties"];
    let tables = [
        ("manager", &sections["manager"]["properties"]),
        ("pools.p", &sections["pools"]["additionalProperties"]["properties"]),
        ("components.c", &sections["components"]["additionalProperties"]["properties"]),
        ("legacy", &sections["legacy"]["properties"]),
    ];
    let mut accepted = 0;
    for (table, keys) in tables {
        for (key, schema) in keys.as_object().unwrap() {
            let mut good = 0;
            for sample in samples() {
                let text = format!("[{table}]\n{key} = {}\n", toml(&sample));
                let codes: Vec<_> = match parse_toml(&text, "c.toml", None) {
                    Ok(_) => vec![],
                    Err(problems) => problems
                        .into_iter()
                        .filter(|p| p.at.is_some_and(|at| at.line == 2) && about_form(p.code))
                        .map(|p| p.to_string())
                        // Problems of the combination with other keys.
                        .filter(|p| {
                            !p.contains("max_concurrent_loads, which")
                                && !p.contains("back_off_max, which")
                        })
                        .filter(|p| {
                            !p.contains("has no program")
                                && !p.contains("needs either http or connect")
                        })
                        .filter(|p| !p.contains("is not a path of a URL"))
                        // A schema has the form of a duration, not its range.
                        .filter(|p| !p.contains("must lie within 1s and 1h"))
                        .filter(|p| !p.contains("environment variable"))
                        .collect(),
                };
                assert_eq!(codes.is_empty(), allows(schema, &sample), "{text}{schema}\n{codes:?}");
                good += usize::from(codes.is_empty());
            }
            assert!(good > 0, "no sample fits {table} {key}");
            accepted += good;
        }
    }
    assert!(accepted > 100);
}

/// The sections that hold settings.
const SETTINGS: [&str; 3] = ["manager", "intents", "server"];

#[test]
fn documented_defaults_are_the_defaults() {
    let whole = value(&schema());
    let mut text = String::new();
    for section in SETTINGS {
        text += &format!("[{section}]\n");
        for (key, schema) in whole["properties"][section]["properties"].as_object().unwrap() {
            match schema.get("default") {
                Some(default) => text.push_str(&format!("{key} = {}\n", toml(default))),
                // The optional settings.
                None => {
                    let optional = ["max_concurrent_loads", "speculation_waste_memory"];
                    assert!(optional.contains(&key.as_str()), "{key}");
                }
            }
        }
    }
    let loaded = parse_toml(&text, "c.toml", None).unwrap();
    assert_eq!(loaded.config, Config::default());
    let component = &whole["properties"]["components"]["additionalProperties"]["properties"];
    let mut text = String::from("[components.c]\nloader = \"process\"\ncommand = [\"x\"]\n");
    for (key, schema) in component.as_object().unwrap() {
        if let Some(default) = schema.get("default") {
            text += &format!("{key} = {}\n", toml(default));
        }
    }
    let stated = parse_toml(&text, "c.toml", None).unwrap();
    let silent = parse_toml("[components.c]\ncommand = [\"x\"]\n", "c.toml", None).unwrap();
    assert_eq!(stated.specs, silent.specs);
}

#[test]
fn every_setting_has_exactly_one_key() {
    // Each key moves exactly one setting, and there are as many keys as settings.
    let fields_of = |config: &Config| -> Vec<(String, Value)> {
        let tree = serde_json::to_value(config).unwrap();
        let sections = tree.as_object().unwrap().iter();
        sections
            .flat_map(|(section, fields)| {
                fields
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(move |(f, v)| (format!("{section}.{f}"), v.clone()))
            })
            .collect()
    };
    let default = fields_of(&Config::default());
    let whole = value(&schema());
    let keys = |section| whole["properties"][section]["properties"].as_object().unwrap();
    let keys = SETTINGS.iter().flat_map(|s| keys(*s).iter().map(move |(k, schema)| (s, k, schema)));
    let mut moved = std::collections::BTreeSet::new();
    for (section, key, schema) in keys.clone() {
        for sample in samples().iter().filter(|s| allows(schema, s)) {
            let more = match key.as_str() {
                "back_off" => "back_off_max = \"1h\"\n",
                _ => "",
            };
            let text = format!("[{section}]\n{key} = {}\n{more}", toml(sample));
            let Ok(loaded) = parse_toml(&text, "c.toml", None) else { continue };
            let changed =
                fields_of(&loaded.config).into_iter().zip(&default).filter(|(a, b)| a != *b);
            moved.extend(changed.map(|((name, _), _)| name));
        }
    }
    let all: std::collections::BTreeSet<_> = default.into_iter().map(|(name, _)| name).collect();
    assert_eq!(moved, all);
    assert_eq!(keys.count(), all.len());
}

#[test]
fn reader_and_legacy_schema_agree_on_every_key() {
    let whole = value(&legacy_schema());
    let keys = whole["additionalProperties"]["properties"].as_object().unwrap();
    for (key, schema) in keys {
        for sample in samples() {
            let mut entry = json!({ "priority": "LOW" });
            entry[key.as_str()] = sample.clone();
            let text = json!({ "c": entry }).to_string();
            let problems = parse_legacy_json(&text, "c.json", None).err();
            let bad = problems.is_some_and(|p| p.as_slice().iter().any(|p| about_form(p.code)));
            let empty_import = key.starts_with("import_") && sample == json!("");
            assert_eq!(!bad, allows(schema, &sample) && !empty_import, "{key} = {sample}");
        }
    }
    assert!(allows(&whole, &json!({ "a": { "priority": "CORE" } })));
    assert!(!allows(&whole, &json!({ "a": {} })));
}

#[test]
fn reference_in_docs_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("MAJORDOMO_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == reference(), "docs/configuration.md is old; run with MAJORDOMO_BLESS=1");
}

#[test]
fn example_of_inheritance_is_valid() {
    let text = reference();
    let example = text.split("```toml\n").nth(2).unwrap().split("```").next().unwrap();
    let loaded = parse_toml(example, "example.toml", None).unwrap();
    assert_eq!((loaded.specs.len(), loaded.warnings), (3, vec![]));
    let env = |idx: usize| loaded.specs[idx].program().unwrap().env.get("OMP_NUM_THREADS").cloned();
    assert_eq!((env(0), env(1), env(2)), (Some("2".into()), Some("4".into()), None));
    assert_eq!(loaded.specs[2].program().unwrap().probe, None);
    assert!(allows(&value(&schema()), &toml_to_json(example)));
}

#[test]
fn example_of_the_reference_is_valid() {
    let text = reference();
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = parse_toml(example, "example.toml", None).unwrap();
    assert_eq!((loaded.specs.len(), loaded.warnings), (5, vec![]));
    let whole = value(&schema());
    // The same text as JSON passes the schema that editors use.
    let tree: Value = toml_to_json(example);
    assert!(allows(&whole, &tree));
}

fn toml_to_json(text: &str) -> Value {
    fn convert(value: &toml::de::DeValue<'_>) -> Value {
        use toml::de::DeValue as V;
        match value {
            V::String(s) => json!(s),
            V::Integer(n) => json!(n.as_str().parse::<i64>().unwrap()),
            V::Float(x) => json!(x.as_str().parse::<f64>().unwrap()),
            V::Boolean(b) => json!(b),
            V::Datetime(d) => json!(d.to_string()),
            V::Array(items) => items.iter().map(|i| convert(i.get_ref())).collect(),
            V::Table(table) => {
                table.iter().map(|(k, v)| (k.get_ref().to_string(), convert(v.get_ref()))).collect()
            }
        }
    }
    let table = toml::de::DeTable::parse(text).unwrap();
    convert(&toml::de::DeValue::Table(table.into_inner()))
}
