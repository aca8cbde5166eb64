//! The specification of one component, from a configuration file or a builder.

mod external;
mod setters;

pub(crate) use external::is_request_path;
pub use external::{ExternalSpec, ServiceRequest, ServiceUrl, UrlScheme};

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

/// The standard input of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum StdinMode {
    /// End of file at once.
    #[default]
    Empty,
    /// An open pipe without data, for programs that exit at end of file.
    Hold,
}

/// The condition under which a process counts as ready.
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
    /// At the line `{"ready":true}` of [`Protocol::Stdio`].
    Line,
}

/// The protocol in which the manager passes requests to a running program and returns its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Protocol {
    /// Clients use the program's address.
    #[default]
    None,
    /// Lines of JSON on standard input and standard output.
    Stdio(StdioSpec),
}

/// The bounds of [`Protocol::Stdio`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StdioSpec {
    /// Requests with the program at a time; further ones wait. Default 1, range 1 to 1024.
    pub concurrent: u32,
    /// Bytes of a request or an answer, each one line. Default 1 MiB.
    pub max_line: ByteSize,
    /// A call ends within this time, the wait for its turn included, unless its caller states another. Default 1 min.
    pub call_deadline: Duration,
}

impl Default for StdioSpec {
    fn default() -> Self {
        Self { concurrent: 1, max_line: ByteSize::mib(1), call_deadline: Duration::from_secs(60) }
    }
}

/// The action on failed health probes while clients hold leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum WhileLeased {
    /// The component is kept and the failure is reported: a component that works for a client may be too busy to answer a
    /// probe. When the last lease has ended, the component is probed once more, and unloaded if the probe fails.
    #[default]
    Report,
    /// The leases are revoked and the component is stopped, as without leases.
    Restart,
}

/// The rule by which failed health probes take a component out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeRule {
    /// Failures in a row. Default 3, range 1 to 1000.
    pub failures: u32,
    /// The action while clients hold leases.
    pub while_leased: WhileLeased,
}

impl Default for ProbeRule {
    fn default() -> Self {
        Self { failures: 3, while_leased: WhileLeased::default() }
    }
}

/// The health probe of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeSpec {
    /// `Connect` or `Http`, as for readiness.
    pub how: ReadySpec,
    /// Time between probes. Default 10 s.
    pub every: Duration,
    /// A probe that takes longer fails. Default 2 s.
    pub timeout: Duration,
    /// The rule for failures.
    pub rule: ProbeRule,
}

/// A signal that programs use for requests of their own. Programs that install no handler end by some of them,
/// so a signal is sent only to a process that handles it, where the system shows that.
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

/// The request to a process to trim its memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum TrimSpec {
    /// `POST` of this path on the program's port or socket, which answers 2xx.
    Http(String),
    /// This signal, to the first process of the program.
    Signal(TrimSignal),
}

/// A signal by which programs are asked to end in their own way; TERM follows it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "UPPERCASE"))]
pub enum StopSignal {
    /// `SIGINT`.
    Int,
    /// `SIGQUIT`.
    Quit,
    /// `SIGHUP`.
    Hup,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGWINCH`.
    Winch,
}

impl StopSignal {
    /// Every signal that may be declared.
    pub const ALL: [Self; 6] =
        [Self::Int, Self::Quit, Self::Hup, Self::Usr1, Self::Usr2, Self::Winch];
    /// Their names in a configuration, in the order of [`Self::ALL`].
    pub const WORDS: &[&str] = &["INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"];

    /// Its name without `SIG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The request to a process to end, before TERM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum StopSpec {
    /// A program and its arguments, run like [`ProcessSpec::command`]: with its environment, place-holders and folder.
    Command(Vec<String>),
    /// `POST` of this path on the program's port or socket, which answers 2xx.
    Http(String),
    /// This signal, to the first process of the program.
    Signal(StopSignal),
}

/// A program that is the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProcessSpec {
    /// Program and arguments, no shell. A program with `/` in its name is relative to the manager's base
    /// directory (the configuration file's folder), any other is looked up in `PATH`. Place-holders ([`crate::template`]) are filled in per
    /// incarnation.
    pub command: Vec<String>,
    /// Names of environment variables that are passed on. `PATH`, `HOME`, `LANG`, `LC_ALL`, `TMPDIR` and
    /// `USER` always are.
    pub env_allow: Vec<String>,
    /// Environment variables that are set; the same place-holders as in `command`.
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to the manager's base directory; without one, that directory itself.
    pub cwd: Option<PathBuf>,
    /// A fixed port on 127.0.0.1; without one, a free port where `{port}` is used.
    pub port: Option<u16>,
    /// A fixed path of the Unix socket, relative to the manager's base directory; without one, a path in the state
    /// directory where `{socket}` is used.
    pub socket: Option<PathBuf>,
    /// Standard input; with [`Protocol::Stdio`] it has the requests, whatever stands here.
    pub stdin: StdinMode,
    /// The protocol of requests that come through the manager.
    pub protocol: Protocol,
    /// The condition under which the program counts as ready.
    pub ready: ReadySpec,
    /// The health probe.
    pub probe: Option<ProbeSpec>,
    /// The request to trim; none when the program cannot trim.
    pub trim: Option<TrimSpec>,
    /// The request to end, before TERM.
    pub stop: Option<StopSpec>,
}

