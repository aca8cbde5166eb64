//! One component as the scheduler knows it: its state, its incarnation, its figures.
//!
//! Fields change by verbs only, so that each rule about them stands once: here, or in the part that owns it. What
//! changes a state is for the scheduler alone; the engine's verbs record facts. Invariants: an incarnation has an
//! operation, a specification and a removal exactly as its state says (`Engine::audit` checks that).

mod failures;
mod figures;
mod idle_parks;
mod parking;
mod probes;
mod removal;
mod restart;
mod states;

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, Cause, ComponentKey, ComponentState, Moment, OpId, Priority, Rung};
use majordomo_registry::ComponentSpec;

pub use self::failures::Failures;
pub use self::figures::Figures;
use self::idle_parks::IdleParks;
pub use self::parking::{Parking, RungStep};
pub use self::probes::{Probes, Recovery};
pub use self::removal::{Removal, Then};
pub use self::restart::Restart;
use crate::TxnId;

/// CORE and pinned components may have clients that take no lease: after so long they count as used.
const SERVES_AFTER: Duration = Duration::from_secs(600);

/// One component's life in this process.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    state: ComponentState,
    since: Moment,
    cause: Option<Cause>,
    op: Option<OpId>,
    /// The specification that the incarnation was loaded by.
    spec: Option<Arc<ComponentSpec>>,
    dependencies: Vec<ComponentKey>,
    /// Live components that have this one among their dependencies.
    dependents: Vec<ComponentKey>,
    /// Active transactions with an owner that need it.
    n_required: u32,
    speculative: bool,
    /// Pinned or unpinned by an operator, over the configuration.
    operator_pin: Option<bool>,
    load_started: Moment,
    load_deadline: Option<Moment>,
    unload_deadline: Option<Moment>,
    /// Bytes that its load, which is still to begin, takes beyond what is reserved for it.
    overload: ByteSize,
    removal: Option<Removal>,
    /// Since when the head of the queue waits for its leases.
    awaited_since: Option<(TxnId, Moment)>,
    ready_at: Moment,
    last_use: Option<Moment>,
    n_uses: u64,
    n_loads: u64,
    /// Its idle timeout was reached while it was leased: it ends no earlier than this.
    idle_until: Option<Moment>,
    idle_parks: IdleParks,
    restart: Restart,
    failures: Failures,
    probes: Probes,
    figures: Figures,
    parking: Parking,
}

/// Facts.
impl Entry {
    /// The state as of the last input.
    #[must_use]
    pub fn state(&self) -> ComponentState {
        self.state
    }

    /// When it entered its state; moved on by a suspend while an unload runs.
    #[must_use]
    pub fn since(&self) -> Moment {
        self.since
    }

    /// Why it is in its state; none = it never left the first.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// The incarnation, while one is alive.
    #[must_use]
    pub fn op(&self) -> Option<OpId> {
        self.op
    }

    /// The specification that the incarnation was loaded by.
    #[must_use]
    pub fn spec(&self) -> Option<&Arc<ComponentSpec>> {
        self.spec.as_ref()
    }

    /// The dependencies of the incarnation.
    #[must_use]
    pub fn dependencies(&self) -> &[ComponentKey] {
        &self.dependencies
    }

    /// Live components that have this one among their dependencies.
    #[must_use]
    pub fn dependents(&self) -> &[ComponentKey] {
        &self.dependents
    }

    /// Active transactions with an owner that need it.
    #[must_use]
    pub fn n_required(&self) -> u32 {
        self.n_required
    }

