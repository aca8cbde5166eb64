//! The account of one component: reserved, granted and measured bytes.
//!
//! Invariant: the grant is at least the first reservation, and what the component asked for besides.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Account {
    pub(super) fn new(pool: usize, reserved: u64) -> Self {
        Self { pool, reserved, granted: reserved, grown: false, overload: 0, measured: None }
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
