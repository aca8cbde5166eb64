//! What the scheduler knows of one component.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Moment, OpId, Priority, ProbeFailure,
};
use majordomo_memory::Learned;
use majordomo_registry::ComponentSpec;

use crate::{CloseAnswer, TxnId};

/// What a component becomes when it is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Unloaded.
    Unloaded,
    /// Unloaded, and loaded again at once.
    Reload,
    /// Failed, for this reason.
    Failed(Cause),
}

/// A component's way out, from the moment it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Why it goes.
    pub cause: Cause,
    /// What it becomes.
    pub then: Then,
    /// No leases are out.
    pub drained: bool,
    /// Leases were told to end; it is taken down with or without them.
    pub forced: bool,
    /// When leases are revoked and it is taken down all the same; none = it waits for them.
    pub force_at: Option<Moment>,
    /// The transaction that its bytes belong to.
    pub freed_for: Option<TxnId>,
    /// It may turn back to Ready if that transaction goes away before its leases ended.
    pub reversible: bool,
}

impl Leave {
    /// Takes it down at once: no leases are out.
    #[must_use]
    pub fn at_once(cause: Cause, then: Then) -> Self {
        Self {
            cause,
            then,
            drained: true,
            forced: false,
            force_at: None,
            freed_for: None,
            reversible: false,
        }
    }

    /// Takes it down when its leases have ended, of which some may be out.
    #[must_use]
    pub fn when_drained(cause: Cause, then: Then) -> Self {
        Self { drained: false, ..Self::at_once(cause, then) }
    }

    /// Takes it down with or without its leases: it has ended.
    #[must_use]
    pub fn without_asking(cause: Cause, then: Then) -> Self {
        Self { forced: true, ..Self::when_drained(cause, then) }
    }

    /// Its leases are revoked at this moment, where there is one.
    #[must_use]
    pub fn forced_at(self, at: Option<Moment>) -> Self {
        Self { force_at: at, ..self }
    }

    /// Its bytes belong to this transaction, where there is one.
    #[must_use]
    pub fn freeing_for(self, txn: Option<TxnId>) -> Self {
        Self { freed_for: txn, ..self }
    }

    /// It may turn back to Ready as long as its leases are out.
    #[must_use]
    pub fn reversible(self) -> Self {
        Self { reversible: true, ..self }
    }

    /// What the cell said when it was closed.
    #[must_use]
    pub fn closed(self, answer: CloseAnswer) -> Self {
        Self { drained: answer == CloseAnswer::Closed, ..self }
    }
}

