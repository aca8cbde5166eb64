//! Signals to processes and process groups, sent only while a number still means the process that it was read for.

use rustix::process::{Pid, Signal};

use super::entry::{Entry, ProcessGroup};
use super::system::start_time;

impl ProcessGroup {
    /// SIGKILL for every member. A process group that has ended is no error.
    pub(crate) fn kill(&self) {
        signal_process_group(self.pgid, Signal::KILL);
    }

    /// Whether the number still means this process group: its leader is not another, younger process. A process group
    /// whose leader is gone keeps its number reserved as long as it has members.
    pub(crate) fn is_ours(&self) -> bool {
        start_time(self.pgid).is_none_or(|now| now == self.start)
    }
}

/// Signals a process group; false when there is none. Never the own one and never "everything": ids below 2
/// are refused.
pub(crate) fn signal_process_group(pgid: i32, signal: Signal) -> bool {
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
