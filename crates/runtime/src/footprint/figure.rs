//! Figures of the memory that a component uses.

use std::fmt;

use majordomo_core::ByteSize;

/// Where an exact figure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Figure {
    /// The sum of the members' proportional set sizes with swap (Linux), or of their physical footprints (macOS).
    #[default]
    Proportional,
    /// The usage of the component's own cgroup less inactive file cache, where a member cannot be read.
    Cgroup,
    /// The same as `Proportional`, but of the members that cannot be read only the one with the largest resident
    /// size, since they may share all of it: never too large for that.
    Largest,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proportional => "its processes' own account",
            Self::Cgroup => "from its cgroup",
            Self::Largest => "only the largest of the processes that cannot be read",
        })
    }
}

/// The memory that a component uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes, each page of memory counted once.
    pub exact: ByteSize,
    /// The part of `exact` that is in swap.
    pub swapped: ByteSize,
    /// The part of `exact` that is pages of no file which one member alone has: at most so much can be moved to swap. None where the
    /// system does not report it of every member.
    pub own: Option<ByteSize>,
    /// Where the figure comes from.
    pub figure: Figure,
    /// The sum of the members' resident sizes at the same time.
    pub resident: ByteSize,
    /// Living members.
    pub members: u32,
}

/// The memory that a load took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadFootprint {
    /// Exact bytes now.
    pub exact: ByteSize,
    /// The most so far.
    pub peak: ByteSize,
    /// As of [`Footprint::own`].
    pub own: Option<ByteSize>,
}
