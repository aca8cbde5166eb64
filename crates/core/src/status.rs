//! The status of the manager at one moment.

mod parking;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    ByteSize, ComponentId, ComponentState, Endpoint, Moment, PressureLevel, Priority, StageTime,
};

pub use parking::{ComponentParking, ParkingStatus};

/// A value in a section of the status.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
#[expect(missing_docs, reason = "the variants are the types")]
#[non_exhaustive]
pub enum StatusValue {
    Bool(bool),
    Count(u64),
    /// The unit is part of the name.
    Number(f64),
    Bytes(ByteSize),
    Time(Duration),
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

/// Health probes that fail while clients hold leases, so that the component is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeFailure {
    /// The time of the first failure.
    pub since: Moment,
    /// Failures in a row.
    pub failures: u32,
    /// The error of the last probe.
    pub error: String,
}

/// The status of one component. Figures are of this process.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "figures with the name of their kind")]
pub struct ComponentStatus {
    pub id: ComponentId,
    pub state: ComponentState,
    /// The time of the last change of state.
    pub since: Moment,
    pub priority: Priority,
    pub pool: Arc<str>,
    /// By configuration or by an operator.
    pub pinned: bool,
    /// The incarnation was preloaded and not requested yet.
    pub speculative: bool,
    /// The loaded incarnation has an older configuration.
    pub stale: bool,
    /// Bytes booked in its pool.
    pub booked: ByteSize,
    /// Memory in other pools, by configuration or booking.
    pub apart: Vec<DeclaredMemory>,
    /// The last measurement.
    pub measured: Option<ByteSize>,
    /// The learned peak of the next load.
    pub load_peak: Option<ByteSize>,
    /// The learned peak of the component's use.
    pub working_peak: Option<ByteSize>,
    /// The reservation of the next load, until the component is ready.
    pub load_need: ByteSize,
    /// The reservation of the ready component.
    pub settled_need: ByteSize,
    /// Memory shared with others, such as mapped files, and not booked; filled in by the shell.
    pub shared: ByteSize,
    /// The declared memory.
    pub estimate: ByteSize,
    /// The component's own memory limit.
    pub limit: Option<ByteSize>,
    /// Current leases; filled in by the shell.
    pub leases: u32,
    pub uses: u64,
    pub loads: u64,
    pub failures: u64,
    pub last_use: Option<Moment>,
    /// The learned load time.
    pub load_time: Option<Duration>,
    /// When its loads reach their stages, in that order; filled in by the shell.
    pub load_stages: Vec<StageTime>,
    /// The cause of the state, in words.
    pub cause: String,
    /// Set while health probes fail and the component is kept because clients hold leases.
    pub probe_failing: Option<ProbeFailure>,
    /// The time at which an unloaded component is, or may be, loaded again; none when no load is planned.
    pub retry_at: Option<Moment>,
    /// At `retry_at` a demand may load the component; the manager does not.
    pub retry_on_demand: bool,
    /// The first process of a running program; filled in by the shell.
    pub pid: Option<i32>,
    /// The address of a running program; filled in by the shell.
    pub endpoint: Option<Endpoint>,
    /// Filled in by the shell.
    pub parking: ComponentParking,
}

/// Memory of a component in a pool besides its own, which is not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DeclaredMemory {
    /// The name of the pool.
    pub pool: Arc<str>,
    /// Bytes by configuration.
    pub declared: ByteSize,
    /// Bytes booked now.
    pub booked: ByteSize,
}

/// The status of one pool.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "figures with the name of their kind")]
pub struct PoolStatus {
    pub name: Arc<str>,
    /// Without one, only the total budget bounds the pool.
    pub budget: Option<ByteSize>,
    pub booked: ByteSize,
    /// The pool's memory is not RAM and not part of the total.
    pub declared: bool,
}

/// Memory booked or used beyond the budget, by origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OverdraftStatus {
    /// Measured above the reservations.
    pub growth: ByteSize,
    /// The peak of a load that the budget has no room for; ends with the load.
    pub load: ByteSize,
    /// Booked under an earlier, larger budget.
    pub config: ByteSize,
    /// Used by other programs.
    pub external: ByteSize,
    /// Freed inside this process but not returned to the system.
    pub unreturned: ByteSize,
}

