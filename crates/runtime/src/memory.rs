//! The memory that a builtin component may map: its grant, arenas and shared buffers out of it.
//!
//! Every byte counts against the component's reservation, which only the engine changes. Invariant: what is
//! still in use after the unload stays counted until its last reader is gone.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use majordomo_core::ByteSize;
use majordomo_memory::{Arena, ArenaError, MappedBuf, PoolGrant, SharedSlice};

/// A component's share of memory, by [`LoadContext::memory`](crate::LoadContext::memory). Clones share it; may be
/// kept by the component and used from any thread.
///
/// A component's own report ([`Component::footprint`](crate::Component::footprint)) leaves out what comes from
/// here, since that is counted already.
#[derive(Clone)]
pub struct ComponentMemory {
    pub(crate) grant: PoolGrant,
    /// Requests a larger grant from the engine, which replies with the limit.
    pub(crate) request: Arc<GrowRequest>,
}

/// Sends a request for so many bytes more, with the sender for its reply.
pub(crate) type GrowRequest = dyn Fn(ByteSize, flume::Sender<ByteSize>) + Send + Sync;

impl ComponentMemory {
    /// An arena: memory for many buffers, given back to the system whole when it is dropped. One thread uses it
    /// at a time; worker threads have one each. A buffer borrows its arena, so none is used after the unload.
    #[must_use]
    pub fn arena(&self) -> Arena {
        Arena::new(self.grant.clone())
    }

    /// A buffer with a mapping of its own: to be kept beside its owner, and shared by
    /// [`MappedBuf::freeze`] with other components, without a copy.
    ///
    /// # Errors
    /// When the grant is exhausted ([`Self::grow`] asks for more) or the system refuses.
    pub fn buffer(&self, len: usize) -> Result<MappedBuf, ArenaError> {
        MappedBuf::new(&self.grant, len)
    }

    /// Maps a file for reading. Its pages are the system's file cache: not charged, shown as `shared`.
    ///
    /// # Errors
    /// When it cannot be opened or mapped, or others than its owner may write to it.
    pub fn map_file(&self, path: &Path) -> Result<SharedSlice, ArenaError> {
        SharedSlice::map_file_under(&self.grant, path)
    }

    /// Bytes that it may map: its reservation; 0 in a pool of memory that is not RAM.
    #[must_use]
    pub fn limit(&self) -> ByteSize {
        self.grant.limit()
    }

    /// Bytes that it has mapped.
    #[must_use]
    pub fn used(&self) -> ByteSize {
        self.grant.used()
    }

    /// Asks for so many bytes more than now. Granted only if the budget and the pool have them free; no component is
    /// unloaded for it. Returns the limit from then on, which is the old one if they were not granted.
    pub async fn grow(&self, bytes: ByteSize) -> ByteSize {
        let answer = self.ask(bytes);
        // No answer: the manager has ended.
        answer.recv_async().await.unwrap_or_else(|_| self.limit())
    }

    /// The same for a thread that may block: a blocking factory, or the component's own.
    #[must_use]
    pub fn grow_blocking(&self, bytes: ByteSize) -> ByteSize {
        self.ask(bytes).recv().unwrap_or_else(|_| self.limit())
    }

    fn ask(&self, bytes: ByteSize) -> flume::Receiver<ByteSize> {
        let (reply, answer) = flume::bounded(1);
        (self.request)(bytes, reply);
        answer
    }
}

impl fmt::Debug for ComponentMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentMemory").field("grant", &self.grant).finish_non_exhaustive()
    }
}
