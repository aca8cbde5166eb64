//! Why paging is not offered, and why one call could do nothing.

use std::fmt;
use std::io;
use std::path::PathBuf;

use majordomo_core::ByteSize;

use crate::process::Process;

/// Why this machine offers no paging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOffered {
    kind: NotOfferedKind,
    why: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOfferedKind {
    /// This system has no such calls.
    System,
    /// The kernel is too old.
    Kernel,
    /// There is no swap, or no room in it.
    NoSwap,
    /// This process may not page others out.
    NoRight,
    /// The trial failed: the bytes were not free, or the memory of the child was not right.
    Trial,
}

impl NotOffered {
    /// A reason in words, with its kind.
    #[must_use]
    pub fn new(kind: NotOfferedKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// The kind of the reason.
    #[must_use]
    pub fn kind(&self) -> NotOfferedKind {
        self.kind
    }
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotOffered {}

/// Why a call could do nothing. A call that did less than was hoped for reports that instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PagingError {
    /// All processes have ended.
    #[error("all processes of the component have ended")]
    Ended,
    /// This process may not do it to those processes.
    #[error(
        "no permission for the memory of process {pid}: {error}; CAP_SYS_NICE and the right to trace it are needed"
    )]
    NotPermitted {
        /// The process.
        pid: u32,
        /// The system's words.
        error: io::Error,
    },
    /// The memory of a process could not be read or advised about, for another reason.
    #[error("process {pid} cannot be paged: {error}")]
    Process {
        /// The process.
        pid: u32,
        /// The system's words.
        error: io::Error,
    },
    /// No page could be written: swap has no room.
    #[error("swap is full ({free} of {total} free); enlarge it with `majordomo setup swap`")]
    SwapFull {
        /// Room that is left.
        free: ByteSize,
        /// Size of all devices.
        total: ByteSize,
    },
    /// The limit of the cgroup leaves no room in swap.
    #[error("{} has no room in swap; raise its memory.swap.max", path.display())]
    CgroupSwapFull {
        /// The cgroup.
        path: PathBuf,
    },
    /// Without CAP_SYS_NICE, memory is reclaimed from cgroups, and there is none.
    #[error(
        "the processes have no cgroup of their own, and without CAP_SYS_NICE only cgroups are paged out"
    )]
    NeedsCgroup,
    /// Hardly any memory of the processes can be paged out: it is locked, or shared with processes that they forked.
    #[error(
        "of {held} of memory only {freed} could be freed ({locked} locked, {shared} shared with other processes, {mapped_shared} in shared mappings)"
    )]
    NothingFreed {
        /// Memory that the processes hold all the same.
        held: ByteSize,
        /// RAM that is free.
        freed: ByteSize,
        /// Locked memory.
        locked: ByteSize,
        /// Memory that forks share.
        shared: ByteSize,
        /// Memory of shared mappings.
        mapped_shared: ByteSize,
    },
    /// A file of the system could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

impl PagingError {
    /// Whether the machine, or what it permits this process, is the reason, and not the program: nothing is learned about
    /// programs from it.
    #[must_use]
    pub fn is_of_the_machine(&self) -> bool {
        match self {
            Self::NotPermitted { .. }
            | Self::SwapFull { .. }
            | Self::CgroupSwapFull { .. }
            | Self::NeedsCgroup
            | Self::Io { .. } => true,
            Self::Ended | Self::Process { .. } | Self::NothingFreed { .. } => false,
        }
    }

    /// Whether it holds for all programs alike: swap has no room.
    #[must_use]
    pub fn is_of_all_programs(&self) -> bool {
        matches!(self, Self::SwapFull { .. })
    }
}

pub(crate) fn of_process(process: &Process, error: io::Error) -> PagingError {
    let pid = process.pid();
    match error.kind() {
        io::ErrorKind::PermissionDenied => PagingError::NotPermitted { pid, error },
        _ => PagingError::Process { pid, error },
    }
}
