//! A directory that stands in for a machine's `/proc` and `/sys/fs/cgroup`; removed when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Fixture(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Fixture {
    pub(crate) fn new() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("majordomo-memory-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A machine with the memory controller on v1 and the process in `cgroup`.
    pub(crate) fn v1(cgroup: &str) -> Self {
        let f = Self::new();
        f.put("proc/self/cgroup", &format!("9:name=systemd:/\n4:memory:{cgroup}\n0::/\n"));
        f.put(
            "proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
        );
        f
    }

    /// A machine with the unified hierarchy and the process in `cgroup`.
    pub(crate) fn v2(cgroup: &str) -> Self {
        let f = Self::new();
        f.put("proc/self/cgroup", &format!("0::{cgroup}\n"));
        f.put(
            "proc/self/mountinfo",
            "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        f
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn put(&self, path: &str, text: &str) -> &Self {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.0.join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    /// The files of one v1 cgroup.
    pub(crate) fn v1_cgroup(&self, dir: &str, limit: &str, usage: u64, inactive: u64) {
        let dir = format!("sys/fs/cgroup/memory{dir}");
        self.put(&format!("{dir}/memory.limit_in_bytes"), &format!("{limit}\n"))
            .put(&format!("{dir}/memory.usage_in_bytes"), &format!("{usage}\n"))
            .put(
                &format!("{dir}/memory.stat"),
                &format!("inactive_file 1\ntotal_inactive_file {inactive}\n"),
            )
            .put(&format!("{dir}/memory.failcnt"), "7\n")
            .put(
                &format!("{dir}/memory.oom_control"),
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            );
    }

    /// The files of one v2 cgroup.
    pub(crate) fn v2_cgroup(&self, dir: &str, max: &str, high: &str, usage: u64, inactive: u64) {
        let dir = format!("sys/fs/cgroup{dir}");
        self.put(&format!("{dir}/memory.max"), &format!("{max}\n"))
            .put(&format!("{dir}/memory.high"), &format!("{high}\n"))
            .put(&format!("{dir}/memory.current"), &format!("{usage}\n"))
            .put(&format!("{dir}/memory.stat"), &format!("anon 3\ninactive_file {inactive}\n"))
            .put(
                &format!("{dir}/memory.events"),
                "low 0\nhigh 5\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
            );
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
