//! The states of a component and why it changed them.

use std::fmt;

use crate::{ByteSize, ComponentId, Moment, PressureLevel, WaiterId, printable};

/// Where a component is in its life.
///
/// `Unloaded → Queued → Loading → Ready → Draining → Unloading → Unloaded`, and the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ComponentState {
    /// Not in memory.
    #[default]
    Unloaded,
    /// Will be loaded: waits for memory to be cleared, for dependencies or for a load lane.
    Queued,
    /// Its loader runs.
    Loading,
    /// Usable.
    Ready,
    /// Closed to newcomers; waits for its leases to end.
    Draining,
    /// Its loader takes it down.
    Unloading,
    /// The last load or run failed; it may be tried again later.
    Failed {
        /// Not before this moment.
        retry_at: Moment,
    },
    /// Failed too often; closed until an operator, a changed configuration, or this moment.
    Quarantined {
        /// When it opens by itself.
        until: Moment,
    },
    /// Neither loaded nor stopped by its deadline: unusable, its bytes stay booked.
    Stuck,
}

impl ComponentState {
    /// The state's name without its data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Queued => "queued",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloading => "unloading",
            Self::Failed { .. } => "failed",
            Self::Quarantined { .. } => "quarantined",
            Self::Stuck => "stuck",
        }
    }

    /// Whether it may use memory and counts for conflicts: Loading, Ready, Draining, Unloading, Stuck.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Loading | Self::Ready | Self::Draining | Self::Unloading | Self::Stuck)
    }

    /// Whether the state machine has an edge from this state to `to`.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        match self {
            Self::Unloaded => matches!(to, Self::Queued),
            Self::Queued => matches!(to, Self::Loading | Self::Unloaded),
            Self::Loading => matches!(
                to,
                Self::Ready | Self::Unloading | Self::Failed { .. } | Self::Quarantined { .. }
            ),
            Self::Ready => matches!(to, Self::Draining | Self::Unloading),
            Self::Draining => matches!(to, Self::Unloading | Self::Ready),
            Self::Unloading => matches!(
                to,
                Self::Unloaded | Self::Failed { .. } | Self::Quarantined { .. } | Self::Stuck
            ),
            Self::Stuck => {
                matches!(to, Self::Unloaded | Self::Failed { .. } | Self::Quarantined { .. })
            }
            Self::Failed { .. } | Self::Quarantined { .. } => {
                matches!(to, Self::Queued | Self::Unloaded)
            }
        }
    }
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a component changed its state, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// A waiter needs it, itself or through a dependent.
    Demand {
        /// The first such waiter.
        waiter: WaiterId,
    },
    /// An operator asked.
    Operator,
    /// CORE, or `lazy_init = false`, at start.
    Startup,
    /// A hint or prediction.
    Speculation,
    /// Its restart policy, after a failure or a changed configuration.
    Restart,
    /// Its loader said that it is up.
    LoadFinished,
    /// Its loader failed.
    LoadFailed {
        /// The loader's words.
        error: String,
    },
    /// Its loader did not finish by the load deadline.
    LoadTimedOut,
    /// Its process ended, or it reported that it is gone.
    Exited {
        /// How, in the loader's words: a predicate, such as "ended with code 1".
        how: String,
    },
    /// It ended by itself, with an exit code that is no failure.
    Ended {
        /// That code.
        code: i32,
        /// For how long it had been ready, in milliseconds.
        ran_ms: u64,
    },
    /// The kernel killed it for want of memory.
    OutOfMemory {
        /// The evidence, in a sentence about the component.
        evidence: String,
    },
    /// It uses more than its own limit, and trimming did not help.
    OverLimit {
        /// What it was measured to use.
        measured: ByteSize,
        /// Its limit.
        limit: ByteSize,
    },
    /// As many health probes in a row failed as its configuration allows.
    Unhealthy {
        /// The last probe's words.
        error: String,
    },
    /// Its bytes are needed by a waiter.
    EvictedForDemand {
        /// That waiter.
        waiter: WaiterId,
    },
    /// Its bytes are needed by something that nobody waits for (start-up, operator, better speculation).
    EvictedForLoad,
    /// It conflicts with something that was asked for.
    Replaced,
    /// Memory pressure.
    Pressure {
        /// The level.
        level: PressureLevel,
    },
    /// More is booked than the budget has.
    Overdraft,
    /// Its idle timeout passed.
    Idle,
    /// A component that it depends on is not ready any more.
    DependencyLost {
        /// That component.
        component: ComponentId,
        /// Why it is not.
        why: String,
    },
    /// A component that it depends on could not be loaded.
    DependencyFailed {
        /// That component.
        component: ComponentId,
        /// Why, in the loader's words.
        error: String,
    },
    /// A component that depends on it goes first.
    DependentFirst,
    /// Nobody waits for the load any more.
    Abandoned,
    /// Its load is planned again, since what it counted on changed.
    Replanned,
    /// Its entry in the configuration changed or went away.
    ConfigChanged,
    /// Too many failures within the window.
    TooManyFailures,
    /// Its back-off or quarantine ended.
    RetryAllowed,
    /// Its leases ended, or were revoked at the deadline.
    Drained,
    /// Its loader said that it is down.
    UnloadFinished,
    /// Its loader did not take it down by the stop deadline.
    UnloadTimedOut,
    /// The manager shuts down.
    Shutdown,
    /// The machine was suspended and resumed.
    Resumed,
}

