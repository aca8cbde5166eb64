//! The commands for a running server.
//!
//! Owns the connection, how long waits are shown, and the loop of everything that follows something. Each verb
//! prints text, or with `--json` the server's own answer.

mod call;
mod command;
mod events;
mod leases;
mod load_path;
mod progress;
mod state;
mod status;
mod verbs;

pub(crate) use verbs::text_of_reload;

use std::process::ExitCode;
use std::time::Duration;

use majordomo_server::{Address, Client, ClientError};
use serde::Serialize;

use crate::args::{Args, Command, RunArgs};
use crate::exit::Exit;
use crate::memory::Account;
use crate::print;

/// A server as this program sees it.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    json: bool,
}

impl Remote {
    fn new(socket: Option<&std::path::Path>, json: bool) -> Self {
        let address = socket.map_or_else(Address::default, |path| Address::Unix(path.to_owned()));
        Self { client: Client::new(address), json }
    }

    /// Another connection to the same server, for requests during a wait.
    fn second(&self) -> Client {
        Client::new(self.client.address().clone())
    }

    /// Prints the use of the server's memory.
    async fn memory(&self) -> anyhow::Result<Exit> {
        let mut status = self.client.status().await?;
        let read_ahead = status.sections.remove("read_ahead").unwrap_or_default();
        let (memory, components) = (status.memory, status.components);
        Account { memory, components, read_ahead }.print(self.json)?;
        Ok(Exit::Success)
    }

    /// Prints an answer: as it came with `--json`, else as lines of text.
    fn show<T: Serialize, L: Lines>(
        &self,
        answer: &T,
        text: impl FnOnce(&T) -> L,
    ) -> anyhow::Result<()> {
        if self.json {
            print::json_text(&serde_json::to_string(answer)?);
        } else {
            text(answer).print();
        }
        Ok(())
    }
}

/// One line or several. A line break inside a line is text of others, and escaped as such.
trait Lines {
    fn print(self);
}

impl Lines for String {
    fn print(self) {
        print::line(&self);
    }
}

impl Lines for Vec<String> {
    fn print(self) {
        print::lines(&self);
    }
}

/// Carries a command out; none for a command that needs no server. It ends when the reader of its output ends, except a
/// lease with a command, whose output is the command's.
pub(crate) async fn dispatch(args: &Args) -> Option<anyhow::Result<ExitCode>> {
    if matches!(&args.command, Command::Lease(a) if !a.command.is_empty()) {
        return carry_out(args).await;
    }
    tokio::select! {
        biased;
        done = carry_out(args) => done,
        () = print::ended() => Some(Ok(ExitCode::SUCCESS)),
    }
}

async fn carry_out(args: &Args) -> Option<anyhow::Result<ExitCode>> {
    let remote = Remote::new(args.socket.as_deref(), args.json);
    let done = match &args.command {
        Command::Status(a) => remote.status(a).await,
        Command::Call(a) => remote.call(a).await,
        Command::Load(a) => remote.load(a).await,
        Command::Unload(a) => remote.unload(a).await,
        Command::Park(a) => remote.park(a).await,
        Command::Pin(a) => remote.pin(a, true).await,
        Command::Unpin(a) => remote.pin(a, false).await,
        Command::Trim(a) => remote.trim(a).await,
        Command::Hint(a) => remote.hint(a).await,
        Command::Feedback(a) if a.state_dir.is_none() => remote.feedback(a).await,
        Command::Why(a) => remote.why(a).await,
        Command::Events(a) => remote.events(a).await,
        Command::Logs(a) => remote.logs(a).await,
        Command::Reload(a) => remote.reload(a).await,
        Command::Leases => remote.leases().await,
        Command::Lease(a) => return Some(remote.lease(a).await),
        Command::Release(a) => remote.release(a).await,
        Command::Memory(a) if a.config.is_none() => remote.memory().await,
        Command::State(a) => remote.state(a).await,
        _ => return None,
    };
    Some(done.map(ExitCode::from))
}

/// Gives a command, or lines of commands, to the server.
pub(crate) async fn run(
    args: &RunArgs,
    socket: Option<&std::path::Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if args.state_dir.is_some() {
        anyhow::bail!(
            "--state-dir needs a configuration; the server has its own state directory, see `majordomo serve --help`"
        );
    }
    let remote = Remote::new(socket, json);
    tokio::select! {
        biased;
        done = remote.commands(args) => Ok(done?.into()),
        () = print::ended() => Ok(ExitCode::SUCCESS),
    }
}

/// Shows the plan of a command on the server as it is now.
pub(crate) async fn plan(
    text: &str,
    socket: Option<&std::path::Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    Ok(Remote::new(socket, json).plan(text).await?.into())
}

/// Shows the server's decision on a text, or without one on each line of standard input.
pub(crate) async fn intents(
    words: &[String],
    socket: Option<&std::path::Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let remote = Remote::new(socket, json);
    if !words.is_empty() {
        remote.intents(&words.join(" ")).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        biased;
        done = remote.intents_of_lines() => Ok(done?.into()),
        () = print::ended() => Ok(ExitCode::SUCCESS),
    }
}

/// Whether waiting makes sense: the server is not there, or has gone.
fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::NotRunning { .. } | ClientError::Broken { .. })
}

/// Lets something that has no end run until an interrupt, which is its proper end.
async fn until_interrupt(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let mut interrupts = crate::signals::Interrupts::new()?;
    tokio::select! {
        done = work => done,
        () = interrupts.next() => Ok(Exit::Success),
    }
}

/// Milliseconds of the wire as a span.
pub(crate) fn span(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}
