//! The two generations of cgroups, and the controllers that are used here.

use std::fmt;

/// The generation of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupVersion {
    /// One hierarchy per controller.
    V1,
    /// The unified hierarchy.
    V2,
}

impl fmt::Display for CgroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V1 => "cgroup v1",
            Self::V2 => "cgroup v2",
        })
    }
}

/// A resource that a cgroup bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// The memory controller, `memory`.
    Memory,
    /// The controller of processor time, `cpu`.
    Cpu,
}

impl Controller {
    /// Its name in v1 hierarchies.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }

    /// A file that a v2 cgroup has when the controller counts in it.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Memory => "memory.current",
            Self::Cpu => "cpu.stat",
        }
    }
}
