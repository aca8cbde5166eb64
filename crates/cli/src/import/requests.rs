//! Changes of a model's requests, and how many it has at a time.

use super::document::{Node, Value};
use super::out::{self, Table};
use super::reader::{Context, Section};

/// Changes of request bodies.
pub(super) fn bodies(cx: &mut Context, section: &Section<'_>, id: &str, table: &mut Table) {
    let Some(filters) = section.get("filters") else { return };
    if !cx.is_table(&filters) {
        return;
    }
    let filters = filters.section();
    let stripped = ["stripParams", "strip_params"].map(|key| filters.get(key));
    let mut names: Vec<String> = Vec::new();
    for found in stripped.into_iter().flatten() {
        if !names.is_empty() {
            cx.not_needed(&found, "stripParams is stated, too");
            continue;
        }
        let text = cx.known_text(&found).unwrap_or_default();
        let parts =
            text.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "model");
        parts.for_each(|name| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
        cx.translated(&found, "strip_params");
    }
    if !names.is_empty() {
        table.set("strip_params", out::list("strip_params", &names));
    }
    let mut entries = Vec::new();
    if let Some(set) = filters.get("setParams")
        && cx.is_table(&set)
    {
        params(cx, &set.section(), &mut entries);
    }
    if let Some(by_id) = filters.get("setParamsByID")
        && cx.is_table(&by_id)
    {
        for found in by_id.section().all() {
            // Without another name, every request of the model has its ID.
            let is_only_name =
                found.key() == id && section.get("aliases").is_none_or(|a| is_empty(a.node));
            if is_only_name && by_id.node.members().len() == 1 && cx.is_table(&found) {
                params(cx, &found.section(), &mut entries);
            } else {
                cx.not_supported(
                    &found,
                    "the name is an alias; values that depend on the name of a request are not set",
                );
            }
        }
    }
    if !entries.is_empty() {
        table.set("set_params", out::inline(&entries));
    }
}

fn is_empty(node: &Node) -> bool {
    node.is_null() || matches!(&node.value, Value::List(items) if items.is_empty())
}

fn params(cx: &mut Context, set: &Section<'_>, entries: &mut Vec<(String, String)>) {
    for found in set.all() {
        if found.key() == "model" {
            cx.not_needed(&found, "llama-swap does not set `model`");
            continue;
        }
        match out::value(found.node) {
            Ok(value) => {
                entries.retain(|(name, _)| name != found.key());
                entries.push((found.key().to_owned(), value));
                cx.translated(&found, "set_params");
            }
            Err(why) => cx.not_supported(&found, why),
        }
    }
}

/// Limits and connections.
pub(super) fn requests(cx: &mut Context, section: &Section<'_>, id: &str, table: &mut Table) {
    if let Some(found) = section.get("concurrencyLimit")
        && let Some(limit) = cx.integer(&found)
    {
        match limit {
            ..=0 => {
                cx.not_needed(&found, "without max_in_flight, requests are not bounded by number");
            }
            1..=65536 => {
                table.set("max_in_flight", limit.to_string());
                table.set_with("queue", "0", "further requests are refused at once, as by llama-swap; without this line 64 wait");
                cx.translated(&found, "max_in_flight, queue = 0");
            }
            _ => cx.not_needed(&found, "it is more than any number of requests"),
        }
    }
    let compat = section.get("compat").map(|found| found.section());
    let ignored = compat.and_then(|compat| compat.get("ignoreWebsockets"));
    let is_ignored = ignored.as_ref().and_then(|found| cx.truth(found)) == Some(true);
    if let Some(found) = &ignored {
        match is_ignored {
            true => cx.translated(found, "connection_use = \"ignore\""),
            false => cx.not_needed(found, "it is the default"),
        }
    }
    // llama-swap's own rule for this ID.
    if is_ignored || id == "comfyui_auto" {
        table.set("connection_use", "\"ignore\"");
    }
    if let Some(found) = section.get("timeouts") {
        cx.not_supported(
            &found,
            "times of connections are those of [gateway]: answer_time, idle_time, stall_time",
        );
    }
    if let Some(found) = section.get("sendLoadingState") {
        super::settings::loading_state(cx, &found);
    }
}
