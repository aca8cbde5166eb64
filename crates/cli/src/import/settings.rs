//! Settings of the file that concern no single model.

use super::exclusion::is_list;
use super::names;
use super::out;
use super::proxy::{Address, Port};
use super::reader::{Context, Found, Section};
use super::report::Outcome;

/// Keys that need no translation, or have none.
const FIXED: [(&str, Outcome, &str); 10] = [
    ("startPort", Outcome::NotNeeded, "a free port is chosen at each start"),
    ("logLevel", Outcome::NotNeeded, "majordomo serve -v, -vv or RUST_LOG"),
    ("logRequests", Outcome::NotNeeded, "the log of majordomo serve -v, and its events"),
    ("logTimeFormat", Outcome::NotNeeded, "majordomo serve --log-format"),
    ("logToStdout", Outcome::NotNeeded, "outputs of components: majordomo logs NAME"),
    ("performance", Outcome::NotNeeded, "majordomo memory and status"),
    ("metricsMaxInMemory", Outcome::NotSupported, "single requests are not recorded"),
    ("captureBuffer", Outcome::NotSupported, "requests and answers are not recorded"),
    ("store", Outcome::NotSupported, "single requests are not recorded"),
    ("ui", Outcome::NotSupported, "there is no page of requests"),
];

pub(super) fn fixed(cx: &mut Context, root: &Section<'_>) {
    for (key, outcome, detail) in FIXED {
        if let Some(found) = root.get(key) {
            cx.report.add(outcome, &found.path, found.line, detail);
        }
    }
    if let Some(found) = root.get("sendLoadingState") {
        loading_state(cx, &found);
    }
    if let Some(found) = root.get("includeAliasesInList") {
        cx.not_supported(&found, "lists have a model once, by its component");
    }
    if let Some(scheduler) = root.get("routing").and_then(|found| found.section().get("scheduler"))
        && let Some(found) = scheduler.section().get("use")
    {
        cx.not_needed(&found, "demands are queued by priority and age");
    }
}

pub(super) fn loading_state(cx: &mut Context, found: &Found<'_>) {
    match cx.truth(found) {
        Some(true) => cx.not_supported(
            found,
            "streams get comments with the state of the load, not text of the model",
        ),
        _ => cx.not_needed(found, "it is the default"),
    }
}

/// Priorities of the scheduler by model ID.
pub(super) fn priorities(
    cx: &mut Context,
    root: &Section<'_>,
    model: &dyn Fn(&str) -> Option<usize>,
) -> Vec<(usize, &'static str)> {
    let steps = ["routing", "scheduler", "settings", "fifo", "priority"];
    let mut section = root.clone();
    for (n, step) in steps.iter().enumerate() {
        let Some(found) = section.get(step) else { return Vec::new() };
        if n + 1 < steps.len() {
            section = found.section();
            continue;
        }
        let mut out = Vec::new();
        for found in found.section().all() {
            match (cx.integer(&found), model(found.key())) {
                (_, None) => cx.not_supported(&found, "there is no such model"),
                (Some(0) | None, _) => {
                    cx.not_needed(&found, "priority = \"MEDIUM\" is the default");
                }
                (Some(number), Some(model)) => {
                    let priority = if number > 0 { "HIGH" } else { "LOW" };
                    cx.translated(&found, format!("priority = \"{priority}\""));
                    out.push((model, priority));
                }
            }
        }
        return out;
    }
    Vec::new()
}

/// Lines for keys of clients: secrets do not stand in a configuration.
pub(super) fn api_keys(cx: &mut Context, root: &Section<'_>) -> usize {
    let Some(found) = root.get("apiKeys") else { return 0 };
    let n = cx.texts(&found).len();
    if n == 0 {
        cx.not_needed(&found, "it is empty");
        return 0;
    }
    cx.not_supported(
        &found,
        "secrets are not copied: write each key into a file of its own (mode 600) and name it in [gateway.tokens.NAME]; until then the gateway takes no token, on this machine only",
    );
    n
}

/// Paths that load nothing, as far as regular expressions name them plainly.
pub(super) fn ignored_paths(cx: &mut Context, root: &Section<'_>) -> Vec<String> {
    let Some(found) = root.get("upstream").and_then(|found| found.section().get("ignorePaths"))
    else {
        return Vec::new();
    };
    let texts = cx.texts(&found);
    let mut paths = Vec::new();
    let mut left_out = Vec::new();
    for (text, _) in texts {
        match plain_paths(&text) {
            Some(plain) => paths.extend(plain),
            None => left_out.push(majordomo::quoted(&text).to_string()),
        }
    }
    match (paths.is_empty(), left_out.is_empty()) {
        (_, true) => cx.translated(&found, "ignore_paths"),
        (true, false) => {
            cx.not_supported(
                &found,
                "ignore_paths of [gateway] has paths, not regular expressions",
            );
        }
        (false, false) => cx.not_supported(
            &found,
            format!("ignore_paths, without the regular expressions {}", left_out.join(", ")),
        ),
    }
    paths
}

