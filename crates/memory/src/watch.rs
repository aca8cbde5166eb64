//! Waits until the kernel signals a shortage of memory, or a time has passed: for one owned thread of the shell.
//!
//! Holds file descriptors and blocks in `poll`; the meaning of a wake-up follows from a fresh reading, not from this
//! file. Invariant: every means of waking that is lost is reported once, and the watcher then relies on its
//! time-out; it never fails to return.

mod config;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "macos")]
mod macos;
mod means;
mod signal;
mod wakeup;

pub use config::WatchConfig;
pub use means::WatchMeans;
pub use wakeup::{WakeCause, Wakeup};

use std::fmt;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::SourceError;
use crate::report::SourceReport;

use signal::{Kind, SYSTEM_BYTE, Signal, WAKE_BYTE, acknowledge};

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
        // A full pipe holds a wake-up already; a closed one has no watcher to wake.
        let _ = (&*self.0).write(&[WAKE_BYTE]);
    }
}

impl PressureWatcher {
    /// Arms the wake-ups that the kernel offers; [`Self::means`] lists them.
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
        let (wake, waker) = pipe().map_err(|e| SourceError::io(&config.root, e))?;
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

    /// The means that wake the watcher, and the missing ones.
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
