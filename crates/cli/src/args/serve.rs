//! What can be typed to run a server.

use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The configuration
    pub config: PathBuf,
    /// Remember learned figures here
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How the log on standard error is written
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Listen at this address of this machine as well, such as 127.0.0.1:7420
    #[arg(long, value_name = "ADDRESS")]
    pub tcp: Option<SocketAddr>,
    /// Clients over TCP must know what stands in this file, which nobody else may read
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// One object a line.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    pub verb: ServiceVerb,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServiceVerb {
    /// Print it; nothing is installed
    Print {
        /// For which service manager
        #[arg(value_enum)]
        manager: ServiceManager,
        /// The configuration of the server
        config: PathBuf,
        /// Its state directory; without it, the service manager's place for such things
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// For the whole machine, run by this user, instead of for yourself
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
}

/// A service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServiceManager {
    Systemd,
    Launchd,
}
