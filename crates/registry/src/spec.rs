//! The specification of one component: what a configuration file or a builder says of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Priority};

use crate::template::{self, EndpointPart, PlaceHolder};

/// One allocation for the pool of most components.
static GENERAL: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("general"));

/// Pools that exist without being declared.
pub const WELL_KNOWN_POOLS: [&str; 4] = ["vision", "audio", "ml", "general"];

/// What happens when a component is asked for while another that it conflicts with is loaded.
/// The stricter side wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ConflictPolicy {
    /// The other one is unloaded first, when it may go.
    #[default]
    Replace,
    /// The demand is refused, unless the other one was loaded ahead and nobody uses it: that is unloaded first.
    Refuse,
}

/// What happens after a component that was up fails, or ends by itself with an exit code of
/// [`ComponentSpec::exit_ok`], which is no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum RestartPolicy {
    /// Loaded again on the next demand only. CORE and pinned ones: after the back-off of a failure, and at once when
    /// they ended by themselves.
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

/// What happens to a component that uses more than its own limit and did not trim below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum OverLimit {
    /// It is unloaded and loaded again, with the back-off of a failure.
    #[default]
    Restart,
    /// It is unloaded, and loaded when it is asked for. CORE and pinned ones are restarted all the same.
    Unload,
}

/// What happens to a load when the last caller that waited for it leaves: it cancels its demand, or its connection
/// ends. A deadline that passes is no reason to end a load, but for one of the caller's own under `Cancel`.
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

/// What a process finds on its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum StdinMode {
    /// End of file at once.
    #[default]
    Empty,
    /// An open pipe that never has data: for programs that leave at end of file.
    Hold,
}

/// When a process counts as up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ReadySpec {
    /// As soon as the program runs.
    #[default]
    Started,
    /// When a line of its standard output contains this text.
    Stdout(String),
    /// When a TCP connection to `{port}` on 127.0.0.1, or to `{socket}`, succeeds.
    Connect,
    /// When `GET` of this path on `{port}` (or `{socket}`) answers 200.
    Http(String),
}

/// What failed health probes lead to while clients hold leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum WhileLeased {
    /// The component stays up and the failure is reported: a component that is busy for a client may be too busy to
    /// answer a probe. When the last lease has ended it is probed once more, and goes if it fails.
    #[default]
    Report,
    /// Its leases are revoked and it is stopped, as without leases.
    Restart,
}

/// When failed health probes take a component out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeRule {
    /// This many failures in a row. Default 3, at least 1.
    pub failures: u32,
    /// What happens while clients hold leases.
    pub while_leased: WhileLeased,
}

impl Default for ProbeRule {
    fn default() -> Self {
        Self { failures: 3, while_leased: WhileLeased::default() }
    }
}

/// How a running process is asked whether it still works.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeSpec {
    /// What is asked: the same means as for readiness, `Connect` or `Http`.
    pub how: ReadySpec,
    /// Time between probes. Default 10 s.
    pub every: Duration,
    /// A probe that takes longer has failed. Default 2 s.
    pub timeout: Duration,
    /// What failures lead to.
    pub rule: ProbeRule,
}

/// A signal that programs use for requests of their own. Programs that install no handler end by some of them,
/// so a signal is sent only to a process that handles it, where the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "UPPERCASE"))]
pub enum TrimSignal {
    /// `SIGHUP`.
    Hup,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGWINCH`.
    Winch,
}

impl TrimSignal {
    /// Every signal that may be declared.
    pub const ALL: [Self; 4] = [Self::Hup, Self::Usr1, Self::Usr2, Self::Winch];
    /// Their names in a configuration, in the order of [`Self::ALL`].
    pub const WORDS: &[&str] = &["HUP", "USR1", "USR2", "WINCH"];

    /// Its name without `SIG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// How a process is asked to give back memory that it can spare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum TrimSpec {
    /// `POST` of this path on its port or socket answers 2xx.
    Http(String),
    /// This signal is sent to its first process.
    Signal(TrimSignal),
}

