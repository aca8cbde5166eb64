//! Real memory pressure: a control group of the run's own with a limit, and something big in it.
//!
//! Where groups cannot be made (no root, no delegation, macOS) pressure is scripted, which the report says.

use std::path::PathBuf;
use std::process::Stdio;

use majordomo::ByteSize;
use majordomo_memory::{GroupVersion, MemoryGroup};
use tokio::process::{Child, Command};

use super::subject::GROUP_LIMIT;

/// A group that bounds what is in it; removed when it is dropped and empty.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
    group: MemoryGroup,
}

impl Group {
    /// Makes the group below the own one; why not, in words.
    pub(crate) fn create(name: &str) -> Result<Self, String> {
        let own = MemoryGroup::of_self(std::path::Path::new("/")).map_err(|e| e.to_string())?;
        let own = own.ok_or("this system has no memory groups")?;
        let group = own.child(name);
        let dir = group.dir().to_owned();
        let at = |e: std::io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir(&dir).map_err(at)?;
        let made = Self { dir: dir.clone(), group };
        let file = match made.group.version() {
            GroupVersion::V1 => "memory.limit_in_bytes",
            GroupVersion::V2 => "memory.max",
        };
        std::fs::write(dir.join(file), GROUP_LIMIT.0.to_string()).map_err(at)?;
        Ok(made)
    }

    /// The file that takes process ids.
    pub(crate) fn members(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Starts something that takes so much that only a share of the limit is left.
    pub(crate) fn press(&self, program: &std::path::Path, left: f64) -> Result<Child, String> {
        let used = self.group.working_set().map_err(|e| e.to_string())?;
        let free = GROUP_LIMIT.0.saturating_sub(used.0 + GROUP_LIMIT.scaled(left).0);
        let mib = free / ByteSize::mib(1).0;
        let script = "echo $$ >\"$1\" && exec \"$2\" component --mib \"$3\"";
        Command::new("/bin/sh")
            .args(["-c", script, "sh"])
            .args([self.members(), program.to_owned(), PathBuf::from(mib.to_string())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| e.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Busy while somebody is still in it; then it stays, empty and harmless, until the machine boots.
        let _ = std::fs::remove_dir(&self.dir);
    }
}
