//! Memory of one component, given back to the system all at once: slabs with bump allocation inside.
//!
//! An [`Arena`] pays for each slab out of a [`PoolGrant`] and unmaps all of them when it is dropped, so that
//! resident memory falls by what the component used. Knows nothing of components or pools. Invariants: no two
//! live buffers overlap; a buffer borrows its arena, so the compiler refuses its use after the unload; memory that
//! outlives the arena is a [`SharedSlice`] with a mapping of its own, which stays booked until its last reader is
//! dropped.
#![expect(unsafe_code, reason = "buffers are parts of mappings, which safe code cannot hand out")]

mod blocks;
mod error;
mod grant;
mod shared;
mod slab;

pub use error::ArenaError;
pub use grant::{GrantHold, PoolGrant};
pub use shared::{MappedBuf, SharedSlice};

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use majordomo_core::ByteSize;

use blocks::Blocks;
use slab::Slab;

/// Buffers begin at multiples of this: two cache lines, enough for every SIMD width and for accelerators that
/// take over CPU memory.
pub const ARENA_ALIGNMENT: usize = 128;

/// The least size of a slab unless the arena sets another.
const DEFAULT_SLAB: ByteSize = ByteSize::mib(8);

/// The memory of one component. One thread allocates at a time; give each worker thread its own arena on a
/// clone of the same grant.
///
/// ```
/// use majordomo_core::ByteSize;
/// use majordomo_memory::{Arena, PoolGrant};
///
/// let grant = PoolGrant::new(ByteSize::mib(64));
/// let arena = Arena::new(grant.clone());
/// let mut frame = arena.alloc(1 << 20)?;
/// frame[0] = 7;
/// drop(frame); // reused by the next `alloc`, without a page fault
/// drop(arena); // given back to the system
/// assert_eq!(grant.used(), ByteSize::ZERO);
/// # Ok::<(), majordomo_memory::ArenaError>(())
/// ```
///
/// A buffer does not outlive its arena:
///
/// ```compile_fail,E0505
/// # use majordomo_core::ByteSize;
/// # use majordomo_memory::{Arena, PoolGrant};
/// let arena = Arena::new(PoolGrant::new(ByteSize::mib(64)));
/// let frame = arena.alloc(1 << 20).unwrap();
/// drop(arena);
/// println!("{}", frame[0]);
/// ```
pub struct Arena {
    grant: PoolGrant,
    slab_size: usize,
    // The slab that the fast path allocates from: its number, where it begins, what is taken, how long it is.
    current: Cell<usize>,
    base: Cell<NonNull<u8>>,
    taken: Cell<usize>,
    len: Cell<usize>,
    state: RefCell<State>,
}

struct State {
    /// By number; `None` for a slab that was given back.
    slabs: Vec<Option<Slab>>,
    /// Bytes taken of each slab; for the current slab `Arena::taken` counts instead.
    taken: Vec<usize>,
    /// Freed blocks below the taken bytes.
    blocks: Blocks,
}

/// A buffer in an [`Arena`], freed when dropped. Its bytes are not cleared: an earlier buffer may have written them.
pub struct ArenaBuf<'arena> {
    arena: &'arena Arena,
    start: NonNull<u8>,
    len: usize,
    slab: usize,
    offset: usize,
}

const NO_SLAB: usize = usize::MAX;

impl Arena {
    /// An arena that holds nothing yet and takes slabs of at least 8 MiB.
    #[must_use]
    pub fn new(grant: PoolGrant) -> Self {
        Self::with_slab_size(grant, DEFAULT_SLAB)
    }

    /// An arena with slabs of at least this size, rounded up to pages.
    #[must_use]
    pub fn with_slab_size(grant: PoolGrant, slab: ByteSize) -> Self {
        Self {
            grant,
            slab_size: usize::try_from(slab.bytes()).unwrap_or(usize::MAX),
            current: Cell::new(NO_SLAB),
            base: Cell::new(NonNull::dangling()),
            taken: Cell::new(0),
            len: Cell::new(0),
            state: RefCell::new(State {
                slabs: Vec::new(),
                taken: Vec::new(),
                blocks: Blocks::default(),
            }),
        }
    }

    /// The grant that pays for the slabs.
    #[must_use]
    pub fn grant(&self) -> &PoolGrant {
        &self.grant
    }

    /// Bytes mapped by its slabs now, used or kept for reuse.
    #[must_use]
    pub fn mapped(&self) -> ByteSize {
        self.state.borrow().slabs.iter().flatten().map(|s| ByteSize(s.len() as u64)).sum()
    }

