//! Waits until the kernel says that memory gets short, or a time has passed: for one owned thread of the shell.
//!
//! Holds file descriptors and blocks in `poll`; what the waking means is told by a fresh reading, not decided
//! here. Invariant: every means of waking that is lost is reported once, and the watcher then lives by its
//! time-out; it never fails to return.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "macos")]
mod macos;

use std::fmt;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, PressureLevel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::group::{GroupEvents, MemoryGroup, io_error};
use crate::hints::Hints;
use crate::source::{SourceError, SourceReport};

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeCause {
    /// Another thread asked by a [`PressureWaker`].
    Woken,
    /// The system's own level changed (macOS); the next reading has it.
    System,
    /// Tasks stalled for memory, by a PSI trigger.
    Stall {
        /// In the own group only; otherwise anywhere on the machine.
        own_group: bool,
        /// What such a stall hints at.
        hint: PressureLevel,
    },
    /// The group's usage crossed a threshold, up or down (v1).
    Usage {
        /// The threshold, in bytes of usage.
        threshold: ByteSize,
    },
    /// Something happened in the group (v2): how much of it since the last time.
    Group(GroupEvents),
}

/// How a wait ended. No cause: the time passed, or a signal of the process came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// Everything that ended it.
    pub causes: Vec<WakeCause>,
}

impl Wakeup {
    /// Whether nothing but time ended it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.causes.is_empty()
    }

    /// What the causes signal; to be merged into the reading that follows
    /// ([`PressureReading::with_hints`](crate::PressureReading::with_hints)), which says what counts.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.causes.iter().map(WakeCause::hints).fold(Hints::default(), Hints::merged)
    }
}

impl WakeCause {
    fn hints(&self) -> Hints {
        let own = |level| Hints { own: Some(level), machine: None };
        match *self {
            Self::Stall { own_group: false, hint } => Hints { machine: Some(hint), own: None },
            Self::Stall { own_group: true, hint } => own(hint),
            Self::Group(GroupEvents { oom_kill: 1.., .. }) => own(PressureLevel::Emergency),
            Self::Group(GroupEvents { max: 1.., .. }) => own(PressureLevel::Critical),
            Self::Group(GroupEvents { high: 1.., .. }) => own(PressureLevel::High),
            Self::Woken | Self::System | Self::Usage { .. } | Self::Group(_) => Hints::default(),
        }
    }
}

/// One means of being woken, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchMeans {
    /// A PSI trigger.
    Stalls {
        /// Of the own group only.
        own_group: bool,
        /// Its window.
        window: Duration,
    },
    /// Usage thresholds of the own group (v1).
    UsageThresholds {
        /// How many.
        count: usize,
    },
    /// `memory.events` of the own group (v2).
    GroupEvents,
    /// The system's own level (macOS).
    System,
    /// None of a kind can be had: the reason.
    Missing {
        /// What is missing and why.
        what: String,
    },
}

impl fmt::Display for WatchMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalls { own_group: true, window } => {
                write!(f, "PSI of the own group, {} s window", window.as_secs())
            }
            Self::Stalls { own_group: false, window } => {
                write!(f, "PSI of the machine, {} s window", window.as_secs())
            }
            Self::UsageThresholds { count: 0 } => {
                f.write_str("no usage thresholds: no control group here has a limit")
            }
            Self::UsageThresholds { count } => write!(f, "{count} usage thresholds (cgroup v1)"),
            Self::System => f.write_str("the system's memory pressure events"),
            Self::GroupEvents => f.write_str("memory.events (cgroup v2)"),
            Self::Missing { what } => write!(f, "no {what}"),
        }
    }
}

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// The root of the file system; `/` but in tests.
    pub root: PathBuf,
    /// The group to watch, with the available bytes below which each level begins
    /// ([`pressure_thresholds`](crate::pressure_thresholds)); none = the machine alone.
    pub group: Option<(MemoryGroup, [ByteSize; 4])>,
}

/// What kind of descriptor a signal comes from; each is acknowledged in its own way.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only `kernel` arms any"))]
enum Kind {
    /// A PSI trigger: nothing to acknowledge, and an error means that it is gone.
    Stall { own_group: bool, hint: PressureLevel },
    /// An event counter with a usage threshold: read to reset.
    Usage { threshold: ByteSize },
    /// `memory.events`: read anew to rearm.
    Events { group: MemoryGroup, last: GroupEvents },
}

/// What a waker writes.
const WAKE_BYTE: u8 = 1;
/// What the handler of the system's events writes.
const SYSTEM_BYTE: u8 = 2;

struct Signal {
    fd: OwnedFd,
    kind: Kind,
}

/// Blocks until memory gets short. Meant for one owned thread.
pub struct PressureWatcher {
    wake: UnixStream,
    waker: Arc<UnixStream>,
    signals: Vec<Signal>,
    means: Vec<WatchMeans>,
    reports: Vec<SourceReport>,
    #[cfg(target_os = "macos")]
    _events: macos::Events,
}

impl fmt::Debug for PressureWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PressureWatcher").field("means", &self.means).finish_non_exhaustive()
    }
}

/// Ends a wait of its [`PressureWatcher`] from another thread.
#[derive(Clone, Debug)]
pub struct PressureWaker(Arc<UnixStream>);

impl PressureWaker {
    /// Ends the present wait, or the next one when none is going on.
    pub fn wake(&self) {
        // A full pipe holds a wake-up already; a closed one has nobody to wake.
        let _ = (&*self.0).write(&[WAKE_BYTE]);
    }
}

