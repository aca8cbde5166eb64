//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Keeps an assistant's heavy components loaded when they are needed, inside a memory budget.
///
/// Exit codes: 0 all went well; 1 an error, or a configuration with problems; 2 wrong arguments;
/// 3 a command was refused.
#[derive(Debug, Parser)]
#[command(name = "majordomo", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Print JSON, one object a line, instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more to standard error (-v, -vv, -vvv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job on built-in components: 20 days of an assistant's life, or your own commands
    Demo(DemoArgs),
    /// Check a configuration file and say everything that is wrong with it
    Check(CheckArgs),
    /// Say what a command would need, load and evict, and why, without loading anything
    Plan(PlanArgs),
    /// Run components for one command, or for the lines of standard input
    Run(RunArgs),
    /// Serve the components of a configuration behind a socket, until a signal
    Serve(ServeArgs),
    /// Print the JSON schema of the configuration file, for editors
    Schema,
    /// A component of the demo
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Seed of the generated days
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many days
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub days: u32,
    /// Take commands from standard input even if it is a terminal, instead of generated days. Lines that are
    /// piped in are taken without this
    #[arg(long)]
    pub lines: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration: TOML, or the predecessor's JSON
    pub config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The configuration
    pub config: PathBuf,
    /// The command
    #[arg(required = true)]
    pub text: Vec<String>,
    /// Learned figures are read from here
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration
    pub config: PathBuf,
    /// One command; without it each line of standard input is one
    pub text: Vec<String>,
    /// Keep each command's components leased for this long, such as 500ms or 2s
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub hold: Duration,
    /// Remember learned figures here
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The configuration
    pub config: PathBuf,
    /// Listen at this Unix socket, instead of one in the runtime directory
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Remember learned figures here
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Memory to use, in MiB
    #[arg(long)]
    pub mib: usize,
    /// Time to load, in milliseconds
    #[arg(long)]
    pub load_ms: u64,
}

/// A number with `ms`, `s` or `min`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return Err(format!("{text:?} has no unit; write it as 500ms, 2s or 1min")),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("{number:?} is no number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations() {
        let check = |text: &str, want: Option<u64>| {
            assert_eq!(duration(text).ok().map(|d| d.as_millis() as u64), want, "{text}");
        };
        check("500ms", Some(500));
        check("1.5s", Some(1500));
        check("2min", Some(120_000));
        check("5", None);
        check("-1s", None);
        check("NaNs", None);
    }
}
