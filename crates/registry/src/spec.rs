//! The specification of one component, from a configuration file or a builder.

mod core_ml;
mod external;
mod gateway;
mod probe;
mod process;
mod requests;
mod route;
mod setters;

pub use core_ml::{ComputeUnits, CoreMlSpec};
pub(crate) use external::is_request_path;
pub use external::{ExternalSpec, ServiceRequest, ServiceUrl, UrlScheme};
pub use gateway::{GatewaySpec, Select, SelectorSpec, TokenSpec};
pub use probe::{ProbeRule, ProbeSpec, WhileLeased};
pub use process::{ProcessSpec, Protocol, ReadySpec, StdinMode, StdioSpec};
pub use requests::{
    StepRequest, StepSpec, StopSignal, StopSpec, TrimSignal, TrimSpec, WarmUpRequest, WarmUpSpec,
};
pub use route::{ConnectionUse, ListenAddress, LoadOn, RouteSpec, Serves};

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, ParkChoice, Priority};

use crate::template::EndpointPart;

/// One allocation for the pool of most components.
static GENERAL: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("general"));

/// Pools that exist without being declared.
pub const WELL_KNOWN_POOLS: [&str; 4] = ["vision", "audio", "ml", "general"];

/// The action when a component is requested while a conflicting one is loaded. The stricter side wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ConflictPolicy {
    /// The other component is evicted first, if it may be.
    #[default]
    Replace,
    /// The demand is refused, unless the other component was preloaded and is not used; then that is evicted first.
    Refuse,
}

/// The action after a ready component fails, or ends by itself with an exit code of [`ComponentSpec::exit_ok`], which is
/// no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum RestartPolicy {
    /// Loaded again on the next demand only. CORE and pinned components: after the back-off of a failure, and at once
    /// when they ended by themselves.
    #[default]
    OnDemand,
    /// Loaded again after the back-off of a failure, without a demand; after an end by itself as with `OnDemand`.
    OnFailure,
    /// Loaded again without a demand: after the back-off of a failure, and at once after an end by itself.
    Always,
    /// After a failure never loaded again until an operator or a changed configuration; after an end by itself on the
    /// next demand.
    Never,
}

/// The action on a component that stays above its own memory limit after a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum OverLimit {
    /// The component is unloaded and loaded again, with the back-off of a failure.
    #[default]
    Restart,
    /// The component is unloaded until it is requested. CORE and pinned components are restarted.
    Unload,
}

/// The action on a load when its last waiting caller cancels the demand or disconnects. A passed deadline does not end a
/// load, except the caller's own deadline with `Cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum OnAbandon {
    /// Finish when more than half of the learned load time has passed, else cancel.
    #[default]
    Auto,
    /// Always finish.
    Finish,
    /// Always cancel.
    Cancel,
}

/// The loader of a component.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "lowercase"))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the two names of a Python function")]
pub enum LoaderSpec {
    /// A Rust factory registered with the manager's builder under this name.
    Builtin {
        /// The factory's name; by default the component's.
        factory: String,
    },
    /// A program in its own process group.
    Process(ProcessSpec),
    /// A Python import function `module:function`.
    Python { module: String, function: String },
    /// A service that runs elsewhere.
    External(ExternalSpec),
    /// A model of Core ML, loaded inside the manager's process; macOS only.
    CoreMl(CoreMlSpec),
}

impl LoaderSpec {
    /// Whether a component of this loader can be asked to give back memory. Components inside this process
    /// have a hook; a program needs a declared way.
    #[must_use]
    pub const fn can_trim(&self) -> bool {
        match self {
            Self::Builtin { .. } | Self::Python { .. } => true,
            Self::Process(process) => process.trim.is_some(),
            Self::External(_) | Self::CoreMl(_) => false,
        }
    }

    /// Whether its components are inside this process and have the hooks of one: memory that is booked here, health checks.
    #[must_use]
    pub const fn is_in_process(&self) -> bool {
        matches!(self, Self::Builtin { .. } | Self::CoreMl(_))
    }

    /// The word for the kind of loader.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Builtin { .. } => "builtin",
            Self::Process(_) => "process",
            Self::Python { .. } => "python",
            Self::External(_) => "external",
            Self::CoreMl(_) => "coreml",
        }
    }
}

/// A pool of memory with a budget of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolSpec {
    /// The name, by the rules of component names.
    pub name: Arc<str>,
    /// Without a budget, only the total bounds the pool.
    pub budget: Option<ByteSize>,
    /// The pool's memory is not RAM, such as VRAM: it counts against this pool's budget and not against the total.
    pub declared: bool,
}

