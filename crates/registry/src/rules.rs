//! The rules for the specification of one component, wherever it was made.
//!
//! Owns what a component must have to be startable at all: program, place-holders, environment, readiness, probe. The
//! reader of files and the check of specifications made in code both use these rules; the reader finds the place of each
//! breach in the text. Ranges belong to the tables of keys, other components to the catalog.

mod route;

pub(crate) use self::route::{CLIENT_NAME, is_client_name};

use majordomo_core::{ByteSize, quoted};

use crate::config::{RAM, shorten, suggest};
use crate::spec::is_request_path;
use crate::template::{self, PlaceHolder, TemplateError};
use crate::{
    ComponentSpec, ExternalSpec, LoaderSpec, PoolSpec, ProbeSpec, ProcessSpec, ReadySpec,
    StepRequest, StepSpec, StopSpec, TrimSpec, UrlScheme, WELL_KNOWN_POOLS, WarmUpRequest,
};

/// A program's own place-holders, for suggestions.
const PLACE_HOLDERS: [&str; 5] = ["port", "socket", "state_dir", "name", "config_dir"];

/// The part of a specification that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'s> {
    /// The value of a key.
    Key(&'static str),
    /// An item of a list, by key and position.
    Item(&'static str, usize),
    /// A member of a table, by key and name.
    Member(&'static str, &'s str),
    /// The value of a member of a table.
    Value(&'static str, &'s str),
}

/// `command`, `command[1]`, `env.NAME`.
impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Item(key, idx) => write!(f, "{key}[{idx}]"),
            Self::Member(key, name) | Self::Value(key, name) => write!(f, "{key}.{name}"),
        }
    }
}

/// A rule that a specification breaks.
#[derive(Debug)]
pub(crate) struct Breach<'s> {
    pub(crate) place: Place<'s>,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Collects breaches.
struct Breaches<'s>(Vec<Breach<'s>>);

impl<'s> Breaches<'s> {
    fn add(&mut self, place: Place<'s>, code: &'static str, message: String, help: Option<&str>) {
        self.0.push(Breach { place, code, message, help: help.map(str::to_owned) });
    }
}

/// Every rule that a specification breaks.
pub(crate) fn check(spec: &ComponentSpec) -> Vec<Breach<'_>> {
    let mut breaches = Breaches(Vec::new());
    match &spec.loader {
        LoaderSpec::Process(process) => {
            check_process(&mut breaches, process);
            sleep_rules(&mut breaches, spec, process.sleep.is_some(), process.wake.is_some());
            warm_up_rules(&mut breaches, spec, process);
        }
        LoaderSpec::External(service) => {
            check_service(&mut breaches, service);
            // Without `asleep` its requests begin and end a load, and one alone is enough.
            if spec.asleep.is_some() {
                sleep_rules(&mut breaches, spec, service.sleep.is_some(), service.wake.is_some());
            }
        }
        LoaderSpec::Python { module, function } => {
            if spec.asleep.is_some() {
                let message = "a Python function is never put to sleep".to_owned();
                breaches.add(Place::Key("asleep"), "foreign-key", message, Some("remove it"));
            }
            for (key, text) in [("module", module), ("function", function)] {
                if text.trim().is_empty() {
                    let message = format!("{key} is empty");
                    breaches.add(Place::Key(key), "bad-value", message, Some("name it"));
                }
            }
        }
        LoaderSpec::CoreMl(model) => {
            if spec.asleep.is_some() {
                let message = "a Core ML model is never put to sleep".to_owned();
                breaches.add(Place::Key("asleep"), "foreign-key", message, Some("remove it"));
            }
            if model.model.as_os_str().is_empty() {
                let help = Some("name a compiled model: model = \"folder/name.mlmodelc\"");
                breaches.add(Place::Key("model"), "bad-value", "model is empty".to_owned(), help);
            }
        }
        LoaderSpec::Builtin { factory } => {
            if factory.trim().is_empty() {
                let help = Some("name the factory");
                let message = "factory is empty".to_owned();
                breaches.add(Place::Key("factory"), "bad-value", message, help);
            }
        }
    }
    if let Some(route) = &spec.route {
        route::check(&mut breaches, spec, route);
    }
    breaches.0
}

