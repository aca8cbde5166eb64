//! Pages of processes are read from swap again, without a fault of the program for each.

use std::io;
use std::sync::{Mutex, PoisonError};
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

/// Read at once: while a reader maps such a piece, the device reads the next ones.
const PIECE: u64 = 2 << 20;
/// Threads that read pages. Reading a page from swap costs the processor as much time as a fast device, and where pages are read
/// one at a time, a device works on several requests.
const N_READERS: usize = 4;

/// Where pages are when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the swap cache. The program maps each with a short fault when it touches it, and so shows which ones it uses.
    Cached,
    /// Mapped: the program finds them as if they had never been in swap. All of them count as touched
    /// ([`touched`](Pager::touched)). Where the memory of other processes may not be read, they are in the swap cache.
    Mapped,
}

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
    /// Reads the pages of a working set, those that were touched last first; without a set, all pages of the
    /// processes in swap. The processes run on meanwhile. From a disk it pays beside and before a use of the program, from zram
    /// only before.
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
        placement: Placement,
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
            match self.read(process, &ranges, placement, &limit) {
                Ok(read) => {
                    within_limit &= read.is_whole;
                    asked += ByteSize(read.bytes);
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

    /// Asks for the pages of files that were mapped ([`mapped_files`](Self::mapped_files)): those that the page cache
    /// has lost since are read again, without a fault of the program for each. Returns at once. Does nothing where advice is
    /// not permitted.
    pub fn read_files(&self, members: &[Process], files: &WorkingSet) {
        if !self.means.reads_by_advice {
            return;
        }
        for process in members {
            // A file that cannot be read is read by the program, which reports it.
            let _ = advise(process, &files.ranges(process.pid()), Advice::WillNeed);
        }
    }

    fn swapped(&self, process: &Process) -> io::Result<Vec<Range>> {
        let map = PageMap::open(&self.root, process)?;
        map.find_in(Mapping::is_swapped, Page::is_swapped)
    }

    fn read(
        &self,
        process: &Process,
        ranges: &[Range],
        placement: Placement,
        limit: &Limit,
    ) -> io::Result<Read> {
        let mut pieces = Vec::new();
        in_pieces(ranges, PIECE, MAX_RANGES, |piece| {
            pieces.push(piece.to_vec());
            true
        });
        let n_readers = N_READERS.min(pieces.len());
        let pieces = Mutex::new(pieces.into_iter());
        let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        let read_all = || self.read_pieces(process, placement, limit, &next);
        let results: Vec<_> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..n_readers).map(|_| scope.spawn(read_all)).collect();
            let own = read_all();
            let others = others.into_iter().filter_map(|reader| reader.join().ok());
            others.chain([own]).collect()
        });
        let mut read = Read { bytes: 0, is_whole: true };
        for result in results {
            let part = result?;
            read.bytes += part.bytes;
            read.is_whole &= part.is_whole;
        }
        Ok(read)
    }

    /// The work of one reader: it asks for a piece before it maps the one before, so that the device is never idle.
    fn read_pieces(
        &self,
        process: &Process,
        placement: Placement,
        limit: &Limit,
        next: &impl Fn() -> Option<Vec<Range>>,
    ) -> io::Result<Read> {
        let mut read = Read { bytes: 0, is_whole: true };
        let mut asked: Option<Vec<Range>> = None;
        loop {
            let piece = next().filter(|_| {
                read.is_whole &= !limit.is_over();
                read.is_whole
            });
            if let Some(piece) = &piece {
                read.bytes += self.ask(process, piece)?;
            }
            let maps = placement == Placement::Mapped && self.means.reads;
            if let Some(asked) = asked.filter(|_| maps && self.means.reads_by_advice) {
                read_pages(process, &pages(&asked))?;
            }
            if piece.is_none() {
                return Ok(read);
            }
            asked = piece;
        }
    }

    fn ask(&self, process: &Process, piece: &[Range]) -> io::Result<u64> {
        if self.means.reads_by_advice {
            advise(process, piece, Advice::WillNeed)
        } else if self.means.reads {
            read_pages(process, &pages(piece)).map(|()| total(piece))
        } else {
            Ok(0)
        }
    }
}

/// The part of a page-in that is about one process.
struct Read {
    bytes: u64,
    /// The time was not over before its end.
    is_whole: bool,
}
