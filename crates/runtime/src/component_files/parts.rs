//! Parts of a file: those that processes touched, in blocks.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::mapping::Mapping;

/// The kernel maps cached pages around a fault in blocks of this size.
const BLOCK: u64 = 64 << 10;
/// Parts with fewer blocks between them are read as one.
const GAP: u64 = 2;
/// Bytes of an entry of `/proc/PID/pagemap`, one for each page (proc_pid_pagemap(5)).
const ENTRY: usize = 8;
/// Entries that are read at a time.
const N_ENTRIES: usize = 8192;
/// Its page is in memory, or in swap.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// Ranges of blocks, ascending and apart. The last block of a file may be shorter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts(Vec<Range<u64>>);

/// A file that a load reads parts of.
#[derive(Clone, Debug)]
pub(crate) struct NeededFile {
    pub(super) path: PathBuf,
    pub(super) parts: Parts,
}

impl Parts {
    /// All of a file, however long it is.
    pub(super) fn whole() -> Self {
        Self(std::iter::once(0..u64::MAX / BLOCK).collect())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_by_key(|part| part.start);
        let mut apart: Vec<Range<u64>> = Vec::new();
        for part in std::mem::take(&mut self.0) {
            match apart.last_mut() {
                Some(last) if part.start <= last.end.saturating_add(GAP) => {
                    last.end = last.end.max(part.end);
                }
                _ => apart.push(part),
            }
        }
        self.0 = apart;
    }

    /// The ranges of bytes of a file of this length.
    pub(super) fn ranges(&self, len: u64) -> impl Iterator<Item = Range<u64>> {
        let bytes = move |part: &Range<u64>| {
            (part.start.saturating_mul(BLOCK)).min(len)..(part.end.saturating_mul(BLOCK)).min(len)
        };
        self.0.iter().map(bytes).filter(|range| !range.is_empty())
    }

    pub(super) fn bytes(&self, len: u64) -> u64 {
        self.ranges(len).map(|range| range.end - range.start).sum()
    }

    /// None for a text that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let part = |text: &str| {
            let (start, end) = text.split_once('-')?;
            let part: Range<u64> = start.parse().ok()?..end.parse().ok()?;
            (!part.is_empty()).then_some(part)
        };
        let mut parts = Self::default();
        for text in text.split(',') {
            parts.add(Self(vec![part(text)?]));
        }
        Some(parts)
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{}-{}", part.start, part.end)?;
        }
        Ok(())
    }
}

/// The parts of a mapped file that a process has touched; none where the system does not say so.
pub(super) fn touched(pages: &File, mapping: &Mapping) -> Option<Parts> {
    let page = rustix::param::page_size() as u64;
    let (mut address, mut parts) = (mapping.addresses.start, Parts::default());
    let mut buffer = vec![0; N_ENTRIES * ENTRY];
    while address < mapping.addresses.end {
        let n = ((mapping.addresses.end - address) / page).clamp(1, N_ENTRIES as u64);
        let room = buffer.get_mut(..n as usize * ENTRY)?;
        let n_read = pages.read_at(room, address / page * ENTRY as u64).ok()?;
        let (entries, _) = room.get(..n_read)?.as_chunks::<ENTRY>();
        if entries.is_empty() {
            return None;
        }
        for entry in entries {
            if u64::from_ne_bytes(*entry) & (PRESENT | SWAPPED) != 0 {
                let block = (address - mapping.addresses.start + mapping.offset) / BLOCK;
                match parts.0.last_mut() {
                    Some(last) if block <= last.end => last.end = last.end.max(block + 1),
                    _ => parts.0.push(block..block + 1),
                }
            }
            address += page;
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        Parts::parse(text).unwrap()
    }

    #[test]
    fn parts_close_to_each_other_are_one() {
        let check = |text: &str, want: &str| assert_eq!(parts(text).to_string(), want, "{text}");
        check("7-9,0-1", "0-1,7-9");
        check("0-4,2-3,4-5", "0-5");
        check("0-1,3-4,7-8", "0-4,7-8");
        for bad in ["", "-", "1", "3-3", "4-2", "0-1,", "x-y", "/a"] {
            assert_eq!(Parts::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_end_with_the_file() {
        let len = 5 * BLOCK + 7;
        let ranges = |parts: &Parts| parts.ranges(len).collect::<Vec<_>>();
        assert_eq!(
            (ranges(&Parts::whole()).first(), Parts::whole().bytes(len)),
            (Some(&(0..len)), len)
        );
        assert_eq!(ranges(&parts("1-2,5-9,12-13")), [BLOCK..2 * BLOCK, 5 * BLOCK..len]);
        assert_eq!(parts("1-2,5-9").bytes(len), BLOCK + 7);
        assert!(Parts::default().is_none() && Parts::default().bytes(len) == 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_of_a_mapped_file_that_were_touched_are_its_parts() {
        let pages = File::open("/proc/self/pagemap").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let own = |m: &Mapping| m.path == program;
        let mut all = Parts::default();
        for mapping in maps.lines().filter_map(Mapping::parse).filter(own) {
            all.add(touched(&pages, &mapping).unwrap());
        }
        let len = program.metadata().unwrap().len();
        assert!((1..len).contains(&all.bytes(len)), "{all} of {len}");
    }
}
