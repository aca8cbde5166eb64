//! The system's table of processes: who belongs to which process group, since when, and with which tag; and by that,
//! which processes are the members of a component.
//!
//! Owns reading it (Linux `/proc`, elsewhere `ps`). Everything here blocks for a moment and belongs on a blocking
//! thread. Invariant: a process that vanishes while being read
//! is left out, never an error.

#[cfg(not(unix))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL");

use std::fmt;

use majordomo_core::ByteSize;
use rustix::process::{Pid, Signal};

mod members;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod ps;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use ps as system;

pub(crate) use members::{Members, ProcessTable};
pub(crate) use system::{boot_id, children, entry, handles, scan, start_time, tagged, variable};

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

impl Entry {
    /// Signals this very process, not one that was given its number since; false when it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
            let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 1) else { return false };
            match pidfd_open(pid, PidfdFlags::empty()) {
                // The handle stays with its process, so nothing can change after this comparison.
                Ok(handle) => {
                    return start_time(self.pid).as_ref() == Some(&self.start)
                        && pidfd_send_signal(handle, signal).is_ok();
                }
                // A kernel before 5.3, or a sandbox.
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
                Err(_) => return false,
            }
        }
        start_time(self.pid).as_ref() == Some(&self.start) && signal_process(self.pid, signal)
    }
}
