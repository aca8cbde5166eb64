//! One process, held by a descriptor of the kernel, so that it is never mistaken for a later process with its number.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process. Opened while it is certain which process the number means (open it, then compare its start time), it
/// stays that process.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    #[cfg(target_os = "linux")]
    handle: OwnedFd,
}

impl Process {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

#[cfg(target_os = "linux")]
impl Process {
    /// Opens the process that has the number now.
    ///
    /// # Errors
    /// When there is none, or the kernel has no such descriptors (before Linux 5.3).
    pub fn open(pid: u32) -> io::Result<Self> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let handle = pidfd_open(number, PidfdFlags::empty())?;
        Ok(Self { pid, handle })
    }

    /// Whether it has ended. A process that has not been reaped has ended as well.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends_within(std::time::Duration::ZERO)
    }

    /// Waits for its end, at most for a time; returns whether it has ended.
    pub(crate) fn ends_within(&self, time: std::time::Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        matches!(poll(&mut fds, timeout.as_ref()), Ok(n) if n > 0)
    }

    pub(crate) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    /// Opens the process that has the number now.
    ///
    /// # Errors
    /// Always: only Linux has such descriptors.
    pub fn open(pid: u32) -> io::Result<Self> {
        let what = format!("process {pid} cannot be held by a descriptor on this system");
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        true
    }

    pub(crate) fn ends_within(&self, _time: std::time::Duration) -> bool {
        true
    }
}