/// One component's life in this process.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Its state.
    pub state: ComponentState,
    /// Since when.
    pub since: Moment,
    /// Why.
    pub cause: Option<Cause>,
    /// The incarnation, while it is alive.
    pub op: Option<OpId>,
    /// The specification that the incarnation was loaded by.
    pub spec: Option<Arc<ComponentSpec>>,
    /// The dependencies of the incarnation.
    pub dependencies: Vec<ComponentKey>,
    /// Live components that have this one among their dependencies.
    pub dependents: Vec<ComponentKey>,
    /// Active transactions with an owner that need it.
    pub pins: u32,
    /// This incarnation was begun ahead, or goes on although everybody left, and nobody has had it so far.
    pub speculative: bool,
    /// Pinned or unpinned by an operator, over the configuration.
    pub operator_pin: Option<bool>,
    /// Its configuration changed under a load that somebody waits for.
    pub stale: bool,
    /// When its load began.
    pub load_started: Moment,
    /// When its load is given up.
    pub load_deadline: Option<Moment>,
    /// When its unload counts as stuck.
    pub unload_deadline: Option<Moment>,
    /// Its way out.
    pub leave: Option<Leave>,
    /// When it became ready.
    pub ready_at: Moment,
    /// Its last use.
    pub last_use: Option<Moment>,
    /// Uses in this process.
    pub uses: u64,
    /// Loads in this process.
    pub loads: u64,
    /// Failures in this process.
    pub failures: u64,
    /// Failures within the quarantine window, the latest last; no more than quarantine counts.
    pub recent_failures: VecDeque<Moment>,
    /// Failures in a row: by these the back-off grows.
    pub failures_in_row: u32,
    /// A failure after this moment begins a new row.
    pub row_ends: Moment,
    /// What was learned of its memory, in this process or an earlier one.
    pub learned: Learned,
    /// Bytes that its load, which is still to begin, takes beyond what is reserved for it.
    pub overload: ByteSize,
    /// When this incarnation was first used; none = not yet.
    pub first_use: Option<Moment>,
    /// When the interval of use began that its working peak is measured over.
    pub interval_since: Moment,
    /// Since when a demand for it is refused for a measured figure.
    pub too_large_since: Option<Moment>,
    /// Learned load time.
    pub load_time: Option<Duration>,
    /// Failed health probes in a row.
    pub failed_probes: u32,
    /// When the first of these failed.
    pub failing_since: Moment,
    /// They are as many as take it out of service, but clients hold leases: it stays up.
    pub failing: Option<ProbeFailure>,
    /// While it is failing: a probe was asked for since its last lease ended.
    pub probed_unleased: bool,
    /// Probes that were asked for and not answered yet.
    pub probes_out: u32,
    /// Of those, the ones that were asked for while it was leased: their failure is no evidence against it now.
    pub stale_probes: u32,
    /// When it is probed next.
    pub next_probe: Option<Moment>,
    /// It grants nothing until a probe has answered (after a suspend).
    pub probe_first: bool,
    /// Since when the head of the queue waits for its leases.
    pub wanted_since: Option<(TxnId, Moment)>,
    /// It ended by itself sooner than a back-off takes: it is not loaded again before this moment but for a demand.
    pub rests_until: Moment,
    /// When it is loaded again by its restart policy.
    pub restart_at: Option<Moment>,
    /// Its idle timeout was reached while it was leased: look again then.
    pub idle_again: Option<Moment>,
    /// It is loaded again after the back-off of the failure that it leaves for, or after its quarantine.
    pub restart_after: bool,
    /// Since when it was measured above its own limit each time.
    pub over_since: Option<Moment>,
    /// When it was last asked to trim.
    pub trimmed_at: Option<Moment>,
    /// The last request to trim failed: waiting for its effect is useless.
    pub trim_failed: bool,
}

impl Entry {
    /// Whether it is pinned, by an operator or by `spec`.
    #[must_use]
    pub fn is_pinned(&self, spec: Option<&Arc<ComponentSpec>>) -> bool {
        self.operator_pin.unwrap_or_else(|| spec.is_some_and(|s| s.pinned))
    }

    /// Whether its cell is open to new leases: it is ready and not waiting for a probe.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == ComponentState::Ready && !self.probe_first
    }

    /// Whether it is CORE or pinned by the specification it runs by.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.is_pinned(self.spec.as_ref())
            || self.spec.as_ref().is_some_and(|s| s.priority == Priority::Core)
    }

    /// Whether it is there, or on its way, for nobody: whoever wants something else may have its place.
    #[must_use]
    pub fn is_guess(&self) -> bool {
        // A load that lost its last transaction is nobody's, though it is not settled yet whether it goes on.
        self.pins == 0 && (self.speculative || self.state == ComponentState::Loading)
    }

    /// When it is, or may be, loaded again, if it is down and that is known.
    #[must_use]
    pub fn next_attempt(&self) -> Option<Moment> {
        let at = match self.state {
            ComponentState::Failed { retry_at } => self.restart_at.unwrap_or(retry_at),
            ComponentState::Quarantined { until } => until,
            ComponentState::Unloaded => self.restart_at?,
            _ => return None,
        };
        (at != Moment::NEVER).then_some(at)
    }

    /// Whether the next attempt takes place only when a demand asks for the component.
    #[must_use]
    pub fn is_tried_on_demand(&self) -> bool {
        self.next_attempt().is_some() && self.restart_at.is_none() && !self.restart_after
    }

    /// The age that eviction judges by: its last use, or the time it became ready.
    #[must_use]
    pub fn last_touched(&self) -> Moment {
        self.last_use.map_or(self.ready_at, |u| u.max(self.ready_at))
    }
}
