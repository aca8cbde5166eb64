//! Plans: admission itself, run on the state as it is, changing nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, ComponentState, Holder, LeftOut, Moment, Refusal, Rung, WaiterId,
};
use majordomo_lifecycle::{Admitted, Origin, PeekCells, Verdict, Victim};
use majordomo_memory::Need;

use crate::Engine;
use crate::admit::Ask;

/// A component that would be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLoad {
    #[expect(missing_docs, reason = "the type says it")]
    pub key: ComponentKey,
    /// The bytes that would be booked while it loads.
    pub bytes: ByteSize,
    /// The bytes that would be booked once it is ready.
    pub settled: ByteSize,
    /// The declared bytes that would be booked in pools besides its own.
    pub apart: Need,
    /// How much of `bytes` is more than the budget has: then its load runs alone.
    pub beyond: ByteSize,
    /// The rung that it starts from: below [`Rung::Gone`] it is woken.
    pub from: Rung,
    /// Its learned or declared time from there until it is ready.
    pub load_time: Duration,
    /// The wave in which it would load, from 0; waves follow each other.
    pub wave: usize,
    /// It is being loaded already.
    pub under_way: bool,
}

/// A component that would be evicted.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedEviction {
    #[expect(missing_docs, reason = "the type says it")]
    pub key: ComponentKey,
    /// The rung where it would be.
    pub to: Rung,
    /// The bytes that it would free in its own pool.
    pub bytes: ByteSize,
    /// The declared bytes that it would free in other pools.
    pub apart: Need,
    /// It is evicted because it conflicts, not for its bytes.
    pub conflict: bool,
}

/// The loads, evictions and obstacles of a demand, were it made now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Components of the set and their dependencies that are ready.
    pub ready: Vec<ComponentKey>,
    /// Loads, in their order.
    pub loads: Vec<PlannedLoad>,
    /// Evictions, in their order.
    pub evictions: Vec<PlannedEviction>,
    /// The components that block it: the demand would wait for them.
    pub holders: Vec<Holder>,
    /// Why it would be refused.
    pub refusal: Option<Refusal>,
    /// The components that would be left out of a command so that the others fit.
    pub left_out: Vec<LeftOut>,
    /// How long the parks and the loads would take: waves one after the other, each on as many lanes as there are for loads and
    /// for wakes.
    pub wait: Duration,
    /// How much of `wait` are parks that free the memory for it.
    pub parking: Duration,
}

impl Engine {
    /// The plan of a command's demand at `now`, which may be granted in part: `order` is that of confidence.
    #[must_use]
    pub fn plan_partial(&self, order: &[ComponentKey], now: Moment, cells: &dyn PeekCells) -> Plan {
        let mut kept = Vec::new();
        let mut left_out = Vec::new();
        for &component in order {
            let with: Vec<_> = kept.iter().copied().chain([component]).collect();
            let plan = self.plan(&with, now, cells);
            let refusal = plan.refusal.or_else(|| {
                let component = self.catalog().id(component).clone();
                let holders = plan.holders;
                (!holders.is_empty()).then_some(Refusal::Blocked { component, holders })
            });
            match refusal {
                Some(refusal) => left_out.push(LeftOut { component, refusal }),
                None => kept = with,
            }
        }
        if kept.is_empty() {
            return self.plan(order, now, cells);
        }
        Plan { left_out, ..self.plan(&kept, now, cells) }
    }

