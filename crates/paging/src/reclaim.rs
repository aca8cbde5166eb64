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

/// Whether reclaim takes pages of files even if others could be had.
pub(crate) fn drops_files(cgroup: &MemoryCgroup) -> bool {
    cgroup.version() == CgroupVersion::V1
}

/// Reclaims about so many bytes: v1 all that it can, several times if need be, since pages that were touched lately survive
/// the first time.
///
/// # Errors
/// When the file cannot be written. That less was reclaimed is no error.
pub(crate) fn reclaim(cgroup: &MemoryCgroup, bytes: ByteSize, limit: &Limit) -> io::Result<()> {
    let path = file(cgroup);
    if cgroup.version() == CgroupVersion::V1 {
        let usage = || cgroup.usage().unwrap_or_default();
        let goal = usage() - bytes.scaled(0.9);
        for _ in 0..MAX_REFUSALS {
            fs::write(&path, "0")?;
            if usage() <= goal || limit.is_over() {
                break;
            }
        }
        return Ok(());
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::clock::Stop;

    fn cgroup(version: CgroupVersion, name: &str) -> MemoryCgroup {
        let mount =
            std::env::temp_dir().join(format!("majordomo-reclaim-{}-{name}", std::process::id()));
        let dir = mount.join("app");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cgroup.procs"), "").unwrap();
        fs::write(mount.join("cgroup.procs"), "").unwrap();
        MemoryCgroup::at(version, mount, dir)
    }

    fn read(dir: &Path, file: &str) -> String {
        fs::read_to_string(dir.join(file)).unwrap()
    }

    #[test]
    fn v2_reclaims_anonymous_pages_in_pieces_and_v1_all() {
        let limit = Limit::begin(Duration::from_secs(60), Stop::default());
        let v2 = cgroup(CgroupVersion::V2, "v2");
        assert!(!is_offered(&v2));
        fs::write(v2.dir().join("memory.reclaim"), "").unwrap();
        assert!(is_offered(&v2));
        reclaim(&v2, ByteSize::mib(33), &limit).unwrap();
        assert_eq!(read(v2.dir(), "memory.reclaim"), format!("{} swappiness=max", 1 << 20));

        let v1 = cgroup(CgroupVersion::V1, "v1");
        fs::write(v1.dir().join("memory.force_empty"), "").unwrap();
        reclaim(&v1, ByteSize::mib(1), &limit).unwrap();
        assert_eq!(read(v1.dir(), "memory.force_empty"), "0");
        for cgroup in [v1, v2] {
            let _ = fs::remove_dir_all(cgroup.dir().parent().unwrap());
        }
    }

    #[test]
    fn room_in_swap_is_the_smallest_of_the_cgroup_and_those_above() {
        let v2 = cgroup(CgroupVersion::V2, "room");
        let top = v2.dir().parent().unwrap().to_owned();
        assert_eq!(swap_room(&v2), None);
        fs::write(top.join("memory.swap.max"), (10 << 20).to_string()).unwrap();
        fs::write(top.join("memory.swap.current"), (7 << 20).to_string()).unwrap();
        assert_eq!(swap_room(&v2), Some(ByteSize::mib(3)));
        fs::write(v2.dir().join("memory.swap.max"), "0\n").unwrap();
        assert_eq!(swap_room(&v2), Some(ByteSize::ZERO));
        fs::write(v2.dir().join("memory.swap.max"), "max\n").unwrap();
        assert_eq!(swap_room(&v2), Some(ByteSize::mib(3)));
        let _ = fs::remove_dir_all(top);
    }
}
