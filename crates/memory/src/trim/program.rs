//! The program's own code and constants, mapped from its file: unmapping what only the start needed.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "dl_iterate_phdr and madvise are C functions")
)]

/// Unmaps the pages of the program's code and constants from this process; those that are used again come back from the
/// system's cache or the file. A start touches most of a program once, and pages that stay mapped count as its memory
/// and are the last that the system gives up. Returns whether anything was unmapped; only Linux can, and only without text
/// relocations.
pub fn release_program() -> bool {
    imp::release()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod imp {
    use std::ffi::{c_int, c_void};

    pub(super) fn release() -> bool {
        let mut released = false;
        let data = (&raw mut released).cast::<c_void>();
        // SAFETY: the callback has the signature that dl_iterate_phdr(3) asks for, and `data` outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(first_object), data) };
        released
    }

    /// The first object is the program itself; 1 ends the iteration.
    unsafe extern "C" fn first_object(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the C library passes a valid object; only this thread uses `data`, which is a bool.
        let (info, released) = unsafe { (&*info, &mut *data.cast::<bool>()) };
        // SAFETY: the object has `dlpi_phnum` headers, which stay where they are.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let base = info.dlpi_addr as usize;
        let mut dynamic = headers.iter().filter(|header| header.p_type == libc::PT_DYNAMIC);
        // SAFETY: the header describes the dynamic section of a program that runs.
        let is_relocated = dynamic.any(|header| unsafe {
            has_text_relocations(base + header.p_vaddr as usize, header.p_memsz as usize)
        });
        if is_relocated {
            return 1;
        }
        for header in headers {
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
                *released |= unmap(base + header.p_vaddr as usize, header.p_filesz as usize);
            }
        }
        1
    }

    /// An entry of the dynamic section: `Elf32_Dyn` or `Elf64_Dyn` (elf(5)).
    #[repr(C)]
    struct Dynamic {
        tag: isize,
        value: usize,
    }

    /// Whether the loader has written to segments that are not writable now.
    ///
    /// # Safety
    /// The dynamic section of a program that runs has so many bytes at this address.
    unsafe fn has_text_relocations(dynamic: usize, len: usize) -> bool {
        const DT_NULL: isize = 0;
        const DT_TEXTREL: isize = 22;
        const DT_FLAGS: isize = 30;
        const DF_TEXTREL: usize = 4;
        let entries = std::ptr::with_exposed_provenance::<Dynamic>(dynamic);
        // SAFETY: the caller's promise; the section is aligned for its entries, and only the loader writes to it, before the
        // program begins.
        let entries = unsafe { std::slice::from_raw_parts(entries, len / size_of::<Dynamic>()) };
        let mut entries = entries.iter().take_while(|entry| entry.tag != DT_NULL);
        entries.any(|entry| {
            entry.tag == DT_TEXTREL || entry.tag == DT_FLAGS && entry.value & DF_TEXTREL != 0
        })
    }

    /// Unmaps the full pages of a segment that was never written to.
    fn unmap(start: usize, len: usize) -> bool {
        // The larger of the page sizes in use; a part of a page stays.
        const PAGE: usize = 64 << 10;
        let end = (start + len) / PAGE * PAGE;
        let start = start.next_multiple_of(PAGE);
        let Some(len) = end.checked_sub(start).filter(|len| *len > 0) else { return false };
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(start);
        // SAFETY: the segment is mapped privately from the program's file, is not writable, and was not relocated by the loader,
        // so every page has the bytes of the file, from which the next access maps it again (madvise(2), MADV_DONTNEED).
        unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) == 0 }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod imp {
    pub(super) fn release() -> bool {
        false
    }
}
