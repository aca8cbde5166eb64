//! Pages of processes are read from swap again, without a fault of the program for each.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// ([`touched`](Pager::touched)). Where the memory of the process may not be read, they are in the swap cache.
    Mapped,
}

/// The report of a page-in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagedIn {
    /// Bytes of the pages that the kernel took the request for; those that were not in swap cost nothing.
    pub asked: ByteSize,
    /// Those pages: given to the next page-out, which frees those in the swap cache that the program did not touch.
    pub prefetched: WorkingSet,
    /// How far it came.
    pub completed: Completed,
    /// Where they are: mapped only if some were.
    pub placement: Placement,
    /// How long it took. Of pages in the swap cache the device may still read the last: the program waits for them only if
    /// it touches them.
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
        let (mut lives, mut within_limit, mut maps) = (false, true, false);
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
                    maps |= read.maps;
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
        let placement = if maps { Placement::Mapped } else { Placement::Cached };
        Ok(PagedIn { asked, prefetched, completed, placement, took: limit.took() })
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
        let reader = Reader { pager: self, process, placement, limit, pieces: &pieces };
        let parts: Vec<_> = std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, || reader.read());
            // Where no more threads can be made, there are fewer.
            let others: Vec<_> = (1..n_readers).map_while(|n| start(n).ok()).collect();
            let own = reader.read();
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(|_| lost()));
            others.chain([own]).collect()
        });
        let mut read = Read::default();
        for part in parts {
            let part = part?;
            read.bytes += part.bytes;
            read.is_whole &= part.is_whole;
            read.maps |= part.maps;
        }
        Ok(read)
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

/// The part of a page-in that is about one process, or of one reader.
struct Read {
    bytes: u64,
    /// The time was not over before its end.
    is_whole: bool,
    /// Pages were mapped.
    maps: bool,
}

impl Default for Read {
    fn default() -> Self {
        Self { bytes: 0, is_whole: true, maps: false }
    }
}

/// The report of a reader that panicked.
fn lost() -> io::Result<Read> {
    Err(io::Error::other("a thread that read pages ended without a report"))
}

/// One of the threads that read pages of a process: each takes the next piece until there is none.
struct Reader<'a> {
    pager: &'a Pager,
    process: &'a Process,
    placement: Placement,
    limit: &'a Limit,
    pieces: &'a Mutex<std::vec::IntoIter<Vec<Range>>>,
}

impl Reader<'_> {
    fn read(&self) -> io::Result<Read> {
        let result = self.read_pieces();
        if result.is_err() {
            // The others end, too.
            self.take().by_ref().for_each(drop);
        }
        result
    }

    fn take(&self) -> MutexGuard<'_, std::vec::IntoIter<Vec<Range>>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a piece before it maps the one before, so that the device is never idle.
    fn read_pieces(&self) -> io::Result<Read> {
        let means = self.pager.means;
        let mut may_map =
            self.placement == Placement::Mapped && means.reads && means.reads_by_advice;
        let mut read = Read { maps: !means.reads_by_advice && means.reads, ..Read::default() };
        let mut asked: Option<Vec<Range>> = None;
        loop {
            let next = self.take().next();
            read.is_whole &= next.is_none() || !self.limit.is_over();
            let piece = next.filter(|_| read.is_whole);
            let taken = match &piece {
                Some(piece) => self.pager.ask(self.process, piece)?,
                None => 0,
            };
            read.bytes += taken;
            if let Some(asked) = asked.filter(|_| may_map) {
                match read_pages(self.process, &pages(&asked)) {
                    Ok(()) => read.maps = true,
                    Err(error) if has_ended(&error) => return Err(error),
                    // Advice is permitted, and reading is not.
                    Err(_) => may_map = false,
                }
            }
            let Some(piece) = piece else { return Ok(read) };
            // A part of it is gone: each of its pages would cost a call.
            asked = (taken == total(&piece)).then_some(piece);
        }
    }
}
