//! What can be typed.

mod intents;
mod remote;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use majordomo::{environment_variable, quoted};

pub(crate) use intents::*;
pub(crate) use remote::*;
pub(crate) use serve::*;

/// Keeps an assistant's heavy components loaded when they are needed, inside a memory budget.
#[derive(Debug, Parser)]
#[command(name = "majordomo", version, max_term_width = 100, after_help = crate::exit::help())]
pub(crate) struct Args {
    /// Print JSON, one object a line, instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more to standard error (-v, -vv, -vvv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Where the server listens, or is to listen; without it, where MAJORDOMO_SOCKET says, else in the runtime
    /// directory
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// Reads what was typed, and the environment for what was not.
    ///
    /// # Errors
    /// What is wrong with what was typed, or what was asked about it.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut args = Self::try_parse()?;
        let place = || environment_variable("MAJORDOMO_SOCKET").map(PathBuf::from);
        args.socket = args.socket.or_else(place);
        Ok(args)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job on built-in components: 7 days of an assistant's life, or your own commands
    Demo(DemoArgs),
    /// Check a configuration file and report every problem
    Check(CheckArgs),
    /// Show what a command would need, load and evict, and why, without loading anything: on the server as it is now,
    /// or by a configuration alone
    Plan(PlanArgs),
    /// Give a command, or each line of standard input, to the server or to a configuration's components
    ///
    /// The first word is a configuration when it ends in .toml or .json; its components are then run without a
    /// server. Otherwise all words are a command for the server. When the first word is the name of some other
    /// file, --config or --server must say which is meant.
    Run(RunArgs),
    /// Show which components a text needs, and why: on the server, or by a configuration's keywords and what was learned
    Intents(IntentsArgs),
    /// Learn from a table of texts and the components that they need
    Learn(LearnArgs),
    /// Report which components a text really needed
    Feedback(FeedbackArgs),
    /// Serve the components of a configuration behind a socket, until a signal
    Serve(ServeArgs),
    /// Show what is loaded and what uses memory
    Status(StatusArgs),
    /// Load components and wait for them
    Load(NamesArgs),
    /// Unload components with everything that depends on them
    Unload(UnloadArgs),
    /// Never unload these to make room
    Pin(NamesArgs),
    /// Take pins away
    Unpin(NamesArgs),
    /// Ask components to give back what they can spare
    Trim(NamesArgs),
    /// Announce that a component is likely to be needed
    Hint(HintArgs),
    /// Explain why a component is in its state
    Why(WhyArgs),
    /// Show what happened, or follow what happens
    Events(EventsArgs),
    /// Show what a component printed, or follow it
    Logs(LogsArgs),
    /// Read the configuration again and apply what changed
    Reload(ReloadArgs),
    /// Show who holds leases
    Leases,
    /// Lease components, alone or while a command runs
    Lease(LeaseArgs),
    /// Give leases back
    Release(ReleaseArgs),
    /// Show how memory is used: bounds, budget, pools, components, pressure and its history
    Memory(MemoryArgs),
    /// Show, print or forget what is remembered over restarts
    State(StateArgs),
    /// Print a unit for systemd or launchd that runs the server
    Service(ServiceArgs),
    /// Print a script that completes arguments in a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// The folder; made when it is not there
        dir: PathBuf,
    },
    /// Show what another memory budget or policy would have meant for recorded usage
    Replay(crate::replay::ReplayArgs),
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
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
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
    /// A configuration (FILE.toml or FILE.json) and a command, or a command alone for the server that runs
    #[arg(value_name = "CONFIG|TEXT", required = true)]
    pub words: Vec<String>,
    /// Ask by this configuration, without a server; all words are the command
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// Ask the server; all words are the command
    #[arg(long)]
    pub server: bool,
    /// Learned figures are read from here; only with a configuration
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A configuration (FILE.toml or FILE.json) and a command, or a command alone; without a command each line of
    /// standard input is one
    #[arg(value_name = "CONFIG|TEXT")]
    pub words: Vec<String>,
    /// Run the components of this configuration, without a server; all words are the command
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// All words are a command for the server
    #[arg(long)]
    pub server: bool,
    /// Keep each command's components leased for this long, such as 500ms or 2s
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub hold: Duration,
    /// Remember learned figures here; only with a configuration
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    /// A configuration, to tell what is known without a server; without it the server that runs is asked
    pub config: Option<PathBuf>,
    /// With a configuration: learned figures are read from here
    #[arg(long, requires = "config")]
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

/// A number with `ms`, `s`, `min` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("{} has no unit; write it as 500ms, 2s or 1min", quoted(text))),
        "m" => return Err(format!("write minutes as {}min", number.trim())),
        _ => return Err(format!("the unit {} is not ms, s, min or h", quoted(unit))),
    };
    let number: f64 =
        number.trim().parse().map_err(|_| format!("{} is no number", quoted(number)))?;
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| format!("{} is out of range", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    /// The commands that stand in a document: in shell code the lines that begin with the program's name, elsewhere
    /// those with a prompt before it.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let (mut is_code, mut is_shell) = (false, false);
        let mut out = Vec::new();
        for line in text.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
                is_shell = is_code && line == "```sh";
            }
            let line = line.strip_prefix("$ ").or(is_shell.then_some(line)).unwrap_or_default();
            if !is_code || !line.starts_with("majordomo ") {
                continue;
            }
            let line = line.split(['#', '|', '>']).next().unwrap();
            // Of quotes the documents have only what stands around whole words.
            let words = line.split_whitespace().map(|w| w.trim_matches(['\'', '"']).to_owned());
            out.push(words.collect());
        }
        out
    }

    #[test]
    fn the_commands_of_the_documents_can_be_typed() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut n = 0;
        for file in ["README.md", "docs/operating.md", "docs/configuration.md", "docs/api.md"] {
            for words in commands(&std::fs::read_to_string(root.join(file)).unwrap()) {
                n += 1;
                if let Err(error) = Args::try_parse_from(&words) {
                    panic!("{file}: {words:?}: {error}");
                }
            }
        }
        assert!(n >= 10, "{n} commands seem too few");
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
