//! The operations of the engine on lease cells, and the one question that it may ask them.

use majordomo_core::{Cause, ComponentKey, IncarnationId, WaiterId};

use crate::CloseAnswer;

/// The cells of all slots, as the engine sees them. Only [`Cells::try_close`] answers; its answers belong
/// to the input that is being handled, so "same inputs and same answers, same effects" holds.
pub trait Cells {
    /// Closes a component's cell if no lease is out.
    fn try_close(&mut self, key: ComponentKey) -> CloseAnswer;
    /// Closes it to newcomers.
    fn close(&mut self, key: ComponentKey);
    /// Opens it again.
    fn reopen(&mut self, key: ComponentKey);
    /// Asks for a notice at the next release.
    fn want(&mut self, key: ComponentKey);
    /// Notifies holders that the instance is unloaded, with the cause, and closes the cell.
    fn revoke(&mut self, key: ComponentKey, why: &Cause);
    /// Adds leases for waiters that are granted now.
    fn lease_n(&mut self, key: ComponentKey, n: u32);
    /// How many of the leases out on a component the party behind a waiter holds itself.
    fn own_leases(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let _ = (waiter, key);
        0
    }
    /// How many leases on a component a waiter gives up when its demand is admitted.
    fn leases_to_give_up(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let _ = (waiter, key);
        0
    }
    /// Gives up the leases that a waiter exchanges: its demand is admitted.
    fn give_up(&mut self, waiter: WaiterId) {
        let _ = waiter;
    }
    /// Publishes the instance that load `op` made, with `n` leases in its cell.
    fn install(&mut self, id: IncarnationId, n: u32);
}

/// Looks at cells without touching them, for plans.
pub trait PeekCells {
    /// Leases out now; 0 when nothing is loaded.
    fn leases(&self, key: ComponentKey) -> u32;
}
