//! Where a component is that is parked, or that is parked or woken now.

use majordomo_core::Rung;
use tokio::task::AbortHandle;

/// A component on the ladder. Dropping it ends the step that is under way.
#[derive(Debug)]
pub(crate) struct OnLadder {
    /// The rung where it is, or that its step is to or from.
    pub rung: Rung,
    /// It is there, and no step is under way.
    pub is_there: bool,
    step: AbortHandle,
}

impl OnLadder {
    /// On its way to or from a rung.
    pub(super) fn moving(rung: Rung, step: AbortHandle) -> Self {
        Self { rung, is_there: false, step }
    }
}

impl Drop for OnLadder {
    fn drop(&mut self) {
        self.step.abort();
    }
}
