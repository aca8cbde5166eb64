//! Rows of `[components.NAME]`.
//!
//! Length: one table, in the order of its page in the documentation.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, ParkChoice, Priority};

use super::protocol::{ProtocolDraft, stdio};
use super::requests::{
    ExternalDraft, MAX_FAILURES, ProbeDraft, StepDraft, StopDraft, TrimDraft, WHILE_LEASED,
    WarmUpDraft, failures, while_leased,
};
use super::{Key, Kind, LONGEST, MS, Target, key};
use crate::{
    AsleepSpec, ComponentSpec, ComputeUnits, ConflictPolicy, ConnectionUse, CoreMlSpec, LoadOn,
    LoaderSpec, OnAbandon, OverLimit, ProcessSpec, RestartPolicy, Serves, StdinMode,
};

/// The kinds of loader, in the order of their words.
pub(crate) const LOADERS: &[&str] = &["builtin", "process", "python", "external", "coreml"];

/// The keys that only one kind of loader has.
pub(crate) const LOADER_KEYS: [(&str, &[&str]); 5] = [
    (
        "process",
        &[
            "command",
            "env",
            "env_allow",
            "cwd",
            "port",
            "socket",
            "stdin",
            "protocol",
            "concurrent",
            "max_line",
            "call_deadline",
            "ready",
            "warm_up",
            "probe",
            "exit_ok",
            "trim",
            "sleep",
            "wake",
            "stop",
        ],
    ),
    ("python", &["module", "function"]),
    ("external", &["external"]),
    ("coreml", &["model", "compute_units"]),
    ("builtin", &["factory", "health_every", "health_failures", "health_while_leased"]),
];

/// Whether a kind of loader has a key that stands in [`LOADER_KEYS`] for another: components inside this process have health
/// checks of one kind.
pub(crate) fn is_shared(key: &str, kind: &str) -> bool {
    kind == "coreml" && key.starts_with("health_")
}

/// The content of `[components.NAME]`.
#[derive(Debug)]
pub(crate) struct ComponentDraft {
    pub(crate) spec: ComponentSpec,
    pub(crate) pool: Option<String>,
    pub(crate) loader: Option<&'static str>,
    pub(crate) factory: Option<String>,
    pub(crate) process: ProcessSpec,
    pub(crate) protocol: ProtocolDraft,
    pub(crate) warm_up: Option<WarmUpDraft>,
    pub(crate) probe: Option<ProbeDraft>,
    pub(crate) trim: Option<TrimDraft>,
    pub(crate) sleep: Option<StepDraft>,
    pub(crate) wake: Option<StepDraft>,
    pub(crate) stop: Option<StopDraft>,
    pub(crate) external: Option<ExternalDraft>,
    pub(crate) module: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) core_ml: CoreMlSpec,
}

impl Target for ComponentDraft {
    type Spec = ComponentSpec;
}

impl ComponentDraft {
    pub(crate) fn new(id: ComponentId) -> Self {
        Self {
            spec: ComponentSpec::new(id, LoaderSpec::Builtin { factory: String::new() }),
            pool: None,
            loader: None,
            factory: None,
            process: ProcessSpec::default(),
            protocol: ProtocolDraft::default(),
            warm_up: None,
            probe: None,
            trim: None,
            sleep: None,
            wake: None,
            stop: None,
            external: None,
            module: None,
            function: None,
            core_ml: CoreMlSpec::default(),
        }
    }
}

