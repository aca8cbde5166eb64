//! Processes that have lost their parent (Linux only).
//!
//! Such a process is given to the nearest ancestor that is a *subreaper*. That setting belongs to the process as such,
//! so only a binary may opt in, and by that it promises that every child of its process is started by a
//! [`super::ProcessLoader`] or the guard. An adopted process is found at once (it is a child of ours), and has to be
//! reaped when it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::children;

/// Adopted processes that end are reaped at most this often.
const REAP_PAUSE: Duration = Duration::from_millis(100);
/// And at least this often: a library may have taken SIGCHLD away.
const LONGEST_REAP_PAUSE: Duration = Duration::from_secs(10);

/// Leave to adopt and reap processes that have lost their parent.
#[derive(Clone, Debug)]
pub struct Subreaper {
    /// Held by every handle.
    alive: Arc<()>,
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
            Ok(Self { alive: Arc::default() })
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reaps adopted processes as they end, in a task that ends with the last handle or with the runtime.
    pub(super) fn keep_reaping(&self) {
        let alive = Arc::downgrade(&self.alive);
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
                // It fails only when the runtime shuts down.
                if alive.strong_count() == 0
                    || tokio::task::spawn_blocking(children::reap_adopted).await.is_err()
                {
                    return;
                }
                tokio::time::sleep(REAP_PAUSE).await;
            }
        });
    }
}
