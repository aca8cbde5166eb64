//! The means of this machine, and the memory that processes hold.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::MemoryCgroup;

use crate::clock::{Limit, Stop};
use crate::error::PagingError;
use crate::held::Held;
use crate::mappings::Mapping;
use crate::pagemap::{Page, PageMap};
use crate::process::Process;
use crate::reclaim::swap_room;
use crate::swap::Swap;
use crate::working_set::WorkingSet;

/// How programs are paged out and in on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Advice about the memory of other processes is permitted.
    pub(crate) advises: bool,
    /// Advice reads pages from swap, too. Kernels before 5.16 only know the one that pages out.
    pub(crate) reads_by_advice: bool,
    /// The memory of other processes may be read.
    pub(crate) reads: bool,
    /// Cgroups can be made to reclaim.
    pub(crate) reclaims: bool,
}

impl Means {
    /// Whether a program can be paged out only if its processes have a cgroup of their own.
    #[must_use]
    pub fn needs_cgroup(self) -> bool {
        !self.advises
    }

    /// Whether pages are read again before the program asks for them; else each costs a fault.
    #[must_use]
    pub fn prefetches(self) -> bool {
        self.reads_by_advice || self.reads
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.advises, self.reads, self.reclaims) {
            (true, true, true) => "process_madvise, a second page-out, and reclaim of cgroups",
            (true, true, false) => "process_madvise and a second page-out",
            (true, false, true) => "process_madvise and reclaim of cgroups",
            (true, false, false) => "process_madvise",
            (false, ..) => "reclaim of cgroups",
        })?;
        match (self.reads_by_advice, self.reads) {
            (true, _) => Ok(()),
            (false, true) => f.write_str("; pages are read again through process_vm_readv"),
            (false, false) => f.write_str("; pages are read again one fault at a time"),
        }
    }
}

/// Pages programs out and in, by means that a trial has found ([`try_paging`](crate::try_paging)).
#[derive(Clone, Debug)]
pub struct Pager {
    pub(crate) root: PathBuf,
    pub(crate) means: Means,
    stop: Stop,
}

impl Pager {
    pub(crate) fn new(root: &Path, means: Means) -> Self {
        Self { root: root.to_owned(), means, stop: Stop::default() }
    }

    /// The same, whose calls end when `stop` ends them.
    #[must_use]
    pub fn ended_by(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    pub(crate) fn limit(&self, time: Duration) -> Limit {
        Limit::begin(time, self.stop.clone())
    }

    /// How it is done here.
    #[must_use]
    pub fn means(&self) -> Means {
        self.means
    }

    /// The swap of this machine now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn swap(&self) -> io::Result<Swap> {
        Swap::read(&self.root)
    }

    /// Bytes that were swapped out to disks ([`Swap::written_to_disks`]).
    #[must_use]
    pub fn written_to_disks(&self) -> Option<ByteSize> {
        self.swap().ok()?.written_to_disks(&self.root)
    }

    /// Bytes that the limits of this process's cgroup and of those above it leave in swap; none without such a limit.
    #[must_use]
    pub fn own_room(&self) -> Option<ByteSize> {
        swap_room(&MemoryCgroup::of_self(&self.root).ok()??)
    }

    /// The memory that the processes hold now; with their own cgroup, its swap cache as well. Blocks for about a millisecond per
    /// 100 MiB, and does not touch the memory of the processes.
    #[must_use]
    pub fn held(&self, members: &[Process], cgroup: Option<&MemoryCgroup>) -> Held {
        let swap = self.swap().unwrap_or_default();
        Held::read(&self.root, members, cgroup, &swap)
    }

    /// The pages that the processes have touched since they were last paged out. Without a page-out before it, that is
    /// all of their memory. Read it before the next page-out, and [`WorkingSet::merge`] it only if the program was used:
    /// a wake without a use teaches nothing. Pages that a page-in mapped count as touched:
    /// [`WorkingSet::extend`] it then.
    ///
    /// Blocks for milliseconds. A process that has ended has none.
    #[must_use]
    pub fn touched(&self, members: &[Process]) -> WorkingSet {
        let mut set = WorkingSet::default();
        for process in members {
            let Ok(map) = PageMap::open(&self.root, process) else { continue };
            if let Ok(ranges) = map.find_in(Mapping::may_be_paged, Page::is_own) {
                set.record(process.pid(), &ranges);
            }
        }
        set
    }

    pub(crate) fn read_swap(&self) -> Result<Swap, PagingError> {
        self.swap().map_err(|error| PagingError::Io { path: self.root.join("proc/swaps"), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_say_how_pages_are_read_again() {
        let words = |reads_by_advice, reads| {
            Means { advises: true, reads_by_advice, reads, reclaims: false }.to_string()
        };
        assert_eq!(words(true, true), "process_madvise and a second page-out");
        assert!(words(false, true).ends_with("; pages are read again through process_vm_readv"));
        assert!(words(false, false).ends_with("; pages are read again one fault at a time"));
        let means = |reads| Means { advises: true, reads_by_advice: false, reads, reclaims: false };
        assert!(means(true).prefetches() && !means(false).prefetches());
    }
}