/// A component that is put to sleep is woken again, and its memory while it sleeps is stated and less than before.
fn sleep_rules(breaches: &mut Breaches<'_>, spec: &ComponentSpec, sleep: bool, wake: bool) {
    let keys = [("sleep", sleep), ("wake", wake), ("asleep", spec.asleep.is_some())];
    let missing: Vec<_> = keys.iter().filter(|(_, has)| !has).map(|(key, _)| *key).collect();
    let has = |key: &&(&str, bool)| key.1;
    // A service has the requests without the memory as well.
    let stated = match spec.service() {
        Some(_) => keys.iter().rev().find(has),
        None => keys.iter().find(has),
    };
    if let Some((stated, _)) = stated.filter(|_| !missing.is_empty()) {
        let message = format!("{stated} needs {} too", missing.join(" and "));
        let help = "such as sleep = { http = \"POST /sleep\" }, wake = { http = \"POST /wake\" } and asleep = \"100MiB\"";
        breaches.add(Place::Key(stated), "missing-key", message, Some(help));
    }
    let Some(asleep) = &spec.asleep else { return };
    let held = asleep.memory.unwrap_or(spec.memory).0;
    let apart = asleep.memory_in.values().map(|bytes| bytes.0);
    let ready =
        spec.memory_in.values().map(|bytes| bytes.0).fold(spec.memory.0, u64::saturating_add);
    if apart.fold(held, u64::saturating_add) >= ready {
        let message = "asleep is no less than memory, so a sleep frees nothing".to_owned();
        let help = Some("state what stays while the component sleeps");
        breaches.add(Place::Key("asleep"), "bad-value", message, help);
    }
}

/// A request to warm up is a part of the load, and a call needs the protocol of calls.
fn warm_up_rules(breaches: &mut Breaches<'_>, spec: &ComponentSpec, process: &ProcessSpec) {
    let Some(warm_up) = &process.warm_up else { return };
    if let Some(deadline) = spec.load_deadline.filter(|deadline| warm_up.timeout > *deadline) {
        let message = format!(
            "the timeout of warm_up, {:?}, is longer than load_deadline, {deadline:?}",
            warm_up.timeout
        );
        let help = Some("the request is a part of the load: shorten it, or raise load_deadline");
        breaches.add(Place::Value("warm_up", "timeout"), "out-of-range", message, help);
    }
    match &warm_up.how {
        WarmUpRequest::Call(_) if process.stdio().is_none() => {
            let message =
                "warm_up.call is a call of protocol = \"stdio\", which the program does not have";
            let help = Some("add the protocol, or write { http = \"/path\" }");
            breaches.add(Place::Value("warm_up", "call"), "no-protocol", message.to_owned(), help);
        }
        WarmUpRequest::Call(_) | WarmUpRequest::Http { .. } => {}
    }
}

/// The rules for the command of a process. `more` are place-holders besides a program's own.
pub(crate) fn check_command<'s>(command: &'s [String], more: &[&str]) -> Vec<Breach<'s>> {
    let mut breaches = Breaches(Vec::new());
    command_rules(&mut breaches, command, more);
    breaches.0
}

/// A pool of declared bytes without a budget: the message and the way out.
pub(crate) fn unbounded_pool(pool: &PoolSpec) -> Option<(String, &'static str)> {
    let message =
        || format!("pool {} has accounting = \"declared\" and no budget", quoted(&pool.name));
    let is_unbounded = pool.declared && pool.budget.is_none();
    is_unbounded.then(|| (message(), "without a budget nothing bounds it; state one"))
}

/// A pool that is neither declared nor well known: the message and the way out.
pub(crate) fn unknown_pool(name: &str, pools: &[PoolSpec]) -> Option<(String, String)> {
    let known = || pools.iter().map(|pool| &*pool.name).chain(WELL_KNOWN_POOLS);
    if known().any(|pool| pool == name) {
        return None;
    }
    let help = suggest(name, known());
    let help = help.unwrap_or_else(|| format!("declare it: [pools.{}]", shorten(name)));
    Some((format!("there is no pool {}", quoted(&shorten(name))), help))
}

