//! Changes of an entry that go with a state: the begin and end of loads, wakes, parks and unloads, and what they count on.
//!
//! For the scheduler alone, which decides when a state changes.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, Cause, ComponentKey, ComponentState, Moment, OpId};
use majordomo_memory::Need;
use majordomo_registry::ComponentSpec;

use super::{Entry, Failures, Probes, Removal, Restart, RungStep};
use crate::LoadReport;

impl Entry {
    /// Enters a state; returns the one before.
    pub(crate) fn enter(
        &mut self,
        to: ComponentState,
        cause: Cause,
        now: Moment,
    ) -> ComponentState {
        self.since = now;
        self.cause = Some(cause);
        // Only an incarnation, or one that is to be loaded, is speculative.
        self.speculative &= to.is_alive() || to.is_queued();
        std::mem::replace(&mut self.state, to)
    }

    pub(crate) fn begin_load(
        &mut self,
        op: OpId,
        spec: Option<Arc<ComponentSpec>>,
        dependencies: Vec<ComponentKey>,
        now: Moment,
        deadline: Duration,
    ) {
        self.op = Some(op);
        self.spec = spec;
        self.dependencies = dependencies;
        self.load_started = now;
        self.load_deadline = Some(now + deadline);
        self.awaited_since = None;
        self.probes = Probes::default();
        self.restart.load_started();
    }

    pub(crate) fn load_ended(&mut self) {
        self.load_deadline = None;
    }

    pub(crate) fn loaded(&mut self, report: LoadReport, next_probe: Option<Moment>, now: Moment) {
        self.load_ended();
        self.n_loads += 1;
        self.ready_at = now;
        self.probes.schedule(next_probe);
        self.restart.load_succeeded();
        let took = now.since(self.load_started);
        self.figures.loaded(took, report, self.restart.is_outdated(), now);
    }

    /// A parked component is woken until this moment at the latest.
    pub(crate) fn begin_wake(&mut self, step: RungStep, deadline: Moment) {
        self.load_started = step.began;
        self.load_deadline = Some(deadline);
        self.awaited_since = None;
        self.restart.cancel();
        self.parking.begin(step);
    }

    /// The wake under way ends by this moment at the latest.
    pub(crate) fn bound_wake(&mut self, deadline: Moment) {
        self.load_deadline = Some(deadline);
    }

    /// It is ready again.
    pub(crate) fn woken(&mut self, step: &RungStep, next_probe: Option<Moment>, now: Moment) {
        self.load_ended();
        self.ready_at = now;
        self.probes.restart(next_probe);
        self.figures.woken();
        self.parking.woken(step, now);
    }

    /// A park runs until this moment at the latest.
    pub(crate) fn begin_park(&mut self, step: RungStep, deadline: Moment) {
        self.unload_deadline = Some(deadline);
        self.parking.begin(step);
    }

    /// It is parked; returns its removal.
    pub(crate) fn parked(
        &mut self,
        step: &RungStep,
        held: Need,
        own: usize,
        now: Moment,
    ) -> Option<Removal> {
        self.unload_deadline = None;
        self.parking.parked(step, held, own, now);
        self.removal.take()
    }

    /// Nothing was moved by its park: it holds what it had. Returns its removal.
    pub(crate) fn stayed(&mut self, held: Need, now: Moment) -> Option<Removal> {
        self.unload_deadline = None;
        self.parking.stayed(held, now);
        self.removal.take()
    }

    /// The removal of a ready component begins.
    pub(crate) fn begin_removal(&mut self, removal: Removal) {
        self.removal = Some(removal);
        self.probes.stop();
        self.awaited_since = None;
    }

    /// An instance ended by itself: its removal replaces one that was under way.
    pub(crate) fn replace_removal(&mut self, removal: Removal) {
        self.probes.stop();
        self.removal = Some(removal);
    }

    pub(crate) fn cancel_removal(&mut self, next_probe: Option<Moment>) {
        self.removal = None;
        self.probes.schedule(next_probe);
    }

    pub(crate) fn removal_mut(&mut self) -> Option<&mut Removal> {
        self.removal.as_mut()
    }

    /// An unload or a cancellation runs until this moment at the latest.
    pub(crate) fn begin_unload(&mut self, deadline: Moment) {
        self.parking.abort();
        self.load_deadline = None;
        self.unload_deadline = Some(deadline);
    }

    pub(crate) fn unload_overdue(&mut self) {
        self.unload_deadline = None;
    }

    /// The incarnation is down; returns its removal.
    pub(crate) fn down(&mut self) -> Option<Removal> {
        self.end_incarnation();
        self.unload_deadline = None;
        self.restart.removed();
        self.removal.take()
    }

    pub(crate) fn end_incarnation(&mut self) {
        self.op = None;
        self.spec = None;
        self.parking.gone();
    }

    pub(crate) fn add_dependent(&mut self, key: ComponentKey) {
        self.dependents.push(key);
    }

    pub(crate) fn remove_dependent(&mut self, key: ComponentKey) {
        self.dependents.retain(|k| *k != key);
    }

    pub(crate) fn take_dependencies(&mut self) -> Vec<ComponentKey> {
        std::mem::take(&mut self.dependencies)
    }

    /// An active transaction with an owner needs it.
    pub(crate) fn require(&mut self) {
        self.n_required += 1;
    }

    /// One of them needs it no longer.
    pub(crate) fn unrequire(&mut self) {
        debug_assert!(self.n_required > 0, "every active transaction requires its closure once");
        self.n_required -= 1;
    }

    pub(crate) fn set_speculative(&mut self, speculative: bool) {
        self.speculative = speculative;
    }

    pub(crate) fn set_overload(&mut self, bytes: ByteSize) {
        self.overload = bytes;
    }

    pub(crate) fn take_overload(&mut self) -> ByteSize {
        std::mem::take(&mut self.overload)
    }

    pub(crate) fn restart_mut(&mut self) -> &mut Restart {
        &mut self.restart
    }

    pub(crate) fn failures_mut(&mut self) -> &mut Failures {
        &mut self.failures
    }

    /// After a suspend: what is left of its deadlines begins again.
    pub(crate) fn restart_clocks(&mut self, now: Moment) {
        if let Some(deadline) = self.load_deadline {
            self.load_deadline = Some(now + deadline.since(self.load_started));
            self.load_started = now;
        }
        let since = self.since;
        self.unload_deadline = self.unload_deadline.map(|t| now + t.since(since));
        if let Some(removal) = &mut self.removal {
            removal.restart_clock(since, now);
        }
        if self.unload_deadline.is_some() || self.removal.is_some() {
            self.since = now;
        }
        self.awaited_since = self.awaited_since.map(|(head, _)| (head, now));
    }
}
