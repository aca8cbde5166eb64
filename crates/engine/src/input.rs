//! Every input of the engine.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, CommandId, ComponentKey, Confidence, Config, HintSource, HintTier, IncarnationId,
    Moment, PressureLevel, Priority, StepId, WaiterId, WallSeconds,
};
use majordomo_lifecycle::{
    LoadFailure, LoadReport, OutOfMemory, ParkReport, Persisted, PersistedRung, WakeReport,
};
use majordomo_predictor::SequenceModel;
use majordomo_registry::Catalog;

use crate::Offers;

/// Measured memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprints {
    /// Components: which incarnation, and its memory.
    pub own: Vec<(IncarnationId, Sample)>,
    /// Bytes of the budget that other programs take.
    pub external: ByteSize,
    /// Bytes that this process holds for no component: freed and kept by the allocator, snapshots, and shared
    /// buffers of components that were unloaded.
    pub unreturned: ByteSize,
}

/// The memory of one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Bytes of its own pool.
    pub bytes: ByteSize,
    /// Bytes of it in swap; none = not measured.
    pub swap: Option<ByteSize>,
}

impl From<ByteSize> for Sample {
    fn from(bytes: ByteSize) -> Self {
        Self { bytes, swap: None }
    }
}

/// The uses of one incarnation since the last sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    #[expect(missing_docs, reason = "the type says it")]
    pub id: IncarnationId,
    /// How often it was leased since the last sweep.
    pub uses: u64,
    /// When it was last used; none = not since the last sweep.
    pub last_use: Option<Moment>,
}

/// Requests of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorAction {
    /// Load it; a failed or quarantined one at once.
    Load,
    /// Unload it, with everything that depends on it.
    Unload {
        /// Even if it is CORE, pinned or leased: leases are revoked.
        force: bool,
    },
    /// Never a victim from now on.
    Pin,
    /// May be a victim from now on.
    Unpin,
    /// Ask it to give back what it can spare.
    Trim,
    /// Park it with everything that depends on it, at the rung that frees most.
    Park,
}

/// One event, or one request.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "a field whose type says all has no comment")]
#[non_exhaustive]
pub enum Input {
    /// Load CORE components, then those that are not lazy.
    Start,
    /// A caller requests a set of components.
    Demand {
        /// Unique in the life of the process.
        waiter: WaiterId,
        /// Without repeats.
        keys: Vec<ComponentKey>,
        /// Its priority; none = the highest of the set.
        priority: Option<Priority>,
        /// How long it may wait; none = the configured deadline.
        deadline: Option<Duration>,
        /// It may be granted in part: `keys` are in the order of confidence, and what does not fit is left out.
        partial: bool,
    },
    /// A waiter gave up.
    Abandon { waiter: WaiterId },
    /// A component is likely to be needed.
    Hint {
        key: ComponentKey,
        /// The probability of its use.
        confidence: Confidence,
        /// The urgency.
        tier: HintTier,
        /// The origin of the hint.
        source: HintSource,
    },
    /// A command begins: its needs are known before its demand comes, and the next command can be predicted while it
    /// is still at work.
    Begun {
        /// Repeated by its end.
        command: CommandId,
        /// The components that it is about to use.
        uses: Vec<ComponentKey>,
    },
    /// A command ends that used nothing, or of which nothing is to be learned.
    Ended {
        /// As in its `Begun`.
        command: CommandId,
    },
    /// The components that a command really used.
    Observed {
        /// As in its `Begun`, if there was one; the command ends.
        command: Option<CommandId>,
        /// Without repeats.
        used: Vec<ComponentKey>,
        /// The probability, by its text, that the next command needs a component.
        text_scores: Vec<(ComponentKey, Confidence)>,
    },
    /// The wall clock now: for habits by time of day. Reported at the start and when it was set; in between it advances
    /// with the engine's time.
    WallClock(WallSeconds),
    /// Whether the processor has time to spare.
    Calm(bool),
    /// Whether the machine runs on battery.
    Battery(bool),
    /// The sequence model of an earlier process.
    Remembered(Box<SequenceModel>),
    /// The sequence model is to forget everything.
    Forget,
    /// A load ended.
    LoadFinished {
        id: IncarnationId,
        /// After an error nothing of the load is left.
        result: Result<LoadReport, LoadFailure>,
    },
    /// An unload or a cancelled load ended: nothing is left.
    UnloadFinished { id: IncarnationId },
    /// The rungs that components may be parked at. A new list replaces the old one.
    Offers(Offers),
    /// A park ended.
    Parked {
        id: IncarnationId,
        /// As in its `StartPark`.
        step: StepId,
        /// In words, why it failed: the component runs on, and its memory may be anywhere.
        result: Result<ParkReport, String>,
    },
    /// A wake ended.
    Woken {
        id: IncarnationId,
        /// As in its `StartWake`.
        step: StepId,
        /// In words, why it failed.
        result: Result<WakeReport, String>,
    },
    /// A component that was up, or parked, ended by itself.
    Exited {
        id: IncarnationId,
        /// In words.
        how: String,
        /// Its exit code; none after a signal.
        code: Option<i32>,
        /// It ran out of memory.
        out_of_memory: Option<OutOfMemory>,
    },
    /// A component asks for a larger reservation. `SetGrant` answers.
    Grow {
        id: IncarnationId,
        /// How much more.
        bytes: ByteSize,
    },
    /// A health probe ended.
    Health {
        id: IncarnationId,
        /// In words, why it failed.
        result: Result<(), String>,
    },
    /// A component was asked to trim, or could not be.
    Trimmed {
        id: IncarnationId,
        /// In words, why it failed.
        result: Result<(), String>,
    },
    /// The pressure level now.
    Pressure(PressureLevel),
    /// Memory was measured.
    Footprints(Footprints),
    /// The memory that the machine (or the cgroup around this process) can spare before it is short: for the peak of a load
    /// that is larger than the budget. Until it is reported, the pressure level alone says whether memory is short.
    Spare(ByteSize),
    /// Leases were counted.
    Usage(Vec<Usage>),
    /// A lease ended for which a notice was requested.
    Released { id: IncarnationId },
    /// Another configuration.
    Configure {
        /// The catalog, made from the one before.
        catalog: Arc<Catalog>,
        /// The settings.
        config: Box<Config>,
        /// The total budget.
        budget: ByteSize,
    },
    /// Learned figures of earlier processes.
    Learned(Vec<Persisted>),
    /// Figures of rungs that earlier processes measured.
    LearnedRungs(Vec<PersistedRung>),
    /// The machine slept.
    Resumed {
        /// For how long.
        gap: Duration,
    },
    /// A request of an operator.
    Operator {
        /// Answered when it is done.
        waiter: WaiterId,
        key: ComponentKey,
        action: OperatorAction,
    },
    /// Time passed.
    Tick,
    /// End. A second request shortens the deadlines.
    Shutdown {
        /// Within this time.
        deadline: Duration,
    },
}

