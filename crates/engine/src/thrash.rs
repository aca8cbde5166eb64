//! Thrash: demands of two waiters that load components in each other's place.
//!
//! A component *thrashes* when a demand for it waits at the same time as the demand that displaced it: what the one loads,
//! the other evicts. Its next incarnation is held for as long as its load takes, so that it serves the demands that
//! come meanwhile, and the demand behind it waits for at most one load time more (as a skier who rents until the rent
//! equals the price). A lone caller that demands only after the answer to its last demand never has two demands at once, so
//! that none of its demands waits for an idle component; a third caller may wait for a component that is held.
//!
//! Knows demands and incarnations; load times are passed in. Invariant: evidence counts for one incarnation.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Moment};
use majordomo_lifecycle::{Origin, TxnId};

use crate::Engine;

/// Evidence of thrash, and the incarnations that are held because of it.
#[derive(Debug, Default)]
pub(crate) struct Thrash {
    /// Evicted components, with the demand that displaced each.
    displaced: BTreeMap<ComponentKey, TxnId>,
    /// Components that thrash, with the demand that waits for each.
    thrashing: BTreeMap<ComponentKey, TxnId>,
    /// Until when incarnations are held.
    held: BTreeMap<ComponentKey, Moment>,
}

impl Thrash {
    /// Until when an incarnation is held.
    pub(crate) fn held_until(&self, key: ComponentKey) -> Option<Moment> {
        self.held.get(&key).copied()
    }

    /// A component was evicted for a demand.
    fn displaced(&mut self, key: ComponentKey, by: TxnId) {
        self.displaced.insert(key, by);
    }

    /// A demand waits for a component; `waits`: whether another demand still does.
    fn demanded(&mut self, key: ComponentKey, id: TxnId, waits: impl Fn(TxnId) -> bool) {
        let by = self.displaced.get(&key).copied().filter(|by| *by != id);
        if by.is_some_and(waits) {
            self.thrashing.insert(key, id);
        }
    }

    /// A demand ended without its components: it is no evidence.
    pub(crate) fn withdrawn(&mut self, id: TxnId) {
        self.thrashing.retain(|_, by| *by != id);
    }

    /// An incarnation became ready, for a demand or not. It is held until then if its component thrashes.
    pub(crate) fn ready(&mut self, key: ComponentKey, is_demanded: bool, until: Moment) {
        self.displaced.remove(&key);
        if self.thrashing.remove(&key).is_some() && is_demanded {
            self.held.insert(key, until);
        }
    }

    /// An incarnation ended, or its load did.
    pub(crate) fn ended(&mut self, key: ComponentKey) {
        self.held.remove(&key);
    }
}

impl Engine {
    /// A demand for a closure has arrived and waits.
    pub(crate) fn record_demand_for_thrash(&mut self, id: TxnId, closure: &[ComponentKey]) {
        let waits =
            |by: TxnId| self.scheduler.transaction(by).is_some_and(|t| t.origin.waiter().is_some());
        for key in closure {
            self.thrash.demanded(*key, id, waits);
        }
    }

    /// Components are displaced by a demand. Those that another demand waits for thrash already.
    pub(crate) fn record_displaced(&mut self, victims: &[ComponentKey], by: TxnId, origin: Origin) {
        if origin.waiter().is_none() {
            return;
        }
        for &key in victims {
            self.thrash.displaced(key, by);
            let waiting = self
                .scheduler
                .transactions()
                .find(|t| t.id != by && t.origin.waiter().is_some() && t.closure.contains(&key));
            if let Some(other) = waiting.map(|t| t.id) {
                self.thrash.demanded(key, other, |_| true);
            }
        }
    }
}
