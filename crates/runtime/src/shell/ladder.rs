//! Where a component is that is parked, or that is parked or woken now.

use majordomo_core::{ComponentKey, Rung};
use majordomo_paging::Urgency;
use tokio::task::AbortHandle;

/// A direction on the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Park,
    Wake,
}

/// A component on the ladder. Dropping it ends the step that is under way.
#[derive(Debug)]
pub(crate) struct OnLadder {
    key: ComponentKey,
    /// The rung where it is, or that its step is to or from.
    pub rung: Rung,
    /// It is there, and no step is under way.
    pub is_there: bool,
    step: Step,
    task: AbortHandle,
    urgency: Urgency,
}

impl OnLadder {
    /// On its way to or from a rung.
    pub(super) fn moving(
        key: ComponentKey,
        rung: Rung,
        step: Step,
        task: AbortHandle,
        urgency: Urgency,
    ) -> Self {
        Self { key, rung, is_there: false, step, task, urgency }
    }

    /// A demand waits: hastens the step that is under way, if it may be what the demand waits for. Any park frees memory;
    /// a wake only counts for a component that is required.
    pub(super) fn hasten(&self, is_required: impl FnOnce(ComponentKey) -> bool) {
        let may_be_awaited = match self.step {
            Step::Park => !self.is_there,
            Step::Wake => is_required(self.key),
        };
        if may_be_awaited {
            self.urgency.hasten();
        }
    }
}

impl Drop for OnLadder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
