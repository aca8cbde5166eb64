//! The descriptors that wake a watcher, and how each kind of them is acknowledged.

use std::os::fd::OwnedFd;

use majordomo_core::{ByteSize, PressureLevel};
use rustix::event::PollFlags;

use super::wakeup::WakeCause;
use crate::cgroup::{CgroupEvents, MemoryCgroup};

/// The kind of descriptor that a signal comes from; each is acknowledged in its own way.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only `kernel` arms any"))]
pub(super) enum Kind {
    /// A PSI trigger: no acknowledgement is needed, and an error means that the kernel withdrew it.
    Stall { own_cgroup: bool, hint: PressureLevel },
    /// An event counter with a usage threshold: read to reset.
    Usage { threshold: ByteSize },
    /// `memory.events`: read again to rearm.
    Events { cgroup: MemoryCgroup, last: CgroupEvents },
}

/// The byte that a waker writes.
pub(super) const WAKE_BYTE: u8 = 1;
/// The byte that the handler of the system's events writes.
pub(super) const SYSTEM_BYTE: u8 = 2;

pub(super) struct Signal {
    pub(super) fd: OwnedFd,
    pub(super) kind: Kind,
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Stall { own_cgroup: true, .. } => "PSI trigger of the own cgroup",
            Self::Stall { own_cgroup: false, .. } => "PSI trigger of the machine",
            Self::Usage { .. } => "usage threshold of the own cgroup",
            Self::Events { .. } => "memory.events of the own cgroup",
        }
    }
}

/// Acknowledges a ready signal; returns its cause if it has one, or why it is lost.
pub(super) fn acknowledge(
    signal: &mut Signal,
    flags: PollFlags,
) -> Result<Option<WakeCause>, String> {
    if flags.is_empty() {
        return Ok(None);
    }
    if flags.contains(PollFlags::NVAL) {
        return Err("its file descriptor is closed".to_owned());
    }
    match &mut signal.kind {
        Kind::Stall { own_cgroup, hint } => {
            if flags.contains(PollFlags::ERR) {
                return Err("the kernel withdrew it".to_owned());
            }
            Ok(Some(WakeCause::Stall { own_cgroup: *own_cgroup, hint: *hint }))
        }
        Kind::Usage { threshold } => {
            rustix::io::read(&signal.fd, &mut [0u8; 8]).map_err(|e| e.to_string())?;
            Ok(Some(WakeCause::Usage { threshold: *threshold }))
        }
        Kind::Events { cgroup, last } => {
            // The poll is rearmed by reading through the same descriptor.
            let mut text = [0; 512];
            rustix::io::pread(&signal.fd, &mut text[..], 0).map_err(|e| e.to_string())?;
            let now = cgroup.own_events().map_err(|e| e.to_string())?;
            let new = CgroupEvents {
                high: now.high.saturating_sub(last.high),
                max: now.max.saturating_sub(last.max),
                oom_kill: now.oom_kill.saturating_sub(last.oom_kill),
            };
            *last = now;
            Ok((new != CgroupEvents::default()).then_some(WakeCause::Cgroup(new)))
        }
    }
}
