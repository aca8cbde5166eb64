//! Rows of `[components.NAME]` and of the tables inside it.

use std::time::Duration;

use majordomo_core::{ComponentId, Priority};

use super::{Key, Kind, LONGEST, MS, Target, key};
use crate::{
    ComponentSpec, ConflictPolicy, LoaderSpec, OnAbandon, OverLimit, ProbeRule, ProbeSpec,
    ProcessSpec, ReadySpec, RestartPolicy, StdinMode, TrimSignal, TrimSpec, WhileLeased,
};

/// The kinds of loader, in the order of their words.
pub(crate) const LOADERS: &[&str] = &["builtin", "process", "python"];

/// Which keys only one kind of loader has.
pub(crate) const LOADER_KEYS: [(&str, &[&str]); 3] = [
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
            "ready",
            "probe",
            "exit_ok",
            "trim",
        ],
    ),
    ("python", &["module", "function"]),
    ("builtin", &["factory", "health_every", "health_failures", "health_while_leased"]),
];

/// What `[components.NAME]` says.
#[derive(Debug)]
pub(crate) struct ComponentDraft {
    pub(crate) spec: ComponentSpec,
    pub(crate) pool: Option<String>,
    pub(crate) loader: Option<&'static str>,
    pub(crate) factory: Option<String>,
    pub(crate) process: ProcessSpec,
    pub(crate) probe: Option<ProbeDraft>,
    pub(crate) trim: Option<TrimDraft>,
    pub(crate) module: Option<String>,
    pub(crate) function: Option<String>,
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
            probe: None,
            trim: None,
            module: None,
            function: None,
        }
    }
}

