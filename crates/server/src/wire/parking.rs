//! Parked components as they are sent: what the machine offers, and what they take of it.

use majordomo::{ByteSize, ComponentParking, ParkingStatus};
use serde::{Deserialize, Serialize};

use super::ms;

/// Parks of programs in swap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parking {
    /// How programs are paged out, and where to; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// Why they are not, and the way out; none where they are, and until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Bytes of components in swap.
    pub swapped: ByteSize,
    /// Bytes that they may have there, all together.
    pub budget: ByteSize,
    /// Bytes that the machine has written to swap within 24 hours.
    pub written: ByteSize,
    /// Bytes that it may have written before no more components are parked; none where there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes_per_day: Option<ByteSize>,
}

impl From<&ParkingStatus> for Parking {
    fn from(status: &ParkingStatus) -> Self {
        let ParkingStatus { means, why_not, swapped, budget, written, writes_per_day } =
            status.clone();
        Self { means, why_not, swapped, budget, written, writes_per_day }
    }
}

/// Parks of one component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parks {
    /// Why it is not parked in swap; none where it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Bytes of it in swap, as measured.
    pub swapped: ByteSize,
    /// Parks in this process.
    pub parks: u64,
    /// Wakes in this process.
    pub wakes: u64,
    /// The median of the last wakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_median_ms: Option<f64>,
}

impl From<&ComponentParking> for Parks {
    fn from(parking: &ComponentParking) -> Self {
        let ComponentParking { why_not, swapped, parks, wakes, wake_median } = parking.clone();
        Self { why_not, swapped, parks, wakes, wake_median_ms: wake_median.map(ms) }
    }
}
