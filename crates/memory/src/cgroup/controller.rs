//! The two generations of cgroups, and the controllers that are used here.

use std::fmt;

/// Which generation of control groups.
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

/// What a control group bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// Processor time.
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

    /// A file that a v2 group has when the controller counts in it.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Memory => "memory.current",
            Self::Cpu => "cpu.stat",
        }
    }
}
