//! `majordomo-lab replay`: traces in, figures out as a table or JSON lines.
//!
//! Knows the command line and the output; the protocol lives in `majordomo-sim`.

mod plot;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use majordomo_sim::replay::{
    Budget, PolicyName, Progress, Report, RungTable, Tally, Trace, replay_trace,
};

/// Arguments of `replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Traces: user TAB unix seconds TAB item [TAB command], sorted by user and time, no header; gzip allowed
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Budgets: a size such as 8GiB, mb:M, or slots:K for a number of components; may be given several times
    #[arg(long = "budget", required = true)]
    budgets: Vec<Budget>,
    /// Policies, or `all`; may be given several times
    #[arg(long = "policy", default_value = "all")]
    policies: Vec<String>,
    /// One JSON object per line instead of a table
    #[arg(long)]
    json: bool,
    /// A row for every user too
    #[arg(long)]
    per_user: bool,
    /// Draw hit share against budget, means over the traces, into this SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Replay each policy with rungs as well: components are parked where that saves waiting, by the published table of
    /// rates or by this one
    #[arg(long, value_name = "TABLE", num_args = 0..=1, require_equals = true)]
    rungs: Option<Option<PathBuf>>,
    /// Take every N-th user of a trace: `shell-schonlau=5`
    #[arg(long = "user-stride", value_name = "TRACE=N", value_parser = parse_stride)]
    strides: Vec<(String, usize)>,
}

fn parse_stride(text: &str) -> Result<(String, usize), String> {
    let bad = || format!("{text:?} is no stride; write TRACE=N with N from 1");
    let (name, n) = text.split_once('=').ok_or_else(bad)?;
    match n.parse() {
        Ok(n) if n >= 1 && !name.is_empty() => Ok((name.to_owned(), n)),
        _ => Err(bad()),
    }
}

fn open(args: &Args) -> anyhow::Result<Vec<Trace>> {
    let mut traces: Vec<Trace> = Vec::new();
    for path in &args.traces {
        let mut trace = Trace::open(path)?;
        if traces.iter().any(|t| t.name == trace.name) {
            bail!("two traces are called {:?}; rename one of the files", trace.name);
        }
        if trace.dropped_users > 0 {
            eprintln!(
                "{}: {} user(s) with too few events left out",
                trace.name, trace.dropped_users
            );
        }
        for (name, stride) in &args.strides {
            if *name == trace.name {
                trace.keep_every(*stride);
            }
        }
        traces.push(trace);
    }
    for (name, _) in &args.strides {
        if !traces.iter().any(|t| t.name == *name) {
            bail!("--user-stride names {name:?}, but no such trace is given");
        }
    }
    Ok(traces)
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let policies = PolicyName::chosen(&args.policies)?;
    let budgets = Budget::distinct(&args.budgets);
    let traces = open(args)?;
    let mut rows = Vec::new();
    let rung_table = match &args.rungs {
        None => None,
        Some(None) => Some(RungTable::published()),
        Some(Some(path)) => Some(
            RungTable::open(path)
                .with_context(|| format!("{} is no table of rungs", path.display()))?,
        ),
    };
    let variants: Vec<_> = std::iter::once(None).chain(rung_table.as_ref().map(Some)).collect();
    let mut progress = Progress::new(&traces, budgets.len() * policies.len() * variants.len());
    let on_terminal = std::io::stderr().is_terminal();
    for budget in &budgets {
        let with_variants = policies.iter().flat_map(|p| variants.iter().map(move |v| (p, *v)));
        for (policy, rungs) in with_variants {
            let name = policy.in_tables(rungs.is_some());
            let mut of_traces = Vec::new();
            for trace in &traces {
                let what = format!("{name} {budget} {}", trace.name);
                let mut show = || {
                    if on_terminal && let Some(line) = progress.step(&what) {
                        eprint!("\r\x1b[K{line}");
                    }
                };
                let tallies = replay_trace(trace, *budget, *policy, rungs, &mut show);
                if args.per_user {
                    for (user, tally) in trace.users.iter().zip(&tallies) {
                        rows.push(Report::new(
                            &name,
                            *budget,
                            &trace.name,
                            Some(&user.name),
                            tally,
                        ));
                    }
                }
                let mut sum = Tally::default();
                tallies.iter().for_each(|t| sum.add(t));
                of_traces.push(Report::new(&name, *budget, &trace.name, None, &sum));
            }
            let mean = Report::mean(&of_traces);
            rows.extend(of_traces);
            rows.extend(mean);
        }
    }
    if on_terminal {
        eprint!("\r\x1b[K");
    }
    if let Some(path) = &args.plot {
        plot::write(path, &rows)?;
    }
    let text = if args.json { json(&rows)? } else { table(&rows) };
    std::io::stdout().write_all(text.as_bytes()).context("the result cannot be written")
}

fn json(rows: &[Report]) -> anyhow::Result<String> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

fn table(rows: &[Report]) -> String {
    let mut text = format!(
        "{:<10} {:<23} {:<20} {:>7} {:>6} {:>8} {:>8} {:>8} {:>6} {:>12} {:>8} {:>5} {:>5}\n",
        "budget",
        "policy",
        "trace",
        "events",
        "hit %",
        "wait ms",
        "preload",
        "wasted",
        "share",
        "resident",
        "loaded",
        "hr@1",
        "mrr"
    );
    for r in rows {
        let rate = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
        let trace = match &r.user {
            Some(user) => format!("{}/{user}", r.trace),
            None => r.trace.clone(),
        };
        text.push_str(&format!(
            "{:<10} {:<23} {:<20} {:>7} {:>6.2} {:>8.1} {:>8.3} {:>8.4} {:>6.3} {:>12} {:>8.2} {:>5} {:>5}\n",
            r.budget, r.policy, trace, r.events, r.hit_pct, r.wait_ms_mean, r.preloads_per_event,
            r.wasted_per_event, r.waste_share, r.resident(), r.loaded_mb_per_event,
            rate(r.hr1), rate(r.mrr)
        ));
    }
    text
}
