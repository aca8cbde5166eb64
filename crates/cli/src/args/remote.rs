//! What can be typed to a server that runs.

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
pub(crate) struct UnloadArgs {
    /// The components
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Also when it is CORE, pinned or leased
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HintArgs {
    /// The component that is likely to be needed
    pub name: String,
    /// How likely, from 0 to 1
    #[arg(long, default_value = "0.5", value_parser = confidence)]
    pub confidence: Confidence,
    /// How soon
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
    /// With the figures of every part
    #[arg(long)]
    pub all: bool,
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// How often, with --watch
    #[arg(long, default_value = "1s", value_parser = duration, requires = "watch")]
    pub every: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// The component
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin after the event of this number
    #[arg(long, value_name = "ID")]
    pub since: Option<u64>,
    /// Begin with the last so many (20 when nothing is followed)
    #[arg(long, conflicts_with = "since")]
    pub last: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The component
    pub name: String,
    /// Go on with what it prints, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines
    #[arg(long)]
    pub last: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LeaseArgs {
    /// The components
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// End the lease after this time, such as 30s or 5min; without a command the program prints the lease and
    /// goes, and the lease stays
    #[arg(long, value_parser = duration)]
    pub ttl: Option<Duration>,
    /// What the holder is called in the status
    #[arg(long)]
    pub tag: Option<String>,
    /// Wait at most this long for what is not ready
    #[arg(long, value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Run this with the lease, and MAJORDOMO_NAME_HOST, _PORT and _SOCKET in its environment; without it and
    /// without --ttl the lease is held until Ctrl-C
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
    /// The state directory of a server that does not run; without it the server is asked
    #[arg(long, global = true)]
    pub state_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub verb: StateVerb,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StateVerb {
    /// Show what is remembered
    Show,
    /// Print all that is remembered, as JSON
    Export {
        /// Only which components were used when, in lines that `majordomo replay` reads
        #[arg(long)]
        usage: bool,
    },
    /// Forget what was measured of a component, or everything that was learned
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Forget {
        /// The component
        #[arg(value_name = "NAME", group = "what")]
        name: Option<String>,
        /// Everything that was learned, of texts too
        #[arg(long, group = "what")]
        all: bool,
    },
}
