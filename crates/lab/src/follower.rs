//! Follows the events of a server on a task of its own.
//!
//! Knows no event: each measurement takes from them what it counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_server::client::Streamed;
use majordomo_server::wire::Event;
use majordomo_server::{Address, Client};
use tokio::task::JoinHandle;

/// Follows a server until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower<S> {
    seen: Arc<Mutex<S>>,
    task: JoinHandle<()>,
}

impl<S: Default + Send + 'static> Follower<S> {
    /// Hands each event, and each gap between events, to `take`.
    pub(crate) async fn start(
        address: Address,
        mut take: impl FnMut(&mut S, Streamed<Event>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut events = Client::new(address).follow_events(None).await?;
        let seen = Arc::new(Mutex::new(S::default()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // The stream ends with the server.
            while let Ok(Some(next)) = events.next().await {
                take(&mut shared.lock().unwrap_or_else(PoisonError::into_inner), next);
            }
        });
        Ok(Self { seen, task })
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, S> {
        // Counters are whole whatever panicked.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Follower<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
