//! From a `ProcessSpec` to the words, environment and places of one incarnation.
//!
//! Everything that can be wrong with them is found here, before anything starts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use majordomo_core::{ComponentId, Loopback};
use majordomo_registry::template::{self, Piece, PlaceHolder};
use majordomo_registry::{
    ProcessSpec, StepRequest, StepSpec, StopSpec, TrimSpec, WarmUpRequest, environment_variable,
};

use super::resolve::{self, Places};
use super::template::Values;
use super::{Endpoint, ProcessError, StartContext, ready};
use crate::guard::TAG_VARIABLE;

/// Always passed on.
const ENV_ALWAYS: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER"];

/// A port that is free at one address is seldom taken at the other.
const FREE_PORT_TRIES: usize = 8;

/// `sun_path` without its final zero.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The program to start, with its environment and endpoint.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The program's absolute path, then its arguments.
    pub(super) argv: Vec<OsString>,
    pub(super) env: BTreeMap<OsString, OsString>,
    /// The value of [`TAG_VARIABLE`], which no other start has.
    pub(super) mark: String,
    pub(super) cwd: PathBuf,
    pub(super) endpoint: Endpoint,
    /// The commands of its requests by the key of the request, like `argv`.
    pub(super) requests: BTreeMap<&'static str, Vec<OsString>>,
}

/// Checks and fills in. Blocks for a few system calls.
pub(super) fn prepare(
    ctx: &StartContext,
    state_dir: &Path,
    session: &str,
) -> Result<Prepared, ProcessError> {
    let component = || ctx.component.clone();
    let spec = &*ctx.spec;
    check(&ctx.component, spec)?;
    let port = port(ctx)?;
    let socket = match &spec.socket {
        Some(path) => Some(fixed_socket(ctx, path)?),
        None => spec.has_socket().then(|| socket_path(ctx, state_dir)).transpose()?,
    };
    let endpoint = Endpoint { port, socket, ..Endpoint::default() };
    let uses_state_dir =
        spec.texts().flat_map(template::place_holders).any(|h| h == PlaceHolder::StateDir);
    let own_dir = || make_dir(ctx, state_dir.join("components").join(ctx.component.as_str()));
    let values = Values {
        component: &ctx.component,
        base_dir: &ctx.base_dir,
        own: &endpoint,
        state_dir: uses_state_dir.then(own_dir).transpose()?,
        dependencies: &ctx.dependencies,
    };
    let fill = |text: &str| {
        super::template::fill(text, &values).map_err(|problem| ProcessError::Template {
            component: component(),
            text: text.to_owned(),
            problem,
        })
    };
    let cwd = working_dir(&ctx.component, spec, &ctx.base_dir)?;
    let mut env = BTreeMap::new();
    let always = ENV_ALWAYS.map(|name| (name, environment_variable(name)));
    // A variable that the configuration names may have a meaning when it is empty.
    let allowed = spec.env_allow.iter().map(|name| (name.as_str(), std::env::var_os(name)));
    for (name, value) in always.into_iter().chain(allowed) {
        if let Some(value) = value {
            env.insert(OsString::from(name), value);
        }
    }
    for (name, dependency) in &ctx.dependencies {
        if let Some(url) = dependency.url() {
            env.insert(template::url_variable(name).into(), url.into());
        }
    }
    for (name, text) in &spec.env {
        env.insert(name.into(), fill(text)?.into());
    }
    let mark = new_mark(ctx, session);
    env.insert(TAG_VARIABLE.into(), (&mark).into());
    let search = env.get(std::ffi::OsStr::new("PATH")).map(|p| p.to_string_lossy().into_owned());
    let places = Places { base_dir: &ctx.base_dir, cwd: &cwd, search: search.as_deref() };
    let words = |command: &[String]| -> Result<Vec<OsString>, ProcessError> {
        let mut words = command.iter().map(|text| fill(text));
        let program = words.next().transpose()?.unwrap_or_default();
        let program = resolve::resolve(&ctx.component, &program, places)?.into();
        std::iter::once(Ok(program)).chain(words.map(|word| word.map(OsString::from))).collect()
    };
    let argv = words(&spec.command)?;
    let requests = spec.request_commands().map(|(key, command)| Ok((key, words(command)?)));
    let requests = requests.collect::<Result<_, ProcessError>>()?;
    Ok(Prepared { argv, env, mark, cwd, endpoint, requests })
}

