//! A server that gets only a share of one core, so that a generator on the same machine can prove three times its knee.
//!
//! A control group with a bound on processor time (cgroup v1 or v2). Where none can be made (no root, no delegation,
//! macOS) the server is not held, and why is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// The bound is counted anew so often; short, or it would be the bound that latencies show.
const PERIOD_US: u64 = 20_000;

/// A server that was killed is gone within this.
const LEAVING: Duration = Duration::from_secs(2);

/// A group that bounds the processor time of what is in it; removed when it is dropped and empty.
#[derive(Debug)]
pub(super) struct Held {
    dir: PathBuf,
    is_v2: bool,
}

impl Held {
    /// Makes a group below the own one; why not, in words.
    pub(super) fn create(name: &str) -> Result<Self, String> {
        let lines = std::fs::read_to_string("/proc/self/cgroup")
            .map_err(|e| format!("/proc/self/cgroup: {e}"))?;
        let (own, is_v2) = own_group(&lines).ok_or("there is no group for processor time")?;
        let dir = own.join(name);
        let at = |e: std::io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir(&dir).map_err(at)?;
        let made = Self { dir: dir.clone(), is_v2 };
        // What cannot be bounded is of no use, and it had better be known before anything is started in it.
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
        if self.is_v2 {
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
        // Busy until the server that was in it, and killed when the load test was broken off, is gone. What does not
        // go stays, empty and harmless, until the machine boots.
        let until = Instant::now() + LEAVING;
        while std::fs::remove_dir(&self.dir).is_err() && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

/// The folder of this process's group for processor time, and whether it is of version 2.
fn own_group(lines: &str) -> Option<(PathBuf, bool)> {
    let root = Path::new("/sys/fs/cgroup");
    let fields =
        || lines.lines().filter_map(|line| line.splitn(3, ':').collect::<Vec<_>>().try_into().ok());
    // Version 1, where processor time has a hierarchy, perhaps with another controller.
    let v1 = fields().find_map(|[_, names, path]: [&str; 3]| {
        names.split(',').any(|n| n == "cpu").then(|| below(&root.join(names), path))
    });
    let v2 = || {
        let [_, _, path] = fields().find(|f: &[&str; 3]| f[0] == "0" && f[1].is_empty())?;
        Some((below(root, path), true))
    };
    v1.map(|dir| (dir, false)).or_else(v2)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_either_version() {
        let of = |lines: &str| own_group(lines).map(|(dir, v2)| (dir.display().to_string(), v2));
        let v1 = "9:name=systemd:/\n4:memory:/a/b\n1:cpu:/x\n0::/\n";
        assert_eq!(of(v1), Some(("/sys/fs/cgroup/cpu/x".to_owned(), false)));
        let both = "3:cpu,cpuacct:/user.slice\n2:cpuset:/\n";
        assert_eq!(of(both), Some(("/sys/fs/cgroup/cpu,cpuacct/user.slice".to_owned(), false)));
        let v2 = "0::/user.slice/app:1.scope\n";
        assert_eq!(of(v2), Some(("/sys/fs/cgroup/user.slice/app:1.scope".to_owned(), true)));
        assert_eq!(of("2:cpuset:/\n"), None);
        assert_eq!(of(""), None);
    }
}
