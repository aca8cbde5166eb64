//! The words between a manager, its guard and its trampolines.

use std::path::{Path, PathBuf};

use crate::proctable::ProcessGroup;

/// The first line a guard says: the protocol's version.
pub(super) const HELLO: &str = "guard 1";

/// The line by which a manager that lives takes the removal of its temporary folder upon itself.
pub(super) const LEAVE: &str = "leave\n";

/// The word that makes a trampoline become its program.
pub(crate) const GO: &[u8] = b"go\n";

/// A process group on the guard's list, with the folder of its cgroup.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) process_group: ProcessGroup,
    pub(super) cgroup: Option<PathBuf>,
}

impl Listed {
    /// The line that announces it. A cgroup whose path is more than one word is left out.
    pub(super) fn line(&self) -> String {
        let ProcessGroup { pgid, start } = &self.process_group;
        let cgroup = self.cgroup.as_deref().and_then(Path::to_str);
        let cgroup = cgroup.filter(|dir| !dir.contains(|c: char| c.is_whitespace()));
        let words = cgroup.map_or(String::new(), |dir| format!(" {dir}"));
        format!("add {pgid} {start}{words}\n")
    }
}
