//! How many bytes a component may map: granted by the engine, counted by atomics on any thread.
//!
//! Invariant: no taking raises `used` above the limit that it saw; every byte taken is given back by the drop of
//! its hold, exactly once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use majordomo_core::ByteSize;

use super::ArenaError;

// All orderings here are relaxed: the counters publish no other memory, and each is consistent by itself.

/// A number of bytes that may be in use at a time. Clones share it.
#[derive(Clone)]
pub struct PoolGrant(Arc<Counters>);

struct Counters {
    limit: AtomicU64,
    used: AtomicU64,
    shared: AtomicU64,
    peak: AtomicU64,
}

/// Bytes taken from a grant; given back when dropped.
#[derive(Debug)]
pub struct GrantHold {
    grant: PoolGrant,
    bytes: u64,
}

impl PoolGrant {
    /// A grant of so many bytes, none of them in use.
    #[must_use]
    pub fn new(limit: ByteSize) -> Self {
        Self(Arc::new(Counters {
            limit: AtomicU64::new(limit.bytes()),
            used: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }))
    }

    /// Changes the limit; what is in use above a smaller one stays until it is given back.
    pub fn set_limit(&self, limit: ByteSize) {
        self.0.limit.store(limit.bytes(), Ordering::Relaxed);
    }

    /// Bytes granted.
    #[must_use]
    pub fn limit(&self) -> ByteSize {
        ByteSize(self.0.limit.load(Ordering::Relaxed))
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> ByteSize {
        ByteSize(self.0.used.load(Ordering::Relaxed))
    }

    /// Bytes of files that are mapped under this grant. They are the system's cache and not charged to the grant.
    #[must_use]
    pub fn shared(&self) -> ByteSize {
        ByteSize(self.0.shared.load(Ordering::Relaxed))
    }

    pub(super) fn share(&self, bytes: u64) -> Sharing {
        self.0.shared.fetch_add(bytes, Ordering::Relaxed);
        Sharing { grant: self.clone(), bytes }
    }

    /// The most bytes that were in use at a time.
    #[must_use]
    pub fn peak(&self) -> ByteSize {
        ByteSize(self.0.peak.load(Ordering::Relaxed))
    }

    /// Takes bytes until the returned hold is dropped.
    ///
    /// # Errors
    /// [`ArenaError::GrantExhausted`] when they would exceed the limit.
    pub fn take(&self, bytes: ByteSize) -> Result<GrantHold, ArenaError> {
        let taken = self.0.used.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes.bytes()).filter(|sum| *sum <= self.limit().bytes())
        });
        match taken {
            Ok(before) => {
                self.0.peak.fetch_max(before + bytes.bytes(), Ordering::Relaxed);
                Ok(GrantHold { grant: self.clone(), bytes: bytes.bytes() })
            }
            Err(used) => Err(ArenaError::GrantExhausted {
                requested: bytes,
                used: ByteSize(used),
                limit: self.limit(),
            }),
        }
    }
}

impl GrantHold {
    /// The bytes held.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        ByteSize(self.bytes)
    }
}

impl Drop for GrantHold {
    fn drop(&mut self) {
        self.grant.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file that is mapped under a grant.
pub(super) struct Sharing {
    grant: PoolGrant,
    bytes: u64,
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.grant.0.shared.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for PoolGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolGrant")
            .field("used", &self.used())
            .field("limit", &self.limit())
            .finish()
    }
}