/// The rules for memory in several pools.
pub(crate) fn check_memory<'s>(spec: &'s ComponentSpec, pools: &[PoolSpec]) -> Vec<Breach<'s>> {
    let mut breaches = Breaches(Vec::new());
    let is_declared = |name: &str| pools.iter().any(|pool| pool.declared && *pool.name == *name);
    for (name, bytes) in &spec.memory_in {
        let place = Place::Member("memory", name);
        if !ByteSize::SETTING.contains(bytes) {
            let (min, max) = ByteSize::SETTING.into_inner();
            let message = format!("{bytes} of pool {} is not within {min} and {max}", quoted(name));
            breaches.add(place, "out-of-range", message, None);
        }
        if is_declared(name) {
            continue;
        }
        let shown = shorten(name);
        let (message, help) = if unknown_pool(name, pools).is_none() {
            let message = format!(
                "pool {} is main memory, and a component has one such pool",
                quoted(&shown)
            );
            (message, format!("write pool = \"{shown}\", and its bytes as {RAM}"))
        } else {
            let declared = pools.iter().filter(|pool| pool.declared).map(|pool| &*pool.name);
            let help = suggest(name, declared.chain([RAM])).unwrap_or_else(|| {
                format!("declare it: [pools.{shown}] with accounting = \"declared\" and a budget")
            });
            (format!("there is no pool {}", quoted(&shown)), help)
        };
        breaches.add(place, "unknown-pool", message, Some(&help));
    }
    for (name, bytes) in spec.asleep.iter().flat_map(|asleep| &asleep.memory_in) {
        let place = Place::Member("asleep", name);
        if !ByteSize::SETTING.contains(bytes) {
            let (min, max) = ByteSize::SETTING.into_inner();
            let message = format!("{bytes} of pool {} is not within {min} and {max}", quoted(name));
            breaches.add(place, "out-of-range", message, None);
        }
        if !spec.memory_in.contains_key(name) {
            let stated = spec.memory_in.keys().map(|name| &**name);
            let message = format!("memory states no bytes of pool {}", quoted(&shorten(name)));
            let help = suggest(name, stated.chain([RAM]));
            let help = help.unwrap_or_else(|| "state its bytes in memory, too".to_owned());
            breaches.add(place, "unknown-pool", message, Some(&help));
        }
    }
    if !spec.memory_in.is_empty() && is_declared(&spec.pool) {
        let message = format!(
            "pool {} is not main memory, and memory states bytes by pool",
            quoted(&spec.pool)
        );
        let help = Some("remove the key pool: memory names the pools");
        breaches.add(Place::Key("pool"), "unknown-pool", message, help);
    }
    breaches.0
}

fn command_rules<'s>(breaches: &mut Breaches<'s>, command: &'s [String], more: &[&str]) {
    if command.first().is_none_or(|program| program.trim().is_empty()) {
        let message = "command has no program".to_owned();
        let help = Some("the first item is the program");
        breaches.add(Place::Key("command"), "bad-value", message, help);
    }
    for (idx, text) in command.iter().enumerate() {
        check_text(breaches, Place::Item("command", idx), text, more);
    }
}

fn check_process<'s>(breaches: &mut Breaches<'s>, process: &'s ProcessSpec) {
    command_rules(breaches, &process.command, &[]);
    for (name, value) in &process.env {
        check_variable(breaches, Place::Member("env", name), name);
        check_text(breaches, Place::Value("env", name), value, &[]);
    }
    for (idx, name) in process.env_allow.iter().enumerate() {
        check_variable(breaches, Place::Item("env_allow", idx), name);
    }
    for (key, path) in [("cwd", &process.cwd), ("socket", &process.socket)] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let help = Some("name it, or leave the key out");
            breaches.add(Place::Key(key), "empty-path", format!("{key} is empty"), help);
        }
    }
    for (key, command) in process.request_commands() {
        request_rules(breaches, process, key, command);
    }
    check_requests(breaches, process);
}

