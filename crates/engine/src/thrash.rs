//! Thrash: demands of two waiters that load components in each other's place.
//!
//! A component *thrashes* when a demand for it waits at the same time as the demand that displaced it: what the one loads,
//! the other evicts. Its next incarnation is held for as long as its load takes, so that it serves the demands that
//! come meanwhile, and the demand behind it waits for at most one load time more (as a skier who rents until the rent
//! equals the price). It is held against the components that displaced it and those that thrash as well; demands for
//! others, and those of a higher priority than its own, evict it as any idle component, but no preload does. A lone caller that demands only
//! after the answer to its last demand never has two demands at once, so that none of its demands waits for an idle
//! component.
//!
//! Knows demands and incarnations; load times are passed in. Invariant: evidence counts for one incarnation, and no
//! longer than its demand waits for the component.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Moment};
use majordomo_lifecycle::{Origin, TxnId};

use crate::Engine;

/// A component that thrashes.
#[derive(Debug)]
struct Evidence {
    /// The demand that waits for it.
    demand: TxnId,
    /// The components that the demand requested which displaced it.
    rivals: Vec<ComponentKey>,
}

/// An incarnation that is held.
#[derive(Debug)]
struct Hold {
    until: Moment,
    rivals: Vec<ComponentKey>,
}

/// Evidence of thrash, and the incarnations that are held because of it.
#[derive(Debug, Default)]
pub(crate) struct Thrash {
    /// Evicted components, with the demand that displaced each.
    displaced: BTreeMap<ComponentKey, TxnId>,
    thrashing: BTreeMap<ComponentKey, Evidence>,
    held: BTreeMap<ComponentKey, Hold>,
}

impl Thrash {
    /// Until when an incarnation is held against a set whose members `missing` have to be loaded.
    pub(crate) fn held_until(
        &self,
        key: ComponentKey,
        mut missing: impl Iterator<Item = ComponentKey>,
    ) -> Option<Moment> {
        let Hold { until, rivals } = self.held.get(&key)?;
        missing.any(|k| rivals.contains(&k) || self.thrashing.contains_key(&k)).then_some(*until)
    }

    /// Until when an incarnation is held against preloads.
    pub(crate) fn held_at_all(&self, key: ComponentKey) -> Option<Moment> {
        self.held.get(&key).map(|hold| hold.until)
    }

    /// A component was evicted for a demand.
    fn displaced(&mut self, key: ComponentKey, by: TxnId) {
        self.displaced.insert(key, by);
    }

    /// A demand waits for a component; `waits_for`: the components that another demand requests, if it still waits.
    fn demanded(
        &mut self,
        key: ComponentKey,
        id: TxnId,
        waits_for: impl Fn(TxnId) -> Option<Vec<ComponentKey>>,
    ) {
        let by = self.displaced.get(&key).copied().filter(|by| *by != id);
        if let Some(rivals) = by.and_then(waits_for) {
            self.thrashing.insert(key, Evidence { demand: id, rivals });
        }
    }

    /// A demand ended without its components: it is no evidence.
    pub(crate) fn demand_withdrawn(&mut self, id: TxnId) {
        self.thrashing.retain(|_, evidence| evidence.demand != id);
    }

    /// Forgets what belongs to demands that have ended; `waits_for`: the members of a demand that still waits.
    fn retain(&mut self, waits_for: impl Fn(TxnId) -> Option<Vec<ComponentKey>>) {
        self.displaced.retain(|_, by| waits_for(*by).is_some());
        self.thrashing.retain(|key, evidence| {
            waits_for(evidence.demand).is_some_and(|members| members.contains(key))
        });
    }

    /// An incarnation became ready, for a demand or not. It is held until then if its component thrashes.
    pub(crate) fn incarnation_ready(
        &mut self,
        key: ComponentKey,
        is_demanded: bool,
        until: Moment,
    ) {
        self.displaced.remove(&key);
        if let Some(Evidence { rivals, .. }) = self.thrashing.remove(&key)
            && is_demanded
        {
            self.held.insert(key, Hold { until, rivals });
        }
    }

    /// An incarnation ended, or its load did.
    pub(crate) fn incarnation_ended(&mut self, key: ComponentKey) {
        self.held.remove(&key);
    }
}

impl Engine {
    /// A demand for a closure has arrived and waits.
    pub(crate) fn record_demand_for_thrash(&mut self, id: TxnId, closure: &[ComponentKey]) {
        let waits_for = |by: TxnId| {
            let txn = self.scheduler.transaction(by).filter(|t| t.origin.waiter().is_some());
            txn.map(|t| t.requested.clone())
        };
        for key in closure {
            self.thrash.demanded(*key, id, waits_for);
        }
    }

    /// Demands have ended, or do without components that they waited for.
    pub(crate) fn record_ends_for_thrash(&mut self) {
        self.thrash.retain(|id| {
            let txn = self.scheduler.transaction(id).filter(|t| t.origin.waiter().is_some());
            txn.map(|t| t.closure.clone())
        });
    }

    /// Components are displaced by a demand. Those that another demand waits for thrash already.
    pub(crate) fn record_displaced(&mut self, victims: &[ComponentKey], by: TxnId, origin: Origin) {
        if origin.waiter().is_none() {
            return;
        }
        let Some(requested) = self.scheduler.transaction(by).map(|t| t.requested.clone()) else {
            return;
        };
        for &key in victims {
            self.thrash.displaced(key, by);
            let waiting = self
                .scheduler
                .transactions()
                .find(|t| t.id != by && t.origin.waiter().is_some() && t.closure.contains(&key));
            if let Some(other) = waiting.map(|t| t.id) {
                self.thrash.demanded(key, other, |_| Some(requested.clone()));
            }
        }
    }
}
