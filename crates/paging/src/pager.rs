//! The means of this machine, and the memory that processes hold.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use majordomo_memory::MemoryCgroup;

use crate::error::PagingError;
use crate::held::Held;
use crate::mappings::Mapping;
use crate::pagemap::{Page, PageMap};
use crate::process::Process;
use crate::swap::Swap;
use crate::working_set::WorkingSet;

/// How programs are paged out and in on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Advice about the memory of other processes is permitted.
    pub(crate) advises: bool,
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
        self.advises || self.reads
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.advises, self.reads, self.reclaims) {
            (true, true, true) => "process_madvise, a second page-out, and reclaim of cgroups",
            (true, true, false) => "process_madvise and a second page-out",
            (true, false, true) => "process_madvise and reclaim of cgroups",
            (true, false, false) => "process_madvise",
            (false, true, _) => "reclaim of cgroups; pages are read again through process_vm_readv",
            (false, false, _) => "reclaim of cgroups; pages are read again one fault at a time",
        })
    }
}

/// Pages programs out and in, by means that a trial has found ([`try_paging`](crate::try_paging)).
#[derive(Clone, Debug)]
pub struct Pager {
    pub(crate) root: PathBuf,
    pub(crate) means: Means,
}

impl Pager {
    pub(crate) fn new(root: &Path, means: Means) -> Self {
        Self { root: root.to_owned(), means }
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

    /// The memory that the processes hold now; with their own cgroup, its swap cache as well. Blocks for about a millisecond per
    /// 100 MiB, and does not touch the memory of the processes.
    #[must_use]
    pub fn held(&self, members: &[Process], cgroup: Option<&MemoryCgroup>) -> Held {
        let swap = self.swap().unwrap_or_default();
        Held::read(&self.root, members, cgroup, &swap)
    }

    /// The pages that the processes have touched since they were last paged out. Without a page-out before it, that is
    /// all of their memory. Read it before the next page-out, and [`WorkingSet::merge`] it only if the program was used:
    /// a wake without a use teaches nothing. Where [`Means`] has no advice, prefetched pages count as touched.
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
