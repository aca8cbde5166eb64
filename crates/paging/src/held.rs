//! The memory that processes hold: RAM, swap, and the part of the swap that is RAM.

use std::fs;
use std::path::Path;

use majordomo_core::ByteSize;
use majordomo_memory::MemoryCgroup;

use crate::process::Process;
use crate::swap::Swap;

/// Memory of the processes of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Pages that the processes map, shared ones divided among their users (PSS).
    pub mapped: ByteSize,
    /// The part of `mapped` that belongs to files, which a page-out does not touch: the kernel drops unchanged ones when memory is
    /// short. Zero where it does not say so (before Linux 5.9).
    pub files: ByteSize,
    /// Pages of the swap cache that no process maps: RAM, although the kernel frees it first. Known of a cgroup; without one
    /// only what a page-out could not prove to be free.
    pub cached: ByteSize,
    /// Pages in swap, shared ones divided (SwapPss). Pages that were read ahead stay here until the program touches them.
    pub swap: ByteSize,
    /// The part of `swap` that is RAM: compressed by zram or zswap.
    pub zram: ByteSize,
}

impl Held {
    /// All of it that is RAM.
    #[must_use]
    pub fn ram(&self) -> ByteSize {
        self.mapped + self.cached + self.zram
    }

    /// Reads it. Processes that have ended hold nothing.
    pub(crate) fn read(
        root: &Path,
        members: &[Process],
        cgroup: Option<&MemoryCgroup>,
        swap: &Swap,
    ) -> Self {
        let mut held = Self::default();
        for process in members {
            let path = root.join(format!("proc/{}/smaps_rollup", process.pid()));
            let Ok(text) = fs::read_to_string(path) else { continue };
            if process.has_ended() {
                continue;
            }
            held.mapped += kib_after(&text, "Pss:");
            held.files += kib_after(&text, "Pss_File:");
            held.swap += kib_after(&text, "SwapPss:");
        }
        held.cached = cgroup.and_then(|c| c.unmapped_swap_cache().ok()).unwrap_or_default();
        held.zram = held.swap.scaled(swap.ram_share());
        held
    }
}

fn kib_after(text: &str, key: &str) -> ByteSize {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = value.and_then(|v| v.trim().strip_suffix("kB")?.trim().parse().ok());
    ByteSize::kib(kib.unwrap_or(0))
}
