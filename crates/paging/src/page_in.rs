//! Pages of processes are read from swap again, without a fault of the program for each.

use std::io;
use std::time::Duration;

use majordomo_core::ByteSize;

use crate::advice::{Advice, MAX_RANGES, advise, read_pages};
use crate::clock::Limit;
use crate::completed::Completed;
use crate::error::{PagingError, of_process};
use crate::mappings::Mapping;
use crate::pagemap::{Page, PageMap, has_ended};
use crate::pager::Pager;
use crate::process::Process;
use crate::range::{Range, in_pieces, pages, total};
use crate::working_set::WorkingSet;

/// Read at once, so that the limit of time is looked at in between.
const PIECE: u64 = 8 << 20;
/// Threads that read pages where advice is not permitted: a device works on several requests at a time.
const N_READERS: usize = 4;

/// The report of a page-in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagedIn {
    /// Bytes of the pages that the kernel took the request for; those that were not in swap cost nothing.
    pub asked: ByteSize,
    /// Those pages: given to the next page-out, which frees the ones that the program did not touch.
    pub prefetched: WorkingSet,
    /// How far it came.
    pub completed: Completed,
    /// How long it took. The device may still read the last pages: the program waits for them only if it touches them.
    pub took: Duration,
}

impl Pager {
    /// Asks for the pages of a working set, those that were touched last first; without a set, for all pages of the
    /// processes in swap. The processes run on meanwhile. From a disk it pays beside and before a use of the program, from zram
    /// only before. Pages come into the swap cache, which is RAM, and are mapped when
    /// the program touches them.
    ///
    /// Where no advice reads them, for want of the right or of a kernel that knows it, pages are read through
    /// `process_vm_readv`, which maps them. Then nothing is read without a set, so that the first record has only pages
    /// that the program touched by itself.
    ///
    /// # Errors
    /// When all processes have ended, or it is not permitted.
    pub fn page_in(
        &self,
        members: &[Process],
        set: Option<&WorkingSet>,
        limit: Duration,
    ) -> Result<PagedIn, PagingError> {
        let limit = self.limit(limit);
        let mut prefetched = WorkingSet::default();
        let mut asked = ByteSize::ZERO;
        let (mut lives, mut within_limit) = (false, true);
        for process in members.iter().filter(|process| !process.has_ended()) {
            let ranges = match set {
                None if !self.means.reads_by_advice => Vec::new(),
                // Not looked up first: the device starts at once, and a range that is gone is refused.
                Some(set) => set.ranges(process.pid()),
                None => match self.swapped(process) {
                    Ok(ranges) => ranges,
                    Err(error) if has_ended(&error) => continue,
                    Err(error) => return Err(of_process(process, error)),
                },
            };
            lives = true;
            match self.ask(process, &ranges, &limit) {
                Ok(piece) => {
                    within_limit &= piece.is_whole;
                    asked += ByteSize(piece.bytes);
                }
                Err(error) if has_ended(&error) => continue,
                Err(error) => return Err(of_process(process, error)),
            }
            prefetched.record(process.pid(), &crate::range::union(ranges));
        }
        if !lives {
            return Err(PagingError::Ended);
        }
        let completed = if within_limit { Completed::Whole } else { Completed::OutOfTime };
        Ok(PagedIn { asked, prefetched, completed, took: limit.took() })
    }

    fn swapped(&self, process: &Process) -> io::Result<Vec<Range>> {
        let map = PageMap::open(&self.root, process)?;
        map.find_in(Mapping::is_swapped, Page::is_swapped)
    }

    fn ask(&self, process: &Process, ranges: &[Range], limit: &Limit) -> io::Result<Asked> {
        let (mut failed, mut bytes) = (None, 0);
        let mut each = |piece: &[Range]| {
            let done = if self.means.reads_by_advice {
                advise(process, piece, Advice::WillNeed)
            } else if self.means.reads {
                read_in_parallel(process, piece).map(|()| total(piece))
            } else {
                Ok(0)
            };
            match done {
                Ok(done) => bytes += done,
                Err(error) => failed = Some(error),
            }
            failed.is_none() && !limit.is_over()
        };
        let is_whole = in_pieces(ranges, PIECE, MAX_RANGES, &mut each);
        failed.map_or(Ok(Asked { bytes, is_whole }), Err)
    }
}

/// The part of a page-in that is about one process.
struct Asked {
    bytes: u64,
    /// The time was not over before its end.
    is_whole: bool,
}

fn read_in_parallel(process: &Process, ranges: &[Range]) -> io::Result<()> {
    let addresses = pages(ranges);
    let share = addresses.len().div_ceil(N_READERS).max(1);
    std::thread::scope(|scope| {
        let readers: Vec<_> = addresses
            .chunks(share)
            .map(|share| scope.spawn(move || read_pages(process, share)))
            .collect();
        let results = readers.into_iter().map(|reader| reader.join().unwrap_or(Ok(())));
        results.collect()
    })
}
