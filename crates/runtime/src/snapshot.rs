//! How often loads could use the snapshot that they were given.

use std::sync::atomic::AtomicU64;

/// Statistics of snapshots that loads unpacked.
#[derive(Debug, Default)]
pub(crate) struct Thawed {
    pub(crate) good: AtomicU64,
    pub(crate) corrupt: AtomicU64,
}
