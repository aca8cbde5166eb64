//! Memory for components: pressure, booking, the order of eviction, and the return of bytes to the system.
//!
//! - *Pressure*: a [`PressureSource`] (machine, own cgroup, stalls) gives readings, a [`PressureClassifier`]
//!   makes one of five levels of them, a [`PressureWatcher`] waits for the next reading to be due.
//! - *Booking*: the [`Budget`] ledger; the [`EvictionPolicy`] trait with the product policies.
//! - *Returning*: `Arena`s out of `PoolGrant`s (feature `arena`, default), [`trim_allocator`] with its
//!   [`TrimDebounce`], and `ColdStore` for snapshots of unloaded components (feature `cold`).
//! - *Processes*: [`choose_limits`] bounds them, [`OomWatch`] finds out why one ended, [`process_footprint`]
//!   measures.
//!
//! Knows bytes and keys, but neither components nor waiters. The ledger, the policies, the classifier, the
//! debouncer and the cold store are plain values without clock or I/O; functions that do I/O are documented as such.
//! Each part has its own error type, since their callers have nothing in common.
//!
//! ```
//! use std::time::Duration;
//!
//! use majordomo_core::{ByteSize, ComponentKey, Moment, PressureLevel, PressureProfile};
//! use majordomo_memory::{Budget, PressureClassifier, PressureReading};
//!
//! // A budget of 4 GiB without pools of its own; reservations count in full.
//! let mut budget = Budget::new(ByteSize::gib(4), []);
//! let (vision, speech) = (ComponentKey(0), ComponentKey(1));
//! budget.reserve(vision, 0, ByteSize::gib(3))?;
//! assert!(budget.reserve(speech, 0, ByteSize::gib(2)).is_err());
//!
//! // A larger footprint is booked although it exceeds the budget: the excess is the overdraft.
//! budget.measure(vision, ByteSize::gib(5));
//! assert_eq!(budget.overdraft(), ByteSize::gib(1));
//!
//! // 100 MiB of 8 GiB available: the level rises at once, and falls step by step.
//! let mut classifier = PressureClassifier::new(PressureProfile::Share, Duration::from_secs(10));
//! let reading = PressureReading::scripted(ByteSize::mib(100), ByteSize::gib(8));
//! assert_eq!(classifier.observe(&reading, Moment::ZERO), PressureLevel::Emergency);
//! # Ok::<(), majordomo_memory::BudgetError>(())
//! ```

#[cfg(feature = "arena")]
mod arena;
mod budget;
mod cgroup;
mod classifier;
#[cfg(feature = "cold")]
mod cold;
mod error;
mod file_cache;
mod footprint;
mod hints;
mod learned;
mod limits;
mod policy;
mod psi;
mod reading;
mod report;
mod rungs;
mod source;
mod swap;
mod trim;
mod watch;

#[cfg(feature = "arena")]
pub use arena::{
    ARENA_ALIGNMENT, Arena, ArenaBuf, ArenaError, GrantHold, MappedBuf, PoolGrant, SharedSlice,
};
pub use budget::{Budget, BudgetError, Need, PoolLimit, Reservation, Shortage};
pub use cgroup::{CgroupBound, CgroupEvents, CgroupVersion, Controller, MemoryCgroup};
pub use classifier::{PressureClassifier, pressure_thresholds};
#[cfg(feature = "cold")]
pub use cold::{ColdError, ColdStore, Snapshot};
pub use error::SourceError;
pub use file_cache::{cached_bytes, read_ahead};
pub use footprint::{
    Measure, Shares, is_same_memory, process_footprint, process_peak, process_shares,
};
pub use hints::{Hints, MachineMemory};
pub use learned::{Learned, Needs, Peaks, WINDOW};
pub use limits::{LimitChoice, LimitError, OomEvidence, OomWatch, ProcessLimit, choose_limits};
pub use policy::{
    Candidate, EvictionPolicy, Gdsf, Lru, Point, PolicyEvent, Ranked, RungOfUse, VRank,
    VRankConfig, VRankMode, demand_probability, lower_hull, product_policy, victim_order,
    with_stated,
};
pub use reading::{PressureReading, ReadingSource};
pub use report::SourceReport;
pub use rungs::{LearnedRung, RungFigures};
pub use source::{
    CgroupSource, MachineSource, PressureSource, ScriptHandle, ScriptedSource, SourceChain,
    effective_limit, platform_source,
};
#[cfg(target_os = "macos")]
pub use source::{MacosSource, physical_footprint};
pub use swap::has_swap;
pub use trim::{
    AllocatorUsage, TrimConfig, TrimDebounce, TrimOutcome, UnreturnedMeter, allocator_usage,
    bound_heaps, bound_retained, release_program, trim_allocator,
};
pub use watch::{PressureWaker, PressureWatcher, WakeCause, Wakeup, WatchConfig, WatchMeans};
