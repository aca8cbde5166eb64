//! The changes of a new configuration, and their effects on running components.
//!
//! Predicts the engine's reaction (`docs/adr/0001-pure-engine.md`) from the current states; decides nothing.

use std::fmt;
use std::sync::Arc;

use majordomo_core::{
    ComponentId, ComponentState, ComponentStatus, Config, Priority, Status, count,
};
use majordomo_engine::needs_reload;
use majordomo_registry::{Catalog, ComponentSpec, GatewaySpec, Problem};

/// The changes that a reload made, or would make.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Components that only the new configuration has.
    pub added: Vec<ComponentId>,
    /// Components that the configuration no longer has.
    pub removed: Vec<ComponentId>,
    /// Components that are configured differently.
    pub changed: Vec<ComponentId>,
    /// All three with their effects, by name.
    pub components: Vec<Change>,
    /// The settings in force before.
    pub before: Arc<Config>,
    /// The settings in force after it.
    pub after: Arc<Config>,
    /// The gateway before; none = it was off.
    pub gateway_before: Option<Arc<GatewaySpec>>,
    /// The gateway after it.
    pub gateway_after: Option<Arc<GatewaySpec>>,
    /// Warnings about the file.
    pub warnings: Vec<Problem>,
}

/// A component that is configured differently, is new, or is removed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The name, which is the same in both configurations.
    pub component: ComponentId,
    /// Its specification before; none = it is new.
    pub before: Option<Arc<ComponentSpec>>,
    /// Its specification after; none = it is removed.
    pub after: Option<Arc<ComponentSpec>>,
    /// The consequence for the component as it is now.
    pub effect: ChangeEffect,
}

/// The effect of a changed configuration on a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeEffect {
    /// The component is new and is loaded now: it is CORE, or not lazy.
    Loads,
    /// It is not loaded; the next load uses the new configuration.
    NextLoad,
    /// It continues to run; the change is about how it is managed.
    InPlace,
    /// It is idle: unloaded now and loaded again.
    Restarts,
    /// It is in use: loaded again when its leases have ended.
    WhenReleased {
        /// The number of leases now.
        leases: u32,
    },
    /// A demand waits for its load, which finishes; then it is loaded again.
    AfterLoad,
    /// No demand waits for its load, which is cancelled.
    LoadCancelled,
    /// It is removed, and was not loaded.
    Gone,
    /// It is removed, was preloaded, or is parked: unloaded now.
    Unloads,
    /// It is removed: unloaded when its leases have ended.
    UnloadsWhenReleased {
        /// The number of leases now.
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
            Self::AfterLoad => f.write_str("is loading for a demand: loaded again after that"),
            Self::LoadCancelled => f.write_str("its load is cancelled"),
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
        self.components.is_empty()
            && self.before == self.after
            && self.gateway_before == self.gateway_after
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
        ComponentState::Loading { .. } if now.speculative => ChangeEffect::LoadCancelled,
        ComponentState::Loading { .. } => ChangeEffect::AfterLoad,
        ComponentState::Down(_) | ComponentState::Queued { .. } => ChangeEffect::Unloads,
        _ if now.leases > 0 => ChangeEffect::WhenReleased { leases: now.leases },
        // A preloaded component that was never used is expendable.
        _ if now.speculative && !now.pinned && after.priority != Priority::Core => {
            ChangeEffect::Unloads
        }
        _ => ChangeEffect::Restarts,
    }
}

/// Whether a process of it runs: a parked component is loaded, too. One that is stuck does not change.
fn is_loaded(state: ComponentState) -> bool {
    state.is_alive() && state != ComponentState::Stuck
}

#[cfg(test)]
mod tests {
    use majordomo_core::{ByteSize, Moment, Rung};
    use majordomo_engine::Engine;

    use super::*;

    #[test]
    fn parked_component_whose_identity_changes_or_that_is_removed_is_unloaded() {
        let program = |command: &str| ComponentSpec::process("a", &[command]).unwrap();
        let (old, new) = (program("old"), program("new"));
        let catalog = Catalog::build(vec![old.clone()], Vec::new(), None).unwrap();
        let engine = Engine::new(Arc::new(catalog), Config::default(), ByteSize::gib(1));
        let now = |state| {
            let [mut now] = <[_; 1]>::try_from(engine.status(Moment::ZERO).components).unwrap();
            now.state = state;
            now
        };
        let mut renamed = program("old");
        renamed.keywords = vec!["word".into()];
        for state in [
            ComponentState::Down(Rung::Paged),
            ComponentState::Down(Rung::Asleep),
            ComponentState::Queued { from: Rung::Paged },
        ] {
            let now = now(state);
            let effect = |after: Option<&ComponentSpec>| effect(Some(&old), after, Some(&now));
            assert_eq!(effect(Some(&new)), ChangeEffect::Unloads, "{state:?}");
            assert_eq!(effect(None), ChangeEffect::Unloads, "{state:?}");
            assert_eq!(effect(Some(&renamed)), ChangeEffect::InPlace, "{state:?}");
        }
        assert_eq!(
            effect(Some(&old), Some(&new), Some(&now(ComponentState::UNLOADED))),
            ChangeEffect::NextLoad
        );
    }

    #[test]
    fn changed_settings_that_are_read_at_start_need_a_restart() {
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