/// `[components.NAME]`.
pub(crate) const COMPONENT: &[Key<ComponentDraft>] = &[
    key!(
        "description",
        "\"\"",
        "What it is, for people.",
        Kind::Text(|c, v| c.spec.description = v)
    ),
    key!(
        "priority",
        "\"MEDIUM\"",
        "How much it matters. CORE is loaded at start and stays.",
        Kind::Word(Priority::WORDS, |c, i| c.spec.priority = Priority::ALL[i])
    ),
    key!(
        "pool",
        "\"general\"",
        "The pool whose budget it uses: `vision`, `audio`, `ml`, `general`, or one of `[pools]`.",
        Kind::Text(|c, v| c.pool = Some(v))
    ),
    key!(
        "memory",
        "\"100MiB\"",
        "Expected memory.",
        Kind::Size(|s: &ComponentSpec| Some(s.memory), |c, v| c.spec.memory = v)
    ),
    key!(
        "memory_limit",
        "",
        "Its own limit: above it, it is asked to trim, then `over_limit` holds; a process is bounded to it where the system can. Without it only the budget bounds it.",
        Kind::Size(|s: &ComponentSpec| s.memory_limit, |c, v| c.spec.memory_limit = Some(v))
    ),
    key!(
        "over_limit",
        "\"restart\"",
        "When it stays above its own limit: restart it, or unload it until it is asked for.",
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
        "dependencies",
        "[]",
        "Components that must be ready before and while it is.",
        Kind::Names(|c, v| c.spec.dependencies = v)
    ),
    key!(
        "after",
        "[]",
        "Components that come before it when they are loaded together; they are not pulled in.",
        Kind::Names(|c, v| c.spec.after = v)
    ),
    key!(
        "conflicts",
        "[]",
        "Components it must not run beside, whichever side says so.",
        Kind::Names(|c, v| c.spec.conflicts = v)
    ),
    key!(
        "conflict_policy",
        "\"replace\"",
        "When a conflicting one is loaded: unload that one first, or refuse (not for what was loaded ahead and is not used). `refuse` on either side wins.",
        Kind::Word(&["replace", "refuse"], |c, i| {
            c.spec.conflict_policy = [ConflictPolicy::Replace, ConflictPolicy::Refuse][i];
        })
    ),
    key!(
        "keywords",
        "[]",
        "Words and phrases in a command that mean it is needed.",
        Kind::Phrases(|c, v| c.spec.keywords = v)
    ),
    key!(
        "preload_triggers",
        "[]",
        "Words and phrases in a command after which it is likely to be needed.",
        Kind::Phrases(|c, v| c.spec.preload_triggers = v)
    ),
    key!(
        "lazy_init",
        "true",
        "Load on first demand; false loads it at start if it fits.",
        Kind::Bool(|c, v| c.spec.lazy_init = v)
    ),
    key!(
        "pinned",
        "false",
        "Once loaded, it is never unloaded for another; so it is not loaded ahead either.",
        Kind::Bool(|c, v| c.spec.pinned = v)
    ),
    key!(
        "max_leases",
        "",
        "Users at a time; without it there is no limit.",
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
        "Unload after this long without use; without it only when memory is needed.",
        Kind::Duration(
            MS,
            LONGEST,
            |s: &ComponentSpec| s.idle_timeout,
            |c, v| c.spec.idle_timeout = Some(v)
        )
    ),
    key!(
        "load_deadline",
        "",
        "Its load ends within this time; without it the manager's.",
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
        "It stops within this time; without it the manager's.",
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
        "Whether it is loaded again after a failure / after it ended by itself (`exit_ok`): `on-demand` when asked for / when asked for, `on-failure` yes / when asked for, `always` yes / yes, `never` no / when asked for. CORE and pinned ones are loaded again after both, except by `never`.",
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
        "When the last caller that waits for its load leaves: decide by the time that has passed, finish, or cancel. When a deadline passes, it goes on, but for one of the caller's own and `cancel`.",
        Kind::Word(&["auto", "finish", "cancel"], |c, i| {
            c.spec.on_abandon = [OnAbandon::Auto, OnAbandon::Finish, OnAbandon::Cancel][i];
        })
    ),
    key!(
        "version",
        "\"\"",
        "A version of its own; a change reloads it.",
        Kind::Text(|c, v| c.spec.version = v)
    ),
    key!(
        "loader",
        "",
        "How it comes into memory: a Rust factory of the program, a process, or a Python function. Needed only where no other key tells it.",
        Kind::Word(LOADERS, |c, i| c.loader = Some(LOADERS[i]))
    ),
    key!(
        "factory",
        "",
        "`builtin`: the factory's name; without it the component's.",
        Kind::Name(|c, v| c.factory = Some(v))
    ),
    key!(
        "health_every",
        "",
        "`builtin`: it is asked for its health this often while it is ready; without it never.",
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
        "`builtin`: this many failed health checks in a row take it out of service; without it 3.",
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
        "`builtin`: what failed health checks lead to while clients hold leases; without it `report`, see `while_leased` of `probe`.",
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
        "`process`: environment variables that are set, with the place-holders of `command`.",
        Kind::TextMap(|c, v| c.process.env = v)
    ),
    key!(
        "env_allow",
        "[]",
        "`process`: environment variables that are passed on besides PATH, HOME, LANG, LC_ALL, TMPDIR and USER.",
        Kind::Texts(|c, v| c.process.env_allow = v)
    ),
    key!(
        "cwd",
        "",
        "`process`: working directory, relative to this file's folder; without it the manager's.",
        Kind::Text(|c, v| c.process.cwd = Some(v.into()))
    ),
    key!(
        "port",
        "",
        "`process`: a fixed port on 127.0.0.1, which `{port}`, `ready`, `probe` and leases use; without it a free one where `{port}` is used.",
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
        "`process`: a fixed path of its Unix socket, relative to this file's folder; without it one in the state directory where `{socket}` is used.",
        Kind::Text(|c, v| c.process.socket = Some(v.into()))
    ),
    key!(
        "stdin",
        "\"empty\"",
        "`process`: standard input is at its end, or held open without data for programs that leave at its end.",
        Kind::Word(&["empty", "hold"], |c, i| {
            c.process.stdin = [StdinMode::Empty, StdinMode::Hold][i];
        })
    ),
    key!(
        "ready",
        "\"started\"",
        "`process`: when it counts as up. `\"started\"`, `{ stdout = \"part of a line\" }` (standard output only; the line need not have ended), `\"connect\"` (to `{port}` or `{socket}`), `{ http = \"/path\" }` (answers 200).",
        Kind::Ready(|c, v| c.process.ready = v)
    ),
    key!(
        "probe",
        "",
        "`process`: how it is asked whether it still works; see below.",
        Kind::Probe(|c, v| c.probe = Some(v))
    ),
    key!(
        "exit_ok",
        "[0]",
        "`process`: exit codes with which it may end by itself, once it was ready, without having failed. A signal is a failure, and so is any end before it was ready.",
        Kind::Counts(0, 255, |c, v| c.spec.exit_ok = v.into_iter().map(|n| n as u8).collect())
    ),
    key!(
        "trim",
        "",
        "`process`: how it is asked to give back memory; see below. Without it the program has no way to trim, and what follows a trim is done at once.",
        Kind::Trim(|c, v| c.trim = Some(v))
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
        "`python`: the import function; without it `import_` and the component's name.",
        Kind::Name(|c, v| c.function = Some(v))
    ),
];

/// The most failed probes that may be waited for.
const MAX_FAILURES: u64 = 1000;

