//! The configuration as a text.

use std::collections::BTreeSet;

use super::memory::pool_name;
use super::model::Translated;
use super::naming::Names;
use super::out::{self, Table};
use super::settings::{self, Selector};
use super::surroundings::Device;

/// The values on which the tables besides those of components depend.
pub(super) struct Head<'a> {
    /// Seconds.
    pub load: u64,
    pub stop: u64,
    pub unload_timeout: u64,
    pub device: Device,
    pub n_pools: usize,
    pub n_keys: usize,
    pub ignored: Vec<String>,
    /// Variables of the manager that every component sees.
    pub passed: &'a [&'a str],
}

/// The text of the configuration.
pub(super) fn write(
    head: &Head<'_>,
    made: &[Option<Translated>],
    selectors: &[Selector],
    names: &Names,
) -> String {
    let mut tables = Vec::new();
    let mut manager = Table::new("manager");
    manager.set("shutdown_deadline", out::seconds(head.stop + 5));
    tables.push(manager);
    let mut gateway = Table::new("gateway");
    gateway.comments.push("Clients connect to http://127.0.0.1:7422. The port of llama-swap: listen = [\"127.0.0.1:8080\"]".to_owned());
    if head.n_keys > 0 {
        gateway.comments.push(format!(
            "The file had {}: give each client a table [gateway.tokens.NAME] with file = \"PATH\"",
            majordomo::count(head.n_keys, "API key")
        ));
    }
    if !head.ignored.is_empty() {
        let paths = ["/favicon.ico", "/health", "/metrics"].into_iter().map(str::to_owned);
        let paths: BTreeSet<String> = paths.chain(head.ignored.iter().cloned()).collect();
        let paths: Vec<String> = paths.into_iter().collect();
        gateway.set("ignore_paths", out::list("ignore_paths", &paths));
    }
    tables.push(gateway);
    tables.extend(selectors.iter().map(settings::selector_table));
    if let Device::Gpu(bytes) = head.device {
        let mut pool = Table::new("pools.gpu");
        pool.comments.push(
            "The graphics card. Its memory is not measured: the models' shares are estimates."
                .to_owned(),
        );
        pool.set("budget", out::size(bytes.0));
        pool.set("accounting", "\"declared\"");
        tables.push(pool);
    }
    for n in 0..head.n_pools {
        let mut pool = Table::new(format!("pools.{}", pool_name(n)));
        pool.comments.push("No memory, but a place: each of these models takes all of it, so one runs at a time, as with llama-swap. Where memory is stated, remove the place from the models that may run beside others.".to_owned());
        pool.set("budget", "\"1MiB\"");
        pool.set("accounting", "\"declared\"");
        tables.push(pool);
    }
    let mut defaults = Table::new("defaults");
    defaults.set("load_deadline", out::seconds(head.load));
    defaults.set("stop_deadline", out::seconds(head.unload_timeout));
    defaults.set_with(
        "env_allow",
        out::list("env_allow", head.passed),
        "A component sees no other variables of the manager than these and PATH, HOME, LANG, LC_ALL, TMPDIR, USER.",
    );
    tables.push(defaults);
    tables.extend(made.iter().flatten().map(|made| made.table.clone()));
    tables.extend(
        names.peers.iter().map(|(peer, name, aliases)| settings::peer_table(peer, name, aliases)),
    );
    let mut text = String::new();
    out::write_comment(
        &mut text,
        "Made by `majordomo import llama-swap`; check it with `majordomo check`.",
    );
    for table in &tables {
        text.push('\n');
        table.write(&mut text);
    }
    text
}
