//! The states of a component, and which may follow which.

use std::fmt;

use crate::{Moment, Rung};

/// A component's place in its life cycle.
///
/// `Down(rung) → Queued → Loading → Ready → Draining → Unloading → Down(rung)`, and the faults. A component is *parked*
/// when it is down at another rung than [`Rung::Gone`]: its incarnation still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(into = "Word"))]
pub enum ComponentState {
    /// Not usable, at a rung. At [`Rung::Gone`] it is not in memory.
    Down(Rung),
    /// Waits for evictions, for dependencies or for a lane.
    Queued {
        /// The rung where it is.
        from: Rung,
    },
    /// The loader runs; from another rung than [`Rung::Gone`] the component is woken.
    Loading {
        /// The rung where it was.
        from: Rung,
    },
    /// Usable.
    Ready,
    /// Refuses new leases and waits for the old ones to end.
    Draining,
    /// The loader stops the component, or parks it at another rung than [`Rung::Gone`].
    Unloading {
        /// The rung where it will be.
        to: Rung,
    },
    /// The last load or run failed.
    Failed {
        /// The end of the back-off.
        retry_at: Moment,
    },
    /// Failed too often; not loaded until an operator, a changed configuration, or the end of quarantine allows it.
    Quarantined {
        /// The end of quarantine.
        until: Moment,
    },
    /// Neither loaded nor stopped by its deadline. The component is unusable, and its memory stays booked.
    Stuck,
}

impl Default for ComponentState {
    fn default() -> Self {
        Self::UNLOADED
    }
}

/// The serialised form: one word for each state, with the data of a failure.
#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Unloaded,
    Asleep,
    Paged,
    Queued,
    Loading,
    Waking,
    Ready,
    Draining,
    Unloading,
    Parking,
    Failed { retry_at: Moment },
    Quarantined { until: Moment },
    Stuck,
}

#[cfg(feature = "serde")]
impl From<ComponentState> for Word {
    fn from(state: ComponentState) -> Self {
        use ComponentState as S;
        match state {
            S::Down(Rung::Gone) => Self::Unloaded,
            S::Down(Rung::Asleep) => Self::Asleep,
            S::Down(Rung::Paged) => Self::Paged,
            S::Queued { .. } => Self::Queued,
            S::Loading { from: Rung::Gone } => Self::Loading,
            S::Loading { .. } => Self::Waking,
            S::Ready => Self::Ready,
            S::Draining => Self::Draining,
            S::Unloading { to: Rung::Gone } => Self::Unloading,
            S::Unloading { .. } => Self::Parking,
            S::Failed { retry_at } => Self::Failed { retry_at },
            S::Quarantined { until } => Self::Quarantined { until },
            S::Stuck => Self::Stuck,
        }
    }
}

impl ComponentState {
    /// Not in memory.
    pub const UNLOADED: Self = Self::Down(Rung::Gone);

