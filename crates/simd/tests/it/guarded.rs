//! Memory whose neighbours fault: buffers between two unmapped pages.
//!
//! A kernel that reads or writes beyond its slice either faults (the slice touches a guard page) or
//! leaves a mark in the filling around it. Knows nothing of kernels.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// The value of the bytes around a slice.
const FILLING: u8 = 0xa5;

/// The place of a slice in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Its last byte is the last before the upper guard page.
    End,
    /// It starts this many elements after the lower guard page.
    Start(usize),
}

/// All placements that the tests use: both guards, and starts at odd multiples of an element.
pub(crate) const PLACES: [Place; 5] =
    [Place::End, Place::Start(0), Place::Start(1), Place::Start(6), Place::Start(11)];

/// A buffer between two guard pages.
pub(crate) struct Guarded {
    map: *mut u8,
    page: usize,
    n_pages: usize,
    /// The slice last placed, in bytes from the start of the buffer.
    used: (usize, usize),
}

impl Guarded {
    /// Room for `n_bytes` in any of [`PLACES`].
    pub(crate) fn new(n_bytes: usize) -> Self {
        let page = rustix::param::page_size();
        let n_pages = (n_bytes + 64).div_ceil(page);
        let n_map = (n_pages + 2) * page;
        // SAFETY: a new private mapping at an address of the kernel's choice touches no other memory
        // of the process; both protected pages lie within it.
        let map = unsafe {
            let map = mmap_anonymous(
                ptr::null_mut(),
                n_map,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
            .expect("memory for a buffer");
            mprotect(map, page, MprotectFlags::empty()).expect("a lower guard page");
            let upper = map.byte_add(n_map - page);
            mprotect(upper, page, MprotectFlags::empty()).expect("an upper guard page");
            map
        };
        Self { map: map.cast(), page, n_pages, used: (0, 0) }
    }

    /// Copies `data` to a place in the buffer and returns it as a slice.
    pub(crate) fn place<T: Copy>(&mut self, data: &[T], place: Place) -> &mut [T] {
        let n_buffer = self.n_pages * self.page;
        let n_bytes = size_of_val(data);
        let from = match place {
            Place::End => n_buffer - n_bytes,
            Place::Start(n) => n * size_of::<T>(),
        };
        assert!(from + n_bytes <= n_buffer, "the buffer is too small for the test");
        self.used = (from, n_bytes);
        // SAFETY: the buffer is mapped and used by `self` only, `from + n_bytes` lies within it, and the
        // start of the slice is a multiple of the element's size from a page boundary.
        unsafe {
            let buffer = self.map.add(self.page);
            ptr::write_bytes(buffer, FILLING, n_buffer);
            let start = buffer.add(from).cast::<T>();
            ptr::copy_nonoverlapping(data.as_ptr(), start, data.len());
            std::slice::from_raw_parts_mut(start, data.len())
        }
    }

    /// Whether no byte around the slice was written to since it was placed.
    pub(crate) fn is_intact(&self) -> bool {
        let (from, n_bytes) = self.used;
        // SAFETY: the buffer is mapped and was filled by `place`.
        let buffer = unsafe {
            std::slice::from_raw_parts(self.map.add(self.page), self.n_pages * self.page)
        };
        let filling = vec![FILLING; buffer.len()];
        let end = from + n_bytes;
        buffer[..from] == filling[..from] && buffer[end..] == filling[end..]
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to `self`, and no slice of it outlives `self`.
        let unmapped = unsafe { munmap(self.map.cast::<c_void>(), (self.n_pages + 2) * self.page) };
        debug_assert!(unmapped.is_ok());
    }
}
