//! A new configuration under running components.

use std::sync::Arc;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Config, EventKind, Priority, Refusal,
};
use majordomo_lifecycle::{DropReason, Origin, Step, Then};
use majordomo_memory::product_policy;
use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec};

use crate::Engine;

/// The change of one component's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Added,
    Removed,
    /// The loaded component differs from the configured one.
    Reload,
    /// Only how it is managed.
    InPlace,
}

fn change(old: Option<&ComponentSpec>, new: Option<&ComponentSpec>) -> Option<Change> {
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (Some(a), Some(b)) if a == b => None,
        (Some(a), Some(b)) => {
            Some(if needs_reload(a, b) { Change::Reload } else { Change::InPlace })
        }
    }
}

/// Whether what was loaded by specification `a` must be loaded again to be what `b` says; otherwise `b` only changes
/// how it is managed.
#[must_use]
pub fn needs_reload(a: &ComponentSpec, b: &ComponentSpec) -> bool {
    // Whether leases are limited is fixed when an incarnation is published.
    let limited = a.max_leases.is_some() || b.max_leases.is_none();
    let same = limited
        && a.loader == b.loader
        && a.version == b.version
        // A process is bounded when it starts.
        && (a.memory_limit == b.memory_limit || !matches!(b.loader, LoaderSpec::Process(_)))
        && a.pool == b.pool
        && a.memory_in.keys().eq(b.memory_in.keys())
        && a.dependencies == b.dependencies
        && a.conflicts == b.conflicts;
    !same
}

impl Engine {
    pub(crate) fn configure(
        &mut self,
        catalog: &Arc<Catalog>,
        config: Config,
        budget: ByteSize,
        step: &mut Step<'_>,
    ) {
        let old = Arc::clone(self.catalog());
        if config.memory.policy != self.config().memory.policy {
            self.policy = product_policy(config.memory.policy);
            self.hints.preloader_mut().set_weighted(self.policy.weighs_load_time());
            self.value_waits_of_rungs();
        }
        self.hints.configure(&config.speculation);
        self.idleness.configure(&config.idle);
        self.lanes_shrunk |= config.loads.lanes() < self.config().loads.lanes();
        let changes: Vec<(ComponentKey, Change)> = (0..catalog.len())
            .map(ComponentKey::from_index)
            .filter_map(|k| {
                Some((k, change(old.spec(k).map(|s| &**s), catalog.spec(k).map(|s| &**s))?))
            })
            .collect();
        self.scheduler.configure(Arc::clone(catalog), config, budget);
        step.record(EventKind::ConfigApplied { changed: changes.len() });
        let changed: Vec<_> = changes.iter().map(|c| c.0).collect();
        let refused = self.scheduler.replan_all(&changed, step);
        for (id, key) in refused {
            let component = catalog.id(key).clone();
            self.end(id, &DropReason::Refused(Refusal::Removed { component }), step);
        }
        for &(key, what) in &changes {
            match what {
                Change::Added => self.added(key, step),
                Change::InPlace => {
                    let Some(new) = catalog.spec(key) else { continue };
                    let e = self.scheduler.entry_mut(key);
                    // An incarnation of a still older specification is being removed and keeps its own.
                    let running = e.spec().and_then(|s| change(Some(&**s), Some(&**new)));
                    if running == Some(Change::InPlace) {
                        e.continue_by(Arc::clone(new));
                        // A parked component is booked as it was measured.
                        if !e.state().is_on_the_ladder() {
                            self.scheduler.book_declared(key);
                        }
                        self.wake_if_fixed(key, step.now);
                    }
                }
                Change::Removed => self.outdated(key, &Then::Unloaded, step),
                Change::Reload => self.outdated(key, &Then::Reload, step),
            }
        }
        self.hints.preloader_mut().retain(|k| catalog.spec(k).is_some());
        self.idleness.retain(|k| catalog.spec(k).is_some());
        for &(key, what) in &changes {
            if what == Change::Removed {
                self.forecaster.retire(key);
            }
        }
        self.update_capacity();
        // Dependencies may have changed, by which providers are worth what their dependents are.
        self.forecaster.follow_dependencies(catalog);
        step.push(majordomo_lifecycle::Effect::Publish);
    }

    fn added(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let Some(spec) = self.catalog().spec(key) else { return };
        let eager = spec.priority == Priority::Core || !spec.lazy_init;
        if eager && self.ending.is_none() {
            self.submit_alone(key, Origin::Startup, step.now);
        }
    }

    /// Ends a component that runs by an old specification: at once when idle, at its last release when leased, after
    /// its load when a caller waits for that.
    fn outdated(&mut self, key: ComponentKey, then: &Then, step: &mut Step<'_>) {
        self.scheduler.forgive(key, Cause::ConfigChanged, step);
        // Its waiters are planned again, and need no reload to be promised.
        let is_unused =
            self.scheduler.entry(key).is_speculative() && !self.scheduler.is_never_evicted(key);
        let then = if is_unused { &Then::Unloaded } else { then };
        self.scheduler.cancel_restart(key);
        // Measured figures belong to the configuration that they were measured by.
        self.scheduler.entry_mut(key).figures_mut().forget();
        self.scheduler.entry_mut(key).parking_mut().forget();
        if *then == Then::Reload {
            self.scheduler.restart_later(key, step.now);
        }
        match self.state(key) {
            // It was evicted: only a demand loads it again.
            state if state.is_on_the_ladder() => {
                self.scheduler.mark_outdated(key);
                let cause = Cause::ConfigChanged;
                self.scheduler.end_on_the_ladder(key, cause, Then::Unloaded, step);
                self.plan_again(key, step);
            }
            ComponentState::Loading { .. } => {
                if self.scheduler.entry(key).is_required() {
                    self.scheduler.mark_outdated(key);
                } else {
                    self.scheduler.cancel_load(key, Cause::ConfigChanged, step);
                }
            }
            ComponentState::Ready | ComponentState::Draining => {
                self.scheduler.mark_outdated(key);
                self.remove_with_dependents(key, &Cause::ConfigChanged, then, None, step);
            }
            ComponentState::Unloading { .. } if *then == Then::Unloaded => {
                self.scheduler.end_removal_as(key, Then::Unloaded);
            }
            _ => {}
        }
    }
}
