//! `replay`: what another memory budget or policy would have meant for recorded usage.
//!
//! Reads traces or a user's own exported history; the figures come from the simulator, which runs the product's
//! policies. Sizes and load times come from a configuration where one is given, else they are made up from the
//! names, and that is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo::{count, quoted, read_config};
use majordomo_sim::replay::{
    Budget, ItemCost, PolicyName, Progress, Report, RungTable, Tally, Trace, replay_trace,
};

use crate::print;

/// A bar is shown when a replay has at least so many events.
const LONG: usize = 20_000;

/// The arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Recorded use: lines of user TAB unix seconds TAB component [TAB command], sorted by user and time, without a
    /// header, plain or gzip; `majordomo state export --usage` writes one
    #[arg(required = true, value_name = "USAGE")]
    usage: Vec<PathBuf>,
    /// Memory for all components: a size such as 8GiB, mb:1500, or slots:4 for a number of components; repeatable
    #[arg(long = "budget", required = true)]
    budgets: Vec<Budget>,
    /// lru, gdsf, vrank, vrank-wait, vrank-trim, a control such as belady, or all; repeatable
    #[arg(long = "policy", default_values = ["lru", "vrank"])]
    policies: Vec<String>,
    /// Read sizes and load times of components from this configuration; without it they are made up from the names
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Compare with components that are parked between loaded and gone: --rungs for a swap file on a disk, --rungs=TABLE for
    /// rates of your own
    #[arg(long, value_name = "TABLE", num_args = 0..=1, require_equals = true)]
    rungs: Option<Option<PathBuf>>,
}

pub(crate) fn run(args: &ReplayArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let policies = PolicyName::chosen(&args.policies)?;
    let budgets = Budget::distinct(&args.budgets);
    let mut traces = Vec::new();
    for path in &args.usage {
        let trace = Trace::open(path)?;
        if traces.iter().any(|t: &Trace| t.name == trace.name) {
            bail!("two files are called {}; rename one of them", quoted(&trace.name));
        }
        if trace.dropped_users > 0 {
            let n = trace.dropped_users;
            let users = count(n, "user");
            print::message(&format!("{}: {users} with too few events left out", trace.name));
        }
        traces.push(trace);
    }
    match &args.config {
        Some(path) => price(&mut traces, path)?,
        None => print::message(
            "sizes and load times are made up from the names; --config CONFIG reads yours",
        ),
    }
    let rung_table = match &args.rungs {
        None => None,
        Some(None) => Some(RungTable::published()),
        Some(Some(path)) => Some(
            RungTable::open(path)
                .with_context(|| format!("{} is no table of rungs", path.display()))?,
        ),
    };
    let variants: Vec<_> = std::iter::once(None).chain(rung_table.as_ref().map(Some)).collect();
    let n_runs = budgets.len() * policies.len() * variants.len();
    let mut bar = Bar::new(Progress::new(&traces, n_runs));
    let mut rows = Vec::new();
    for budget in &budgets {
        let with_variants = policies.iter().flat_map(|p| variants.iter().map(move |v| (p, *v)));
        for (policy, rungs) in with_variants {
            let name = policy.in_tables(rungs.is_some());
            let what = format!("{name} {budget}");
            let mut of_traces = Vec::new();
            for trace in &traces {
                let mut sum = Tally::default();
                let tallies = replay_trace(trace, *budget, *policy, rungs, &mut || bar.step(&what));
                tallies.iter().for_each(|tally| sum.add(tally));
                of_traces.push(Report::new(&name, *budget, &trace.name, None, &sum));
            }
            let mean = (of_traces.len() > 1).then(|| Report::mean(&of_traces)).flatten();
            rows.extend(of_traces);
            rows.extend(mean);
        }
    }
    bar.end();
    if as_json {
        for row in &rows {
            print::json(&serde_json::to_value(row).context("a row cannot be printed")?);
        }
    } else {
        print::lines(&table(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes sizes and load times from a configuration, by name.
fn price(traces: &mut [Trace], path: &std::path::Path) -> anyhow::Result<()> {
    let loaded = read_config(path, majordomo::memory_limit())?;
    let costs: BTreeMap<&str, (f64, Duration)> = loaded
        .specs
        .iter()
        .map(|s| (s.id.as_str(), (s.memory.bytes() as f64 / 1e6, s.load_time)))
        .collect();
    if loaded.specs.iter().any(|spec| !spec.memory_in.is_empty()) {
        print::message(
            "a replay has one budget: memory that components declare in other pools is not counted",
        );
    }
    let mut unknown: Vec<String> = Vec::new();
    for user in traces.iter_mut().flat_map(|t| &mut t.users) {
        for (name, cost) in user.items.iter().zip(&mut user.costs) {
            match costs.get(name.as_str()) {
                Some((size_mb, load_time)) => {
                    *cost = ItemCost { size_mb: *size_mb, load_time: *load_time };
                }
                None if !unknown.contains(name) => unknown.push(name.clone()),
                None => {}
            }
        }
    }
    if !unknown.is_empty() {
        let first: Vec<_> = unknown.iter().take(5).map(|n| quoted(n).to_string()).collect();
        print::message(&format!(
            "sizes and load times of {} that {} does not have are made up: {}{}",
            count(unknown.len(), "component"),
            path.display(),
            first.join(", "),
            if unknown.len() > 5 { ", ..." } else { "" }
        ));
    }
    Ok(())
}

fn table(rows: &[Report]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<12} {:<23} {:<20} {:>8} {:>7} {:>9} {:>9} {:>9} {:>12}",
        "budget",
        "policy",
        "usage",
        "commands",
        "ready %",
        "wait ms",
        "preloads",
        "wasted",
        "resident"
    )];
    for r in rows {
        lines.push(format!(
            "{:<12} {:<23} {:<20} {:>8} {:>7.2} {:>9.1} {:>9.3} {:>9.3} {:>12}",
            r.budget,
            r.policy,
            r.trace,
            r.events,
            r.hit_pct,
            r.wait_ms_mean,
            r.preloads_per_event,
            r.wasted_per_event,
            r.resident()
        ));
    }
    lines
}

/// How far a long replay is, on a terminal.
struct Bar {
    progress: Progress,
    on: bool,
}

impl Bar {
    fn new(progress: Progress) -> Self {
        let on = progress.n_events() >= LONG && print::error_is_terminal();
        Self { progress, on }
    }

    fn step(&mut self, what: &str) {
        if self.on
            && let Some(line) = self.progress.step(what)
        {
            print::progress(&line);
        }
    }

    fn end(&self) {
        if self.on {
            print::progress("");
        }
    }
}
