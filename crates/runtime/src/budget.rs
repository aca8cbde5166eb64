//! The budget that a setting means on this machine.

use majordomo_core::{BudgetSetting, ByteSize};

/// The budget in bytes that a setting means on a machine (or in a cgroup) with `limit` bytes.
#[must_use]
pub fn budget_bytes(setting: BudgetSetting, limit: ByteSize) -> ByteSize {
    match setting {
        BudgetSetting::Bytes(bytes) => bytes,
        BudgetSetting::Share(share) => limit.scaled(share.clamp(0.0, 1.0)),
    }
}
