//! Bounds on the memory of child processes: the mechanism, one limit per process, its removal.
//!
//! Creates and removes cgroups below this process's own one, and nowhere else. Invariant: a dropped [`ProcessLimit`]
//! leaves no cgroup behind unless the kernel refuses (a process still lives in it); then the next limit of the same
//! name takes it over.

mod choose;
mod error;
mod oom;

pub use choose::{LimitChoice, choose_limits};
pub use error::LimitError;
pub use oom::{OomEvidence, OomWatch};

use std::fs;
use std::io;
use std::path::Path;

use majordomo_core::ByteSize;

use crate::cgroup::{CgroupVersion, MemoryCgroup};
use crate::error::SourceError;

use choose::CGROUP_PREFIX;
use error::write;

/// `memory.high` of a limited cgroup is this share of its limit: the kernel reclaims and sends events before it
/// kills.
const HIGH_SHARE: f64 = 0.9;

/// The bound of one process and its children, or a cgroup of their own without a bound; made before the process, dropped
/// after it was reaped.
#[derive(Debug)]
pub struct ProcessLimit {
    limit: Option<ByteSize>,
    how: How,
}

/// Whether a process may have memory in swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    /// A process over its limit is killed.
    Never,
    /// A parked process has its memory there: as many bytes as its limit.
    AsMuch,
}

#[derive(Debug)]
enum How {
    Cgroup(OwnedCgroup),
    DataLimit(ByteSize),
    Unlimited,
}

/// A cgroup that this process made.
#[derive(Debug)]
struct OwnedCgroup(MemoryCgroup);

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        // Refused while a process lives in it; `LimitChoice::sweep` removes it later.
        let _ = fs::remove_dir(self.0.dir());
    }
}

impl LimitChoice {
    /// Makes the bound for one process. `name` is unique among the living ones, such as `vision-17`.
    ///
    /// # Errors
    /// When the name or limit is unusable, or the system refuses; nothing is left behind then.
    pub fn limit(&self, name: &str, limit: ByteSize) -> Result<ProcessLimit, LimitError> {
        self.make(name, Some(limit), Swap::Never)
    }

    /// Makes a cgroup for one process that may be parked, so that the bytes which that frees are counted by the kernel; with
    /// a limit it is a bound too, which leaves as many bytes in swap. None without a limit where there are no cgroups.
    ///
    /// # Errors
    /// As for [`Self::limit`].
    pub fn group(
        &self,
        name: &str,
        limit: Option<ByteSize>,
    ) -> Result<Option<ProcessLimit>, LimitError> {
        if limit.is_none() && !matches!(self, Self::Cgroup(_)) {
            return Ok(None);
        }
        self.make(name, limit, Swap::AsMuch).map(Some)
    }

    fn make(
        &self,
        name: &str,
        limit: Option<ByteSize>,
        swap: Swap,
    ) -> Result<ProcessLimit, LimitError> {
        if limit == Some(ByteSize::ZERO) {
            return Err(LimitError::Zero);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(LimitError::Name(name.to_owned()));
        }
        let how = match (self, limit) {
            (Self::Cgroup(parent), _) => How::Cgroup(make_cgroup(parent, name, limit, swap)?),
            (Self::DataLimit { .. }, Some(limit)) => How::DataLimit(limit),
            (Self::DataLimit { .. } | Self::Unlimited { .. }, _) => How::Unlimited,
        };
        Ok(ProcessLimit { limit, how })
    }

    /// Removes empty cgroups that earlier processes left; returns how many.
    pub fn sweep(&self) -> usize {
        let Self::Cgroup(parent) = self else { return 0 };
        let Ok(entries) = fs::read_dir(parent.dir()) else { return 0 };
        entries
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with(CGROUP_PREFIX))
            .filter(|e| fs::remove_dir(e.path()).is_ok())
            .count()
    }
}

fn make_cgroup(
    parent: &MemoryCgroup,
    name: &str,
    limit: Option<ByteSize>,
    swap: Swap,
) -> Result<OwnedCgroup, LimitError> {
    let cgroup = parent.child(&format!("{CGROUP_PREFIX}{name}"));
    let dir = cgroup.dir().to_owned();
    match fs::create_dir(&dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            // Left behind by an earlier process of this name; taken over when it is empty.
            let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            if !procs.trim().is_empty() {
                return Err(LimitError::InUse(dir));
            }
        }
        Err(error) => return Err(LimitError::Io { path: dir, error }),
    }
    let cgroup = OwnedCgroup(cgroup);
    if swap == Swap::AsMuch {
        keep_in_memory(&cgroup.0)?;
    }
    if let Some(limit) = limit {
        set_limit(&cgroup.0, limit, swap)?;
    }
    Ok(cgroup)
}

