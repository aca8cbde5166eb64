//! Why a component is not parked on request.

use std::fmt;

/// Why a component cannot be parked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum NoPark {
    /// No rung is on offer for it, or for a component that depends on it.
    NotOffered,
    /// It is not ready.
    NotReady,
    /// Its steps failed too often, or it ended too often while it was parked.
    GivenUp,
    /// A wake would take as long as a load.
    Slower,
    /// There is no room for what it would leave in swap or in another pool.
    NoRoom,
    /// Parks have written as much to swap as they may within a day.
    WritesSpent,
    /// Memory is so short that there is no time to park.
    Pressure,
}

impl NoPark {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::NotOffered,
        Self::NotReady,
        Self::GivenUp,
        Self::Slower,
        Self::NoRoom,
        Self::WritesSpent,
        Self::Pressure,
    ];
}

impl fmt::Display for NoPark {
    /// A sentence about the component.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => {
                "no rung is on offer for it or its dependents; `majordomo why` and `majordomo status` say why"
            }
            Self::NotReady => "it is not ready; load it first",
            Self::GivenUp => {
                "it is not parked any more, because parks or wakes of it failed; its next configuration is tried again"
            }
            Self::Slower => "a wake would take as long as a load; unload it instead",
            Self::NoRoom => "there is no room in swap for it; raise swap_budget, or enlarge the swap (`majordomo status` shows both)",
            Self::WritesSpent => {
                "parks have written all that they may within a day; raise swap_writes_per_day"
            }
            Self::Pressure => "memory is too short to wait for a park; unload it instead",
        })
    }
}