impl Input {
    /// The input's name, for tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Demand { .. } => "demand",
            Self::Abandon { .. } => "abandon",
            Self::Hint { .. } => "hint",
            Self::Begun { .. } => "begun",
            Self::Ended { .. } => "ended",
            Self::Observed { .. } => "observed",
            Self::WallClock(_) => "wall_clock",
            Self::Calm(_) => "calm",
            Self::Battery(_) => "battery",
            Self::Remembered(_) => "remembered",
            Self::Forget => "forget",
            Self::LoadFinished { result: Ok(_), .. } => "load_succeeded",
            Self::LoadFinished { .. } => "load_failed",
            Self::UnloadFinished { .. } => "unload_finished",
            Self::Offers(_) => "offers",
            Self::Parked { result: Ok(_), .. } => "parked",
            Self::Parked { .. } => "park_failed",
            Self::Woken { result: Ok(_), .. } => "woken",
            Self::Woken { .. } => "wake_failed",
            Self::Exited { .. } => "exited",
            Self::Grow { .. } => "grow",
            Self::Health { result: Ok(()), .. } => "healthy",
            Self::Health { .. } => "unhealthy",
            Self::Trimmed { .. } => "trimmed",
            Self::Pressure(_) => "pressure",
            Self::Footprints(_) => "footprints",
            Self::Spare(_) => "spare",
            Self::Usage(_) => "usage",
            Self::Released { .. } => "released",
            Self::Configure { .. } => "configure",
            Self::Learned(_) => "learned",
            Self::LearnedRungs(_) => "learned_rungs",
            Self::Resumed { .. } => "resumed",
            Self::Operator { action, .. } => match action {
                OperatorAction::Load => "operator_load",
                OperatorAction::Unload { force: false } => "operator_unload",
                OperatorAction::Unload { force: true } => "operator_unload_force",
                OperatorAction::Pin => "operator_pin",
                OperatorAction::Unpin => "operator_unpin",
                OperatorAction::Trim => "operator_trim",
                OperatorAction::Park => "operator_park",
            },
            Self::Tick => "tick",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}
