//! From a `ProcessSpec` to the words, environment and places of one incarnation.
//!
//! Everything that can be wrong with them is found here, before anything starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::template::{self, Uses, Values};
use super::{Endpoint, ProcessError, StartContext, ready, resolve};
use crate::guard::TAG_VARIABLE;

/// Always passed on.
const ENV_ALWAYS: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER"];

/// `sun_path` without its final zero.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What is started.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The program's absolute path, then its arguments.
    pub(super) argv: Vec<OsString>,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) cwd: PathBuf,
    pub(super) endpoint: Endpoint,
}

/// Checks and fills in. Blocks for a few system calls.
pub(super) fn prepare(
    ctx: &StartContext,
    state_dir: &Path,
    session: &str,
) -> Result<Prepared, ProcessError> {
    let component = || ctx.component.clone();
    let spec = &*ctx.spec;
    let bad = |text: &str| {
        let text = text.to_owned();
        move |problem| ProcessError::Template { component: component(), text, problem }
    };
    let mut used = Uses::default();
    for text in spec.command.iter().chain(spec.env.values()) {
        template::uses(text, &mut used).map_err(bad(text))?;
    }
    if spec.command.first().is_none_or(std::string::String::is_empty) {
        return Err(ProcessError::EmptyCommand { component: component() });
    }
    let reachable = used.port || used.socket;
    if ready::needs_endpoint(&spec.ready) && !reachable {
        return Err(ProcessError::NoEndpoint { component: component(), what: "readiness" });
    }
    if let Some(probe) = &spec.probe {
        if !ready::needs_endpoint(&probe.how) {
            let how = ready::words(&probe.how, &Endpoint::default());
            return Err(ProcessError::ProbeKind { component: component(), how });
        }
        if !reachable {
            return Err(ProcessError::NoEndpoint { component: component(), what: "probe" });
        }
    }
    let values = Values {
        port: used
            .port
            .then(free_port)
            .transpose()
            .map_err(|source| ProcessError::Port { component: component(), source })?,
        socket: used.socket.then(|| socket_path(ctx, state_dir)).transpose()?,
        state_dir: used
            .state_dir
            .then(|| make_dir(ctx, state_dir.join("components").join(ctx.component.as_str())))
            .transpose()?,
    };
    let fill = |text: &str| template::fill(text, &values).map_err(bad(text));
    let cwd = working_dir(ctx)?;
    let mut env = BTreeMap::new();
    let passed = ENV_ALWAYS.iter().copied().chain(spec.env_allow.iter().map(String::as_str));
    for name in passed {
        if let Some(value) = std::env::var_os(name) {
            env.insert(OsString::from(name), value);
        }
    }
    for (name, text) in &spec.env {
        env.insert(name.into(), fill(text)?.into());
    }
    env.insert(TAG_VARIABLE.into(), tag(ctx, session).into());
    let mut argv = Vec::with_capacity(spec.command.len());
    for text in &spec.command {
        argv.push(OsString::from(fill(text)?));
    }
    let search = env.get(std::ffi::OsStr::new("PATH")).map(|p| p.to_string_lossy().into_owned());
    let program = argv[0].to_string_lossy().into_owned();
    argv[0] = resolve::resolve(&ctx.component, &program, &cwd, search.as_deref())?.into();
    let endpoint = Endpoint { port: values.port, socket: values.socket };
    Ok(Prepared { argv, env, cwd, endpoint })
}

/// The value that marks every descendant of one incarnation.
pub(super) fn tag(ctx: &StartContext, session: &str) -> String {
    format!("{session}/{}/{}/", ctx.component, ctx.op)
}

/// A port that is free now: bound, read, closed. Another program may take it before the component does,
/// which is why a load is tried once more.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether somebody listens on the port.
pub(super) fn is_taken(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
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
    let len = path.as_os_str().len();
    if len > MAX_SOCKET_PATH {
        let component = ctx.component.clone();
        return Err(ProcessError::SocketPath { component, path, len, max: MAX_SOCKET_PATH });
    }
    remove_socket(&path);
    Ok(path)
}

/// Removes a socket that an incarnation left.
pub(super) fn remove_socket(path: &Path) {
    // It is gone as a rule; one that cannot be removed shows as the program's own failure to bind.
    let _ = fs::remove_file(path);
}

fn working_dir(ctx: &StartContext) -> Result<PathBuf, ProcessError> {
    let fail = |dir: PathBuf, source| ProcessError::WorkingDir {
        component: ctx.component.clone(),
        dir,
        source,
    };
    match &ctx.spec.cwd {
        None => std::env::current_dir().map_err(|e| fail(".".into(), e)),
        Some(dir) => {
            let dir = ctx.base_dir.join(dir);
            match fs::metadata(&dir) {
                Ok(meta) if meta.is_dir() => Ok(dir),
                Ok(_) => Err(fail(dir, io::ErrorKind::NotADirectory.into())),
                Err(e) => Err(fail(dir, e)),
            }
        }
    }
}
