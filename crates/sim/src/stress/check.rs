//! The invariants that span inputs, checked from effects and records after every input.
//!
//! `Engine::audit` checks every invariant that one moment can show; the world checks the loaders' protocol as it
//! carries effects out. Knows nothing of the origin of inputs.

mod broken;
mod effects;
mod memory;
mod rungs;

pub use broken::Broken;
pub(crate) use broken::broken;
use memory::Memory;
use rungs::Rungs;

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Moment, PressureLevel, WaiterId};
use majordomo_engine::{Effect, Engine, Input, OperatorAction};
use majordomo_lifecycle::{Phase, Transaction, TxnId};

use super::cells::SimCells;

/// The answer that a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Leases,
    /// The report that an operator's command is done.
    Completion,
}

#[derive(Clone, Debug)]
struct Open {
    keys: Vec<ComponentKey>,
    wait: Wait,
    lasts: Duration,
    deadline: Moment,
    calm: bool,
    /// The demand may be granted in part.
    partial: bool,
}

/// Follows one engine through its life.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    mirror: Vec<ComponentState>,
    open: BTreeMap<WaiterId, Open>,
    next_seq: u64,
    /// The deadline of a running shutdown.
    down_by: Option<Moment>,
    shutdown_lasts: Duration,
    is_down: bool,
    memory: Memory,
    rungs: Rungs,
    /// Before the input: active transactions with a waiter, and how often each was admitted.
    active: Vec<(TxnId, u32)>,
    due: Vec<(ComponentKey, u32)>,
}

impl Checker {
    /// Whether a waiter still waits for its answer.
    pub(crate) fn is_open(&self, waiter: WaiterId) -> bool {
        self.open.contains_key(&waiter)
    }

    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Empty when the waiter does not wait.
    pub(crate) fn requested(&self, waiter: WaiterId) -> &[ComponentKey] {
        self.open.get(&waiter).map_or(&[], |o| &o.keys)
    }

    /// Expects that this waiter is answered before its deadline, since nothing blocks it.
    pub(crate) fn expect_calm(&mut self, waiter: WaiterId) {
        if let Some(o) = self.open.get_mut(&waiter) {
            o.calm = true;
        }
    }

    /// Records the meaning of an input, and the state before it.
    pub(crate) fn before(&mut self, engine: &Engine, input: &Input, now: Moment) {
        self.mirror.resize(engine.scheduler().entries().count(), ComponentState::UNLOADED);
        self.record_waiters(engine, input, now);
        self.memory.before(engine, input);
        self.rungs.before(engine, input, now);
        for t in engine.scheduler().transactions().filter(|t| t.waits_for_retry.is_some()) {
            // The demand waits for the back-off after a failure.
            if let Some(o) = t.origin.waiter().and_then(|w| self.open.get_mut(&w)) {
                o.calm = false;
            }
        }
        self.active.clear();
        self.active.extend(
            engine
                .scheduler()
                .transactions()
                .filter(|t| t.is_active() && !t.origin.is_speculative())
                .map(|t| (t.id, t.admissions)),
        );
    }

