//! A `majordomo serve` of a day's own: started with a configuration and a state directory, stopped
//! at the end.
//!
//! Invariant: its process group is its own, so that an interrupt at the terminal reaches this
//! program alone, which then stops it; a server that is dropped without that is killed, and its
//! guard ends the components.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo_server::{Address, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Every CORE component is ready by then, or the server is of no use.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);
/// A server that has not stopped by then is killed.
const STOP: Duration = Duration::from_secs(25);

/// A file that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFile(pub(crate) PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A configuration that is left behind does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// The program `majordomo`.
    pub(crate) program: &'a Path,
    pub(crate) state: &'a Path,
    pub(crate) socket: &'a Path,
    /// Its output.
    pub(crate) log: &'a Path,
    /// The file of a memory group that takes its process id; its components are born into the group.
    pub(crate) members: Option<&'a Path>,
}

/// Enters a memory group and becomes the program.
const ENTER: &str = "echo $$ >\"$1\" && shift && exec \"$@\"";

impl Place<'_> {
    fn command(&self) -> Command {
        let Some(members) = self.members else { return Command::new(self.program) };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER, "sh"]).arg(members).arg(self.program);
        command
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: Address,
    pub(crate) client: Client,
    _configuration: TemporaryFile,
}

impl Server {
    /// Starts and waits until every CORE component is ready.
    pub(crate) async fn start(
        place: Place<'_>,
        configuration: TemporaryFile,
    ) -> anyhow::Result<Self> {
        let log = std::fs::File::create(place.log)
            .with_context(|| format!("{} cannot be written", place.log.display()))?;
        let child = place
            .command()
            .arg("serve")
            .arg(&configuration.0)
            .arg("--state-dir")
            .arg(place.state)
            .arg("--socket")
            .arg(place.socket)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", place.program.display()))?;
        let pid = child.id().context("the server ended at once")?;
        let address = Address::Unix(place.socket.to_owned());
        let client = Client::new(address.clone());
        let mut server = Self { child, pid, address, client, _configuration: configuration };
        let ready = tokio::time::timeout(PATIENCE, server.until_ready()).await;
        let failed = match ready {
            Ok(Ok(())) => return Ok(server),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not every CORE component was ready within {PATIENCE:?}"),
        };
        server.stop().await;
        let said = std::fs::read_to_string(place.log).unwrap_or_default();
        let said: Vec<&str> = said.lines().rev().take(12).collect();
        let said: Vec<&str> = said.into_iter().rev().collect();
        bail!("the server does not start: {failed}\n{}", said.join("\n"))
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if self.client.ready().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