/// The paths of `^/a$|^/b$`; `None` where an expression means more than that.
fn plain_paths(expression: &str) -> Option<Vec<String>> {
    let plain = |part: &str| {
        let part =
            part.strip_prefix('^')?.strip_suffix('$')?.replace("\\/", "/").replace("\\.", "\0");
        let is_plain = part.starts_with('/')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "/_-\0".contains(c));
        is_plain.then(|| part.replace('\0', "."))
    };
    expression.split('|').map(plain).collect()
}

/// A component for each model of a peer: its name is given later.
#[derive(Debug)]
pub(super) struct PeerModel {
    /// `PEER/MODEL`
    pub full: String,
    pub model: String,
    pub url: String,
}

/// The peers whose models can be reached.
pub(super) fn peers(cx: &mut Context, root: &Section<'_>) -> Vec<PeerModel> {
    let Some(peers) = root.get("peers") else { return Vec::new() };
    let mut out = Vec::new();
    if !cx.is_table(&peers) {
        return out;
    }
    for peer in peers.section().all() {
        let section = peer.section();
        let Some(proxy) = section.get("proxy") else {
            cx.wrong(&peer, "the peer has no proxy");
            continue;
        };
        let Some(text) = cx.known_text(&proxy) else { continue };
        let address = match Address::parse(&text) {
            Ok(address) => address,
            Err(why) => {
                cx.wrong(&proxy, why);
                continue;
            }
        };
        let Port::Fixed(port) = address.port else { continue };
        let key = section.get("apiKey").filter(|found| !found.node.is_null());
        let why = if address.is_tls {
            Some("TLS to another machine is not supported")
        } else if key.is_some() {
            Some("requests to it are sent without its apiKey")
        } else if !address.path.is_empty() {
            Some("requests are not sent below a path")
        } else {
            None
        };
        let filters = section.get("filters").filter(|found| !found.node.members().is_empty());
        if let Some(why) = why {
            cx.not_supported(&peer, why);
            continue;
        }
        let models = section.get("models");
        let listed = models.as_ref().map(|found| cx.texts(found)).unwrap_or_default();
        let mut seen = Vec::new();
        for (model, _) in listed {
            if seen.contains(&model) {
                continue;
            }
            seen.push(model.clone());
            let url = format!("http://{}:{port}", address.host);
            out.push(PeerModel { full: format!("{}/{model}", peer.key()), model, url });
        }
        cx.translated(&proxy, "external of a component for each of its models");
        if let Some(found) = &models {
            cx.translated(found, "a component for each, with model_name");
        }
        if let Some(found) = filters {
            cx.not_supported(&found, "set set_params and strip_params at the components");
        }
        if let Some(found) = section.get("timeouts") {
            cx.not_supported(&found, "times of connections are those of [gateway]");
        }
    }
    out
}

/// A selector: its name, components, choice, and whether lists have it.
#[derive(Debug)]
pub(super) struct Selector {
    pub name: String,
    pub components: Vec<String>,
    pub select: &'static str,
    pub unlisted: bool,
}

pub(super) fn selectors(
    cx: &mut Context,
    root: &Section<'_>,
    component: &dyn Fn(&str) -> Option<String>,
) -> Vec<Selector> {
    let Some(all) = root.get("selectors") else { return Vec::new() };
    let mut out = Vec::new();
    if !cx.is_table(&all) {
        return out;
    }
    for found in all.section().all() {
        let section = found.section();
        let Some(strategy_at) = section.get("strategy") else {
            cx.wrong(&found, "the selector has no strategy; write warm, pin or spillover");
            continue;
        };
        let select = match cx.known_text(&strategy_at).as_deref() {
            Some("warm") => {
                cx.translated(&strategy_at, "select = \"warm\"");
                "warm"
            }
            Some("pin") => {
                cx.translated(&strategy_at, "select = \"first\"");
                "first"
            }
            Some("spillover") => {
                cx.not_supported(
                    &strategy_at,
                    "requests are not spread over several components; select = \"warm\"",
                );
                "warm"
            }
            _ => {
                cx.wrong(&strategy_at, "write warm, pin or spillover");
                continue;
            }
        };
        let targets = section.get("targets");
        let mut components: Vec<String> = Vec::new();
        for (target, place) in targets.as_ref().map(|found| cx.texts(found)).unwrap_or_default() {
            match component(&target) {
                Some(name) if components.contains(&name) => {}
                Some(name) => components.push(name),
                None => cx.report.remarks.push(format!(
                    "line {}: the selector {} names {}, which has no component here; it was left out",
                    place.line,
                    majordomo::quoted(found.key()),
                    majordomo::quoted(&target)
                )),
            }
        }
        // pin uses the first target only; the others are for people.
        if select == "first" {
            components.truncate(1);
        }
        if let Some(found) = &targets {
            cx.translated(found, "components");
        }
        for key in ["name", "description", "metadata"] {
            if let Some(found) = section.get(key) {
                cx.not_supported(&found, "lists of models have the selector's name only");
            }
        }
        if let Some(found) = section.get("settings") {
            cx.not_supported(&found, "requests are not spread over several components");
        }
        let unlisted_at = section.get("unlisted");
        let unlisted = unlisted_at.as_ref().and_then(|found| cx.truth(found)) == Some(true);
        if let Some(found) = &unlisted_at {
            cx.translated(found, "unlisted");
        }
        if components.is_empty() {
            cx.not_supported(&found, "none of its targets has a component");
            continue;
        }
        out.push(Selector { name: found.key().to_owned(), components, select, unlisted });
    }
    out
}