    fn record_waiters(&mut self, engine: &Engine, input: &Input, now: Moment) {
        let d = &engine.config().deadlines;
        let loads = |keys: &[ComponentKey]| -> Duration {
            let known = |k: &ComponentKey| k.index() < engine.catalog().len();
            let known: Vec<_> = keys.iter().copied().filter(known).collect();
            let closure = engine.catalog().closure(&known);
            closure.iter().map(|k| engine.scheduler().load_deadline(*k)).sum()
        };
        let mut open = |waiter: WaiterId, keys: Vec<ComponentKey>, wait, lasts, partial| {
            let o = Open { keys, wait, lasts, deadline: now + lasts, calm: false, partial };
            self.open.insert(waiter, o);
        };
        match input {
            Input::Demand { waiter, keys, deadline, partial, .. } => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                keys.dedup();
                // The deadline is longer for slow loads, and at most as long as the loads may take.
                let lasts = deadline.unwrap_or_else(|| d.demand.max(loads(&keys)));
                open(*waiter, keys, Wait::Leases, lasts, *partial);
            }
            Input::Operator { waiter, key, action } => {
                let lasts = match action {
                    OperatorAction::Load => d.demand + loads(&[*key]),
                    _ => d.demand,
                };
                open(*waiter, vec![*key], Wait::Completion, lasts, false);
            }
            Input::Abandon { waiter } => {
                self.open.remove(waiter);
            }
            Input::Resumed { .. } => {
                for o in self.open.values_mut() {
                    o.deadline = now + o.lasts;
                }
                self.down_by = self.down_by.map(|_| now + self.shutdown_lasts);
            }
            Input::Shutdown { deadline } if !self.is_down => {
                let lasts = if self.down_by.is_some() {
                    Duration::from_secs(1).min(self.shutdown_lasts)
                } else {
                    (*deadline).max(Duration::from_millis(10))
                };
                let by = now + lasts;
                self.down_by = Some(self.down_by.map_or(by, |t| t.min(by)));
                self.shutdown_lasts = lasts;
            }
            _ => {}
        }
    }

    /// Checks the effects of an input, and the state after it.
    pub(crate) fn after(
        &mut self,
        engine: &Engine,
        effects: &[Effect],
        cells: &SimCells,
        now: Moment,
    ) -> Result<(), Broken> {
        engine.audit(now).map_err(|v| Broken { invariant: v.invariant, what: v.what })?;
        if let Some(what) = &cells.misuse {
            return broken(1, what.clone());
        }
        if self.is_down
            && effects.iter().any(|e| {
                !matches!(
                    e,
                    Effect::Record(_)
                        | Effect::Refuse { .. }
                        | Effect::Done { .. }
                        | Effect::Persist(_)
                        | Effect::SetGrant { .. }
                        | Effect::PersistUse { .. }
                        | Effect::PersistSequence
                        | Effect::Publish
                )
            })
        {
            return broken(7, format!("effects after the end of the shutdown: {effects:?}"));
        }
        self.mirror.resize(engine.scheduler().entries().count(), ComponentState::UNLOADED);
        self.due.clear();
        for effect in effects {
            self.effect(effect, engine, cells, now)?;
        }
        Self::preloads_gain(effects)?;
        self.leases(cells, engine)?;
        Self::closed_on_the_ladder(cells, engine)?;
        for (key, e) in engine.scheduler().entries() {
            if self.mirror[key.index()] != e.state() {
                let what = format!(
                    "{key} is {:?}, by its records {:?}",
                    e.state(),
                    self.mirror[key.index()]
                );
                return broken(9, what);
            }
        }
        self.memory.after(engine, effects)?;
        self.rungs.after(engine)?;
        self.nothing_due(engine, now)?;
        self.wake_lanes(engine)?;
        self.lanes(engine)
    }

    /// No component is leased that is parked, or on its way there or back.
    fn closed_on_the_ladder(cells: &SimCells, engine: &Engine) -> Result<(), Broken> {
        for (key, e) in engine.scheduler().entries().filter(|(_, e)| e.state().is_on_the_ladder()) {
            let cell = cells.current(key).map(|i| &i.cell);
            if cell.is_none_or(|cell| !cell.is_closed() || cell.leases() > 0) {
                return broken(11, format!("{key} is {} with its cell {cell:?}", e.state()));
            }
        }
        Ok(())
    }

    /// The cells hold exactly the leases that were granted.
    fn leases(&self, cells: &SimCells, engine: &Engine) -> Result<(), Broken> {
        for (key, n) in &self.due {
            let given: u32 = cells.given.iter().filter(|g| g.0 == *key).map(|g| g.1).sum();
            if given != *n {
                return broken(
                    1,
                    format!("{given} leases on {key} are in its cell, {n} were granted"),
                );
            }
        }
        for (key, n) in &cells.given {
            if *n > 0 && !self.due.iter().any(|d| d.0 == *key) {
                return broken(
                    1,
                    format!("{n} leases on {key} are in its cell, but were not granted"),
                );
            }
            let max = engine.scheduler().entry(*key).spec().and_then(|s| s.max_leases);
            let out = cells.current(*key).map_or(0, |i| i.cell.leases());
            if *n > 0 && max.is_some_and(|m| out > m) {
                return broken(1, format!("{out} leases are out on {key}, at most {max:?} may be"));
            }
        }
        Ok(())
    }

    /// Nothing that was due by now is left.
    fn nothing_due(&self, engine: &Engine, now: Moment) -> Result<(), Broken> {
        if let Some((waiter, o)) = self.open.iter().find(|(_, o)| o.deadline <= now) {
            return broken(
                6,
                format!("waiter {waiter} for {:?} waits past {}", o.keys, o.deadline),
            );
        }
        if let Some(by) = self.down_by.filter(|t| *t <= now) {
            return broken(7, format!("shutdown should have ended at {by}"));
        }
        if self.is_down {
            return Ok(());
        }
        for (key, e) in engine.scheduler().entries() {
            let due = |t: Option<Moment>| t.is_some_and(|t| t <= now);
            let late = if due(e.load_deadline()) {
                "its load is past its deadline"
            } else if due(e.unload_deadline()) {
                "its unload is past its deadline"
            } else if due(e.restart().due()) && e.may_restart() && !engine.is_shutting_down() {
                "its restart is due"
            } else if e.state() == ComponentState::Ready && due(e.probes().next()) {
                "its probe is due"
            } else if matches!(e.state(), ComponentState::Quarantined { until } if until <= now) {
                "its quarantine is over"
            } else if due(e.revokes_at()) {
                "its leases should be revoked"
            } else {
                continue;
            };
            return broken(7, format!("{key} is {}: {late}", e.state()));
        }
        Ok(())
    }

    /// A demand's load never waits for a lane that is free, or that a preload uses.
    fn lanes(&self, engine: &Engine) -> Result<(), Broken> {
        let s = engine.scheduler();
        if self.is_down || engine.is_shutting_down() {
            return Ok(());
        }
        // A load beyond the budget runs alone, and waits for running loads that a demand needs.
        let running = || s.entries().filter(|(_, e)| e.state().is_cold_load());
        let alone = running().any(|(k, _)| engine.budget().overload_of(k) > ByteSize::ZERO);
        let requested = running().any(|(_, e)| !e.is_unrequested() || e.is_fixed());
        let beyond = s.entries().any(|(_, e)| e.overload() > ByteSize::ZERO);
        if alone || (beyond && requested) {
            return Ok(());
        }
        let startable = startable(engine, |state| state.is_queued() && !state.is_alive());
        let Some(key) = startable else { return Ok(()) };
        let loading = s.entries().filter(|(_, e)| e.state().is_cold_load());
        let (n, preloads) = loading.fold((0, 0), |(n, a), (_, e)| {
            (n + 1, a + usize::from(e.is_unrequested() && !e.is_fixed()))
        });
        if n < engine.config().loads.lanes() || preloads > 0 {
            return broken(
                5,
                format!("{key} could load: {n} loads run, {preloads} of them speculative"),
            );
        }
        Ok(())
    }

    /// A demand's wake never waits for a lane that is free.
    fn wake_lanes(&self, engine: &Engine) -> Result<(), Broken> {
        if self.is_down || engine.is_shutting_down() {
            return Ok(());
        }
        let s = engine.scheduler();
        let n = s.entries().filter(|(_, e)| e.state().is_waking()).count();
        match startable(engine, |state| state.is_queued() && state.is_alive()) {
            Some(key) if n < s.wake_lanes() => {
                broken(5, format!("{key} could be woken: {n} wakes run"))
            }
            _ => Ok(()),
        }
    }

    /// After a long calm, no component moves and no transaction waits.
    pub(crate) fn quiet(&self, engine: &Engine, now: Moment) -> Result<(), Broken> {
        const LONG: Duration = Duration::from_secs(65);
        for (key, e) in engine.scheduler().entries() {
            let moving = matches!(
                e.state(),
                ComponentState::Queued { .. }
                    | ComponentState::Loading { .. }
                    | ComponentState::Draining
                    | ComponentState::Unloading { .. }
            );
            if moving && now.since(e.since()) > LONG {
                return broken(
                    6,
                    format!("{key} is {} since {} and nothing blocks it", e.state(), e.since()),
                );
            }
        }
        let waits = |t: &&Transaction| now.since(t.since) > LONG && !t.is_dormant(now);
        if let Some(t) = engine.scheduler().transactions().find(waits) {
            return broken(6, format!("{t:?} waits and nothing blocks it"));
        }
        if engine.status(now).memory.pressure != Some(PressureLevel::Low) {
            return broken(3, "pressure stays");
        }
        Ok(())
    }
}

/// A member of a demand's set in a state that satisfies `is_right`, whose bytes are reserved and whose dependencies are
/// ready.
fn startable(engine: &Engine, is_right: fn(ComponentState) -> bool) -> Option<ComponentKey> {
    let s = engine.scheduler();
    let clearing = |k: ComponentKey| {
        let mut clearing = s.transactions().filter(|t| t.phase == Phase::Clearing);
        clearing.any(|t| t.reserve.iter().any(|r| r.key == k))
    };
    let ready =
        s.transactions().filter(|t| t.phase == Phase::Loading && !t.origin.is_speculative());
    ready.into_iter().find_map(|t| {
        t.closure.iter().copied().find(|k| {
            is_right(s.entry(*k).state())
                && engine.budget().reserved_for(*k).0 > 0
                && !clearing(*k)
                && engine.catalog().dependencies(*k).iter().all(|d| {
                    let e = s.entry(*d);
                    e.state() == ComponentState::Ready && !e.restart().is_outdated()
                })
                && !engine.catalog().after(*k).iter().any(|a| {
                    t.closure.contains(a)
                        && matches!(
                            s.entry(*a).state(),
                            ComponentState::Queued { .. } | ComponentState::Loading { .. }
                        )
                })
        })
    })
}
