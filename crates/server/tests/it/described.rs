//! The description of the interface against the table of routes and against real answers.

use std::collections::BTreeSet;

use majordomo::ServerConfig;
use majordomo_server::{OPENAPI, ROUTES, TABLE};
use serde_json::{Value, json};

use crate::schema::wrong;
use crate::support::Served;

pub(crate) fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn it_has_every_route_and_no_other() {
    let doc = description();
    assert_eq!(doc["openapi"], "3.1.0");
    let described: BTreeSet<_> = doc["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, operation)| {
                let id = operation["operationId"].as_str().unwrap();
                (method.to_uppercase(), path.clone(), id.to_owned())
            })
        })
        .collect();
    let routes: BTreeSet<_> = ROUTES
        .iter()
        .map(|r| (r.method.to_owned(), r.path.to_owned(), r.operation.to_owned()))
        .collect();
    assert_eq!(described, routes);
    let codes: Vec<_> = TABLE.iter().map(|r| r.code).collect();
    assert_eq!(doc["components"]["schemas"]["Problem"]["properties"]["code"]["enum"], json!(codes));
}

#[test]
fn the_page_for_people_has_every_code() {
    let page = include_str!("../../../../docs/api.md");
    let rows = |line: &str| line.strip_prefix("| `").map(str::to_owned);
    let written: Vec<_> = page.lines().filter_map(rows).collect();
    let table = |r: &majordomo_server::Row| format!("{}` | {} | {} |", r.code, r.status, r.title);
    assert_eq!(written, TABLE.iter().map(table).collect::<Vec<_>>());
}

