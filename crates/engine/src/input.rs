//! Everything that the engine can be told.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, CommandId, ComponentKey, Confidence, Config, HintSource, HintTier, IncarnationId,
    Moment, PressureLevel, Priority, WaiterId, WallSeconds,
};
use majordomo_lifecycle::{LoadFailure, LoadReport, OutOfMemory, Persisted};
use majordomo_predictor::SequenceModel;
use majordomo_registry::Catalog;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprints {
    /// Components: which incarnation, and its bytes.
    pub own: Vec<(IncarnationId, ByteSize)>,
    /// Bytes of the budget that other programs take.
    pub external: ByteSize,
    /// Bytes that this process holds for no component: freed and kept by the allocator, snapshots, and shared
    /// buffers of components that are gone.
    pub unreturned: ByteSize,
}

/// The uses of one incarnation since the last sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The incarnation.
    pub id: IncarnationId,
    /// How often it was leased since the last sweep.
    pub uses: u64,
    /// When it was last used; none = not since the last sweep.
    pub last_use: Option<Moment>,
}

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorAction {
    /// Load it; a failed or quarantined one at once.
    Load,
    /// Let it go, with everything that depends on it.
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
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// Load CORE components, then those that are not lazy.
    Start,
    /// Somebody wants a set of components.
    Demand {
        /// Who; unique in the life of the process.
        waiter: WaiterId,
        /// The set.
        keys: Vec<ComponentKey>,
        /// Its priority; none = the highest of the set.
        priority: Option<Priority>,
        /// How long it may wait; none = the configured deadline.
        deadline: Option<Duration>,
        /// It may be granted in part: `keys` are in the order of confidence, and what does not fit is left out.
        partial: bool,
    },
    /// A waiter left.
    Abandon {
        /// Who.
        waiter: WaiterId,
    },
    /// A component is likely to be needed.
    Hint {
        /// The component.
        key: ComponentKey,
        /// How likely.
        confidence: Confidence,
        /// How urgent.
        tier: HintTier,
        /// Who says so.
        source: HintSource,
    },
    /// A command begins: what it needs is known before its demand comes, and what follows it can be foretold while it
    /// is still at work.
    Begun {
        /// Which; its end tells it again.
        command: CommandId,
        /// What it is about to use.
        uses: Vec<ComponentKey>,
    },
    /// A command ends that used nothing, or of which nothing is to be learned.
    Ended {
        /// Which.
        command: CommandId,
    },
    /// What a command really used.
    Observed {
        /// Which, if its beginning was told; it ends.
        command: Option<CommandId>,
        /// The components.
        used: Vec<ComponentKey>,
        /// What its text says of the components that the command after it needs.
        text_scores: Vec<(ComponentKey, Confidence)>,
    },
    /// The wall clock now: for habits by time of day. Told at start and when it was set; between, it moves on
    /// with the engine's time.
    WallClock(WallSeconds),
    /// Whether the processor has time to spare.
    Calm(bool),
    /// Whether the machine runs on battery.
    Battery(bool),
    /// The sequence model of an earlier process.
    Remembered(Box<SequenceModel>),
    /// What the sequence model learned is to be forgotten.
    Forget,
    /// A load ended.
    LoadFinished {
        /// The incarnation.
        id: IncarnationId,
        /// How. After an error nothing of the load is left.
        result: Result<LoadReport, LoadFailure>,
    },
    /// An unload or a cancelled load ended: nothing is left.
    UnloadFinished {
        /// The incarnation.
        id: IncarnationId,
    },
    /// A component that was up ended by itself.
    Exited {
        /// The incarnation.
        id: IncarnationId,
        /// How.
        how: String,
        /// Its exit code, if it has one: a signal leaves none.
        code: Option<i32>,
        /// It ran out of memory.
        out_of_memory: Option<OutOfMemory>,
    },
    /// A component asks for a larger reservation. `SetGrant` answers.
    Grow {
        /// The incarnation.
        id: IncarnationId,
        /// How much more.
        bytes: ByteSize,
    },
    /// A health probe ended.
    Health {
        /// The incarnation.
        id: IncarnationId,
        /// How.
        result: Result<(), String>,
    },
    /// A component was asked to trim, or could not be.
    Trimmed {
        /// The incarnation.
        id: IncarnationId,
        /// How.
        result: Result<(), String>,
    },
    /// The pressure level now.
    Pressure(PressureLevel),
    /// Memory was measured.
    Footprints(Footprints),
    /// What the machine (or the group around this process) can spare before it is short: for the peak of a load that
    /// is larger than the budget. Until it is reported, the pressure level alone speaks for the machine.
    Spare(ByteSize),
    /// Leases were counted.
    Usage(Vec<Usage>),
    /// A lease ended that somebody waited for.
    Released {
        /// The incarnation.
        id: IncarnationId,
    },
    /// Another configuration.
    Configure {
        /// The catalog, made from the one before.
        catalog: Arc<Catalog>,
        /// The settings.
        config: Box<Config>,
        /// The total budget.
        budget: ByteSize,
    },
    /// What earlier processes learned.
    Learned(Vec<Persisted>),
    /// The machine slept.
    Resumed {
        /// For how long.
        gap: Duration,
    },
    /// An operator's wish.
    Operator {
        /// Who is told when it is done.
        waiter: WaiterId,
        /// The component.
        key: ComponentKey,
        /// The wish.
        action: OperatorAction,
    },
    /// Time passed.
    Tick,
    /// End. A second one hastens.
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
            Self::Resumed { .. } => "resumed",
            Self::Operator { action, .. } => match action {
                OperatorAction::Load => "operator_load",
                OperatorAction::Unload { force: false } => "operator_unload",
                OperatorAction::Unload { force: true } => "operator_unload_force",
                OperatorAction::Pin => "operator_pin",
                OperatorAction::Unpin => "operator_unpin",
                OperatorAction::Trim => "operator_trim",
            },
            Self::Tick => "tick",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}