/// What a cause says of the component, for those who do not need to know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseClass {
    /// It is wanted, or may be again: a demand, a prediction, a restart.
    Wanted,
    /// What was begun has gone on: loaded, drained, unloaded.
    Progress,
    /// Its memory is needed.
    MemoryShort,
    /// It makes way for another reason than memory: idle, replaced, or taken along by what it depends on.
    MakesWay,
    /// Nobody waits for its load, or the load is planned again.
    CalledOff,
    /// Told from outside: an operator, the configuration, a shutdown, a suspended machine.
    Told,
    /// It failed.
    Failed,
    /// It ended by itself, which is no failure.
    Ended,
    /// What it depends on is gone.
    DependencyGone,
}

impl CauseClass {
    /// Whether the manager evicts the component: what is leased never goes for such a cause.
    #[must_use]
    pub const fn is_eviction(self) -> bool {
        matches!(self, Self::MemoryShort | Self::MakesWay)
    }

    /// Whether the component, or what it depends on, broke.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::DependencyGone)
    }
}

impl Cause {
    /// What it says of the component.
    #[must_use]
    pub const fn class(&self) -> CauseClass {
        match self {
            Self::Demand { .. }
            | Self::Startup
            | Self::Speculation
            | Self::Restart
            | Self::RetryAllowed => CauseClass::Wanted,
            Self::LoadFinished | Self::Drained | Self::UnloadFinished => CauseClass::Progress,
            Self::EvictedForDemand { .. }
            | Self::EvictedForLoad
            | Self::Pressure { .. }
            | Self::Overdraft => CauseClass::MemoryShort,
            Self::Replaced | Self::Idle | Self::DependentFirst => CauseClass::MakesWay,
            Self::Abandoned | Self::Replanned => CauseClass::CalledOff,
            Self::Operator | Self::ConfigChanged | Self::Shutdown | Self::Resumed => {
                CauseClass::Told
            }
            Self::LoadFailed { .. }
            | Self::LoadTimedOut
            | Self::Exited { .. }
            | Self::OutOfMemory { .. }
            | Self::OverLimit { .. }
            | Self::Unhealthy { .. }
            | Self::TooManyFailures
            | Self::UnloadTimedOut => CauseClass::Failed,
            Self::Ended { .. } => CauseClass::Ended,
            Self::DependencyLost { .. } | Self::DependencyFailed { .. } => {
                CauseClass::DependencyGone
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand { waiter } => write!(f, "waiter {waiter} needs it"),
            Self::Operator => f.write_str("an operator asked"),
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
            Self::Replaced => f.write_str("it conflicts with what was asked for"),
            Self::Pressure { level } => write!(f, "memory pressure is {level}"),
            Self::Overdraft => f.write_str("more memory is booked than the budget has"),
            Self::Idle => f.write_str("its idle timeout passed"),
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
            Self::Abandoned => f.write_str("nobody waits for it any more"),
            Self::Replanned => f.write_str("its load is planned again"),
            Self::ConfigChanged => f.write_str("its configuration changed"),
            Self::TooManyFailures => f.write_str("it failed too often"),
            Self::RetryAllowed => f.write_str("it may be tried again"),
            Self::Drained => f.write_str("its leases ended"),
            Self::UnloadFinished => f.write_str("it is down"),
            Self::UnloadTimedOut => f.write_str("it did not stop by the deadline"),
            Self::Shutdown => f.write_str("the manager shuts down"),
            Self::Resumed => f.write_str("the machine was suspended"),
        }
    }
}
