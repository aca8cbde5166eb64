//! Why a demand was refused: always with the names and numbers that explain it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    ByteSize, ComponentId, ComponentKey, Moment, PressureLevel, count, printable, quoted_start,
};

/// Why something cannot be let go just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum HolderKind {
    /// It is CORE.
    Core,
    /// It is pinned.
    Pinned,
    /// Somebody holds leases on it.
    Leased {
        /// How many.
        leases: u32,
    },
    /// A load that somebody waits for needs it.
    InTransaction,
    /// It has been ready for less than the minimum residency.
    JustLoaded,
    /// It is stuck.
    Stuck,
    /// It is closed to newcomers and waits for its last leases to end.
    Draining,
    /// It is on its way out.
    Leaving,
    /// It failed, and the time of its next attempt has not come.
    BackingOff,
}

impl HolderKind {
    /// Whether the holder stays in the way however long a demand waits.
    #[must_use]
    pub const fn never_ends(self) -> bool {
        matches!(self, Self::Core | Self::Pinned | Self::Stuck)
    }
}

/// Somebody who holds memory, or a conflict, that a demand needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Holder {
    /// The component.
    pub component: ComponentId,
    /// Its booked bytes.
    pub booked: ByteSize,
    /// Why it stays.
    pub kind: HolderKind,
    /// What those who lease it call themselves, where they said so; filled in by the shell.
    pub tags: Vec<Arc<str>>,
}

impl Holder {
    /// Why the component stays, said of itself.
    fn tell_why(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HolderKind::Core => f.write_str("it is CORE")?,
            HolderKind::Pinned => f.write_str("it is pinned")?,
            HolderKind::Leased { leases } => write!(f, "it has {}", count(leases, "lease"))?,
            HolderKind::InTransaction => f.write_str("a load needs it")?,
            HolderKind::JustLoaded => f.write_str("it was just loaded")?,
            HolderKind::Stuck => f.write_str("it is stuck")?,
            HolderKind::Draining => f.write_str("it waits for its last leases to end")?,
            HolderKind::Leaving => f.write_str("it is on its way out")?,
            HolderKind::BackingOff => f.write_str("it failed and waits for its next attempt")?,
        }
        self.tell_tags(f, " of ")
    }

    fn tell_tags(&self, f: &mut fmt::Formatter<'_>, first: &str) -> fmt::Result {
        for (i, tag) in self.tags.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { first } else { ", " }, printable(tag))?;
        }
        Ok(())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, ", self.component, self.booked)?;
        match self.kind {
            HolderKind::Core => f.write_str("CORE")?,
            HolderKind::Pinned => f.write_str("pinned")?,
            HolderKind::Leased { leases } => write!(f, "{}", count(leases, "lease"))?,
            HolderKind::InTransaction => f.write_str("needed by a load")?,
            HolderKind::JustLoaded => f.write_str("just loaded")?,
            HolderKind::Stuck => f.write_str("stuck")?,
            HolderKind::Draining => f.write_str("draining, still leased")?,
            HolderKind::Leaving => f.write_str("leaving")?,
            HolderKind::BackingOff => f.write_str("backing off after a failure")?,
        }
        self.tell_tags(f, ": ")?;
        f.write_str(")")
    }
}

/// A need that was measured, where more was found than the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeasuredNeed {
    /// The component.
    pub component: ComponentId,
    /// The highest memory that counts of what was measured, in this process or an earlier one.
    pub peak: ByteSize,
    /// What its load is expected to need at its peak.
    pub load_peak: Option<ByteSize>,
    /// What its use is expected to need at its peak.
    pub working_peak: Option<ByteSize>,
    /// What its configuration says.
    pub declared: ByteSize,
    /// Bytes that the machine can spare, where these are what is missing for the peak of its load.
    pub spare: Option<ByteSize>,
    /// After this its configured memory, which fits, counts once more; none = that does not fit either.
    pub retry_in: Option<Duration>,
}

