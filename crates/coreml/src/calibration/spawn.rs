//! How a calibration child is started, and how a process knows that it is one.
//!
//! Owns the variable that marks a child, by any parent. Does not know what a child does.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The first argument that makes a binary a calibration child.
pub const CHILD_ARG: &str = "__calibrate";

/// Set in every calibration child.
const CHILD_VARIABLE: &str = "MAJORDOMO_CALIBRATES";

/// Whether this process is a calibration child, which has no manager and no children of its own.
#[must_use]
pub fn is_child() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// How a child is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program: this one, as a rule.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables besides those of this process.
    pub env: Vec<(OsString, OsString)>,
}

impl ChildCommand {
    /// A program whose `main` calls [`child_main`](crate::child_main) when its first argument is [`CHILD_ARG`].
    #[must_use]
    pub fn hidden(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec![CHILD_ARG.into()], env: Vec::new() }
    }

    pub(super) fn spawn(&self, children: &dyn Children) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(CHILD_VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        children.spawn(&mut command)
    }
}

/// Starts the children of this process: a program that reaps orphans must know which children are its own.
pub trait Children: Send + Sync {
    /// Starts one.
    ///
    /// # Errors
    /// The system's reason.
    fn spawn(&self, command: &mut Command) -> io::Result<Child>;

    /// One was waited for: its number may be given away again.
    fn reaped(&self, pid: u32);
}

/// For programs that reap nothing but their own children.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainChildren;

impl Children for PlainChildren {
    fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.spawn()
    }

    fn reaped(&self, _pid: u32) {}
}