/// The command of a program, and those of its requests.
fn commands(spec: &ProcessSpec) -> impl Iterator<Item = &[String]> {
    let requests = spec.request_commands().map(|(_, command)| command);
    std::iter::once(&*spec.command).chain(requests)
}

/// Checks that a specification has all that is needed to start its program.
fn check(component: &ComponentId, spec: &ProcessSpec) -> Result<(), ProcessError> {
    let component = || component.clone();
    for text in spec.texts() {
        if let Some(error) = template::pieces(text).find_map(Result::err) {
            let (text, problem) = (text.to_owned(), error.to_string());
            return Err(ProcessError::Template { component: component(), text, problem });
        }
    }
    let mut commands = commands(spec);
    if commands.any(|c| c.first().is_none_or(std::string::String::is_empty)) {
        return Err(ProcessError::EmptyCommand { component: component() });
    }
    if let Some(probe) = spec.probe.as_ref().filter(|p| !ready::needs_endpoint(&p.how)) {
        let how = ready::words(&probe.how, &Endpoint::default());
        return Err(ProcessError::ProbeKind { component: component(), how });
    }
    let posts = |step: &Option<Box<StepSpec>>| {
        step.as_ref().is_some_and(|step| matches!(step.how, StepRequest::Http(_)))
    };
    let warm_up = spec.warm_up.as_ref().map(|warm_up| &warm_up.how);
    let asks_warm_up = matches!(warm_up, Some(WarmUpRequest::Http { .. }));
    let connecting = [
        ("readiness", ready::needs_endpoint(&spec.ready)),
        ("warm_up", asks_warm_up),
        ("probe", spec.probe.is_some()),
        ("trim", matches!(spec.trim, Some(TrimSpec::Http(_)))),
        ("sleep", posts(&spec.sleep)),
        ("wake", posts(&spec.wake)),
        ("stop", matches!(spec.stop, Some(StopSpec::Http(_)))),
    ];
    match connecting.into_iter().find(|(_, connects)| *connects) {
        Some((what, _)) if !spec.has_endpoint() => {
            Err(ProcessError::NoEndpoint { component: component(), what })
        }
        _ => Ok(()),
    }
}

/// Whether a program and its working directory are there, before anything is loaded. A program whose name has
/// place-holders is known only when it is started.
///
/// # Errors
/// What a load would fail with.
pub fn look_up(
    component: &ComponentId,
    spec: &ProcessSpec,
    base_dir: &Path,
) -> Result<(), ProcessError> {
    let literal = |text: &str| -> Option<String> {
        let known = template::pieces(text).map(|piece| match piece {
            Ok(Piece::Text(text)) => Some(text.into()),
            Ok(Piece::PlaceHolder(PlaceHolder::Name)) => Some(component.as_str().into()),
            Ok(Piece::PlaceHolder(PlaceHolder::ConfigDir)) => Some(base_dir.to_string_lossy()),
            _ => None,
        });
        known.collect::<Option<Vec<Cow<'_, str>>>>().map(|pieces| pieces.concat())
    };
    let cwd = working_dir(component, spec, base_dir)?;
    let search = match spec.env.get("PATH") {
        Some(own) => literal(own),
        None => environment_variable("PATH").map(|path| path.to_string_lossy().into_owned()),
    };
    let places = Places { base_dir, cwd: &cwd, search: search.as_deref() };
    let programs = commands(spec).filter_map(|command| literal(command.first()?));
    for program in programs.filter(|program| !program.is_empty()) {
        resolve::resolve(component, &program, places)?;
    }
    Ok(())
}