    /// The name of the state, without its data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down(Rung::Gone) => "unloaded",
            Self::Down(rung) => rung.as_str(),
            Self::Queued { .. } => "queued",
            Self::Loading { from: Rung::Gone } => "loading",
            Self::Loading { .. } => "waking",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloading { to: Rung::Gone } => "unloading",
            Self::Unloading { .. } => "parking",
            Self::Failed { .. } => "failed",
            Self::Quarantined { .. } => "quarantined",
            Self::Stuck => "stuck",
        }
    }

    /// Whether an incarnation exists, which may use memory and counts for conflicts.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Down(rung) | Self::Queued { from: rung } => rung.is_parked(),
            Self::Loading { .. }
            | Self::Ready
            | Self::Draining
            | Self::Unloading { .. }
            | Self::Stuck => true,
            Self::Failed { .. } | Self::Quarantined { .. } => false,
        }
    }

    /// Whether it is parked: down, with an incarnation.
    #[must_use]
    pub const fn is_parked(self) -> bool {
        matches!(self, Self::Down(rung) if rung.is_parked())
    }

    /// Whether it waits to be loaded or woken.
    #[must_use]
    pub const fn is_queued(self) -> bool {
        matches!(self, Self::Queued { .. })
    }

    /// Whether it is loaded or woken.
    #[must_use]
    pub const fn is_loading(self) -> bool {
        matches!(self, Self::Loading { .. })
    }

    /// Whether it is loaded from nothing: a wake takes no lane of the loads.
    #[must_use]
    pub const fn is_cold_load(self) -> bool {
        matches!(self, Self::Loading { from: Rung::Gone })
    }

    /// Whether it is woken.
    #[must_use]
    pub const fn is_waking(self) -> bool {
        matches!(self, Self::Loading { from } if from.is_parked())
    }

    /// Whether it is on its way to being parked.
    #[must_use]
    pub const fn is_parking(self) -> bool {
        matches!(self, Self::Unloading { to } if to.is_parked())
    }

    /// Whether its incarnation exists without being usable, and may be stopped at any time: it is parked or waits to be
    /// woken, or a step of it is under way.
    #[must_use]
    pub const fn is_on_the_ladder(self) -> bool {
        match self {
            Self::Down(rung)
            | Self::Queued { from: rung }
            | Self::Loading { from: rung }
            | Self::Unloading { to: rung } => rung.is_parked(),
            _ => false,
        }
    }

    /// Whether it is stopped or parked.
    #[must_use]
    pub const fn is_unloading(self) -> bool {
        matches!(self, Self::Unloading { .. })
    }

    /// Whether the state machine has an edge from this state to `to`.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        const GONE: Rung = Rung::Gone;
        match self {
            // A parked component may end, or be ended, at any time.
            Self::Down(from) => match to {
                Self::Queued { from: rung } => rung.is(from),
                Self::Unloading { to: GONE } => from.is_parked(),
                _ => false,
            },
            Self::Queued { from } => match to {
                Self::Loading { from: rung } | Self::Down(rung) => rung.is(from),
                Self::Unloading { to: GONE } => from.is_parked(),
                _ => false,
            },
            // A wake that fails leaves an incarnation to be stopped.
            Self::Loading { from } => match to {
                Self::Ready | Self::Unloading { to: GONE } => true,
                Self::Failed { .. } | Self::Quarantined { .. } => !from.is_parked(),
                _ => false,
            },
            Self::Ready => matches!(to, Self::Draining | Self::Unloading { .. }),
            Self::Draining => matches!(to, Self::Unloading { .. } | Self::Ready),
            Self::Unloading { to: GONE } => matches!(
                to,
                Self::Down(GONE) | Self::Failed { .. } | Self::Quarantined { .. } | Self::Stuck
            ),
            // A park that fails ends with the component.
            Self::Unloading { to: rung } => match to {
                Self::Down(down) => down.is(rung),
                Self::Unloading { to: GONE } => true,
                _ => false,
            },
            Self::Stuck => {
                matches!(to, Self::Down(GONE) | Self::Failed { .. } | Self::Quarantined { .. })
            }
            Self::Failed { .. } | Self::Quarantined { .. } => {
                matches!(to, Self::Queued { from: GONE } | Self::Down(GONE))
            }
        }
    }
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ComponentState as S;

    fn all() -> Vec<ComponentState> {
        let of = |rung: &Rung| {
            let rung = *rung;
            [
                S::Down(rung),
                S::Queued { from: rung },
                S::Loading { from: rung },
                S::Unloading { to: rung },
            ]
        };
        let mut all: Vec<_> = Rung::ALL.iter().flat_map(of).collect();
        let (retry_at, until) = (Moment::ZERO, Moment::ZERO);
        all.extend([
            S::Ready,
            S::Draining,
            S::Failed { retry_at },
            S::Quarantined { until },
            S::Stuck,
        ]);
        all
    }

    #[test]
    fn incarnation_begins_with_a_cold_load_and_ends_only_in_an_unload_to_gone() {
        for from in all() {
            for to in all().into_iter().filter(|to| from.may_become(*to)) {
                match (from.is_alive(), to.is_alive()) {
                    (false, true) => assert_eq!(to, S::Loading { from: Rung::Gone }, "{from:?}"),
                    (true, false) => assert!(
                        matches!(from, S::Unloading { to: Rung::Gone } | S::Stuck)
                            || from == S::Loading { from: Rung::Gone },
                        "{from:?} to {to:?}"
                    ),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn parked_component_keeps_its_rung_until_it_is_woken_or_unloaded() {
        for rung in [Rung::Asleep, Rung::Paged] {
            let next: Vec<_> =
                all().into_iter().filter(|to| S::Down(rung).may_become(*to)).collect();
            assert_eq!(next, [S::Queued { from: rung }, S::Unloading { to: Rung::Gone }]);
            assert!(S::Queued { from: rung }.is_alive() && S::Down(rung).is_parked());
        }
        assert!(!S::UNLOADED.is_alive() && !S::UNLOADED.is_parked());
    }
}
