//! How many large answers are in memory at a time.
//!
//! Invariant: clients of one listener that read slowly keep no client of the other waiting.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::Via;

/// Large answers of a listener at a time: each has its bytes in memory until its client has read them.
const PER_LISTENER: usize = 16;

/// The large answers under way.
#[derive(Debug)]
pub(crate) struct LargeAnswers {
    unix: Arc<Semaphore>,
    tcp: Arc<Semaphore>,
}

impl Default for LargeAnswers {
    fn default() -> Self {
        let permits = || Arc::new(Semaphore::new(PER_LISTENER));
        Self { unix: permits(), tcp: permits() }
    }
}

impl LargeAnswers {
    /// Waits until another large answer may be made for a client of this listener.
    pub(crate) async fn permit(&self, via: Via) -> Option<OwnedSemaphorePermit> {
        let of_listener = match via {
            Via::Unix => &self.unix,
            Via::Tcp => &self.tcp,
        };
        // Never closed.
        Arc::clone(of_listener).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_readers_over_tcp_keep_no_client_of_the_unix_socket_waiting() {
        let large = LargeAnswers::default();
        let within = async |via| {
            tokio::time::timeout(std::time::Duration::from_secs(1), large.permit(via)).await.ok()
        };
        let mut held = Vec::new();
        for _ in 0..PER_LISTENER {
            held.push(within(Via::Tcp).await.unwrap());
        }
        assert!(within(Via::Tcp).await.is_none(), "all are taken");
        assert!(within(Via::Unix).await.is_some());
        held.pop();
        assert!(within(Via::Tcp).await.is_some());
    }
}