fn failures(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

const WHILE_LEASED: &[&str] = &["report", "restart"];

fn while_leased(i: usize) -> WhileLeased {
    [WhileLeased::Report, WhileLeased::Restart][i]
}

/// What `probe` says.
#[derive(Debug)]
pub(crate) struct ProbeDraft {
    pub(crate) http: Option<String>,
    pub(crate) connect: bool,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
    pub(crate) rule: ProbeRule,
}

impl Target for ProbeDraft {
    type Spec = ProbeSpec;
}

impl Default for ProbeDraft {
    fn default() -> Self {
        Self {
            http: None,
            connect: false,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            rule: ProbeRule::default(),
        }
    }
}

impl ProbeDraft {
    /// None when it says neither or both of `http` and `connect`.
    pub(crate) fn finish(self) -> Option<ProbeSpec> {
        let how = match (self.http, self.connect) {
            (Some(path), false) => ReadySpec::Http(path),
            (None, true) => ReadySpec::Connect,
            _ => return None,
        };
        Some(ProbeSpec { how, every: self.every, timeout: self.timeout, rule: self.rule })
    }
}

/// `probe = { .. }`.
pub(crate) const PROBE: &[Key<ProbeDraft>] = &[
    key!(
        "http",
        "",
        "`GET` of this path on `{port}` or `{socket}` answers 200.",
        Kind::Text(|p, v| p.http = Some(v))
    ),
    key!(
        "connect",
        "false",
        "A connection to `{port}` or `{socket}` succeeds.",
        Kind::Bool(|p, v| p.connect = v)
    ),
    key!(
        "every",
        "\"10s\"",
        "Time between probes.",
        Kind::Duration(MS, LONGEST, |p: &ProbeSpec| Some(p.every), |p, v| p.every = v)
    ),
    key!(
        "timeout",
        "\"2s\"",
        "A probe that takes longer has failed.",
        Kind::Duration(MS, LONGEST, |p: &ProbeSpec| Some(p.timeout), |p, v| p.timeout = v)
    ),
    key!(
        "failures",
        "3",
        "This many failed probes in a row take it out of service.",
        Kind::Count(
            1,
            MAX_FAILURES,
            |p: &ProbeSpec| Some(p.rule.failures.into()),
            |p, v| {
                p.rule.failures = failures(v);
            }
        )
    ),
    key!(
        "while_leased",
        "\"report\"",
        "What they lead to while clients hold leases on it or on what depends on it: `report` keeps it up, since it may be too busy for a client to answer, says so in `status`, `why` and the events, and probes it once more when the last lease has ended; `restart` stops it when the last of these leases has ended, after `stop_deadline` at the latest; the rest are revoked then.",
        Kind::Word(WHILE_LEASED, |p, i| p.rule.while_leased = while_leased(i))
    ),
];

/// What `trim` says.
#[derive(Debug, Default)]
pub(crate) struct TrimDraft {
    pub(crate) http: Option<String>,
    pub(crate) signal: Option<TrimSignal>,
}

impl Target for TrimDraft {
    type Spec = TrimSpec;
}

impl TrimDraft {
    /// None when it says neither or both of `http` and `signal`.
    pub(crate) fn finish(self) -> Option<TrimSpec> {
        match (self.http, self.signal) {
            (Some(path), None) => Some(TrimSpec::Http(path)),
            (None, Some(signal)) => Some(TrimSpec::Signal(signal)),
            _ => None,
        }
    }
}

/// `trim = { .. }`.
pub(crate) const TRIM: &[Key<TrimDraft>] = &[
    key!(
        "http",
        "",
        "`POST` of this path, without a body, on `{port}` or `{socket}`; it answers 2xx within 10 s.",
        Kind::Text(|t, v| t.http = Some(v))
    ),
    key!(
        "signal",
        "",
        "This signal is sent to the program's first process, if that handles it (by default HUP, USR1 and USR2 end a program).",
        Kind::Word(TrimSignal::WORDS, |t, i| t.signal = Some(TrimSignal::ALL[i]))
    ),
];

/// What `ready` says when it is a table.
#[derive(Debug, Default)]
pub(crate) struct ReadyDraft {
    pub(crate) stdout: Option<String>,
    pub(crate) http: Option<String>,
}

impl Target for ReadyDraft {
    type Spec = ReadySpec;
}

/// `ready = { .. }`.
pub(crate) const READY: &[Key<ReadyDraft>] = &[
    key!(
        "stdout",
        "",
        "A line of standard output contains this text.",
        Kind::Text(|r, v| r.stdout = Some(v))
    ),
    key!(
        "http",
        "",
        "`GET` of this path on `{port}` or `{socket}` answers 200.",
        Kind::Text(|r, v| r.http = Some(v))
    ),
];

/// The words that `ready` may be.
pub(crate) const READY_WORDS: &[&str] = &["started", "connect"];
