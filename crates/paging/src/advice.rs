//! The two system calls: advice about another process's memory (process_madvise(2)), and reading it
//! (process_vm_readv(2)). rustix has neither.
//!
//! The only unsafe code besides the start of the trial's child. Neither call writes memory but the buffer that is read into.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "process_madvise and process_vm_readv are raw system calls")
)]

use std::io;

use crate::process::Process;
use crate::range::Range;

/// Both calls take at most so many ranges (`IOV_MAX`).
pub(crate) const MAX_RANGES: usize = 1024;

/// The advice to the kernel about pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Reclaim them now (`MADV_PAGEOUT`).
    PageOut,
    /// Read those that are in swap, without mapping them (`MADV_WILLNEED`).
    WillNeed,
}

/// Advises about all ranges, and returns the bytes of those that the kernel took. The others (a mapping that is gone,
/// locked or a device's; all of them, where it does not know this advice) are skipped. The effect of the advice is measured.
///
/// # Errors
/// When the process has ended, or advice is not permitted or not known at all.
pub(crate) fn advise(process: &Process, ranges: &[Range], advice: Advice) -> io::Result<u64> {
    advise_by(ranges, |rest| system::advise(process, rest, advice))
}

/// The same by a call that takes ranges, and returns the bytes that it took, from the first on.
fn advise_by(
    ranges: &[Range],
    mut call: impl FnMut(&[Range]) -> io::Result<u64>,
) -> io::Result<u64> {
    let mut taken = 0;
    for piece in ranges.chunks(MAX_RANGES) {
        let mut rest = piece.to_vec();
        while !rest.is_empty() {
            match call(&rest) {
                Ok(0) => drop(rest.remove(0)),
                Ok(done) => {
                    taken += done;
                    skip(&mut rest, done);
                }
                // Refused for the first of them alone.
                Err(error) if is_about_the_range(&error) => drop(rest.remove(0)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(taken)
}

fn is_about_the_range(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::NOMEM, Errno::FAULT, Errno::BADF, Errno::AGAIN, Errno::IO]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Reads one byte of each page, which maps it, and reads it from swap if it is there. Pages that cannot be read are
/// skipped.
///
/// # Errors
/// When the process has ended, or its memory may not be read.
pub(crate) fn read_pages(process: &Process, pages: &[u64]) -> io::Result<()> {
    for piece in pages.chunks(MAX_RANGES) {
        let mut rest = piece;
        while !rest.is_empty() {
            match system::read_pages(process, rest) {
                Ok(n) => rest = rest.get(n.max(1)..).unwrap_or_default(),
                Err(error) if is_about_the_range(&error) => {
                    rest = rest.get(1..).unwrap_or_default();
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removes the first `done` bytes.
fn skip(ranges: &mut Vec<Range>, mut done: u64) {
    let mut n = 0;
    for range in ranges.iter_mut() {
        if range.len() > done {
            range.start += done;
            break;
        }
        done -= range.len();
        n += 1;
    }
    ranges.drain(..n);
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::AsRawFd;

    use super::{Advice, MAX_RANGES, Process, Range};

    fn vector(start: u64, len: u64) -> libc::iovec {
        libc::iovec { iov_base: start as *mut libc::c_void, iov_len: len as usize }
    }

    fn result(returned: libc::c_long) -> io::Result<u64> {
        u64::try_from(returned).map_err(|_| io::Error::last_os_error())
    }

    /// Returns the bytes of the ranges that were advised about, from the first on.
    pub(super) fn advise(process: &Process, ranges: &[Range], advice: Advice) -> io::Result<u64> {
        let advice = match advice {
            Advice::PageOut => libc::MADV_PAGEOUT,
            Advice::WillNeed => libc::MADV_WILLNEED,
        };
        let vectors: Vec<_> =
            ranges.iter().take(MAX_RANGES).map(|r| vector(r.start, r.len())).collect();
        let (handle, n) = (process.handle(), vectors.len());
        let flags: libc::c_uint = 0;
        // SAFETY: process_madvise(2) reads `n` vectors from a live array of that length. Their addresses are those of
        // another process; neither of the two kinds of advice changes the content of any memory.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                handle.as_raw_fd(),
                vectors.as_ptr(),
                n,
                advice,
                flags,
            )
        };
        result(returned)
    }

    /// Returns how many pages were read, from the first on.
    pub(super) fn read_pages(process: &Process, pages: &[u64]) -> io::Result<usize> {
        let mut bytes = [0_u8; MAX_RANGES];
        let remote: Vec<_> = pages.iter().take(MAX_RANGES).map(|page| vector(*page, 1)).collect();
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: remote.len() };
        let pid = libc::pid_t::try_from(process.pid()).unwrap_or(libc::pid_t::MAX);
        // The call takes a number. It is this process's as long as that has not been reaped; a later process of that number
        // would lose nothing by being read.
        let (n, flags): (libc::c_ulong, libc::c_ulong) = (remote.len() as libc::c_ulong, 0);
        // SAFETY: process_vm_readv(2) writes at most one byte for each remote vector into `bytes`, which is as long as the
        // largest number of them, and reads the vectors from live arrays.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_process_vm_readv,
                pid,
                std::ptr::from_ref(&local),
                1 as libc::c_ulong,
                remote.as_ptr(),
                n,
                flags,
            )
        };
        result(returned).map(|n| n as usize)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use super::{Advice, Process, Range};

    pub(super) fn advise(_: &Process, _: &[Range], _: Advice) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn read_pages(_: &Process, _: &[u64]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_result_leaves_the_rest_of_the_ranges() {
        let mut ranges = vec![Range::new(0, 4), Range::new(8, 12), Range::new(20, 30)];
        skip(&mut ranges, 4);
        assert_eq!(ranges, [Range::new(8, 12), Range::new(20, 30)]);
        skip(&mut ranges, 6);
        assert_eq!(ranges, [Range::new(22, 30)]);
        skip(&mut ranges, 8);
        assert_eq!(ranges, []);
    }

    #[test]
    fn ranges_that_the_kernel_refuses_are_not_counted_as_taken() {
        let ranges = [Range::new(0, 4), Range::new(8, 12), Range::new(20, 30)];
        let refused = || io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error());
        assert_eq!(advise_by(&ranges, |_| Err(refused())).unwrap(), 0);
        let second_is_gone = |rest: &[Range]| match rest.first() {
            Some(first) if first.start == 8 => Err(refused()),
            Some(first) => Ok(first.len()),
            None => Ok(0),
        };
        assert_eq!(advise_by(&ranges, second_is_gone).unwrap(), 14);
    }
}
