//! What happened, as plain data: the records that followers, `why` and replays read.

mod text;

use crate::{
    ByteSize, Cause, ComponentKey, ComponentState, Confidence, HintSource, HintTier, LeftOut,
    Moment, OpId, PreloadEnd, PressureLevel, Refusal, WaiterId, refusal::cut,
};

/// One record. `seq` has no gaps within a process.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct EventRecord {
    /// Running number from 0.
    pub seq: u64,
    /// When.
    pub at: Moment,
    /// What.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: EventKind,
    /// Names that its lists had besides those that they have: see [`Self::bound`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub names_left_out: usize,
}

#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl EventRecord {
    /// The most names in a list of a record that is kept.
    pub const MAX_NAMES: usize = 64;

    /// A record whose lists are whole.
    #[must_use]
    pub const fn new(seq: u64, at: Moment, kind: EventKind) -> Self {
        Self { seq, at, kind, names_left_out: 0 }
    }

    /// Cuts every list to [`Self::MAX_NAMES`] names, and counts what that leaves out: kept records do not grow with
    /// what a client asks for.
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

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EventKind {
    /// A component changed its state.
    State {
        /// The component.
        component: ComponentKey,
        /// The state it left.
        from: ComponentState,
        /// The state it entered.
        to: ComponentState,
        /// Why.
        cause: Cause,
        /// Its incarnation, where there is one.
        op: Option<OpId>,
        /// Its booked bytes after the change.
        booked: ByteSize,
    },
    /// A waiter was granted what it asked for.
    Granted {
        /// The waiter.
        waiter: WaiterId,
        /// The components leased.
        components: Vec<ComponentKey>,
        /// How long it waited in the engine, in microseconds.
        waited_us: u64,
        /// Components of a command that were left out so that the others could be had.
        left_out: Vec<LeftOut>,
    },
    /// A waiter was refused.
    Refused {
        /// The waiter.
        waiter: WaiterId,
        /// The components it asked for.
        components: Vec<ComponentKey>,
        /// Why.
        refusal: Refusal,
    },
    /// A waiter called its demand off.
    Abandoned {
        /// The waiter.
        waiter: WaiterId,
    },
    /// A hint was acted on, or not.
    Hint {
        /// The component.
        component: ComponentKey,
        /// How likely its use was said to be.
        confidence: Confidence,
        /// How urgent it was.
        tier: HintTier,
        /// Who gave it.
        source: HintSource,
        /// What became of it.
        outcome: HintOutcome,
        /// What the sequence model's experts said when a load began for it, the most influential first.
        because: Vec<Opinion>,
    },
    /// A load ahead ended.
    Preload {
        /// The component.
        component: ComponentKey,
        /// How.
        result: PreloadEnd,
    },
    /// A component was chosen to go, on this evidence; its change of state follows.
    Victim {
        /// The component.
        component: ComponentKey,
        /// The policy that ranked it.
        policy: &'static str,
        /// What keeping it is worth by that policy, with all that depends on it.
        keep: f64,
        /// How likely the next command uses it.
        next: Confidence,
        /// How likely it is used again soon.
        reuse: Confidence,
        /// The component whose load needs the memory.
        wanted_by: ComponentKey,
    },
    /// The level of memory pressure changed.
    Pressure {
        /// The level before.
        from: PressureLevel,
        /// The level now.
        to: PressureLevel,
    },
    /// The bytes booked over the budget changed.
    Overdraft {
        /// Over the total, now.
        total: ByteSize,
    },
    /// A component was asked to give back what it can spare.
    Trimmed {
        /// The component.
        component: ComponentKey,
    },
    /// A component should have been asked to give back memory, but its configuration declares no way.
    CannotTrim {
        /// The component.
        component: ComponentKey,
    },
    /// A component could not be asked to give back memory, or refused.
    TrimFailed {
        /// The component.
        component: ComponentKey,
        /// Why.
        error: String,
    },
    /// A component uses more than its own limit.
    OverLimit {
        /// The component.
        component: ComponentKey,
        /// What it was measured to use.
        measured: ByteSize,
        /// Its limit.
        limit: ByteSize,
    },
    /// A load begins, alone, whose peak is larger than what the budget has for it.
    LoadBeyondBudget {
        /// The component.
        component: ComponentKey,
        /// What is booked while it loads.
        peak: ByteSize,
        /// How much of that is more than could be reserved.
        beyond: ByteSize,
    },
    /// A component ran out of memory: more is reserved for it from now on.
    EstimateRaised {
        /// The component.
        component: ComponentKey,
        /// What is reserved for its next load.
        to: ByteSize,
    },
    /// A component's health probes failed as often as its configuration allows; it stays up while clients hold
    /// leases.
    ProbeFailing {
        /// The component.
        component: ComponentKey,
        /// How many probes failed in a row.
        failures: u32,
        /// The last probe's words.
        error: String,
    },
    /// A component whose probes failed while it was leased answers again.
    ProbeRecovered {
        /// The component.
        component: ComponentKey,
    },
    /// A component's leases were told to end.
    Revoked {
        /// The component.
        component: ComponentKey,
        /// Why.
        cause: Cause,
    },
    /// The configuration was replaced.
    ConfigApplied {
        /// Components changed, added or removed.
        changed: usize,
    },
    /// The machine slept.
    Resumed {
        /// For how long, in microseconds.
        gap_us: u64,
    },
    /// What a command really used.
    Observed {
        /// The components used.
        used: Vec<ComponentKey>,
    },
    /// Shutdown began.
    ShutdownStarted,
    /// The time of a shutdown was nearly up: components that had not stopped are killed.
    ShutdownKills {
        /// The components.
        components: Vec<ComponentKey>,
    },
    /// Shutdown ended.
    ShutdownDone {
        /// Components that could not be stopped.
        stuck: Vec<ComponentKey>,
    },
}

/// What one expert of the sequence model said of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Opinion {
    /// The expert.
    pub expert: &'static str,
    /// Its probability that the component is next.
    pub probability: f32,
}

/// What became of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum HintOutcome {
    /// A speculative load began.
    Started,
    /// Loaded already, or on its way.
    Present,
    /// Nothing that may go for it is worth less, or there is no room.
    NoRoom,
    /// It conflicts with something loaded.
    Conflict,
    /// Pressure, overdraft, start-up or shutdown forbid speculation.
    Forbidden,
    /// It failed before and may not be tried yet, cannot run at all, or could not be let go again: CORE or pinned.
    Unavailable,
    /// Its confidence is below the floor.
    BelowFloor,
    /// The queue of hints was full, or a newer one replaced it.
    Dropped,
}
