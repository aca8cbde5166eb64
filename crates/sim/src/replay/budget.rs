//! The budget of a replay in bytes: a slot is as good as a fixed number of them.

use majordomo_core::ByteSize;

use super::item::ItemCost;
use super::report::Budget;

/// Bytes that stand for one slot.
const SLOT: ByteSize = ByteSize::mib(1);

/// The budget in the unit of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct ReplayBudget {
    /// All bytes.
    pub total: ByteSize,
    slots: bool,
}

impl ReplayBudget {
    /// The ledger for a budget.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        match budget {
            Budget::Slots(k) => Self { total: ByteSize(SLOT.0 * u64::from(k)), slots: true },
            Budget::Megabytes(m) => {
                Self { total: ByteSize((m * 1e6).round() as u64), slots: false }
            }
        }
    }

    /// What an item takes.
    #[must_use]
    pub fn size_of(&self, cost: &ItemCost) -> ByteSize {
        if self.slots { SLOT } else { ByteSize((cost.size_mb * 1e6).round() as u64) }
    }

    /// Bytes in the unit of the figures: megabytes, or slots.
    pub(super) fn figure(&self, bytes: u64) -> f64 {
        bytes as f64 / if self.slots { SLOT.0 as f64 } else { 1e6 }
    }
}
