//! From components, settings and factories to a running manager.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use majordomo_core::{BudgetSetting, ByteSize, Config, Priority, StateStore, WallSeconds};
use majordomo_memory::{PressureSource, effective_limit, platform_source};
use majordomo_registry::{
    Catalog, ComponentSpec, LoaderSpec, PoolSpec, base_dir as base_dir_of, temporary_folder,
};
use majordomo_runtime::clock::WallClock;
use majordomo_runtime::guard::{Guard, GuardConfig, GuardForm};
use majordomo_runtime::process::{ProcessConfig, ProcessLoader, Subreaper};
use majordomo_runtime::state::{RedbStore, StateError};
use majordomo_runtime::{
    Component, Factory, Host, Instance, LoadContext, LoadError, ShellParts, budget_bytes,
};

use crate::check::check_config_in;
use crate::error::BuildError;
use crate::intents::{Brain, Intents, Matchers, Settings};
use crate::manager::{Manager, Origin};
use crate::unkept::{self, is_read_only};

/// Collects what a manager is made of; [`Builder::start`] checks it as a whole and starts it.
#[derive(Default)]
pub struct Builder {
    file: Option<PathBuf>,
    specs: Vec<Arc<ComponentSpec>>,
    pools: Vec<PoolSpec>,
    config: Config,
    budget: Option<BudgetSetting>,
    factories: BTreeMap<String, Factory>,
    state_dir: Option<PathBuf>,
    base_dir: Option<PathBuf>,
    guard: Option<GuardForm>,
    pressure: Option<Option<Box<dyn PressureSource>>>,
    wall_clock: WallClock,
    dormant: bool,
    adopt_strays: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("file", &self.file)
            .field("components", &self.specs.len())
            .field("factories", &self.factories)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Reads components and settings from a configuration file (TOML, or the predecessor's JSON) at
    /// [`Self::start`]; [`Manager::reload`] reads it again.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds a component, besides those of the file.
    #[must_use]
    pub fn component(mut self, spec: ComponentSpec) -> Self {
        self.specs.push(Arc::new(spec));
        self
    }

    /// Adds a pool, besides those of the file.
    #[must_use]
    pub fn pool(mut self, pool: PoolSpec) -> Self {
        self.pools.push(pool);
        self
    }

    /// Sets the settings; a configuration file's take their place.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the total memory budget, over file and settings.
    #[must_use]
    pub fn budget(mut self, bytes: ByteSize) -> Self {
        self.budget = Some(BudgetSetting::Bytes(bytes));
        self
    }

    /// Registers a factory for builtins: a function that may block and gives any value.
    #[must_use]
    pub fn builtin<T, F>(self, name: &str, make: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    {
        self.factory(name, Factory::blocking(move |ctx| make(ctx).map(Instance::plain)))
    }

    /// The same for a value with hooks: footprint, trim, health.
    #[must_use]
    pub fn builtin_component<T, F>(self, name: &str, make: F) -> Self
    where
        T: Component,
        F: Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    {
        self.factory(name, Factory::blocking(move |ctx| make(ctx).map(Instance::component)))
    }

    /// Registers an async factory, which must not block.
    #[must_use]
    pub fn builtin_async<T, F, R>(self, name: &str, make: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(LoadContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, LoadError>> + Send + 'static,
    {
        let make = move |ctx| {
            let made = make(ctx);
            async move { made.await.map(Instance::plain) }
        };
        self.factory(name, Factory::asynchronous(make))
    }

    fn factory(mut self, name: &str, factory: Factory) -> Self {
        self.factories.insert(name.to_owned(), factory);
        self
    }

    /// Where learned figures, sockets and components' own folders live; created when missing. Without one
    /// nothing is remembered, and a temporary folder is used for the rest.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Relative working directories of processes count from here; by default the configuration file's
    /// folder, else the current one.
    #[must_use]
    pub fn base_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(path.into());
        self
    }

    /// What the guard process is; by default a few lines of `/bin/sh`.
    #[must_use]
    pub fn guard(mut self, form: GuardForm) -> Self {
        self.guard = Some(form);
        self
    }

    /// Adopts and reaps the processes of components that lose their parent, on Linux, by making this process the one
    /// that orphans come back to: they are found at once then. Only for programs that start no children of their own.
    #[must_use]
    pub fn adopt_strays(mut self) -> Self {
        self.adopt_strays = true;
        self
    }

    /// Where memory pressure is felt; none = nowhere. By default this machine.
    #[must_use]
    pub fn pressure(mut self, source: Option<Box<dyn PressureSource>>) -> Self {
        self.pressure = Some(source);
        self
    }

    /// What time of day use is learned and noted at; by default the system's clock. `read` is called about once a second
    /// and for each command that used something; it must not block, and may show an earlier time than before, as a
    /// clock that was set does. Log lines and [`Manager::wall_at`] go by the system's clock in any case.
    #[must_use]
    pub fn wall_clock(mut self, read: impl Fn() -> WallSeconds + Send + Sync + 'static) -> Self {
        self.wall_clock = WallClock::new(read);
        self
    }

    /// Loads nothing at start, not even CORE, and starts no guard: for asking what would happen.
    #[must_use]
    pub fn dormant(mut self) -> Self {
        self.dormant = true;
        self
    }

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
        let intents = Intents::start(brain.map_err(std::io::Error::other)?)?;
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

/// The memory that this process may use at all: the machine's, or its group's if that is smaller. None when the
/// system does not tell.
#[must_use]
pub fn memory_limit() -> Option<ByteSize> {
    effective_limit(&mut platform_source()).ok()
}

/// What a catalog is made of.
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

/// The state directory, temporary when none was named.
pub(crate) struct StateDir {
    pub path: PathBuf,
    /// What is in it, as long as the shell has it open.
    pub store: Weak<dyn StateStore>,
    temporary: bool,
}

impl StateDir {
    /// The directory, and the store in it, which belongs to the shell alone and is closed with it.
    async fn open(
        path: Option<PathBuf>,
        dormant: bool,
    ) -> Result<(Self, Option<Arc<dyn StateStore>>), BuildError> {
        type Opened = (PathBuf, bool, Option<Arc<dyn StateStore>>);
        let opened = tokio::task::spawn_blocking(move || -> Result<Opened, BuildError> {
            match path {
                // It only asks: nothing in the directory is changed.
                Some(path) if dormant => {
                    let store = RedbStore::open_copy(&path).map_err(|e| BuildError::State {
                        path: path.clone(),
                        why: e.to_string(),
                    })?;
                    let store = store.map(|store| Arc::new(store) as Arc<dyn StateStore>);
                    Ok((path, false, store))
                }
                Some(path) => {
                    let path = std::path::absolute(&path).unwrap_or(path);
                    let opened = RedbStore::open(&path);
                    let failed = |why: String| BuildError::State { path: path.clone(), why };
                    let (store, set_aside) = match opened {
                        Err(StateError::Io { source, .. }) if is_read_only(&source) => {
                            let (here, store) = unkept::open(&path, &source).map_err(failed)?;
                            return Ok((here, true, Some(store)));
                        }
                        opened => opened.map_err(|e| failed(e.to_string()))?,
                    };
                    if let Some(set_aside) = set_aside {
                        tracing::warn!("{set_aside}");
                    }
                    Ok((path, false, Some(Arc::new(store) as Arc<dyn StateStore>)))
                }
                None => {
                    let path = temporary_dir().map_err(|e| BuildError::State {
                        path: temporary_folder(),
                        why: e.to_string(),
                    })?;
                    Ok((path, true, None))
                }
            }
        });
        let (path, temporary, store) =
            opened.await.map_err(|e| BuildError::Start(std::io::Error::other(e)))??;
        let weak = match &store {
            Some(store) => Arc::downgrade(store),
            None => Weak::<RedbStore>::new(),
        };
        Ok((Self { path, store: weak, temporary }, store))
    }
}

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateDir").field(&self.path).finish()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, path = ?self.path, "the temporary folder stays");
        }
    }
}

/// A new folder for this manager alone, mode 0700.
pub(crate) fn temporary_dir() -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let pid = std::process::id();
    let folder = std::path::absolute(temporary_folder())?;
    for n in 0..u32::MAX {
        let path = folder.join(format!("majordomo-{pid}-{n}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::Error::other("no free name for a temporary folder"))
}
