//! Directories that stand in for a machine's `/proc` and `/sys`, removed when dropped; cgroups and pagers of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::Trial;
use majordomo_memory::{LimitChoice, MemoryCgroup, choose_limits};
use majordomo_paging::{Pager, try_paging};

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Adds a test to the list, by name.
pub(crate) fn add(tests: &mut Vec<Trial>, name: &str, test: impl FnOnce() + Send + 'static) {
    tests.push(Trial::test(name, move || {
        test();
        Ok(())
    }));
}

pub(crate) struct Fixture(PathBuf);

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = std::env::temp_dir().join(unique("majordomo-paging"));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A machine with lines of `/proc/swaps`.
    pub(crate) fn with_swaps(lines: &str) -> Self {
        let fixture = Self::new();
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        fixture.put("proc/swaps", &format!("{head}{lines}"));
        fixture.put("proc/meminfo", "MemTotal: 100 kB\nZswap:          0 kB\n");
        fixture
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The real thing where there is one. Otherwise one line says why not, and a run that requires it fails.
pub(crate) fn required<T, E: std::fmt::Display>(found: Result<T, E>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            eprintln!("skipped: {why}");
            let required = std::env::var_os("MAJORDOMO_REQUIRE_PAGING").is_some_and(|v| v == "1");
            assert!(!required, "MAJORDOMO_REQUIRE_PAGING=1, but {why}");
            None
        }
    }
}

/// The cgroup below which others can be made, where there is one.
pub(crate) fn cgroups() -> Option<MemoryCgroup> {
    match choose_limits(Path::new("/")) {
        LimitChoice::Cgroup(cgroup) => Some(cgroup),
        _ => None,
    }
}

/// The pager of this machine.
pub(crate) fn pager() -> Option<Pager> {
    required(try_paging(Path::new("/"), cgroups().as_ref()))
}

/// A cgroup of this machine; removed when dropped, after the processes in it.
pub(crate) struct OwnCgroup(pub(crate) MemoryCgroup);

impl OwnCgroup {
    pub(crate) fn make() -> Option<Self> {
        let cgroup = required(cgroups().ok_or("no cgroup can be made here"))?;
        let cgroup = cgroup.child(&unique("majordomo-paging-test"));
        fs::create_dir(cgroup.dir()).unwrap();
        Some(Self(cgroup))
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.dir());
    }
}