impl PressureWatcher {
    /// Arms what the kernel offers; [`Self::means`] tells what that is.
    ///
    /// # Errors
    /// Only when the pipe of the waker cannot be made, for want of file descriptors.
    pub fn new(config: &WatchConfig) -> Result<Self, SourceError> {
        let pipe = || {
            let (wake, waker) = UnixStream::pair()?;
            wake.set_nonblocking(true)?;
            waker.set_nonblocking(true)?;
            Ok((wake, waker))
        };
        let (wake, waker) = pipe().map_err(|e| io_error(&config.root, e))?;
        #[cfg(target_os = "linux")]
        let (signals, means) = kernel::arm(config);
        let waker = Arc::new(waker);
        #[cfg(target_os = "macos")]
        let (signals, means, events) =
            (Vec::new(), vec![WatchMeans::System], macos::arm(Arc::clone(&waker)));
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        let (signals, means) = {
            let what = "wake-ups by the kernel on this system".to_owned();
            (Vec::new(), vec![WatchMeans::Missing { what }])
        };
        Ok(Self {
            wake,
            waker,
            signals,
            means,
            reports: Vec::new(),
            #[cfg(target_os = "macos")]
            _events: events,
        })
    }

    /// What wakes it, and what is missing.
    #[must_use]
    pub fn means(&self) -> &[WatchMeans] {
        &self.means
    }

    /// A handle that wakes it.
    #[must_use]
    pub fn waker(&self) -> PressureWaker {
        PressureWaker(Arc::clone(&self.waker))
    }

    /// Takes the reports of means that were lost since the last call.
    pub fn take_reports(&mut self) -> Vec<SourceReport> {
        std::mem::take(&mut self.reports)
    }

    /// Waits until something happens or `timeout` has passed. May return early without a cause.
    pub fn wait(&mut self, timeout: Duration) -> Wakeup {
        let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(&self.wake, PollFlags::IN)];
        fds.extend(self.signals.iter().map(|s| {
            let flags = match s.kind {
                Kind::Usage { .. } => PollFlags::IN,
                Kind::Stall { .. } | Kind::Events { .. } => PollFlags::PRI,
            };
            PollFd::from_borrowed_fd(s.fd.as_fd(), flags)
        }));
        // A time-out beyond what the system can count is as good as none.
        let timeout = Timespec::try_from(timeout).ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, or out of kernel memory: a fresh reading is the right answer to both.
            return Wakeup::default();
        }
        let mut ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let signals_ready = ready.split_off(1);
        let mut causes = Vec::new();
        if !ready[0].is_empty() {
            causes.extend(self.drain_wakes());
        }
        let mut kept = Vec::with_capacity(self.signals.len());
        for (mut signal, flags) in self.signals.drain(..).zip(signals_ready) {
            let lost = match acknowledge(&mut signal, flags) {
                Ok(cause) => {
                    causes.extend(cause);
                    None
                }
                Err(error) => Some(error),
            };
            match lost {
                None => kept.push(signal),
                Some(error) => self.reports.push(SourceReport::Failed {
                    source: signal.kind.name().to_owned(),
                    error,
                    replaced_by: Some("reading at intervals".to_owned()),
                }),
            }
        }
        self.signals = kept;
        Wakeup { causes }
    }

    /// Empties the pipe; each kind of byte is one cause, however often it was written.
    fn drain_wakes(&mut self) -> Vec<WakeCause> {
        let mut bytes = Vec::new();
        // Ends with "would block" on an empty pipe.
        let _ = self.wake.read_to_end(&mut bytes);
        let kinds = [(WAKE_BYTE, WakeCause::Woken), (SYSTEM_BYTE, WakeCause::System)];
        kinds.into_iter().filter(|(byte, _)| bytes.contains(byte)).map(|(_, cause)| cause).collect()
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Stall { own_group: true, .. } => "PSI trigger of the own group",
            Self::Stall { own_group: false, .. } => "PSI trigger of the machine",
            Self::Usage { .. } => "usage threshold of the own group",
            Self::Events { .. } => "memory.events of the own group",
        }
    }
}

/// Takes note of a ready signal: its cause if it has one, or why it is lost.
fn acknowledge(signal: &mut Signal, flags: PollFlags) -> Result<Option<WakeCause>, String> {
    if flags.is_empty() {
        return Ok(None);
    }
    if flags.contains(PollFlags::NVAL) {
        return Err("its file descriptor is closed".to_owned());
    }
    match &mut signal.kind {
        Kind::Stall { own_group, hint } => {
            if flags.contains(PollFlags::ERR) {
                return Err("the kernel withdrew it".to_owned());
            }
            Ok(Some(WakeCause::Stall { own_group: *own_group, hint: *hint }))
        }
        Kind::Usage { threshold } => {
            rustix::io::read(&signal.fd, &mut [0u8; 8]).map_err(|e| e.to_string())?;
            Ok(Some(WakeCause::Usage { threshold: *threshold }))
        }
        Kind::Events { group, last } => {
            // The poll is rearmed by reading through the same descriptor.
            let mut text = [0; 512];
            rustix::io::pread(&signal.fd, &mut text[..], 0).map_err(|e| e.to_string())?;
            let now = group.own_events().map_err(|e| e.to_string())?;
            let new = GroupEvents {
                high: now.high.saturating_sub(last.high),
                max: now.max.saturating_sub(last.max),
                oom_kill: now.oom_kill.saturating_sub(last.oom_kill),
            };
            *last = now;
            Ok((new != GroupEvents::default()).then_some(WakeCause::Group(new)))
        }
    }
}
