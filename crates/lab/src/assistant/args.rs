//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::ensure;
use majordomo::ByteSize;

use super::policy::Policy;
use crate::short::ShortArgs;

/// Arguments of `assistant`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Play days of commands under several policies and measure them
    Day(Box<DayArgs>),
    /// Write the comparison of played days as Markdown and pictures
    Report(ReportArgs),
}

/// A budget: a share of the memory of everything loaded, or a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BudgetArg {
    Share(f64),
    Size(ByteSize),
}

impl FromStr for BudgetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no budget; write a share of everything loaded such as 40%, or a size such as 700MiB"
            )
        };
        match text.strip_suffix('%') {
            Some(number) => {
                let percent: f64 = number.trim().parse().map_err(|_| bad())?;
                ((1.0..=200.0).contains(&percent))
                    .then_some(Self::Share(percent / 100.0))
                    .ok_or_else(bad)
            }
            None => {
                let size: ByteSize = text.parse().map_err(|_| bad())?;
                (size >= ByteSize::mib(1)).then_some(Self::Size(size)).ok_or_else(bad)
            }
        }
    }
}

impl BudgetArg {
    /// In bytes, of what everything takes when it is loaded.
    pub(super) fn of(self, all_loaded: ByteSize) -> ByteSize {
        match self {
            Self::Share(share) => all_loaded.scaled(share),
            Self::Size(size) => size,
        }
    }
}

/// Arguments of `day`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct DayArgs {
    /// The prepared assistant, made by `cargo xtask assistant setup`
    #[arg(long = "dir", default_value = "target/assistant", value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Traces: user TAB unix seconds TAB item; gzip allowed; without one, days are generated; may
    /// be given several times
    #[arg(long = "trace", value_name = "FILE")]
    pub(super) traces: Vec<PathBuf>,
    /// Only these users of the traces; may be given several times
    #[arg(long = "user", value_name = "NAME", requires = "traces")]
    pub(super) users: Vec<String>,
    /// Commands: split TAB label TAB text; gzip allowed (default: DIR/commands.tsv)
    #[arg(long, value_name = "FILE")]
    pub(super) commands: Option<PathBuf>,
    /// The first seed: it chooses the day of a user, the texts and the questions
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Days to play, each with a seed of its own; users take turns
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(super) seeds: u64,
    /// Commands of a day (default: 100, with --short 20)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) commands_per_day: Option<u32>,
    /// At most so many uses of the same user before the day, which the product has learned from
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) history: u32,
    /// So many of these uses, the last ones, are played under every policy before the figures begin
    /// (default: a third as many as commands and at most 20, with --short 3, with --short-memory none: first uses count)
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(super) warm_up: Option<u32>,
    /// Pauses are divided by this; the idle timeout of 5 minutes passes on the clock of the trace
    #[arg(long, default_value_t = 2.0)]
    pub(super) compress: f64,
    /// Then no pause is longer, in seconds (default: 0.8, with --short-memory 1.5)
    #[arg(long, value_name = "S")]
    pub(super) longest_pause: Option<f64>,
    /// How long a lease is kept after the answer, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub(super) hold: u64,
    /// Policies: all, lru, idle, two-state, product, product-equal (default: all of them but two-state, with --short lru
    /// and product, with --short-memory lru, idle, two-state and product)
    #[arg(long, value_delimiter = ',')]
    pub(super) policies: Vec<Policy>,
    /// Budget of lru and product: a share of everything loaded such as 40%, or a size such as
    /// 700MiB (default: 40%, with --short the largest component beside the smallest, so that others
    /// are evicted)
    #[arg(long)]
    pub(super) budget: Option<BudgetArg>,
    /// Before each run, wait at most so many seconds until other programs rest (default: 30, with
    /// --short 0)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(super) quiet_wait: Option<u32>,
    /// Folder for the results
    #[arg(long, default_value = "target/assistant-day", value_name = "FOLDER")]
    pub(super) out: PathBuf,
    /// Time between two samples of memory, in milliseconds
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(20..=10_000))]
    pub(super) sample: u64,
    /// The program to measure (default: `majordomo` beside this program)
    #[arg(long, value_name = "PROGRAM")]
    pub(super) majordomo: Option<PathBuf>,
    /// A smoke test: few commands, two policies; fails on a refusal, a wrong answer or an orphan,
    /// never on a time
    #[arg(long)]
    pub(super) short: bool,
    #[command(flatten)]
    pub(super) memory: ShortArgs,
}

