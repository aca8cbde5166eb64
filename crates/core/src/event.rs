//! Events as plain data: the records that subscribers, `why` and replays read.

mod text;

use crate::{
    ByteSize, Cause, ComponentKey, ComponentState, Confidence, HintSource, HintTier, LeftOut,
    Moment, OpId, PreloadEnd, PressureLevel, Refusal, Rung, WaiterId, refusal::cut,
};

/// One record. `seq` has no gaps within a process.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the time and the event")]
pub struct EventRecord {
    /// Running number from 0.
    pub seq: u64,
    pub at: Moment,
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: EventKind,
    /// The number of names cut from the lists: see [`Self::bound`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub names_left_out: usize,
}

#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl EventRecord {
    /// The longest list of names in a kept record.
    pub const MAX_NAMES: usize = 64;

    /// A record with complete lists.
    #[must_use]
    pub const fn new(seq: u64, at: Moment, kind: EventKind) -> Self {
        Self { seq, at, kind, names_left_out: 0 }
    }

    /// Cuts every list to [`Self::MAX_NAMES`] names and counts the cut names: kept records do not grow with the
    /// requests of clients.
    pub fn bound(&mut self) {
        let max = Self::MAX_NAMES;
        let left_out = match &mut self.kind {
            EventKind::Granted { components, left_out: without, .. } => {
                let refusals = without.iter_mut().map(|l| l.refusal.bound(max)).sum::<usize>();
                refusals + cut(components, max) + cut(without, max)
            }
            EventKind::Refused { components, refusal, .. } => {
                cut(components, max) + refusal.bound(max)
            }
            EventKind::Observed { used: names }
            | EventKind::ShutdownKills { components: names }
            | EventKind::ShutdownDone { stuck: names } => cut(names, max),
            _ => 0,
        };
        self.names_left_out += left_out;
    }

    /// The record in a line for people; `name` gives the name of a component.
    #[must_use]
    pub fn text(&self, name: &dyn Fn(ComponentKey) -> String) -> String {
        let text = self.kind.text(name);
        match self.names_left_out {
            0 => text,
            n => format!("{text}; {n} more names are left out"),
        }
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
#[expect(
    missing_docs,
    reason = "fields with the name of their type, and errors in the words of loaders and probes"
)]
#[non_exhaustive]
pub enum EventKind {
    /// A component changed its state.
    State {
        component: ComponentKey,
        from: ComponentState,
        to: ComponentState,
        cause: Cause,
        /// The component's incarnation, if it has one.
        op: Option<OpId>,
        /// The booked memory after the change.
        booked: ByteSize,
    },
    /// A waiter was granted its components.
    Granted {
        waiter: WaiterId,
        /// The leased components.
        components: Vec<ComponentKey>,
        /// Time in the engine's queue, in microseconds.
        waited_us: u64,
        /// Components of a command that were left out so that the others could be granted.
        left_out: Vec<LeftOut>,
    },
    /// A waiter was refused.
    Refused {
        waiter: WaiterId,
        /// The requested components.
        components: Vec<ComponentKey>,
        refusal: Refusal,
    },
    /// A waiter cancelled its demand.
    Abandoned { waiter: WaiterId },
    /// The manager decided about a hint.
    Hint {
        component: ComponentKey,
        /// The probability of a use, by the source.
        confidence: Confidence,
        tier: HintTier,
        source: HintSource,
        outcome: HintOutcome,
        /// The opinions of the sequence model's experts when the preload began, the most influential first.
        because: Vec<Opinion>,
    },
    /// A preload ended.
    Preload { component: ComponentKey, result: PreloadEnd },
    /// A component that was evicted for a preload is demanded before that is used.
    Harm {
        component: ComponentKey,
        /// The preload that displaced it.
        preload: ComponentKey,
        /// Time that its next load takes, in microseconds.
        cost_us: u64,
    },
    /// A component was chosen for eviction, on this evidence; its change of state follows.
    Victim {
        component: ComponentKey,
        /// Where it is left.
        to: Rung,
        policy: &'static str,
        /// The policy's value of keeping the component with its dependents; of one that is parked, of not parking it.
        keep: f64,
        /// The probability that the next command uses it.
        next: Confidence,
        /// The probability that it is used again soon.
        reuse: Confidence,
        /// The component whose load needs the memory.
        needed_by: ComponentKey,
        /// The expected wait that its eviction costs within the horizon, in seconds; in uses for a policy that counts
        /// uses. For a preload of lower priority it weighs twice as much for each level; a preload gains more than the
        /// losses of its victims together.
        loss: f64,
        /// The wait that the preload is expected to save, on the same scale; none = evicted for a demand.
        gain: Option<f64>,
    },
    /// A component was parked.
    Parked {
        component: ComponentKey,
        rung: Rung,
        /// Bytes of its own pool that are proven free.
        freed: ByteSize,
        /// Bytes of its own pool that it was parked for.
        expected: ByteSize,
        /// Bytes of other pools that are free, by its declaration.
        freed_apart: ByteSize,
        /// Bytes of it in swap.
        swapped: ByteSize,
        /// Duration of the park, in microseconds.
        took_us: u64,
    },
    /// A parked component is usable again.
    Woken {
        component: ComponentKey,
        /// The rung where it was.
        rung: Rung,
        /// Duration of the wake, in microseconds.
        took_us: u64,
    },
    /// Parks or wakes of a component failed, or it ended while it was parked, so often that it is not parked any more.
    NeverParked { component: ComponentKey },
    /// The level of memory pressure changed.
    Pressure { from: PressureLevel, to: PressureLevel },
    /// The memory booked beyond the budget changed.
    Overdraft {
        /// The excess over the total budget.
        total: ByteSize,
    },
    /// A component was asked to trim its memory.
    Trimmed { component: ComponentKey },
    /// A component cannot be asked to trim: its configuration declares no way.
    CannotTrim { component: ComponentKey },
    /// A request to trim failed.
    TrimFailed { component: ComponentKey, error: String },
    /// A component uses more than its own limit.
    OverLimit { component: ComponentKey, measured: ByteSize, limit: ByteSize },
    /// A load begins alone, with a peak larger than the budget has for it.
    LoadBeyondBudget {
        component: ComponentKey,
        /// The memory booked during the load.
        peak: ByteSize,
        /// The part of the peak that could not be reserved.
        beyond: ByteSize,
    },
    /// A component ran out of memory, and its reservation was raised.
    EstimateRaised {
        component: ComponentKey,
        /// The reservation of the next load.
        to: ByteSize,
    },
    /// A component's health probes failed as often as its configuration allows; it stays up while clients hold
    /// leases.
    ProbeFailing {
        component: ComponentKey,
        /// Failed probes in a row.
        failures: u32,
        /// The last probe's error.
        error: String,
    },
    /// A component whose probes failed while it was leased answers again.
    ProbeRecovered { component: ComponentKey },
    /// A component's leases were revoked.
    Revoked { component: ComponentKey, cause: Cause },
    /// The configuration was replaced.
    ConfigApplied {
        /// The number of components changed, added or removed.
        changed: usize,
    },
    /// The machine was suspended.
    Resumed {
        /// Duration of the suspension, in microseconds.
        gap_us: u64,
    },
    /// A command's use of components was observed.
    Observed { used: Vec<ComponentKey> },
    /// Shutdown began.
    ShutdownStarted,
    /// The shutdown deadline is near: components that have not stopped are killed.
    ShutdownKills { components: Vec<ComponentKey> },
    /// Shutdown ended.
    ShutdownDone {
        /// Components that could not be stopped.
        stuck: Vec<ComponentKey>,
    },
}

/// The opinion of one expert of the sequence model about a component.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the expert's name")]
pub struct Opinion {
    pub expert: &'static str,
    /// The probability that the component is next.
    pub probability: f32,
}

/// The decision about a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum HintOutcome {
    /// A preload began.
    Started,
    /// The component is loaded or loading.
    Present,
    /// No component of lower value may be evicted for it, or there is no room.
    NoRoom,
    /// The component conflicts with one that may not be evicted now.
    Conflict,
    /// Pressure, overdraft, start or shutdown forbid preloads.
    Forbidden,
    /// The component failed and may not be retried yet, cannot run, or could not be unloaded again: CORE or pinned.
    Unavailable,
    /// The confidence is below the floor.
    BelowFloor,
    /// The queue of hints was full, or a newer hint replaced this one.
    Dropped,
}