    /// A buffer of `len` bytes, aligned to [`ARENA_ALIGNMENT`].
    ///
    /// # Errors
    /// When the grant is exhausted or the system refuses.
    #[inline]
    pub fn alloc(&self, len: usize) -> Result<ArenaBuf<'_>, ArenaError> {
        let Some(size) = padded(len) else { return Err(self.refuse(len)) };
        let offset = self.taken.get();
        if size <= self.len.get() - offset {
            self.taken.set(offset + size);
            return Ok(self.buffer(self.current.get(), self.base.get(), offset, len));
        }
        self.alloc_elsewhere(len, size)
    }

    /// A mapping of its own, which may outlive the arena and be shared
    /// ([`MappedBuf::freeze`](MappedBuf::freeze)). Zeroed. For buffers of many pages.
    ///
    /// # Errors
    /// As [`Self::alloc`].
    pub fn map(&self, len: usize) -> Result<MappedBuf, ArenaError> {
        MappedBuf::new(&self.grant, len)
    }

    /// Gives back every slab in which no buffer lives; for a component's `trim`. Returns the bytes.
    pub fn trim(&self) -> ByteSize {
        let mut state = self.state.borrow_mut();
        self.park(&mut state);
        let State { slabs, taken, blocks } = &mut *state;
        let mut freed = 0;
        for (slot, taken) in slabs.iter_mut().zip(taken.iter()) {
            if *taken == 0 {
                freed += slot.take().map_or(0, |slab| slab.len());
            }
        }
        debug_assert!(blocks.iter().all(|(slab, _, _)| slabs[slab].is_some()));
        ByteSize(freed as u64)
    }

    fn refuse(&self, len: usize) -> ArenaError {
        let requested = ByteSize(len as u64);
        let (used, limit) = (self.grant.used(), self.grant.limit());
        ArenaError::GrantExhausted { requested, used, limit }
    }

    fn buffer(&self, slab: usize, base: NonNull<u8>, offset: usize, len: usize) -> ArenaBuf<'_> {
        // SAFETY: every caller has set `offset + padded(len)` bytes of the slab that begins at `base` aside, so
        // the offset stays within that one mapping.
        let start = unsafe { base.add(offset) };
        ArenaBuf { arena: self, start, len, slab, offset }
    }

    /// Writes the fast path's slab back into the books; the next allocation takes the slow path.
    fn park(&self, state: &mut State) {
        let current = self.current.replace(NO_SLAB);
        if current != NO_SLAB {
            let taken = self.taken.get();
            state.taken[current] = state.blocks.take_all_ending_at(current, taken);
        }
        self.taken.set(0);
        self.len.set(0);
    }

    #[cold]
    fn alloc_elsewhere(&self, len: usize, size: usize) -> Result<ArenaBuf<'_>, ArenaError> {
        let mut state = self.state.borrow_mut();
        if let Some((index, offset)) = state.blocks.take(size)
            && let Some(slab) = &state.slabs[index]
        {
            return Ok(self.buffer(index, slab.base(), offset, len));
        }
        self.park(&mut state);
        let State { slabs, taken, .. } = &mut *state;
        let rest = |i: usize, slab: &Slab| slab.len() - taken[i];
        let fits = |(i, slab): (usize, &Option<Slab>)| {
            slab.as_ref().filter(|slab| size <= rest(i, slab)).map(|_| i)
        };
        let found = slabs.iter().enumerate().find_map(fits);
        let index = match found {
            Some(index) => index,
            None => slabs.iter().position(Option::is_none).unwrap_or(slabs.len()),
        };
        if index == slabs.len() {
            slabs.push(None);
            taken.push(0);
        }
        let slab = match &mut slabs[index] {
            Some(slab) => slab,
            hole => {
                let slab = Slab::new(&self.grant, size.max(self.slab_size))
                    // A last slab that is smaller than usual, rather than a refusal.
                    .or_else(|_| Slab::new(&self.grant, size))?;
                taken[index] = 0;
                hole.insert(slab)
            }
        };
        let offset = taken[index];
        self.current.set(index);
        self.base.set(slab.base());
        self.taken.set(offset + size);
        self.len.set(slab.len());
        Ok(self.buffer(index, slab.base(), offset, len))
    }

    #[inline]
    fn free(&self, slab: usize, offset: usize, len: usize) {
        // `padded` succeeded for this length when the buffer was made.
        let size = padded(len).unwrap_or(len);
        if slab == self.current.get() && offset + size == self.taken.get() {
            self.taken.set(offset);
            // A free block may end here now; `park` finds it.
            return;
        }
        self.free_elsewhere(slab, offset, size);
    }

    #[cold]
    fn free_elsewhere(&self, slab: usize, offset: usize, size: usize) {
        let mut state = self.state.borrow_mut();
        let current = slab == self.current.get();
        let taken = if current { self.taken.get() } else { state.taken[slab] };
        state.blocks.give(slab, offset, size);
        let taken = state.blocks.take_all_ending_at(slab, taken);
        if current {
            self.taken.set(taken);
        } else {
            state.taken[slab] = taken;
        }
    }
}

fn padded(len: usize) -> Option<usize> {
    // An isolated empty buffer still needs a place of its own, to be freed by.
    len.max(1).checked_next_multiple_of(ARENA_ALIGNMENT)
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("grant", &self.grant).field("mapped", &self.mapped()).finish()
    }
}

// SAFETY: the pointer leads into a mapping that the arena alone owns, and nothing in it is bound to a thread;
// not being `Sync`, it is used by one thread at a time.
unsafe impl Send for Arena {}

impl Deref for ArenaBuf<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` begins `len` bytes of a mapping that lives as long as the borrowed arena keeps it, are
        // initialised (the system zeroes pages), and belong to this buffer alone until it is dropped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for ArenaBuf<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for ArenaBuf<'_> {
    #[inline]
    fn drop(&mut self) {
        self.arena.free(self.slab, self.offset, self.len);
    }
}

impl fmt::Debug for ArenaBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaBuf").field("len", &self.len).finish_non_exhaustive()
    }
}