    /// Whether an active transaction with an owner needs it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.n_required > 0
    }

    /// Whether this incarnation was preloaded, or continues to load without its waiters, and was not requested since.
    #[must_use]
    pub fn is_speculative(&self) -> bool {
        self.speculative
    }

    /// When its load began.
    #[must_use]
    pub fn load_started(&self) -> Moment {
        self.load_started
    }

    /// When its load is given up; none = it does not load.
    #[must_use]
    pub fn load_deadline(&self) -> Option<Moment> {
        self.load_deadline
    }

    /// When its unload counts as stuck; none = it does not unload.
    #[must_use]
    pub fn unload_deadline(&self) -> Option<Moment> {
        self.unload_deadline
    }

    /// Bytes that its load, which is still to begin, takes beyond what is reserved for it.
    #[must_use]
    pub fn overload(&self) -> ByteSize {
        self.overload
    }

    /// Its removal, from Draining until it is down.
    #[must_use]
    pub fn removal(&self) -> Option<&Removal> {
        self.removal.as_ref()
    }

    /// Since when the head of the queue waits for its leases.
    #[must_use]
    pub fn awaited_since(&self) -> Option<Moment> {
        self.awaited_since.map(|(_, since)| since)
    }

    /// When it became ready.
    #[must_use]
    pub fn ready_at(&self) -> Moment {
        self.ready_at
    }

    /// The last use that a sweep has seen; none = not used in this process.
    #[must_use]
    pub fn last_use(&self) -> Option<Moment> {
        self.last_use
    }

    /// Uses in this process.
    #[must_use]
    pub fn n_uses(&self) -> u64 {
        self.n_uses
    }

    /// Loads in this process.
    #[must_use]
    pub fn n_loads(&self) -> u64 {
        self.n_loads
    }

    /// Whether and when it is loaded again without a demand.
    #[must_use]
    pub fn restart(&self) -> &Restart {
        &self.restart
    }

    /// Its failures in this process.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Its health probes.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Its measurements.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Its rungs.
    #[must_use]
    pub fn parking(&self) -> &Parking {
        &self.parking
    }
}

/// Rules.
impl Entry {
    /// Whether it is pinned, by an operator or by `spec`.
    #[must_use]
    pub fn is_pinned(&self, spec: Option<&Arc<ComponentSpec>>) -> bool {
        self.operator_pin.unwrap_or_else(|| spec.is_some_and(|s| s.pinned))
    }

    /// Whether the incarnation is pinned, by an operator or by the specification it runs by.
    #[must_use]
    pub fn is_pinned_now(&self) -> bool {
        self.is_pinned(self.spec.as_ref())
    }

    /// Whether its cell is open to new leases: it is ready and not waiting for a probe.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == ComponentState::Ready && !self.probes.is_gated()
    }

    /// Whether an instance exists that leases may be out on: it is ready or draining.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, ComponentState::Ready | ComponentState::Draining)
    }

    /// Whether it is down, so that a restart that is due can begin.
    #[must_use]
    pub fn may_restart(&self) -> bool {
        matches!(self.state, ComponentState::Down(_) | ComponentState::Failed { .. })
    }

    /// Whether it is CORE or pinned by the specification it runs by.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.is_pinned_now() || self.spec.as_ref().is_some_and(|s| s.priority == Priority::Core)
    }

    /// Whether it is loaded, or being loaded, for no demand: any demand may have its place.
    #[must_use]
    pub fn is_unrequested(&self) -> bool {
        // Whether a load continues that lost its last transaction is settled at the end of the input.
        !self.is_required() && (self.speculative || self.state.is_loading())
    }

    /// When it is, or may be, loaded again, if it is down and that is known.
    #[must_use]
    pub fn next_attempt(&self) -> Option<Moment> {
        let at = match self.state {
            ComponentState::Failed { retry_at } => self.restart.due().unwrap_or(retry_at),
            ComponentState::Quarantined { until } => until,
            ComponentState::Down(_) => self.restart.due()?,
            _ => return None,
        };
        (at != Moment::NEVER).then_some(at)
    }

    /// Whether the next attempt takes place only when a demand asks for the component.
    #[must_use]
    pub fn is_tried_on_demand(&self) -> bool {
        self.next_attempt().is_some() && !self.restart.is_intended()
    }

    /// The age that eviction judges by: its last use, or the time it became ready.
    #[must_use]
    pub fn last_touched(&self) -> Moment {
        self.last_use.map_or(self.ready_at, |u| u.max(self.ready_at))
    }

    /// For how long this incarnation has been in use; none = not yet.
    fn in_use_for(&self, now: Moment) -> Option<Duration> {
        let up = now.since(self.ready_at);
        let serves = self.is_fixed() && up >= SERVES_AFTER;
        self.figures.first_use().map(|t| now.since(t)).or(serves.then_some(up))
    }

    /// When its idle timeout ends it; none = it has none, or is kept.
    #[must_use]
    pub fn idle_end(&self) -> Option<Moment> {
        let timeout = self.spec.as_ref()?.idle_timeout?;
        if self.is_fixed() || self.is_required() || !self.dependents.is_empty() {
            return None;
        }
        Some((self.last_touched() + timeout).max(self.idle_until.unwrap_or_default()))
    }

    /// When it is parked for want of use; none = it has no `idle_park`, is offered no rung, or is kept.
    #[must_use]
    pub fn idle_park_at(&self) -> Option<Moment> {
        let after = self.spec.as_ref()?.idle_park?;
        let is_offered = self.parking.offered().next().is_some();
        if !self.is_open() || !is_offered || self.is_fixed() || self.is_required() {
            return None;
        }
        let idle = self.last_touched() + after;
        Some(idle.max(self.parking.rests_until()).max(self.idle_parks.not_before()))
    }

    /// When its leases are revoked, if it drains until then.
    #[must_use]
    pub fn revokes_at(&self) -> Option<Moment> {
        let draining = self.removal.as_ref().filter(|_| self.state == ComponentState::Draining);
        draining.and_then(Removal::revokes_at)
    }
}

