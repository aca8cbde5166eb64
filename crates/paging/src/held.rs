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
    /// Pages in swap, shared ones divided (SwapPss). Pages that were read ahead and not mapped stay here until the program touches them.
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
            let dir = root.join(format!("proc/{}", process.pid()));
            let text = fs::read_to_string(dir.join("smaps_rollup"));
            if process.has_ended() {
                continue;
            }
            let Ok(text) = text else {
                // Of a process that may not be traced only its size is known: it stays where it is.
                held.mapped += resident(&dir).unwrap_or_default();
                continue;
            };
            held.mapped += kib_after(&text, "Pss:");
            held.files += kib_after(&text, "Pss_File:");
            held.swap += kib_after(&text, "SwapPss:");
        }
        held.cached = cgroup.and_then(|c| c.unmapped_swap_cache().ok()).unwrap_or_default();
        held.zram = swap.ram_of(held.swap);
        held
    }
}

/// All pages of a process in memory, those that it shares as well (proc_pid_statm(5)).
fn resident(dir: &Path) -> Option<ByteSize> {
    let text = fs::read_to_string(dir.join("statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(ByteSize(pages.saturating_mul(rustix::param::page_size() as u64)))
}

fn kib_after(text: &str, key: &str) -> ByteSize {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = value.and_then(|v| v.trim().strip_suffix("kB")?.trim().parse().ok());
    ByteSize::kib(kib.unwrap_or(0))
}
