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
    /// Runs with leaks (with --apart: of each leak), and clean ones
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of each run, minutes
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Runs at once
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Which leaks; by default all
    #[arg(long, value_enum)]
    leak: Vec<Leak>,
    /// Plants each leak in runs of its own, not all in one
    #[arg(long)]
    apart: bool,
    /// Leaves the clean runs out
    #[arg(long)]
    no_clean: bool,
    /// Where the reports go; by default a new folder in target/stress
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The rules of the verdict that a leak may break, one of which it must.
fn rules(leak: Leak) -> &'static [&'static str] {
    match leak {
        Leak::Bytes => &["heap in use does not grow", "resident memory does not grow"],
        Leak::Descriptors => &["descriptors does not grow", "descriptors are back"],
        Leak::Tasks => &["tasks does not grow", "tasks are back"],
        // Processes that are left behind must be ended, too.
        Leak::Children => {
            &["children does not grow", "no children", "it ends in order", "invariants"]
        }
    }
}

/// Whether the failed rules of a summary are those of the leaks: one at least of each, and no others.
fn as_expected(failed: &[String], leaks: &[Leak]) -> bool {
    let breaks = |rule: &String, leak: &Leak| rules(*leak).contains(&rule.as_str());
    let known = failed.iter().all(|rule| leaks.iter().any(|leak| breaks(rule, leak)));
    known && leaks.iter().all(|leak| failed.iter().any(|rule| breaks(rule, leak)))
}

/// The planted leaks in a word.
fn word(leaks: &[Leak]) -> String {
    if leaks.is_empty() { "clean".to_owned() } else { soak::words(leaks).replace(',', "+") }
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
    leaks: Vec<Leak>,
    seed: u64,
    folder: PathBuf,
    child: Child,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.seeds > 0 && args.jobs > 0, "--seeds and --jobs must be at least 1");
    let out = soak::new_folder(args.out.as_deref(), "planted")?;
    let leaks = if args.leak.is_empty() { Leak::value_variants() } else { &args.leak };
    let mut kinds: Vec<Vec<Leak>> =
        if args.apart { leaks.iter().map(|l| vec![*l]).collect() } else { vec![leaks.to_vec()] };
    if !args.no_clean {
        kinds.push(Vec::new());
    }
    // Each seed with and without leaks side by side.
    let seeds = args.seed..args.seed.saturating_add(args.seeds);
    let mut open: VecDeque<_> =
        seeds.flat_map(|seed| kinds.iter().map(move |leaks| (leaks.clone(), seed))).collect();
    let n_runs = open.len();
    let (mut running, mut wrong): (Vec<Run>, Vec<String>) = Default::default();
    let mut right = vec![0; kinds.len()];
    while !(open.is_empty() && running.is_empty()) {
        while running.len() < args.jobs
            && let Some((leaks, seed)) = open.pop_front()
        {
            running.push(start(args, &out, leaks, seed)?);
        }
        let (run, status) = next_ended(&mut running)?;
        let word = word(&run.leaks);
        let failed = failed(&run.folder).unwrap_or_else(|e| vec![format!("{e:#}")]);
        let ok = as_expected(&failed, &run.leaks) && status.success() == run.leaks.is_empty();
        println!(
            "{word} seed {} {} {}",
            run.seed,
            if ok { "ok:" } else { "WRONG:" },
            if failed.is_empty() {
                "passed".to_owned()
            } else {
                format!("failed: {}", failed.join(", "))
            }
        );
        match kinds.iter().position(|k| *k == run.leaks).filter(|_| ok) {
            Some(kind) => right[kind] += 1,
            None => wrong.push(format!("{word} seed {} ({})", run.seed, run.folder.display())),
        }
    }
    for (leaks, right) in kinds.iter().zip(right) {
        let what = match word(leaks).as_str() {
            "clean" => "clean runs that pass".to_owned(),
            leaks => format!("{leaks} found, each by its name"),
        };
        println!("{what}: {right} of {}", args.seeds);
    }
    if !wrong.is_empty() {
        bail!("{} of {n_runs} runs went wrong: {}", wrong.len(), wrong.join("; "));
    }
    Ok(())
}

fn start(args: &Args, out: &Path, leaks: Vec<Leak>, seed: u64) -> anyhow::Result<Run> {
    let folder = out.join(format!("{}-{seed}", word(&leaks)));
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
    if !leaks.is_empty() {
        command.arg(format!("--plant={}", soak::words(&leaks)));
    }
    let child = command.spawn().context("a run cannot be started")?;
    Ok(Run { leaks, seed, folder, child })
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
    fn each_leak_must_break_a_rule_of_its_own_and_no_others() {
        let expected = |leaks: &[Leak], failed: &[&str]| {
            let failed: Vec<_> = failed.iter().map(|f| (*f).to_owned()).collect();
            as_expected(&failed, leaks)
        };
        assert!(expected(&[], &[]));
        assert!(!expected(&[], &["invariants"]));
        assert!(expected(&[Leak::Tasks], &["tasks are back"]));
        assert!(!expected(&[Leak::Tasks], &[]));
        assert!(!expected(&[Leak::Tasks], &["descriptors are back"]));
        assert!(!expected(&[Leak::Bytes], &["heap in use does not grow", "invariants"]));
        let two = [Leak::Bytes, Leak::Tasks];
        assert!(expected(&two, &["tasks are back", "heap in use does not grow"]));
        assert!(!expected(&two, &["tasks are back", "tasks does not grow"]));
        assert!(!expected(&two, &["tasks are back", "heap in use does not grow", "no children"]));
    }
}