/// One bound on available memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BoundStatus {
    /// The machine, or the path of a cgroup.
    pub name: String,
    /// The machine's memory, or the smallest limit of the cgroup and its parents; none without a limit.
    pub limit: Option<ByteSize>,
    /// Used memory that cannot be reclaimed at once.
    pub used: ByteSize,
}

/// A change of the pressure level, or an event of the pressure source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the time, and available memory")]
pub struct PressureRecord {
    pub at: Moment,
    /// The level from `at` on.
    pub level: PressureLevel,
    pub available: ByteSize,
    /// The event of the source, in words; empty for a change of the level.
    pub event: String,
}

/// The pressure source, and its recent history.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PressureStatus {
    /// The name of the active source; empty without one.
    pub source: String,
    /// The last reading failed.
    pub failing: bool,
    /// The effective limit: the smaller of the machine's memory and the own cgroup's limit.
    pub limit: ByteSize,
    /// Available memory within the tightest bound.
    pub available: ByteSize,
    /// The kernel's own pressure level (PSI, macOS).
    pub hint: Option<PressureLevel>,
    /// MEDIUM, HIGH, CRITICAL and EMERGENCY begin below these amounts of available memory.
    pub thresholds: [ByteSize; 4],
    /// Every bound that was read, the machine first.
    pub bounds: Vec<BoundStatus>,
    /// The means that wake the watcher, and those that are not available.
    pub means: Vec<String>,
    /// The number of readings.
    pub readings: u64,
    /// Changes of level and of sources, oldest first; the last 64.
    pub history: Vec<PressureRecord>,
}

/// Snapshots of unloaded components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "figures with the name of their kind")]
pub struct ColdStatus {
    pub budget: ByteSize,
    pub used: ByteSize,
    /// Current snapshots.
    pub snapshots: u64,
    /// Snapshots passed to a load.
    pub handed_back: u64,
    /// Snapshots evicted for others, or too large.
    pub dropped: u64,
    /// Snapshots whose content had changed when they were read.
    pub corrupt: u64,
}

/// Returning freed heap memory to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TrimStatus {
    /// The number of allocator trims.
    pub trims: u64,
    /// Duration of the last trim.
    pub last_took: Option<Duration>,
}

/// Memory of the manager and of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "figures with the name of their kind")]
pub struct MemoryStatus {
    /// The total budget.
    pub budget: ByteSize,
    /// The sum of all booked memory that counts in the total.
    pub booked: ByteSize,
    /// Memory claimed by demands that wait for evictions.
    pub claimed: ByteSize,
    /// Memory booked and used beyond the budget.
    pub overdraft: ByteSize,
    /// The overdraft by origin.
    pub overdraft_by_kind: OverdraftStatus,
    /// Memory of the budget that other programs use.
    pub external: ByteSize,
    /// Memory of this process that belongs to no component: freed and not returned, snapshots, and shared buffers of
    /// unloaded components.
    pub unreturned: ByteSize,
    pub pressure: Option<PressureLevel>,
    pub pools: Vec<PoolStatus>,
    /// Resident memory of this process itself; filled in by the shell, as is all below.
    pub own: Option<ByteSize>,
    /// The pressure source; none without one.
    pub felt: Option<PressureStatus>,
    /// The store of snapshots.
    pub cold: ColdStatus,
    pub trims: TrimStatus,
    /// The means that bound the memory of processes, and the reasons against better ones.
    pub process_limits: String,
    pub parking: ParkingStatus,
}

/// The status of the manager.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "figures with the name of their kind")]
pub struct Status {
    pub at: Moment,
    /// Every component of the configuration, in key order.
    pub components: Vec<ComponentStatus>,
    pub memory: MemoryStatus,
    /// The number of waiting demands.
    pub waiting: usize,
    pub shutting_down: bool,
    /// Further figures, by the name of the part that reports them.
    pub sections: BTreeMap<String, Vec<(String, StatusValue)>>,
}
