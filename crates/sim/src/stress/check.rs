//! The invariants that span inputs, checked from effects and records after every input.
//!
//! What one moment can show, `Engine::audit` checks; what the loaders' protocol says, the world checks as it
//! carries effects out. Knows nothing of how inputs come about.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, HintOutcome, Moment, PressureLevel,
    Refusal, WaiterId,
};
use majordomo_engine::{Effect, Engine, Input, OperatorAction};
use majordomo_lifecycle::{Phase, TxnId};

use super::cells::SimCells;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number in the design.
    pub invariant: u8,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

pub(crate) fn broken<T>(invariant: u8, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, what: what.into() })
}

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
}

/// What is remembered from before an input.
#[derive(Debug, Default)]
struct Before {
    overdraft: ByteSize,
    committed: ByteSize,
    pools: Vec<ByteSize>,
    /// Active transactions that somebody waits for, and how often each was admitted.
    active: Vec<(TxnId, u32)>,
    /// The input may change what is booked without admitting anything.
    measures: bool,
    /// The input may change pools themselves.
    configures: bool,
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
    before: Before,
    due: Vec<(ComponentKey, u32)>,
}

fn is_eviction(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::EvictedForDemand { .. }
            | Cause::EvictedForLoad
            | Cause::Replaced
            | Cause::Pressure { .. }
            | Cause::Overdraft
            | Cause::Idle
            | Cause::DependentFirst
    )
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
        let b = &mut self.before;
        b.measures = matches!(
            input,
            Input::Footprints(_) | Input::LoadFinished { .. } | Input::Configure { .. }
        );
        b.configures = matches!(input, Input::Configure { .. });
        b.overdraft = engine.budget().overdraft();
        b.committed = committed(engine);
        b.pools.clear();
        b.pools.extend((0..16).map(|p| engine.budget().pool_overdraft(p)));
        b.active.clear();
        b.active.extend(
            engine
                .scheduler()
                .transactions()
                .filter(|t| t.is_active() && !t.origin.is_speculative())
                .map(|t| (t.id, t.admissions)),
        );
    }

    fn note_waiters(&mut self, engine: &Engine, input: &Input, now: Moment) {
        let d = &engine.config().deadlines;
        let mut open = |waiter: WaiterId, keys: Vec<ComponentKey>, wait, lasts: Duration| {
            let o = Open { keys, wait, lasts, deadline: now + lasts, calm: false };
            self.open.insert(waiter, o);
        };
        match input {
            Input::Demand { waiter, keys, deadline, .. } => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                keys.dedup();
                open(*waiter, keys, Wait::Leases, deadline.unwrap_or(d.demand));
            }
            Input::Operator { waiter, key, action } => {
                let lasts = match action {
                    OperatorAction::Load => d.load.max(d.demand),
                    _ => d.demand,
                };
                open(*waiter, vec![*key], Wait::Word, lasts);
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
            if self.mirror[key.index()] != e.state {
                let what = format!(
                    "{key} is {:?}, by its records {:?}",
                    e.state,
                    self.mirror[key.index()]
                );
                return broken(9, what);
            }
        }
        self.bytes(engine)?;
        self.nothing_due(engine, now)?;
        self.lanes(engine)
    }

    fn effect(
        &mut self,
        effect: &Effect,
        engine: &Engine,
        cells: &SimCells,
        now: Moment,
    ) -> Result<(), Broken> {
        match effect {
            Effect::Record(r) => {
                if r.seq != self.next_seq || r.at != now {
                    return broken(
                        9,
                        format!("record {} at {} comes as {}", r.seq, r.at, self.next_seq),
                    );
                }
                self.next_seq += 1;
                self.record(&r.kind, engine, cells)
            }
            Effect::Grant { waiter, keys } => {
                let Some(open) = self.open.remove(waiter) else {
                    return broken(6, format!("waiter {waiter} is granted and does not wait"));
                };
                if open.wait != Wait::Leases || open.keys != *keys {
                    return broken(
                        6,
                        format!("waiter {waiter} asked for {:?}, gets {keys:?}", open.keys),
                    );
                }
                let closure = engine.catalog().closure(keys);
                if let Some(k) =
                    closure.iter().find(|k| self.mirror[k.index()] != ComponentState::Ready)
                {
                    let what = format!(
                        "waiter {waiter} is granted {keys:?}, {k} is {}",
                        self.mirror[k.index()]
                    );
                    return broken(1, what);
                }
                for key in keys {
                    match self.due.iter_mut().find(|d| d.0 == *key) {
                        Some(d) => d.1 += 1,
                        None => self.due.push((*key, 1)),
                    }
                }
                Ok(())
            }
            Effect::Done { waiter } => match self.open.remove(waiter) {
                Some(Open { wait: Wait::Word, .. }) => Ok(()),
                _ => broken(
                    6,
                    format!("waiter {waiter} is told it is done and does not wait for word"),
                ),
            },
            Effect::Refuse { waiter, refusal } => match self.open.remove(waiter) {
                Some(o) if o.calm && matches!(refusal, Refusal::DeadlineExceeded { .. }) => broken(
                    6,
                    format!(
                        "waiter {waiter} for {:?} times out with nothing in its way: {refusal}",
                        o.keys
                    ),
                ),
                Some(_) => Self::refused_for_a_guess(refusal, engine, cells),
                None => {
                    broken(6, format!("waiter {waiter} is refused and does not wait: {refusal}"))
                }
            },
            Effect::StartLoad { key, .. } => {
                let e = engine.scheduler().entry(*key);
                match e
                    .dependencies
                    .iter()
                    .find(|d| self.mirror[d.index()] != ComponentState::Ready)
                {
                    Some(d) => {
                        broken(1, format!("{key} loads while {d} is {}", self.mirror[d.index()]))
                    }
                    None => Ok(()),
                }
            }
            Effect::ShutdownDone { stuck } => {
                self.is_down = true;
                self.down_by = None;
                for (i, s) in self.mirror.iter().enumerate() {
                    let listed = stuck.contains(&ComponentKey::from_index(i));
                    let down = matches!(
                        s,
                        ComponentState::Unloaded
                            | ComponentState::Failed { .. }
                            | ComponentState::Quarantined { .. }
                    );
                    if listed != (*s == ComponentState::Stuck) || !(down || listed) {
                        return broken(
                            7,
                            format!("at the end component {i} is {s}, listed: {listed}"),
                        );
                    }
                }
                if !self.open.is_empty() {
                    return broken(6, format!("at the end {:?} still wait", self.open.keys()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        kind: &EventKind,
        engine: &Engine,
        cells: &SimCells,
    ) -> Result<(), Broken> {
        match kind {
            EventKind::State { component: key, from, to, cause, .. } => {
                let known = std::mem::replace(&mut self.mirror[key.index()], *to);
                if known != *from || !from.may_become(*to) {
                    return broken(
                        9,
                        format!("{key} was {known:?} and goes from {from:?} to {to:?}: {cause}"),
                    );
                }
                let leaves = matches!(to, ComponentState::Draining | ComponentState::Unloading)
                    && matches!(from, ComponentState::Ready | ComponentState::Loading);
                if leaves && is_eviction(cause) {
                    self.eviction(*key, cause, engine)?;
                }
                if *to == ComponentState::Unloading && is_eviction(cause) {
                    let held = cells.current(*key).is_some_and(|i| {
                        i.cell.leases() > 0
                            && !(i.cell.is_revoked() && *from == ComponentState::Draining)
                    });
                    if held {
                        return broken(5, format!("{key} is evicted under its leases: {cause}"));
                    }
                }
                if *to == ComponentState::Loading && *cause == Cause::Speculation {
                    self.may_speculate(*key, engine)?;
                }
                Ok(())
            }
            EventKind::Hint { component, outcome: HintOutcome::Started, .. } => {
                self.may_speculate(*component, engine)
            }
            _ => Ok(()),
        }
    }

    fn may_speculate(&self, key: ComponentKey, engine: &Engine) -> Result<(), Broken> {
        // A demand may have taken it over since.
        if engine.scheduler().entry(key).is_guess() && engine.budget().is_overdrawn() {
            return broken(3, format!("{key} is loaded ahead while the budget is overdrawn"));
        }
        Ok(())
    }

    /// What was loaded ahead, and nobody has had, is in nobody's way.
    fn refused_for_a_guess(
        refusal: &Refusal,
        engine: &Engine,
        cells: &SimCells,
    ) -> Result<(), Broken> {
        let Refusal::Conflict { with, .. } = refusal else { return Ok(()) };
        let Some(key) = engine.catalog().key(with.as_str()) else { return Ok(()) };
        let unused = |k: &ComponentKey| {
            let e = engine.scheduler().entry(*k);
            let there = matches!(
                e.state,
                ComponentState::Queued | ComponentState::Loading | ComponentState::Ready
            );
            let leases = cells.current(*k).map_or(0, |i| i.cell.leases());
            there && e.is_guess() && !e.is_fixed() && leases == 0
        };
        if engine.scheduler().live_group(key).iter().all(unused) {
            return broken(5, format!("a demand is refused for a guess: {refusal}"));
        }
        Ok(())
    }

    fn eviction(&self, key: ComponentKey, cause: &Cause, engine: &Engine) -> Result<(), Broken> {
        if engine.scheduler().entry(key).is_fixed() {
            return broken(5, format!("{key} is CORE or pinned and goes: {cause}"));
        }
        let wanted = engine.scheduler().transactions().find(|t| {
            t.is_active()
                && !t.origin.is_speculative()
                && self.before.active.contains(&(t.id, t.admissions))
                && t.closure.contains(&key)
        });
        match wanted {
            Some(t) => broken(5, format!("{key} goes ({cause}) while {:?} needs it", t.id)),
            None => Ok(()),
        }
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
            let max = engine.scheduler().entry(*key).spec.as_ref().and_then(|s| s.max_leases);
            let out = cells.current(*key).map_or(0, |i| i.cell.leases());
            if *n > 0 && max.is_some_and(|m| out > m) {
                return broken(1, format!("{out} leases are out on {key}, at most {max:?} may be"));
            }
        }
        Ok(())
    }

    fn bytes(&self, engine: &Engine) -> Result<(), Broken> {
        let b = engine.budget();
        let overdraft = b.overdraft();
        let committed = committed(engine);
        if overdraft > self.before.overdraft
            && committed > self.before.committed
            && !self.before.configures
        {
            let what = format!(
                "the overdraft rises from {} to {overdraft} while {} more are admitted",
                self.before.overdraft,
                committed - self.before.committed
            );
            return broken(3, what);
        }
        if self.before.measures {
            return Ok(());
        }
        if overdraft > self.before.overdraft {
            return broken(
                3,
                format!("the overdraft rises from {} to {overdraft}", self.before.overdraft),
            );
        }
        for (pool, before) in self.before.pools.iter().enumerate() {
            if b.pool_overdraft(pool) > *before {
                let what = format!(
                    "the overdraft of pool {pool} rises from {before} to {}",
                    b.pool_overdraft(pool)
                );
                return broken(3, what);
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
            let late = if due(e.load_deadline) {
                "its load is past its deadline"
            } else if due(e.unload_deadline) {
                "its unload is past its deadline"
            } else if due(e.restart_at)
                && matches!(e.state, ComponentState::Unloaded | ComponentState::Failed { .. })
                && !engine.is_shutting_down()
            {
                "its restart is due"
            } else if e.state == ComponentState::Ready && due(e.next_probe) {
                "its probe is due"
            } else if matches!(e.state, ComponentState::Quarantined { until } if until <= now) {
                "its quarantine is over"
            } else if e.leave.as_ref().is_some_and(|l| !l.forced && due(l.force_at))
                && e.state == ComponentState::Draining
            {
                "its leases should be revoked"
            } else {
                continue;
            };
            return broken(7, format!("{key} is {}: {late}", e.state));
        }
        Ok(())
    }

    /// A demand's load that could run does: on a free lane, or on one that speculation gives up.
    fn lanes(&self, engine: &Engine) -> Result<(), Broken> {
        let s = engine.scheduler();
        if self.is_down || engine.is_shutting_down() {
            return Ok(());
        }
        let queued = |k: ComponentKey| s.entry(k).state == ComponentState::Queued;
        let ready =
            s.transactions().filter(|t| t.phase == Phase::Loading && !t.origin.is_speculative());
        let mut startable = None;
        for t in ready {
            startable = t.closure.iter().copied().find(|k| {
                queued(*k)
                    && engine.budget().reserved_for(*k).0 > 0
                    && engine.catalog().dependencies(*k).iter().all(|d| {
                        let e = s.entry(*d);
                        e.state == ComponentState::Ready && !e.stale
                    })
                    && !engine.catalog().after(*k).iter().any(|a| {
                        t.closure.contains(a)
                            && matches!(
                                s.entry(*a).state,
                                ComponentState::Queued | ComponentState::Loading
                            )
                    })
            });
            if startable.is_some() {
                break;
            }
        }
        let Some(key) = startable else { return Ok(()) };
        let loading = s.entries().filter(|(_, e)| e.state == ComponentState::Loading);
        let (n, ahead) = loading
            .fold((0, 0), |(n, a), (_, e)| (n + 1, a + usize::from(e.is_guess() && !e.is_fixed())));
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
                e.state,
                ComponentState::Queued
                    | ComponentState::Loading
                    | ComponentState::Draining
                    | ComponentState::Unloading
            );
            if moving && now.since(e.since) > LONG {
                return broken(
                    6,
                    format!("{key} is {} since {} and nothing is in its way", e.state, e.since),
                );
            }
        }
        if let Some(t) = engine.scheduler().transactions().find(|t| now.since(t.since) > LONG) {
            return broken(6, format!("nothing is in the way of {t:?}"));
        }
        if engine.status(now).memory.pressure != Some(PressureLevel::Low) {
            return broken(3, "pressure stays");
        }
        Ok(())
    }
}

/// Bytes of the total that admissions hold: reservations and claims.
fn committed(engine: &Engine) -> ByteSize {
    let b = engine.budget();
    let reserved: ByteSize = engine
        .scheduler()
        .entries()
        .filter(|(k, _)| b.pool_of(*k).is_some_and(|p| !b.limit_of(p).declared))
        .map(|(k, _)| b.reserved_for(k))
        .sum();
    reserved + b.claimed()
}
