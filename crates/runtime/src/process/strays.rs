//! Processes that have lost their parent (Linux only).
//!
//! Such a process is given to the nearest ancestor that is a *subreaper*. That setting belongs to the whole
//! process, so only a binary may opt in, and by that it promises that every child of its process is started by a
//! [`super::ProcessLoader`] or the guard. An adopted process is found at once (it is a child of ours), and has to be
//! reaped here when it ends.
//!
//! Invariant: no leader is reaped here; those that the loader started are known from before they run.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::proctable;

/// Adopted processes that end are reaped at most this often.
const REAP_PAUSE: Duration = Duration::from_millis(100);
/// And at least this often: a library may have taken SIGCHLD away.
const LONGEST_REAP_PAUSE: Duration = Duration::from_secs(10);

/// Leave to adopt and reap processes that have lost their parent.
#[derive(Clone, Debug)]
pub struct Subreaper {
    leaders: Arc<Mutex<BTreeSet<i32>>>,
}

impl Subreaper {
    /// Makes this process a subreaper.
    ///
    /// # Errors
    /// Where the system has none (macOS: such children are out of scope there).
    pub fn enable() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            // Linux only asks whether the value is zero.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
            Ok(Self { leaders: Arc::default() })
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }

    fn leaders(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child that is known before a sweep can see it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut leaders = self.leaders();
        let child = command.spawn()?;
        leaders.insert(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(child)
    }

    pub(super) fn forget(&self, leader: i32) {
        self.leaders().remove(&leader);
    }

    /// Reaps adopted processes as they end, in a task that ends with the last handle or with the runtime.
    pub(super) fn keep_reaping(&self) {
        let leaders = Arc::downgrade(&self.leaders);
        tokio::spawn(async move {
            let mut child_ended = match signal(SignalKind::child()) {
                Ok(child_ended) => Some(child_ended),
                Err(error) => {
                    tracing::warn!(%error, "adopted processes that end are reaped late");
                    None
                }
            };
            loop {
                let ended = async {
                    match &mut child_ended {
                        Some(child_ended) => drop(child_ended.recv().await),
                        None => std::future::pending().await,
                    }
                };
                // A pause that has passed is as good as a signal.
                let _ = tokio::time::timeout(LONGEST_REAP_PAUSE, ended).await;
                let Some(leaders) = leaders.upgrade() else { return };
                let reap = tokio::task::spawn_blocking(move || Self { leaders }.reap_adopted());
                if reap.await.is_err() {
                    return;
                }
                tokio::time::sleep(REAP_PAUSE).await;
            }
        });
    }

    /// Reaps processes that this one was given and that have ended. Blocks for a look at its children.
    pub(super) fn reap_adopted(&self) {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        // Held over the look: a child started meanwhile could otherwise pass for adopted.
        let leaders = self.leaders();
        let children = proctable::children(own).unwrap_or_else(|| {
            proctable::scan().into_iter().filter(|e| e.ppid == own).map(|e| e.pid).collect()
        });
        for pid in children.into_iter().filter(|pid| !leaders.contains(pid)) {
            if let Some(pid) = Pid::from_raw(pid) {
                // Nothing happens to one that lives. Reaping the guard does no harm: its owner takes "no such child"
                // for an end.
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }
}