#[test]
fn the_check_of_answers_sees_what_is_wrong() {
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": { "type": "integer", "minimum": 1, "maximum": 8 },
            "b": { "enum": ["x"] },
            "c": { "oneOf": [{ "type": "null" }, { "const": "x" }] },
            "d": { "maxLength": 2, "pattern": "^z+$" },
        },
    });
    for (value, count) in [
        (json!({ "a": 1, "b": "x" }), 0),
        (json!({ "a": 0, "b": "y" }), 2),
        (json!({ "a": "1" }), 1),
        (json!({ "e": 1 }), 2),
        (json!([]), 1),
        (json!({ "a": 1.0 }), 0),
        (json!({ "a": 1.5 }), 1),
        (json!({ "a": 9 }), 1),
        (json!({ "a": 1, "c": null }), 0),
        (json!({ "a": 1, "c": "y" }), 1),
        (json!({ "a": 1, "d": "zz" }), 0),
        (json!({ "a": 1, "d": "z\u{1}" }), 1),
        (json!({ "a": 1, "d": "zzz" }), 1),
    ] {
        let mut out = Vec::new();
        wrong(&Value::Null, &schema, &value, "it", &mut out);
        assert_eq!(out.len(), count, "{value}: {out:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn real_answers_are_as_described() {
    let served = Served::start(ServerConfig::default()).await;
    let doc = description();
    let mut asked = BTreeSet::new();
    let mut ask = async |method: &str, path: &str, route: &str, body: &str| -> Value {
        asked.insert((method.to_owned(), route.to_owned()));
        let operation = &doc["paths"][route][method.to_lowercase()];
        let mut out = Vec::new();
        if !body.is_empty() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = serde_json::from_str(body).unwrap();
            wrong(&doc, schema, &body, "the request", &mut out);
        }
        let answer = served.ask(method, path, "", body).await;
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        let status = &head[9..12];
        let responses = &operation["responses"];
        let (response, media) = match responses.get(status) {
            Some(response) => (response, "application/json"),
            None => (&responses["default"], "application/problem+json"),
        };
        if rest.is_empty() {
            assert!(response["content"].is_null(), "{method} {path}: {answer}");
            return Value::Null;
        }
        let value: Value = serde_json::from_str(rest).unwrap_or_else(|e| panic!("{e}: {answer}"));
        let schema = &response["content"][media]["schema"];
        assert!(!schema.is_null(), "{method} {path} {status} {media} is not described");
        wrong(&doc, schema, &value, "the answer", &mut out);
        assert!(out.is_empty(), "{method} {path}: {out:#?}\n{value:#}");
        value
    };
    ask("GET", "/healthz", "/healthz", "").await;
    ask("GET", "/readyz", "/readyz", "").await;
    ask("GET", "/v1", "/v1", "").await;
    let one = "/v1/components/{name}";
    for verb in ["load", "park", "pin", "trim"] {
        ask("POST", &format!("/v1/components/music/{verb}"), &format!("{one}/{verb}"), "").await;
    }
    let body = "{\"text\":\"music please and mail please\",\"lease\":{\"tag\":\"t\"}}";
    let outcome = ask("POST", "/v1/commands", "/v1/commands", body).await;
    assert_eq!(outcome["needed"].as_array().unwrap().len(), 2);
    let of_command = outcome["lease"]["id"].as_str().unwrap().to_owned();
    let lease =
        ask("POST", "/v1/leases", "/v1/leases", "{\"components\":[\"music\"],\"bind\":\"ttl\"}")
            .await;
    let id = lease["id"].as_str().unwrap().to_owned();
    // With holders, figures, and everything else that is only sometimes there.
    let status = ask("GET", "/v1/status", "/v1/status", "").await;
    assert_eq!(status["holders"].as_array().unwrap().len(), 3);
    ask("GET", "/v1/leases", "/v1/leases", "").await;
    let path = format!("/v1/leases/{id}");
    ask("GET", &path, "/v1/leases/{id}", "").await;
    ask("POST", &format!("{path}/renew"), "/v1/leases/{id}/renew", "{\"ttl_ms\":1000}").await;
    let call = r#"{"text":"x"}"#;
    for (path, route) in
        [(&*path, "/v1/leases/{id}/call"), ("/v1/components/music", "/v1/components/{name}/call")]
    {
        let refused = ask("POST", &format!("{path}/call"), route, call).await;
        assert_eq!(refused["code"], "not_callable");
    }
    let exchange = "{\"components\":[\"music\",\"mail\"]}";
    ask("POST", &format!("{path}/exchange"), "/v1/leases/{id}/exchange", exchange).await;
    let refused =
        ask("POST", "/v1/components/music/unload", &format!("{one}/unload"), "{\"force\":false}")
            .await;
    assert_eq!(refused["code"], "in_use");
    let plan = ask("POST", "/v1/plan", "/v1/plan", "{\"components\":[\"big\"]}").await;
    assert!(!plan["in_the_way"].as_array().unwrap().is_empty());
    ask("POST", "/v1/plan", "/v1/plan", "{\"text\":\"slow please\"}").await;
    ask("POST", "/v1/intents", "/v1/intents", "{\"text\":\"slow please\"}").await;
    let too_much = "{\"text\":\"mail please, music please and big please\"}";
    let plan = ask("POST", "/v1/plan", "/v1/plan", too_much).await;
    assert!(!plan["left_out"].as_array().unwrap().is_empty());
    let outcome = ask("POST", "/v1/commands", "/v1/commands", too_much).await;
    assert!(!outcome["left_out"].as_array().unwrap().is_empty());
    ask("DELETE", &path, "/v1/leases/{id}", "").await;
    let ended = ask("GET", &path, "/v1/leases/{id}", "").await;
    assert_eq!(ended["reason"], "released");
    let feedback = json!({ "lease": of_command, "used": ["music"] }).to_string();
    ask("POST", "/v1/feedback", "/v1/feedback", &feedback).await;
    ask("POST", "/v1/hints", "/v1/hints", "{\"component\":\"mail\",\"confidence\":0.9}").await;
    ask("POST", "/v1/commands", "/v1/commands", "{\"text\":\"big please\",\"deadline_ms\":50}")
        .await;
    ask("GET", "/v1/components", "/v1/components", "").await;
    ask("GET", "/v1/components/music", one, "").await;
    ask("GET", "/v1/components/music/why", &format!("{one}/why"), "").await;
    ask("GET", "/v1/components/music/logs?last=5", &format!("{one}/logs"), "").await;
    ask("GET", "/v1/events?follow=false", "/v1/events", "").await;
    ask("GET", "/v1/openapi.json", "/v1/openapi.json", "").await;
    ask("POST", "/v1/reload", "/v1/reload", "").await;
    ask("GET", "/v1/state", "/v1/state", "").await;
    let forget = "{\"component\":\"music\"}";
    let forgotten = ask("POST", "/v1/state/forget", "/v1/state/forget", forget).await;
    assert_eq!(forgotten["forgotten"], 0);
    ask("POST", "/v1/state/forget", "/v1/state/forget", r#"{"all": true}"#).await;
    let routes: BTreeSet<_> =
        ROUTES.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
    assert_eq!(asked, routes, "every route is asked");
    served.end().await;
}
