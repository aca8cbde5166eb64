//! Loads: when they start, how they end, when they are given up.

use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Moment, Priority, Rung,
};
use majordomo_registry::OnAbandon;

use super::Scheduler;
use crate::{Effect, LoadReport, Persisted, Phase, Removal, Step, Then, TxnId};

/// Waiting for a cold load.
const QUEUED: ComponentState = ComponentState::Queued { from: Rung::Gone };

impl Scheduler {
    /// Starts every load that has its bytes, its dependencies and a lane: by tier, then arrival; speculation
    /// last and never on the lanes kept for demands. A speculative load gives its lane to a demand. A load whose
    /// peak is larger than its reservation has all lanes for itself.
    pub fn start_loads(&mut self, step: &mut Step<'_>) {
        let queue = &self.config.queue;
        let mut order: Vec<_> = self
            .txns
            .values()
            .filter(|t| t.phase == Phase::Loading)
            .map(|t| (t.origin.is_speculative(), t.tier(step.now, queue), t.id))
            .collect();
        order.sort_unstable();
        for (speculative, _, id) in order {
            // Reserved before the budget was overdrawn, not begun: it waits, or is dropped by the relief.
            if speculative && self.budget.is_memory_overdrawn() {
                continue;
            }
            while let Some(key) = self.next_member(id, |s| s == QUEUED) {
                let free = if self.entry(key).overload() > ByteSize::ZERO {
                    self.all_lanes(step)
                } else {
                    self.lane_for(speculative, step)
                };
                if !free {
                    return;
                }
                self.start_load(key, step);
            }
        }
    }

    /// The next member of a transaction, in a state that satisfies `is_right`, whose load or wake may start.
    pub(super) fn next_member(
        &self,
        id: TxnId,
        is_right: fn(ComponentState) -> bool,
    ) -> Option<ComponentKey> {
        let txn = &self.txns[id];
        txn.closure.iter().copied().find(|&key| {
            is_right(self.entry(key).state())
                // Another transaction that still clears memory reserves it.
                && self.is_reserved(key)
                && self.catalog.dependencies(key).iter().all(|d| {
                    let e = self.entry(*d);
                    e.state() == ComponentState::Ready && !e.restart().is_outdated()
                })
                && !self.catalog.after(key).iter().any(|a| {
                    txn.closure.contains(a)
                        && matches!(
                            self.entry(*a).state(),
                            ComponentState::Queued { .. } | ComponentState::Loading { .. }
                        )
                })
        })
    }

    fn is_reserved(&self, key: ComponentKey) -> bool {
        self.txns
            .values()
            .all(|t| t.phase != Phase::Clearing || t.reserve.iter().all(|r| r.key != key))
    }

    /// Whether no load runs once speculative ones are cancelled.
    fn all_lanes(&mut self, step: &mut Step<'_>) -> bool {
        let loading = self.keys_where(|e| e.state().is_cold_load());
        if loading.iter().any(|k| self.is_requested_load(*k)) {
            return false;
        }
        for key in loading {
            self.cancel_load(key, Cause::EvictedForLoad, step);
        }
        true
    }

    /// Whether a load gives way to no demand: one waits for it, or the component is CORE or pinned.
    fn is_requested_load(&self, key: ComponentKey) -> bool {
        let e = self.entry(key);
        !e.is_unrequested() || e.is_fixed()
    }

    /// Whether a lane is free, or can be had from speculation.
    fn lane_for(&mut self, speculative: bool, step: &mut Step<'_>) -> bool {
        let loading = self.keys_where(|e| e.state().is_cold_load());
        let alone = loading.iter().find(|k| self.budget.overload_of(**k) > ByteSize::ZERO);
        if let Some(&key) = alone {
            // It gives way to a demand once no other waits for it.
            if speculative || self.is_requested_load(key) {
                return false;
            }
            self.cancel_load(key, Cause::EvictedForLoad, step);
            return true;
        }
        // CORE and pinned components are no victims, whatever began their load.
        let preloads: Vec<_> =
            loading.iter().copied().filter(|k| !self.is_requested_load(*k)).collect();
        let is_free = loading.len() < self.config.loads.lanes();
        if speculative {
            return is_free && preloads.len() < self.config.loads.preload_lanes();
        }
        if is_free {
            return true;
        }
        let Some(&victim) = preloads.first() else { return false };
        self.cancel_load(victim, Cause::EvictedForLoad, step);
        true
    }

