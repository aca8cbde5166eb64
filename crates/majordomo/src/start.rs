//! From a builder to a running manager.

use std::path::PathBuf;
use std::sync::Arc;

use majordomo_core::BudgetSetting;
use majordomo_memory::{effective_limit, platform_source};
use majordomo_registry::{LoaderSpec, base_dir as base_dir_of};
use majordomo_runtime::guard::{Guard, GuardConfig, GuardForm};
use majordomo_runtime::process::{ProcessConfig, ProcessLoader, Subreaper};
use majordomo_runtime::{Host, ShellParts};

use crate::builder::Builder;
use crate::check::check_config_in;
use crate::error::BuildError;
use crate::intents::{Brain, IntentService, Matchers, Settings};
use crate::manager::{Manager, Origin};
use crate::parts::Parts;
use crate::state_dir::StateDir;

impl Builder {
    /// Checks everything and starts the manager on the current tokio runtime, which needs time and I/O.
    ///
    /// # Errors
    /// A [`BuildError`]; nothing runs then.
    pub async fn start(self) -> Result<Manager, BuildError> {
        tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
        let mut machine = platform_source();
        let limit = effective_limit(&mut machine);
        let mut parts = Parts { specs: self.specs, pools: self.pools, config: self.config };
        let extra = (parts.specs.clone(), parts.pools.clone());
        if let Some(file) = &self.file {
            // On a thread of its own: a file system that hangs must not hold up the caller's other tasks.
            let (path, base, limit) =
                (file.clone(), self.base_dir.clone(), limit.as_ref().ok().copied());
            let read =
                tokio::task::spawn_blocking(move || check_config_in(&path, base.as_deref(), limit));
            let loaded = read.await.map_err(std::io::Error::other)??;
            for warning in &loaded.warnings {
                tracing::warn!("{warning:#}");
            }
            parts.specs.splice(0..0, loaded.specs);
            parts.pools.splice(0..0, loaded.pools);
            parts.config = loaded.config;
        }
        if let Some(budget) = self.budget {
            parts.config.memory.budget = budget;
        }
        let limit = match (parts.config.memory.budget, limit) {
            (BudgetSetting::Bytes(bytes), Err(_)) => bytes,
            (_, limit) => limit.map_err(|e| BuildError::Memory(e.to_string()))?,
        };
        let (catalog, budget) = parts.check(limit, None)?;
        let catalog = Arc::new(catalog);
        let matchers = Matchers::new(Arc::clone(&catalog))?;

        let (state, store) = StateDir::open(self.state_dir, self.dormant).await?;
        let mut settings = Settings::from(&parts.config);
        // Who only asks what would happen trains nothing.
        settings.intents.learn &= !self.dormant;
        let kept = store.clone();
        let brain =
            tokio::task::spawn_blocking(move || Brain::open(matchers, settings, kept)).await;
        let intents = IntentService::start(brain.map_err(std::io::Error::other)?)?;
        let runs_processes = catalog
            .keys()
            .any(|k| catalog.spec(k).is_some_and(|s| matches!(s.loader, LoaderSpec::Process(_))));
        let processes = if !self.dormant && (runs_processes || self.file.is_some()) {
            let form = self.guard.unwrap_or(GuardForm::Shell);
            let pid_file = Some(state.path.join("guard.pids"));
            let temporary = state.temporary.then(|| state.path.clone());
            let guard = Guard::start(GuardConfig { form, pid_file, temporary }).await?;
            let mut config = ProcessConfig::new(state.path.clone());
            // macOS has no such thing: there strays are out of scope.
            if self.adopt_strays && cfg!(target_os = "linux") {
                config.subreaper = Some(Subreaper::enable()?);
            }
            let loader = ProcessLoader::new(config, guard);
            let bounded = |k| catalog.spec(k).is_some_and(|s| s.memory_limit.is_some());
            if catalog.keys().any(bounded) {
                let loader = loader.clone();
                // It fails only when the runtime shuts down.
                let _ = tokio::task::spawn_blocking(move || loader.find_limits()).await;
            }
            Some(loader)
        } else {
            None
        };
        let folder = self.base_dir.clone();
        let base_dir = match (self.base_dir, &self.file) {
            (Some(dir), _) => dir,
            (None, Some(file)) => base_dir_of(file)?,
            (None, None) => PathBuf::new(),
        };
        let base_dir = std::path::absolute(if base_dir.as_os_str().is_empty() {
            std::env::current_dir()?
        } else {
            base_dir
        })?;
        let config = parts.config.clone();
        let pressure = self.pressure.unwrap_or_else(|| Some(Box::new(machine)));
        let host = Host::start(ShellParts {
            catalog,
            config: parts.config,
            budget,
            factories: self.factories,
            processes,
            base_dir,
            store,
            pressure,
            wall_clock: self.wall_clock,
            start: !self.dormant,
            sections: vec![Box::new(intents.section())],
        })?;
        let origin = Origin { file: self.file, folder, extra, budget: self.budget, limit };
        Ok(Manager::new(host, intents, config, origin, state))
    }
}
