//! Collects components, settings and factories for a manager.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use majordomo_core::{BudgetSetting, ByteSize, Config, StatusValue, WallSeconds};
use majordomo_memory::{PressureSource, effective_limit, platform_source};
use majordomo_registry::{ComponentSpec, GatewaySpec, PoolSpec};
use majordomo_runtime::clock::WallClock;
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::{LoadContext, LoadError, StatusSection};

use crate::component_ref::ComponentRef;
use crate::factory::Factory;
use crate::manager::Manager;
use crate::parts::{Code, Source};

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
    pub(crate) source: Option<Source>,
    pub(crate) code: Code,
    pub(crate) budget: Option<BudgetSetting>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) base_dir: Option<PathBuf>,
    pub(crate) guard: Option<GuardForm>,
    pub(crate) pressure: Option<Option<Box<dyn PressureSource>>>,
    pub(crate) wall_clock: WallClock,
    pub(crate) dormant: bool,
    pub(crate) measures: bool,
    pub(crate) adopt_strays: bool,
    pub(crate) releases_program: bool,
    pub(crate) sections: Vec<StatusSection>,
    #[cfg(feature = "coreml")]
    pub(crate) back_ends: Option<crate::back_ends::BackEnds>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("source", &self.source)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Reads components and settings from a configuration file (TOML, or the predecessor's JSON) at
    /// [`Self::start`]; [`Operator::reload`](crate::Operator::reload) reads it again. Takes the place of an earlier
    /// [`Self::config_str`].
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(Source::File(path.into()));
        self
    }

    /// Reads components and settings from a text in the format of a configuration file (TOML) at [`Self::start`].
    /// Takes the place of an earlier [`Self::config_file`].
    #[must_use]
    pub fn config_str(mut self, text: impl Into<String>) -> Self {
        self.source = Some(Source::Text(text.into().into()));
        self
    }

    /// Adds a component besides those of the configuration: a program, or a builtin whose factory is registered by
    /// name ([`Self::factory`]).
    #[must_use]
    pub fn component(mut self, spec: ComponentSpec) -> Self {
        self.code.specs.push(Arc::new(spec));
        self
    }

    /// Adds a pool besides those of the configuration.
    #[must_use]
    pub fn pool(mut self, pool: PoolSpec) -> Self {
        self.code.pools.push(pool);
        self
    }

    /// Sets the settings; those of a configuration file or text take their place.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.code.config = config;
        self
    }

    /// Sets the gateway; one of a configuration file or text takes its place.
    #[must_use]
    pub fn gateway(mut self, gateway: GatewaySpec) -> Self {
        self.code.gateway = Some(Arc::new(gateway));
        self
    }

    /// Adds a section to [`Status::sections`](crate::Status): its name and figures, asked for whenever a status is made. It must
    /// not block.
    #[must_use]
    pub fn section(
        mut self,
        make: impl Fn() -> (String, Vec<(String, StatusValue)>) + Send + Sync + 'static,
    ) -> Self {
        self.sections.push(Box::new(make));
        self
    }

    /// Sets the total memory budget, over file and settings.
    #[must_use]
    pub fn budget(mut self, bytes: ByteSize) -> Self {
        self.budget = Some(BudgetSetting::Bytes(bytes));
        self
    }

    /// Adds a component that runs inside this process, with the function that makes it. The function may block. For
    /// hooks and async functions see [`Self::builtin_with`]; [`Self::add`] returns a typed reference.
    #[must_use]
    pub fn builtin<T: Send + Sync + 'static>(
        self,
        spec: ComponentSpec,
        make: impl Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    ) -> Self {
        self.builtin_with(spec, Factory::new(make))
    }

    /// [`Self::builtin`] with any [`Factory`].
    #[must_use]
    pub fn builtin_with<T: Send + Sync + 'static>(
        mut self,
        spec: ComponentSpec,
        factory: Factory<T>,
    ) -> Self {
        self.add_with(spec, factory);
        self
    }

    /// [`Self::builtin`] on a builder in a variable; returns the reference by which the component is leased without
    /// naming its type: `let model = builder.add(spec, make)`, then `manager.acquire(&model).await`.
    pub fn add<T: Send + Sync + 'static>(
        &mut self,
        spec: ComponentSpec,
        make: impl Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    ) -> ComponentRef<T> {
        self.add_with(spec, Factory::new(make))
    }

    /// [`Self::add`] with any [`Factory`].
    pub fn add_with<T: Send + Sync + 'static>(
        &mut self,
        spec: ComponentSpec,
        factory: Factory<T>,
    ) -> ComponentRef<T> {
        self.code.add(spec, factory)
    }

    /// Registers the factory of a builtin that the configuration declares (`loader = "builtin"`), by the name of its
    /// factory, which is the component's unless `factory` names another.
    #[must_use]
    pub fn factory<T: Send + Sync + 'static>(mut self, name: &str, factory: Factory<T>) -> Self {
        self.code.factories.add_named(name, factory.into_inner());
        self
    }

    /// The folder for learned figures, sockets and components' own folders; created when missing. Without one
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

    /// The form of the guard process; by default a few lines of `/bin/sh`. The guard runs when there are programs or a
    /// configuration at the start, and always when this is called.
    #[must_use]
    pub fn guard(mut self, form: GuardForm) -> Self {
        self.guard = Some(form);
        self
    }

    /// Adopts and reaps the processes of components that lose their parent, on Linux: this process becomes the parent of
    /// orphans, so that they are found at once. Only for programs that start no children of their own.
    #[must_use]
    pub fn adopt_strays(mut self) -> Self {
        self.adopt_strays = true;
        self
    }

    /// Unmaps the pages of this program's code ([`release_program`](crate::release_program)) after each retrain and each write of
    /// what was learned, which touch code that rests between them. Only for programs that are the manager and nothing else: the
    /// first steps after it map the code that they need again, which takes about a millisecond in all.
    #[must_use]
    pub fn release_program(mut self) -> Self {
        self.releases_program = true;
        self
    }

    /// Chooses among back ends of the text model's dense layers by measurement, in a child process, after each retrain;
    /// batches are computed by the fastest. Without this call, and wherever one fails, the kernels compute everything.
    #[cfg(feature = "coreml")]
    #[must_use]
    pub fn back_ends(mut self, back_ends: crate::BackEnds) -> Self {
        self.back_ends = Some(back_ends);
        self
    }

    /// The source of memory pressure; none = no source. By default this machine.
    #[must_use]
    pub fn pressure(mut self, source: Option<Box<dyn PressureSource>>) -> Self {
        self.pressure = Some(source);
        self
    }

    /// The clock for the time of day of uses; by default the system's. `read` is called about once a second
    /// and for each command that used something; it must not block, and may show an earlier time than before, as a
    /// clock that was set does. Log lines and [`Manager::wall_at`] go by the system's clock in any case.
    #[must_use]
    pub fn wall_clock(mut self, read: impl Fn() -> WallSeconds + Send + Sync + 'static) -> Self {
        self.wall_clock = WallClock::new(read);
        self
    }

    /// Measures components: nothing is loaded or read ahead speculatively, and uses are neither learned nor recorded, since they
    /// are no user's. Figures of loads, memory and rungs are learned as ever.
    #[must_use]
    pub fn measuring(mut self) -> Self {
        self.measures = true;
        self
    }

    /// Loads nothing at start, not even CORE, and starts no guard: for plans. Needs no factories.
    #[must_use]
    pub fn dormant(mut self) -> Self {
        self.dormant = true;
        self
    }
}

/// The memory that this process may use at all: the machine's, or its group's if that is smaller. None when the
/// system does not report it.
#[must_use]
pub fn memory_limit() -> Option<ByteSize> {
    effective_limit(&mut platform_source()).ok()
}
