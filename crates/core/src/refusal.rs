//! Why a demand was refused, with the names and numbers that explain it.

mod holder;
mod need;
mod no_park;
mod text;

use std::sync::Arc;
use std::time::Duration;

use crate::{ByteSize, ComponentId, ComponentKey, FailureCause, Moment, PressureLevel};

pub use self::holder::{Holder, HolderKind};
pub use self::need::{LoadUnderWay, MeasuredNeed};
pub use self::no_park::NoPark;

/// Why a demand was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "reason", rename_all = "snake_case"))]
#[expect(missing_docs, reason = "the fields are named by their types or by the message")]
#[non_exhaustive]
pub enum Refusal {
    /// No component has this name.
    UnknownComponent {
        name: String,
        /// The nearest existing name.
        did_you_mean: Option<ComponentId>,
    },
    /// The queue of demands is full.
    Overloaded { capacity: usize },
    /// The manager is shutting down.
    ShuttingDown,
    /// The components do not fit even if every component that may be evicted is.
    TooLarge {
        /// Memory of the components with their dependencies.
        need: ByteSize,
        /// Memory that evictions could free, with the free memory.
        available: ByteSize,
        /// The pool that is too small; none for the total budget.
        pool: Option<Arc<str>>,
        /// The holders of the remaining memory.
        holders: Vec<Holder>,
        /// The largest measured part of the need.
        measured: Option<Box<MeasuredNeed>>,
    },
    /// A conflicting component is in use, or refuses to be replaced.
    Conflict {
        /// The requested component.
        component: ComponentId,
        with: ComponentId,
        /// Whether one of the two has the policy `refuse`; otherwise the other cannot be unloaded now.
        refuses: bool,
    },
    /// Two components of one demand (with dependencies) must not run together.
    ConflictWithin { a: ComponentId, b: ComponentId },
    /// The last load or run failed, and the back-off has not passed.
    BackingOff {
        component: ComponentId,
        /// The end of the back-off; [`Moment::NEVER`] when only an operator may retry.
        retry_at: Moment,
        /// The time until then.
        retry_in: Duration,
        cause: FailureCause,
    },
    /// The component failed too often.
    Quarantined {
        component: ComponentId,
        until: Moment,
        /// The time until then.
        retry_in: Duration,
        /// The cause of the last failure.
        cause: FailureCause,
    },
    /// The component's loader neither finishes nor stops.
    Stuck { component: ComponentId },
    /// A load that the demand waited for failed.
    LoadFailed {
        /// The failed component: a requested one, or a dependency.
        component: ComponentId,
        /// The loader's error.
        cause: FailureCause,
    },
    /// An operator unloaded a component that the demand waited for.
    Unloaded {
        /// A requested component, or a dependency.
        component: ComponentId,
    },
    /// The demand's deadline passed.
    DeadlineExceeded {
        waited: Duration,
        /// The components that were not ready.
        missing: Vec<ComponentId>,
        holders: Vec<Holder>,
        /// The load that continues for later demands.
        still_loading: Option<LoadUnderWay>,
    },
    /// Memory pressure forbids loads.
    Pressure { level: PressureLevel },
    /// The configuration no longer has this component.
    Removed { component: ComponentId },
    /// An `acquire` inside a component's own load; dependencies come by the load context instead.
    ReentrantAcquire {
        /// The component whose load called `acquire`.
        loading: ComponentId,
    },
    /// The component's type in memory is not the requested one.
    WrongType { component: ComponentId, requested: &'static str },
    /// The component cannot be unloaded without force.
    InUse { component: ComponentId, holders: Vec<Holder> },
    /// The component cannot be asked to trim: its configuration declares no way.
    CannotTrim { component: ComponentId },
    /// The request to trim did not reach the component, or failed there.
    TrimFailed { component: ComponentId, error: String },
    /// The component cannot be parked now.
    CannotPark { component: ComponentId, why: NoPark },
    /// The component could not be parked, and was unloaded.
    ParkFailed { component: ComponentId, error: String },
    /// A component of a command was left out: leased components, or components that are never evicted, block it.
    Blocked { component: ComponentId, holders: Vec<Holder> },
    /// Only leases of the demand's own party block it: it would wait for itself.
    OwnLeases {
        missing: Vec<ComponentId>,
        /// The components that the party leases.
        holders: Vec<Holder>,
    },
    /// The caller cancelled the demand.
    Abandoned,
}

/// A component of a command that was left out so that the others could be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "a component and its refusal")]
pub struct LeftOut {
    pub component: ComponentKey,
    pub refusal: Refusal,
}

/// Cuts a list and returns how many items were cut.
pub(crate) fn cut<T>(list: &mut Vec<T>, max: usize) -> usize {
    let left_out = list.len().saturating_sub(max);
    list.truncate(max);
    // A list that is kept for long must not keep the memory of the cut items.
    if left_out > 0 {
        list.shrink_to_fit();
    }
    left_out
}

impl Refusal {
    /// Every word that [`Self::code`] returns.
    pub const CODES: [&str; 24] = [
        "unknown_component",
        "overloaded",
        "shutting_down",
        "too_large",
        "conflict",
        "conflict_within",
        "backing_off",
        "quarantined",
        "stuck",
        "load_failed",
        "unloaded",
        "deadline_exceeded",
        "pressure",
        "removed",
        "reentrant_acquire",
        "wrong_type",
        "in_use",
        "cannot_trim",
        "trim_failed",
        "cannot_park",
        "park_failed",
        "blocked",
        "own_leases",
        "abandoned",
    ];

