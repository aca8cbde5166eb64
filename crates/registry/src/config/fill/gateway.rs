//! Reading values that only the gateway's keys have: addresses, JSON values, and tables by name.
//!
//! A value that is wrong is reported and left out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use majordomo_core::quoted;
use serde_json::Value as Json;

use super::super::keys::gateway::{SELECTOR, TOKEN, TokenDraft};
use super::super::node::{Node, Value};
use super::super::source::{Report, shorten};
use super::text::texts;
use super::{fill, mismatch};
use crate::{ListenAddress, SelectorSpec, TokenSpec};

pub(super) fn listen(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<ListenAddress> {
    let mut addresses = Vec::new();
    texts(
        report,
        name,
        node,
        "a list of addresses",
        |report, item, text| match ListenAddress::parse(text) {
            Ok(address) => addresses.push(address),
            Err(why) => {
                let message = format!("{} is not an address", quoted(&shorten(text)));
                report.error("bad-value", &item.span, message, Some(why));
            }
        },
    );
    addresses
}

pub(super) fn ip_addresses(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    texts(report, name, node, "a list of IP addresses", |report, item, text| match text.parse() {
        Ok(address) => addresses.push(address),
        Err(_) => {
            let message = format!("{} is not an IP address", quoted(&shorten(text)));
            let help = Some("write one such as 192.168.1.7, without a port".to_owned());
            report.error("bad-value", &item.span, message, help);
        }
    });
    addresses
}

/// A table of values by path. A path may be written with dots or as inner tables.
pub(super) fn params(
    report: &mut Report<'_>,
    name: &str,
    node: &Node<'_>,
) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    if !matches!(node.value, Value::Table(_)) {
        let help = Some(format!("write {name} = {{ temperature = 0.7 }}"));
        mismatch(report, &name, node, "a table of values", help);
        return params;
    }
    for member in node.members() {
        match json(&member.node) {
            Some(value) => {
                params.insert(member.key.to_string(), value.to_string());
            }
            None => {
                let message =
                    format!("{name}.{} has no form in JSON", quoted(&shorten(&member.key)));
                let help = Some(
                    "JSON has texts, finite numbers, true, false, lists and tables".to_owned(),
                );
                report.error("bad-value", &member.node.span, message, help);
            }
        }
    }
    params
}

/// The value in JSON; none for a date, a number beyond 64 bits and one that is not finite.
fn json(node: &Node<'_>) -> Option<Json> {
    Some(match &node.value {
        Value::Text(text) => Json::from(&**text),
        Value::Integer(number) => Json::from((*number)?),
        Value::Float(number) => Json::Number(serde_json::Number::from_f64(*number)?),
        Value::Bool(truth) => Json::from(*truth),
        Value::List(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Table(members) => {
            let members = members.iter().map(|m| Some((m.key.to_string(), json(&m.node)?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
        Value::Other(_) => return None,
    })
}

pub(super) fn tokens(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<TokenSpec> {
    let mut tokens = Vec::new();
    if !matches!(node.value, Value::Table(_)) {
        let help = "write [gateway.tokens.NAME] with file = \"NAME.token\"; the secret itself has no place here";
        mismatch(report, &name, node, "a table of tables", Some(help.to_owned()));
    }
    for member in node.members() {
        let place = format!("[gateway.tokens.{}]", shorten(&member.key));
        let mut draft = TokenDraft::default();
        fill(report, &place, &member.node, TOKEN, &mut draft);
        match draft.file {
            Some(file) => {
                let mut token = TokenSpec::new(member.key.to_string(), file.into());
                token.components = draft.components;
                tokens.push(token);
            }
            None if member.node.get("file").is_none() && is_table(&member.node) => {
                let message = format!("{place} names no file");
                let help = "write file = \"NAME.token\"; make one with `(umask 077; openssl rand -hex 32 > NAME.token)`";
                report.error("missing-key", &member.key_span, message, Some(help.to_owned()));
            }
            None => {}
        }
    }
    tokens
}

pub(super) fn selectors(report: &mut Report<'_>, name: &str, node: &Node<'_>) -> Vec<SelectorSpec> {
    let mut selectors = Vec::new();
    if !matches!(node.value, Value::Table(_)) {
        let help = "write [gateway.selectors.NAME] with components = [..]";
        mismatch(report, &name, node, "a table of tables", Some(help.to_owned()));
    }
    for member in node.members() {
        let place = format!("[gateway.selectors.{}]", shorten(&member.key));
        let mut selector = SelectorSpec::new(member.key.to_string());
        fill(report, &place, &member.node, SELECTOR, &mut selector);
        if member.node.get("components").is_none() && is_table(&member.node) {
            let message = format!("{place} has no components");
            let help = Some("write components = [\"the preferred one\", \"another\"]".to_owned());
            report.error("missing-key", &member.key_span, message, help);
        }
        selectors.push(selector);
    }
    selectors
}

fn is_table(node: &Node<'_>) -> bool {
    matches!(node.value, Value::Table(_))
}