/// A program that is the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProcessSpec {
    /// Program and arguments, no shell. A program with `/` in its name is relative to the manager's base
    /// directory, any other is looked up in `PATH`. Place-holders ([`crate::template`]) are filled in per
    /// incarnation.
    pub command: Vec<String>,
    /// Names of environment variables that are passed on. `PATH`, `HOME`, `LANG`, `LC_ALL`, `TMPDIR` and
    /// `USER` always are.
    pub env_allow: Vec<String>,
    /// Environment variables that are set; the same place-holders as in `command`.
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to the manager's base directory (the configuration file's folder); the
    /// manager's own when none.
    pub cwd: Option<PathBuf>,
    /// A fixed port on 127.0.0.1; none = a free one, when `{port}` is used.
    pub port: Option<u16>,
    /// A fixed path of its Unix socket, relative to the manager's base directory; none = one in the state
    /// directory, when `{socket}` is used.
    pub socket: Option<PathBuf>,
    /// Standard input.
    pub stdin: StdinMode,
    /// When it counts as up.
    pub ready: ReadySpec,
    /// How it is asked whether it still works.
    pub probe: Option<ProbeSpec>,
    /// How it is asked to give back memory; none = it has no way to trim.
    pub trim: Option<TrimSpec>,
}

impl ProcessSpec {
    /// The texts with place-holders.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(self.env.values()).map(String::as_str)
    }

    fn uses(&self, wanted: PlaceHolder<'_>) -> bool {
        self.texts().flat_map(template::place_holders).any(|holder| holder == wanted)
    }

    /// Whether it is reached by a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.port.is_some() || self.uses(PlaceHolder::Port)
    }

    /// Whether it is reached by a Unix socket.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.socket.is_some() || self.uses(PlaceHolder::Socket)
    }

    /// Whether it is reached at all.
    #[must_use]
    pub fn has_endpoint(&self) -> bool {
        self.has_port() || self.has_socket()
    }

    /// Whether its address has this part.
    #[must_use]
    pub fn has(&self, part: EndpointPart) -> bool {
        match part {
            EndpointPart::Port => self.has_port(),
            EndpointPart::Socket => self.has_socket(),
            EndpointPart::Url => self.has_endpoint(),
        }
    }
}

/// How a component comes into memory.
#[expect(
    clippy::large_enum_variant,
    reason = "one value a component, shared behind an `Arc`, and most components are programs"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "lowercase"))]
#[non_exhaustive]
pub enum LoaderSpec {
    /// A Rust factory registered with the manager's builder under this name.
    Builtin {
        /// The factory's name; by default the component's.
        factory: String,
    },
    /// A program in its own process group.
    Process(ProcessSpec),
    /// A Python import function `module:function`.
    Python {
        /// The module.
        module: String,
        /// The function in it.
        function: String,
    },
}

impl LoaderSpec {
    /// Whether a component of this loader can be asked to give back memory. Components inside this process
    /// have a hook; a program needs a declared way.
    #[must_use]
    pub const fn can_trim(&self) -> bool {
        match self {
            Self::Builtin { .. } | Self::Python { .. } => true,
            Self::Process(process) => process.trim.is_some(),
        }
    }

    /// The word for the kind of loader.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Builtin { .. } => "builtin",
            Self::Process(_) => "process",
            Self::Python { .. } => "python",
        }
    }
}

/// A pool of memory with a budget of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolSpec {
    /// Its name; the rules of component names.
    pub name: Arc<str>,
    /// Its budget; none = only the total bounds it.
    pub budget: Option<ByteSize>,
    /// Its bytes are no RAM (VRAM, say): they count against this pool's budget and not against the total.
    pub declared: bool,
}

