//! Questions of the shell about memory: the answers are the engine's, so that the shell reads no states.

use majordomo_core::{ByteSize, ComponentState, IncarnationId};

use crate::Engine;

impl Engine {
    /// Whether memory that this process freed should be returned at once: a budget is overdrawn, or a demand waits.
    #[must_use]
    pub fn is_short_of_memory(&self) -> bool {
        self.budget().is_overdrawn() || self.scheduler().n_waiting() > 0
    }

    /// Bytes booked for an incarnation inside this process; none for a program, and for an incarnation that is not the
    /// current one.
    #[must_use]
    pub fn booked_in_process(&self, id: IncarnationId) -> Option<ByteSize> {
        let scheduler = self.scheduler();
        let spec = scheduler.is_current(id).then(|| scheduler.entry(id.key).spec()).flatten()?;
        spec.loader.is_in_process().then(|| self.budget().booked_for(id.key))
    }

    /// Bytes booked for loads and unloads under way, whose footprints cannot be measured.
    #[must_use]
    pub fn booked_in_transition(&self) -> ByteSize {
        let is_moving = |state| {
            matches!(state, ComponentState::Loading { .. } | ComponentState::Unloading { .. })
        };
        let moving = self.scheduler().entries().filter(|(_, e)| is_moving(e.state()));
        moving.map(|(key, _)| self.budget().booked_for(key)).sum()
    }
}
