//! How much memory a process uses, by the kernel's count: quickly, or exactly with shared pages divided.
//!
//! Blocking reads; the shell decides which process is read when.

use majordomo_core::ByteSize;

use crate::error::SourceError;

/// How exactly to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Resident pages (`statm` on Linux): cheap, shared pages count in full. Between transitions.
    Resident,
    /// Proportional set with swap (`smaps_rollup` on Linux): its cost grows with the process, and shared pages are
    /// divided among their users, so that figures of several processes add up. At transitions.
    Proportional,
}

/// The memory of one process, with each page divided among the processes that share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// In main memory.
    pub mapped: ByteSize,
    /// In swap.
    pub swapped: ByteSize,
    /// Of `mapped`, pages of no file that no other process has, and that are not locked: at most so much can be moved to swap. None
    /// where the system does not separate them.
    pub own: Option<ByteSize>,
}

/// The parts of [`Measure::Proportional`]. Where the system does not separate them, all of it counts as mapped.
///
/// # Errors
/// When the process has ended, or belongs to another user.
pub fn process_shares(pid: u32) -> Result<Shares, SourceError> {
    imp::shares(pid)
}

/// The memory of one process. On macOS both measures are `phys_footprint`.
///
/// # Errors
/// When the process has ended, or belongs to another user.
pub fn process_footprint(pid: u32, measure: Measure) -> Result<ByteSize, SourceError> {
    imp::footprint(pid, measure)
}

/// The highest resident size of one process since it became its program (Linux `VmHWM`), pages that it shares with
/// others counted in full; none where the kernel does not keep it, and for a process that has ended.
#[must_use]
pub fn process_peak(pid: u32) -> Option<ByteSize> {
    imp::peak(pid)
}

