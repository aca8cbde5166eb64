//! One anonymous mapping, paid for by a grant; unmapped and given back when dropped.

use std::ptr::NonNull;

use majordomo_core::ByteSize;
use memmap2::MmapMut;

use super::{ArenaError, GrantHold, PoolGrant};

/// Mappings are multiples of this: the largest page size of the platforms we know.
const PAGE: usize = 16 << 10;

/// A mapping for many buffers. Its memory is reached by `base` only, never by the map's own slices.
pub(super) struct Slab {
    base: NonNull<u8>,
    map: MmapMut,
    _hold: GrantHold,
}

impl Slab {
    pub(super) fn new(grant: &PoolGrant, len: usize) -> Result<Self, ArenaError> {
        let (mut map, hold) = map_anonymous(grant, len)?;
        let base = NonNull::from(&mut map[..]).cast();
        Ok(Self { base, map, _hold: hold })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

/// Zeroed memory of at least `len` bytes, and the hold on the grant that pays for it.
pub(super) fn map_anonymous(
    grant: &PoolGrant,
    len: usize,
) -> Result<(MmapMut, GrantHold), ArenaError> {
    let size = len.max(1).checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
    let requested = ByteSize(size as u64);
    let hold = grant.take(requested)?;
    let map = MmapMut::map_anon(size).map_err(|error| ArenaError::Map { requested, error })?;
    Ok((map, hold))
}
