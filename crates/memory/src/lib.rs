//! Memory for components: the [`Budget`] ledger, eviction policies, and where pressure is felt.
//!
//! Knows bytes and keys; not what a component does, not who waits for it. The ledger, the policies and the
//! classifier are plain values without clock or I/O; a [`PressureSource`] reads the machine inside `read` only.

#[cfg(feature = "arena")]
mod arena;
mod budget;
mod classifier;
#[cfg(feature = "cold")]
mod cold;
mod footprint;
mod group;
mod limits;
mod policy;
mod psi;
mod source;
mod trim;
mod watch;

#[cfg(feature = "arena")]
pub use arena::{
    ARENA_ALIGNMENT, Arena, ArenaBuf, ArenaError, GrantHold, MappedBuf, PoolGrant, SharedSlice,
};
pub use budget::{Budget, BudgetError, Need, PoolLimit, Shortage};
pub use classifier::{PressureClassifier, pressure_thresholds};
#[cfg(feature = "cold")]
pub use cold::{ColdError, ColdStore, Snapshot};
pub use footprint::{Measure, process_footprint};
pub use group::{GroupBound, GroupEvents, GroupVersion, MemoryGroup};
pub use limits::{LimitChoice, LimitError, OomEvidence, OomWatch, ProcessLimit, choose_limits};
pub use policy::{
    Candidate, EvictionPolicy, Gdsf, Lru, PolicyEvent, Ranked, product_policy, victim_order,
};
pub use source::{
    GroupSource, MachineSource, PressureReading, PressureSource, ReadingSource, ScriptHandle,
    ScriptedSource, SourceChain, SourceError, SourceReport, effective_limit, platform_source,
};
#[cfg(target_os = "macos")]
pub use source::{MacosSource, physical_footprint};
pub use trim::{TrimConfig, TrimDebounce, TrimOutcome, UnreturnedMeter, trim_allocator};
pub use watch::{PressureWaker, PressureWatcher, WakeCause, Wakeup, WatchConfig, WatchMeans};
