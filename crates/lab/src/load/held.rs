//! A server that gets only a share of one core, so that a generator on the same machine can prove three times its knee.
//!
//! A cgroup with a bound on processor time (cgroup v1 or v2). Where none can be made (no root, no delegation,
//! macOS) the server is not held, and the reason is printed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo_memory::{CgroupVersion, Controller};
use tokio::time::Instant;

/// The period of the bound; short, or it would be the bound that latencies show.
const PERIOD_US: u64 = 20_000;

/// A server that was killed is gone within this.
const LEAVING: Duration = Duration::from_secs(2);

/// A group that bounds the processor time of what is in it; removed when it is dropped and empty.
#[derive(Debug)]
pub(super) struct Held {
    dir: PathBuf,
    version: CgroupVersion,
}

impl Held {
    /// Makes a group below the own one; why not, in words.
    pub(super) fn create(name: &str) -> Result<Self, String> {
        let own = Controller::Cpu.own_cgroup(Path::new("/")).map_err(|e| e.to_string())?;
        let (version, own) = own.ok_or("there is no group for processor time")?;
        let dir = own.join(name);
        let at = |e: std::io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir(&dir).map_err(at)?;
        let made = Self { dir: dir.clone(), version };
        // A group that cannot be bounded is of no use, which must be known before a process is started in it.
        made.release().map_err(at)?;
        Ok(made)
    }

    /// The file that takes process ids.
    pub(super) fn members(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Bounds it to a share of one core.
    pub(super) fn hold(&self, share: f64) -> std::io::Result<()> {
        self.bound(Some((PERIOD_US as f64 * share) as u64))
    }

    /// Bounds it no more.
    pub(super) fn release(&self) -> std::io::Result<()> {
        self.bound(None)
    }

    fn bound(&self, quota_us: Option<u64>) -> std::io::Result<()> {
        if self.version == CgroupVersion::V2 {
            let quota = quota_us.map_or_else(|| "max".to_owned(), |q| q.to_string());
            return std::fs::write(self.dir.join("cpu.max"), format!("{quota} {PERIOD_US}"));
        }
        std::fs::write(self.dir.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        let quota = quota_us.map_or_else(|| "-1".to_owned(), |q| q.to_string());
        std::fs::write(self.dir.join("cpu.cfs_quota_us"), quota)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Busy until the server in it has ended, which is killed when the load test is interrupted. A group that
        // cannot be removed stays, empty and harmless, until the machine boots.
        let until = Instant::now() + LEAVING;
        while std::fs::remove_dir(&self.dir).is_err() && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}
