//! Buffers with a mapping of their own: written by one owner, then read by many without a copy; and files.
//!
//! Invariant: bytes that have readers do not change, and their memory is mapped until the last reader is dropped,
//! whichever component made them.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::ops::{Deref, DerefMut, RangeBounds};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use majordomo_core::ByteSize;
use memmap2::{Mmap, MmapMut};

use super::grant::Sharing;
use super::slab::map_anonymous;
use super::{ArenaError, GrantHold, PoolGrant};

/// A zeroed buffer of whole pages with one owner; freed when dropped.
pub struct MappedBuf {
    map: MmapMut,
    hold: GrantHold,
    len: usize,
}

impl MappedBuf {
    /// Maps `len` bytes out of a grant.
    ///
    /// # Errors
    /// When the grant is exhausted or the system refuses.
    pub fn new(grant: &PoolGrant, len: usize) -> Result<Self, ArenaError> {
        let (map, hold) = map_anonymous(grant, len)?;
        Ok(Self { map, hold, len })
    }

    /// Ends writing: the bytes can be shared from now on. Not copied.
    #[must_use]
    pub fn freeze(self) -> SharedSlice {
        let owner = Owner::Buffer { map: self.map, hold: self.hold };
        SharedSlice { owner: Arc::new(owner), start: 0, len: self.len }
    }
}

impl Deref for MappedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}

impl DerefMut for MappedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.len]
    }
}

impl fmt::Debug for MappedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Read-only bytes, counted by reference: clones and parts share the same memory. The first byte of a whole
/// buffer or file is page-aligned, so that it can be read as numbers (`bytemuck::try_cast_slice`).
#[derive(Clone)]
pub struct SharedSlice {
    owner: Arc<Owner>,
    start: usize,
    len: usize,
}

enum Owner {
    Buffer { map: MmapMut, hold: GrantHold },
    File { map: Mmap, _sharing: Option<Sharing> },
    Empty,
}

impl SharedSlice {
    /// Maps a file for reading. Its pages are the system's file cache: shared with every process that maps it,
    /// and dropped by the system under pressure, so no grant is charged.
    ///
    /// The file must belong to the user or root, no other user may have write permission, and it must not be changed
    /// in place while it is mapped: replace such files by renaming a new one over them.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped, or others may write to it.
    pub fn map_file(path: &Path) -> Result<Self, ArenaError> {
        Self::map(path, None)
    }

    /// The same, counted as [`PoolGrant::shared`] while it is mapped.
    ///
    /// # Errors
    /// As [`Self::map_file`].
    pub fn map_file_under(grant: &PoolGrant, path: &Path) -> Result<Self, ArenaError> {
        Self::map(path, Some(grant))
    }

    fn map(path: &Path, grant: Option<&PoolGrant>) -> Result<Self, ArenaError> {
        let refused = |error| ArenaError::File { path: path.to_owned(), error };
        let file = File::open(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        if !metadata.is_file() {
            return Err(refused(io::Error::other("it is no regular file")));
        }
        if !is_ours(&metadata) {
            return Err(ArenaError::ForeignFile(path.to_owned()));
        }
        if metadata.len() == 0 {
            return Ok(Self { owner: Arc::new(Owner::Empty), start: 0, len: 0 });
        }
        // SAFETY: the bytes may not change under the mapping. Only this user and root can write to the file,
        // which was just checked, and the contract above forbids the user to do it in place. Any bytes are
        // valid `u8`s.
        let map = unsafe { Mmap::map(&file) }.map_err(refused)?;
        let len = map.len();
        let sharing = grant.map(|g| g.share(len as u64));
        Ok(Self { owner: Arc::new(Owner::File { map, _sharing: sharing }), start: 0, len })
    }

    /// A part of it, sharing the same memory; none when the range does not lie within it.
    #[must_use]
    pub fn part(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        let part = self.get((range.start_bound().cloned(), range.end_bound().cloned()))?;
        let start = self.start + (part.as_ptr() as usize - self.as_ptr() as usize);
        Some(Self { owner: Arc::clone(&self.owner), start, len: part.len() })
    }

    /// How many clones and parts keep its memory.
    #[must_use]
    pub fn readers(&self) -> usize {
        Arc::strong_count(&self.owner)
    }

    /// Bytes that its memory takes from a grant; 0 for a file.
    #[must_use]
    pub fn granted(&self) -> ByteSize {
        match &*self.owner {
            Owner::Buffer { hold, .. } => hold.bytes(),
            Owner::File { .. } | Owner::Empty => ByteSize::ZERO,
        }
    }
}

/// Whether only this user and root can change the file.
fn is_ours(metadata: &Metadata) -> bool {
    const WRITE_BY_OTHERS: u32 = 0o022;
    let owner = metadata.uid();
    let us = rustix::process::geteuid().as_raw();
    (owner == 0 || owner == us) && metadata.mode() & WRITE_BY_OTHERS == 0
}

impl Deref for SharedSlice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let all: &[u8] = match &*self.owner {
            Owner::Buffer { map, .. } => map,
            Owner::File { map, .. } => map,
            Owner::Empty => &[],
        };
        &all[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for SharedSlice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for SharedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSlice").field("len", &self.len).finish_non_exhaustive()
    }
}
