//! The choice of the mechanism that bounds child processes: a cgroup below this process's own one, in the hierarchy
//! that has the memory controller (the kernel gives it to one: v2, where the cgroup must be delegated, or v1, where it
//! must be writable); else data limits; off Linux none. The probe makes one cgroup and removes it.

use std::fmt;
use std::fs;
use std::path::Path;

use super::error::write;
use crate::cgroup::{CgroupVersion, MemoryCgroup};

/// All cgroups made for limits have names that begin with this.
pub(super) const CGROUP_PREFIX: &str = "majordomo-";

/// Where this process moves in a delegated v2 cgroup.
const LEAF: &str = "majordomo.main";

/// The mechanism that bounds child processes, with the reason why there is no better one. Shown in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitChoice {
    /// Cgroups below this one.
    Cgroup(MemoryCgroup),
    /// `RLIMIT_DATA` of each process: private memory that it maps, touched or not.
    DataLimit {
        /// Why cgroups cannot be used.
        why: String,
    },
    /// No mechanism: the system bounds no process from outside.
    Unlimited {
        /// Why there is none.
        why: String,
    },
}

impl fmt::Display for LimitChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup(cgroup) => {
                write!(f, "{} below {}", cgroup.version(), cgroup.dir().display())
            }
            Self::DataLimit { why } => write!(f, "data limit per process ({why})"),
            Self::Unlimited { why } => write!(f, "none ({why})"),
        }
    }
}

/// Finds the best mechanism. `root` is `/` but in tests.
#[must_use]
pub fn choose_limits(root: &Path) -> LimitChoice {
    if !cfg!(target_os = "linux") {
        let why = "this system has neither cgroups nor limits set from outside".to_owned();
        return LimitChoice::Unlimited { why };
    }
    match MemoryCgroup::of_self(root) {
        Ok(Some(cgroup)) => match probe(&cgroup) {
            Ok(parent) => LimitChoice::Cgroup(parent),
            Err(why) => LimitChoice::DataLimit { why },
        },
        Ok(None) => LimitChoice::DataLimit { why: "no memory cgroup".to_owned() },
        Err(error) => LimitChoice::DataLimit { why: error.to_string() },
    }
}

/// The cgroup below which children can be made, or why there is none.
fn probe(cgroup: &MemoryCgroup) -> Result<MemoryCgroup, String> {
    let delegated;
    let cgroup = if cgroup.version() == CgroupVersion::V2 {
        // A leaf that an earlier call moved this process into is below the cgroup that was delegated.
        delegated = if cgroup.dir().ends_with(LEAF) { cgroup.parent() } else { None };
        let cgroup = delegated.as_ref().unwrap_or(cgroup);
        delegate(cgroup)?;
        cgroup
    } else {
        cgroup
    };
    let trial = cgroup.child(&format!("{}probe-{}", CGROUP_PREFIX, std::process::id()));
    let refused = |e: std::io::Error| {
        format!("{} {} is not writable: {e}", cgroup.version(), cgroup.dir().display())
    };
    match fs::create_dir(trial.dir()) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(refused(e)),
        _ => {}
    }
    let limit_file = trial.file("memory.limit_in_bytes", "memory.max");
    let usable = limit_file.exists();
    let _ = fs::remove_dir(trial.dir());
    if !usable {
        let what = limit_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(format!("cgroups below {} have no {what}", cgroup.dir().display()));
    }
    Ok(cgroup.clone())
}

/// Makes the memory controller available to children of a v2 cgroup. A cgroup with children that have
/// controllers may hold no processes itself (cgroups(7), "no internal processes"), so this process moves into
/// a leaf of its own when it is alone; a cgroup with other processes in it was not delegated to this one.
fn delegate(cgroup: &MemoryCgroup) -> Result<(), String> {
    let dir = cgroup.dir();
    let words = |file: &str| {
        let path = dir.join(file);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let has = |list: &str| list.split_ascii_whitespace().any(|w| w == "memory");
    if has(&words("cgroup.subtree_control")?) {
        return Ok(());
    }
    if !has(&words("cgroup.controllers")?) {
        return Err(format!("{} has no memory controller to hand on", dir.display()));
    }
    let own = std::process::id().to_string();
    let residents = words("cgroup.procs")?;
    if residents.lines().any(|pid| pid != own) {
        return Err(format!("{} is shared with other processes, so not delegated", dir.display()));
    }
    let leaf = dir.join(LEAF);
    let _ = fs::create_dir(&leaf);
    let moved = write(&leaf.join("cgroup.procs"), &own)
        .and_then(|()| write(&dir.join("cgroup.subtree_control"), "+memory"));
    moved.map_err(|error| {
        // This process moves back, and the leaf, empty again, is removed.
        let _ = write(&dir.join("cgroup.procs"), &own);
        let _ = fs::remove_dir(&leaf);
        format!("not delegated: {error}")
    })
}
