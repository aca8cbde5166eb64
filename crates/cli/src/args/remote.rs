//! The arguments of the commands for a running server.

use std::path::PathBuf;
use std::time::Duration;

use majordomo::{Confidence, quoted};

use super::duration;

/// A number from 0 to 1.
fn confidence(text: &str) -> Result<Confidence, String> {
    let number = text.trim().parse().ok().and_then(|n: f32| Confidence::new(n).ok());
    let wrong = || format!("{} is not in 0 to 1; write it as 0.5, for 50 %", quoted(text));
    number.ok_or_else(wrong)
}

#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// The components
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// The component
    pub name: String,
    /// The text of the request
    #[arg(required_unless_present = "object", conflicts_with = "object")]
    pub text: Vec<String>,
    /// The request as a JSON object, such as '{"page": 3}'
    #[arg(long, value_name = "JSON")]
    pub object: Option<String>,
    /// Wait at most this long for the component and its answer
    #[arg(long, value_parser = duration)]
    pub deadline: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnloadArgs {
    /// The components
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Also unload components that are CORE, pinned or leased
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HintArgs {
    /// The component that is likely to be needed
    pub name: String,
    /// Probability that the component is needed, from 0 to 1
    #[arg(long, default_value = "0.5", value_parser = confidence)]
    pub confidence: Confidence,
    /// When the component is likely to be needed
    #[arg(long, value_enum, default_value = "delayed")]
    pub tier: TierArg,
}

/// How soon a hinted component is likely to be needed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum TierArg {
    Immediate,
    Delayed,
    Background,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Also show the figures of every part
    #[arg(long)]
    pub all: bool,
    /// Repeat until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Interval of --watch
    #[arg(long, default_value = "1s", value_parser = duration, requires = "watch")]
    pub every: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// The component
    pub name: String,
    /// Show the stages of its loads and the time that each takes
    #[arg(long)]
    pub load: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Print new events until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin after the event with this number
    #[arg(long, value_name = "ID")]
    pub since: Option<u64>,
    /// Begin with this many past events (default: 20, none with --follow)
    #[arg(long, conflicts_with = "since")]
    pub last: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The component
    pub name: String,
    /// Print new output until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Show only this many of the last lines
    #[arg(long)]
    pub last: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    /// Show the changes without applying them
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LeaseArgs {
    /// The components
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// End the lease after this time, such as 30s or 5min; without a command, print the lease, exit and keep the lease
    #[arg(long, value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Name of the holder, shown in the status
    #[arg(long)]
    pub tag: Option<String>,
    /// Wait at most this long for components that are not ready
    #[arg(long, value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Run this command while the lease is held, with MAJORDOMO_NAME_HOST, _PORT, _SOCKET and _URL in its environment;
    /// without a command and without --ttl, hold the lease until Ctrl-C
    #[arg(last = true)]
    pub command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The leases
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// State directory of a server that is not running; without it, the running server is asked
    #[arg(long, global = true)]
    pub state_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub verb: StateVerb,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StateVerb {
    /// Show the learned data
    Show,
    /// Print the learned data as JSON
    Export {
        /// Print only the recorded use of components, as lines for `majordomo replay`
        #[arg(long)]
        usage: bool,
    },
    /// Forget the measurements of a component, or all learned data
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Forget {
        /// The component
        #[arg(value_name = "NAME", group = "what")]
        name: Option<String>,
        /// Forget all learned data, including texts
        #[arg(long, group = "what")]
        all: bool,
    },
}
