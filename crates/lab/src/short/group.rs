//! A memory group (cgroup v1 or v2) around a server, its components, and the page cache of their files.
//!
//! Its limit stands for the memory of a machine, and its usage counts what PSS cannot see: swap cache, page cache and the
//! kernel's own memory for these processes. Invariant: a dropped group leaves no folder behind unless a process lives in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use majordomo::ByteSize;
use majordomo_memory::{CgroupVersion, LimitChoice, MemoryCgroup, choose_limits};

/// The names of groups begin with this; the process id of their maker follows. A manager beside it removes empty groups of other
/// managers, whose names begin with `majordomo-`.
const PREFIX: &str = "assistant-day-";

/// The memory charged to a group and the groups below it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupUsage {
    /// All of it, page cache and swap cache included.
    pub(crate) usage: u64,
    /// Page cache of files that no process has mapped: the kernel drops it at no cost. An underestimate where shared memory
    /// is mapped, so the rest is no underestimate.
    pub(crate) droppable: u64,
    /// Pages that are in memory and in swap.
    pub(crate) swap_cache: u64,
}

impl GroupUsage {
    /// Reads the text of `memory.stat`.
    fn new(usage: u64, stat: &str, version: CgroupVersion) -> Self {
        let value = |key: &str| {
            let line = stat.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
            line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let [cache, shared, mapped, swap_cache] = match version {
            CgroupVersion::V1 => {
                ["total_cache", "total_shmem", "total_mapped_file", "total_swapcached"].map(value)
            }
            CgroupVersion::V2 => ["file", "shmem", "file_mapped", "swapcached"].map(value),
        };
        let droppable = cache.saturating_sub(shared).saturating_sub(mapped);
        Self { usage, droppable, swap_cache }
    }

    /// Everything but the droppable page cache.
    pub(crate) fn held(self) -> u64 {
        self.usage.saturating_sub(self.droppable)
    }
}

/// A group that this process made.
#[derive(Debug)]
pub(crate) struct MemoryGroup(MemoryCgroup);

impl MemoryGroup {
    /// Makes a group without a limit below this process's own one.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let choice = choose_limits(Path::new("/"));
        let LimitChoice::Cgroup(parent) = &choice else {
            bail!(
                "a memory group is needed, and none can be made here: {choice}; run as root, or in a delegated cgroup v2"
            );
        };
        remove_abandoned(parent.dir());
        let group = parent.child(&format!("{PREFIX}{}", std::process::id()));
        match std::fs::create_dir(group.dir()) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(e).with_context(|| format!("{} cannot be made", group.dir().display()))
            }
            _ => Ok(Self(group)),
        }
    }

    fn write(&self, v1: &str, v2: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.dir().join(match self.0.version() {
            CgroupVersion::V1 => v1,
            CgroupVersion::V2 => v2,
        });
        std::fs::write(&path, text)
            .with_context(|| format!("{} does not take {text}", path.display()))
    }

    /// The file that takes the ids of processes.
    pub(crate) fn members(&self) -> PathBuf {
        self.0.dir().join("cgroup.procs")
    }

    /// From now on no more memory is charged to it than this; page cache is dropped and memory is swapped out first.
    pub(crate) fn limit(&self, limit: ByteSize) -> anyhow::Result<()> {
        self.write("memory.limit_in_bytes", "memory.max", &limit.bytes().to_string())
    }

    pub(crate) fn usage(&self) -> anyhow::Result<GroupUsage> {
        let usage = self.0.usage()?.bytes();
        let path = self.0.dir().join("memory.stat");
        let stat = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(GroupUsage::new(usage, &stat, self.0.version()))
    }

    /// Processes that the kernel killed in it for want of memory, since it was made.
    pub(crate) fn n_killed(&self) -> u64 {
        self.0.events().map_or(0, |events| events.oom_kill)
    }

    /// Drops what no process needs any more: page cache, swap cache, and the groups that a server made in it.
    pub(crate) fn empty(&self) {
        remove_groups_below(self.0.dir());
        if self.0.version() == CgroupVersion::V2 {
            // A server that made groups here left the controller handed on, and then no process may enter.
            let _ = std::fs::write(self.0.dir().join("cgroup.subtree_control"), "-memory");
        }
        let all = self.0.usage().map_or(0, ByteSize::bytes).to_string();
        // Either is refused where some page cannot be dropped; what is left is counted.
        let _ = self.write("memory.force_empty", "memory.reclaim", &all);
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        remove_groups_below(self.0.dir());
        // Refused while a process lives in it; the next measurement removes it.
        let _ = std::fs::remove_dir(self.0.dir());
    }
}

/// The empty groups in a folder of the hierarchy, deepest first.
fn remove_groups_below(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        remove_groups_below(&entry.path());
        let _ = std::fs::remove_dir(entry.path());
    }
}

/// Groups of measurements that were killed.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove_groups_below(&entry.path());
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_cache_that_no_process_maps_is_not_held() {
        let v1 = "cache 7\ntotal_cache 900\ntotal_shmem 100\ntotal_mapped_file 300\ntotal_swapcached 40\n";
        let v2 = "anon 9\nfile 900\nshmem 100\nfile_mapped 300\nswapcached 40\n";
        for (stat, version) in [(v1, CgroupVersion::V1), (v2, CgroupVersion::V2)] {
            let usage = GroupUsage::new(2_000, stat, version);
            assert_eq!(usage, GroupUsage { usage: 2_000, droppable: 500, swap_cache: 40 });
            assert_eq!(usage.held(), 1_500);
        }
        assert_eq!(GroupUsage::new(5, "", CgroupVersion::V1).held(), 5);
    }

    /// Skipped where no group can be made.
    #[test]
    fn memory_of_a_process_in_a_group_is_its_usage() {
        let Ok(group) = MemoryGroup::create() else { return };
        let script =
            "echo $$ >\"$1\" && x=$(head -c 20000000 /dev/zero | tr '\\0' x) && echo up && read y";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(group.members())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        use std::io::BufRead as _;
        std::io::BufReader::new(out).read_line(&mut String::new()).unwrap();
        let usage = group.usage().unwrap();
        assert!(usage.held() > 20_000_000, "{usage:?}");
        group.limit(ByteSize::mib(200)).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        group.empty();
        assert!(group.usage().unwrap().usage < 20_000_000);
        assert_eq!(group.n_killed(), 0);
    }
}