/// A service: HTTP requests are for HTTP services, and a probe asks something.
fn check_service(breaches: &mut Breaches<'_>, service: &ExternalSpec) {
    let is_http = service.url.scheme() == UrlScheme::Http;
    let asks_http = matches!(service.probe.how, ReadySpec::Http(_));
    for (key, by_http) in
        [("probe", asks_http), ("wake", service.wake.is_some()), ("sleep", service.sleep.is_some())]
    {
        if by_http && !is_http {
            let message = format!("{key} asks by HTTP, and the URL is {}", service.url);
            let help = Some("state an http:// URL, or remove it");
            breaches.add(Place::Value("external", key), "bad-value", message, help);
        }
    }
    let place = Place::Value("external", "probe");
    match &service.probe.how {
        ReadySpec::Connect => {}
        ReadySpec::Http(path) => check_path(breaches, place, path),
        _ => {
            let message = "probe needs either http or connect".to_owned();
            breaches.add(place, "bad-value", message, Some(PROBE_EXAMPLE));
        }
    }
    check_times(breaches, place, &service.probe);
}

fn check_path<'s>(breaches: &mut Breaches<'s>, place: Place<'s>, path: &str) {
    if !is_request_path(path) {
        let message = format!("{} is not a path of a URL", quoted(&shorten(path)));
        let help = Some("it starts with / and has no whitespace");
        breaches.add(place, "bad-value", message, help);
    }
}

fn check_times<'s>(breaches: &mut Breaches<'s>, place: Place<'s>, probe: &ProbeSpec) {
    if probe.timeout > probe.every {
        let message = format!(
            "the probe's timeout, {:?}, is longer than the time between probes, {:?}",
            probe.timeout, probe.every
        );
        breaches.add(place, "out-of-range", message, None);
    }
}

/// The command of a request to a program: like the program's own, and only about an address that the program has.
fn request_rules<'s>(
    breaches: &mut Breaches<'s>,
    process: &ProcessSpec,
    key: &'static str,
    command: &'s [String],
) {
    let place = Place::Value(key, "command");
    if command.first().is_none_or(|program| program.trim().is_empty()) {
        let message = format!("the command of {key} has no program");
        breaches.add(place, "bad-value", message, Some("the first item is the program"));
    }
    for text in command {
        check_text(breaches, place, text, &[]);
        for holder in template::place_holders(text) {
            let missing = match holder {
                PlaceHolder::Port if !process.has_port() => "{port}",
                PlaceHolder::Socket if !process.has_socket() => "{socket}",
                _ => continue,
            };
            let message = format!("{key} uses {missing}, which the program itself is not given");
            let help = format!("use {missing} in command or env, or state its address");
            breaches.add(place, "no-address", message, Some(&help));
        }
    }
}