    fn start_load(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let id = IncarnationId { key, op: self.new_op() };
        let spec = self.catalog.spec(key).cloned();
        let deadline = self.load_deadline(key);
        let dependencies = self.catalog.dependencies(key).to_vec();
        for d in &dependencies {
            self.entry_mut(*d).add_dependent(key);
        }
        let cause = self.entry(key).cause().cloned().unwrap_or(Cause::Operator);
        let e = self.entry_mut(key);
        e.begin_load(id.op, spec, dependencies, step.now, deadline);
        let beyond = e.take_overload();
        if beyond > ByteSize::ZERO {
            self.budget.set_overload(key, beyond);
            let peak = self.budget.booked_for(key);
            step.record(EventKind::LoadBeyondBudget { component: key, peak, beyond });
        }
        self.set_state(key, ComponentState::Loading { from: Rung::Gone }, cause, step);
        step.push(Effect::StartLoad { id, deadline });
    }

    /// Whether this incarnation is loading now.
    #[must_use]
    pub fn is_loading(&self, id: IncarnationId) -> bool {
        self.entries
            .get(id.key.index())
            .is_some_and(|e| e.op() == Some(id.op) && e.state().is_cold_load())
    }

    /// A load ended well: the component is ready. The engine publishes it with its waiters' leases.
    pub fn load_succeeded(&mut self, key: ComponentKey, report: LoadReport, step: &mut Step<'_>) {
        let next_probe = self.probe_period(key).map(|p| step.now + p);
        let e = self.entry_mut(key);
        e.loaded(report, next_probe, step.now);
        let outdated = e.restart().is_outdated();
        let figures = e.figures();
        let learned =
            Persisted { key, learned: *figures.learned(), load_time: figures.load_time() };
        if let Some(bytes) = report.measured {
            self.budget.measure(key, bytes);
        }
        // From here on its load peak is no longer booked, but what its use is expected to need.
        self.reserve_settled(key);
        self.set_state(key, ComponentState::Ready, Cause::LoadFinished, step);
        // Dependents that were removed with it restart with it, not at a time of their own.
        self.move_restarts(key, step.now);
        // An incarnation of an older configuration teaches nothing of the new one.
        if !outdated {
            step.push(Effect::Persist(learned));
        }
    }

    /// A load failed; nothing of it is left in memory.
    pub fn load_failed(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        self.entry_mut(key).load_ended();
        self.forget_dependencies(key);
        self.budget.release(key);
        self.fail(key, cause, step);
    }

    /// Cancels a running load; the component is down when its loader says so. A component that is woken is unloaded.
    pub fn cancel_load(&mut self, key: ComponentKey, cause: Cause, step: &mut Step<'_>) {
        if self.entry(key).state().is_waking() {
            return self.end_on_the_ladder(key, cause, Then::Unloaded, step);
        }
        let then = match cause {
            Cause::LoadTimedOut => Then::Failed(cause.clone()),
            _ => Then::Unloaded,
        };
        let grace = self.grace(key, step.now);
        let Some(id) = self.incarnation(key) else { return };
        let e = self.entry_mut(key);
        e.begin_unload(step.now + grace + super::KILL_MARGIN);
        e.replace_removal(Removal::at_once(cause.clone(), then));
        self.n_removals += 1;
        self.set_state(key, ComponentState::Unloading { to: Rung::Gone }, cause, step);
        step.push(Effect::CancelLoad { id, grace });
    }

