//! Checks of the gateway across components: names that clients use, addresses, and who may reach them.
//!
//! Invariant of a configuration that passes: a name means one thing, an address is taken once, and no address that other
//! machines reach is open to them without a token or the word of the operator.

use std::collections::HashMap;
use std::ops::Range;

use majordomo_core::{ComponentId, quoted};

use super::fill::suggest;
use super::node::{Node, Value};
use super::sections::{Declared, DeclaredGateway, Draft};
use super::source::{Report, shorten};
use crate::rules::{CLIENT_NAME, is_client_name};
use crate::{ListenAddress, LoaderSpec};

pub(crate) fn check(reports: &mut [Report<'_>], draft: &Draft<'_>) {
    if let Some(gateway) = &draft.gateway {
        settings(&mut reports[0], gateway);
        components(&mut reports[0], gateway, &draft.components);
    }
    names(reports, draft);
    addresses(reports, draft);
}

/// The place of a text in a list of a table; the table's key without it.
fn item(table: &Node<'_>, key: &str, text: &str) -> Option<Range<usize>> {
    let member = table.get(key)?;
    let Value::List(items) = &member.node.value else { return Some(member.node.span.clone()) };
    let is_it = |node: &&Node<'_>| matches!(&node.value, Value::Text(t) if *t == text);
    Some(items.iter().find(is_it).map_or(&member.node.span, |node| &node.span).clone())
}

impl DeclaredGateway<'_> {
    fn place(&self, key: &str) -> Range<usize> {
        self.member.node.get(key).map_or(&self.member.key_span, |m| &m.node.span).clone()
    }

    fn item(&self, key: &str, text: &str) -> Range<usize> {
        item(&self.member.node, key, text).unwrap_or_else(|| self.member.key_span.clone())
    }

    /// The place of an inner table, by the key of its table and its own name.
    fn inner(&self, key: &str, name: &str) -> Range<usize> {
        let inner = self.member.node.get(key).and_then(|table| table.node.get(name));
        inner.map_or_else(|| self.place(key), |m| m.key_span.clone())
    }
}

/// Rules within `[gateway]`.
fn settings(report: &mut Report<'_>, gateway: &DeclaredGateway<'_>) {
    let spec = &gateway.spec;
    if spec.listen.is_empty() {
        let message = "[gateway] listens nowhere".to_owned();
        let help = Some("state an address, or remove the section".to_owned());
        report.error("bad-value", &gateway.place("listen"), message, help);
    }
    for address in &spec.listen {
        let place = gateway.item("listen", &address.to_string());
        if matches!(address, ListenAddress::Unix(_)) {
            let message = "the gateway listens at IP addresses only".to_owned();
            let help = Some("a Unix socket can be the `listen` of one component".to_owned());
            report.error("gateway-listen", &place, message, help);
        } else if !address.is_local() && spec.tokens.is_empty() {
            let message = format!("other machines reach {address}, and no token is configured");
            let help = "add [gateway.tokens.NAME] with file = \"NAME.token\", or listen at 127.0.0.1 or [::1]";
            report.error("gateway-listen", &place, message, Some(help.to_owned()));
        }
    }
    if spec.max_routed_body > spec.max_buffered {
        let message = format!(
            "max_routed_body is {}, more than max_buffered, which is {}",
            spec.max_routed_body, spec.max_buffered
        );
        report.error("out-of-range", &gateway.place("max_routed_body"), message, None);
    }
    let hosts = spec.hosts.iter().map(|host| ("hosts", host));
    for (key, host) in hosts.chain([("base_domain", &spec.base_domain)]) {
        if !is_host(host) {
            let message = format!("{} is not a host name", quoted(&shorten(host)));
            let help = Some("write the name alone, without scheme and port".to_owned());
            report.error("bad-value", &gateway.item(key, host), message, help);
        }
    }
    for origin in &spec.origins {
        if !is_origin(origin) {
            let message = format!("{} is not an origin", quoted(&shorten(origin)));
            let help = Some(
                "write scheme, host and port, such as https://chat.example:8443, without a path"
                    .to_owned(),
            );
            report.error("bad-value", &gateway.item("origins", origin), message, help);
        }
    }
    for path in spec.ignore_paths.iter().filter(|path| !path.starts_with('/')) {
        let message = format!("{} is not a path", quoted(&shorten(path)));
        let help = Some("it begins with /".to_owned());
        report.error("bad-value", &gateway.item("ignore_paths", path), message, help);
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    host.split('.').all(is_label)
}

/// Scheme, host and port; no path. Pages without an origin send `null`.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    is_scheme && !rest.is_empty() && !rest.bytes().any(|b| b"/?#@ ".contains(&b) || !b.is_ascii())
}

