//! The parts of a manager's configuration: what a file or text declares, what was added in code, and the check of both
//! together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{BudgetSetting, ByteSize, Config, Priority};
use majordomo_registry::{Catalog, ComponentSpec, LoadedConfig, PoolSpec, Problem, Problems};
use majordomo_runtime::budget_bytes;

use crate::check::{check_config_in, check_text};
use crate::component_ref::ComponentRef;
use crate::factories::Factories;
use crate::factory::Factory;
use crate::intents::Matchers;
use crate::problems::{in_code, of_catalog};

/// The place that a configuration is read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Text(Arc<str>),
}

impl Source {
    /// Reads and checks it. Blocking.
    pub(crate) fn read(
        &self,
        folder: Option<&Path>,
        machine_limit: Option<ByteSize>,
    ) -> Result<LoadedConfig, Problems> {
        match self {
            Self::File(path) => check_config_in(path, folder, machine_limit),
            Self::Text(text) => check_text(text, folder, machine_limit),
        }
    }
}

/// What was added in code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub specs: Vec<Arc<ComponentSpec>>,
    pub pools: Vec<PoolSpec>,
    /// The settings where no file or text has any.
    pub config: Config,
    pub factories: Factories,
}

impl Code {
    /// Adds a builtin and its factory.
    pub(crate) fn add<T: Send + Sync + 'static>(
        &mut self,
        spec: ComponentSpec,
        factory: Factory<T>,
    ) -> ComponentRef<T> {
        let component = ComponentRef::new(spec.id.clone());
        self.factories.add_for(&spec, factory.into_inner());
        self.specs.push(Arc::new(spec));
        component
    }
}

/// Components, pools and settings of a manager.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub specs: Vec<Arc<ComponentSpec>>,
    pub pools: Vec<PoolSpec>,
    pub config: Config,
}

/// Parts that fit together.
#[derive(Debug)]
pub(crate) struct Checked {
    pub catalog: Arc<Catalog>,
    pub matchers: Matchers,
    pub budget: ByteSize,
}

impl Parts {
    /// The parts of a configuration that was read, if any, and those added in code.
    pub(crate) fn new(read: Option<&Self>, code: &Code, budget: Option<BudgetSetting>) -> Self {
        let mut parts = match read {
            Some(read) => read.clone(),
            None => Self { config: code.config.clone(), ..Self::default() },
        };
        parts.specs.extend(code.specs.iter().cloned());
        parts.pools.extend(code.pools.iter().cloned());
        if let Some(budget) = budget {
            parts.config.memory.budget = budget;
        }
        parts
    }

    /// Adds every problem of the parts together to `problems`; the catalog and the rest when there is none at all.
    pub(crate) fn check(
        &self,
        limit: ByteSize,
        prev: Option<&Catalog>,
        mut problems: Vec<Problem>,
    ) -> Result<Checked, Problems> {
        let catalog = Catalog::build_shared(self.specs.clone(), self.pools.clone(), prev);
        let catalog = catalog.map_err(|errors| problems.extend(errors.iter().map(of_catalog)));
        let budget = budget_bytes(self.config.memory.budget, limit);
        let Ok(catalog) = catalog.map(Arc::new) else { return Err(Problems::new(problems)) };
        problems.extend(self.over_budget(&catalog, budget));
        match Matchers::new(Arc::clone(&catalog)) {
            Ok(matchers) if problems.is_empty() => Ok(Checked { catalog, matchers, budget }),
            Ok(_) => Err(Problems::new(problems)),
            Err(problem) => {
                problems.push(problem);
                Err(Problems::new(problems))
            }
        }
    }

    /// CORE and pinned components that need more than a stated budget.
    fn over_budget(&self, catalog: &Catalog, budget: ByteSize) -> Option<Problem> {
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
        if need <= budget {
            return None;
        }
        if let BudgetSetting::Share(_) = self.config.memory.budget {
            tracing::warn!(%need, %budget, "CORE and pinned components need more than the default budget");
            return None;
        }
        Some(in_code(
            "over-budget",
            format!("CORE and pinned components need {need}, the budget is {budget}"),
            "raise the budget, or pin fewer components",
        ))
    }
}

impl From<&LoadedConfig> for Parts {
    fn from(loaded: &LoadedConfig) -> Self {
        let LoadedConfig { specs, pools, config, .. } = loaded;
        Self { specs: specs.clone(), pools: pools.clone(), config: config.clone() }
    }
}
