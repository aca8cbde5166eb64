//! Components, pools and settings that belong together, and the check that they do.

use std::sync::Arc;

use majordomo_core::{BudgetSetting, ByteSize, Config, Priority};
use majordomo_registry::{Catalog, ComponentSpec, PoolSpec};
use majordomo_runtime::budget_bytes;

use crate::error::BuildError;

/// Components, pools and settings.
pub(crate) struct Parts {
    pub specs: Vec<Arc<ComponentSpec>>,
    pub pools: Vec<PoolSpec>,
    pub config: Config,
}

impl Parts {
    /// The catalog and the budget in bytes, if all fits together.
    pub(crate) fn check(
        &self,
        limit: ByteSize,
        prev: Option<&Catalog>,
    ) -> Result<(Catalog, ByteSize), BuildError> {
        let catalog = Catalog::build_shared(self.specs.clone(), self.pools.clone(), prev)
            .map_err(BuildError::Catalog)?;
        let budget = budget_bytes(self.config.memory.budget, limit);
        let fixed: Vec<_> = catalog
            .keys()
            .filter(|k| catalog.spec(*k).is_some_and(|s| s.pinned || s.priority == Priority::Core))
            .collect();
        let need = catalog
            .closure(&fixed)
            .into_iter()
            .filter(|k| !catalog.pools()[catalog.pool(*k)].declared)
            .filter_map(|k| catalog.spec(k))
            .map(|s| s.memory)
            .sum::<ByteSize>();
        if need > budget {
            if matches!(self.config.memory.budget, BudgetSetting::Bytes(_)) {
                return Err(BuildError::OverBudget { need, budget });
            }
            tracing::warn!(%need, %budget, "CORE and pinned components need more than the default budget");
        }
        Ok((catalog, budget))
    }
}