    /// The plan of a demand for `keys` at `now`. Shares its admission with [`Engine::handle`].
    #[must_use]
    pub fn plan(&self, keys: &[ComponentKey], now: Moment, cells: &dyn PeekCells) -> Plan {
        if let Some(refusal) = keys.iter().find_map(|k| self.admission().no_component(*k)) {
            return Plan { refusal: Some(refusal), ..Plan::default() };
        }
        let closure = self.catalog().closure(keys);
        let mut plan = Plan::default();
        if self.is_shutting_down() {
            plan.refusal = Some(Refusal::ShuttingDown);
            return plan;
        }
        let leased: BTreeMap<_, _> = self
            .scheduler
            .entries()
            .map(|(k, _)| (k, cells.leases(k)))
            .filter(|(_, n)| *n > 0)
            .collect();
        let origin = Origin::Demand { waiter: WaiterId(u64::MAX), lease: true };
        let deadline = Some(now + self.default_deadline(keys, now));
        let ask = Ask::new(None, origin, &closure, deadline);
        let mut beyond = Vec::new();
        let verdict = self.admission().admit(ask, &leased, now);
        plan.ready =
            closure.iter().copied().filter(|k| self.state(*k) == ComponentState::Ready).collect();
        let mut awaited = closure.clone();
        plan.parking = self.admission().time_to_park(&[], &awaited, now);
        match verdict {
            Verdict::Refuse(refusal) => plan.refusal = Some(refusal),
            Verdict::Blocked { holders, .. } => plan.holders = holders,
            Verdict::Later { holders, until } => {
                plan.holders = holders;
                plan.wait = until.since(now);
            }
            Verdict::Ready => {}
            Verdict::Start(Admitted { victims, replaced, awaits, overloads, .. }) => {
                beyond = overloads;
                awaited.extend(awaits);
                plan.parking = self.admission().time_to_park(&victims, &awaited, now);
                plan.evictions = victims
                    .into_iter()
                    .map(|victim| self.planned_eviction(victim, &replaced))
                    .collect();
            }
        }
        match plan.refusal {
            None => {
                plan.wait += plan.parking;
                self.plan_loads(&closure, &beyond, &mut plan);
            }
            Some(_) => plan.parking = Duration::ZERO,
        }
        plan
    }

    fn planned_eviction(&self, victim: Victim, replaced: &[ComponentKey]) -> PlannedEviction {
        let Victim { key, to } = victim;
        let own = self.scheduler.pool(key);
        let freed = self.admission().freed_by(victim);
        let is_apart = |pool: &usize| *pool != own && *pool != Need::SWAP;
        let apart = freed.iter().filter(|(pool, _)| is_apart(pool)).collect();
        PlannedEviction { key, to, bytes: freed.of(own), apart, conflict: replaced.contains(&key) }
    }

    /// The rung that a component that is not ready starts from.
    fn starts_from(&self, key: ComponentKey) -> Rung {
        match self.state(key) {
            ComponentState::Down(rung)
            | ComponentState::Queued { from: rung }
            | ComponentState::Loading { from: rung }
            | ComponentState::Unloading { to: rung } => rung,
            ComponentState::Draining => {
                self.scheduler.entry(key).removal().map_or(Rung::Gone, |r| r.then().rung())
            }
            _ => Rung::Gone,
        }
    }

    fn plan_loads(
        &self,
        closure: &[ComponentKey],
        beyond: &[(ComponentKey, ByteSize)],
        plan: &mut Plan,
    ) {
        let missing: Vec<_> =
            closure.iter().copied().filter(|k| self.state(*k) != ComponentState::Ready).collect();
        let mut waves: BTreeMap<ComponentKey, usize> = BTreeMap::new();
        for &key in &missing {
            let before = self.catalog().dependencies(key).iter().chain(self.catalog().after(key));
            let wave = before.filter_map(|d| waves.get(d)).max().map_or(0, |w| w + 1);
            waves.insert(key, wave);
            let under_way = matches!(
                self.state(key),
                ComponentState::Loading { .. } | ComponentState::Queued { .. }
            );
            let needs = self.scheduler.needs(key);
            let from = self.starts_from(key);
            let bytes = match self.state(key) {
                _ if under_way => self.scheduler.budget().booked_for(key),
                ComponentState::Down(rung) if rung.is_parked() => {
                    self.scheduler.needed_to_wake(key, rung).bytes
                }
                _ => needs.load,
            };
            let beyond = beyond.iter().find(|b| b.0 == key).map_or(ByteSize::ZERO, |b| b.1);
            plan.loads.push(PlannedLoad {
                key,
                bytes,
                settled: needs.settled.min(bytes),
                apart: self.scheduler.declared_apart(key),
                beyond,
                from,
                load_time: self.scheduler.wait_at(key, from),
                wave,
                under_way,
            });
        }
        plan.loads.sort_by_key(|l| l.wave);
        let (lanes, wake_lanes) = (self.config().loads.lanes(), self.scheduler.wake_lanes());
        for wave in 0..=waves.values().copied().max().unwrap_or(0) {
            let side_by_side = |wakes: bool, lanes: usize| {
                let loads = plan.loads.iter().filter(|l| l.wave == wave);
                let times = loads.filter(|l| l.from.is_parked() == wakes).map(|l| l.load_time);
                let lanes = u32::try_from(lanes).unwrap_or(u32::MAX);
                let sum = times.clone().sum::<Duration>() / lanes;
                times.max().unwrap_or_default().max(sum)
            };
            plan.wait += side_by_side(false, lanes).max(side_by_side(true, wake_lanes));
        }
    }
}
