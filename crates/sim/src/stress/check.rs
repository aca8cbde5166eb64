//! The invariants that span inputs, checked from effects and records after every input.
//!
//! What one moment can show, `Engine::audit` checks; what the loaders' protocol says, the world checks as it
//! carries effects out. Knows nothing of how inputs come about.

mod broken;
mod effects;
mod memory;

pub use broken::Broken;
pub(crate) use broken::broken;
use memory::Memory;

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Moment, PressureLevel, WaiterId};
use majordomo_engine::{Effect, Engine, Input, OperatorAction};
use majordomo_lifecycle::{Phase, Transaction, TxnId};

use super::cells::SimCells;

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Leases,
    /// Nothing but word that it is done.
    Word,
}

#[derive(Clone, Debug)]
struct Open {
    keys: Vec<ComponentKey>,
    wait: Wait,
    lasts: Duration,
    deadline: Moment,
    calm: bool,
    /// It may be granted in part.
    partial: bool,
}

/// Follows one engine through its life.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    mirror: Vec<ComponentState>,
    open: BTreeMap<WaiterId, Open>,
    next_seq: u64,
    /// When a shutdown under way must have ended.
    down_by: Option<Moment>,
    shutdown_lasts: Duration,
    is_down: bool,
    memory: Memory,
    /// Before the input: active transactions with a waiter, and how often each was admitted.
    active: Vec<(TxnId, u32)>,
    due: Vec<(ComponentKey, u32)>,
}

impl Checker {
    /// Whether somebody still waits for this answer.
    pub(crate) fn is_open(&self, waiter: WaiterId) -> bool {
        self.open.contains_key(&waiter)
    }

    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// The components that a waiter asked for.
    pub(crate) fn asked(&self, waiter: WaiterId) -> &[ComponentKey] {
        self.open.get(&waiter).map_or(&[], |o| &o.keys)
    }

    /// This waiter has nothing in its way.
    pub(crate) fn expect_calm(&mut self, waiter: WaiterId) {
        if let Some(o) = self.open.get_mut(&waiter) {
            o.calm = true;
        }
    }

    /// Notes what an input means, and the state that it meets.
    pub(crate) fn before(&mut self, engine: &Engine, input: &Input, now: Moment) {
        self.mirror.resize(engine.scheduler().entries().count(), ComponentState::Unloaded);
        self.note_waiters(engine, input, now);
        self.memory.before(engine, input);
        for t in engine.scheduler().transactions().filter(|t| t.waits_for_retry.is_some()) {
            // What it waited for is the back-off of a failure.
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

    fn note_waiters(&mut self, engine: &Engine, input: &Input, now: Moment) {
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
                // Of what takes long to load it may be more than usual, but never more than the loads may take.
                let lasts = deadline.unwrap_or_else(|| d.demand.max(loads(&keys)));
                open(*waiter, keys, Wait::Leases, lasts, *partial);
            }
            Input::Operator { waiter, key, action } => {
                let lasts = match action {
                    OperatorAction::Load => d.demand + loads(&[*key]),
                    _ => d.demand,
                };
                open(*waiter, vec![*key], Wait::Word, lasts, false);
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

    /// Checks what an input brought about.
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
            return broken(7, format!("effects after the end: {effects:?}"));
        }
        self.mirror.resize(engine.scheduler().entries().count(), ComponentState::Unloaded);
        self.due.clear();
        for effect in effects {
            self.effect(effect, engine, cells, now)?;
        }
        self.leases(cells, engine)?;
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
        self.memory.after(engine)?;
        self.nothing_due(engine, now)?;
        self.lanes(engine)
    }

    /// Grants are the leases: as many in the cells as were told.
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
                    format!("{n} leases on {key} are in its cell and were granted to nobody"),
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

    /// Whatever had to be done by now is done.
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

    /// A demand's load that could run does: on a free lane, or on one that speculation gives up.
    fn lanes(&self, engine: &Engine) -> Result<(), Broken> {
        let s = engine.scheduler();
        if self.is_down || engine.is_shutting_down() {
            return Ok(());
        }
        let queued = |k: ComponentKey| s.entry(k).state() == ComponentState::Queued;
        // Beside a load beyond the budget no other runs, and it waits for those that a demand wants.
        let running = || s.entries().filter(|(_, e)| e.state() == ComponentState::Loading);
        let alone = running().any(|(k, _)| engine.budget().overload_of(k) > ByteSize::ZERO);
        let wanted = running().any(|(_, e)| !e.is_unrequested() || e.is_fixed());
        let beyond = s.entries().any(|(_, e)| e.overload() > ByteSize::ZERO);
        if alone || (beyond && wanted) {
            return Ok(());
        }
        let ready =
            s.transactions().filter(|t| t.phase == Phase::Loading && !t.origin.is_speculative());
        let mut startable = None;
        for t in ready {
            startable = t.closure.iter().copied().find(|k| {
                queued(*k)
                    && engine.budget().reserved_for(*k).0 > 0
                    && engine.catalog().dependencies(*k).iter().all(|d| {
                        let e = s.entry(*d);
                        e.state() == ComponentState::Ready && !e.restart().is_outdated()
                    })
                    && !engine.catalog().after(*k).iter().any(|a| {
                        t.closure.contains(a)
                            && matches!(
                                s.entry(*a).state(),
                                ComponentState::Queued | ComponentState::Loading
                            )
                    })
            });
            if startable.is_some() {
                break;
            }
        }
        let Some(key) = startable else { return Ok(()) };
        let loading = s.entries().filter(|(_, e)| e.state() == ComponentState::Loading);
        let (n, ahead) = loading.fold((0, 0), |(n, a), (_, e)| {
            (n + 1, a + usize::from(e.is_unrequested() && !e.is_fixed()))
        });
        if n < engine.config().loads.max_concurrent.max(1) || ahead > 0 {
            return broken(
                5,
                format!("{key} could load: {n} loads run, {ahead} of them speculative"),
            );
        }
        Ok(())
    }

    /// With nothing in the way for a long time, nothing is on its way any more.
    pub(crate) fn quiet(&self, engine: &Engine, now: Moment) -> Result<(), Broken> {
        const LONG: Duration = Duration::from_secs(65);
        for (key, e) in engine.scheduler().entries() {
            let moving = matches!(
                e.state(),
                ComponentState::Queued
                    | ComponentState::Loading
                    | ComponentState::Draining
                    | ComponentState::Unloading
            );
            if moving && now.since(e.since()) > LONG {
                return broken(
                    6,
                    format!("{key} is {} since {} and nothing is in its way", e.state(), e.since()),
                );
            }
        }
        let waits = |t: &&Transaction| now.since(t.since) > LONG && !t.is_dormant(now);
        if let Some(t) = engine.scheduler().transactions().find(waits) {
            return broken(6, format!("nothing is in the way of {t:?}"));
        }
        if engine.status(now).memory.pressure != Some(PressureLevel::Low) {
            return broken(3, "pressure stays");
        }
        Ok(())
    }
}