/// Whether two processes use the very same memory, as a child does until it has become another program if it was
/// started by `vfork` or `posix_spawn`. The kernel counts that in full for each. False where the kernel cannot compare.
#[must_use]
pub fn is_same_memory(pid: u32, other: u32) -> bool {
    imp::is_same_memory(pid, other)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::path::PathBuf;

    use super::{ByteSize, Measure, Shares, SourceError};
    use crate::error::read_text;

    pub(super) fn footprint(pid: u32, measure: Measure) -> Result<ByteSize, SourceError> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        match measure {
            Measure::Resident => {
                let path = dir.join("statm");
                let text = read_text(&path)?;
                let pages =
                    text.split_ascii_whitespace().nth(1).and_then(|v| v.parse::<u64>().ok());
                let pages = pages
                    .ok_or_else(|| SourceError::malformed(&path, "no count of pages", &text))?;
                Ok(ByteSize(pages.saturating_mul(rustix::param::page_size() as u64)))
            }
            Measure::Proportional => shares(pid).map(|s| s.mapped + s.swapped),
        }
    }

    pub(super) fn shares(pid: u32) -> Result<Shares, SourceError> {
        let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
        let text = read_text(&path)?;
        let mapped = kib_after(&text, "Pss:");
        let mapped = mapped.ok_or_else(|| SourceError::malformed(&path, "no Pss", &text))?;
        let swapped = kib_after(&text, "SwapPss:").unwrap_or_default();
        Ok(Shares { mapped, swapped, own: own(&text) })
    }

    /// Pages that were forked and not written since are no process's own, and some private pages are of files: the
    /// smaller of both counts has neither.
    fn own(text: &str) -> Option<ByteSize> {
        let own = kib_after(text, "Pss_Anon:")?.min(kib_after(text, "Private_Dirty:")?);
        Some(own - kib_after(text, "Locked:").unwrap_or_default())
    }

    pub(super) fn peak(pid: u32) -> Option<ByteSize> {
        kib_after(&read_text(&PathBuf::from(format!("/proc/{pid}/status"))).ok()?, "VmHWM:")
    }

    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a system call that rustix does not have")]
    pub(super) fn is_same_memory(pid: u32, other: u32) -> bool {
        /// `KCMP_VM` of kcmp(2).
        const ADDRESS_SPACE: libc::c_int = 1;
        let [Ok(pid), Ok(other)] = [pid, other].map(libc::pid_t::try_from) else { return false };
        let unused: libc::c_ulong = 0;
        // SAFETY: kcmp(2) takes these five numbers, compares two processes by them, and reads or writes no memory of
        // this one. It returns 0 when they are the same, and -1 where it is missing or refused.
        unsafe { libc::syscall(libc::SYS_kcmp, pid, other, ADDRESS_SPACE, unused, unused) == 0 }
    }

    #[cfg(not(target_env = "gnu"))]
    pub(super) fn is_same_memory(_pid: u32, _other: u32) -> bool {
        false
    }

    fn kib_after(text: &str, key: &str) -> Option<ByteSize> {
        let value = text.lines().find_map(|l| l.strip_prefix(key))?;
        let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(ByteSize(kib.checked_mul(1024)?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn memory_of_a_process_is_its_own() {
            let own = std::process::id();
            assert!(!is_same_memory(own, std::os::unix::process::parent_id()));
            assert!(!is_same_memory(own, u32::MAX));
        }

        #[test]
        fn lines_of_the_kernel() {
            let rollup = "55-7f ---p 00000000 00:00 0  [rollup]\nRss:    884 kB\nPss:     123 kB\nPss_Anon: 9 kB\n";
            assert_eq!(kib_after(rollup, "Pss:"), Some(ByteSize::kib(123)));
            assert_eq!(kib_after("Rss: 1 kB\n", "Pss:"), None);
            assert_eq!(kib_after("Pss: 99999999999999999999 kB\n", "Pss:"), None);
        }

        #[test]
        fn forked_locked_and_file_pages_are_no_own_ones() {
            let rollup = |anonymous: u32, private: u32, locked: u32| {
                format!(
                    "Pss_Anon: {anonymous} kB\nPrivate_Dirty: {private} kB\nLocked: {locked} kB\n"
                )
            };
            let of = |anonymous, private, locked| own(&rollup(anonymous, private, locked));
            assert_eq!(of(90, 90, 0), Some(ByteSize::kib(90)));
            assert_eq!(of(90, 10, 0), Some(ByteSize::kib(10)), "forked");
            assert_eq!(of(90, 95, 0), Some(ByteSize::kib(90)), "pages of a file that were written");
            assert_eq!(of(90, 90, 70), Some(ByteSize::kib(20)), "locked");
            assert_eq!(of(10, 10, 70), Some(ByteSize::ZERO));
            assert_eq!(own("Pss: 9 kB\n"), None);
        }
    }
}

#[cfg(target_os = "macos")]
mod imp {
    use super::{ByteSize, Measure, Shares, SourceError};

    pub(super) fn shares(pid: u32) -> Result<Shares, SourceError> {
        let mapped = footprint(pid, Measure::Proportional)?;
        Ok(Shares { mapped, swapped: ByteSize::ZERO, own: None })
    }

    pub(super) fn footprint(pid: u32, _measure: Measure) -> Result<ByteSize, SourceError> {
        crate::source::physical_footprint(pid).map_err(|error| SourceError::Unavailable {
            what: format!("the footprint of process {pid}: {error}"),
        })
    }

    pub(super) fn peak(_pid: u32) -> Option<ByteSize> {
        None
    }

    pub(super) fn is_same_memory(_pid: u32, _other: u32) -> bool {
        false
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod imp {
    use super::{ByteSize, Measure, Shares, SourceError};

    pub(super) fn shares(pid: u32) -> Result<Shares, SourceError> {
        let mapped = footprint(pid, Measure::Proportional)?;
        Ok(Shares { mapped, swapped: ByteSize::ZERO, own: None })
    }

    pub(super) fn footprint(pid: u32, _measure: Measure) -> Result<ByteSize, SourceError> {
        let what = format!("the footprint of process {pid} cannot be read on this system");
        Err(SourceError::Unavailable { what })
    }

    pub(super) fn peak(_pid: u32) -> Option<ByteSize> {
        None
    }

    pub(super) fn is_same_memory(_pid: u32, _other: u32) -> bool {
        false
    }
}
