//! Files that a process has mapped, as `/proc/PID/maps` lists them (proc_pid_maps(5)).

use std::ops::Range;
use std::path::PathBuf;

/// A mapped file, of a line of `maps`: address, access, offset, device, inode, path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) path: PathBuf,
    /// Writes to it change the file.
    pub(super) may_write: bool,
    pub(super) addresses: Range<u64>,
    /// The place in the file that the mapping begins at.
    pub(super) offset: u64,
}

impl Mapping {
    pub(super) fn parse(line: &str) -> Option<Self> {
        // A path may have blanks.
        let path = line.find('/').and_then(|at| line.get(at..))?.into();
        let mut words = line.split_ascii_whitespace();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = words.next()?.split_once('-')?;
        let (addresses, access) = (hex(start)?..hex(end)?, words.next()?);
        let offset = hex(words.next()?)?;
        let may_write = access.contains('w') && access.ends_with('s');
        Some(Self { path, may_write, addresses, offset })
    }
}
