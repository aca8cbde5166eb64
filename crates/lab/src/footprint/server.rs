//! The product's server under measurement. It ends with this value, and so do its components.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo_core::ByteSize;
use majordomo_server::wire::Feedback;
use majordomo_server::{Address, Client};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::Rows;
use super::account::{Account, mappings};

/// The server hangs if it takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two looks at the server.
const LOOK: Duration = Duration::from_millis(10);
/// The server is at rest when its memory has not changed by a page for so many looks.
const LOOKS_AT_REST: u32 = 100;

pub(super) struct Served {
    child: Child,
    client: Client,
    pid: u32,
}

fn configuration(rows: &Rows) -> String {
    let section = |name: &String| {
        format!(
            "[components.{name}]\ncommand = [\"/bin/sh\", \"-c\", \"exec sleep 1000000\"]\n\
             memory = \"20MiB\"\nkeywords = [{name:?}]\n"
        )
    };
    let sections: String = rows.components.iter().map(section).collect();
    format!("[manager]\nbudget = \"2GiB\"\nwrite_state_after = \"1s\"\n{sections}")
}

/// Teaches the texts to the state directory.
pub(super) async fn learn(program: &Path, dir: &Path, rows: &Rows) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .arg("learn")
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let lines: String =
        rows.taught.iter().map(|(name, text)| format!("{name}\t{text}\n")).collect();
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(lines.as_bytes()).await?;
    drop(stdin);
    ensure!(child.wait().await?.success(), "the texts cannot be learned");
    Ok(())
}

impl Served {
    pub(super) async fn start(program: &Path, dir: &Path, rows: &Rows) -> anyhow::Result<Self> {
        let (config, socket) = (dir.join("footprint.toml"), dir.join("api.sock"));
        std::fs::write(&config, configuration(rows))?;
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--socket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let pid = child.id().context("the server ended at once")?;
        let mut out = Self { child, client: Client::new(Address::Unix(socket)), pid };
        out.until("the server is up", async |served| Ok(served.client.health().await.is_ok()))
            .await?;
        Ok(out)
    }

    async fn until(
        &mut self,
        what: &str,
        mut is_so: impl AsyncFnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !is_so(self).await? {
            ensure!(self.child.try_wait()?.is_none(), "the server ended");
            ensure!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// A figure of the section about texts.
    pub(super) async fn figure(&self, name: &str) -> anyhow::Result<serde_json::Value> {
        let status = serde_json::to_value(self.client.status().await?)?;
        let figures = status["sections"]["intents"].as_array().cloned().unwrap_or_default();
        let figure = figures.into_iter().find(|figure| figure["name"] == name);
        figure.map(|figure| figure["value"].clone()).with_context(|| format!("no figure {name}"))
    }

    /// The account once nothing is written or trained any more and the memory no longer changes.
    pub(super) async fn at_rest(&self) -> anyhow::Result<Account> {
        let end = Instant::now() + PATIENCE;
        while self.figure("retraining").await? != false
            || self.figure("state").await? != "up to date"
        {
            ensure!(Instant::now() < end, "the server does not come to rest within {PATIENCE:?}");
            sleep(LOOK).await;
        }
        let (mut last, mut n_same) = (Account::of(self.pid)?, 0);
        while n_same < LOOKS_AT_REST && Instant::now() < end {
            sleep(LOOK).await;
            let now = Account::of(self.pid)?;
            n_same = if now.pss == last.pss { n_same + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    /// Teaches texts until the server has retrained and written its state; the highest account until then.
    pub(super) async fn retrain(&self, texts: &[(String, String)]) -> anyhow::Result<Account> {
        let before = self.figure("retrains").await?.as_u64().unwrap_or_default();
        let rejected = self.figure("retrains_rejected").await?.as_u64().unwrap_or_default();
        for (used, text) in texts {
            let used = used.split(',').map(str::to_owned).collect();
            let feedback = Feedback { text: text.clone(), used, ..Feedback::default() };
            self.client.feedback(&feedback).await?;
        }
        let end = Instant::now() + PATIENCE;
        let mut highest = Account::default();
        let mut n_looks = 0u32;
        loop {
            let now = Account::of(self.pid)?;
            if now.pss > highest.pss {
                highest = now;
            }
            n_looks += 1;
            // A status costs the server work, so that only some of the rounds ask for it.
            if n_looks.is_multiple_of(20) {
                let n = self.figure("retrains").await?.as_u64().unwrap_or_default();
                let n_rejected =
                    self.figure("retrains_rejected").await?.as_u64().unwrap_or_default();
                if n + n_rejected > before + rejected && self.figure("state").await? == "up to date"
                {
                    return Ok(highest);
                }
            }
            if Instant::now() > end {
                bail!("no retrain within {PATIENCE:?}");
            }
            sleep(LOOK).await;
        }
    }

    pub(super) fn mappings(&self) -> anyhow::Result<Vec<(String, ByteSize)>> {
        mappings(self.pid, 10)
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid)?).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}
