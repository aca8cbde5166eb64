//! Errors of programs, in the words of the person who wrote the configuration.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo_core::{ComponentId, printable, quoted, quoted_path};

use super::Exit;
use crate::guard::GuardError;

use majordomo_engine::OutOfMemory;
use majordomo_memory::{LimitError, OomEvidence};

/// Last lines of a program's output, shown with its failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail(pub Vec<String>);

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("; it wrote nothing"),
            lines => {
                let lines: Vec<_> = lines.iter().map(|l| printable(l)).collect();
                write!(f, "; its last output: {}", lines.join(" | "))
            }
        }
    }
}

/// The way out for a program that did not get ready, as far as the manager knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// The text of its readiness, where that was seen on standard error.
    pub on_stderr: Option<String>,
    /// Whether it ended with code 0.
    pub ended_at_once: bool,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.on_stderr {
            write!(
                f,
                "; {} was seen on its standard error, and readiness by stdout reads standard output only: run it as [\"sh\", \"-c\", \"exec PROGRAM 2>&1\"]",
                quoted(text)
            )?;
        }
        if self.ended_at_once {
            f.write_str(
                "; a component must stay in the foreground: if it puts itself into the background (daemon), turn that off in its command",
            )?;
        }
        Ok(())
    }
}

/// Why a program could not be brought up or down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The command has no program.
    #[error(
        "{component}: the command is empty; give it a program, such as command = [\"redis-server\"]"
    )]
    EmptyCommand { component: ComponentId },
    /// A place-holder that does not exist, or a brace alone.
    #[error(
        "{component}: {} has {problem}; known are {{port}}, {{socket}}, {{state_dir}}, {{name}} and {{config_dir}}, {{NAME.port}}, {{NAME.socket}} and {{NAME.url}} of dependencies, and {{{{ and }}}} stand for braces",
        quoted(text)
    )]
    Template {
        component: ComponentId,
        text: String,
        /// The mistake in the text.
        problem: String,
    },
    /// Its memory cannot be bounded.
    #[error("{component}: {source}; remove its memory_limit to run it without a bound")]
    Limit { component: ComponentId, source: LimitError },
    /// It ran out of memory before it was ready.
    #[error("{component}: {} ran {evidence}{tail}", quoted(program))]
    OutOfMemory {
        component: ComponentId,
        program: String,
        /// The evidence for it.
        evidence: OomEvidence,
        /// Its last output.
        tail: Tail,
    },
    /// There is no such program.
    #[error(
        "{component}: there is no program {}; looked in {searched}; {}",
        quoted(program),
        way_to_program(program)
    )]
    NotFound {
        component: ComponentId,
        /// The program as configured.
        program: String,
        /// Where it was looked for: its path, or the search path.
        searched: String,
    },
    /// It is there and is no program that may be run.
    #[error("{component}: {} cannot be run: {why}", quoted_path(path))]
    NotExecutable {
        component: ComponentId,
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The working directory is none.
    #[error("{component}: the working directory {} cannot be used: {source}", quoted_path(dir))]
    WorkingDir {
        component: ComponentId,
        /// The directory.
        dir: PathBuf,
        source: io::Error,
    },
    /// The component's own directory for state or its socket cannot be made.
    #[error(
        "{component}: {} cannot be made for its files: {source}; check who owns the directory above",
        quoted_path(dir)
    )]
    StateDir {
        component: ComponentId,
        /// The directory.
        dir: PathBuf,
        source: io::Error,
    },
    /// A Unix socket's path is bounded by the system.
    #[error(
        "{component}: the socket path {} has {len} bytes, the system allows {max}; use a shorter state directory",
        quoted_path(path)
    )]
    SocketPath {
        component: ComponentId,
        path: PathBuf,
        /// Its length.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// Readiness or probe wants an address and the command has none.
    #[error(
        "{component}: its {what} connects to it, but its command has neither {{port}} nor {{socket}}; add one, or state its port"
    )]
    NoEndpoint {
        component: ComponentId,
        /// `readiness`, `probe`, `trim` or `stop`.
        what: &'static str,
    },
    /// A probe that asks nothing: `started` or `stdout`.
    #[error("{component}: its health probe waits for {how}; a probe connects or asks by HTTP")]
    ProbeKind {
        component: ComponentId,
        /// The configured probe, in words.
        how: String,
    },
    /// Its fixed port is in use.
    #[error(
        "{component}: its port {port} is taken by another program at 127.0.0.1 or [::1]; end that, or state another port{said}",
        said = tail.as_ref().map_or_else(String::new, ToString::to_string)
    )]
    PortTaken {
        component: ComponentId,
        port: u16,
        /// Its last output, when it was started.
        tail: Option<Tail>,
    },
    /// The path of its fixed socket is in use.
    #[error("{component}: its socket {} cannot be made: {why}", quoted_path(path))]
    SocketTaken {
        component: ComponentId,
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// No free port.
    #[error("{component}: no free port on 127.0.0.1: {source}")]
    Port { component: ComponentId, source: io::Error },
    /// The guard process that keeps children from outliving the manager does not work.
    #[error("{component}: not started, because {source}")]
    Guard { component: ComponentId, source: GuardError },
    /// The system did not start it.
    #[error("{component}: {} could not be started: {source}", quoted(program))]
    Spawn { component: ComponentId, program: String, source: io::Error },
    /// It ended before it was ready.
    #[error("{component}: {} {exit} before it was ready{tail}{advice}", quoted(program))]
    ExitedEarly {
        component: ComponentId,
        program: String,
        /// How.
        exit: Exit,
        /// Its last output.
        tail: Tail,
        /// The way out.
        advice: Box<Advice>,
    },
    /// It was not ready before its deadline and was killed.
    #[error(
        "{component}: {} was not ready within {deadline:?} ({waited_for}) and was killed{tail}{advice}; raise load_deadline or correct its readiness",
        quoted(program)
    )]
    NeverReady {
        component: ComponentId,
        program: String,
        /// How long it was waited for.
        deadline: Duration,
        /// The condition of its readiness, in words.
        waited_for: String,
        /// Its last output.
        tail: Tail,
        /// The way out.
        advice: Box<Advice>,
    },
    /// It was ready but for its answer to the request to warm up, which failed, and was killed.
    #[error(
        "{component}: {} was up, but its warm_up request, {request}, failed: {why}{tail}; correct warm_up, or remove it",
        quoted(program)
    )]
    WarmUp {
        component: ComponentId,
        program: String,
        /// The request, in words.
        request: String,
        /// Why it failed.
        why: String,
        /// Its last output.
        tail: Tail,
    },
    /// It was stopped, here or elsewhere, while it was loading.
    #[error("{component}: stopped while it was loading")]
    Cancelled { component: ComponentId },
    /// Members of it live on after SIGKILL (a hung device or file system).
    #[error(
        "{component}: processes {} of process group {pgid} outlive SIGKILL; they wait for a device or a file system",
        pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Survivors {
        component: ComponentId,
        /// The number of the process group.
        pgid: i32,
        /// Its living members.
        pids: Vec<i32>,
    },
    /// It could not be asked to give back memory, or refused.
    #[error("{component}: {how} failed: {why}")]
    Trim {
        component: ComponentId,
        /// The declared way.
        how: String,
        why: String,
    },
    /// A health probe failed.
    #[error("{component}: the health probe failed: {why}")]
    Probe { component: ComponentId, why: String },
}