/// `[components.NAME]`.
pub(crate) const COMPONENT: &[Key<ComponentDraft>] = &[
    key!(
        "template",
        "",
        "The template whose keys the component inherits: the NAME of a `[templates.NAME]`.",
        // Followed before the keys are read.
        Kind::Name(|_, _| ())
    ),
    key!(
        "description",
        "\"\"",
        "A description for people.",
        Kind::Text(|c, v| c.spec.description = v)
    ),
    key!(
        "priority",
        "\"MEDIUM\"",
        "The importance. CORE components are loaded at start and never unloaded.",
        Kind::Word(Priority::WORDS, |c, i| c.spec.priority = Priority::ALL[i])
    ),
    key!(
        "pool",
        "\"general\"",
        "The pool whose budget the component uses: `vision`, `audio`, `ml`, `general`, or one of `[pools]`.",
        Kind::Text(|c, v| c.pool = Some(v))
    ),
    key!(
        "memory",
        "\"100MiB\"",
        "Expected memory: a size, or `{ ram = SIZE, POOL = SIZE, ... }` for memory that is in several pools at once; see below. Without it, nothing for `external`.",
        Kind::Memory(
            |s: &ComponentSpec| stated_memory(s),
            |c, v| {
                c.spec.memory = v.ram.unwrap_or(c.spec.memory);
                let pools = v.pools.into_iter();
                c.spec.memory_in = pools.map(|(name, bytes)| (name.into(), bytes)).collect();
            }
        )
    ),
    key!(
        "asleep",
        "",
        "Expected memory while the component sleeps, as for `memory`: a pool that is not named is empty then, and without `ram`, main memory is as in `memory`. Needs `sleep` and `wake`; a `builtin` needs its hooks. Without it a program or a service is never put to sleep.",
        Kind::Memory(
            |s: &ComponentSpec| s.asleep.as_ref()?.memory,
            |c, v| {
                let pools = v.pools.into_iter();
                c.spec.asleep = Some(AsleepSpec {
                    memory: v.ram,
                    memory_in: pools.map(|(name, bytes)| (name.into(), bytes)).collect(),
                });
            }
        )
    ),
    key!(
        "memory_limit",
        "",
        "The component's own memory limit: above it, the component is asked to trim, then `over_limit` applies; the system enforces it on a process where it can. Without it, only the budget bounds the component.",
        Kind::Size(|s: &ComponentSpec| s.memory_limit, |c, v| c.spec.memory_limit = Some(v))
    ),
    key!(
        "over_limit",
        "\"restart\"",
        "The action when the component stays above its own limit: restart it, or unload it until it is requested.",
        Kind::Word(&["restart", "unload"], |c, i| {
            c.spec.over_limit = [OverLimit::Restart, OverLimit::Unload][i];
        })
    ),
    key!(
        "load_time",
        "\"100ms\"",
        "Expected load time.",
        Kind::Duration(
            Duration::ZERO,
            LONGEST,
            |s: &ComponentSpec| Some(s.load_time),
            |c, v| c.spec.load_time = v
        )
    ),
    key!(
        "files",
        "[]",
        "Files that its load reads, such as models: paths relative to this file's folder, with `*`, `?` and `**` (any folders). They are read ahead into the system's cache, see `read_ahead`; what its processes have mapped or open once it is ready is learned besides (Linux).",
        Kind::Texts(|c, v| c.spec.files = v)
    ),
    key!(
        "dependencies",
        "[]",
        "Components that must be ready before this one, and as long as it is ready.",
        Kind::Names(|c, v| c.spec.dependencies = v)
    ),
    key!(
        "after",
        "[]",
        "Components that are loaded first when they are part of the same load; they are not loaded for this one.",
        Kind::Names(|c, v| c.spec.after = v)
    ),
    key!(
        "conflicts",
        "[]",
        "Components that must not run at the same time as this one; either side may state it.",
        Kind::Names(|c, v| c.spec.conflicts = v)
    ),
    key!(
        "conflict_policy",
        "\"replace\"",
        "The action when a conflicting component is loaded: unload that one first, or refuse the demand. A preload unloads it only where it is idle and the preload saves more waiting. A preloaded component that is not used is always unloaded. `refuse` on either side wins.",
        Kind::Word(&["replace", "refuse"], |c, i| {
            c.spec.conflict_policy = [ConflictPolicy::Replace, ConflictPolicy::Refuse][i];
        })
    ),
    key!(
        "keywords",
        "[]",
        "Words and phrases in a command that mean that the component is needed.",
        Kind::Phrases(|c, v| c.spec.keywords = v)
    ),
    key!(
        "preload_triggers",
        "[]",
        "Words and phrases in a command after which the component is likely to be needed.",
        Kind::Phrases(|c, v| c.spec.preload_triggers = v)
    ),
    key!(
        "lazy_init",
        "true",
        "Load on the first demand; false loads the component at start if it fits.",
        Kind::Bool(|c, v| c.spec.lazy_init = v)
    ),
    key!(
        "pinned",
        "false",
        "Once loaded, the component is never evicted; so it is not preloaded either.",
        Kind::Bool(|c, v| c.spec.pinned = v)
    ),
    key!(
        "max_leases",
        "",
        "Leases at a time; without it there is no limit.",
        Kind::Count(
            1,
            1 << 20,
            |s: &ComponentSpec| s.max_leases.map(u64::from),
            |c, v| {
                c.spec.max_leases = Some(v as u32);
            }
        )
    ),
    key!(
        "idle_timeout",
        "",
        "Unload after this long without use; without it, only when memory is needed.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.idle_timeout,
            |c, v| c.spec.idle_timeout = Some(v)
        )
    ),
    key!(
        "idle_park",
        "",
        "Park in the background after this long without use, where the machine offers a rung and `park` allows it; without it, only when memory is needed. A park that is not possible is tried again after pauses that double, up to an hour. `idle_timeout` unloads a parked component as well.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.idle_park,
            |c, v| c.spec.idle_park = Some(v)
        )
    ),
    key!(
        "park",
        "",
        "Whether the component is parked when its memory is needed: in swap, where the machine offers that, or asleep, where it declares that. `auto` or `never`; without it, the manager's `park` applies.",
        Kind::Word(ParkChoice::WORDS, |c, i| c.spec.park = Some(ParkChoice::ALL[i]))
    ),
    key!(
        "load_deadline",
        "",
        "A load ends within this time; without it, the manager's deadline applies.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.load_deadline,
            |c, v| c.spec.load_deadline = Some(v)
        )
    ),
    key!(
        "stop_deadline",
        "",
        "The component stops within this time; without it, the manager's deadline applies.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.stop_deadline,
            |c, v| c.spec.stop_deadline = Some(v)
        )
    ),
    key!(
        "restart",
        "\"on-demand\"",
        "Whether the component is loaded again after a failure / after it ended by itself (`exit_ok`): `on-demand` on demand / on demand, `on-failure` yes / on demand, `always` yes / yes, `never` no / on demand. CORE and pinned components are loaded again after both, except with `never`.",
        Kind::Word(&["on-demand", "on-failure", "always", "never"], |c, i| {
            c.spec.restart = [
                RestartPolicy::OnDemand,
                RestartPolicy::OnFailure,
                RestartPolicy::Always,
                RestartPolicy::Never,
            ][i];
        })
    ),
    key!(
        "on_abandon",
        "\"auto\"",
        "The action when the last caller that waits for a load cancels or disconnects: `auto` decides by the time that has passed, `finish` and `cancel` are unconditional. A load continues when a deadline passes, except the caller's own deadline with `cancel`. A load whose peak is larger than the budget is cancelled with its last caller in any case.",
        Kind::Word(&["auto", "finish", "cancel"], |c, i| {
            c.spec.on_abandon = [OnAbandon::Auto, OnAbandon::Finish, OnAbandon::Cancel][i];
        })
    ),
    key!(
        "version",
        "\"\"",
        "The component's version; a change reloads it.",
        Kind::Text(|c, v| c.spec.version = v)
    ),
    key!(
        "serves",
        "[]",
        "Gateway: the purposes of a model server; a component that states some is listed as a model.",
        Kind::Words(Serves::WORDS, |c, v| {
            c.spec.route_mut().serves = v.into_iter().map(|i| Serves::ALL[i]).collect();
        })
    ),
    key!(
        "aliases",
        "[]",
        "Gateway: further names by which clients ask for the component, such as `gpt-4o` or `llama3:8b`.",
        Kind::Texts(|c, v| c.spec.route_mut().aliases = v)
    ),
    key!(
        "model_name",
        "",
        "Gateway: the name in `model` that the component is sent; without it, the client's own.",
        Kind::Name(|c, v| c.spec.route_mut().model_name = Some(v))
    ),
    key!(
        "set_params",
        "",
        "Gateway: members to set in JSON bodies, such as `{ temperature = 0.7 }`; a `.` stands between the names of inner objects. `model` has a key of its own.",
        Kind::Params(|c, v| c.spec.route_mut().set_params = v)
    ),
    key!(
        "strip_params",
        "[]",
        "Gateway: members to remove from JSON bodies, in the same form.",
        Kind::Texts(|c, v| c.spec.route_mut().strip_params = v)
    ),
    key!(
        "unlisted",
        "false",
        "Gateway: whether the component is left out of lists of models.",
        Kind::Bool(|c, v| c.spec.route_mut().unlisted = v)
    ),
    key!(
        "listen",
        "[]",
        "Gateway: addresses that are the component's own and open all the time, such as `127.0.0.1:6379` or the path of a Unix socket; bytes are passed on unchanged, whatever the protocol. No token is asked for there. Read at start.",
        Kind::Listen(|c, v| c.spec.route_mut().listen = v)
    ),
    key!(
        "expose",
        "false",
        "Gateway: whether `listen` may have addresses that other machines reach.",
        Kind::Bool(|c, v| c.spec.route_mut().expose = v)
    ),
    key!(
        "load_on",
        "\"bytes\"",
        "Gateway: what loads the component at `listen`: the first byte of a client, or its connection, for protocols in which the server sends the first bytes.",
        Kind::Word(&["bytes", "connect"], |c, i| {
            c.spec.route_mut().load_on = [LoadOn::Bytes, LoadOn::Connect][i];
        })
    ),
    key!(
        "connection_use",
        "\"activity\"",
        "Gateway: whether an open connection (WebSocket, `listen`) is a use: while there is traffic on it, as long as it is open (`hold`, right for databases), or never (`ignore`).",
        Kind::Word(&["activity", "hold", "ignore"], |c, i| {
            c.spec.route_mut().connection_use =
                [ConnectionUse::Activity, ConnectionUse::Hold, ConnectionUse::Ignore][i];
        })
    ),
    key!(
        "connection_idle",
        "\"60s\"",
        "Gateway: with `connection_use = \"activity\"`, a connection without traffic for this long no longer keeps the component loaded.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| Some(s.route().connection_idle),
            |c, v| c.spec.route_mut().connection_idle = v
        )
    ),
    key!(
        "learn_text",
        "",
        "Gateway: the JSON pointer of a user's command in request bodies, such as `/messages/-1/content` (-1: the last item), from which is learned which texts need the component. Without it nothing of a body is learned.",
        Kind::Name(|c, v| c.spec.route_mut().learn_text = Some(v))
    ),
    key!(
        "max_in_flight",
        "",
        "Gateway: requests with the component at a time; without it there is no limit.",
        Kind::Count(
            1,
            65536,
            |s: &ComponentSpec| s.route().max_in_flight.map(u64::from),
            |c, v| c.spec.route_mut().max_in_flight = u32::try_from(v).ok()
        )
    ),
    key!(
        "queue",
        "64",
        "Gateway: requests that wait for `max_in_flight`; the next is answered 429.",
        Kind::Count(
            0,
            65536,
            |s: &ComponentSpec| Some(s.route().queue.into()),
            |c, v| c.spec.route_mut().queue = u32::try_from(v).unwrap_or(u32::MAX)
        )
    ),
    key!(
        "loader",
        "",
        "The kind of loader: a Rust factory of the program, a process, a Python function, a service that runs elsewhere, or a model of Core ML. Required only where no other key determines it.",
        Kind::Word(LOADERS, |c, i| c.loader = Some(LOADERS[i]))
    ),
    key!(
        "factory",
        "",
        "`builtin`: the factory's name; without it, the component's.",
        Kind::Name(|c, v| c.factory = Some(v))
    ),
    key!(
        "health_every",
        "",
        "`builtin`, `coreml`: time between health checks while the component is ready; without it there are none.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.health_every,
            |c, v| c.spec.health_every = Some(v)
        )
    ),
    key!(
        "health_failures",
        "",
        "`builtin`, `coreml`: this many failed health checks in a row take the component out of service; without it, 3.",
        Kind::Count(
            1,
            MAX_FAILURES,
            |s: &ComponentSpec| Some(s.health.failures.into()),
            |c, v| {
                c.spec.health.failures = failures(v);
            }
        )
    ),
    key!(
        "health_while_leased",
        "",
        "`builtin`, `coreml`: the action on failed health checks while clients hold leases; without it, `report`; see `while_leased` of `probe`.",
        Kind::Word(WHILE_LEASED, |c, i| c.spec.health.while_leased = while_leased(i))
    ),
    key!(
        "command",
        "",
        "`process`: program and arguments, no shell. A program with `/` in its name is relative to this file's folder, any other is looked up in PATH. Place-holders are filled in at each start; see below.",
        Kind::Texts(|c, v| c.process.command = v)
    ),
    key!(
        "env",
        "",
        "`process`: environment variables to set, with the place-holders of `command`.",
        Kind::TextMap(|c, v| c.process.env = v)
    ),
    key!(
        "env_allow",
        "[]",
        "`process`: environment variables passed to the program besides PATH, HOME, LANG, LC_ALL, TMPDIR and USER.",
        Kind::Texts(|c, v| c.process.env_allow = v)
    ),
    key!(
        "cwd",
        "",
        "`process`: working directory, relative to this file's folder; without it, that folder.",
        Kind::Text(|c, v| c.process.cwd = Some(v.into()))
    ),
    key!(
        "port",
        "",
        "`process`: a fixed port on 127.0.0.1, which `{port}`, `ready`, `probe` and leases use; without it, a free one where `{port}` is used.",
        Kind::Count(
            1,
            65535,
            |s: &ComponentSpec| s.program()?.port.map(u64::from),
            |c, v| {
                c.process.port = u16::try_from(v).ok();
            }
        )
    ),
    key!(
        "socket",
        "",
        "`process`: a fixed path of its Unix socket, relative to this file's folder; without it, one in the state directory where `{socket}` is used.",
        Kind::Text(|c, v| c.process.socket = Some(v.into()))
    ),
    key!(
        "stdin",
        "\"empty\"",
        "`process`: standard input is empty, or held open without data for programs that exit at end of file. With `protocol = \"stdio\"` it has the requests.",
        Kind::Word(&["empty", "hold"], |c, i| {
            c.protocol.stdin = Some([StdinMode::Empty, StdinMode::Hold][i]);
        })
    ),
    key!(
        "protocol",
        "\"none\"",
        "`process`: `stdio` passes requests to the program as lines of JSON; see below. With `none`, clients use its port or socket.",
        Kind::Word(&["none", "stdio"], |c, i| c.protocol.is_stdio = i == 1)
    ),
    key!(
        "concurrent",
        "",
        "`protocol = \"stdio\"`: requests with the program at a time; further ones wait, at most 256. Without it, 1.",
        Kind::Count(
            1,
            1024,
            |s: &ComponentSpec| stdio(s).map(|p| p.concurrent.into()),
            |c, v| c.protocol.concurrent = u32::try_from(v).ok()
        )
    ),
    key!(
        "max_line",
        "",
        "`protocol = \"stdio\"`: a request or an answer has at most so many bytes. Without it, 1 MiB.",
        Kind::Size(
            |s: &ComponentSpec| stdio(s).map(|p| p.max_line),
            |c, v| {
                c.protocol.max_line = Some(v);
            }
        )
    ),
    key!(
        "call_deadline",
        "",
        "`protocol = \"stdio\"`: a call ends within this time, the wait for its turn included, unless the caller states another. Without it, 1min.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| stdio(s).map(|p| p.call_deadline),
            |c, v| c.protocol.call_deadline = Some(v)
        )
    ),
    key!(
        "ready",
        "\"started\"",
        "`process`: when the program counts as ready. `\"started\"`, `{ stdout = \"part of a line\" }` (standard output only; the line need not have ended), `\"connect\"` (to `{port}` or `{socket}`), `{ http = \"/path\" }` (answers 200), `\"line\"` (the line `{\"ready\":true}`; the default with `protocol = \"stdio\"`, and only there).",
        Kind::Ready(|c, v| c.protocol.ready = Some(v))
    ),
    key!(
        "warm_up",
        "",
        "`process`: a request that is answered before the program counts as ready, so that its first client does not wait for what the first request makes the program do; see below.",
        Kind::WarmUp(|c, v| c.warm_up = Some(v))
    ),
    key!(
        "probe",
        "",
        "`process`: the health probe; see below.",
        Kind::Probe(|c, v| c.probe = Some(v))
    ),
    key!(
        "exit_ok",
        "[0]",
        "`process`: exit codes with which a ready program may end by itself without a failure. A signal is a failure, and so is any end before the program was ready.",
        Kind::Counts(0, 255, |c, v| c.spec.exit_ok = v.into_iter().map(|n| n as u8).collect())
    ),
    key!(
        "trim",
        "",
        "`process`: the request to trim memory; see below. Without it the program cannot trim, and the action that follows a trim is taken at once.",
        Kind::Trim(|c, v| c.trim = Some(v))
    ),
    key!(
        "sleep",
        "",
        "`process`: the request to give memory back and keep running, which makes place for other components; see below. Needs `wake` and `asleep`.",
        Kind::Step(|c, v| c.sleep = Some(v))
    ),
    key!(
        "wake",
        "",
        "`process`: the request to become usable again after `sleep`.",
        Kind::Step(|c, v| c.wake = Some(v))
    ),
    key!(
        "stop",
        "",
        "`process`: the request to end, before TERM; see below. Without it, TERM is the first.",
        Kind::Stop(|c, v| c.stop = Some(v))
    ),
    key!(
        "external",
        "",
        "`external`: a service that runs elsewhere and is neither started nor stopped; see below.",
        Kind::External(|c, v| c.external = Some(v))
    ),
    key!(
        "module",
        "",
        "`python`: the module of the import function. Required there.",
        Kind::Name(|c, v| c.module = Some(v))
    ),
    key!(
        "function",
        "",
        "`python`: the import function; without it, `import_` and the component's name.",
        Kind::Name(|c, v| c.function = Some(v))
    ),
    key!(
        "model",
        "",
        "`coreml`: the model, relative to this file's folder: compiled (`.mlmodelc`), or a package or file that is compiled at each load (`.mlpackage`, `.mlmodel`). Loaded inside the manager's process, on macOS only. Required there.",
        Kind::Name(|c, v| c.core_ml.model = v.into())
    ),
    key!(
        "compute_units",
        "",
        "`coreml`: the devices that the model may use: the processor alone (`cpu`), with the graphics chip, or with the Neural Engine; without it, `cpu-ne`.",
        Kind::Word(ComputeUnits::WORDS, |c, i| c.core_ml.compute_units = ComputeUnits::ALL[i])
    ),
];

/// The memory that must be within the range of its key: a service that runs elsewhere may have none.
fn stated_memory(spec: &ComponentSpec) -> Option<ByteSize> {
    Some(spec.memory).filter(|memory| spec.service().is_none() || *memory > ByteSize::ZERO)
}
