//! Which files are on a disk of this machine: a read of others would make traffic, and a server that does not answer
//! would hold a thread for good.

use std::path::{Path, PathBuf};

/// File systems on disks of this machine. One in memory has nothing to be read.
const LOCAL: [&str; 19] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "reiserfs", "nilfs2",
    "overlay", "squashfs", "erofs", "iso9660", "vfat", "exfat", "ntfs3", "udf",
];

/// The mounted file systems, as this process sees them.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    /// None of them where the system does not list them.
    pub(super) fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// `ID PARENT DEVICE ROOT MOUNTED_AT OPTIONS [TAG..] - KIND SOURCE OPTIONS` (proc_pid_mountinfo(5)).
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (before, after) = line.split_once(" - ")?;
            let at = before.split(' ').nth(4)?.replace("\\040", " ");
            let kind = after.split(' ').next()?;
            Some((PathBuf::from(at), LOCAL.contains(&kind)))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Whether a path is on a disk of this machine. Asks no file system: of two mounts at one place, the later one counts.
    pub(super) fn is_local(&self, path: &Path) -> bool {
        let holds = self.0.iter().filter(|(at, _)| path.starts_with(at));
        holds.max_by_key(|(at, _)| at.as_os_str().len()).is_some_and(|(_, is_local)| *is_local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_local_by_the_last_file_system_mounted_above_it() {
        let mounts = Mounts::parse(
            "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
             22 21 0:40 / /mnt/my\\040share rw - nfs4 server:/x rw\n\
             23 21 0:41 / /mnt/s rw master:2 - fuse.sshfs u@h: rw\n\
             24 21 8:2 / /models rw - tmpfs none rw\n\
             25 21 8:3 / /models rw - xfs /dev/sdb rw\n\
             unknown line\n",
        );
        for (path, is_local) in [
            ("/usr/lib/libtorch.so", true),
            ("/mnt/my share/model", false),
            ("/mnt/s/model", false),
            ("/mnt/sibling", true),
            ("/models/m.gguf", true),
        ] {
            assert_eq!(mounts.is_local(Path::new(path)), is_local, "{path}");
        }
        assert!(!Mounts::default().is_local(Path::new("/")));
    }
}
