//! Where each page of a process is: `/proc/PID/pagemap` (the kernel's `admin-guide/mm/pagemap.rst`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::mappings::{Mapping, parse};
use crate::process::Process;
use crate::range::Range;

/// Bytes of an entry of the file.
const ENTRY: usize = 8;
/// So many entries are read at once.
const N_ENTRIES: usize = 8192;

/// The state of one page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page(u64);

impl Page {
    /// It is mapped: since it was last paged out the process has touched it, or a page-in has mapped it.
    pub(crate) fn is_present(self) -> bool {
        self.0 >> 63 & 1 == 1
    }

    /// It is in swap, as far as the process is concerned: maybe in the swap cache as well.
    pub(crate) fn is_swapped(self) -> bool {
        self.0 >> 62 & 1 == 1
    }

    /// It is in memory and belongs to no file.
    pub(crate) fn is_anonymous(self) -> bool {
        self.is_present() && self.0 >> 61 & 1 == 0
    }

    /// It is anonymous, and no other process maps it. A page that a fork shares cannot be paged out.
    pub(crate) fn is_own(self) -> bool {
        self.is_anonymous() && self.0 >> 56 & 1 == 1
    }
}

/// A look at the memory of one process.
#[derive(Debug)]
pub(crate) struct PageMap {
    file: File,
    page: u64,
    /// Those with pages in memory or in swap that may be paged.
    pub(crate) mappings: Vec<Mapping>,
}

impl PageMap {
    /// # Errors
    /// When the process has ended or may not be looked at.
    pub(crate) fn open(root: &Path, process: &Process) -> io::Result<Self> {
        let dir = root.join(format!("proc/{}", process.pid()));
        let smaps = std::fs::read_to_string(dir.join("smaps"))?;
        let file = File::open(dir.join("pagemap"))?;
        // The files were those of this process if it has not ended since.
        if process.has_ended() {
            return Err(ended());
        }
        let mappings = parse(&smaps);
        Ok(Self { file, page: rustix::param::page_size() as u64, mappings })
    }

    /// Bytes of a page.
    pub(crate) fn page(&self) -> u64 {
        self.page
    }

    /// The pages of some ranges in the requested state, as ranges. Ranges that are not mapped any more have none.
    pub(crate) fn find(
        &self,
        ranges: &[Range],
        is_requested: impl Fn(Page) -> bool,
    ) -> io::Result<Vec<Range>> {
        let mut out: Vec<Range> = Vec::new();
        let mut buffer = vec![0_u8; N_ENTRIES * ENTRY];
        for range in ranges {
            let mut address = range.start;
            while address < range.end {
                let n = (((range.end - address) / self.page) as usize).clamp(1, N_ENTRIES);
                let Some(room) = buffer.get_mut(..n * ENTRY) else { break };
                let read = self.file.read_at(room, address / self.page * ENTRY as u64)?;
                let (entries, _) = room.get(..read).unwrap_or_default().as_chunks::<ENTRY>();
                for entry in entries {
                    if is_requested(Page(u64::from_ne_bytes(*entry))) {
                        match out.last_mut() {
                            Some(last) if last.end == address => last.end += self.page,
                            _ => out.push(Range::new(address, address + self.page)),
                        }
                    }
                    address += self.page;
                }
                if entries.is_empty() {
                    break;
                }
            }
        }
        Ok(out)
    }

    /// The pages in the requested state of all mappings that fit.
    pub(crate) fn find_in(
        &self,
        mappings: impl Fn(&Mapping) -> bool,
        is_requested: impl Fn(Page) -> bool,
    ) -> io::Result<Vec<Range>> {
        let ranges: Vec<_> =
            self.mappings.iter().filter(|m| mappings(m)).map(|m| m.range).collect();
        self.find(&ranges, is_requested)
    }
}

/// The error of a process that is not there any more.
pub(crate) fn ended() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())
}

/// Whether an error says that the process has ended.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}
