//! The system's table of processes: who belongs to which group, since when, and with which tag.
//!
//! Owns reading it (Linux `/proc`, elsewhere `ps`). Knows nothing of components. Everything here blocks
//! for a moment and belongs on a blocking thread. Invariant: a process that vanishes while being read
//! is left out, never an error.

#[cfg(not(unix))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL");

use std::fmt;

use rustix::process::{Pid, Signal};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod ps;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use ps as system;

#[cfg(target_os = "linux")]
pub(crate) use system::parse_stat;
pub(crate) use system::{boot_id, handles, scan, start_time, tagged};

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
pub struct Group {
    /// The group's id, which is its leader's process id; at least 2.
    pub pgid: i32,
    /// When the leader started.
    pub start: StartTime,
}

impl Group {
    /// SIGKILL for every member. A group that is gone is no error.
    pub(crate) fn kill(&self) {
        signal_group(self.pgid, Signal::KILL);
    }

    /// Whether the number still means this group: its leader is not another, younger process. A group
    /// whose leader is gone keeps its number reserved as long as it has members.
    pub(crate) fn is_ours(&self) -> bool {
        start_time(self.pgid).is_none_or(|now| now == self.start)
    }
}

/// Signals a group; false when there is none. Never the own group and never "everything": ids below 2
/// are refused.
pub(crate) fn signal_group(pgid: i32, signal: Signal) -> bool {
    match Pid::from_raw(pgid) {
        Some(pid) if pgid > 1 => rustix::process::kill_process_group(pid, signal).is_ok(),
        _ => false,
    }
}

/// Signals one process; false when there is none.
pub(crate) fn signal_process(pid: i32, signal: Signal) -> bool {
    match Pid::from_raw(pid) {
        Some(p) if pid > 1 => rustix::process::kill_process(p, signal).is_ok(),
        _ => false,
    }
}

/// Whether a group may have members, zombies included: one system call.
pub(crate) fn group_may_exist(pgid: i32) -> bool {
    // Anything but "no such process" (macOS says EPERM for zombies) may be a member.
    Pid::from_raw(pgid).is_some_and(|p| {
        rustix::process::test_kill_process_group(p) != Err(rustix::io::Errno::SRCH)
    })
}

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    pub(crate) ppid: i32,
    pub(crate) pgid: i32,
    pub(crate) zombie: bool,
}

/// The living, non-zombie members of a group.
pub(crate) fn living_members(pgid: i32) -> Vec<i32> {
    scan().into_iter().filter(|e| e.pgid == pgid && !e.zombie).map(|e| e.pid).collect()
}
