//! What a new configuration changes, and what that does to what runs.
//!
//! Foretells what the engine does with it (`docs/adr/0001-pure-engine.md`) from the states of the moment; decides
//! nothing.

use std::fmt;
use std::sync::Arc;

use majordomo_core::{
    ComponentId, ComponentState, ComponentStatus, Config, Priority, Status, count,
};
use majordomo_engine::needs_reload;
use majordomo_registry::{Catalog, ComponentSpec, Problem};

/// What a reload changed, or would change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reloaded {
    /// New components.
    pub added: Vec<ComponentId>,
    /// Components that are gone.
    pub removed: Vec<ComponentId>,
    /// Components that are configured differently.
    pub changed: Vec<ComponentId>,
    /// All three with what becomes of them, by name.
    pub components: Vec<Change>,
    /// The settings before.
    pub before: Arc<Config>,
    /// The settings after.
    pub after: Arc<Config>,
    /// What is doubtful in the file.
    pub warnings: Vec<Problem>,
}

/// A component that is configured differently, is new, or is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub component: ComponentId,
    /// How it was configured; none = it is new.
    pub before: Option<Arc<ComponentSpec>>,
    /// How it is configured; none = it is gone.
    pub after: Option<Arc<ComponentSpec>>,
    /// What becomes of it.
    pub effect: ChangeEffect,
}

/// What becomes of a component whose configuration changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeEffect {
    /// It is loaded now: a new one that is CORE, or not lazy.
    Loads,
    /// It is not loaded; the next load goes by the new configuration.
    NextLoad,
    /// It goes on as it is; the change is about how it is managed.
    InPlace,
    /// It is idle: unloaded now and loaded again.
    Restarts,
    /// It is in use: loaded again when these leases are given back.
    WhenReleased {
        /// The leases.
        leases: u32,
    },
    /// Somebody waits for its load, which ends; then it is loaded again.
    AfterLoad,
    /// Nobody waits for its load, which is called off.
    LoadCancelled,
    /// It is gone, and was not loaded.
    Gone,
    /// It is gone: unloaded now.
    Unloads,
    /// It is gone: unloaded when these leases are given back.
    UnloadsWhenReleased {
        /// The leases.
        leases: u32,
    },
}

impl fmt::Display for ChangeEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leases = |n: u32| {
            if n == 1 { "lease is".to_owned() } else { format!("{} are", count(n, "lease")) }
        };
        match self {
            Self::Loads => f.write_str("is loaded now"),
            Self::NextLoad => f.write_str("is not loaded; the next load uses it"),
            Self::InPlace => f.write_str("keeps running"),
            Self::Restarts => f.write_str("is idle: unloaded and loaded again now"),
            Self::WhenReleased { leases: n } => {
                write!(f, "is in use: loaded again when its {} given back", leases(*n))
            }
            Self::AfterLoad => f.write_str("is loading for somebody: loaded again after that"),
            Self::LoadCancelled => f.write_str("its load is called off"),
            Self::Gone => f.write_str("was not loaded"),
            Self::Unloads => f.write_str("is unloaded now"),
            Self::UnloadsWhenReleased { leases: n } => {
                write!(f, "is in use: unloaded when its {} given back", leases(*n))
            }
        }
    }
}

impl Reloaded {
    pub(crate) fn new(old: &Catalog, new: &Catalog, status: &Status) -> Self {
        let mut out = Self::default();
        for key in new.keys().chain(old.keys().filter(|k| new.spec(*k).is_none())) {
            let (before, after) = (old.spec(key), new.spec(key));
            let list = match (before, after) {
                (None, Some(_)) => &mut out.added,
                (Some(_), None) => &mut out.removed,
                (Some(a), Some(b)) if a != b => &mut out.changed,
                _ => continue,
            };
            let component = new.id(key).clone();
            list.push(component.clone());
            let now = status.components.iter().find(|c| c.id == component);
            let (before, after) = (before.cloned(), after.cloned());
            let effect = effect(before.as_deref(), after.as_deref(), now);
            out.components.push(Change { component, before, after, effect });
        }
        out.components.sort_by(|a, b| a.component.cmp(&b.component));
        out
    }

    /// Whether anything differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.components.is_empty() && self.before == self.after
    }

    /// The settings that differ and take effect only when the program is started again, by their paths in
    /// [`Config`].
    #[must_use]
    pub fn needs_restart(&self) -> Vec<&'static str> {
        let read_at_start = Config::settings().filter(|setting| setting.is_read_at_start);
        let differing = read_at_start.filter(|s| self.before.get(s) != self.after.get(s));
        differing.map(|setting| setting.path).collect()
    }
}

fn effect(
    before: Option<&ComponentSpec>,
    after: Option<&ComponentSpec>,
    now: Option<&ComponentStatus>,
) -> ChangeEffect {
    let Some(after) = after else {
        return match now {
            Some(c) if c.leases > 0 => ChangeEffect::UnloadsWhenReleased { leases: c.leases },
            Some(c) if is_loaded(c.state) => ChangeEffect::Unloads,
            _ => ChangeEffect::Gone,
        };
    };
    let Some(before) = before else {
        let is_eager = after.priority == Priority::Core || !after.lazy_init;
        return if is_eager { ChangeEffect::Loads } else { ChangeEffect::NextLoad };
    };
    let Some(now) = now.filter(|c| is_loaded(c.state)) else { return ChangeEffect::NextLoad };
    if !needs_reload(before, after) {
        return ChangeEffect::InPlace;
    }
    match now.state {
        ComponentState::Loading if now.speculative => ChangeEffect::LoadCancelled,
        ComponentState::Loading => ChangeEffect::AfterLoad,
        _ if now.leases > 0 => ChangeEffect::WhenReleased { leases: now.leases },
        // Nobody misses what was loaded ahead.
        _ if now.speculative && !now.pinned && after.priority != Priority::Core => {
            ChangeEffect::Unloads
        }
        _ => ChangeEffect::Restarts,
    }
}

fn is_loaded(state: ComponentState) -> bool {
    matches!(
        state,
        ComponentState::Loading
            | ComponentState::Ready
            | ComponentState::Draining
            | ComponentState::Unloading
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_read_at_start_is_told_and_no_other_one() {
        let changed = |text: &str| {
            let after = majordomo_registry::parse_toml(text, "c.toml", None).unwrap().config;
            Reloaded { after: Arc::new(after), ..Reloaded::default() }.needs_restart()
        };
        assert_eq!(changed("[manager]\nqueue_capacity = 7"), ["queue.capacity"]);
        assert_eq!(changed("[manager]\nspeculation_queue = 7"), ["speculation.queue"]);
        assert_eq!(changed("[intents]\nprior = false"), ["intents.prior"]);
        assert_eq!(changed("[intents]\nmax_outcomes = 7"), ["intents.max_outcomes"]);
        let live =
            "[manager]\npressure_profile = \"legacy\"\npressure_dwell = \"1s\"\npolicy = \"lru\"";
        assert!(changed(live).is_empty());
        assert!(changed("[intents]\nretrain_every = 7\n[server]\nmax_streams = 7").is_empty());
    }
}
