//! The second page-out, which frees what the first has only written.
//!
//! Pages on their way to a disk stay in the swap cache after the first page-out: in RAM, though no process maps them. Reading
//! a byte of each maps it again without I/O, and as it has not changed, a second page-out frees it without a write.

use std::io;
use std::time::Duration;

use crate::advice::{Advice, advise, read_pages};
use crate::clock::Limit;
use crate::pagemap::{Page, PageMap};
use crate::process::Process;
use crate::range::{Range, common, in_pieces, pages, total};

/// Read and paged out at once: of so few pages the program touches hardly one in between.
const PIECE: u64 = 4 << 20;
/// Pages that are still being written cannot be freed; they are tried again after a pause.
const N_ROUNDS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// A smaller rest is what the program uses meanwhile.
const REST: u64 = 1 << 20;

/// Frees those pages of `ranges` that are in the swap cache. Returns the bytes that went through it.
pub(crate) fn free(
    process: &Process,
    map: &PageMap,
    ranges: &[Range],
    limit: &Limit,
) -> io::Result<u64> {
    let mut passed = 0;
    let swapped = map.find(ranges, Page::is_swapped)?;
    let mut failed = None;
    in_pieces(&swapped, PIECE, usize::MAX, |piece| {
        let done = read_pages(process, &pages(piece))
            .and_then(|()| advise(process, piece, Advice::PageOut));
        failed = done.err();
        passed += total(piece);
        failed.is_none() && !limit.is_over()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    for _ in 0..N_ROUNDS {
        let present = map.find(ranges, Page::is_own)?;
        let written = common(&present, &swapped);
        if total(&written) < REST || limit.is_over() || process.ends_within(PAUSE.min(limit.left()))
        {
            break;
        }
        advise(process, &written, Advice::PageOut)?;
    }
    Ok(passed)
}
