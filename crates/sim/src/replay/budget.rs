//! The budget of a replay in bytes; a slot counts as a fixed number of bytes.

use majordomo_core::ByteSize;

use super::item::ItemCost;
use super::report::Budget;

/// Bytes that stand for one slot.
const SLOT: ByteSize = ByteSize::mib(1);
/// The mean size of an item whose size is drawn from its name.
const MEAN_ITEM_MB: f64 = 343.0;

/// A budget in bytes, and the unit of its figures.
#[derive(Clone, Copy, Debug)]
pub struct ReplayBudget {
    /// The budget in bytes.
    pub total: ByteSize,
    slots: bool,
}

impl ReplayBudget {
    /// Converts a budget to bytes.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        match budget {
            Budget::Slots(k) => Self { total: ByteSize(SLOT.0 * u64::from(k)), slots: true },
            Budget::Megabytes(m) => {
                Self { total: ByteSize((m * 1e6).round() as u64), slots: false }
            }
        }
    }

    /// The bytes that an item takes.
    #[must_use]
    pub fn size_of(&self, cost: &ItemCost) -> ByteSize {
        if self.slots { SLOT } else { ByteSize((cost.size_mb * 1e6).round() as u64) }
    }

    /// Megabytes in bytes; with slots, where every item counts 1, as slots of the mean size of items.
    pub(super) fn bytes_of_mb(&self, mb: f64) -> ByteSize {
        if self.slots { SLOT.scaled(mb / MEAN_ITEM_MB) } else { ByteSize((mb * 1e6) as u64) }
    }

    /// Bytes in the unit of the figures: megabytes, or slots.
    pub(super) fn figure(&self, bytes: u64) -> f64 {
        bytes as f64 / if self.slots { SLOT.0 as f64 } else { 1e6 }
    }
}
