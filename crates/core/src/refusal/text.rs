//! Refusals in words: the reason, the numbers, and the way out.

use std::fmt;

use super::Refusal;
use crate::{Moment, count, printable, quoted_start};

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
                "{component} conflicts with {with}, which is loaded, and their conflict policy is \"refuse\"; unload {with} first"
            ),
            Self::Conflict { component, with, refuses: false } => {
                write!(f, "{component} conflicts with {with}, which cannot be unloaded now")
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
            Self::DeadlineExceeded { waited, missing, holders, still_loading } => {
                write!(f, "waited {:.1} s for ", waited.as_secs_f64())?;
                list(f, missing)?;
                if !holders.is_empty() {
                    f.write_str("; in the way: ")?;
                    list(f, holders)?;
                }
                let Some(load) = still_loading else { return Ok(()) };
                write!(f, "; {} is still loading: ", load.component)?;
                match load.ready_in {
                    Some(time) => write!(f, "ready in about {:.1} s", time.as_secs_f64()),
                    None => write!(
                        f,
                        "the remaining time is not known; the load is given up in {:.0} s (load_deadline)",
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
            Self::WrongType { component, requested } => {
                write!(f, "{component} is loaded, but is not a {requested}")
            }
            Self::InUse { component, holders } => {
                write!(f, "{component} stays loaded: ")?;
                for (i, holder) in holders.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "; " })?;
                    if holder.component == *component {
                        holder.write_reason(f)?;
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
            Self::CannotPark { component, why } => write!(f, "{component} cannot be parked: {why}"),
            Self::ParkFailed { component, error } => {
                write!(f, "{component} could not be parked and is unloaded: {}", printable(error))
            }
            Self::Blocked { component, holders } => {
                write!(f, "{component} has no room beside the rest of the command; in the way: ")?;
                list(f, holders)
            }
            Self::OwnLeases { missing, holders } => {
                list(f, missing)?;
                f.write_str(" would wait for your own leases only: ")?;
                list(f, holders)?;
                f.write_str("; give those back first, or exchange the lease")
            }
            Self::Abandoned => f.write_str("cancelled by its caller"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{ByteSize, ComponentId, Holder, HolderKind, Refusal};

    #[test]
    fn holder_that_is_the_refused_component_is_not_named_again() {
        let id = |name: &str| ComponentId::new(name).unwrap();
        let holder = |name: &str, kind| Holder {
            component: id(name),
            booked: ByteSize::mib(3),
            kind,
            tags: Vec::new(),
        };
        let text = |holders| Refusal::InUse { component: id("c3"), holders }.to_string();
        assert_eq!(
            text(vec![holder("c3", HolderKind::InTransaction)]),
            "c3 stays loaded: a load needs it; use force to unload it all the same"
        );
        let tagged = Holder {
            tags: vec!["mail".into(), "tv".into()],
            ..holder("c3", HolderKind::Leased { leases: 2 })
        };
        assert_eq!(
            text(vec![tagged, holder("c4", HolderKind::Pinned)]),
            "c3 stays loaded: it has 2 leases of mail, tv; c4 (3 MiB, pinned) depends on it; use force to unload it all the same"
        );
    }
}
