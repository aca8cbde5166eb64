//! One row of the process table, and the identity of a process group.

use std::fmt;

use majordomo_core::ByteSize;

/// The environment variable that marks every descendant of a component: `SESSION/COMPONENT/LOAD/START/`.
pub const TAG_VARIABLE: &str = "MAJORDOMO_INCARNATION";

/// When a process started, in the system's own terms: two processes that had the same id differ in it.
/// A word without white space (Linux: clock ticks since boot; elsewhere `ps -o lstart=` with `_`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartTime(Box<str>);

impl StartTime {
    /// From its text; none when empty or not one word.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let word = !text.is_empty() && !text.contains(char::is_whitespace);
        word.then(|| Self(text.into()))
    }
}

impl fmt::Display for StartTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process group: its leader's id and when that started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessGroup {
    /// The id of the process group, which is its leader's process id; at least 2.
    pub pgid: i32,
    /// When the leader started.
    pub start: StartTime,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    pub(crate) ppid: i32,
    pub(crate) pgid: i32,
    pub(crate) zombie: bool,
    /// Whether it is a thread of the kernel.
    pub(crate) kernel: bool,
    pub(crate) start: StartTime,
    pub(crate) resident: ByteSize,
}