/// The value that marks every descendant of one incarnation.
fn new_mark(ctx: &StartContext, session: &str) -> String {
    // A load may start its program twice.
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let start = STARTS.fetch_add(1, Ordering::Relaxed);
    format!("{session}/{}/{}/{start}/", ctx.component, ctx.op)
}

/// Its fixed port, if that is free; else a free one, when it needs one.
fn port(ctx: &StartContext) -> Result<Option<u16>, ProcessError> {
    let component = || ctx.component.clone();
    match ctx.spec.port {
        Some(port) if is_taken(port) => {
            Err(ProcessError::PortTaken { component: component(), port, tail: None })
        }
        Some(port) => Ok(Some(port)),
        None => {
            let free = ctx.spec.has_port().then(free_port).transpose();
            free.map_err(|source| ProcessError::Port { component: component(), source })
        }
    }
}

/// A port that is free now: bound, read, closed. Another program may take it before the component does,
/// which is why a load is tried once more.
fn free_port() -> io::Result<u16> {
    // The program may listen at either address.
    let mut port = 0;
    for _ in 0..FREE_PORT_TRIES {
        port = TcpListener::bind((Loopback::V4.ip(), 0))?.local_addr()?.port();
        if !is_taken(port) {
            break;
        }
    }
    Ok(port)
}

/// Whether another program listens on the port.
pub(super) fn is_taken(port: u16) -> bool {
    Loopback::ALL.iter().any(|host| {
        let bound = TcpListener::bind((host.ip(), port));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    })
}

fn make_dir(ctx: &StartContext, dir: PathBuf) -> Result<PathBuf, ProcessError> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir) {
        Ok(()) => Ok(dir),
        Err(source) => {
            Err(ProcessError::StateDir { component: ctx.component.clone(), dir, source })
        }
    }
}

fn socket_path(ctx: &StartContext, state_dir: &Path) -> Result<PathBuf, ProcessError> {
    let dir = make_dir(ctx, state_dir.join("run"))?;
    let path = dir.join(format!("{}-{}.sock", ctx.component, ctx.op));
    check_length(ctx, &path)?;
    remove_socket(&path);
    Ok(path)
}

/// A path that the configuration states. A socket without a listener is removed; anything else that is
/// there is in use.
fn fixed_socket(ctx: &StartContext, path: &Path) -> Result<PathBuf, ProcessError> {
    let path = ctx.base_dir.join(path);
    check_length(ctx, &path)?;
    let why = match fs::symlink_metadata(&path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            "the file there is no socket; state another path"
        }
        Ok(_) if UnixStream::connect(&path).is_ok() => {
            "another program listens there; end that, or state another path"
        }
        _ => {
            remove_socket(&path);
            return Ok(path);
        }
    };
    Err(ProcessError::SocketTaken { component: ctx.component.clone(), path, why })
}

fn check_length(ctx: &StartContext, path: &Path) -> Result<(), ProcessError> {
    let len = path.as_os_str().len();
    if len <= MAX_SOCKET_PATH {
        return Ok(());
    }
    let (component, path) = (ctx.component.clone(), path.to_owned());
    Err(ProcessError::SocketPath { component, path, len, max: MAX_SOCKET_PATH })
}

/// Removes a socket that an incarnation left, and nothing but a socket.
pub(super) fn remove_socket(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        // One that cannot be removed shows as the program's own failure to bind.
        let _ = fs::remove_file(path);
    }
}

fn working_dir(
    component: &ComponentId,
    spec: &ProcessSpec,
    base_dir: &Path,
) -> Result<PathBuf, ProcessError> {
    let fail = |dir: PathBuf, source| {
        let component = component.clone();
        ProcessError::WorkingDir { component, dir, source }
    };
    let dir = match &spec.cwd {
        None => base_dir.to_path_buf(),
        Some(dir) => base_dir.join(dir),
    };
    match fs::metadata(&dir) {
        Ok(meta) if meta.is_dir() => Ok(dir),
        Ok(_) => Err(fail(dir, io::ErrorKind::NotADirectory.into())),
        Err(e) => Err(fail(dir, e)),
    }
}
