//! The parts of a manager's configuration: what a file or text declares, what was added in code, and the check of both
//! together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{BudgetSetting, ByteSize, Config};
use majordomo_registry::{
    Catalog, ComponentSpec, GatewaySpec, LoadedConfig, PoolSpec, Problem, Problems, Severity,
};
use majordomo_runtime::budget_bytes;

use crate::check::{check_config_in, check_text, look};
use crate::component_ref::ComponentRef;
use crate::factories::Factories;
use crate::factory::Factory;
use crate::intents::Matchers;
use crate::problems::{of_catalog, of_finding};

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

/// Components, pools, settings and factories that were added in code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub specs: Vec<Arc<ComponentSpec>>,
    pub pools: Vec<PoolSpec>,
    /// The settings where no file or text has any.
    pub config: Config,
    /// The gateway where no file or text has one.
    pub gateway: Option<Arc<GatewaySpec>>,
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

    /// Problems that only this build and this machine show: loaders that the build lacks, programs that do not exist.
    pub(crate) async fn problems(&self, folder: PathBuf) -> std::io::Result<Vec<Problem>> {
        let specs = self.specs.clone();
        // On a thread of its own: a file system that hangs must not block the caller's other tasks.
        let looked = tokio::task::spawn_blocking(move || {
            let found = specs.iter().filter_map(|spec| Some((spec, look(spec, false, &folder)?)));
            found.map(|(spec, finding)| of_finding(spec, finding)).collect()
        });
        looked.await.map_err(std::io::Error::other)
    }

    /// Programs, where the manager cannot run any.
    pub(crate) fn programs_without_guard(&self) -> Vec<Problem> {
        let programs = self.specs.iter().filter(|spec| spec.program().is_some());
        let problem = |spec: &Arc<ComponentSpec>| {
            let message = format!(
                "components.{}: the manager was started without programs, so it has no guard process for this one",
                spec.id
            );
            Problem::in_code(
                "no-guard",
                message,
                "start the guard with the manager: Builder::guard",
            )
        };
        programs.map(problem).collect()
    }
}

/// Components, pools and settings of a manager.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub specs: Vec<Arc<ComponentSpec>>,
    pub pools: Vec<PoolSpec>,
    pub config: Config,
    pub gateway: Option<Arc<GatewaySpec>>,
    /// Whether some of them come from a file or text, which has reported its own warnings.
    pub is_read: bool,
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
        if parts.gateway.is_none() {
            parts.gateway.clone_from(&code.gateway);
        }
        parts.specs.extend(code.specs.iter().cloned());
        parts.pools.extend(code.pools.iter().cloned());
        if let Some(budget) = budget {
            parts.config.memory.budget = budget;
        }
        parts
    }

    /// Checks the parts together by the rules of a configuration file. `problems` are those found before; all of them
    /// are in the error. The warnings are logged where no file or text had its own.
    pub(crate) fn check(
        &self,
        limit: ByteSize,
        prev: Option<&Catalog>,
        mut problems: Vec<Problem>,
    ) -> Result<Checked, Problems> {
        let Self { specs, pools, config, gateway, is_read } = self;
        let (specs, pools) = (specs.clone(), pools.clone());
        let found = LoadedConfig::from_code(
            config.clone(),
            specs.clone(),
            pools.clone(),
            gateway.clone(),
            Some(limit),
        );
        match found {
            Ok(loaded) if *is_read => drop(loaded),
            Ok(loaded) => problems.extend(loaded.warnings),
            Err(found) => problems.extend(found),
        }
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        if problems.iter().any(is_error) {
            return Err(Problems::new(problems));
        }
        for warning in &problems {
            tracing::warn!("{warning:#}");
        }
        let catalog = Catalog::build_shared(specs, pools, prev);
        let of_catalog = |errors: Vec<_>| Problems::new(errors.iter().map(of_catalog).collect());
        let catalog = Arc::new(catalog.map_err(of_catalog)?);
        let matchers = Matchers::new(Arc::clone(&catalog));
        let matchers = matchers.map_err(|problem| Problems::new(vec![problem]))?;
        Ok(Checked { catalog, matchers, budget: budget_bytes(config.memory.budget, limit) })
    }
}

impl From<&LoadedConfig> for Parts {
    fn from(loaded: &LoadedConfig) -> Self {
        let LoadedConfig { specs, pools, config, gateway, .. } = loaded;
        let (specs, pools, config) = (specs.clone(), pools.clone(), config.clone());
        Self { specs, pools, config, gateway: gateway.clone(), is_read: true }
    }
}
