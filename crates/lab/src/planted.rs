//! `majordomo-lab planted`: the test of the soak. Every planted leak must be found, and called by its name; runs
//! without one must pass. Several runs at once, each a process of its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum as _;

use crate::soak::{self, Leak};

/// Arguments of `planted`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds of each leak, and of clean runs
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of each run, minutes
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Runs at once
    #[arg(long, default_value_t = 5)]
    jobs: usize,
    /// Which leaks; by default all
    #[arg(long, value_enum)]
    leak: Vec<Leak>,
    /// Leaves the clean runs out
    #[arg(long)]
    no_clean: bool,
    /// Where the reports go; by default a new folder in target/stress
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The rules of the verdict that a leak may break, one of which it must.
fn rules(leak: Option<Leak>) -> &'static [&'static str] {
    match leak {
        None => &[],
        Some(Leak::Bytes) => &["heap in use does not grow", "resident memory does not grow"],
        Some(Leak::Descriptors) => &["descriptors does not grow", "descriptors are back"],
        Some(Leak::Tasks) => &["tasks does not grow", "tasks are back"],
        // What is left behind must be cleared away, too.
        Some(Leak::Children) => {
            &["children does not grow", "no children", "it ends in order", "invariants"]
        }
    }
}

/// Whether the failed rules of a summary are those of the leak.
fn as_expected(failed: &[String], leak: Option<Leak>) -> bool {
    let rules = rules(leak);
    let known = failed.iter().all(|f| rules.contains(&f.as_str()));
    known && failed.is_empty() == leak.is_none()
}

fn failed(folder: &Path) -> anyhow::Result<Vec<String>> {
    let path = folder.join("summary.json");
    let text = std::fs::read(&path).with_context(|| format!("{} is missing", path.display()))?;
    let summary: serde_json::Value = serde_json::from_slice(&text)?;
    let checks = summary["verdict"]["checks"].as_array().context("a summary without checks")?;
    let failed = checks.iter().filter(|c| c["ok"] == false);
    Ok(failed.filter_map(|c| c["name"].as_str().map(str::to_owned)).collect())
}

struct Run {
    leak: Option<Leak>,
    seed: u64,
    folder: PathBuf,
    child: Child,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.seeds > 0 && args.jobs > 0, "--seeds and --jobs must be at least 1");
    let out = soak::new_folder(args.out.as_deref(), "planted")?;
    let leaks = if args.leak.is_empty() { Leak::value_variants() } else { &args.leak };
    let kinds = leaks.iter().map(|l| Some(*l)).chain((!args.no_clean).then_some(None));
    let kinds: Vec<_> = kinds.collect();
    let seeds = args.seed..args.seed.saturating_add(args.seeds);
    let mut open: VecDeque<_> =
        kinds.iter().flat_map(|leak| seeds.clone().map(|seed| (*leak, seed))).collect();
    let n_runs = open.len();
    let (mut running, mut wrong): (Vec<Run>, Vec<String>) = Default::default();
    let mut right = vec![0; kinds.len()];
    while !(open.is_empty() && running.is_empty()) {
        while running.len() < args.jobs
            && let Some((leak, seed)) = open.pop_front()
        {
            running.push(start(args, &out, leak, seed)?);
        }
        let (run, status) = next_ended(&mut running)?;
        let word = run.leak.map_or_else(|| "clean".to_owned(), soak::word);
        let failed = failed(&run.folder).unwrap_or_else(|e| vec![format!("{e:#}")]);
        let ok = as_expected(&failed, run.leak) && status.success() == run.leak.is_none();
        println!(
            "{word:<12} seed {:<4} {} {}",
            run.seed,
            if ok { "ok    " } else { "WRONG " },
            if failed.is_empty() {
                "passed".to_owned()
            } else {
                format!("failed: {}", failed.join(", "))
            }
        );
        match kinds.iter().position(|k| *k == run.leak).filter(|_| ok) {
            Some(kind) => right[kind] += 1,
            None => wrong.push(format!("{word} seed {} ({})", run.seed, run.folder.display())),
        }
    }
    for (leak, right) in kinds.iter().zip(right) {
        let word = leak.map_or_else(
            || "clean runs that pass".to_owned(),
            |l| format!("{} found", soak::word(l)),
        );
        println!("{word}: {right} of {}", args.seeds);
    }
    if !wrong.is_empty() {
        bail!("{} of {n_runs} runs went wrong: {}", wrong.len(), wrong.join("; "));
    }
    Ok(())
}

fn start(args: &Args, out: &Path, leak: Option<Leak>, seed: u64) -> anyhow::Result<Run> {
    let word = leak.map_or_else(|| "clean".to_owned(), soak::word);
    let folder = out.join(format!("{word}-{seed}"));
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["stress", "--profile", "mixed"])
        .arg(format!("--minutes={}", args.minutes))
        .arg(format!("--seed={seed}"))
        .arg("--out")
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(leak) = leak {
        command.arg(format!("--plant={}", soak::word(leak)));
    }
    let child = command.spawn().context("a run cannot be started")?;
    Ok(Run { leak, seed, folder, child })
}

/// The next run that has ended.
fn next_ended(running: &mut Vec<Run>) -> anyhow::Result<(Run, ExitStatus)> {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    loop {
        for i in 0..running.len() {
            if let Some(status) = running[i].child.try_wait()? {
                return Ok((running.swap_remove(i), status));
            }
        }
        // A channel that never gets a message: the way to wait that the house rules allow.
        let _ = never.recv_timeout(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_must_break_its_own_rules_and_no_others() {
        let expected = |leak, failed: &[&str]| {
            let failed: Vec<_> = failed.iter().map(|f| (*f).to_owned()).collect();
            as_expected(&failed, leak)
        };
        assert!(expected(None, &[]));
        assert!(!expected(None, &["invariants"]));
        assert!(expected(Some(Leak::Tasks), &["tasks are back"]));
        assert!(!expected(Some(Leak::Tasks), &[]));
        assert!(!expected(Some(Leak::Tasks), &["descriptors are back"]));
        assert!(!expected(Some(Leak::Bytes), &["heap in use does not grow", "invariants"]));
    }
}
