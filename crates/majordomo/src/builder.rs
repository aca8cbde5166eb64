//! Collects components, settings and factories for a manager.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use majordomo_core::{BudgetSetting, ByteSize, Config, WallSeconds};
use majordomo_memory::{PressureSource, effective_limit, platform_source};
use majordomo_registry::{ComponentSpec, PoolSpec};
use majordomo_runtime::clock::WallClock;
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::{Component, Factory, Instance, LoadContext, LoadError};

use crate::manager::Manager;

impl Manager {
    /// A builder with documented defaults and no components.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Collects what a manager is made of; [`Builder::start`] checks it as a whole and starts it.
#[derive(Default)]
pub struct Builder {
    pub(crate) file: Option<PathBuf>,
    pub(crate) specs: Vec<Arc<ComponentSpec>>,
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) config: Config,
    pub(crate) budget: Option<BudgetSetting>,
    pub(crate) factories: BTreeMap<String, Factory>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) base_dir: Option<PathBuf>,
    pub(crate) guard: Option<GuardForm>,
    pub(crate) pressure: Option<Option<Box<dyn PressureSource>>>,
    pub(crate) wall_clock: WallClock,
    pub(crate) dormant: bool,
    pub(crate) adopt_strays: bool,
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
    /// [`Self::start`]; [`Operator::reload`](crate::Operator::reload) reads it again.
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
}

/// The memory that this process may use at all: the machine's, or its group's if that is smaller. None when the
/// system does not tell.
#[must_use]
pub fn memory_limit() -> Option<ByteSize> {
    effective_limit(&mut platform_source()).ok()
}
