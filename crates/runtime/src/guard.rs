//! The guard: one process per manager that outlives it for a moment and kills what it left behind.
//!
//! The guard has its own process group (the hidden form its own session), ignores HUP, INT, TERM, PIPE, and
//! reads a pipe from the manager: process groups that start and end. When the pipe ends, however the manager died, it
//! sends SIGKILL to every process group left, removes the manager's temporary folder unless the manager is going to, then the
//! cgroups of what it killed, and ends. A child starts as a trampoline that waits for a word on its standard input; the manager sends it only after the guard has acknowledged the child's process group, so that
//! after a SIGKILL of the manager in between there is either a trampoline that reads end of file and ends, or a process
//! group that the guard knows.
//!
//! Knows nothing of components. Invariant: a process group is killed only if its leader's start time is the one
//! that was announced, or its leader is gone (its number cannot have been given away then while it had
//! members).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo_core::{quoted, quoted_path};
use majordomo_files::FileError;
use majordomo_registry::StdinMode;

use crate::state::is_full_disk;

mod client;
mod hidden;
mod pidfile;
mod protocol;
mod shell;

pub use crate::proctable::TAG_VARIABLE;
pub(crate) use client::Announced;
pub use client::Guard;
pub use hidden::{EXEC_ARG, GUARD_ARG, hidden_main};
pub(crate) use protocol::GO;

use protocol::HELLO;

/// The environment variable of a guard process: a program that is one starts none of its own.
const IS_GUARD: &str = "MAJORDOMO_IS_GUARD";

/// The guard answers within this or counts as broken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// The program that the guard and the trampolines run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardForm {
    /// `/bin/sh`: for programs that embed the library.
    Shell,
    /// A binary whose `main` starts with [`hidden_main`].
    Hidden {
        /// The binary.
        program: PathBuf,
    },
}

impl GuardForm {
    /// This very program, which must call [`hidden_main`] first thing.
    ///
    /// # Errors
    /// When the system does not report its path.
    pub fn this_program() -> io::Result<Self> {
        // Through /proc the running file is meant even after an upgrade has replaced it on disk.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self::Hidden { program })
    }

    fn guard_argv(&self, temporary: Option<&Path>) -> Vec<OsString> {
        let mut argv = match self {
            Self::Shell => {
                ["/bin/sh", "-c", shell::GUARD, "majordomo-guard"].map(Into::into).to_vec()
            }
            Self::Hidden { program } => vec![program.into(), GUARD_ARG.into()],
        };
        argv.extend(temporary.map(Into::into));
        argv
    }

    pub(crate) fn trampoline(&self, stdin: StdinMode) -> Trampoline {
        match self {
            Self::Shell => {
                let script = match stdin {
                    StdinMode::Empty => shell::EXEC_EMPTY,
                    StdinMode::Hold => shell::EXEC_HOLD,
                };
                let setsid = shell::SETSID.iter().find(|path| Path::new(path).exists());
                let words = ["/bin/sh", "-c", script, EXEC_ARG];
                Trampoline {
                    argv: setsid.into_iter().copied().chain(words).map(Into::into).collect(),
                    opens_session: setsid.is_some(),
                }
            }
            Self::Hidden { program } => {
                let mode = match stdin {
                    StdinMode::Empty => hidden::EMPTY,
                    StdinMode::Hold => hidden::HOLD,
                };
                let argv = vec![program.into(), EXEC_ARG.into(), mode.into(), "--".into()];
                Trampoline { argv, opens_session: true }
            }
        }
    }
}

/// How a child starts: it waits for the word, then becomes its program.
#[derive(Debug)]
pub(crate) struct Trampoline {
    /// The words before the program's own.
    pub(crate) argv: Vec<OsString>,
    /// Whether it makes a session of its own before it waits, and by that a process group; else the manager makes the
    /// process group, and the child keeps the manager's terminal.
    pub(crate) opens_session: bool,
}

/// How the guard is set up.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// The program to run as guard.
    pub form: GuardForm,
    /// Where the list of process groups is kept for the case that guard and manager die together; none = not
    /// kept. One manager at a time may use a file: hold the state directory's lock first.
    pub pid_file: Option<PathBuf>,
    /// An absolute path of a folder that the guard removes when the manager dies before it has closed the guard.
    pub temporary: Option<PathBuf>,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// It did not start.
    #[error("the guard process {} could not be started: {source}", quoted_path(program))]
    Spawn {
        /// The program that was to be the guard.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not say what a guard says.
    #[error(
        "the guard process {} answered {} instead of {}; its main must call majordomo_runtime::guard::hidden_main first",
        quoted_path(program),
        quoted(answer),
        quoted(HELLO)
    )]
    NoGuard {
        /// The program that was to be the guard.
        program: PathBuf,
        /// The first line that it wrote.
        answer: String,
    },
    /// This process was started as a guard, and is one by its arguments only.
    #[error(
        "this program was started as the guard process of a manager and starts a manager itself; its main must call majordomo_runtime::guard::hidden_main first"
    )]
    Nested,
    /// It says nothing, or is gone and cannot be started again.
    #[error("the guard process does not answer: {why}")]
    Broken {
        /// The failure, in words.
        why: String,
    },
    /// The list of process groups cannot be written or read.
    #[error(
        "the list of process groups {} cannot be used: {source}{}",
        quoted_path(path),
        way_out(source)
    )]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another manager lives.
    #[error(
        "{} is in use by the manager with pid {pid}; stop that one or choose another state directory",
        quoted_path(path)
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process id of that manager.
        pid: i32,
    },
}

impl GuardError {
    /// Whether the list of process groups could not be written for want of space.
    fn is_full_disk(&self) -> bool {
        matches!(self, Self::PidFile { source, .. } if is_full_disk(source))
    }

    /// Whether the list of process groups fails, and not the guard process.
    fn is_of_list(&self) -> bool {
        matches!(self, Self::PidFile { .. })
    }
}

/// The way out for a list that cannot be used; the error of an untrusted file names its own.
fn way_out(error: &io::Error) -> &'static str {
    match error.get_ref() {
        _ if is_full_disk(error) => "; free some space",
        Some(inner) if inner.is::<FileError>() => "",
        _ => "; check who owns the state directory",
    }
}
