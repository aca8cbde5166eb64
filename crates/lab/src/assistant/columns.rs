//! The tables with a row for each policy: their columns, and how a figure of several days is
//! written.

use std::fmt::Write as _;

use super::figures::{Spread, quantile};
use super::goals;
use super::policy::Policy;
use super::record::{Run, Summary};

/// Bytes of a mebibyte.
pub(super) const MIB: f64 = (1 << 20) as f64;

/// A column of the table of policies: its title, the figure of a run, and its decimals.
pub(super) struct Column {
    title: &'static str,
    of: fn(&Run, f64) -> f64,
    decimals: usize,
    /// This quantile of the waits of all days instead of a mean of days, none of which has commands
    /// enough for it.
    quantile: Option<f64>,
}

const fn column(title: &'static str, of: fn(&Run, f64) -> f64, decimals: usize) -> Column {
    Column { title, of, decimals, quantile: None }
}

impl Column {
    fn cell(&self, runs: &[&Run], all: f64) -> String {
        let values: Vec<f64> = runs.iter().map(|r| (self.of)(r, all)).collect();
        let mut spread = Spread::new(&values);
        if let Some(share) = self.quantile {
            let served = runs.iter().flat_map(|r| &r.commands).filter(|c| c.is_served);
            let mut waits: Vec<f64> = served.map(goals::wait).collect();
            waits.sort_by(f64::total_cmp);
            spread.mean = quantile(&waits, share);
        }
        shown(spread, self.decimals)
    }
}

/// Waits and memory.
pub(super) const COLUMNS: &[Column] = &[
    column("waited %", |r, _| 100.0 * r.figures.share(r.figures.n_waited), 1),
    column("mean wait ms", |r, _| r.figures.mean_ms, 0),
    column("p50", |r, _| r.figures.p50_ms, 0),
    column("p95", |r, _| r.figures.p95_ms, 0),
    Column { quantile: Some(0.99), ..column("p99", |r, _| r.figures.p99_ms, 0) },
    column("to the answer ms", |r, _| r.figures.to_answer_ms, 0),
    column("before load ms", |r, _| r.figures.before_load_ms, 0),
    column("PSS mean MiB", |r, _| r.mean / MIB, 0),
    column("mean %", |r, all| 100.0 * r.mean / all, 1),
    column("PSS peak MiB", |r, _| r.peak as f64 / MIB, 0),
    column("peak %", |r, all| 100.0 * r.peak as f64 / all, 1),
    column("served", |r, _| r.figures.n_served as f64, 0),
    column("refused", |r, _| r.figures.n_refused as f64, 0),
    column("exact %", |r, _| 100.0 * r.figures.exact_share(), 1),
    column("real %", |r, _| 100.0 * r.figures.share(r.figures.n_real), 1),
];

/// Loads, processors, disks and the manager itself.
pub(super) const WORK: &[Column] = &[
    column("loads", |r, _| r.tally.loads as f64, 0),
    column("evictions", |r, _| r.tally.evictions as f64, 0),
    column("preloads", |r, _| r.tally.preloads as f64, 0),
    column("hit", |r, _| r.tally.hits as f64, 0),
    column("late", |r, _| r.tally.late as f64, 0),
    column("wasted", |r, _| r.tally.wasted as f64, 0),
    column("CPU s of components", |r, _| r.used.components_cpu_s, 1),
    column("CPU s of the manager", |r, _| r.used.manager_cpu_s, 2),
    column("read MiB", |r, _| r.used.components_io.read as f64 / MIB, 0),
    column("from disk MiB", |r, _| r.used.components_io.disk_read as f64 / MIB, 1),
    column("to disk MiB", |r, _| r.used.components_io.disk_written as f64 / MIB, 1),
    column("manager to disk MiB", |r, _| r.used.manager_io.disk_written as f64 / MIB, 2),
    column("manager PSS mean MiB", |r, _| r.manager_mean / MIB, 1),
    column("manager PSS peak MiB", |r, _| r.manager_peak as f64 / MIB, 1),
    column("guard PSS MiB", |r, _| r.guard_mean / MIB, 1),
    column("answer ms", |r, _| r.figures.answer_ms, 0),
];

/// A mean with the least and the most, where these differ.
pub(super) fn shown(spread: Spread, decimals: usize) -> String {
    let number = |x: f64| format!("{x:.decimals$}");
    if number(spread.least) == number(spread.most) {
        return number(spread.mean);
    }
    format!("{} ({}–{})", number(spread.mean), number(spread.least), number(spread.most))
}

/// The policies that were played, each with its runs.
pub(super) fn played(summary: &Summary) -> impl Iterator<Item = (Policy, Vec<&Run>)> {
    Policy::EVERY
        .into_iter()
        .map(|policy| (policy, goals::of(summary, policy).collect::<Vec<_>>()))
        .filter(|(_, runs)| !runs.is_empty())
}

/// A row for each policy.
pub(super) fn table(out: &mut String, summary: &Summary, columns: &[Column]) {
    let all = summary.all_loaded().max(1) as f64;
    let titles: Vec<_> = columns.iter().map(|c| c.title).collect();
    let _ = writeln!(out, "| policy | days | budget MiB | {} |", titles.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}", "---|".repeat(columns.len()));
    for (policy, runs) in played(summary) {
        let budgets: Vec<f64> =
            runs.iter().filter_map(|r| r.budget).map(|b| b as f64 / MIB).collect();
        let budget = match budgets.is_empty() {
            true => "–".to_owned(),
            false => shown(Spread::new(&budgets), 0),
        };
        let _ = write!(out, "| {policy} | {} | {budget} |", runs.len());
        for column in columns {
            let _ = write!(out, " {} |", column.cell(&runs, all));
        }
        out.push('\n');
    }
}
