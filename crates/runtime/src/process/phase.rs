//! What the owner of a process orders, and how far the process is on its way to its end.

use tokio::time::Instant;

use super::Exit;

/// What the owner wants. Only ever gets sterner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// TERM now, KILL then.
    Stop(Instant),
    Kill,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Exited(Exit),
    /// Nothing of it is left but these, which outlive SIGKILL.
    Down(Exit, Vec<i32>),
}