/// The way out for a missing program.
fn way_to_program(program: &str) -> String {
    let words: Vec<_> = program.split_whitespace().map(|w| quoted(w).to_string()).collect();
    if program.starts_with('~') || program.contains('$') {
        "~ and variables are not expanded; write the whole path".to_owned()
    } else if words.len() > 1 {
        format!("write program and arguments one by one: [{}]", words.join(", "))
    } else {
        "install it or correct the command".to_owned()
    }
}

/// The way out for a missing working directory.
fn way_to_dir(dir: &Path) -> &'static str {
    let is_pattern = |part: &str| part.starts_with('~') || part.contains('$');
    if dir.components().any(|c| is_pattern(&c.as_os_str().to_string_lossy())) {
        "~ and variables are not expanded; write the whole path"
    } else {
        "make it or correct cwd"
    }
}

impl ProcessError {
    /// The way out of a program or working directory that is not there.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        match self {
            Self::NotFound { program, .. } => Some(way_to_program(program)),
            Self::WorkingDir { dir, .. } => Some(way_to_dir(dir).to_owned()),
            _ => None,
        }
    }

    /// Whether it is that the program ran out of memory, and how much it had.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        match self {
            Self::OutOfMemory { evidence, .. } => Some(OutOfMemory { peak: evidence.peak() }),
            _ => None,
        }
    }
}
