//! A counting allocator: live bytes of each thread, and their peak.
//!
//! Each call is forwarded to the allocator of the system. Memory that another thread frees is counted there.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Neither allocates nor has anything to drop, so that the allocator may use it at any time.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that `run` held at a time on this thread, besides those that were held before.
pub(crate) fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = run();
    (result, (PEAK.get() - before).unsigned_abs())
}

struct Counting;

fn grown(by: usize) {
    let now = LIVE.get() + by as isize;
    LIVE.set(now);
    PEAK.set(PEAK.get().max(now));
}

fn shrunk(by: usize) {
    LIVE.set(LIVE.get() - by as isize);
}

// SAFETY: every call is forwarded unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises are those that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: as above; `at` came from the system.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there at the same time.
        grown(size);
        shrunk(layout.size());
        // SAFETY: as above; `at` came from the system.
        unsafe { System.realloc(at, layout, size) }
    }
}