    /// Time from the refusal after which the same request may be granted as time passes; none when that is not known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { .. } => Some(Duration::from_secs(1)),
            Self::Pressure { .. } => Some(Duration::from_secs(10)),
            Self::TooLarge { measured: Some(m), .. } if m.spare.is_none() => m.retry_in,
            Self::BackingOff { retry_at, retry_in, .. } => {
                (*retry_at != Moment::NEVER).then_some(*retry_in)
            }
            Self::Quarantined { retry_in, .. } => Some(*retry_in),
            // The next request waits for the same load.
            Self::DeadlineExceeded { still_loading: Some(load), .. } => {
                Some(load.ready_in.unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Whether the same request may be granted later: as time passes, or when holders release memory or leases.
    /// Otherwise the request, the configuration or the state of a component has to change first.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retry_after().is_some()
            || matches!(
                self,
                Self::Conflict { .. }
                    | Self::LoadFailed { .. }
                    | Self::Unloaded { .. }
                    | Self::DeadlineExceeded { .. }
                    | Self::InUse { .. }
                    | Self::TrimFailed { .. }
                    | Self::ParkFailed { .. }
                    | Self::Blocked { .. }
            )
    }

    /// The component that failed and the cause, for a refusal because of a failure.
    pub fn failure_mut(&mut self) -> Option<(&ComponentId, &mut FailureCause)> {
        match self {
            Self::BackingOff { component, cause, .. }
            | Self::Quarantined { component, cause, .. }
            | Self::LoadFailed { component, cause } => Some((component, cause)),
            _ => None,
        }
    }

    /// The holders that the refusal names.
    pub fn holders_mut(&mut self) -> Option<&mut Vec<Holder>> {
        match self {
            Self::TooLarge { holders, .. }
            | Self::DeadlineExceeded { holders, .. }
            | Self::Blocked { holders, .. }
            | Self::OwnLeases { holders, .. }
            | Self::InUse { holders, .. } => Some(holders),
            _ => None,
        }
    }

    /// Cuts every list to `max` names and returns how many names were cut.
    pub fn bound(&mut self, max: usize) -> usize {
        let mut left_out = 0;
        if let Self::DeadlineExceeded { missing, .. } | Self::OwnLeases { missing, .. } = self {
            left_out += cut(missing, max);
        }
        if let Some(holders) = self.holders_mut() {
            left_out += cut(holders, max);
            left_out += holders.iter_mut().map(|h| cut(&mut h.tags, max)).sum::<usize>();
        }
        left_out
    }

    /// A stable word for tables and APIs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownComponent { .. } => "unknown_component",
            Self::Overloaded { .. } => "overloaded",
            Self::ShuttingDown => "shutting_down",
            Self::TooLarge { .. } => "too_large",
            Self::Conflict { .. } => "conflict",
            Self::ConflictWithin { .. } => "conflict_within",
            Self::BackingOff { .. } => "backing_off",
            Self::Quarantined { .. } => "quarantined",
            Self::Stuck { .. } => "stuck",
            Self::LoadFailed { .. } => "load_failed",
            Self::Unloaded { .. } => "unloaded",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Pressure { .. } => "pressure",
            Self::Removed { .. } => "removed",
            Self::ReentrantAcquire { .. } => "reentrant_acquire",
            Self::WrongType { .. } => "wrong_type",
            Self::InUse { .. } => "in_use",
            Self::CannotTrim { .. } => "cannot_trim",
            Self::TrimFailed { .. } => "trim_failed",
            Self::CannotPark { .. } => "cannot_park",
            Self::ParkFailed { .. } => "park_failed",
            Self::Blocked { .. } => "blocked",
            Self::OwnLeases { .. } => "own_leases",
            Self::Abandoned => "abandoned",
        }
    }
}

impl std::error::Error for Refusal {
    /// The error that the component's loader returned, as the loader's own type.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BackingOff { cause, .. }
            | Self::Quarantined { cause, .. }
            | Self::LoadFailed { cause, .. } => cause.error().map(|error| error as _),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_states_whether_and_when_a_retry_may_succeed() {
        let component = || ComponentId::new("a").unwrap();
        let backs_off = |retry_at| Refusal::BackingOff {
            component: component(),
            retry_at,
            retry_in: Duration::from_secs(3),
            cause: String::new().into(),
        };
        let checks = [
            (backs_off(Moment(5)), true, Some(3)),
            // Only an operator loads it.
            (backs_off(Moment::NEVER), false, None),
            (Refusal::Overloaded { capacity: 1 }, true, Some(1)),
            (Refusal::Blocked { component: component(), holders: Vec::new() }, true, None),
            (Refusal::Removed { component: component() }, false, None),
            (Refusal::ShuttingDown, false, None),
        ];
        for (refusal, is_retryable, after) in checks {
            let retry_after = refusal.retry_after().map(|t| t.as_secs());
            assert_eq!((refusal.is_retryable(), retry_after), (is_retryable, after), "{refusal}");
        }
    }
}
