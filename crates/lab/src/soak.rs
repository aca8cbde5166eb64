//! `majordomo-lab stress`: a manager in real time with real parts, faults all along, and a verdict.
//!
//! The driver (this process) starts the manager in a process of its own, which it can stop, starve and kill; that
//! process has the clients and the faults of components in it, and checks the invariants on every record. Nights, in
//! which no client asks and everything is unloaded, show the memory that stays; leaks are judged on them.

pub(crate) mod component;
pub(crate) mod kills;
pub(crate) mod subject;

mod catalog;
mod clients;
mod driver;
mod durability;
mod faults;
mod group;
mod histogram;
mod leak;
mod plan;
mod plot;
mod progress;
mod record;
mod report;
mod sample;
mod sockets;
mod stats;
mod verdict;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

pub(crate) use histogram::Histogram;
use plan::Times;
pub(crate) use plan::{Leak, Profile};
use record::{Folder, Record};
use verdict::Verdict;

/// The options of a soak.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// None: a day for a new run, the planned time for one that is resumed.
    pub(crate) total: Option<Duration>,
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) resume: Option<PathBuf>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) sample: Option<Duration>,
    pub(crate) plant: Vec<Leak>,
    /// Components may be parked; of a run that is resumed its record says so.
    pub(crate) rungs: bool,
}

/// A new folder for reports: the one named, or the first free one below `target/stress`.
pub(crate) fn new_folder(named: Option<&Path>, word: &str) -> anyhow::Result<PathBuf> {
    Ok(record::new_folder(named, word)?.0)
}

/// The word for a value of an enumeration of the command line.
#[expect(clippy::needless_pass_by_value, reason = "the values are small and copied")]
pub(crate) fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
}

/// The default length of a soak.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How a soak ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed,
    /// Interrupted, and nothing had failed until then.
    Interrupted,
}

impl Ended {
    /// A check that needs more time is no failure of an interrupted run.
    fn of(verdict: &Verdict, interrupted: bool) -> Self {
        let failed = verdict.checks.iter().any(|c| !c.ok && c.name != verdict::ENOUGH);
        match (interrupted, failed) {
            (false, _) if verdict.passed => Self::Passed,
            (true, false) => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The words for leaks, as the command line takes them.
pub(crate) fn words(leaks: &[Leak]) -> String {
    leaks.iter().copied().map(word).collect::<Vec<_>>().join(",")
}

/// Runs a soak and writes its report.
pub(crate) fn run(options: &Options) -> anyhow::Result<Ended> {
    ensure!(
        options.total.is_none_or(|total| total >= Duration::from_secs(30)),
        "a soak takes at least 30 s: it must warm up and be seen at rest"
    );
    let (folder, record, rows) = match &options.resume {
        Some(path) => {
            let path = std::path::absolute(path)?;
            let folder = Folder(path);
            let mut record = folder.load()?;
            // The planned time continues; a longer time replaces it.
            record.total_s = record.total_s.max(options.total.unwrap_or_default().as_secs_f64());
            if record.elapsed_s >= record.total_s {
                bail!("that run is complete; give a longer --minutes or --hours to continue it");
            }
            let rows = folder.rows()?;
            (folder, record, rows)
        }
        None => {
            let folder = record::new_folder(options.out.as_deref(), &word(options.profile))?;
            let total = options.total.unwrap_or(DAY);
            let record = Record::new(options.profile, options.seed, total);
            (folder, Record { rungs: options.rungs, ..record }, Vec::new())
        }
    };
    if !cfg!(target_os = "linux") {
        eprintln!("warning: without /proc descriptors, threads and memory are not measured here");
    }
    let total = Duration::from_secs_f64(record.total_s);
    let times = Times::of(total, options.sample);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the driver's runtime cannot be made")?;
    let mut driver = driver::Driver::new(folder, record, rows, times, options.plant.clone());
    let ran = runtime.block_on(driver.run());
    drop(runtime);
    let verdict = verdict::verdict(&driver.record, &driver.rows, times.warm_up.as_secs_f64());
    let command = command(&driver.record, options);
    let ended = Ended::of(&verdict, driver.interrupted);
    let run = report::Run { record: &driver.record, verdict: &verdict, ended, command: &command };
    print!("{}", report::write(&driver.folder, &run, &driver.rows)?);
    ran?;
    if driver.interrupted {
        println!("continue with: cargo xtask stress --resume {}", driver.folder.0.display());
    }
    Ok(ended)
}

/// The command that does it again.
fn command(record: &Record, options: &Options) -> String {
    let mut text = format!(
        "cargo xtask stress --minutes {} --profile {} --seed {}",
        record.total_s / 60.0,
        word(record.profile),
        record.seed
    );
    if record.rungs {
        text.push_str(" --rungs");
    }
    if !options.plant.is_empty() {
        text.push_str(&format!(" --plant {}", words(&options.plant)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict::Check;

    #[test]
    fn an_interrupted_run_has_not_passed_and_fails_only_by_what_it_did() {
        let ended = |failed: &[&str], interrupted| {
            let check = |name: &str| Check {
                name: name.to_owned(),
                ok: !failed.contains(&name),
                detail: String::new(),
            };
            let checks = vec![check(verdict::ENOUGH), check("invariants")];
            let passed = failed.is_empty();
            let verdict = Verdict { passed, measured_hours: 0.0, growth: Vec::new(), checks };
            Ended::of(&verdict, interrupted)
        };
        assert_eq!(ended(&[], false), Ended::Passed);
        assert_eq!(ended(&[], true), Ended::Interrupted);
        assert_eq!(ended(&[verdict::ENOUGH], true), Ended::Interrupted);
        assert_eq!(ended(&[verdict::ENOUGH], false), Ended::Failed);
        assert_eq!(ended(&["invariants"], true), Ended::Failed);
    }
}
