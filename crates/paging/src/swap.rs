//! The swap of this machine: its devices, what is free, and how much of it is RAM all the same.
//!
//! Reads `/proc/swaps`, `/proc/meminfo` and `mm_stat` of zram devices (the kernel's `admin-guide/blockdev/zram.rst`).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use majordomo_core::ByteSize;

/// The medium of a swap device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwapKind {
    /// A disk: a file or a partition.
    Disk,
    /// Compressed RAM.
    Zram,
}

/// One swap device or file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "names of the columns of /proc/swaps")]
pub struct SwapDevice {
    pub path: PathBuf,
    pub kind: SwapKind,
    pub total: ByteSize,
    pub used: ByteSize,
    pub priority: i32,
    /// RAM that the device takes for what is in it: zero of a disk.
    pub ram: ByteSize,
}

/// All swap of this machine, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// The devices in use, in the order of the kernel's list.
    pub devices: Vec<SwapDevice>,
    /// Bytes of all devices.
    pub total: ByteSize,
    /// Bytes that are not in use.
    pub free: ByteSize,
    /// RAM that zswap takes: pages that it holds compressed before they reach a device.
    pub zswap: ByteSize,
}

impl Swap {
    /// Reads the swap of the machine whose file system is at `root`.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(root.join("proc/swaps")) {
            Ok(text) => text,
            // A kernel without swap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let devices: Vec<_> = text.lines().skip(1).filter_map(|l| device(root, l)).collect();
        let total = devices.iter().map(|d| d.total).sum();
        let used: ByteSize = devices.iter().map(|d| d.used).sum();
        let zswap = meminfo(root, "Zswap:")?;
        Ok(Self { devices, total, free: total - used, zswap })
    }

    /// Whether paging out writes to a disk, which wears, and frees memory only once the page is written.
    #[must_use]
    pub fn is_disk(&self) -> bool {
        self.devices.iter().any(|device| device.kind == SwapKind::Disk)
    }

    /// Whether some pages go to a disk and some to compressed RAM.
    pub(crate) fn is_mixed(&self) -> bool {
        self.is_disk() && self.devices.iter().any(|device| device.kind == SwapKind::Zram)
    }

    /// Bytes in use on disks.
    pub(crate) fn used_on_disks(&self) -> ByteSize {
        self.devices.iter().filter(|d| d.kind == SwapKind::Disk).map(|d| d.used).sum()
    }

    /// How many programs may be paged in at the same time: 4, and 2 from a disk.
    #[must_use]
    pub fn lanes(&self) -> usize {
        if self.is_disk() { 2 } else { 4 }
    }

    /// RAM that a byte in swap takes on average, 0 to 1: none on a disk, its compressed size on zram or in zswap.
    #[must_use]
    pub fn ram_share(&self) -> f64 {
        let used = self.total - self.free;
        let ram: ByteSize = self.devices.iter().map(|d| d.ram).sum::<ByteSize>() + self.zswap;
        if used == ByteSize::ZERO {
            return 0.0;
        }
        (ram.0 as f64 / used.0 as f64).min(1.0)
    }
}

impl fmt::Display for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.devices.is_empty() {
            return f.write_str("no swap");
        }
        write!(f, "{} free of {} on ", self.free, self.total)?;
        for (i, device) in self.devices.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}", device.path.display())?;
            if device.kind == SwapKind::Zram {
                write!(f, " ({} in {} of RAM)", device.used, device.ram)?;
            }
        }
        if self.zswap > ByteSize::ZERO {
            write!(f, ", {} of RAM in zswap", self.zswap)?;
        }
        Ok(())
    }
}

/// `PATH TYPE SIZE USED PRIORITY`, sizes in KiB.
fn device(root: &Path, line: &str) -> Option<SwapDevice> {
    let mut words = line.split_ascii_whitespace();
    let path = PathBuf::from(unescaped(words.next()?));
    let mut numbers = words.skip(1);
    let mut kib = || numbers.next()?.parse::<u64>().ok().map(ByteSize::kib);
    let (total, used) = (kib()?, kib()?);
    let priority = numbers.next()?.parse().ok()?;
    let name = path.file_name()?.to_str()?;
    let (kind, ram) = if name.starts_with("zram") {
        (SwapKind::Zram, zram_used(root, name))
    } else {
        (SwapKind::Disk, ByteSize::ZERO)
    };
    Some(SwapDevice { path, kind, total, used, priority, ram })
}

/// A path with `\040` for a space, as in the kernel's lists.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

/// The third figure of `mm_stat`: all RAM of the device, its own tables included.
fn zram_used(root: &Path, name: &str) -> ByteSize {
    let text = fs::read_to_string(root.join(format!("sys/block/{name}/mm_stat")));
    let used = text.ok().and_then(|t| t.split_ascii_whitespace().nth(2)?.parse().ok());
    ByteSize(used.unwrap_or(0))
}

/// A value of `/proc/meminfo`; zero where this kernel has no such line.
fn meminfo(root: &Path, key: &str) -> io::Result<ByteSize> {
    let text = fs::read_to_string(root.join("proc/meminfo"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = value.and_then(|v| v.trim().strip_suffix("kB")?.trim().parse().ok());
    Ok(ByteSize::kib(kib.unwrap_or(0)))
}

/// Bytes of a sector in `/sys/block/DEVICE/stat`, on every device.
const SECTOR: u64 = 512;

/// Bytes that were swapped out to disks, counted from some time on: all that was swapped out less the writes of zram devices.
/// None where the kernel does not count them. Only differences mean anything.
pub(crate) fn written_to_disks(root: &Path, swap: &Swap) -> Option<ByteSize> {
    let all = swapped_out(root)?.saturating_mul(rustix::param::page_size() as u64);
    let zram = swap.devices.iter().filter(|device| device.kind == SwapKind::Zram);
    let in_zram: u64 = zram.filter_map(|device| sectors_written(root, device)).sum();
    Some(ByteSize(all.saturating_sub(in_zram.saturating_mul(SECTOR))))
}

/// Pages that were swapped out since the start of the machine; none where the kernel does not count them.
pub(crate) fn swapped_out(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/vmstat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("pswpout "))?.trim().parse().ok()
}

/// The seventh figure (the kernel's `block/stat.rst`).
fn sectors_written(root: &Path, device: &SwapDevice) -> Option<u64> {
    let name = device.path.file_name()?.to_str()?;
    let text = fs::read_to_string(root.join(format!("sys/block/{name}/stat"))).ok()?;
    text.split_ascii_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_of_zram_are_no_writes_to_disks() {
        let root = std::env::temp_dir().join(format!("majordomo-written-{}", std::process::id()));
        let put = |file: &str, text: &str| {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        };
        put(
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/zram0 partition 9 0 5\n/dev/vdb partition 9 0 -2\n",
        );
        put("proc/meminfo", "MemTotal: 1 kB\n");
        put("proc/vmstat", "pswpin 3\npswpout 1000\n");
        put("sys/block/zram0/stat", "   1  0  8  0  1  0  4800  0  0  0  0\n");
        let swap = Swap::read(&root).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!(written_to_disks(&root, &swap), Some(ByteSize(1000 * page - 4800 * 512)));
        put("proc/vmstat", "nr_free_pages 3\n");
        assert_eq!(written_to_disks(&root, &swap), None);
        let _ = fs::remove_dir_all(root);
    }
}
