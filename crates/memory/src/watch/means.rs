//! The means by which the kernel wakes a watcher.

use std::fmt;
use std::time::Duration;

/// One means of being woken, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchMeans {
    /// A PSI trigger.
    Stalls {
        /// Of the own cgroup only.
        own_cgroup: bool,
        /// The window of the trigger.
        window: Duration,
    },
    /// Usage thresholds of the own cgroup (v1).
    UsageThresholds {
        /// How many.
        count: usize,
    },
    /// `memory.events` of the own cgroup (v2).
    CgroupEvents,
    /// The system's own level (macOS).
    System,
    /// None of a kind can be had: the reason.
    Missing {
        /// The missing means and the reason, in words.
        what: String,
    },
}

impl fmt::Display for WatchMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalls { own_cgroup: true, window } => {
                write!(f, "PSI of the own cgroup, {} s window", window.as_secs())
            }
            Self::Stalls { own_cgroup: false, window } => {
                write!(f, "PSI of the machine, {} s window", window.as_secs())
            }
            Self::UsageThresholds { count: 0 } => {
                f.write_str("no usage thresholds: no cgroup here has a limit")
            }
            Self::UsageThresholds { count } => write!(f, "{count} usage thresholds (cgroup v1)"),
            Self::System => f.write_str("the system's memory pressure events"),
            Self::CgroupEvents => f.write_str("memory.events (cgroup v2)"),
            Self::Missing { what } => write!(f, "no {what}"),
        }
    }
}
