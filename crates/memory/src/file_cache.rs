//! The system's cache of file contents: how much of a file is in it, and the read ahead into it.
//!
//! Knows no component. Nothing here ever drops cached pages: other programs may share them.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "cachestat(2) has no wrapper")
)]

use std::fs::File;
use std::io;

/// Bytes of a range of a file that are in the cache; none where the system does not report that (before Linux 6.5).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[must_use]
pub fn cached_bytes(file: &File, offset: u64, len: u64) -> Option<u64> {
    use std::os::fd::AsRawFd;

    /// `cachestat` of `linux/syscalls.h`; the same number on every architecture.
    const CACHESTAT: libc::c_long = 451;

    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    struct Statistics {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }

    if len == 0 {
        return Some(0);
    }
    let range = Range { offset, len };
    let mut statistics = Statistics::default();
    // SAFETY: both structures have the layout of `linux/mman.h` and outlive the call; the descriptor is open.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            std::ptr::from_ref(&range),
            std::ptr::from_mut(&mut statistics),
            0,
        )
    };
    let page = rustix::param::page_size() as u64;
    (result == 0).then(|| (statistics.cached * page).min(len))
}

/// Bytes of a range of a file that are in the cache: not reported by this system.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
#[must_use]
pub fn cached_bytes(_file: &File, _offset: u64, _len: u64) -> Option<u64> {
    None
}

/// Begins to read a range of a file into the cache.
///
/// # Errors
/// When the file cannot be read.
pub fn read_ahead(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let asked = ask(file, offset, len);
    // File systems that take no advice are read.
    if asked.is_err() { read(file, offset, len) } else { Ok(()) }
}

#[cfg(target_os = "linux")]
fn ask(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let len = std::num::NonZeroU64::new(len);
    Ok(rustix::fs::fadvise(file, offset, len, rustix::fs::Advice::WillNeed)?)
}

#[cfg(target_os = "macos")]
fn ask(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fcntl_rdadvise(file, offset, len)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn ask(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn read(file: &File, mut offset: u64, len: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;

    let end = offset + len;
    let mut buffer = vec![0; 64 << 10];
    while offset < end {
        let room = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..room], offset)? {
            0 => break,
            n => offset += n as u64,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_that_was_read_is_cached() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let len = 256 << 10;
        read(&file, 0, len).unwrap();
        read_ahead(&file, 0, len).unwrap();
        assert!(cached_bytes(&file, 0, len).is_none_or(|cached| cached == len));
        assert!(cached_bytes(&file, 0, 0).is_none_or(|cached| cached == 0));
    }
}
