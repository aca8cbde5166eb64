//! The machine's swap: whether there is any, and how much was written to it since the system began.
//!
//! Blocking reads of small files. Knows no component and no device.

use std::fs;
use std::path::Path;

use majordomo_core::ByteSize;

/// Whether anything can be in swap. `root` is `/` but in tests.
#[must_use]
pub fn has_swap(root: &Path) -> bool {
    // The first line has the names of the columns.
    let swaps = fs::read_to_string(root.join("proc/swaps"));
    swaps.is_ok_and(|text| text.lines().nth(1).is_some())
}

/// The bytes that the machine has written to swap since it began, for all processes; none where the kernel keeps no
/// count.
#[must_use]
pub fn written_to_swap(root: &Path) -> Option<ByteSize> {
    let text = fs::read_to_string(root.join("proc/vmstat")).ok()?;
    let pages = text.lines().find_map(|line| line.strip_prefix("pswpout "))?;
    let pages: u64 = pages.trim().parse().ok()?;
    Some(ByteSize(pages.saturating_mul(rustix::param::page_size() as u64)))
}
