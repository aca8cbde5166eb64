//! Which pool of the ledger a component's bytes belong to.
//!
//! Invariant: the catalog gives a pool the same position, by its name, in the whole chain of configurations, so
//! the ledger's positions are the catalog's.

use majordomo_core::ComponentKey;
use majordomo_memory::PoolLimit;
use majordomo_registry::Catalog;

use crate::Engine;

/// The limits of a catalog's pools, by position.
pub(crate) fn limits(catalog: &Catalog) -> impl Iterator<Item = PoolLimit> + '_ {
    catalog.pools().iter().map(|p| PoolLimit { budget: p.budget, declared: p.declared })
}

impl Engine {
    /// The pool that a component's bytes are, or would be, booked in: that of its account while it has one, by
    /// whichever configuration, else the configured one.
    pub(crate) fn pool(&self, key: ComponentKey) -> usize {
        self.budget.pool_of(key).unwrap_or_else(|| self.configured_pool(key))
    }

    /// The pool that its next incarnation is booked in.
    pub(crate) fn configured_pool(&self, key: ComponentKey) -> usize {
        self.catalog().pool(key)
    }
}
