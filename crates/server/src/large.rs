//! How many large answers are in memory at a time, and how many bytes the answers of components have together.
//!
//! Invariants: clients of one listener that read slowly keep no client of the other waiting, and no call whose answer is small: an
//! answer that waits for room has a place of its listener and no slot of its component. The memory of answers to calls is bounded by
//! their bytes and places a listener, and by small ones for each connection.

use std::sync::Arc;

use majordomo::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::Via;

/// Large answers of a listener at a time: each has its bytes in memory until its client has read them.
const PER_LISTENER: usize = 16;
/// Bytes that the answers of components to clients of a listener have together, until these clients have read them. A larger answer
/// has them to itself.
const BYTES_PER_LISTENER: ByteSize = ByteSize::mib(8);
/// Answers up to this size need no room: the connections bound them.
const SMALL: ByteSize = ByteSize::kib(8);
/// Answers of components that wait for room at a time, for clients of a listener.
pub(crate) const WAITING_PER_LISTENER: usize = 16;
/// They are counted in parts of so many bytes.
const PART: u64 = 1 << 10;

/// The place that an answer has until its client has read it.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

/// The room of one listener.
#[derive(Debug)]
struct OfListener {
    lists: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for OfListener {
    fn default() -> Self {
        Self {
            lists: Arc::new(Semaphore::new(PER_LISTENER)),
            calls: Arc::new(Semaphore::new(parts(BYTES_PER_LISTENER) as usize)),
            waiting: Arc::new(Semaphore::new(WAITING_PER_LISTENER)),
        }
    }
}

/// The parts of an answer; at most all.
fn parts(size: ByteSize) -> u32 {
    let n = size.bytes().min(BYTES_PER_LISTENER.bytes()).div_ceil(PART);
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The answer of a component on its way to room.
#[derive(Debug)]
pub(crate) enum ForRoom {
    /// It needs none, or has it.
    Has(Room),
    /// It has a place among those that wait.
    Waits { place: OwnedSemaphorePermit, calls: Arc<Semaphore>, parts: u32 },
}

impl ForRoom {
    /// Waits until the answer has room; those that waited before it have theirs first.
    pub(crate) async fn room(self) -> Room {
        match self {
            Self::Has(room) => room,
            // Never closed.
            Self::Waits { place, calls, parts } => {
                let room = calls.acquire_many_owned(parts).await.ok();
                drop(place);
                room
            }
        }
    }
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

    /// Room for the answer of a component among those for clients of this listener, or a place to wait for it. None: as many wait as
    /// may.
    pub(crate) fn room(&self, via: Via, size: ByteSize) -> Option<ForRoom> {
        if size <= SMALL {
            return Some(ForRoom::Has(None));
        }
        let (of, parts) = (self.of(via), parts(size));
        let calls = Arc::clone(&of.calls);
        if let Ok(room) = Arc::clone(&calls).try_acquire_many_owned(parts) {
            return Some(ForRoom::Has(Some(room)));
        }
        let place = Arc::clone(&of.waiting).try_acquire_owned().ok()?;
        Some(ForRoom::Waits { place, calls, parts })
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

    fn has_room(room: Option<&ForRoom>) -> bool {
        matches!(room, Some(ForRoom::Has(_)))
    }

    /// Sizes that take room.
    const HALF: ByteSize = ByteSize(BYTES_PER_LISTENER.bytes() / 2);
    const LEAST: ByteSize = ByteSize(SMALL.bytes() + 1);

    #[tokio::test]
    async fn large_answers_of_components_share_the_bytes_of_their_listener() {
        let large = LargeAnswers::default();
        let first = large.room(Via::Tcp, HALF).unwrap().room().await;
        let rest = large.room(Via::Tcp, HALF).unwrap().room().await;
        assert!(!has_room(large.room(Via::Tcp, LEAST).as_ref()));
        assert!(has_room(large.room(Via::Unix, BYTES_PER_LISTENER).as_ref()));
        drop(first);
        let least = large.room(Via::Tcp, LEAST).unwrap().room().await;
        assert!(!has_room(large.room(Via::Tcp, HALF).as_ref()));
        assert!(!has_room(large.room(Via::Tcp, ByteSize(u64::MAX)).as_ref()));
        drop((rest, least));
        let huge = large.room(Via::Tcp, ByteSize(u64::MAX)).unwrap().room().await;
        assert!(!has_room(large.room(Via::Tcp, LEAST).as_ref()), "it has the bytes to itself");
        drop(huge);
        assert!(has_room(large.room(Via::Tcp, LEAST).as_ref()));
    }

    #[tokio::test]
    async fn small_answer_of_a_component_needs_no_room() {
        let large = LargeAnswers::default();
        let _all = large.room(Via::Tcp, BYTES_PER_LISTENER).unwrap();
        let _waiting = large.room(Via::Tcp, ByteSize(u64::MAX)).unwrap();
        assert!(has_room(large.room(Via::Tcp, SMALL).as_ref()));
        assert!(!has_room(large.room(Via::Tcp, LEAST).as_ref()));
    }

    #[tokio::test]
    async fn so_many_answers_of_components_wait_for_room_and_no_more() {
        let large = LargeAnswers::default();
        let all = large.room(Via::Tcp, BYTES_PER_LISTENER).unwrap();
        let mut waiting: Vec<_> =
            (0..WAITING_PER_LISTENER).map(|_| large.room(Via::Tcp, LEAST).unwrap()).collect();
        assert!(large.room(Via::Tcp, LEAST).is_none());
        assert!(has_room(large.room(Via::Tcp, SMALL).as_ref()));
        assert!(has_room(large.room(Via::Unix, LEAST).as_ref()));
        drop(waiting.pop());
        waiting.push(large.room(Via::Tcp, LEAST).unwrap());
        drop(all);
        let room = waiting.remove(0).room().await;
        assert!(room.is_some());
        assert!(has_room(large.room(Via::Tcp, LEAST).as_ref()));
    }
}
