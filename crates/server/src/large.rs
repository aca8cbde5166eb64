//! How many large answers are in memory at a time, and how many bytes the answers of components have together.
//!
//! Invariant: clients of one listener that read slowly keep no client of the other waiting.

use std::sync::Arc;

use majordomo::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::Via;

/// Large answers of a listener at a time: each has its bytes in memory until its client has read them.
const PER_LISTENER: usize = 16;
/// Bytes that the answers of components to clients of a listener have together, until these clients have read them. A larger answer
/// has them to itself.
const BYTES_PER_LISTENER: ByteSize = ByteSize::mib(8);
/// They are counted in parts of so many bytes.
const PART: u64 = 1 << 10;

/// The place that an answer has until its client has read it.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

/// The room of one listener.
#[derive(Debug)]
struct OfListener {
    lists: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Default for OfListener {
    fn default() -> Self {
        Self {
            lists: Arc::new(Semaphore::new(PER_LISTENER)),
            calls: Arc::new(Semaphore::new(parts(BYTES_PER_LISTENER) as usize)),
        }
    }
}

/// The parts of an answer; at least one, and at most all.
fn parts(size: ByteSize) -> u32 {
    let n = size.bytes().min(BYTES_PER_LISTENER.bytes()).div_ceil(PART).max(1);
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The large answers under way.
#[derive(Debug, Default)]
pub(crate) struct LargeAnswers {
    unix: OfListener,
    tcp: OfListener,
}

impl LargeAnswers {
    fn of(&self, via: Via) -> &OfListener {
        match via {
            Via::Unix => &self.unix,
            Via::Tcp => &self.tcp,
        }
    }

    /// Waits until another large answer may be made for a client of this listener.
    pub(crate) async fn permit(&self, via: Via) -> Room {
        // Never closed.
        Arc::clone(&self.of(via).lists).acquire_owned().await.ok()
    }

    /// Waits until the answer of a component has room among those for clients of this listener.
    pub(crate) async fn room(&self, via: Via, size: ByteSize) -> Room {
        Arc::clone(&self.of(via).calls).acquire_many_owned(parts(size)).await.ok()
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

    #[tokio::test(start_paused = true)]
    async fn answers_of_components_share_the_bytes_of_their_listener() {
        let large = LargeAnswers::default();
        let within = async |via, size| {
            let room = large.room(via, size);
            tokio::time::timeout(std::time::Duration::from_secs(1), room).await.ok()
        };
        let (all, half) = (BYTES_PER_LISTENER, ByteSize(BYTES_PER_LISTENER.bytes() / 2));
        let part = ByteSize(PART);
        let first = within(Via::Tcp, half).await.unwrap();
        let rest = within(Via::Tcp, half).await.unwrap();
        assert!(within(Via::Tcp, ByteSize(0)).await.is_none(), "every answer counts");
        assert!(within(Via::Unix, all).await.is_some());
        drop(first);
        let small = within(Via::Tcp, part).await.unwrap();
        assert!(within(Via::Tcp, half).await.is_none());
        assert!(within(Via::Tcp, ByteSize(u64::MAX)).await.is_none());
        drop((rest, small));
        let huge = within(Via::Tcp, ByteSize(u64::MAX)).await.unwrap();
        assert!(within(Via::Tcp, part).await.is_none(), "it has the bytes to itself");
        drop(huge);
        assert!(within(Via::Tcp, part).await.is_some());
    }
}
