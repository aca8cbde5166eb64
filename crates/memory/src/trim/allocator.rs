//! The process's allocator: glibc's can be asked to return free pages and reports its usage; others return pages by
//! themselves or not at all, which is reported as not supported.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "malloc_trim, mallinfo2 and mallopt are C functions")
)]

use std::fmt;

use majordomo_core::ByteSize;

/// The result of a trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrimOutcome {
    /// glibc gave pages back.
    Returned,
    /// glibc had nothing to give back.
    Nothing,
    /// This allocator cannot be asked.
    Unsupported {
        /// Its name.
        allocator: &'static str,
    },
}

impl fmt::Display for TrimOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("malloc_trim gave pages back"),
            Self::Nothing => f.write_str("malloc_trim had nothing to give back"),
            Self::Unsupported { allocator } => write!(f, "{allocator} cannot be trimmed"),
        }
    }
}

/// Asks the allocator to give free pages back to the system. Takes milliseconds per 100 MB freed and holds the
/// allocator's locks: call it on a blocking thread, debounced ([`TrimDebounce`](super::TrimDebounce)).
pub fn trim_allocator() -> TrimOutcome {
    imp::trim()
}

/// Bounds what the allocator keeps of freed memory, for the whole process: glibc then keeps at most 256 KiB free at the
/// end of each of its heaps, which [`trim_allocator`] does not reach; without that it keeps up to 64 MiB in each once
/// large blocks were freed. The price is that blocks from 128 KiB on always have mappings of their own.
pub fn bound_retained() {
    imp::keep_little();
}

/// Bounds the number of heaps that threads spread over. glibc makes up to eight for each processor, and each keeps
/// freed memory of its own; a program with many threads that allocate seldom needs few. Heaps that are there stay.
pub fn bound_heaps(n: u8) {
    imp::bound_heaps(n.max(1));
}

/// The allocator's own account of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatorUsage {
    /// Bytes in live allocations, those with mappings of their own included.
    pub in_use: ByteSize,
    /// Bytes that were freed and are kept for later allocations.
    pub retained: ByteSize,
}

/// The bytes that the allocator has in use and retains; none where it does not report them. Takes its locks for a
/// moment.
#[must_use]
pub fn allocator_usage() -> Option<AllocatorUsage> {
    imp::usage()
}

/// Measures the bytes that this process freed but did not return: its anonymous resident memory beyond the bytes that
/// the allocator has in use and arenas have mapped, less the same gap at start (stacks, the allocator's own data).
#[derive(Clone, Copy, Debug)]
pub struct UnreturnedMeter {
    gap: u64,
}

impl UnreturnedMeter {
    /// Measures the gap now, before components are loaded; none where the allocator does not report it, or the program
    /// uses another one than the system's. From then on what the allocator keeps is [bounded](bound_retained).
    #[must_use]
    pub fn start() -> Option<Self> {
        bound_retained();
        if !imp::sees_allocations() {
            return None;
        }
        imp::gap().map(|gap| Self { gap })
    }

    /// Freed but resident bytes; `arenas` = bytes taken from all grants. None when the system stops reporting them.
    #[must_use]
    pub fn measure(&self, arenas: ByteSize) -> Option<ByteSize> {
        let gap = imp::gap()?.saturating_sub(arenas.bytes());
        Some(ByteSize(gap.saturating_sub(self.gap)))
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod imp {
    use majordomo_core::ByteSize;

    use super::{AllocatorUsage, TrimOutcome};

    pub(super) fn trim() -> TrimOutcome {
        // SAFETY: malloc_trim may be called at any time from any thread; 0 keeps no padding at the top.
        match unsafe { libc::malloc_trim(0) } {
            0 => TrimOutcome::Nothing,
            _ => TrimOutcome::Returned,
        }
    }

    /// Free bytes at the end of a heap that are kept.
    const KEPT: libc::c_int = 256 << 10;

    /// Bounds what stays at the end of each heap. Unless it is set the bound is twice the largest block that was
    /// mapped by itself and freed (mallopt(3), `M_MMAP_THRESHOLD`).
    pub(super) fn keep_little() {
        // Refused where another allocator stands in for glibc's, under a sanitizer or valgrind say: that one has
        // bounds of its own.
        // SAFETY: mallopt takes the allocator's lock itself and has no preconditions.
        let _ = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) };
    }

    pub(super) fn bound_heaps(n: u8) {
        // SAFETY: mallopt takes the allocator's lock itself and has no preconditions.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, n.into()) };
    }

    /// Anonymous resident bytes that the allocator does not have in use.
    pub(super) fn gap() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some((kib << 10).saturating_sub(usage()?.in_use.0))
    }

    /// Whether this program's allocations are the system allocator's: its count rises by a large one.
    pub(super) fn sees_allocations() -> bool {
        const LARGE: usize = 8 << 20;
        // Other threads allocate and free meanwhile, seldom so much at a time.
        (0..4).any(|_| {
            let before = usage();
            let block = std::hint::black_box(Vec::<u8>::with_capacity(LARGE));
            let after = usage();
            drop(block);
            matches!((before, after), (Some(b), Some(a)) if a.in_use.0 >= b.in_use.0 + LARGE as u64 / 2)
        })
    }

    pub(super) fn usage() -> Option<AllocatorUsage> {
        // Looked up by name, since a binary linked to it would not start with a glibc before 2.33.
        // SAFETY: the name is a C string; the handle means "wherever this process finds it".
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
        if symbol.is_null() {
            return None;
        }
        type Mallinfo2 = unsafe extern "C" fn() -> libc::mallinfo2;
        // SAFETY: glibc's `mallinfo2` has this signature (malloc.h), and no other library defines the name.
        let mallinfo2 = unsafe { std::mem::transmute::<*mut libc::c_void, Mallinfo2>(symbol) };
        // SAFETY: it takes the arenas' locks itself and has no preconditions.
        let info = unsafe { mallinfo2() };
        Some(AllocatorUsage {
            in_use: ByteSize((info.uordblks + info.hblkhd) as u64),
            retained: ByteSize(info.fordblks as u64),
        })
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod imp {
    use super::{AllocatorUsage, TrimOutcome};

    pub(super) fn trim() -> TrimOutcome {
        let allocator = if cfg!(target_os = "macos") {
            "the macOS allocator, which returns by itself under pressure,"
        } else {
            "this system's allocator"
        };
        TrimOutcome::Unsupported { allocator }
    }

    pub(super) fn keep_little() {}

    pub(super) fn bound_heaps(_: u8) {}

    pub(super) fn gap() -> Option<u64> {
        None
    }

    pub(super) fn usage() -> Option<AllocatorUsage> {
        None
    }

    pub(super) fn sees_allocations() -> bool {
        false
    }
}
