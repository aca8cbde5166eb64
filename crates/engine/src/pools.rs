//! Pools across configurations: the ledger's positions stay, a catalog's do not.
//!
//! Invariant: a pool keeps its position in the ledger, by its name, for the life of the engine.

use std::sync::Arc;

use majordomo_core::ComponentKey;
use majordomo_memory::PoolLimit;
use majordomo_registry::Catalog;

use crate::Engine;

/// Names by position in the ledger, and where the current catalog's pools stand in it.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    names: Vec<Arc<str>>,
    limits: Vec<PoolLimit>,
    of_catalog: Vec<usize>,
}

impl Pools {
    /// Takes a catalog's pools over. One that is gone keeps its bytes' accounting and loses its own budget.
    pub(crate) fn configure(&mut self, catalog: &Catalog) -> &[PoolLimit] {
        for limit in &mut self.limits {
            limit.budget = None;
        }
        self.of_catalog.clear();
        for p in catalog.pools() {
            let at = self.names.iter().position(|n| *n == p.name).unwrap_or_else(|| {
                self.names.push(Arc::clone(&p.name));
                self.limits.push(PoolLimit::default());
                self.names.len() - 1
            });
            self.limits[at] = PoolLimit { budget: p.budget, declared: p.declared };
            self.of_catalog.push(at);
        }
        &self.limits
    }

    pub(crate) fn name(&self, pool: usize) -> &Arc<str> {
        &self.names[pool]
    }

    /// The position in the ledger of a catalog's pool.
    pub(crate) fn of_catalog(&self, pool: usize) -> usize {
        self.of_catalog[pool]
    }
}

impl Engine {
    /// The pool that a component's bytes are, or would be, booked in: that of its account while it has one, by
    /// whichever configuration, else the configured one.
    pub(crate) fn pool(&self, key: ComponentKey) -> usize {
        self.budget.pool_of(key).unwrap_or_else(|| self.configured_pool(key))
    }

    /// The pool that its next incarnation is booked in.
    pub(crate) fn configured_pool(&self, key: ComponentKey) -> usize {
        self.pools.of_catalog(self.catalog().pool(key))
    }
}
