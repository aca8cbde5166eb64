//! The locked hog beside a measurement, seen from its parent: started once, held through all runs, ended with this value.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo::ByteSize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// A hog that has not grown by then meets a machine that never calms down.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Hog {
    /// Its standard input is open as long as this process lives.
    _child: Child,
    held: ByteSize,
    gave: Arc<AtomicU64>,
}

impl Hog {
    /// Starts a hog that locks all of the machine's memory but `leave`, and waits until it has grown.
    pub(crate) async fn start(leave: ByteSize) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["locked-hog", "--leave", &format!("{}KiB", leave.bytes() >> 10)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt at the terminal reaches this program alone, whose end is the hog's.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the hog cannot be started")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let gave = Arc::new(AtomicU64::new(0));
        let (grown, has_grown) = oneshot::channel();
        let counted = Arc::clone(&gave);
        tokio::spawn(async move {
            let mut grown = Some(grown);
            while let Ok(Some(line)) = lines.next_line().await {
                let (word, bytes) = line.split_once(' ').unwrap_or_default();
                let bytes = bytes.parse().unwrap_or(0);
                match word {
                    "held" => {
                        // The receiver waits only as long as the start is waited for.
                        let _ = grown.take().map(|grown| grown.send(ByteSize(bytes)));
                    }
                    "gave" => drop(counted.fetch_add(bytes, Ordering::Relaxed)),
                    _ => {}
                }
            }
        });
        match tokio::time::timeout(PATIENCE, has_grown).await {
            Ok(Ok(held)) => Ok(Self { _child: child, held, gave }),
            Ok(Err(_)) => bail!("the hog ended: {}", child.wait().await?),
            Err(_) => {
                bail!("the machine stalls for memory; the hog did not grow within {PATIENCE:?}")
            }
        }
    }

    /// The memory that it locked.
    pub(crate) fn held(&self) -> ByteSize {
        self.held
    }

    /// The memory that it gave back since, because the machine needed it.
    pub(crate) fn gave(&self) -> ByteSize {
        ByteSize(self.gave.load(Ordering::Relaxed))
    }
}
