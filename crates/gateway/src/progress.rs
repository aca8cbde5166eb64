//! How far the load of a component is, for clients that wait for it.

use std::fmt;
use std::time::Duration;

use majordomo::{ComponentState, ComponentStatus, Status};

use crate::gateway::Gateway;
use crate::member::Member;

/// The state of a component that a client waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) name: String,
    /// The state, in a word.
    pub(crate) state: String,
    /// Since the state began.
    pub(crate) elapsed: Duration,
    /// The learned time of a load.
    pub(crate) load_time: Option<Duration>,
    /// The load is under way, and not only waited for.
    pub(crate) is_loading: bool,
}

impl Progress {
    fn of(component: &ComponentStatus, status: &Status) -> Self {
        Self {
            name: component.id.to_string(),
            state: component.state.to_string(),
            elapsed: status.at.since(component.since),
            load_time: component.load_time,
            is_loading: matches!(component.state, ComponentState::Loading { .. }),
        }
    }

    /// The learned time that is left.
    pub(crate) fn left(&self) -> Option<Duration> {
        let time = self.load_time?;
        Some(if self.is_loading { time.saturating_sub(self.elapsed) } else { time })
    }

    /// The part of the load that is done, from 0 to 1; below 1 until it is.
    pub(crate) fn share(&self) -> Option<f64> {
        let time = self.load_time.filter(|_| self.is_loading)?;
        let share = self.elapsed.as_secs_f64() / time.as_secs_f64().max(0.001);
        Some(share.min(0.95))
    }
}

/// `chat is loading, about 3.2 s left`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.state)?;
        match self.left() {
            Some(left) if !left.is_zero() => write!(f, ", about {:.1} s left", left.as_secs_f64()),
            _ => write!(f, " for {:.1} s", self.elapsed.as_secs_f64()),
        }
    }
}

impl Gateway {
    /// How far the load of a component is; none while the manager shuts down, and for a component that was removed.
    pub(crate) async fn progress(&self, member: &Member) -> Option<Progress> {
        let status = self.manager().status().await.ok()?;
        let component = status.components.iter().find(|c| c.id == member.id)?;
        Some(Progress::of(component, &status))
    }

    /// The learned time of a component's load.
    pub(crate) async fn learned_load_time(&self, member: &Member) -> Option<Duration> {
        self.progress(member).await?.load_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_the_learned_time_less_what_has_passed() {
        let mut progress = Progress {
            name: "chat".to_owned(),
            state: "loading".to_owned(),
            elapsed: Duration::from_millis(800),
            load_time: Some(Duration::from_secs(4)),
            is_loading: true,
        };
        assert_eq!(progress.to_string(), "chat is loading, about 3.2 s left");
        assert_eq!(progress.share(), Some(0.2));
        progress.elapsed = Duration::from_secs(9);
        assert_eq!(progress.to_string(), "chat is loading for 9.0 s");
        assert_eq!(progress.share(), Some(0.95));
        progress.is_loading = false;
        assert_eq!((progress.left(), progress.share()), (progress.load_time, None));
    }
}
