//! How many connections are open at a time, at all listeners together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::gateway::Gateway;

/// When the system gives no connection (too many open files), go on after this.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The part of the open files that connections may have: one in so many, since each may have another one to its component.
const SHARE: u64 = 3;

/// The connections that may be open now.
fn capacity(max: usize) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = files.map_or(usize::MAX, |n| usize::try_from(n / SHARE).unwrap_or(usize::MAX));
    max.min(share).max(1)
}

/// The connections that are open, of all listeners.
#[derive(Debug, Default)]
pub(crate) struct Places(watch::Sender<usize>);

impl Places {
    /// Waits until another connection may be opened.
    pub(crate) async fn free(&self, gateway: &Gateway) {
        let max = capacity(gateway.last_table().spec.max_connections);
        // The sender lives as long as this.
        drop(self.0.subscribe().wait_for(|open| *open < max).await);
    }

    pub(crate) fn take(self: &Arc<Self>) -> Place {
        self.0.send_modify(|open| *open += 1);
        Place(Arc::clone(self))
    }
}

/// A connection's place; free again when it is dropped.
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}
