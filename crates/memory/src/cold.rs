//! Snapshots of unloaded components, in memory only: packed, checksummed, within a byte budget of their own.
//!
//! Packing and unpacking cost CPU time and touch no store, so the shell does them on a blocking thread; the
//! store itself moves references. Invariants: the bytes stored never exceed the budget; unpacking gives the
//! snapshot byte for byte or an error, never something else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentKey};

/// Packed bytes above this share of the raw ones are not worth the unpacking; weights are stored raw.
#[cfg(feature = "zstd")]
const PAYS_BELOW: f64 = 0.9;

/// Why a snapshot cannot be kept or used. In both cases the component loads normally and the error is logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColdError {
    /// Unpacking would not give the bytes that were packed.
    #[error("the snapshot is corrupt ({what}); the component loads normally")]
    Corrupt {
        /// The check that failed.
        what: &'static str,
    },
    /// The snapshot alone exceeds the budget.
    #[error("a snapshot of {stored} does not fit the cold store's budget of {budget}")]
    TooLarge {
        /// The packed size.
        stored: ByteSize,
        /// The budget of the cold store.
        budget: ByteSize,
    },
}

/// A packed snapshot. Clones share its bytes.
#[derive(Clone)]
pub struct Snapshot {
    bytes: Arc<[u8]>,
    raw_len: usize,
    compressed: bool,
    checksum: u32,
    tag: u64,
}

impl Snapshot {
    /// Packs a component's state: zstd level 1, or raw when that does not pay or without the feature `zstd`. `tag`
    /// separates states that must not be mixed up, such as the hash of the component's configuration.
    #[must_use]
    pub fn pack(tag: u64, raw: &[u8]) -> Self {
        let packed = compress(raw);
        let compressed = packed.is_some();
        let bytes: Arc<[u8]> = packed.map_or_else(|| raw.into(), Into::into);
        let checksum = crc32fast::hash(&bytes);
        Self { bytes, raw_len: raw.len(), compressed, checksum, tag }
    }

    /// The state as it was packed.
    ///
    /// # Errors
    /// [`ColdError::Corrupt`] when the bytes are not those that were packed.
    pub fn unpack(&self) -> Result<Vec<u8>, ColdError> {
        let corrupt = |what| ColdError::Corrupt { what };
        if crc32fast::hash(&self.bytes) != self.checksum {
            return Err(corrupt("its checksum does not match"));
        }
        if !self.compressed {
            return Ok(self.bytes.to_vec());
        }
        let raw = decompress(&self.bytes, self.raw_len).ok_or(corrupt("it does not decompress"))?;
        (raw.len() == self.raw_len).then_some(raw).ok_or(corrupt("its length does not match"))
    }

    /// Bytes that it takes in the store.
    #[must_use]
    pub fn stored(&self) -> ByteSize {
        ByteSize(self.bytes.len() as u64)
    }

    /// Bytes of the state itself.
    #[must_use]
    pub fn raw(&self) -> ByteSize {
        ByteSize(self.raw_len as u64)
    }

    /// Whether it is stored compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }
}

/// The bytes packed, when that pays.
#[cfg(feature = "zstd")]
fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    /// zstd's fastest standard level: JSON-like state shrinks 4 to 8 times at hundreds of MB/s.
    const LEVEL: i32 = 1;
    let worth = (raw.len() as f64 * PAYS_BELOW) as usize;
    // An encoder that fails, for want of memory, is as good as one that does not pay.
    zstd::bulk::compress(raw, LEVEL).ok().filter(|packed| packed.len() < worth)
}

#[cfg(feature = "zstd")]
fn decompress(packed: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, raw_len).ok()
}

#[cfg(not(feature = "zstd"))]
fn compress(_raw: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(not(feature = "zstd"))]
fn decompress(_packed: &[u8], _raw_len: usize) -> Option<Vec<u8>> {
    None
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("raw", &self.raw())
            .field("stored", &self.stored())
            .finish_non_exhaustive()
    }
}