/// Names of components in tokens and selectors.
fn components(report: &mut Report<'_>, gateway: &DeclaredGateway<'_>, components: &[Declared<'_>]) {
    let is_known = |id: &ComponentId| components.iter().any(|c| c.spec.id == *id);
    let mut unknown = |table: &str, name: &str, id: &ComponentId| {
        let inner = gateway.member.node.get(table).and_then(|t| t.node.get(name));
        let span = inner.and_then(|inner| item(&inner.node, "components", id.as_str()));
        let span = span.unwrap_or_else(|| gateway.inner(table, name));
        let message = format!("there is no component \"{id}\"");
        let help = suggest(id.as_str(), components.iter().map(|c| c.spec.id.as_str()));
        report.error("unknown-component", &span, message, help);
    };
    for token in &gateway.spec.tokens {
        for id in token.components.iter().flatten().filter(|id| !is_known(id)) {
            unknown("tokens", &token.name, id);
        }
    }
    for selector in &gateway.spec.selectors {
        for id in selector.components.iter().filter(|id| !is_known(id)) {
            unknown("selectors", &selector.name, id);
        }
    }
    for selector in &gateway.spec.selectors {
        let span = gateway.inner("selectors", &selector.name);
        if !is_client_name(&selector.name) {
            let message = format!("{} is not a name for clients", quoted(&shorten(&selector.name)));
            report.error("bad-name", &span, message, Some(CLIENT_NAME.to_owned()));
        }
        let stated = gateway.member.node.get("selectors").and_then(|s| s.node.get(&selector.name));
        let is_reported = stated.is_some_and(|s| s.node.get("components").is_none());
        if selector.components.is_empty() && !is_reported {
            let message = format!("selector {} chooses among no component", quoted(&selector.name));
            let help = Some("name at least one".to_owned());
            report.error("bad-value", &span, message, help);
        }
    }
}

/// A name that clients use means one component, or one selector.
fn names(reports: &mut [Report<'_>], draft: &Draft<'_>) {
    let ids = draft.components.iter().map(|c| c.spec.id.as_str());
    // The first meaning of each name, in words.
    let mut taken: HashMap<&str, String> =
        ids.map(|id| (id, "is a component".to_owned())).collect();
    let taken_twice = |name: &str, first: &str| format!("the name {} {first}", quoted(name));
    let help = || Some("a name for clients means one thing; use another".to_owned());
    for declared in &draft.components {
        for alias in &declared.spec.route().aliases {
            let meaning = format!("is an alias of \"{}\"", declared.spec.id);
            let Some(first) = taken.insert(alias, meaning) else { continue };
            let span = item(&declared.keys, "aliases", alias);
            let span = span.unwrap_or_else(|| declared.name_span.clone());
            let message = taken_twice(alias, &first);
            reports[declared.file].error("gateway-name", &span, message, help());
        }
    }
    let Some(gateway) = &draft.gateway else { return };
    for selector in &gateway.spec.selectors {
        if let Some(first) = taken.get(&*selector.name) {
            let span = gateway.inner("selectors", &selector.name);
            reports[0].error("gateway-name", &span, taken_twice(&selector.name, first), help());
        }
    }
}

/// Addresses: each is taken once, none is the component's own, and none is open without leave.
fn addresses(reports: &mut [Report<'_>], draft: &Draft<'_>) {
    let mut taken: Vec<(&ListenAddress, String)> = Vec::new();
    if let Some(gateway) = &draft.gateway {
        for address in &gateway.spec.listen {
            if let Some((_, by)) = taken.iter().find(|(other, _)| other.overlaps(address)) {
                let message = format!("{address} is taken twice: {by} listens there, too");
                let span = gateway.item("listen", &address.to_string());
                reports[0].error("gateway-listen", &span, message, None);
            }
            taken.push((address, "the gateway".to_owned()));
        }
    }
    for declared in &draft.components {
        let route = declared.spec.route();
        for address in &route.listen {
            let span = item(&declared.keys, "listen", &address.to_string());
            let span = span.unwrap_or_else(|| declared.name_span.clone());
            let mut error = |message: String, help: &str| {
                let help = Some(help.to_owned());
                reports[declared.file].error("gateway-listen", &span, message, help);
            };
            if draft.gateway.is_none() {
                error(
                    "listen is the gateway's, which is off".to_owned(),
                    "add the section [gateway]",
                );
            }
            if !address.is_local() && !route.expose {
                error(
                    format!("other machines reach {address}, where no token is asked for"),
                    "listen at 127.0.0.1 or [::1], or write expose = true",
                );
            }
            if let Some(owner) = draft.components.iter().find(|c| is_own(c, address)) {
                error(
                    format!("{address} is the address of the program of \"{}\"", owner.spec.id),
                    "give the program another port (port, or {port} in its command for a free one)",
                );
            }
            if let Some((_, by)) = taken.iter().find(|(other, _)| other.overlaps(address)) {
                error(
                    format!("{address} is taken twice: {by} listens there, too"),
                    "choose another",
                );
            }
            taken.push((address, format!("\"{}\"", declared.spec.id)));
        }
    }
}

/// Whether a program has the address itself: its fixed port, on the loopback addresses, or its socket.
fn is_own(declared: &Declared<'_>, address: &ListenAddress) -> bool {
    let LoaderSpec::Process(process) = &declared.spec.loader else { return false };
    match address {
        ListenAddress::Tcp(address) => {
            process.port == Some(address.port())
                && (address.ip().is_loopback() || address.ip().is_unspecified())
        }
        ListenAddress::Unix(path) => process.socket.as_ref() == Some(path),
    }
}
