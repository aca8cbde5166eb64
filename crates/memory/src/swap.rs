//! The machine's swap: whether there is any.
//!
//! A blocking read of a small file. Knows no component and no device.

use std::fs;
use std::path::Path;

/// Whether anything can be in swap. `root` is `/` but in tests.
#[must_use]
pub fn has_swap(root: &Path) -> bool {
    // The first line has the names of the columns.
    let swaps = fs::read_to_string(root.join("proc/swaps"));
    swaps.is_ok_and(|text| text.lines().nth(1).is_some())
}