/// What is known of one component before it runs.
#[derive(Clone, Debug, PartialEq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ComponentSpec {
    /// Its name.
    pub id: ComponentId,
    /// What it is, for people.
    pub description: String,
    /// How much it matters. Default MEDIUM.
    pub priority: Priority,
    /// The pool whose budget it uses. Default `general`.
    pub pool: Arc<str>,
    /// Expected memory. Default 100 MiB.
    pub memory: ByteSize,
    /// Its own limit: more than this is answered by trimming, then as `over_limit` says; a process is bounded to
    /// it where the system can. None = only the budget bounds it.
    pub memory_limit: Option<ByteSize>,
    /// When it stays above its own limit.
    pub over_limit: OverLimit,
    /// Expected load time. Default 100 ms.
    pub load_time: Duration,
    /// Components that must be ready before and while it is.
    pub dependencies: Vec<ComponentId>,
    /// Components that, if they are loaded in the same plan, come before it; not pulled in.
    pub after: Vec<ComponentId>,
    /// Components it must not run beside. Symmetric.
    pub conflicts: Vec<ComponentId>,
    /// What happens when such a one is loaded.
    pub conflict_policy: ConflictPolicy,
    /// Words and phrases in a command that mean this component is needed.
    pub keywords: Vec<String>,
    /// Words and phrases in a command after which it is likely to be needed.
    pub preload_triggers: Vec<String>,
    /// Load on first demand (default), or already at start if it fits.
    pub lazy_init: bool,
    /// Never a victim once loaded.
    pub pinned: bool,
    /// Leases at a time; none = no limit.
    pub max_leases: Option<u32>,
    /// Unload after this long without use; none = only when memory is needed.
    pub idle_timeout: Option<Duration>,
    /// The load must end within this; none = the manager's default.
    pub load_deadline: Option<Duration>,
    /// The stop must end within this; none = the manager's default.
    pub stop_deadline: Option<Duration>,
    /// A builtin is asked for its health this often while it is ready; none = never. Processes have a
    /// [`ProbeSpec`] instead.
    pub health_every: Option<Duration>,
    /// What failed health checks of a builtin lead to. A process has it in its [`ProbeSpec`].
    pub health: ProbeRule,
    /// After a failure or an end of a running one.
    pub restart: RestartPolicy,
    /// A program that was ready and ends by itself with one of these exit codes did not fail. Default 0.
    pub exit_ok: Vec<u8>,
    /// When the last waiter of a load leaves.
    pub on_abandon: OnAbandon,
    /// A version of the component's own; a change reloads it.
    pub version: String,
    /// How it comes into memory.
    pub loader: LoaderSpec,
}

impl ComponentSpec {
    /// A component that the factory of the same name makes, with the documented defaults.
    ///
    /// # Errors
    /// When the name is none.
    pub fn builtin(name: &str) -> Result<Self, majordomo_core::NameError> {
        let id = ComponentId::new(name)?;
        Ok(Self::new(id, LoaderSpec::Builtin { factory: name.to_owned() }))
    }

    /// The program of a process component.
    #[must_use]
    pub const fn program(&self) -> Option<&ProcessSpec> {
        match &self.loader {
            LoaderSpec::Process(process) => Some(process),
            LoaderSpec::Builtin { .. } | LoaderSpec::Python { .. } => None,
        }
    }

    /// What failed health probes lead to, by the kind of loader.
    #[must_use]
    pub fn probe_rule(&self) -> ProbeRule {
        match &self.loader {
            LoaderSpec::Process(p) => p.probe.as_ref().map(|p| p.rule).unwrap_or_default(),
            _ => self.health,
        }
    }

    /// A component that is a program, started without a shell, with the documented defaults.
    ///
    /// # Errors
    /// When the name is none.
    pub fn process(name: &str, command: &[&str]) -> Result<Self, majordomo_core::NameError> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let process = ProcessSpec { command, ..ProcessSpec::default() };
        Ok(Self::new(ComponentId::new(name)?, LoaderSpec::Process(process)))
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
            idle_timeout: None,
            load_deadline: None,
            stop_deadline: None,
            health_every: None,
            health: ProbeRule::default(),
            restart: RestartPolicy::default(),
            exit_ok: vec![0],
            on_abandon: OnAbandon::default(),
            version: String::new(),
            loader,
        }
    }
}
