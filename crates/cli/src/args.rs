//! The arguments of the program.

mod import;
mod intents;
mod model;
mod remote;
mod serve;
mod setup;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use majordomo::{environment_variable, quoted};

pub(crate) use import::*;
pub(crate) use intents::*;
pub(crate) use model::*;
pub(crate) use remote::*;
pub(crate) use serve::*;
pub(crate) use setup::*;

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
    /// Socket of the server (default: MAJORDOMO_SOCKET, else majordomo/majordomo.sock in the runtime directory)
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// Reads the arguments, and the environment for those that were not given.
    ///
    /// # Errors
    /// A problem of the arguments, or the help that they ask for.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut args = Self::try_parse()?;
        let place = || environment_variable("MAJORDOMO_SOCKET").map(PathBuf::from);
        args.socket = args.socket.or_else(place);
        Ok(args)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a made-up assistant for 7 simulated days, or with your own commands
    Demo(DemoArgs),
    /// Check a configuration file and report every problem
    Check(CheckArgs),
    /// Show which components a command needs, and which loads and evictions it would cause; load nothing
    Plan(PlanArgs),
    /// Run a command, or each line of standard input, on the server or on the components of a configuration
    ///
    /// A first word that ends in .toml or .json is a configuration; its components are then run without a server.
    /// Otherwise all words are a command for the server. If the first word is the name of another file, add --config
    /// or --server.
    Run(RunArgs),
    /// Show which components a text needs, with the evidence; load nothing
    Intents(IntentsArgs),
    /// Learn from a table of texts and their components
    Learn(LearnArgs),
    /// Report the components that a text really needed
    Feedback(FeedbackArgs),
    /// Write the learned text model as a Core ML file, or describe such a file
    Model(ModelArgs),
    /// Serve the components of a configuration at a socket until SIGINT or SIGTERM
    Serve(ServeArgs),
    /// Show the components and their memory
    Status(StatusArgs),
    /// Load components and wait for them
    Load(NamesArgs),
    /// Unload components and their dependents
    Unload(UnloadArgs),
    /// Park components and their dependents: free their memory and keep their processes
    Park(NamesArgs),
    /// Protect components from eviction
    Pin(NamesArgs),
    /// Remove the protection from eviction
    Unpin(NamesArgs),
    /// Ask components to release memory that they can spare
    Trim(NamesArgs),
    /// Pass a request to a component with protocol = "stdio" and print its answer
    Call(CallArgs),
    /// Announce that a component is likely to be needed soon
    Hint(HintArgs),
    /// Explain the state of a component
    Why(WhyArgs),
    /// Show the last events, or follow new ones
    Events(EventsArgs),
    /// Show the output of a component, or follow it
    Logs(LogsArgs),
    /// Read the configuration again and apply the changes
    Reload(ReloadArgs),
    /// Show the leases and their holders
    Leases,
    /// Lease components, on their own or while a command runs
    Lease(LeaseArgs),
    /// Release leases
    Release(ReleaseArgs),
    /// Show the use of memory: bounds, budget, pools, components, pressure
    Memory(MemoryArgs),
    /// Show, export or forget learned data
    State(StateArgs),
    /// Print a service definition for systemd or launchd
    Service(ServiceArgs),
    /// Give this machine swap for components that are paged out: print the commands, or run them
    Setup(SetupArgs),
    /// Print a completion script for a shell
    Completions {
        /// Shell that reads the script
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// The folder; created if it does not exist
        dir: PathBuf,
    },
    /// Translate the configuration of another program
    Import(ImportArgs),
    /// Compare memory budgets and eviction policies on recorded use
    Replay(crate::replay::ReplayArgs),
    /// Measure what components hold when they are parked, and how long they take to be ready again
    BenchRungs(BenchRungsArgs),
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
    /// Number of days
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub days: u32,
    /// Read commands from standard input instead of generating days; the default when standard input is a pipe
    #[arg(long)]
    pub lines: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration: TOML, or the predecessor's JSON
    pub config: PathBuf,
    /// Print each component with all its keys, those of templates and defaults included, and where they stand
    #[arg(long)]
    pub resolved: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// A configuration (FILE.toml or FILE.json) and a command, or a command for the running server
    #[arg(value_name = "CONFIG|TEXT", required = true)]
    pub words: Vec<String>,
    /// Use this configuration instead of a server; all words are the command
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// Use the server; all words are the command
    #[arg(long)]
    pub server: bool,
    /// Read learned data from this directory; only with a configuration
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A configuration (FILE.toml or FILE.json) and a command, or a command for the running server; without a
    /// command, each line of standard input is one
    #[arg(value_name = "CONFIG|TEXT")]
    pub words: Vec<String>,
    /// Run the components of this configuration instead of using a server; all words are the command
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// Use the server; all words are the command
    #[arg(long)]
    pub server: bool,
    /// Keep the components of each command leased for this long, such as 500ms or 2s
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub hold: Duration,
    /// Keep learned data in this directory; only with a configuration
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    /// A configuration to describe without a server; without it, the running server is asked
    pub config: Option<PathBuf>,
    /// Read learned data from this directory
    #[arg(long, requires = "config")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchRungsArgs {
    /// The configuration; its components are loaded one after another
    pub config: PathBuf,
    /// Components to measure (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Rounds of each component at each rung
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,
    /// Request whose answer is timed: a text for a program with protocol = "stdio", else /PATH, "GET /PATH" or
    /// "POST /PATH BODY" (default: the path of an HTTP probe)
    #[arg(long = "request", value_name = "NAME=REQUEST")]
    pub requests: Vec<String>,
    /// Keep learned data in this directory
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

    /// The commands in a document: in shell code the lines that begin with the program's name, elsewhere those with a
    /// prompt before it.
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

    const DOCUMENTS: [&str; 5] =
        ["README.md", "docs/demo.md", "docs/operating.md", "docs/configuration.md", "docs/api.md"];

    #[test]
    fn the_commands_of_the_documents_can_be_typed() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut n = 0;
        for file in DOCUMENTS {
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