impl ProcessSpec {
    /// The texts with place-holders.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.own_texts().chain(self.stop_command().unwrap_or_default().iter().map(String::as_str))
    }

    /// The texts with place-holders that the program itself is given.
    fn own_texts(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(self.env.values()).map(String::as_str)
    }

    /// The command that asks the program to end.
    #[must_use]
    pub fn stop_command(&self) -> Option<&[String]> {
        match &self.stop {
            Some(StopSpec::Command(command)) => Some(command),
            _ => None,
        }
    }

    /// The bounds of the protocol of lines, if the program has that protocol.
    #[must_use]
    pub const fn stdio(&self) -> Option<&StdioSpec> {
        match &self.protocol {
            Protocol::Stdio(stdio) => Some(stdio),
            Protocol::None => None,
        }
    }

    /// Standard input as the program gets it.
    #[must_use]
    pub const fn stdin_mode(&self) -> StdinMode {
        if self.stdio().is_some() { StdinMode::Hold } else { self.stdin }
    }

    fn uses(&self, place_holder: PlaceHolder<'_>) -> bool {
        self.own_texts().flat_map(template::place_holders).any(|holder| holder == place_holder)
    }

    /// Whether the program has a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.port.is_some() || self.uses(PlaceHolder::Port)
    }

    /// Whether the program has a Unix socket.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.socket.is_some() || self.uses(PlaceHolder::Socket)
    }

    /// Whether the program has a port or a socket.
    #[must_use]
    pub fn has_endpoint(&self) -> bool {
        self.has_port() || self.has_socket()
    }

    /// Whether the program's address has this part.
    #[must_use]
    pub fn has(&self, part: EndpointPart) -> bool {
        match part {
            EndpointPart::Port => self.has_port(),
            EndpointPart::Socket => self.has_socket(),
            EndpointPart::Url => self.has_endpoint(),
        }
    }
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
}

impl LoaderSpec {
    /// Whether a component of this loader can be asked to give back memory. Components inside this process
    /// have a hook; a program needs a declared way.
    #[must_use]
    pub const fn can_trim(&self) -> bool {
        match self {
            Self::Builtin { .. } | Self::Python { .. } => true,
            Self::Process(process) => process.trim.is_some(),
            Self::External(_) => false,
        }
    }

    /// The word for the kind of loader.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Builtin { .. } => "builtin",
            Self::Process(_) => "process",
            Self::Python { .. } => "python",
            Self::External(_) => "external",
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
    /// The component's own limit: above it, the component is asked to trim, then `over_limit` applies. The system
    /// enforces it on a process where it can. Without a limit, only the budget bounds the component.
    pub memory_limit: Option<ByteSize>,
    /// The action when the component stays above its own limit.
    pub over_limit: OverLimit,
    /// Expected load time. Default 100 ms.
    pub load_time: Duration,
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
    /// The load ends within this time; without a value, the manager's deadline applies.
    pub load_deadline: Option<Duration>,
    /// The stop ends within this time; without a value, the manager's deadline applies.
    pub stop_deadline: Option<Duration>,
    /// Time between health checks of a ready builtin; without a value there are none. A process has a [`ProbeSpec`]
    /// instead.
    pub health_every: Option<Duration>,
    /// The rule for failed health checks of a builtin. A process has it in its [`ProbeSpec`].
    pub health: ProbeRule,
    /// The action after a failure or an end of a ready component.
    pub restart: RestartPolicy,
    /// Exit codes with which a ready program may end by itself without a failure. Default 0.
    pub exit_ok: Vec<u8>,
    /// The action when the last waiter of a load cancels.
    pub on_abandon: OnAbandon,
    /// The component's version; a change reloads it.
    pub version: String,
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

    /// The program of a process component.
    #[must_use]
    pub const fn program(&self) -> Option<&ProcessSpec> {
        match &self.loader {
            LoaderSpec::Process(process) => Some(process),
            LoaderSpec::Builtin { .. } | LoaderSpec::Python { .. } | LoaderSpec::External(_) => {
                None
            }
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

    /// The health probe of a program or a service.
    #[must_use]
    pub const fn probe(&self) -> Option<&ProbeSpec> {
        match &self.loader {
            LoaderSpec::Process(process) => process.probe.as_ref(),
            LoaderSpec::External(service) => Some(&service.probe),
            LoaderSpec::Builtin { .. } | LoaderSpec::Python { .. } => None,
        }
    }

    /// Whether the address of the component has this part.
    #[must_use]
    pub fn has_address(&self, part: EndpointPart) -> bool {
        match &self.loader {
            LoaderSpec::Process(process) => process.has(part),
            LoaderSpec::External(_) => part == EndpointPart::Url,
            LoaderSpec::Builtin { .. } | LoaderSpec::Python { .. } => false,
        }
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