    /// Whether an abandoned load continues: by its policy, by default when more than half of the learned load
    /// time (the declared one before the first load) has passed. Beyond the budget none does.
    pub(crate) fn finishes_alone(&self, key: ComponentKey, now: Moment) -> bool {
        let e = self.entry(key);
        if self.budget.overload_of(key) > ByteSize::ZERO {
            return false;
        }
        match self.catalog.spec(key).map(|s| s.on_abandon) {
            Some(OnAbandon::Finish) => true,
            Some(OnAbandon::Auto) => now.since(e.load_started()) * 2 > self.load_time(key),
            _ => false,
        }
    }

    /// How long a load of this component is expected to take: as learned, or else as declared.
    #[must_use]
    pub fn load_time(&self, key: ComponentKey) -> Duration {
        let declared = || self.catalog.spec(key).map_or(Duration::ZERO, |s| s.load_time);
        self.entry(key).figures().load_time().unwrap_or_else(declared)
    }

    /// How long a load of this component may take.
    #[must_use]
    pub fn load_deadline(&self, key: ComponentKey) -> Duration {
        let own = self.catalog.spec(key).and_then(|s| s.load_deadline);
        own.unwrap_or(self.config.deadlines.load)
    }

    /// How long a component may take to stop before it is killed.
    #[must_use]
    pub fn grace(&self, key: ComponentKey, now: Moment) -> Duration {
        let spec = self.entry(key).spec().or_else(|| self.catalog.spec(key));
        let grace = spec.and_then(|s| s.stop_deadline).unwrap_or(self.config.deadlines.stop);
        self.last_call.map_or(grace, |t| grace.min(t.since(now)))
    }

    /// The time between health probes, for components that have one.
    #[must_use]
    pub fn probe_period(&self, key: ComponentKey) -> Option<Duration> {
        let spec = self.entry(key).spec()?;
        match spec.loader.is_in_process() {
            true => spec.health_every,
            false => spec.probe().map(|probe| probe.every),
        }
    }

    /// By component: the highest tier of the transactions that want it; LOW when none does.
    #[must_use]
    pub fn requested_tiers(&self, now: Moment) -> Vec<Priority> {
        let mut tiers = vec![Priority::Low; self.entries.len()];
        for t in self.txns.values().filter(|t| !t.origin.is_speculative()) {
            let tier = t.tier(now, &self.config.queue);
            for key in &t.closure {
                tiers[key.index()] = tiers[key.index()].min(tier);
            }
        }
        tiers
    }

    /// The highest priority of a component, its live dependents (`group`) and the transactions that want it
    /// (`tiers`, of [`Self::requested_tiers`]).
    #[must_use]
    pub fn effective_priority(
        &self,
        key: ComponentKey,
        group: &[ComponentKey],
        tiers: &[Priority],
    ) -> Priority {
        let own = |k: &ComponentKey| {
            let e = self.entry(*k);
            e.spec().or_else(|| self.catalog.spec(*k)).map_or(Priority::Low, |s| s.priority)
        };
        group.iter().map(own).min().unwrap_or(Priority::Low).min(tiers[key.index()])
    }

    /// A component with everything live that depends on it, dependents first.
    #[must_use]
    pub fn live_closure(&self, key: ComponentKey) -> Vec<ComponentKey> {
        let mut found = vec![key];
        let mut next = 0;
        while next < found.len() {
            for d in self.entry(found[next]).dependents() {
                if !found.contains(d) {
                    found.push(*d);
                }
            }
            next += 1;
        }
        // A dependent's rank is above its dependencies'.
        found.sort_by_key(|k| std::cmp::Reverse((self.catalog.rank(*k), *k)));
        found
    }

    pub(crate) fn forget_dependencies(&mut self, key: ComponentKey) {
        for d in self.entry_mut(key).take_dependencies() {
            self.entry_mut(d).remove_dependent(key);
        }
    }
}
