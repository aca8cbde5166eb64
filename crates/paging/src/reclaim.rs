//! Reclaim of a whole cgroup: `memory.reclaim` of v2 (the kernel's `admin-guide/cgroup-v2.rst`), `memory.force_empty` of
//! v1 (`admin-guide/cgroup-v1/memory.rst`).
//!
//! Both work without CAP_SYS_NICE where the cgroup belongs to the user. `memory.force_empty` drops pages of files too,
//! and so does `memory.reclaim` before Linux 6.16, so they are the last means.

use std::fs;
use std::io;
use std::path::PathBuf;

use majordomo_core::ByteSize;
use majordomo_memory::{CgroupVersion, MemoryCgroup};

use crate::clock::Limit;

/// Reclaimed at once, so that the limit of time is looked at in between.
const PIECE: u64 = 32 << 20;
/// The kernel gives up before all of a piece is reclaimed; so often in a row, and nothing more is to be had.
const MAX_REFUSALS: u32 = 3;

fn file(cgroup: &MemoryCgroup) -> PathBuf {
    cgroup.dir().join(match cgroup.version() {
        CgroupVersion::V1 => "memory.force_empty",
        CgroupVersion::V2 => "memory.reclaim",
    })
}

/// Whether the kernel has the file and this user may write it.
pub(crate) fn is_offered(cgroup: &MemoryCgroup) -> bool {
    fs::OpenOptions::new().write(true).open(file(cgroup)).is_ok()
}

/// Reclaims about so many bytes: v1 all that it can.
///
/// # Errors
/// When the file cannot be written. That less was reclaimed is no error.
pub(crate) fn reclaim(cgroup: &MemoryCgroup, bytes: ByteSize, limit: &Limit) -> io::Result<()> {
    let path = file(cgroup);
    if cgroup.version() == CgroupVersion::V1 {
        return fs::write(path, "0");
    }
    let (mut left, mut refusals) = (bytes.0, 0);
    let mut only_anonymous = true;
    while left > 0 && refusals < MAX_REFUSALS && !limit.is_over() {
        let piece = left.min(PIECE);
        let word = if only_anonymous { " swappiness=max" } else { "" };
        match fs::write(&path, format!("{piece}{word}")) {
            Ok(()) => {
                left -= piece;
                refusals = 0;
            }
            Err(error) if is(&error, rustix::io::Errno::INVAL) && only_anonymous => {
                only_anonymous = false;
            }
            Err(error) if is(&error, rustix::io::Errno::AGAIN) => refusals += 1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is(error: &io::Error, errno: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Bytes that the limits of a cgroup and of those above it leave in swap (v2); none without such a limit.
pub(crate) fn swap_room(cgroup: &MemoryCgroup) -> Option<ByteSize> {
    if cgroup.version() == CgroupVersion::V1 {
        return None;
    }
    let number = |dir: &std::path::Path, file: &str| -> Option<u64> {
        fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
    };
    let mut dirs = cgroup.dir().ancestors().take_while(|dir| dir.join("cgroup.procs").exists());
    let rooms = std::iter::from_fn(|| dirs.next()).filter_map(|dir| {
        let max = number(dir, "memory.swap.max")?;
        Some(ByteSize(max.saturating_sub(number(dir, "memory.swap.current").unwrap_or(0))))
    });
    rooms.min()
}