impl fmt::Display for MeasuredNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, peak, declared, .. } = self;
        write!(f, "{component} was measured at {peak} (declared: {declared}")?;
        if let Some(bytes) = self.load_peak {
            write!(f, ", peak of its load: {bytes}")?;
        }
        if let Some(bytes) = self.working_peak {
            write!(f, ", peak of its use: {bytes}")?;
        }
        f.write_str(")")?;
        match self.spare {
            Some(spare) => write!(
                f,
                ", and the machine has {spare} to spare for that: close other programs, or raise the budget"
            ),
            None => {
                write!(
                    f,
                    ": raise the budget, or have it measured again (`majordomo state forget {component}`)"
                )?;
                match self.retry_in {
                    Some(t) => {
                        write!(f, "; it may be tried again in {:.0} s", t.as_secs_f64().ceil())
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// A load that goes on although the demand that began it, or waited for it, has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LoadUnderWay {
    /// The component.
    pub component: ComponentId,
    /// When everything that was asked for should be ready, by the load times that are known; none = it takes longer than
    /// any load before it.
    pub ready_in: Option<Duration>,
    /// When the load is given up.
    pub given_up_in: Duration,
}

/// Why a demand was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "reason", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Refusal {
    /// No component has this name.
    UnknownComponent {
        /// The name asked for.
        name: String,
        /// The nearest name there is.
        did_you_mean: Option<ComponentId>,
    },
    /// The queue of demands is full.
    Overloaded {
        /// How many demands it holds.
        capacity: usize,
    },
    /// The manager is shutting down.
    ShuttingDown,
    /// The components do not fit even if everything that can go goes.
    TooLarge {
        /// What the closure needs.
        need: ByteSize,
        /// What could be had.
        available: ByteSize,
        /// The pool that is too small; none = the total budget.
        pool: Option<Arc<str>>,
        /// Who holds the rest.
        holders: Vec<Holder>,
        /// The largest part of the need that was measured, not declared.
        measured: Option<Box<MeasuredNeed>>,
    },
    /// Another component that must not run beside it is in use, or refuses to be replaced.
    Conflict {
        /// The component asked for.
        component: ComponentId,
        /// The one in its way.
        with: ComponentId,
        /// Whether one of them has the policy `refuse`; otherwise the other cannot go now.
        refuses: bool,
    },
    /// Two components of one demand (with dependencies) must not run together.
    ConflictWithin {
        /// One.
        a: ComponentId,
        /// The other.
        b: ComponentId,
    },
    /// Its last load or run failed and it may not be tried yet.
    BackingOff {
        /// The component.
        component: ComponentId,
        /// When it may be tried again; [`Moment::NEVER`] when only an operator may.
        retry_at: Moment,
        /// How long that is from now.
        retry_in: Duration,
        /// How it failed.
        cause: String,
    },
    /// It failed too often.
    Quarantined {
        /// The component.
        component: ComponentId,
        /// When it opens by itself.
        until: Moment,
        /// How long that is from now.
        retry_in: Duration,
        /// How it failed the last time.
        cause: String,
    },
    /// It neither loads nor stops.
    Stuck {
        /// The component.
        component: ComponentId,
    },
    /// A load that the demand waited for failed.
    LoadFailed {
        /// The component that failed: one asked for, or a dependency.
        component: ComponentId,
        /// The cause in the loader's words.
        cause: String,
    },
    /// An operator unloaded a component that the demand waited for.
    Unloaded {
        /// The component: one asked for, or a dependency.
        component: ComponentId,
    },
    /// The demand's deadline passed.
    DeadlineExceeded {
        /// How long it waited.
        waited: Duration,
        /// The components that were not ready.
        missing: Vec<ComponentId>,
        /// Who was in the way.
        holders: Vec<Holder>,
        /// What goes on loading, so that the next demand finds it.
        goes_on: Option<LoadUnderWay>,
    },
    /// Memory pressure forbids loads.
    Pressure {
        /// The level.
        level: PressureLevel,
    },
    /// The configuration no longer has this component.
    Removed {
        /// The component.
        component: ComponentId,
    },
    /// An `acquire` inside a component's own load; dependencies come by the load context instead.
    ReentrantAcquire {
        /// The component being loaded.
        loading: ComponentId,
    },
    /// Its type in memory is not the one asked for.
    WrongType {
        /// The component.
        component: ComponentId,
        /// The type asked for.
        wanted: &'static str,
    },
    /// It cannot be unloaded without force.
    InUse {
        /// The component.
        component: ComponentId,
        /// Who needs it.
        holders: Vec<Holder>,
    },
    /// It cannot be asked to give back memory: its configuration declares no way.
    CannotTrim {
        /// The component.
        component: ComponentId,
    },
    /// The request to give back memory did not reach the component, or failed there.
    TrimFailed {
        /// The component.
        component: ComponentId,
        /// Why.
        error: String,
    },
    /// A component of a command was left out, since leases or what never goes are in its way.
    Blocked {
        /// The component.
        component: ComponentId,
        /// What is in the way.
        holders: Vec<Holder>,
    },
    /// All that is in the way are leases of the demand's own party: it would wait for itself.
    OwnLeases {
        /// The components asked for.
        missing: Vec<ComponentId>,
        /// What the party leases itself.
        holders: Vec<Holder>,
    },
    /// The demand was called off by its owner.
    Abandoned,
}

/// A component of a command that was left out so that the others could be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LeftOut {
    /// The component.
    pub component: ComponentKey,
    /// Why.
    pub refusal: Refusal,
}

/// Cuts a list; how much that leaves out.
pub(crate) fn cut<T>(list: &mut Vec<T>, max: usize) -> usize {
    let left_out = list.len().saturating_sub(max);
    list.truncate(max);
    // What is kept for long must not keep the room of what is gone.
    if left_out > 0 {
        list.shrink_to_fit();
    }
    left_out
}

impl Refusal {
    /// Every word that [`Self::code`] gives.
    pub const CODES: [&str; 22] = [
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
        "blocked",
        "own_leases",
        "abandoned",
    ];

    /// When the same request may be granted without anybody's doing, from the moment of the refusal; none where
    /// nothing is known of that.
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
            // Who comes again waits for the same load.
            Self::DeadlineExceeded { goes_on: Some(load), .. } => {
                Some(load.ready_in.unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Whether the same request may be granted later: as time passes, or as others give back what they hold. Else
    /// the request, the configuration or the state of a component has to change first.
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
                    | Self::Blocked { .. }
            )
    }

    /// Those who are in the way, where the refusal names them.
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

    /// Cuts every list to `max` names; how many names that leaves out.
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

    /// A short stable word for tables and APIs.
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
            Self::Blocked { .. } => "blocked",
            Self::OwnLeases { .. } => "own_leases",
            Self::Abandoned => "abandoned",
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownComponent { name, did_you_mean } => {
                write!(f, "no component is called {}", quoted_start(name))?;
                match did_you_mean {
                    Some(near) => write!(f, "; did you mean \"{near}\"?"),
                    None => Ok(()),
                }
            }
            Self::Overloaded { capacity } => {
                write!(
                    f,
                    "the queue is full with {}; try again later",
                    count(*capacity, "waiting demand")
                )
            }
            Self::ShuttingDown => f.write_str("the manager is shutting down"),
            Self::TooLarge { need, available, pool, holders, measured } => {
                write!(f, "{need} are needed and {available} can be had ")?;
                match pool {
                    Some(pool) => write!(f, "in pool \"{pool}\"")?,
                    None => f.write_str("in the memory budget")?,
                }
                if !holders.is_empty() {
                    f.write_str("; the rest is held by ")?;
                    list(f, holders)?;
                }
                match measured {
                    Some(m) => write!(f, "; {m}"),
                    None => Ok(()),
                }
            }
            Self::Conflict { component, with, refuses: true } => write!(
                f,
                "{component} must not run beside {with}, which is loaded, and their conflict policy is \"refuse\"; unload {with} first"
            ),
            Self::Conflict { component, with, refuses: false } => {
                write!(f, "{component} must not run beside {with}, which cannot be let go")
            }
            Self::ConflictWithin { a, b } => {
                write!(f, "{a} and {b} must not run together; ask for one of them")
            }
            Self::BackingOff { component, retry_at: Moment::NEVER, cause, .. } => write!(
                f,
                "{component} failed and its restart policy is \"never\"; `majordomo load {component}` tries it again (the failure: {})",
                printable(cause)
            ),
            Self::BackingOff { component, retry_in, cause, .. } => write!(
                f,
                "{component} failed; it may be tried again in {:.1} s, or at once by `majordomo load {component}` (the failure: {})",
                retry_in.as_secs_f64(),
                printable(cause)
            ),
            Self::Quarantined { component, retry_in, cause, .. } => write!(
                f,
                "{component} failed too often and is quarantined for {:.0} s; `majordomo load {component}`, or a change of its configuration, ends the quarantine (the last failure: {})",
                retry_in.as_secs_f64(),
                printable(cause)
            ),
            Self::Stuck { component } => {
                write!(
                    f,
                    "{component} is stuck: its loader neither finishes nor stops; restart the program"
                )
            }
            Self::LoadFailed { component, cause } => {
                write!(f, "{component} could not be loaded: {}", printable(cause))
            }
            Self::Unloaded { component } => {
                write!(f, "an operator unloaded {component} meanwhile; ask again to load it")
            }
            Self::DeadlineExceeded { waited, missing, holders, goes_on } => {
                write!(f, "waited {:.1} s for ", waited.as_secs_f64())?;
                list(f, missing)?;
                if !holders.is_empty() {
                    f.write_str("; in the way: ")?;
                    list(f, holders)?;
                }
                let Some(load) = goes_on else { return Ok(()) };
                write!(f, "; {} goes on loading: ", load.component)?;
                match load.ready_in {
                    Some(time) => write!(f, "ready in about {:.1} s", time.as_secs_f64()),
                    None => write!(
                        f,
                        "how long that takes is not known; it is given up in {:.0} s (load_deadline)",
                        load.given_up_in.as_secs_f64()
                    ),
                }
            }
            Self::Pressure { level } => {
                write!(f, "memory pressure is {level}; nothing is loaded until it falls")
            }
            Self::Removed { component } => {
                write!(f, "{component} was removed from the configuration")
            }
            Self::ReentrantAcquire { loading } => write!(
                f,
                "acquire was called inside the load of {loading}; declare a dependency and use LoadContext::dependency"
            ),
            Self::WrongType { component, wanted } => {
                write!(f, "{component} is loaded, but is no {wanted}")
            }
            Self::InUse { component, holders } => {
                write!(f, "{component} stays loaded: ")?;
                for (i, holder) in holders.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "; " })?;
                    if holder.component == *component {
                        holder.tell_why(f)?;
                    } else {
                        write!(f, "{holder} depends on it")?;
                    }
                }
                f.write_str("; use force to unload it all the same")
            }
            Self::TrimFailed { component, error } => {
                write!(f, "{component} could not be asked to trim: {}", printable(error))
            }
            Self::CannotTrim { component } => write!(
                f,
                "{component} has no way to trim; its key trim declares one, http = \"/path\" or signal = \"USR1\""
            ),
            Self::Blocked { component, holders } => {
                write!(f, "{component} has no room beside the rest of the command; in the way: ")?;
                list(f, holders)
            }
            Self::OwnLeases { missing, holders } => {
                list(f, missing)?;
                f.write_str(" would wait for nothing but your own leases: ")?;
                list(f, holders)?;
                f.write_str("; give those back first, or exchange the lease")
            }
            Self::Abandoned => f.write_str("called off by its owner"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_whether_and_when_the_same_request_may_be_granted() {
        let component = || ComponentId::new("a").unwrap();
        let backs_off = |retry_at| Refusal::BackingOff {
            component: component(),
            retry_at,
            retry_in: Duration::from_secs(3),
            cause: String::new(),
        };
        let checks = [
            (backs_off(Moment(5)), true, Some(3)),
            // It is loaded by an operator, or never.
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

    #[test]
    fn a_component_is_not_said_to_be_in_its_own_way() {
        let id = |name: &str| ComponentId::new(name).unwrap();
        let holder = |name: &str, kind| Holder {
            component: id(name),
            booked: ByteSize::mib(3),
            kind,
            tags: Vec::new(),
        };
        let told = |holders| Refusal::InUse { component: id("c3"), holders }.to_string();
        assert_eq!(
            told(vec![holder("c3", HolderKind::InTransaction)]),
            "c3 stays loaded: a load needs it; use force to unload it all the same"
        );
        let tagged = Holder {
            tags: vec!["mail".into(), "tv".into()],
            ..holder("c3", HolderKind::Leased { leases: 2 })
        };
        assert_eq!(
            told(vec![tagged, holder("c4", HolderKind::Pinned)]),
            "c3 stays loaded: it has 2 leases of mail, tv; c4 (3 MiB, pinned) depends on it; use force to unload it all the same"
        );
    }
}
