//! The effects of an input, checked one by one: grants, refusals, loads and their records.
//!
//! Knows the checker's record of the state before the input, and the cells as clients see them.

use std::collections::BTreeMap;

use majordomo_core::{
    Cause, ComponentKey, ComponentState, EventKind, HintOutcome, LeftOut, Moment, Refusal, Rung,
    WaiterId,
};
use majordomo_engine::{Effect, Engine};

use super::{Broken, Checker, Open, Wait, broken};
use crate::stress::cells::SimCells;

impl Checker {
    pub(super) fn effect(
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
                        format!("record {} at {} stands at place {}", r.seq, r.at, self.next_seq),
                    );
                }
                self.next_seq += 1;
                self.record(&r.kind, engine, cells)
            }
            Effect::Grant { waiter, keys, left_out } => self.grant(*waiter, keys, left_out, engine),
            Effect::Done { waiter } => match self.open.remove(waiter) {
                Some(Open { wait: Wait::Completion, .. }) => Ok(()),
                _ => broken(
                    6,
                    format!("waiter {waiter} is done, but does not wait for a completion"),
                ),
            },
            Effect::Refuse { waiter, refusal } => match self.open.remove(waiter) {
                Some(o) if o.calm && matches!(refusal, Refusal::DeadlineExceeded { .. }) => broken(
                    6,
                    format!(
                        "waiter {waiter} for {:?} times out and nothing blocks it: {refusal}",
                        o.keys
                    ),
                ),
                Some(_) => Self::refused_for_a_preload(refusal, engine, cells),
                None => {
                    broken(6, format!("waiter {waiter} is refused, but does not wait: {refusal}"))
                }
            },
            Effect::StartLoad { id, .. } | Effect::StartWake { id, .. } => {
                self.start_load(id.key, engine)
            }
            Effect::StartPark { id, .. } => self.start_park(id.key, engine),
            Effect::ShutdownDone { stuck } => self.shutdown_done(stuck),
            _ => Ok(()),
        }
    }

    /// That each preload gains more than its victims lose together, by their records.
    pub(super) fn preloads_gain(effects: &[Effect]) -> Result<(), Broken> {
        let mut sums: BTreeMap<ComponentKey, (f64, f64)> = BTreeMap::new();
        for effect in effects {
            if let Effect::Record(record) = effect
                && let EventKind::Victim { needed_by, loss, gain: Some(gain), .. } = record.kind
            {
                let sum = sums.entry(needed_by).or_insert((gain, 0.0));
                sum.1 += loss;
            }
        }
        match sums.into_iter().find(|(_, (gain, loss))| loss >= gain) {
            Some((key, (gain, loss))) => {
                broken(10, format!("the preload of {key} gains {gain}, its victims lose {loss}"))
            }
            None => Ok(()),
        }
    }

    fn grant(
        &mut self,
        waiter: WaiterId,
        keys: &[ComponentKey],
        left_out: &[LeftOut],
        engine: &Engine,
    ) -> Result<(), Broken> {
        let Some(open) = self.open.remove(&waiter) else {
            return broken(6, format!("waiter {waiter} is granted, but does not wait"));
        };
        let mut all: Vec<_> = left_out.iter().map(|l| l.component).collect();
        all.extend(keys);
        all.sort_unstable();
        let whole = left_out.is_empty() || (open.partial && !keys.is_empty());
        if open.wait != Wait::Leases || open.keys != all || !whole {
            return broken(
                6,
                format!("waiter {waiter} requested {:?} and is granted {keys:?}", open.keys),
            );
        }
        let closure = engine.catalog().closure(keys);
        if let Some(k) = closure.iter().find(|k| self.mirror[k.index()] != ComponentState::Ready) {
            let what =
                format!("waiter {waiter} is granted {keys:?}, {k} is {}", self.mirror[k.index()]);
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

    fn start_load(&self, key: ComponentKey, engine: &Engine) -> Result<(), Broken> {
        let e = engine.scheduler().entry(key);
        if e.is_unrequested() && engine.budget().overload_of(key).0 > 0 {
            return broken(3, format!("{key} is loaded beyond the budget without a demand"));
        }
        match e.dependencies().iter().find(|d| self.mirror[d.index()] != ComponentState::Ready) {
            Some(d) => broken(1, format!("{key} loads while {d} is {}", self.mirror[d.index()])),
            None => Ok(()),
        }
    }

    fn start_park(&self, key: ComponentKey, engine: &Engine) -> Result<(), Broken> {
        let e = engine.scheduler().entry(key);
        if e.is_required() {
            return broken(5, format!("{key} is parked, and a transaction needs it"));
        }
        // As of this effect, not of the end of the input.
        let state = |d: &ComponentKey| self.mirror[d.index()];
        match e.dependents().iter().find(|d| !state(d).is_parked() && state(d).is_alive()) {
            Some(d) => broken(1, format!("{key} is parked while {d} is {}", state(d))),
            None => Ok(()),
        }
    }

    fn shutdown_done(&mut self, stuck: &[ComponentKey]) -> Result<(), Broken> {
        self.is_down = true;
        self.down_by = None;
        for (i, s) in self.mirror.iter().enumerate() {
            let listed = stuck.contains(&ComponentKey::from_index(i));
            let down = matches!(
                s,
                ComponentState::Down(Rung::Gone)
                    | ComponentState::Failed { .. }
                    | ComponentState::Quarantined { .. }
            );
            if listed != (*s == ComponentState::Stuck) || !(down || listed) {
                return broken(
                    7,
                    format!("after the shutdown component {i} is {s}, listed as stuck: {listed}"),
                );
            }
        }
        if !self.open.is_empty() {
            return broken(6, format!("after the shutdown {:?} still wait", self.open.keys()));
        }
        Ok(())
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
                        format!("{key} was {known:?} and changes from {from:?} to {to:?}: {cause}"),
                    );
                }
                if *from == ComponentState::Ready {
                    self.rungs.parks(*key, *to, engine)?;
                }
                let is_unloaded =
                    matches!(to, ComponentState::Draining | ComponentState::Unloading { .. })
                        && (*from == ComponentState::Ready
                            || from.is_loading()
                            || from.is_on_the_ladder());
                if is_unloaded && cause.class().is_eviction() {
                    self.eviction(*key, cause, engine)?;
                }
                if to.is_unloading() && cause.class().is_eviction() {
                    let held = cells.current(*key).is_some_and(|i| {
                        i.cell.leases() > 0
                            && !(i.cell.is_revoked() && *from == ComponentState::Draining)
                    });
                    if held {
                        return broken(5, format!("{key} is evicted under its leases: {cause}"));
                    }
                }
                if to.is_loading() && *cause == Cause::Speculation {
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
        // A demand may have taken the load over since.
        if engine.scheduler().entry(key).is_unrequested() && engine.budget().is_memory_overdrawn() {
            return broken(3, format!("{key} is preloaded while the budget is overdrawn"));
        }
        Ok(())
    }

    /// A preloaded component without leases never makes a demand be refused.
    fn refused_for_a_preload(
        refusal: &Refusal,
        engine: &Engine,
        cells: &SimCells,
    ) -> Result<(), Broken> {
        let Refusal::Conflict { with, .. } = refusal else { return Ok(()) };
        let Some(key) = engine.catalog().key(with.as_str()) else { return Ok(()) };
        let unused = |k: &ComponentKey| {
            let e = engine.scheduler().entry(*k);
            let there = matches!(
                e.state(),
                ComponentState::Queued { .. }
                    | ComponentState::Loading { .. }
                    | ComponentState::Ready
            );
            let leases = cells.current(*k).map_or(0, |i| i.cell.leases());
            there && e.is_unrequested() && !e.is_fixed() && leases == 0
        };
        if engine.scheduler().live_closure(key).iter().all(unused) {
            return broken(5, format!("a demand is refused for a preload: {refusal}"));
        }
        Ok(())
    }

    fn eviction(&self, key: ComponentKey, cause: &Cause, engine: &Engine) -> Result<(), Broken> {
        if engine.scheduler().entry(key).is_fixed() {
            return broken(5, format!("{key} is CORE or pinned, but is evicted: {cause}"));
        }
        let needed_by = engine.scheduler().transactions().find(|t| {
            t.is_active()
                && !t.origin.is_speculative()
                && self.active.contains(&(t.id, t.admissions))
                && t.closure.contains(&key)
        });
        match needed_by {
            Some(t) => broken(5, format!("{key} is evicted ({cause}), but {:?} needs it", t.id)),
            None => Ok(()),
        }
    }
}
