//! What can go wrong with a program, in the words of the person who wrote its configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use majordomo_core::ComponentId;

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
            lines => write!(f, "; its last output: {}", lines.join(" | ")),
        }
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
    EmptyCommand {
        /// The component.
        component: ComponentId,
    },
    /// A place-holder that does not exist, or a brace alone.
    #[error(
        "{component}: {text:?} has {problem}; known are {{port}}, {{socket}} and {{state_dir}}, and {{{{ and }}}} stand for braces"
    )]
    Template {
        /// The component.
        component: ComponentId,
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its memory cannot be bounded.
    #[error("{component}: {source}; remove its memory_limit to run it without a bound")]
    Limit {
        /// The component.
        component: ComponentId,
        /// Why.
        source: LimitError,
    },
    /// It ran out of memory before it was ready.
    #[error("{component}: {program:?} ran {evidence}{tail}")]
    OutOfMemory {
        /// The component.
        component: ComponentId,
        /// The program.
        program: String,
        /// What tells so.
        evidence: OomEvidence,
        /// Its last output.
        tail: Tail,
    },
    /// There is no such program.
    #[error("{component}: there is no program {program:?}{where_}; install it or correct the command", where_ = searched.as_ref().map_or(String::new(), |p| format!(" in PATH ({p})")))]
    NotFound {
        /// The component.
        component: ComponentId,
        /// The program as configured.
        program: String,
        /// The search path, when one was searched.
        searched: Option<String>,
    },
    /// It is there and is no program that may be run.
    #[error("{component}: {path:?} cannot be run: {why}")]
    NotExecutable {
        /// The component.
        component: ComponentId,
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The working directory is none.
    #[error("{component}: the working directory {dir:?} cannot be used: {source}")]
    WorkingDir {
        /// The component.
        component: ComponentId,
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The component's own directory for state or its socket cannot be made.
    #[error(
        "{component}: {dir:?} cannot be made for its files: {source}; check who owns the directory above"
    )]
    StateDir {
        /// The component.
        component: ComponentId,
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A Unix socket's path is bounded by the system.
    #[error(
        "{component}: the socket path {path:?} has {len} bytes, the system allows {max}; use a shorter state directory"
    )]
    SocketPath {
        /// The component.
        component: ComponentId,
        /// The path.
        path: PathBuf,
        /// Its length.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// Readiness or probe wants an address and the command has none.
    #[error(
        "{component}: its {what} connects to it, but its command has neither {{port}} nor {{socket}}; add one"
    )]
    NoEndpoint {
        /// The component.
        component: ComponentId,
        /// `readiness` or `probe`.
        what: &'static str,
    },
    /// A probe that asks nothing: `started` or `stdout`.
    #[error("{component}: its health probe waits for {how}; a probe connects or asks by HTTP")]
    ProbeKind {
        /// The component.
        component: ComponentId,
        /// What was configured.
        how: String,
    },
    /// No free port.
    #[error("{component}: no free port on 127.0.0.1: {source}")]
    Port {
        /// The component.
        component: ComponentId,
        /// Why.
        source: io::Error,
    },
    /// The guard process that keeps children from outliving the manager does not work.
    #[error("{component}: not started, because {source}")]
    Guard {
        /// The component.
        component: ComponentId,
        /// Why.
        source: GuardError,
    },
    /// The system did not start it.
    #[error("{component}: {program:?} could not be started: {source}")]
    Spawn {
        /// The component.
        component: ComponentId,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{component}: {program:?} {exit} before it was ready{tail}")]
    ExitedEarly {
        /// The component.
        component: ComponentId,
        /// The program.
        program: String,
        /// How.
        exit: Exit,
        /// What it wrote last.
        tail: Tail,
    },
    /// It did not get ready in time; it has been killed.
    #[error(
        "{component}: {program:?} was not ready within {deadline:?} ({waited_for}) and was killed{tail}; raise load_deadline or correct its readiness"
    )]
    NeverReady {
        /// The component.
        component: ComponentId,
        /// The program.
        program: String,
        /// How long it was waited for.
        deadline: Duration,
        /// What was waited for.
        waited_for: String,
        /// What it wrote last.
        tail: Tail,
    },
    /// It was told to stop, here or elsewhere, while it was loading.
    #[error("{component}: stopped while it was loading")]
    Cancelled {
        /// The component.
        component: ComponentId,
    },
    /// Members of its group live on after SIGKILL (a hung device or file system).
    #[error(
        "{component}: processes {pids:?} of group {pgid} outlive SIGKILL; they wait for a device or a file system"
    )]
    Survivors {
        /// The component.
        component: ComponentId,
        /// The group.
        pgid: i32,
        /// Its living members.
        pids: Vec<i32>,
    },
    /// A health probe failed.
    #[error("{component}: the health probe failed: {why}")]
    Probe {
        /// The component.
        component: ComponentId,
        /// Why.
        why: String,
    },
}

impl ProcessError {
    /// Whether it is that the program ran out of memory, and how much it had.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        match self {
            Self::OutOfMemory { evidence, .. } => Some(OutOfMemory { peak: evidence.peak() }),
            _ => None,
        }
    }
}
