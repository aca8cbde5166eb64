//! Notices of released leases, and what wakes the shell.

use crossbeam_queue::SegQueue;
use majordomo_core::IncarnationId;
use majordomo_lease::ReleaseSink;
use tokio::sync::Notify;

/// Notices of releases, bounded by construction (one per wish of the engine), and what wakes the shell.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    queue: SegQueue<IncarnationId>,
    wake: Notify,
}

impl Notices {
    pub(crate) fn pop(&self) -> Option<IncarnationId> {
        self.queue.pop()
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl ReleaseSink for Notices {
    fn notify(&self, id: IncarnationId) {
        self.queue.push(id);
        self.wake();
    }
}