impl DayArgs {
    pub(super) fn n_commands(&self) -> usize {
        self.commands_per_day.unwrap_or(if self.short { 20 } else { 100 }) as usize
    }

    pub(super) fn n_warm_up(&self) -> usize {
        let default = match (self.memory.short_memory.is_some(), self.short) {
            (true, _) => 0,
            (false, true) => 3,
            (false, false) => (self.n_commands() / 3).min(20),
        };
        self.warm_up.map_or(default, |n| n as usize)
    }

    /// None where it follows from the sizes of the components.
    pub(super) fn budget(&self) -> Option<BudgetArg> {
        self.budget.or((!self.short).then_some(BudgetArg::Share(0.4)))
    }

    /// The policies, without repetitions.
    pub(super) fn policies(&self) -> anyhow::Result<Vec<Policy>> {
        let is_short = self.memory.short_memory.is_some();
        let mut policies = match (self.policies.is_empty(), self.short) {
            (false, _) => self.policies.clone(),
            (true, true) => vec![Policy::Lru, Policy::Product],
            (true, false) if is_short => Policy::WHEN_SHORT.to_vec(),
            (true, false) => Policy::USUAL.to_vec(),
        };
        policies.sort_unstable();
        policies.dedup();
        ensure!(
            !policies.contains(&Policy::ProductEqual) || policies.contains(&Policy::Idle),
            "product-equal has the mean memory of idle; add idle to --policies"
        );
        ensure!(
            !(is_short && policies.contains(&Policy::All)),
            "everything loaded does not fit into short memory; remove all from --policies"
        );
        Ok(policies)
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.compress.is_finite() && self.compress >= 1.0,
            "--compress {}: pauses are divided by this; write 1 or more",
            self.compress
        );
        ensure!(
            self.longest_pause_s().is_finite() && self.longest_pause_s() > 0.0,
            "--longest-pause {}: write more than 0 seconds",
            self.longest_pause_s()
        );
        Ok(())
    }

    pub(super) fn quiet_wait(&self) -> Duration {
        let seconds = self.quiet_wait.unwrap_or(if self.short { 0 } else { 30 });
        Duration::from_secs(seconds.into())
    }

    pub(super) fn longest_pause(&self) -> Duration {
        Duration::from_secs_f64(self.longest_pause_s())
    }

    /// With short memory a pause has time for a load, as most pauses in life have.
    pub(super) fn longest_pause_s(&self) -> f64 {
        let default = if self.memory.short_memory.is_some() { 1.5 } else { 0.8 };
        self.longest_pause.unwrap_or(default)
    }
}

/// Arguments of `report`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// Folder with the results of `day`, into which the report is written
    #[arg(long = "out", default_value = "target/assistant-day", value_name = "FOLDER")]
    pub(super) folder: PathBuf,
    /// Folders with the results of other seeds under the same settings, which are pooled with them; may be given several times
    #[arg(long = "with", value_name = "FOLDER")]
    pub(super) others: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share_or_a_size() {
        let read = |text: &str| text.parse::<BudgetArg>();
        assert_eq!(read("40%"), Ok(BudgetArg::Share(0.4)));
        assert_eq!(read("700MiB"), Ok(BudgetArg::Size(ByteSize::mib(700))));
        assert_eq!(read("40%").unwrap().of(ByteSize::mib(100)), ByteSize::mib(40));
        for bad in ["", "0%", "x%", "40", "-3%", "900%"] {
            assert!(read(bad).unwrap_err().contains("40%, or a size"), "{bad}");
        }
    }
}
