//! The swap of a machine: which kinds are on, what zram holds, and how much was written.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, ensure};
use majordomo::ByteSize;
use serde::{Deserialize, Serialize};

/// The kind of swap under which a comparison is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SwapKind {
    None,
    /// On a disk, in a file or a partition, and nothing in memory.
    Disk,
    /// Compressed memory, perhaps beside a disk.
    Zram,
}

impl SwapKind {
    const EVERY: [Self; 3] = [Self::None, Self::Disk, Self::Zram];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Disk => "disk",
            Self::Zram => "zram",
        }
    }
}

impl fmt::Display for SwapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SwapKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::EVERY.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            format!(
                "{text:?} is no kind of swap; there are none, disk and zram (perhaps beside a disk)"
            )
        })
    }
}

/// One active swap area.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Area {
    path: String,
    kib: u64,
}

impl Area {
    fn is_zram(&self) -> bool {
        self.path.starts_with("/dev/zram")
    }
}

/// Reads the text of `/proc/swaps`.
fn areas(swaps: &str) -> Vec<Area> {
    let area = |line: &str| {
        let mut words = line.split_whitespace();
        let path = words.next()?.to_owned();
        // The kind of the area follows, then its size.
        let kib = words.nth(1)?.parse().ok()?;
        Some(Area { path, kib })
    };
    swaps.lines().skip(1).filter_map(area).collect()
}

/// The swap that a machine has on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swap(Vec<Area>);

impl Swap {
    /// As it is now.
    pub(crate) fn of_this_machine() -> Self {
        Self(areas(&std::fs::read_to_string("/proc/swaps").unwrap_or_default()))
    }

    pub(crate) fn kind(&self) -> SwapKind {
        match (self.0.is_empty(), self.0.iter().any(Area::is_zram)) {
            (true, _) => SwapKind::None,
            (false, true) => SwapKind::Zram,
            (false, false) => SwapKind::Disk,
        }
    }

    /// Fails where another kind is on than the stated one, with the way out.
    pub(crate) fn check(&self, stated: SwapKind) -> anyhow::Result<()> {
        let way = match stated {
            SwapKind::None => "turn it off with `swapoff -a`",
            SwapKind::Disk => {
                "`majordomo setup swap` prints the commands for a swap file; zram must be off"
            }
            SwapKind::Zram => "`majordomo setup zram` prints the commands for it",
        };
        ensure!(
            self.kind() == stated,
            "--swap {stated}: this machine has {self}; {way}, or let this measurement turn it on and off again with \
             --turn-swap-on SIZE"
        );
        Ok(())
    }
}

impl fmt::Display for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no swap");
        }
        let each = self.0.iter().map(|area| {
            let medium = if area.is_zram() { "zram" } else { "a disk" };
            format!("{} of swap on {medium}", ByteSize(area.kib << 10))
        });
        f.write_str(&each.collect::<Vec<_>>().join(" and "))
    }
}

/// Bytes in zram devices: as they were given, and as they are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zram {
    given: u64,
    held: u64,
}

impl Zram {
    #[cfg(test)]
    pub(crate) const fn new(given: u64, held: u64) -> Self {
        Self { given, held }
    }

    /// Of all devices together.
    pub(crate) fn of_this_machine() -> Self {
        Self::below(Path::new("/sys/block"))
    }

    fn below(blocks: &Path) -> Self {
        let mut sum = Self::default();
        for device in std::fs::read_dir(blocks).into_iter().flatten().flatten() {
            if device.file_name().to_string_lossy().starts_with("zram") {
                let text = std::fs::read_to_string(device.path().join("mm_stat"));
                // The fields are the bytes given, their compressed size, and all memory used for them.
                let text = text.unwrap_or_default();
                let mut fields = text.split_whitespace().map_while(|n| n.parse::<u64>().ok());
                sum.given += fields.next().unwrap_or(0);
                sum.held += fields.nth(1).unwrap_or(0);
            }
        }
        sum
    }

    /// The memory that so many swapped bytes take in it: at its ratio, and no more than it holds, since some may be on a disk.
    pub(crate) fn held_for(self, swapped: u64) -> u64 {
        let ratio = self.held as f64 / self.given.max(1) as f64;
        ((swapped as f64 * ratio) as u64).min(self.held)
    }
}

/// Bytes that the machine has written to swap on disks, counted from some time on.
pub(crate) fn written() -> anyhow::Result<u64> {
    let root = Path::new("/");
    let swap = majordomo::Swap::read(root).context("/proc/swaps cannot be read")?;
    Ok(swap.written_to_disks(root).unwrap_or_default().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    const FILE: &str = "/swap.img                               file\t\t4194300\t\t12\t\t-2\n";
    const ZRAM: &str = "/dev/zram0                              partition\t1048572\t\t0\t\t100\n";

    fn swap(lines: &[&str]) -> Swap {
        Swap(areas(&format!("{HEAD}{}", lines.concat())))
    }

    #[test]
    fn swap_in_memory_beside_a_disk_is_zram() {
        assert_eq!(swap(&[]).kind(), SwapKind::None);
        assert_eq!(swap(&[FILE]).kind(), SwapKind::Disk);
        assert_eq!(swap(&[ZRAM]).kind(), SwapKind::Zram);
        assert_eq!(swap(&[FILE, ZRAM]).kind(), SwapKind::Zram);
        assert_eq!(
            swap(&[FILE, ZRAM]).to_string(),
            "4.0 GiB of swap on a disk and 1024.0 MiB of swap on zram"
        );
    }

    #[test]
    fn another_kind_of_swap_than_the_stated_one_is_refused_with_the_way_out() {
        let refused = |swap: &Swap, kind| swap.check(kind).unwrap_err().to_string();
        assert!(refused(&swap(&[]), SwapKind::Disk).contains("majordomo setup swap"));
        assert!(refused(&swap(&[FILE]), SwapKind::Zram).contains("majordomo setup zram"));
        assert!(refused(&swap(&[FILE]), SwapKind::None).contains("swapoff"));
        for (swap, kind) in [(swap(&[]), SwapKind::None), (swap(&[FILE]), SwapKind::Disk)] {
            assert!(swap.check(kind).is_ok());
        }
        assert!("file".parse::<SwapKind>().unwrap_err().contains("disk"));
    }

    #[test]
    fn swapped_bytes_take_the_share_of_zram_that_its_ratio_gives() {
        let blocks = std::env::temp_dir().join(format!("majordomo-zram-{}", std::process::id()));
        for (device, stat) in [("zram0", " 1000 300 400 0 0 0 0 0 0\n"), ("sda", "7 7 7\n")] {
            std::fs::create_dir_all(blocks.join(device)).unwrap();
            std::fs::write(blocks.join(device).join("mm_stat"), stat).unwrap();
        }
        let zram = Zram::below(&blocks);
        std::fs::remove_dir_all(&blocks).unwrap();
        assert_eq!(zram, Zram { given: 1_000, held: 400 });
        assert_eq!((zram.held_for(500), zram.held_for(9_000)), (200, 400));
        assert_eq!(Zram::default().held_for(500), 0);
    }
}