/// Parks swap pages of processes deliberately; under pressure the kernel takes pages of files first. Only v1 can say so for one
/// cgroup. Not zero: then the kernel would kill before it swaps.
fn keep_in_memory(cgroup: &MemoryCgroup) -> Result<(), LimitError> {
    match cgroup.version() {
        CgroupVersion::V1 => optional(write(&cgroup.dir().join("memory.swappiness"), "1")),
        CgroupVersion::V2 => Ok(()),
    }
}

fn set_limit(cgroup: &MemoryCgroup, limit: ByteSize, swap: Swap) -> Result<(), LimitError> {
    let amount = limit.bytes().to_string();
    let in_swap = match swap {
        Swap::Never => ByteSize::ZERO,
        Swap::AsMuch => limit,
    };
    match cgroup.version() {
        CgroupVersion::V1 => {
            write(&cgroup.dir().join("memory.limit_in_bytes"), &amount)?;
            // The sum of memory and swap; not every kernel counts swap.
            let sum = (limit + in_swap).bytes().to_string();
            optional(write(&cgroup.dir().join("memory.memsw.limit_in_bytes"), &sum))
        }
        CgroupVersion::V2 => {
            let high = limit.scaled(HIGH_SHARE).bytes().to_string();
            write(&cgroup.dir().join("memory.high"), &high)?;
            write(&cgroup.dir().join("memory.max"), &amount)?;
            let in_swap = in_swap.bytes().to_string();
            optional(write(&cgroup.dir().join("memory.swap.max"), &in_swap))?;
            // One killed process of a component is the end of the component.
            optional(write(&cgroup.dir().join("memory.oom.group"), "1"))
        }
    }
}

/// Files that not every kernel has.
fn optional(written: Result<(), LimitError>) -> Result<(), LimitError> {
    match written {
        Err(LimitError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl ProcessLimit {
    /// The bound in bytes; none for a cgroup without one.
    #[must_use]
    pub fn limit(&self) -> Option<ByteSize> {
        self.limit
    }

    /// The cgroup that carries the limit, where the mechanism is a cgroup.
    #[must_use]
    pub fn cgroup(&self) -> Option<&MemoryCgroup> {
        match &self.how {
            How::Cgroup(cgroup) => Some(&cgroup.0),
            How::DataLimit(_) | How::Unlimited => None,
        }
    }

    /// Bounds a process that has not yet begun its work; its later children are bounded too (by data limit:
    /// each by itself).
    ///
    /// # Errors
    /// When the system refuses, or the process has ended.
    pub fn enter(&self, pid: u32) -> Result<(), LimitError> {
        match &self.how {
            How::Cgroup(cgroup) => write(&cgroup.0.dir().join("cgroup.procs"), &pid.to_string()),
            How::DataLimit(limit) => set_data_limit(pid, *limit),
            How::Unlimited => Ok(()),
        }
    }

    /// Bytes that the cgroup uses now; none without a cgroup.
    ///
    /// # Errors
    /// When the cgroup cannot be read.
    pub fn usage(&self) -> Result<Option<ByteSize>, SourceError> {
        self.cgroup().map(MemoryCgroup::usage).transpose()
    }

    /// Begins to watch for the OOM killer; call it before the process starts.
    #[must_use]
    pub fn watch_oom(&self, root: &Path) -> OomWatch {
        OomWatch::new(root, self.cgroup().cloned(), self.limit)
    }
}

#[cfg(target_os = "linux")]
fn set_data_limit(pid: u32, limit: ByteSize) -> Result<(), LimitError> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let refused = |error: io::Error| LimitError::Rlimit { pid, error };
    let gone = || refused(io::Error::from(io::ErrorKind::NotFound));
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let bound = Rlimit { current: Some(limit.bytes()), maximum: Some(limit.bytes()) };
    prlimit(Some(target), Resource::Data, bound).map_err(|e| refused(e.into()))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_data_limit(pid: u32, _limit: ByteSize) -> Result<(), LimitError> {
    let error = io::Error::from(io::ErrorKind::Unsupported);
    Err(LimitError::Rlimit { pid, error })
}