/// Old profiles are lists of models that are addressed as `PROFILE:MODEL`: those names, by model. New ones are switched while
/// the server runs, and none is active at first.
pub(super) fn profiles(cx: &mut Context, root: &Section<'_>) -> Vec<(String, String, usize)> {
    let Some(all) = root.get("profiles") else { return Vec::new() };
    let mut out = Vec::new();
    if !cx.is_table(&all) {
        return out;
    }
    for found in all.section().all() {
        if !is_list(&found.node.value) {
            cx.not_supported(&found, "names are not switched while the server runs; none is active at first in llama-swap");
            continue;
        }
        for (model, place) in cx.texts(&found) {
            out.push((format!("{}:{model}", found.key()), model, place.line));
        }
        cx.translated(
            &found,
            "aliases PROFILE:MODEL; its models run beside each other as the budget allows",
        );
    }
    out
}

/// The models that are loaded at start.
pub(super) fn preloaded(
    cx: &mut Context,
    root: &Section<'_>,
    model: &dyn Fn(&str) -> Option<usize>,
) -> Vec<usize> {
    let Some(found) = root
        .get("hooks")
        .and_then(|hooks| hooks.section().get("on_startup"))
        .and_then(|hook| hook.section().get("preload"))
    else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (id, place) in cx.texts(&found) {
        match model(id.trim()) {
            Some(model) => out.push(model),
            None => cx.report.remarks.push(format!(
                "line {}: hooks.on_startup.preload names {}, which is no model; it was left out",
                place.line,
                majordomo::quoted(&id)
            )),
        }
    }
    cx.translated(&found, "lazy_init = false");
    out
}

/// A number of seconds of the file, or what llama-swap takes without it.
pub(super) fn seconds(cx: &mut Context, root: &Section<'_>, key: &str, default: u64) -> u64 {
    let Some(found) = root.get(key) else { return default };
    let number = cx.integer(&found);
    number.and_then(|number| cx.duration(&found, number)).unwrap_or(default)
}

/// Writes a selector as `[gateway.selectors.NAME]`.
pub(super) fn selector_table(selector: &Selector) -> out::Table {
    let mut table = out::Table::new(format!("gateway.selectors.{}", out::key(&selector.name)));
    table.set("components", out::list("components", &selector.components));
    table.set("select", out::text(selector.select));
    if selector.unlisted {
        table.set("unlisted", "true");
    }
    table
}

/// Writes a peer's model as a component with `external`.
pub(super) fn peer_table(peer: &PeerModel, name: &str, aliases: &[String]) -> out::Table {
    let mut table = out::Table::new(format!("components.{name}"));
    table.comments.push(format!("llama-swap: peer {}", peer.full));
    let kinds = ["chat", "completion"];
    table.set_with(
        "serves",
        out::list("serves", &kinds),
        "not stated by the peer; correct it where it is wrong",
    );
    let aliases: Vec<&String> =
        aliases.iter().filter(|alias| *alias != name && names::is_alias(alias)).collect();
    if !aliases.is_empty() {
        table.set("aliases", out::list("aliases", &aliases));
    }
    table.set("model_name", out::text(&peer.model));
    table.set("external", format!("{{ url = {} }}", out::text(&peer.url)));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_expressions_are_paths() {
        assert_eq!(plain_paths(r"^\/ws$|^/api/jobs$").unwrap(), ["/ws", "/api/jobs"]);
        assert_eq!(plain_paths(r"^/favicon\.ico$").unwrap(), ["/favicon.ico"]);
        assert!(plain_paths(r".*\.(js|css)$").is_none());
        assert!(plain_paths("^/a.b$").is_none());
    }
}
