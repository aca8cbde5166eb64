//! A picture of the whole at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{ByteSize, ComponentId, ComponentState, Endpoint, Moment, PressureLevel, Priority};

/// A value in a section of the status.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
#[non_exhaustive]
pub enum StatusValue {
    /// A yes or no.
    Bool(bool),
    /// A count.
    Count(u64),
    /// A number; its unit stands in the name.
    Number(f64),
    /// Bytes.
    Bytes(ByteSize),
    /// A time span.
    Time(Duration),
    /// Text.
    Text(String),
}

impl fmt::Display for StatusValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Count(v) => write!(f, "{v}"),
            Self::Number(v) => write!(f, "{v:.3}"),
            Self::Bytes(v) => write!(f, "{v}"),
            Self::Time(v) => write!(f, "{v:.1?}"),
            Self::Text(v) => f.write_str(v),
        }
    }
}

/// Health probes that fail while clients hold leases, so that nothing was done about it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeFailure {
    /// When the first of these probes failed.
    pub since: Moment,
    /// How many failed in a row.
    pub failures: u32,
    /// The words of the last one.
    pub error: String,
}

/// One component.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ComponentStatus {
    /// Its name.
    pub id: ComponentId,
    /// Its state.
    pub state: ComponentState,
    /// Since when.
    pub since: Moment,
    /// Its priority.
    pub priority: Priority,
    /// Its pool.
    pub pool: Arc<str>,
    /// Whether it is pinned, by configuration or by an operator.
    pub pinned: bool,
    /// Whether nobody has asked for it yet in this incarnation.
    pub speculative: bool,
    /// Whether its configuration changed under it.
    pub stale: bool,
    /// Bytes booked for it now.
    pub booked: ByteSize,
    /// Bytes last measured, if any.
    pub measured: Option<ByteSize>,
    /// What its next load is expected to need at its peak, as learned.
    pub load_peak: Option<ByteSize>,
    /// What its use is expected to need at its peak, as learned.
    pub working_peak: Option<ByteSize>,
    /// What is reserved for its next load, until it is ready.
    pub load_need: ByteSize,
    /// What is reserved for it from then on.
    pub settled_need: ByteSize,
    /// Bytes that it shares with others, such as mapped files, and that are not booked for it; filled in by the
    /// shell.
    pub shared: ByteSize,
    /// Its declared estimate.
    pub estimate: ByteSize,
    /// Its own limit, if it has one.
    pub limit: Option<ByteSize>,
    /// Leases out; filled in by the shell.
    pub leases: u32,
    /// Uses in this process.
    pub uses: u64,
    /// Loads in this process.
    pub loads: u64,
    /// Failures in this process.
    pub failures: u64,
    /// Last use.
    pub last_use: Option<Moment>,
    /// Learned load time.
    pub load_time: Option<Duration>,
    /// Why it is in this state, in words.
    pub cause: String,
    /// Its health probes fail, and it stays up because clients hold leases.
    pub probe_failing: Option<ProbeFailure>,
    /// Of one that is down: when it is, or may be, loaded again; none = nothing is planned.
    pub retry_at: Option<Moment>,
    /// That time is when a demand may load it: nothing else does.
    pub retry_on_demand: bool,
    /// The first process of a running program; filled in by the shell.
    pub pid: Option<i32>,
    /// Where a running program is reached; filled in by the shell.
    pub endpoint: Option<Endpoint>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its budget; none = only the total bounds it.
    pub budget: Option<ByteSize>,
    /// Bytes booked in it.
    pub booked: ByteSize,
    /// Whether its bytes are no RAM and so not part of the total.
    pub declared: bool,
}

/// Bytes booked or taken beyond the plan, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OverdraftStatus {
    /// Measured above what was reserved.
    pub growth: ByteSize,
    /// The peak of a load that is larger than what the budget has; ends with the load.
    pub load: ByteSize,
    /// Left over from a larger budget.
    pub config: ByteSize,
    /// Taken by other programs.
    pub external: ByteSize,
    /// Freed inside this process but not given back to the system.
    pub unreturned: ByteSize,
}

