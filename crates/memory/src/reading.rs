//! One reading of memory pressure: bytes, the signals of the system, and which of those signals count.

use std::fmt;

use majordomo_core::{ByteSize, PressureLevel};

use crate::hints::{Hints, MachineMemory, may_cause_stalls};

/// Whose limit a reading is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReadingSource {
    /// The machine's memory is the tighter bound.
    Machine,
    /// A cgroup that this process belongs to is the tighter bound.
    Cgroup,
    /// A script of a test or a simulation.
    Scripted,
}

impl fmt::Display for ReadingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Machine => "machine",
            Self::Cgroup => "own cgroup",
            Self::Scripted => "script",
        })
    }
}

/// The reading of a source at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureReading {
    /// Bytes that can still be allocated before the limit: free, or reclaimable without swapping.
    pub available: ByteSize,
    /// The effective limit: the smaller of the machine's memory and the own cgroup's limit. Above zero.
    pub limit: ByteSize,
    /// The memory of the machine, of which `available` and `limit` may be a part.
    pub machine: MachineMemory,
    /// Signals of the system itself; [`Self::hint`] decides which of them count.
    pub hints: Hints,
    /// Whose limit it is.
    pub source: ReadingSource,
}

impl PressureReading {
    /// A reading of the machine alone, without signals.
    #[must_use]
    pub fn of_machine(available: ByteSize, total: ByteSize) -> Self {
        Self {
            available,
            limit: total,
            machine: MachineMemory { available, total },
            hints: Hints::default(),
            source: ReadingSource::Machine,
        }
    }

    /// A scripted reading, of a machine with so much memory and without signals.
    #[must_use]
    pub fn scripted(available: ByteSize, limit: ByteSize) -> Self {
        Self { source: ReadingSource::Scripted, ..Self::of_machine(available, limit) }
    }

    /// The level that the signals in the reading count for: events and the system's own level always, stalls only while less
    /// than half of the memory is available that they are of, the effective limit's or the machine's.
    #[must_use]
    pub fn hint(&self) -> Option<PressureLevel> {
        let own = may_cause_stalls(self.available, self.limit);
        let stalls = self.hints.own_stalls.filter(|_| own);
        let of_machine = self.hints.machine.filter(|_| self.machine.may_cause_stalls());
        self.hints.own.max(stalls).max(of_machine)
    }

    /// The same reading with further signals merged in, such as those of the wake-up before it.
    #[must_use]
    pub fn with_hints(self, hints: Hints) -> Self {
        Self { hints: self.hints.merged(hints), ..self }
    }
}
