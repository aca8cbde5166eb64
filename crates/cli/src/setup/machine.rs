//! Facts about the machine that the scripts of `setup` depend on.

use std::fs;
use std::path::{Path, PathBuf};

use majordomo::{ByteSize, Swap};

/// Memory and swap, and where to look for more.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) root: PathBuf,
    pub(super) memory: ByteSize,
    pub(super) swap: Swap,
}

/// The file system that a folder is on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) kind: String,
    pub(super) mounted_at: PathBuf,
    /// It is on a disk with moving heads, which is slow to seek.
    pub(super) is_rotational: bool,
}

impl Machine {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("proc/meminfo");
        let text = fs::read_to_string(&path)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        let kib = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
        let kib = kib.and_then(|kib| kib.trim().parse().ok());
        let kib = kib.ok_or_else(|| anyhow::anyhow!("{} has no MemTotal", path.display()))?;
        Ok(Self { root: root.to_owned(), memory: ByteSize::kib(kib), swap: Swap::read(root)? })
    }

    /// The file system of a folder: the last one mounted at the longest part of its path (proc_pid_mountinfo(5)).
    pub(super) fn file_system(&self, folder: &Path) -> anyhow::Result<FileSystem> {
        let text = fs::read_to_string(self.root.join("proc/self/mountinfo"))?;
        let mut best: Option<(FileSystem, &str)> = None;
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(device), Some(point)) = (words.nth(2), words.nth(1)) else { continue };
            let Some(kind) = words.skip_while(|word| *word != "-").nth(1) else { continue };
            let mounted_at = PathBuf::from(point.replace("\\040", " "));
            let is_longer = |(other, _): &(FileSystem, &str)| {
                mounted_at.as_os_str().len() >= other.mounted_at.as_os_str().len()
            };
            if folder.starts_with(&mounted_at) && best.as_ref().is_none_or(is_longer) {
                let kind = kind.to_owned();
                best = Some((FileSystem { kind, mounted_at, is_rotational: false }, device));
            }
        }
        let (file_system, device) =
            best.ok_or_else(|| anyhow::anyhow!("{} is on no file system", folder.display()))?;
        Ok(FileSystem { is_rotational: self.is_rotational(device), ..file_system })
    }

    /// Of a partition the disk is asked.
    fn is_rotational(&self, device: &str) -> bool {
        let dir = self.root.join("sys/dev/block").join(device);
        ["queue/rotational", "../queue/rotational"]
            .iter()
            .find_map(|file| fs::read_to_string(dir.join(file)).ok())
            .is_some_and(|text| text.trim() == "1")
    }
}
