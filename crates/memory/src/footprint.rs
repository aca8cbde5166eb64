//! How much memory a process uses, by the kernel's count: quickly, or exactly with shared pages divided.
//!
//! Blocking reads; who is sampled when is the shell's business.

use majordomo_core::ByteSize;

use crate::source::SourceError;

/// How exactly to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Resident pages (`statm` on Linux): cheap, shared pages count in full. Between transitions.
    Resident,
    /// Proportional set with swap (`smaps_rollup` on Linux): its cost grows with the process, and shared pages are
    /// divided among their users, so that figures of several processes add up. At transitions.
    Proportional,
}

/// The memory of one process. On macOS both measures are `phys_footprint`.
///
/// # Errors
/// When the process is gone, or belongs to somebody else.
pub fn process_footprint(pid: u32, measure: Measure) -> Result<ByteSize, SourceError> {
    imp::footprint(pid, measure)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::path::PathBuf;

    use super::{ByteSize, Measure, SourceError};
    use crate::group::{malformed, read};

    pub(super) fn footprint(pid: u32, measure: Measure) -> Result<ByteSize, SourceError> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        match measure {
            Measure::Resident => {
                let path = dir.join("statm");
                let text = read(&path)?;
                let pages =
                    text.split_ascii_whitespace().nth(1).and_then(|v| v.parse::<u64>().ok());
                let pages = pages.ok_or_else(|| malformed(&path, "no count of pages", &text))?;
                Ok(ByteSize(pages.saturating_mul(rustix::param::page_size() as u64)))
            }
            Measure::Proportional => {
                let path = dir.join("smaps_rollup");
                let text = read(&path)?;
                let kib = |key: &str| {
                    let value = text.lines().find_map(|l| l.strip_prefix(key))?;
                    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
                };
                let pss = kib("Pss:").ok_or_else(|| malformed(&path, "no Pss", &text))?;
                Ok(ByteSize::kib(pss + kib("SwapPss:").unwrap_or(0)))
            }
        }
    }
}

#[cfg(target_os = "macos")]
mod imp {
    use super::{ByteSize, Measure, SourceError};

    pub(super) fn footprint(pid: u32, _measure: Measure) -> Result<ByteSize, SourceError> {
        crate::source::physical_footprint(pid).map_err(|error| SourceError::Unavailable {
            what: format!("the footprint of process {pid}: {error}"),
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod imp {
    use super::{ByteSize, Measure, SourceError};

    pub(super) fn footprint(pid: u32, _measure: Measure) -> Result<ByteSize, SourceError> {
        let what = format!("the footprint of process {pid} cannot be read on this system");
        Err(SourceError::Unavailable { what })
    }
}
