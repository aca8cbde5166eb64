//! Why a component changed its state.

use std::fmt;

use crate::{ByteSize, ComponentId, PressureLevel, WaiterId, printable};

/// Why a component changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(
    missing_docs,
    reason = "fields with the name of their type, and texts of the loader or probe"
)]
#[non_exhaustive]
pub enum Cause {
    /// A waiter needs the component, itself or through a dependent.
    Demand {
        /// The first of these waiters.
        waiter: WaiterId,
    },
    /// A request of an operator.
    Operator,
    /// CORE, or `lazy_init = false`, at start.
    Startup,
    /// A hint or prediction.
    Speculation,
    /// The restart policy, after a failure or a changed configuration.
    Restart,
    /// The loader reported that the component is ready.
    LoadFinished,
    /// The loader failed.
    LoadFailed { error: String },
    /// The load deadline passed.
    LoadTimedOut,
    /// The component's process ended, or the component reported its own end.
    Exited {
        /// A predicate in the loader's words, such as "ended with code 1".
        how: String,
    },
    /// The component's process ended by itself, with an exit code that is no failure.
    Ended {
        /// The exit code.
        code: i32,
        /// Time since it became ready, in milliseconds.
        ran_ms: u64,
    },
    /// The kernel killed the component for lack of memory.
    OutOfMemory {
        /// A sentence about the component.
        evidence: String,
    },
    /// The component uses more than its own limit, and trimming did not help.
    OverLimit { measured: ByteSize, limit: ByteSize },
    /// As many health probes in a row failed as the configuration allows.
    Unhealthy {
        /// The last probe's error.
        error: String,
    },
    /// A waiter needs the component's memory.
    EvictedForDemand { waiter: WaiterId },
    /// A load without a waiter needs the component's memory: at start, by an operator, or a better preload.
    EvictedForLoad,
    /// The component conflicts with a requested one.
    Replaced,
    /// Memory pressure.
    Pressure { level: PressureLevel },
    /// More memory is booked than the budget has.
    Overdraft,
    /// The idle timeout passed.
    Idle,
    /// The component was not used for its `idle_park`.
    IdlePark,
    /// A dependency is not ready any more.
    DependencyLost {
        /// The dependency.
        component: ComponentId,
        why: String,
    },
    /// A dependency could not be loaded.
    DependencyFailed {
        /// The dependency.
        component: ComponentId,
        error: String,
    },
    /// A dependent is unloaded, before the component that it depends on.
    DependentFirst,
    /// The load has no waiter any more.
    Abandoned,
    /// The load is planned again, because its preconditions changed.
    Replanned,
    /// The component's configuration changed or was removed.
    ConfigChanged,
    /// Too many failures within the window.
    TooManyFailures,
    /// The back-off or the quarantine ended.
    RetryAllowed,
    /// Memory is kept free for a component that is likely to be next.
    ParkedEarly,
    /// The component was loaded while the machine was idle, to be parked.
    Primed,
    /// The component is parked.
    ParkFinished,
    /// The component could not be parked.
    ParkFailed { error: String },
    /// The deadline of the park passed.
    ParkTimedOut,
    /// The component was woken.
    WakeFinished,
    /// The component could not be woken.
    WakeFailed { error: String },
    /// The deadline of the wake passed.
    WakeTimedOut,
    /// The leases ended, or were revoked at the deadline.
    Drained,
    /// The loader reported that the component is stopped.
    UnloadFinished,
    /// The stop deadline passed.
    UnloadTimedOut,
    /// The manager shuts down.
    Shutdown,
    /// The machine was suspended and resumed.
    Resumed,
}

/// The kind of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseClass {
    /// The component is needed, or may be again: a demand, a prediction, a restart.
    Needed,
    /// A step is complete: loaded, drained, unloaded.
    Progress,
    /// Another component needs the memory.
    MemoryShort,
    /// The component is evicted for another reason than memory: idle, replaced, or unloaded with its dependency.
    MakesWay,
    /// The load has no waiter, or is planned again.
    Cancelled,
    /// A request or event from outside: an operator, the configuration, a shutdown, a suspended machine.
    External,
    /// The component failed.
    Failed,
    /// The component ended by itself, which is no failure.
    Ended,
    /// A dependency failed or is not ready.
    DependencyLost,
}

impl CauseClass {
    /// Whether the manager evicts the component; a leased component is never evicted.
    #[must_use]
    pub const fn is_eviction(self) -> bool {
        matches!(self, Self::MemoryShort | Self::MakesWay)
    }

    /// Whether the component, or a dependency, failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::DependencyLost)
    }
}

