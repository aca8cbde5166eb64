//! Real memory pressure: a cgroup of the run's own with a limit, and something big in it.
//!
//! Where groups cannot be made (no root, no delegation, macOS) pressure is scripted, which the report says.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use majordomo::ByteSize;
use majordomo_memory::{CgroupVersion, MemoryCgroup};
use rustix::io::Errno;
use rustix::process::Pid;
use tokio::process::{Child, Command};

use super::subject::GROUP_LIMIT;

/// A group that bounds what is in it; removed when it is dropped and empty.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
    group: MemoryCgroup,
}

impl Group {
    /// Makes the group below the own one; why not, in words.
    pub(crate) fn create(name: &str) -> Result<Self, String> {
        let own = MemoryCgroup::of_self(Path::new("/")).map_err(|e| e.to_string())?;
        let own = own.ok_or("this system has no memory groups")?;
        let group = own.child(name);
        let dir = group.dir().to_owned();
        abandoned(&dir).for_each(|dir| drop(std::fs::remove_dir(dir)));
        let at = |e: std::io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir(&dir).map_err(at)?;
        let made = Self { dir: dir.clone(), group };
        let file = match made.group.version() {
            CgroupVersion::V1 => "memory.limit_in_bytes",
            CgroupVersion::V2 => "memory.max",
        };
        std::fs::write(dir.join(file), GROUP_LIMIT.0.to_string()).map_err(at)?;
        Ok(made)
    }

    /// The file that takes process ids.
    pub(crate) fn members(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Starts something that takes so much that only a share of the limit is left. It ends with its standard input, so
    /// not later than this process, however that ends.
    pub(crate) fn press(&self, program: &Path, left: f64) -> Result<Child, String> {
        let used = self.group.working_set().map_err(|e| e.to_string())?;
        let free = GROUP_LIMIT.0.saturating_sub(used.0 + GROUP_LIMIT.scaled(left).0);
        let mib = free / ByteSize::mib(1).0;
        let script = "echo $$ >\"$1\" && exec \"$2\" component --mib \"$3\" --until-eof";
        Command::new("/bin/sh")
            .args(["-c", script, "sh"])
            .args([self.members(), program.to_owned(), PathBuf::from(mib.to_string())])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| e.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Busy while a process is still in it; then the next run removes it.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// The process that made a folder of a run, by its name.
fn maker(name: &str) -> Option<i32> {
    let (pid, _seed) = name.strip_prefix("majordomo-soak-")?.split_once('-')?;
    pid.parse().ok()
}

/// The groups and folders beside `dir` that runs left which were killed: their maker lives no more.
pub(crate) fn abandoned(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let beside = dir.parent().and_then(|all| std::fs::read_dir(all).ok());
    beside.into_iter().flatten().flatten().filter_map(|entry| {
        let made_by = entry.file_name().to_str().and_then(maker)?;
        let lives = rustix::process::test_kill_process(Pid::from_raw(made_by)?) != Err(Errno::SRCH);
        (!lives).then(|| entry.path())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_runs_made_is_abandoned_and_nothing_else() {
        let all = std::env::temp_dir().join(format!("majordomo-groups-{}", std::process::id()));
        // No process has a number as high as that.
        let dead = "majordomo-soak-1073741825-1f";
        let own = format!("majordomo-soak-{}-3", std::process::id());
        for name in [dead, &own, "majordomo-soak-x", "user.slice"] {
            std::fs::create_dir_all(all.join(name)).unwrap();
        }
        let found: Vec<_> = abandoned(&all.join("majordomo-soak-1-1")).collect();
        assert_eq!(found, [all.join(dead)]);
        std::fs::remove_dir_all(&all).unwrap();
    }
}