/// The memory that a component is expected to hold while it sleeps. The bytes in its own pool are measured then, where they
/// can be; the others are booked as they stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AsleepSpec {
    /// In the component's own pool; none = as while it is ready.
    pub memory: Option<ByteSize>,
    /// In other pools, by name. A pool that is not named is empty then.
    pub memory_in: BTreeMap<Arc<str>, ByteSize>,
}

impl From<ByteSize> for AsleepSpec {
    /// So many bytes of the component's own pool, and none elsewhere.
    fn from(bytes: ByteSize) -> Self {
        Self { memory: Some(bytes), memory_in: BTreeMap::new() }
    }
}

/// The specification of one component.
#[derive(Clone, Debug, PartialEq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the component's name and loader")]
#[non_exhaustive]
pub struct ComponentSpec {
    pub id: ComponentId,
    /// For people.
    pub description: String,
    /// Default MEDIUM.
    pub priority: Priority,
    /// The pool whose budget the component uses. Default `general`.
    pub pool: Arc<str>,
    /// Expected memory in `pool`. Default 100 MiB.
    pub memory: ByteSize,
    /// Declared memory in pools that are not main memory, by the name of the pool.
    pub memory_in: BTreeMap<Arc<str>, ByteSize>,
    /// The memory that the component is expected to hold while it sleeps. A program or a service without it is never put to
    /// sleep; a builtin states its own by a hook, and this replaces that.
    pub asleep: Option<AsleepSpec>,
    /// The component's own limit: above it, the component is asked to trim, then `over_limit` applies. The system
    /// enforces it on a process where it can. Without a limit, only the budget bounds the component.
    pub memory_limit: Option<ByteSize>,
    /// The action when the component stays above its own limit.
    pub over_limit: OverLimit,
    /// Expected load time. Default 100 ms.
    pub load_time: Duration,
    /// Patterns of files that its load reads, which are read ahead; relative to the manager's base directory. Files that
    /// its processes have mapped or open are learned besides.
    pub files: Vec<String>,
    /// Components that must be ready before this one, and as long as it is ready.
    pub dependencies: Vec<ComponentId>,
    /// Components that are loaded first when they are part of the same plan; they are not loaded for this one.
    pub after: Vec<ComponentId>,
    /// Components that must not run at the same time. Symmetric.
    pub conflicts: Vec<ComponentId>,
    /// The action when a conflicting component is loaded.
    pub conflict_policy: ConflictPolicy,
    /// Words and phrases in a command that mean that the component is needed.
    pub keywords: Vec<String>,
    /// Words and phrases in a command after which the component is likely to be needed.
    pub preload_triggers: Vec<String>,
    /// True (the default) loads on the first demand, false at start if the component fits.
    pub lazy_init: bool,
    /// Once loaded, the component is never evicted.
    pub pinned: bool,
    /// Leases at a time, from 1; without a value there is no limit.
    pub max_leases: Option<u32>,
    /// Unload after this long without use; without a value, only when memory is needed.
    pub idle_timeout: Option<Duration>,
    /// Park in the background after this long without use, where a rung is offered; without a value, only when memory is needed.
    pub idle_park: Option<Duration>,
    /// Whether the component is parked; without a value as the manager's setting says.
    pub park: Option<ParkChoice>,
    /// The load ends within this time; without a value, the manager's deadline applies.
    pub load_deadline: Option<Duration>,
    /// The stop ends within this time; without a value, the manager's deadline applies.
    pub stop_deadline: Option<Duration>,
    /// Time between health checks of a ready component inside this process; without a value there are none. A process has a [`ProbeSpec`]
    /// instead.
    pub health_every: Option<Duration>,
    /// The rule for failed health checks of a component inside this process. A process has it in its [`ProbeSpec`].
    pub health: ProbeRule,
    /// The action after a failure or an end of a ready component.
    pub restart: RestartPolicy,
    /// Exit codes with which a ready program may end by itself without a failure. Default 0.
    pub exit_ok: Vec<u8>,
    /// The action when the last waiter of a load cancels.
    pub on_abandon: OnAbandon,
    /// The component's version; a change reloads it.
    pub version: String,
    /// The way clients reach the component through the gateway, where something is stated about it.
    pub route: Option<Box<RouteSpec>>,
    pub loader: LoaderSpec,
}

