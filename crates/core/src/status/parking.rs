//! Parked components in the status: what the machine offers, and what they take of it.

use std::time::Duration;

use crate::ByteSize;

/// Parks of programs in swap.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ParkingStatus {
    /// How programs are paged out, and where to; none where they are not.
    pub means: Option<String>,
    /// Why they are not, and the way out; none where they are, and until that is known.
    pub why_not: Option<String>,
    /// Bytes of components in swap.
    pub swapped: ByteSize,
    /// Bytes that they may have there, all together.
    pub budget: ByteSize,
    /// Bytes that the machine has written to swap within 24 hours, as far as the manager ran.
    pub written: ByteSize,
    /// Bytes that it may have written there before no more components are parked; none where there is no bound.
    pub writes_per_day: Option<ByteSize>,
}

/// Parks of one component.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ComponentParking {
    /// Why it is not parked in swap; none where it may be.
    pub why_not: Option<String>,
    /// Bytes of it in swap, as reported by its park or measured.
    pub swapped: ByteSize,
    /// Parks since the start.
    pub parks: u64,
    /// Wakes since the start.
    pub wakes: u64,
    /// The median time of the last wakes.
    pub wake_median: Option<Duration>,
}
