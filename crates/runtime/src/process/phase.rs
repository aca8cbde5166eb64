//! Orders of the owner of a process, and the phases of the process on the way to its end.

use tokio::time::Instant;

use super::Exit;

/// The order of the owner. An order is only ever replaced by a sterner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// The request to stop, if it is `polite`, then TERM, then KILL.
    Stop {
        kill_at: Instant,
        polite: bool,
    },
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