impl ComponentSpec {
    /// A component made by the factory of the same name, with the documented defaults.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn builtin(name: &str) -> Result<Self, majordomo_core::NameError> {
        let id = ComponentId::new(name)?;
        Ok(Self::new(id, LoaderSpec::Builtin { factory: name.to_owned() }))
    }

    /// The way clients reach the component through the gateway, with the documented defaults.
    #[must_use]
    pub fn route(&self) -> &RouteSpec {
        static UNSTATED: RouteSpec = RouteSpec::UNSTATED;
        self.route.as_deref().unwrap_or(&UNSTATED)
    }

    /// [`Self::route`], to change it.
    pub fn route_mut(&mut self) -> &mut RouteSpec {
        self.route.get_or_insert_default()
    }

    /// Whether the component may be parked, with the manager's setting.
    #[must_use]
    pub fn may_park(&self, manager: ParkChoice) -> bool {
        self.park.unwrap_or(manager) == ParkChoice::Auto
    }

    /// The program of a process component.
    #[must_use]
    pub const fn program(&self) -> Option<&ProcessSpec> {
        match &self.loader {
            LoaderSpec::Process(process) => Some(process),
            _ => None,
        }
    }

    /// The service of an external component.
    #[must_use]
    pub const fn service(&self) -> Option<&ExternalSpec> {
        match &self.loader {
            LoaderSpec::External(service) => Some(service),
            _ => None,
        }
    }

    /// Whether the component can be put to sleep by what it declares. A builtin may have hooks besides, which are known once it
    /// is loaded.
    #[must_use]
    pub const fn declares_sleep(&self) -> bool {
        self.asleep.is_some()
    }

    /// The health probe of a program or a service.
    #[must_use]
    pub const fn probe(&self) -> Option<&ProbeSpec> {
        match &self.loader {
            LoaderSpec::Process(process) => process.probe.as_ref(),
            LoaderSpec::External(service) => Some(&service.probe),
            _ => None,
        }
    }

    /// The model of a Core ML component.
    #[must_use]
    pub const fn core_ml(&self) -> Option<&CoreMlSpec> {
        match &self.loader {
            LoaderSpec::CoreMl(model) => Some(model),
            _ => None,
        }
    }

    /// Whether the address of the component has this part.
    #[must_use]
    pub fn has_address(&self, part: EndpointPart) -> bool {
        match &self.loader {
            LoaderSpec::Process(process) => process.has(part),
            LoaderSpec::External(_) => part == EndpointPart::Url,
            _ => false,
        }
    }

    /// Whether clients can connect to the component while it is ready.
    #[must_use]
    pub fn has_endpoint(&self) -> bool {
        self.has_address(EndpointPart::Url)
    }

    /// A service that runs elsewhere, without memory of its own.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn external(name: &str, service: ExternalSpec) -> Result<Self, majordomo_core::NameError> {
        let spec = Self::new(ComponentId::new(name)?, LoaderSpec::External(service));
        Ok(spec.memory(ByteSize::ZERO))
    }

    /// The rule for failed health probes, by the kind of loader.
    #[must_use]
    pub fn probe_rule(&self) -> ProbeRule {
        match &self.loader {
            LoaderSpec::Process(_) | LoaderSpec::External(_) => {
                self.probe().map(|probe| probe.rule).unwrap_or_default()
            }
            _ => self.health,
        }
    }

    /// A component that is a program, started without a shell, with the documented defaults.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn process(name: &str, command: &[&str]) -> Result<Self, majordomo_core::NameError> {
        Self::of_program(name, ProcessSpec::new(command.iter().copied()))
    }

    /// [`Self::process`] with more than a command.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn of_program(name: &str, program: ProcessSpec) -> Result<Self, majordomo_core::NameError> {
        Ok(Self::new(ComponentId::new(name)?, LoaderSpec::Process(program)))
    }

    /// A specification with the documented defaults.
    #[must_use]
    pub fn new(id: ComponentId, loader: LoaderSpec) -> Self {
        Self {
            id,
            description: String::new(),
            priority: Priority::Medium,
            pool: GENERAL.clone(),
            memory: ByteSize::mib(100),
            memory_in: BTreeMap::new(),
            asleep: None,
            memory_limit: None,
            over_limit: OverLimit::default(),
            load_time: Duration::from_millis(100),
            dependencies: Vec::new(),
            after: Vec::new(),
            conflicts: Vec::new(),
            conflict_policy: ConflictPolicy::default(),
            keywords: Vec::new(),
            preload_triggers: Vec::new(),
            lazy_init: true,
            pinned: false,
            max_leases: None,
            files: Vec::new(),
            idle_timeout: None,
            idle_park: None,
            park: None,
            load_deadline: None,
            stop_deadline: None,
            health_every: None,
            health: ProbeRule::default(),
            restart: RestartPolicy::default(),
            exit_ok: vec![0],
            on_abandon: OnAbandon::default(),
            version: String::new(),
            route: None,
            loader,
        }
    }
}