/// One bound on the memory that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BoundStatus {
    /// The machine, or which control group.
    pub name: String,
    /// Its memory or limit, of a group the smallest among it and those above; none = not limited.
    pub limit: Option<ByteSize>,
    /// What is in use and cannot be reclaimed at once.
    pub used: ByteSize,
}

/// A change of the pressure level, or what happened to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PressureNote {
    /// When.
    pub at: Moment,
    /// The level from then on.
    pub level: PressureLevel,
    /// What could still be had.
    pub available: ByteSize,
    /// What happened to a source; empty when the level changed.
    pub note: String,
}

/// Where memory pressure is felt, and what was felt lately.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PressureStatus {
    /// The source that answers; empty when none does.
    pub source: String,
    /// Whether the last reading failed.
    pub failing: bool,
    /// The effective limit, the smaller of the machine's memory and the own group's limit.
    pub limit: ByteSize,
    /// What can still be had before the tightest bound.
    pub available: ByteSize,
    /// The level that the kernel itself hints at (PSI, macOS).
    pub hint: Option<PressureLevel>,
    /// Below how many available bytes MEDIUM, HIGH, CRITICAL and EMERGENCY begin.
    pub thresholds: [ByteSize; 4],
    /// Every bound that was read, the machine first.
    pub bounds: Vec<BoundStatus>,
    /// What wakes the watcher, and what cannot.
    pub means: Vec<String>,
    /// Readings so far.
    pub readings: u64,
    /// Changes of level and of sources, oldest first; the last 64.
    pub history: Vec<PressureNote>,
}

/// Snapshots of unloaded components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ColdStatus {
    /// What they may take.
    pub budget: ByteSize,
    /// What they take.
    pub used: ByteSize,
    /// How many there are.
    pub snapshots: u64,
    /// Snapshots handed to a load.
    pub handed_back: u64,
    /// Snapshots that went for others, or did not fit.
    pub dropped: u64,
    /// Snapshots that did not come back as they were.
    pub corrupt: u64,
}

/// Giving freed heap memory back to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TrimStatus {
    /// Trims of the allocator so far.
    pub trims: u64,
    /// How long the last one took.
    pub last_took: Option<Duration>,
}

/// Memory as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryStatus {
    /// The total budget.
    pub budget: ByteSize,
    /// Sum of all booked bytes that count in the total.
    pub booked: ByteSize,
    /// Bytes set aside for demands that clear memory now.
    pub claimed: ByteSize,
    /// How much more is booked and taken than the budget has.
    pub overdraft: ByteSize,
    /// Where an overdraft comes from.
    pub overdraft_by_kind: OverdraftStatus,
    /// Bytes of the budget that other programs take.
    pub external: ByteSize,
    /// Bytes that this process holds for no component: freed and not given back, snapshots, and shared buffers
    /// of components that are gone.
    pub unreturned: ByteSize,
    /// The pressure level.
    pub pressure: Option<PressureLevel>,
    /// The pools.
    pub pools: Vec<PoolStatus>,
    /// Resident memory of this process itself; filled in by the shell, as is all below.
    pub own: Option<ByteSize>,
    /// Where pressure is felt; none when it is not.
    pub felt: Option<PressureStatus>,
    /// Snapshots of unloaded components.
    pub cold: ColdStatus,
    /// Trims of the allocator.
    pub trims: TrimStatus,
    /// How processes are bounded, and why not better.
    pub process_limits: String,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Status {
    /// When.
    pub at: Moment,
    /// Every component of the configuration, by key order.
    pub components: Vec<ComponentStatus>,
    /// Memory.
    pub memory: MemoryStatus,
    /// Demands that wait.
    pub waiting: usize,
    /// Whether shutdown has begun.
    pub shutting_down: bool,
    /// What each part has to tell besides: name of the part → its figures.
    pub sections: BTreeMap<String, Vec<(String, StatusValue)>>,
}