/// Readiness, probe and trim: a request over the network needs an address that the program knows too.
fn check_requests<'s>(breaches: &mut Breaches<'s>, process: &'s ProcessSpec) {
    /// The path of a request over the network, if it has one.
    type Request<'s> = Option<Option<&'s str>>;
    fn request(how: &ReadySpec) -> Request<'_> {
        match how {
            ReadySpec::Connect => Some(None),
            ReadySpec::Http(path) => Some(Some(path)),
            ReadySpec::Started | ReadySpec::Stdout(_) | ReadySpec::Line => None,
        }
    }
    if process.ready == ReadySpec::Line && process.stdio().is_none() {
        let message =
            "ready = \"line\" is a line of protocol = \"stdio\", which the program does not have";
        let help = Some("add the protocol, or write ready = { stdout = \"part of a line\" }");
        breaches.add(Place::Key("ready"), "no-protocol", message.to_owned(), help);
    }
    if let ReadySpec::Stdout(text) = &process.ready
        && text.contains(['\n', '\r'])
    {
        let message = "the text of ready contains a line end, so no line contains it".to_owned();
        let help = Some("state a part of one line");
        breaches.add(Place::Value("ready", "stdout"), "bad-value", message, help);
    }
    let probe = process.probe.as_ref();
    let trim: Request<'s> = match &process.trim {
        Some(TrimSpec::Http(path)) => Some(Some(path)),
        Some(TrimSpec::Signal(_)) | None => None,
    };
    let stop: Request<'s> = match &process.stop {
        Some(StopSpec::Http(path)) => Some(Some(path)),
        Some(StopSpec::Command(_) | StopSpec::Signal(_)) | None => None,
    };
    let step = |step: &'s Option<Box<StepSpec>>| -> Request<'s> {
        match &step.as_ref()?.how {
            StepRequest::Http(request) => Some(Some(request.path())),
            StepRequest::Command(_) | StepRequest::Signal(_) => None,
        }
    };
    let warm_up: Request<'s> = match process.warm_up.as_ref().map(|warm_up| &warm_up.how) {
        Some(WarmUpRequest::Http { path, .. }) => Some(Some(path)),
        Some(WarmUpRequest::Call(_)) | None => None,
    };
    let requests = [
        ("ready", request(&process.ready)),
        ("warm_up", warm_up),
        ("probe", probe.and_then(|probe| request(&probe.how))),
        ("trim", trim),
        ("sleep", step(&process.sleep)),
        ("wake", step(&process.wake)),
        ("stop", stop),
    ];
    for (key, request) in requests {
        let Some(path) = request else { continue };
        if !process.has_endpoint() {
            let message =
                format!("{key} asks over the network, but no address is given to the program");
            let help = Some("use {port} or {socket} in command or env, or state its port");
            breaches.add(Place::Key(key), "no-address", message, help);
        }
        if let Some(path) = path {
            check_path(breaches, Place::Key(key), path);
        }
    }
    let Some(probe) = probe else { return };
    if request(&probe.how).is_none() {
        let message = "probe needs either http or connect".to_owned();
        breaches.add(Place::Key("probe"), "bad-value", message, Some(PROBE_EXAMPLE));
    }
    check_times(breaches, Place::Key("probe"), probe);
}

/// How a probe is written.
pub(crate) const PROBE_EXAMPLE: &str = "such as { http = \"/health\" } or { connect = true }";

fn check_variable<'s>(breaches: &mut Breaches<'s>, place: Place<'s>, name: &str) {
    if name.is_empty() || name.contains(['=', '\0']) {
        let message =
            format!("{} is not a name of an environment variable", quoted(&shorten(name)));
        breaches.add(place, "bad-name", message, None);
    }
}

fn check_text<'s>(breaches: &mut Breaches<'s>, place: Place<'s>, text: &str, more: &[&str]) {
    if text.contains('\0') {
        let message = "a program cannot be given the character NUL".to_owned();
        breaches.add(place, "bad-value", message, None);
    }
    let others = || more.iter().filter(|word| !PLACE_HOLDERS.contains(word));
    let known = || PLACE_HOLDERS.iter().chain(others()).copied();
    for piece in template::pieces(text) {
        let (message, help) = match piece {
            Ok(_) => continue,
            Err(TemplateError::Unknown(name)) if more.contains(&name) => continue,
            Err(TemplateError::Unknown(name)) => {
                let of_dependencies = ["NAME.port", "NAME.socket", "NAME.url"];
                let all = || {
                    let all = known().chain(of_dependencies).map(|k| format!("{{{k}}}"));
                    all.collect::<Vec<_>>().join(", ")
                };
                let same = known().find(|k| k.eq_ignore_ascii_case(name));
                let near = same.map(|k| format!("did you mean \"{k}\"?"));
                let help = near.or_else(|| suggest(name, known())).unwrap_or_else(|| {
                    format!("there are {}; write {{{{ and }}}} for braces", all())
                });
                (format!("unknown place-holder {}", quoted(&shorten(name))), help)
            }
            Err(brace @ TemplateError::Brace(_)) => {
                (brace.to_string(), "write {{ and }} for braces".to_owned())
            }
        };
        breaches.add(place, "bad-place-holder", message, Some(&help));
    }
}