impl Cause {
    /// The kind of this cause.
    #[must_use]
    pub const fn class(&self) -> CauseClass {
        match self {
            Self::Demand { .. }
            | Self::Startup
            | Self::Speculation
            | Self::Restart
            | Self::RetryAllowed => CauseClass::Needed,
            Self::LoadFinished
            | Self::ParkFinished
            | Self::WakeFinished
            | Self::Drained
            | Self::UnloadFinished => CauseClass::Progress,
            Self::EvictedForDemand { .. }
            | Self::EvictedForLoad
            | Self::Pressure { .. }
            | Self::ParkedEarly
            | Self::Overdraft => CauseClass::MemoryShort,
            Self::Replaced | Self::Idle | Self::IdlePark | Self::Primed | Self::DependentFirst => {
                CauseClass::MakesWay
            }
            Self::Abandoned | Self::Replanned => CauseClass::Cancelled,
            Self::Operator | Self::ConfigChanged | Self::Shutdown | Self::Resumed => {
                CauseClass::External
            }
            Self::LoadFailed { .. }
            | Self::LoadTimedOut
            | Self::ParkFailed { .. }
            | Self::ParkTimedOut
            | Self::WakeFailed { .. }
            | Self::WakeTimedOut
            | Self::Exited { .. }
            | Self::OutOfMemory { .. }
            | Self::OverLimit { .. }
            | Self::Unhealthy { .. }
            | Self::TooManyFailures
            | Self::UnloadTimedOut => CauseClass::Failed,
            Self::Ended { .. } => CauseClass::Ended,
            Self::DependencyLost { .. } | Self::DependencyFailed { .. } => {
                CauseClass::DependencyLost
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand { waiter } => write!(f, "waiter {waiter} needs it"),
            Self::Operator => f.write_str("an operator requested it"),
            Self::Startup => f.write_str("loaded at start"),
            Self::Speculation => f.write_str("predicted to be needed"),
            Self::Restart => f.write_str("restart"),
            Self::LoadFinished => f.write_str("its load finished"),
            Self::LoadFailed { error } => write!(f, "its load failed: {}", printable(error)),
            Self::LoadTimedOut => f.write_str(
                "its load did not finish by the deadline; raise load_deadline if it needs longer",
            ),
            Self::Exited { how } => write!(f, "it {}", printable(how)),
            Self::Ended { code, ran_ms } => {
                write!(f, "it ended by itself (exit code {code})")?;
                match ran_ms {
                    0..1000 => write!(
                        f,
                        " {ran_ms} ms after it was ready; a program that is to stay must run in the foreground"
                    ),
                    _ => Ok(()),
                }
            }
            Self::OutOfMemory { evidence } => write!(f, "{}", printable(evidence)),
            Self::OverLimit { measured, limit } => {
                write!(f, "it uses {measured}, more than its limit of {limit}")
            }
            Self::Unhealthy { error } => {
                write!(f, "its health probes failed: {}", printable(error))
            }
            Self::EvictedForDemand { waiter } => write!(f, "waiter {waiter} needs its memory"),
            Self::EvictedForLoad => f.write_str("another load needs its memory"),
            Self::Replaced => f.write_str("it conflicts with a requested component"),
            Self::Pressure { level } => write!(f, "memory pressure is {level}"),
            Self::Overdraft => f.write_str("more memory is booked than the budget has"),
            Self::Idle => f.write_str("its idle timeout passed"),
            Self::IdlePark => f.write_str("it was not used for its idle_park"),
            Self::DependencyLost { component, why } => {
                write!(
                    f,
                    "{component}, which it depends on, is not ready any more: {}",
                    printable(why)
                )
            }
            Self::DependencyFailed { component, error } => {
                write!(
                    f,
                    "{component}, which it depends on, could not be loaded: {}",
                    printable(error)
                )
            }
            Self::DependentFirst => f.write_str("a component that depends on it stops first"),
            Self::Abandoned => f.write_str("no caller waits for it any more"),
            Self::Replanned => f.write_str("its load is planned again"),
            Self::ConfigChanged => f.write_str("its configuration changed"),
            Self::TooManyFailures => f.write_str("it failed too often"),
            Self::RetryAllowed => f.write_str("it may be tried again"),
            Self::ParkedEarly => f.write_str("memory is kept free for the next command"),
            Self::Primed => f.write_str("it was loaded to be parked for a later use"),
            Self::ParkFinished => f.write_str("it is parked"),
            Self::ParkFailed { error } => write!(f, "it could not be parked: {}", printable(error)),
            Self::ParkTimedOut => f.write_str("it was not parked by the deadline"),
            Self::WakeFinished => f.write_str("it was woken"),
            Self::WakeFailed { error } => write!(f, "it could not be woken: {}", printable(error)),
            Self::WakeTimedOut => f.write_str("it was not woken by the deadline"),
            Self::Drained => f.write_str("its leases ended"),
            Self::UnloadFinished => f.write_str("it is stopped"),
            Self::UnloadTimedOut => f.write_str("it did not stop by the deadline"),
            Self::Shutdown => f.write_str("the manager shuts down"),
            Self::Resumed => f.write_str("the machine was suspended"),
        }
    }
}
