//! The system's own signals of a memory shortage, and the one rule about which of them count.
//!
//! Averages of a reading and wake-ups between readings are both expressed as [`Hints`] and merged into the
//! reading, so that no signal reaches the level past the rule of [`PressureReading::hint`](crate::PressureReading::hint).

use majordomo_core::{ByteSize, PressureLevel};

/// From this share of available memory on, a stall is caused by the limit of another cgroup, or by components that read their
/// memory again from swap: unloading components would free memory that is not short.
const STALL_SHARE: f64 = 0.5;

/// Whether a stall may come from a lack of the memory of which so much is available.
pub(crate) fn may_cause_stalls(available: ByteSize, all: ByteSize) -> bool {
    available < all.scaled(STALL_SHARE)
}

/// Levels that the system's own signals suggest, by where the shortage was felt. They raise a level and hold
/// it, but never lower it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Events of the own cgroup's limit, the level of macOS.
    pub own: Option<PressureLevel>,
    /// PSI of the own cgroup, which counts those below it.
    pub own_stalls: Option<PressureLevel>,
    /// PSI of the machine, whichever process stalled.
    pub machine: Option<PressureLevel>,
}

impl Hints {
    /// The higher level of both, for each place.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            own: self.own.max(other.own),
            own_stalls: self.own_stalls.max(other.own_stalls),
            machine: self.machine.max(other.machine),
        }
    }
}

/// The memory of the machine, whatever the limit of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    /// Bytes that are free, or reclaimable without swapping.
    pub available: ByteSize,
    /// Physical memory in bytes.
    pub total: ByteSize,
}

impl MachineMemory {
    /// Whether a stall on this machine may come from a lack of the machine's own memory.
    pub(crate) fn may_cause_stalls(self) -> bool {
        may_cause_stalls(self.available, self.total)
    }
}