/// Snapshots by component; the least recently used one is dropped first.
#[derive(Debug, Default)]
pub struct ColdStore {
    budget: u64,
    used: u64,
    clock: u64,
    entries: BTreeMap<ComponentKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    snapshot: Snapshot,
    last_use: u64,
}

impl ColdStore {
    /// An empty store that keeps at most so many packed bytes.
    #[must_use]
    pub fn new(budget: ByteSize) -> Self {
        Self { budget: budget.bytes(), ..Self::default() }
    }

    /// Keeps a component's snapshot instead of an earlier one. Returns the components whose snapshots were dropped
    /// for it.
    ///
    /// # Errors
    /// [`ColdError::TooLarge`] when it alone exceeds the budget; the earlier one of this component, which is
    /// out of date, is dropped then, the others stay.
    pub fn put(
        &mut self,
        key: ComponentKey,
        snapshot: Snapshot,
    ) -> Result<Vec<ComponentKey>, ColdError> {
        self.forget(key);
        let stored = snapshot.stored();
        if stored.bytes() > self.budget {
            return Err(ColdError::TooLarge { stored, budget: ByteSize(self.budget) });
        }
        let evicted = self.shrink_to(ByteSize(self.budget - stored.bytes()));
        self.used += stored.bytes();
        self.clock += 1;
        self.entries.insert(key, Entry { snapshot, last_use: self.clock });
        Ok(evicted)
    }

    /// The snapshot of a component for its next load. It stays until [`Self::forget`], which is called when
    /// the load has finished or the snapshot proved corrupt. One with another tag is dropped.
    pub fn get(&mut self, key: ComponentKey, tag: u64) -> Option<Snapshot> {
        if self.entries.get(&key)?.snapshot.tag != tag {
            self.forget(key);
            return None;
        }
        self.clock += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.last_use = self.clock;
        Some(entry.snapshot.clone())
    }

    /// Drops a component's snapshot; returns its bytes.
    pub fn forget(&mut self, key: ComponentKey) -> ByteSize {
        let freed = self.entries.remove(&key).map_or(ByteSize::ZERO, |e| e.snapshot.stored());
        self.used -= freed.bytes();
        freed
    }

    /// Drops the least recently used snapshots until at most so many bytes are stored; returns whose. Zero
    /// empties it, as under EMERGENCY.
    pub fn shrink_to(&mut self, bytes: ByteSize) -> Vec<ComponentKey> {
        let mut dropped = Vec::new();
        while self.used > bytes.bytes() {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.last_use).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.forget(oldest);
            dropped.push(oldest);
        }
        dropped
    }

    /// Changes the budget; returns the components whose snapshots were dropped for it.
    pub fn set_budget(&mut self, budget: ByteSize) -> Vec<ComponentKey> {
        self.budget = budget.bytes();
        self.shrink_to(budget)
    }

    /// Packed bytes stored.
    #[must_use]
    pub fn used(&self) -> ByteSize {
        ByteSize(self.used)
    }

    /// Snapshots stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_is_noticed() {
        let text = "{\"state\":\"idle\",\"volume\":7},".repeat(50);
        for raw in [text.as_bytes(), b"short"] {
            let good = Snapshot::pack(1, raw);
            for i in 0..good.bytes.len() {
                let mut bytes = good.bytes.to_vec();
                bytes[i] ^= 0x10;
                let bad = Snapshot { bytes: bytes.into(), ..good.clone() };
                assert!(matches!(bad.unpack(), Err(ColdError::Corrupt { .. })), "byte {i}");
            }
            let cut = Snapshot { bytes: good.bytes[1..].into(), ..good.clone() };
            assert!(cut.unpack().is_err());
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_right_checksum_over_wrong_bytes_is_noticed_too() {
        let mut bad = Snapshot::pack(1, "{\"a\":1},".repeat(99).as_bytes());
        assert!(bad.is_compressed());
        bad.raw_len -= 1;
        assert!(matches!(bad.unpack(), Err(ColdError::Corrupt { .. })));
        bad.bytes = vec![0; 64].into();
        bad.checksum = crc32fast::hash(&bad.bytes);
        assert_eq!(bad.unpack(), Err(ColdError::Corrupt { what: "it does not decompress" }));
    }
}
