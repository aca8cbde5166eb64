//! Why a wait for pressure ended, and which hints follow from it.

use majordomo_core::{ByteSize, PressureLevel};

use crate::cgroup::CgroupEvents;
use crate::hints::Hints;

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeCause {
    /// Another thread asked by a [`PressureWaker`](crate::PressureWaker).
    Woken,
    /// The system's own level changed (macOS); the next reading has it.
    System,
    /// Tasks stalled for memory, by a PSI trigger.
    Stall {
        /// In the own cgroup only; otherwise anywhere on the machine.
        own_cgroup: bool,
        /// The level that such a stall hints at.
        hint: PressureLevel,
    },
    /// The cgroup's usage crossed a threshold, up or down (v1).
    Usage {
        /// The threshold, in bytes of usage.
        threshold: ByteSize,
    },
    /// Events of the cgroup (v2), counted since the last wake-up.
    Cgroup(CgroupEvents),
}

/// How a wait ended. No cause: the time passed, or a signal of the process came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// Everything that ended it.
    pub causes: Vec<WakeCause>,
}

impl Wakeup {
    /// Whether nothing but time ended it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.causes.is_empty()
    }

    /// The hints of the causes, to be merged into the next reading
    /// ([`PressureReading::with_hints`](crate::PressureReading::with_hints)), which decides which of them count.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.causes.iter().map(WakeCause::hints).fold(Hints::default(), Hints::merged)
    }
}

impl WakeCause {
    fn hints(&self) -> Hints {
        let none = Hints::default();
        let own = |level| Hints { own: Some(level), ..none };
        match *self {
            Self::Stall { own_cgroup: false, hint } => Hints { machine: Some(hint), ..none },
            Self::Stall { own_cgroup: true, hint } => Hints { own_stalls: Some(hint), ..none },
            Self::Cgroup(CgroupEvents { oom_kill: 1.., .. }) => own(PressureLevel::Emergency),
            Self::Cgroup(CgroupEvents { max: 1.., .. }) => own(PressureLevel::Critical),
            Self::Cgroup(CgroupEvents { high: 1.., .. }) => own(PressureLevel::High),
            Self::Woken | Self::System | Self::Usage { .. } | Self::Cgroup(_) => Hints::default(),
        }
    }
}
