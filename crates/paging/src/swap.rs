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
    /// Bytes of those pages.
    pub zswapped: ByteSize,
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
        let (zswap, zswapped) = (meminfo(root, "Zswap:")?, meminfo(root, "Zswapped:")?);
        Ok(Self { devices, total, free: total - used, zswap, zswapped })
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

    /// Whether it pays to read the pages of a program before it is used: always from a disk; from compressed memory only ahead
    /// of a use, since its own faults are faster than a read that the use waits for.
    #[must_use]
    pub fn reads_first(&self, is_awaited: bool) -> bool {
        self.is_disk() || !is_awaited
    }

    /// Bytes that were swapped out to disks, counted from some time on: all that was swapped out less the writes of zram
    /// devices, of the machine whose file system is at `root`. None where the kernel does not count them. Only differences
    /// mean anything.
    #[must_use]
    pub fn written_to_disks(&self, root: &Path) -> Option<ByteSize> {
        let all = swapped_out(root)?.saturating_mul(rustix::param::page_size() as u64);
        let zram = self.devices.iter().filter(|device| device.kind == SwapKind::Zram);
        let in_zram: u64 = zram.filter_map(|device| sectors_written(root, device)).sum();
        Some(ByteSize(all.saturating_sub(in_zram.saturating_mul(SECTOR))))
    }

    /// How many programs may be paged in at the same time: 4, and 2 from a disk.
    #[must_use]
    pub fn lanes(&self) -> usize {
        if self.is_disk() { 2 } else { 4 }
    }

    /// RAM that so many bytes of a program in swap take at most: which device holds them is not known, so all of them are
    /// taken to be compressed, as far as there is that much compressed memory.
    #[must_use]
    pub fn ram_of(&self, bytes: ByteSize) -> ByteSize {
        let all = self.in_zram(|zram| zram.ram) + self.zswap;
        bytes.scaled(self.zram_ratio().max(self.zswap_ratio())).min(all)
    }

    /// RAM that a byte will take that is paged out next, 0 to 1: none on a disk, its compressed size on zram or in zswap. The
    /// kernel fills the device with the highest priority first.
    #[must_use]
    pub fn ram_of_next(&self) -> f64 {
        let with_room = self.devices.iter().filter(|d| d.total - d.used >= ENOUGH);
        let next = with_room.max_by_key(|d| d.priority);
        match next.or_else(|| self.devices.iter().max_by_key(|d| d.priority)) {
            Some(next) if next.kind == SwapKind::Zram => match self.in_zram(|zram| zram.used) {
                used if used < ENOUGH => COMPRESSED,
                _ => self.zram_ratio(),
            },
            _ => self.zswap_ratio(),
        }
    }

    fn in_zram(&self, bytes: impl Fn(&SwapDevice) -> ByteSize) -> ByteSize {
        self.devices.iter().filter(|d| d.kind == SwapKind::Zram).map(bytes).sum()
    }

    fn zram_ratio(&self) -> f64 {
        ratio(self.in_zram(|zram| zram.ram), self.in_zram(|zram| zram.used))
    }

    /// Kernels before 5.19 do not say how much zswap holds: then it is taken to be all that devices hold.
    fn zswap_ratio(&self) -> f64 {
        let known = self.zswapped > ByteSize::ZERO;
        ratio(self.zswap, if known { self.zswapped } else { self.used_on_disks() })
    }
}

/// Compressed memory that holds less than this does not show its ratio; a device with less room than this is full.
const ENOUGH: ByteSize = ByteSize::mib(32);
/// The ratio that is expected until then.
const COMPRESSED: f64 = 0.5;

fn ratio(ram: ByteSize, bytes: ByteSize) -> f64 {
    if bytes == ByteSize::ZERO { 0.0 } else { (ram.0 as f64 / bytes.0 as f64).min(1.0) }
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
        assert_eq!(swap.written_to_disks(&root), Some(ByteSize(1000 * page - 4800 * 512)));
        put("proc/vmstat", "nr_free_pages 3\n");
        assert_eq!(swap.written_to_disks(&root), None);
        let _ = fs::remove_dir_all(root);
    }
}
