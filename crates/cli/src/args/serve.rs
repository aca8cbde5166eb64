//! The arguments of `serve` and `service`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use majordomo::quoted;

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The configuration
    pub config: PathBuf,
    /// Keep learned data in this directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Also listen at this loopback address, such as 127.0.0.1:7420, [::1]:7420 or localhost:7420
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub tcp: Option<SocketAddr>,
    /// File with the token that TCP clients must send; only the user may be able to read it
    #[arg(long, value_name = "FILE", requires = "tcp")]
    pub token_file: Option<PathBuf>,
}

/// An address and a port; `localhost` is the IPv4 one, which clients that ask for that name try as well.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let given = text.trim();
    if let Ok(address) = given.parse() {
        return Ok(address);
    }
    let (host, port) = given.rsplit_once(':').unwrap_or((given, ""));
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    if let (true, Ok(port)) = (is_localhost, port.parse()) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    // As much of it as can be made out.
    let port = [port, given].into_iter().find_map(|p| p.parse::<u16>().ok()).unwrap_or(7420);
    let host = if given.contains("::") { "[::1]" } else { "127.0.0.1" };
    Err(format!(
        "{} is not a loopback address with a port; write one such as {host}:{port}",
        quoted(given)
    ))
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
    /// Print the service definition; nothing is installed
    Print {
        /// Service manager that reads the definition
        #[arg(value_enum)]
        manager: ServiceManager,
        /// The configuration of the server
        config: PathBuf,
        /// State directory of the server (default: the service manager's usual place)
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// Define a service of the machine that runs as this user, instead of one of your own
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServiceManager {
    Systemd,
    Launchd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_to_listen_at_is_one_of_this_machine_or_says_what_to_write() {
        let check = |text: &str, want: &str| match loopback(text) {
            Ok(address) => assert_eq!(address.to_string(), want),
            Err(error) => assert!(error.ends_with(&format!("such as {want}")), "{text}: {error}"),
        };
        check("127.0.0.1:7420", "127.0.0.1:7420");
        check("[::1]:80", "[::1]:80");
        check("localhost:80", "127.0.0.1:80");
        check("LOCALHOST:0", "127.0.0.1:0");
        for text in ["80", ":80", "*:80", "http://127.0.0.1:80", "music.example:80"] {
            check(text, "127.0.0.1:80");
        }
        check("::1:80", "[::1]:80");
        for text in ["", "localhost", "127.0.0.1", "localhost:http", "localhost:99999"] {
            check(text, "127.0.0.1:7420");
        }
    }
}
