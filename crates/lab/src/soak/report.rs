//! The files of a run: `report.md` for people, `summary.json` for programs, the pictures beside them.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;

use super::Ended;
use super::histogram::Histogram;
use super::plot::{self, PICTURES};
use super::progress::clock;
use super::record::{Folder, Record, Row};
use super::verdict::Verdict;

/// A run and what is to be said of it.
pub(crate) struct Run<'a> {
    pub(crate) record: &'a Record,
    pub(crate) verdict: &'a Verdict,
    pub(crate) ended: Ended,
    /// The command that repeats the run.
    pub(crate) command: &'a str,
}

/// Writes everything and gives the lines for the terminal.
pub(crate) fn write(folder: &Folder, run: &Run<'_>, rows: &[Row]) -> anyhow::Result<String> {
    for picture in &PICTURES {
        plot::draw(&folder.path(picture.file), picture, run.record, rows)?;
    }
    let put = |name: &str, text: String| {
        let path = folder.path(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    put("report.md", markdown(run))?;
    put("summary.json", serde_json::to_string_pretty(&summary(run))?)?;
    Ok(terminal(folder, run))
}

fn per_hour(record: &Record, n: u64) -> f64 {
    n as f64 / (record.elapsed_s / 3_600.0).max(1e-9)
}

fn latency(name: &str, histogram: &Histogram) -> serde_json::Value {
    let us = |q| histogram.quantile(q).map(|d| d.as_secs_f64() * 1e6);
    serde_json::json!({
        "what": name, "n": histogram.count(),
        "p50_us": us(0.5), "p99_us": us(0.99), "p999_us": us(0.999), "max_us": us(1.0),
    })
}

fn latencies(record: &Record) -> [(&'static str, &Histogram); 5] {
    [
        ("lease on a ready component, calm", &record.ready_calm),
        ("lease on a ready component, under pressure", &record.ready_pressed),
        ("demand that waits, calm", &record.wait_calm),
        ("demand that waits, under pressure", &record.wait_pressed),
        ("lease through the socket, ready or not", &record.socket),
    ]
}

fn summary(run: &Run<'_>) -> serde_json::Value {
    let Run { record, verdict, ended, command } = *run;
    let programs = record.count("loads of programs");
    let loads = programs + record.count("loads of builtins");
    serde_json::json!({
        "command": command,
        "passed": ended == Ended::Passed,
        "interrupted": ended == Ended::Interrupted,
        "profile": record.profile,
        "seed": record.seed,
        "seconds": record.elapsed_s,
        "processes_of_the_manager": record.epoch + 1,
        "pressure": record.pressure,
        "loads_of_programs": programs,
        "loads": loads,
        "loads_of_programs_per_hour": per_hour(record, programs),
        "loads_per_hour": per_hour(record, loads),
        "violations": record.n_violations,
        "hung_waiters": record.n_hung,
        "counts": record.counts(),
        "latencies": latencies(record).map(|(name, h)| latency(name, h)),
        "verdict": verdict,
        "first_violations": record.violations,
    })
}

fn time(histogram: &Histogram, q: f64) -> String {
    histogram.quantile(q).map_or_else(|| "-".to_owned(), |d| format!("{d:.1?}"))
}

fn markdown(run: &Run<'_>) -> String {
    let Run { record, verdict, ended, command } = *run;
    let mut text = String::new();
    let programs = record.count("loads of programs");
    let loads = programs + record.count("loads of builtins");
    let word = ended.word();
    let ran = clock(Duration::from_secs_f64(record.elapsed_s));
    let _ = write!(
        text,
        "# Soak `{}`, seed {}: {word}\n\n\
         `{command}`\n\n\
         {ran} of real time in {} processes of the manager. {loads} loads ({:.0} an hour), {programs} of them of \
         programs ({:.0} an hour); {} unloads. Pressure: {}.\n\n## Verdict\n\n| rule | | measured |\n|---|---|---|\n",
        super::word(record.profile),
        record.seed,
        record.epoch + 1,
        per_hour(record, loads),
        per_hour(record, programs),
        record.count("unloads"),
        record.pressure,
    );
    for c in &verdict.checks {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            c.name,
            if c.ok { "ok" } else { "**FAILED**" },
            c.detail
        );
    }
    let _ = write!(
        text,
        "\nGrowth is the Theil-Sen slope over the nights (no client asks, everything but CORE is unloaded) after warming \
         up, {:.2} h in all, with a moving-block bootstrap interval. A resource leaks when the \
         interval is above zero and the slope above the bound.\n\n## Latency\n\n\
         | | n | p50 | p99 | p999 | max |\n|---|---|---|---|---|---|\n",
        verdict.measured_hours
    );
    for (name, h) in latencies(record) {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            h.count(),
            time(h, 0.5),
            time(h, 0.99),
            time(h, 0.999),
            time(h, 1.0)
        );
    }
    text.push_str("\n## What was done and answered\n\n| | n |\n|---|---|\n");
    for (name, n) in record.counts() {
        let _ = writeln!(text, "| {name} | {n} |");
    }
    if record.n_violations > 0 {
        let _ = write!(text, "\n## Violations: {}\n\n", record.n_violations);
        for (at, what) in &record.violations {
            let _ = writeln!(text, "- {at:.1} s: {what}");
        }
    }
    text.push_str("\n## Pictures\n\nDots are nights; red lines are kills, stops and full disks; ticks are faults.\n\n");
    for p in &PICTURES {
        let _ = writeln!(text, "![{}]({})\n", p.title, p.file);
    }
    text.push_str("Every sample stands in `samples.csv`, what was counted between two in `counts.csv`, every figure in `summary.json`.\n");
    text
}

fn terminal(folder: &Folder, run: &Run<'_>) -> String {
    let Run { record, verdict, ended, .. } = *run;
    let mut text = String::new();
    let loads = record.count("loads of programs") + record.count("loads of builtins");
    let _ = writeln!(
        text,
        "soak {}, seed {}: {} in {} processes of the manager, {loads} loads ({:.0} of programs an hour)",
        super::word(record.profile),
        record.seed,
        clock(Duration::from_secs_f64(record.elapsed_s)),
        record.epoch + 1,
        per_hour(record, record.count("loads of programs")),
    );
    for c in &verdict.checks {
        let _ = writeln!(
            text,
            "  {} {:<34} {}",
            if c.ok { "ok    " } else { "FAILED" },
            c.name,
            c.detail
        );
    }
    for (name, h) in latencies(record).iter().filter(|l| l.1.count() > 0) {
        let _ = writeln!(
            text,
            "  {name}: {} times, p50 {}, p99 {}, p999 {}",
            h.count(),
            time(h, 0.5),
            time(h, 0.99),
            time(h, 0.999)
        );
    }
    let _ = writeln!(text, "  report: {}", folder.path("report.md").display());
    let _ = writeln!(text, "{}", ended.word());
    text
}
