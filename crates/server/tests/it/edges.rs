//! Bodies at the edges of the description: the server refuses what the description does, and nothing else.

use majordomo::ServerConfig;
use serde_json::{Map, Value, json};

use crate::described::description;
use crate::schema::wrong;
use crate::support::{Served, problem};

/// Values that a member may or may not have.
fn values(schema: &Value) -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.0),
        json!(1.5),
        json!(-0.5),
        json!(60_000.0),
        json!(1.000_000_01),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("x"),
        json!("1"),
        json!("a\nb"),
        json!("é".repeat(64)),
        json!("é".repeat(65)),
        json!([]),
        json!(["x"]),
        json!([1]),
        json!([null]),
        json!({}),
        json!({ "no_such_member": 1 }),
        json!(vec!["x"; 256]),
        json!(vec!["x"; 257]),
    ];
    for edge in ["minimum", "maximum"] {
        if let Some(n) = schema[edge].as_f64() {
            all.extend([n - 1.0, n - 0.5, n, n + 0.5, n + 1.0].map(|n| json!(n)));
            all.extend([n - 1.0, n, n + 1.0].map(|n| json!(n as i64)));
        }
    }
    for words in [&schema["enum"], &schema["default"]] {
        all.extend(words.as_array().into_iter().flatten().cloned());
    }
    all
}

/// The schema that a reference, or one of several that are no reference, leads to.
fn resolved<'a>(doc: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return doc.pointer(reference.trim_start_matches('#')).expect(reference);
    }
    match schema["anyOf"].as_array() {
        Some(all) => resolved(doc, &all[0]),
        None => schema,
    }
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.as_object().cloned().unwrap_or_default();
    object.insert(name.to_owned(), value);
    object.into()
}

/// Bodies by a schema of an object: each member with each value beside a body that is right, and alone.
fn bodies(doc: &Value, schema: &Value, right: &[Value]) -> Vec<Value> {
    let mut all = vec![json!({}), json!([]), json!("x"), json!(1), Value::Null];
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    for base in right.iter().chain([&json!({})]) {
        all.push(base.clone());
        all.push(with(base, "no_such_member", Value::Null));
        for (name, schema) in properties {
            let schema = resolved(doc, schema);
            all.extend(values(schema).into_iter().map(|value| with(base, name, value)));
            if schema["type"] == "object" {
                let inner = bodies(doc, schema, &[]);
                all.extend(inner.into_iter().map(|value| with(base, name, value)));
            }
        }
    }
    all
}

#[tokio::test(flavor = "current_thread")]
async fn the_server_refuses_exactly_the_bodies_that_the_description_does() {
    let served = Served::start(ServerConfig::default()).await;
    let doc = description();
    let mut differ = Vec::new();
    let (mut n_taken, mut n_refused, mut n_operations) = (0, 0, 0);
    for (path, methods) in doc["paths"].as_object().unwrap() {
        let Some(body) = methods["post"].get("requestBody") else { continue };
        n_operations += 1;
        let schema = resolved(&doc, &body["content"]["application/json"]["schema"]);
        let right = match path.as_str() {
            "/v1/commands" | "/v1/intents" => vec![json!({ "text": "x" })],
            "/v1/plan" => vec![json!({ "text": "x" }), json!({ "components": ["mail"] })],
            "/v1/hints" => vec![json!({ "component": "mail" })],
            "/v1/feedback" => vec![json!({ "text": "x" }), json!({ "lease": "x" })],
            "/v1/state/forget" => vec![json!({ "component": "mail" }), json!({ "all": true })],
            // No such component: the shape is checked, and nothing is loaded.
            "/v1/leases" | "/v1/leases/{id}/exchange" => vec![json!({ "components": ["unknown"] })],
            "/v1/components/{name}/call" | "/v1/leases/{id}/call" => {
                vec![json!({ "text": "x" }), json!({ "object": {} })]
            }
            _ => Vec::new(),
        };
        let route = path.replace("{name}", "mail").replace("{id}", "x");
        for body in bodies(&doc, schema, &right) {
            let mut why = Vec::new();
            wrong(&doc, schema, &body, "the body", &mut why);
            let answer = served.ask("POST", &route, "", &body.to_string()).await;
            let is_refused = ["bad_json", "bad_value"]
                .iter()
                .any(|code| answer.contains(&format!("\"code\":\"{code}\"")));
            assert!(!answer.starts_with("HTTP/1.1 500"), "{route} {body}: {answer}");
            if is_refused {
                n_refused += 1;
            } else {
                n_taken += 1;
            }
            if is_refused == why.is_empty() {
                let body_text = answer.split_once("\r\n\r\n").map_or("", |(_, text)| text);
                differ.push(format!("{route} {body}: {body_text:.200}; described: {why:?}"));
            }
        }
        // A body that may be left out may be empty.
        let answer = served.ask("POST", &route, "", "").await;
        let is_refused = answer.contains("\"code\":\"bad_value\"");
        if body["required"] != is_refused {
            differ.push(format!("{route} without a body: {answer}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert_eq!(n_operations, 14);
    assert!(n_taken > 100 && n_refused > 500, "{n_taken} {n_refused}");
    served.end().await;
}

/// The operations of the description, with names in the place of place-holders.
fn operations(doc: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in doc["paths"].as_object().unwrap() {
        let route = path.replace("{name}", "mail").replace("{id}", "x");
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), route.clone(), operation));
        }
    }
    all
}

#[tokio::test(flavor = "current_thread")]
async fn unknown_query_parameters_and_body_members_are_refused() {
    let served = Served::start(ServerConfig::default()).await;
    let doc = description();
    let (mut n_queries, mut n_bodies) = (0, 0);
    for (method, route, operation) in operations(&doc) {
        let answer = served.ask(&method, &format!("{route}?no_such_member=1"), "", "").await;
        assert_eq!(problem(&answer).1, "bad_value", "{method} {route}: {answer}");
        n_queries += 1;
        if method == "GET" || !operation["requestBody"].is_null() {
            continue;
        }
        let answer = served.ask(&method, &route, "", "{\"no_such_member\": 1}").await;
        assert_eq!(problem(&answer).1, "bad_json", "{method} {route}: {answer}");
        let answer = served.ask(&method, &route, "", "{}").await;
        assert!(!answer.contains("bad_json"), "{method} {route}: {answer}");
        n_bodies += 1;
    }
    assert_eq!((n_queries, n_bodies), (31, 4));
    // An empty query is none.
    assert!(served.ask("GET", "/healthz?", "", "").await.starts_with("HTTP/1.1 200"));
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn query_numbers_follow_the_description() {
    let served = Served::start(ServerConfig::default()).await;
    let doc = description();
    let mut n_numbers = 0;
    for (method, route, operation) in operations(&doc) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters.iter().filter(|p| p["schema"]["type"] == "integer") {
            n_numbers += 1;
            let name = parameter["name"].as_str().unwrap();
            for text in [
                "0", "1", "-1", "1.0", "1e1", "1.5", "01", "%2B1", "1000", "1001", "2001", "x", "",
                "null",
            ] {
                let mut why = Vec::new();
                let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
                wrong(&doc, &parameter["schema"], &value, name, &mut why);
                let follow = if route == "/v1/events" { "&follow=false" } else { "" };
                let answer =
                    served.ask(&method, &format!("{route}?{name}={text}{follow}"), "", "").await;
                let is_refused = answer.contains("\"code\":\"bad_value\"");
                assert_eq!(is_refused, !why.is_empty(), "{route} {name}={text}: {answer}");
            }
        }
    }
    assert_eq!(n_numbers, 6);
    served.end().await;
}
