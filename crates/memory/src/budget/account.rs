//! The account of one component: reserved, granted and measured bytes of its own pool, declared ones of other pools, and
//! swap.
//!
//! Invariant: the grant is at least the first reservation, and what the component asked for besides. `apart` changes by
//! declaration, and by parks and wakes.

use majordomo_core::ByteSize;

use super::Need;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) pool: usize,
    pub(super) reserved: u64,
    /// Bytes that the component may use; at least the first reservation.
    pub(super) granted: u64,
    /// It asked for a larger grant: its reservation is its own and follows no measurement.
    pub(super) grown: bool,
    /// Bytes that its load takes beyond its reservation.
    pub(super) overload: u64,
    pub(super) measured: Option<u64>,
    /// Bytes of other pools, which are not measured.
    pub(super) apart: Need,
    /// Bytes that a park left in swap, until they are measured to be gone.
    pub(super) swap: u64,
}

impl Account {
    pub(super) fn new(pool: usize, reserved: u64, apart: Need) -> Self {
        let granted = reserved;
        let (overload, measured, swap) = (0, None, 0);
        Self { pool, reserved, granted, grown: false, overload, measured, apart, swap }
    }

    /// The booking in each pool.
    pub(super) fn bookings(&self) -> Need {
        let mut all = self.apart.clone();
        all.add(self.pool, ByteSize(self.booked()));
        all.add(Need::SWAP, ByteSize(self.swap));
        all
    }

    pub(super) fn booked(&self) -> u64 {
        self.planned().max(self.measured.unwrap_or(0))
    }

    /// Bytes booked by decision, not by measurement.
    pub(super) fn planned(&self) -> u64 {
        self.reserved.saturating_add(self.overload)
    }

    /// The part of the booking that ends with the load.
    pub(super) fn transient(&self) -> u64 {
        self.booked() - self.reserved.max(self.measured.unwrap_or(0))
    }
}
