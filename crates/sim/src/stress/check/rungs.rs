//! Invariants 5 and 11 of parks and wakes: who is parked, how many wakes run, what is written to swap.

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Moment};
use majordomo_engine::{Engine, Input, Offers};

use super::broken::{Broken, broken};

/// The bounds of the last list of offers.
#[derive(Debug, Default)]
pub(super) struct Rungs {
    /// Bytes that parks under way may write at most.
    may_write: Option<ByteSize>,
    now: Moment,
}

impl Rungs {
    pub(super) fn before(&mut self, engine: &Engine, input: &Input, now: Moment) {
        self.now = now;
        if let Input::Offers(Offers { may_write, .. }) = input {
            // Parks under way are not stopped.
            let under_way = engine.scheduler().writes_under_way();
            self.may_write = may_write.map(|bytes| bytes.max(under_way));
        }
    }

    pub(super) fn after(&self, engine: &Engine) -> Result<(), Broken> {
        let s = engine.scheduler();
        let n = s.entries().filter(|(_, e)| e.state().is_waking()).count();
        if n > s.wake_lanes() {
            return broken(11, format!("{n} wakes run, {} may", s.wake_lanes()));
        }
        let writes = s.writes_under_way();
        match self.may_write {
            Some(bound) if writes > bound => {
                broken(11, format!("parks under way write {writes}, {bound} may be written"))
            }
            _ => Ok(()),
        }
    }

    /// A ready component begins to be parked: it is none that stays, or whose parks were given up.
    pub(super) fn parks(
        &self,
        key: ComponentKey,
        to: ComponentState,
        engine: &Engine,
    ) -> Result<(), Broken> {
        let ComponentState::Unloading { to: rung } = to else { return Ok(()) };
        if !rung.is_parked() {
            return Ok(());
        }
        let e = engine.scheduler().entry(key);
        if e.is_fixed() {
            return broken(5, format!("{key} is CORE or pinned, and is parked"));
        }
        let gave_up = e.parking().is_given_up(self.now, &engine.config().quarantine);
        if gave_up || !engine.scheduler().frees_at(key, rung) {
            return broken(11, format!("{key} is parked at {rung}, which was given up"));
        }
        Ok(())
    }
}