/// Facts that the engine records; none of them changes a state.
impl Entry {
    /// An operator pins or unpins it, over the configuration.
    pub(crate) fn set_operator_pin(&mut self, pinned: bool) {
        self.operator_pin = Some(pinned);
    }

    /// A demand has it, or its use was seen.
    pub fn requested(&mut self) {
        self.speculative = false;
        self.idle_parks.used();
    }

    /// Adds uses that were counted, and the last of them if it ended.
    pub fn used(&mut self, uses: u64, last_use: Option<Moment>) {
        self.n_uses += uses;
        if uses > 0 {
            self.idle_parks.used();
        }
        self.last_use = self.last_use.max(last_use);
    }

    /// The idle timeout was reached while it was leased: it begins again.
    pub fn restart_idle_timeout(&mut self, now: Moment) {
        let timeout = self.spec.as_ref().and_then(|s| s.idle_timeout);
        self.idle_until = Some(now + timeout.unwrap_or_default());
    }

    /// It is to be parked for want of use: whether that succeeds or not, the next time is later.
    pub fn try_idle_park(&mut self, now: Moment) {
        self.idle_parks.tried(self.idle_park(), now);
    }

    /// It is leased though its `idle_park` has passed: that time begins again.
    pub fn restart_idle_park(&mut self, now: Moment) {
        self.idle_parks.begin_again(self.idle_park(), now);
    }

    fn idle_park(&self) -> Duration {
        self.spec.as_ref().and_then(|s| s.idle_park).unwrap_or_default()
    }

    /// The head of the queue waits for its leases; returns since when that head does.
    pub fn awaited_by(&mut self, head: TxnId, now: Moment) -> Moment {
        // Patience is each head's own: the wait of an earlier one does not count.
        let since = match self.awaited_since {
            Some((other, since)) if other == head => since,
            _ => now,
        };
        self.awaited_since = Some((head, since));
        since
    }

    /// The new specification only changes how the incarnation is managed.
    pub fn continue_by(&mut self, spec: Arc<ComponentSpec>) {
        self.spec = Some(spec);
    }

    /// Its memory was measured; returns whether that teaches of the configuration in force.
    pub fn measured(&mut self, bytes: ByteSize, now: Moment) -> bool {
        if self.restart.is_outdated() {
            return false;
        }
        match self.state {
            ComponentState::Loading { from: Rung::Gone } => self.figures.measured_loading(bytes),
            ComponentState::Ready | ComponentState::Draining => {
                let in_use_for = self.in_use_for(now);
                self.parking.is_up(now);
                if self.figures.first_use().is_some() {
                    self.parking.measured(bytes, now);
                }
                // Much of a woken component stays in swap: a use of it holds less than one after a load, unless it needs more
                // than was known.
                if !self.parking.is_woken() || in_use_for.is_some() && self.figures.is_more(bytes) {
                    self.figures.measured_up(bytes, in_use_for, now);
                }
            }
            // The rest of its memory while it stops or is parked says nothing of its needs.
            _ => return false,
        }
        true
    }

    /// After a suspend: its uses lie further back by the gap, and so does the time it became ready.
    pub fn shift_back(&mut self, gap: Duration) {
        self.last_use = self.last_use.map(|t| t - gap);
        self.ready_at = self.ready_at - gap;
    }

    /// Its health probes, to record requests and answers.
    pub fn probes_mut(&mut self) -> &mut Probes {
        &mut self.probes
    }

    /// Its rungs, to record failures and deaths.
    pub fn parking_mut(&mut self) -> &mut Parking {
        &mut self.parking
    }

    /// Its measurements, to record more.
    pub fn figures_mut(&mut self) -> &mut Figures {
        &mut self.figures
    }
}
