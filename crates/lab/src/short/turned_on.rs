//! Swap that a measurement turns on by request, and off again at its end.
//!
//! Invariant: a keeper, a shell that ignores the terminal's signals, undoes everything when its standard input ends. So swap is
//! turned off also when this program is interrupted or killed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo::ByteSize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::swap::SwapKind;

/// Turning swap off reads back everything in it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A swap file at `$1` of `$2` bytes.
const DISK: &str = r#"
trap '' INT TERM HUP
undo() { swapoff "$1" 2>/dev/null; rm -f "$1"; }
trap 'undo "$1"' EXIT
set -e
umask 077
fallocate -l "$2" "$1"
mkswap "$1" >/dev/null
swapon "$1"
echo on
cat >/dev/null
"#;

/// A zram device of `$2` bytes, preferred to swap on a disk.
const ZRAM: &str = r#"
trap '' INT TERM HUP
modprobe zram 2>/dev/null || true
if [ ! -r /sys/class/zram-control/hot_add ]; then echo "this kernel has no zram" >&2; exit 1; fi
n=$(cat /sys/class/zram-control/hot_add)
undo() { swapoff /dev/zram$n 2>/dev/null; echo 1 >/sys/block/zram$n/reset; echo $n >/sys/class/zram-control/hot_remove; }
trap undo EXIT
set -e
echo "$2" >/sys/block/zram$n/disksize
mkswap /dev/zram$n >/dev/null
swapon -p 100 /dev/zram$n
echo on
cat >/dev/null
"#;

#[derive(Debug)]
pub(crate) struct TurnedOn(Child);

impl TurnedOn {
    /// Turns swap of a kind on; its file, if it has one, is made at `file`.
    pub(crate) async fn start(kind: SwapKind, size: ByteSize, file: &Path) -> anyhow::Result<Self> {
        let script = match kind {
            SwapKind::None => bail!("--turn-swap-on: --swap none has nothing to turn on"),
            SwapKind::Disk => DISK,
            SwapKind::Zram => ZRAM,
        };
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(file)
            .arg(size.bytes().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("sh cannot be started")?;
        let out = child.stdout.take().context("no standard output")?;
        if BufReader::new(out).lines().next_line().await?.as_deref() == Some("on") {
            return Ok(Self(child));
        }
        bail!(
            "swap cannot be turned on ({}); the commands are those of `majordomo setup {}`, and need root",
            child.wait().await?,
            if kind == SwapKind::Zram { "zram" } else { "swap" }
        )
    }

    /// Turns it off and waits for that.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.0.stdin.take());
        tokio::time::timeout(PATIENCE, self.0.wait())
            .await
            .with_context(|| format!("swap was not turned off within {PATIENCE:?}"))??;
        Ok(())
    }
}
