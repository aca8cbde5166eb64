//! Anonymous pages of processes are pushed to swap, and the bytes that are free are proven.
//!
//! The kernel's answer to advice proves nothing, and neither does the fall of PSS: pages on their way to a disk stay in the
//! swap cache. Proof is the fall of the cgroup's usage, less what zram took; without a cgroup, the second page-out.

use std::io;
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::MemoryCgroup;

use crate::advice::{Advice, MAX_RANGES, advise};
use crate::clock::Limit;
use crate::completed::Completed;
use crate::error::{PagingError, of_process};
use crate::held::Held;
use crate::mappings::Mapping;
use crate::pagemap::{Page, PageMap, has_ended};
use crate::pager::Pager;
use crate::process::Process;
use crate::range::{Range, in_pieces, total, union};
use crate::swap::{Swap, swapped_out};
use crate::working_set::WorkingSet;
use crate::{reclaim, second_pass};

/// Paged out at once, so that the limit of time is looked at in between, and it shows which pages are written.
const PIECE: u64 = 512 << 10;
/// The room in swap is looked at after so many bytes.
const ROOM_CHECKED_EVERY: u64 = 16 << 20;
/// Swap with less room than this is full.
const ROOM: ByteSize = ByteSize::mib(1);

/// Bytes that a page-out left in RAM, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Locked by the program (`mlock`).
    pub locked: ByteSize,
    /// Shared with a process that was forked, which the kernel does not page out.
    pub shared: ByteSize,
    /// Of shared mappings, which are not paged out.
    pub mapped_shared: ByteSize,
    /// Of mappings of terabytes, of which little is there.
    pub sparse: ByteSize,
    /// Touched by the program meanwhile, refused by the kernel, or not reached.
    pub kept: ByteSize,
    /// Processes that this one may not trace, which are left as they are.
    pub untraceable: usize,
}

/// The report of a page-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagedOut {
    /// Memory of the processes before.
    pub before: Held,
    /// Their memory now.
    pub after: Held,
    /// RAM that is proven to be free: by the usage of the cgroup, less what zram took; without a cgroup, by a second
    /// page-out.
    pub freed: ByteSize,
    /// Bytes of the pages that could be paged out when it began.
    pub expected: ByteSize,
    /// Bytes written to disks at most: other programs that swapped meanwhile may have written some of them.
    pub written: ByteSize,
    /// Bytes that stayed in RAM, by reason.
    pub left: Left,
    /// How far it came.
    pub completed: Completed,
    /// How long it took.
    pub took: Duration,
}

/// A park that moves less than this share of a program is none.
const WORTHWHILE: f64 = 0.05;

impl PagedOut {
    /// Whether hardly anything is free, and hardly anything is in swap, from now or from before.
    fn is_nothing(&self) -> bool {
        let least = self.before.ram().scaled(WORTHWHILE);
        self.freed < least && self.after.swap < least
    }
}

/// The part of a page-out that is about one process.
struct Part<'a> {
    process: &'a Process,
    map: PageMap,
    /// Pages that can be paged out.
    own: Vec<Range>,
    /// Pages that were read ahead, and that the program has not touched.
    untouched: Vec<Range>,
    /// Those of `own` in pieces of which the first pass wrote pages.
    written: Vec<Range>,
}

/// The state of a machine before a page-out, which proofs compare with.
struct Start {
    swap: Swap,
    held: Held,
    usage: Option<ByteSize>,
    written: Option<ByteSize>,
}

impl Pager {
    /// Pushes the pages of all members of a component to swap, and frees them. The processes run on. `cgroup` is their own
    /// one, if they have one; `prefetched` the report of the page-in since the last page-out. Stops when swap is full or
    /// the time is over; one call of the kernel takes tens of milliseconds on a disk that answers.
    ///
    /// # Errors
    /// When nothing could be paged out, or hardly anything of what the processes hold. Less than expected is no error: the
    /// report says what is held.
    pub fn page_out(
        &self,
        members: &[Process],
        cgroup: Option<&MemoryCgroup>,
        prefetched: Option<&WorkingSet>,
        limit: Duration,
    ) -> Result<PagedOut, PagingError> {
        let limit = self.limit(limit);
        if self.means.needs_cgroup() && cgroup.is_none() {
            return Err(PagingError::NeedsCgroup);
        }
        let start = self.start(members, cgroup)?;
        self.check_room(&start.swap, cgroup)?;
        let (mut parts, untraceable) = self.parts(members, prefetched)?;
        forget_evicted(&mut parts, cgroup.map(|_| start.held.cached));
        let expected: u64 = parts.iter().map(|part| total(&part.own)).sum();
        let mut unproven = 0;
        let mut was_freed = false;
        if self.means.advises {
            let first = self.first_pass(&mut parts, cgroup, &limit);
            let unmapped = expected - Self::kept(&parts);
            if let Err(error) = first
                && unmapped == 0
            {
                return Err(error);
            }
            let is_on_disk = is_written_to_disk(&start.swap, cgroup, ByteSize(unmapped));
            let passed = self.second_pass(&parts, is_on_disk, &limit);
            was_freed = !is_on_disk || passed.is_some();
            let written: u64 = parts.iter().map(|part| total(&part.written)).sum();
            let passed = passed.unwrap_or(0);
            unproven = if is_on_disk { written.min(unmapped).saturating_sub(passed) } else { 0 };
        }
        if let Some(cgroup) = cgroup.filter(|c| !was_freed || !reclaim::drops_files(c)) {
            self.reclaim_rest(cgroup, ByteSize(expected), &limit)?;
        }
        let out = self.report(&start, &parts, members, cgroup, (expected, unproven), &limit)?;
        let out = PagedOut { left: Left { untraceable, ..out.left }, ..out };
        match out.completed {
            Completed::Whole if out.is_nothing() => Err(PagingError::NothingFreed {
                held: out.after.ram(),
                freed: out.freed,
                locked: out.left.locked,
                shared: out.left.shared,
                mapped_shared: out.left.mapped_shared,
            }),
            _ => Ok(out),
        }
    }

    fn start(
        &self,
        members: &[Process],
        cgroup: Option<&MemoryCgroup>,
    ) -> Result<Start, PagingError> {
        let swap = self.read_swap()?;
        Ok(Start {
            held: Held::read(&self.root, members, cgroup, &swap),
            usage: cgroup.and_then(|c| c.usage().ok()),
            written: swap.written_to_disks(&self.root),
            swap,
        })
    }

    fn check_room(&self, swap: &Swap, cgroup: Option<&MemoryCgroup>) -> Result<(), PagingError> {
        if let Some(cgroup) = cgroup.filter(|c| reclaim::swap_room(c).is_some_and(|r| r < ROOM)) {
            return Err(PagingError::CgroupSwapFull { path: cgroup.dir().to_owned() });
        }
        if swap.free < ROOM {
            return Err(PagingError::SwapFull { free: swap.free, total: swap.total });
        }
        Ok(())
    }

    fn parts<'a>(
        &self,
        members: &'a [Process],
        prefetched: Option<&WorkingSet>,
    ) -> Result<(Vec<Part<'a>>, usize), PagingError> {
        let (mut parts, mut untraceable) = (Vec::new(), Vec::new());
        for process in members {
            match self.part(process, prefetched) {
                Ok(part) => parts.push(part),
                Err(error) if has_ended(&error) => {}
                Err(error) => match of_process(process, error) {
                    refused @ PagingError::NotPermitted { .. } => untraceable.push(refused),
                    other => return Err(other),
                },
            }
        }
        let n = untraceable.len();
        match untraceable.into_iter().next() {
            _ if !parts.is_empty() => Ok((parts, n)),
            Some(refused) => Err(refused),
            None => Err(PagingError::Ended),
        }
    }

    fn part<'a>(
        &self,
        process: &'a Process,
        prefetched: Option<&WorkingSet>,
    ) -> io::Result<Part<'a>> {
        let map = PageMap::open(&self.root, process)?;
        let own = map.find_in(Mapping::may_be_paged, Page::is_own)?;
        let earlier = prefetched.map_or_else(Vec::new, |set| union(set.ranges(process.pid())));
        let untouched = map.find(&earlier, Page::is_swapped)?;
        Ok(Part { process, map, own, untouched, written: Vec::new() })
    }

    /// Whether there is room for another piece.
    fn has_room(&self, cgroup: Option<&MemoryCgroup>) -> bool {
        let is_room = |room: ByteSize| room >= ROOM;
        self.swap().is_ok_and(|swap| is_room(swap.free))
            && cgroup.and_then(reclaim::swap_room).is_none_or(is_room)
    }

    /// Records the pieces of which the kernel has written pages. The others had not changed since they were read from swap,
    /// and are free at once.
    fn first_pass(
        &self,
        parts: &mut [Part<'_>],
        cgroup: Option<&MemoryCgroup>,
        limit: &Limit,
    ) -> Result<(), PagingError> {
        let mut swapped_out = swapped_out(&self.root);
        let mut bytes = 0;
        let mut first_error = None;
        for part in parts {
            let (process, is_written) = (part.process, &mut part.written);
            let mut failed = None;
            in_pieces(&part.own, PIECE, MAX_RANGES, |piece| {
                failed = advise(process, piece, Advice::PageOut).err();
                let now = self::swapped_out(&self.root);
                if now.is_none() || now != swapped_out {
                    is_written.extend_from_slice(piece);
                }
                swapped_out = now;
                bytes += total(piece);
                let is_due = bytes >= ROOM_CHECKED_EVERY;
                if is_due {
                    bytes = 0;
                }
                failed.is_none() && !limit.is_over() && (!is_due || self.has_room(cgroup))
            });
            // Another process may be paged all the same.
            if let Some(error) = failed.filter(|error| !has_ended(error)) {
                first_error.get_or_insert_with(|| of_process(process, error));
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Frees pages that are only in the swap cache: those that were read ahead, and those on their way to a disk, of which it
    /// returns the bytes that it went through. A kernel whose swap is half full
    /// forgets on reading that a page is in swap, and would write it again: then it is left to the cgroup (none).
    fn second_pass(&self, parts: &[Part<'_>], is_on_disk: bool, limit: &Limit) -> Option<u64> {
        let is_half_full = |swap: &Swap| swap.free.0 <= swap.total.0 / 2;
        if !self.means.reads || self.swap().as_ref().map_or(true, is_half_full) {
            return None;
        }
        let free = |part: &Part<'_>, ranges: &[Range]| {
            second_pass::free(part.process, &part.map, ranges, limit).unwrap_or(0)
        };
        let mut passed = 0;
        for part in parts {
            // They are no proof of pages that were written.
            free(part, &part.untouched);
            if is_on_disk {
                passed += free(part, &union(part.written.clone()));
            }
        }
        Some(passed)
    }

    /// The rest is reclaimed from the cgroup: all pages where advice is not permitted, else the swap cache if much of it is
    /// still there.
    fn reclaim_rest(
        &self,
        cgroup: &MemoryCgroup,
        expected: ByteSize,
        limit: &Limit,
    ) -> Result<(), PagingError> {
        if !self.means.reclaims || limit.is_over() {
            return Ok(());
        }
        let cached = cgroup.unmapped_swap_cache().unwrap_or_default();
        let (bytes, enough) =
            if self.means.advises { (cached, expected.scaled(0.1)) } else { (expected, ROOM) };
        if bytes <= enough {
            return Ok(());
        }
        match reclaim::reclaim(cgroup, bytes, limit) {
            Err(error) if !self.means.advises => {
                Err(PagingError::Io { path: cgroup.dir().to_owned(), error })
            }
            _ => Ok(()),
        }
    }

    /// Bytes that could be paged out and are still mapped.
    fn kept(parts: &[Part<'_>]) -> u64 {
        let kept = |part: &Part<'_>| {
            part.map.find(&part.own, Page::is_own).map_or(0, |ranges| total(&ranges))
        };
        parts.iter().map(kept).sum()
    }

    fn report(
        &self,
        start: &Start,
        parts: &[Part<'_>],
        members: &[Process],
        cgroup: Option<&MemoryCgroup>,
        (expected, unproven): (u64, u64),
        limit: &Limit,
    ) -> Result<PagedOut, PagingError> {
        let swap = self.read_swap()?;
        let mut after = Held::read(&self.root, members, cgroup, &swap);
        let left = left(parts, after.mapped);
        let is_full = swap.free < ROOM || !self.has_room(cgroup);
        let completed = match left.kept.0 > expected / 20 {
            true if is_full => Completed::SwapFull,
            _ if limit.is_over() => Completed::OutOfTime,
            _ => Completed::Whole,
        };
        if completed == Completed::SwapFull && left.kept.0 >= expected {
            return Err(PagingError::SwapFull { free: swap.free, total: swap.total });
        }
        let usage = cgroup.and_then(|c| c.usage().ok());
        let fall = match (start.usage, usage) {
            (Some(before), Some(now)) => before - now,
            _ => {
                after.cached = ByteSize(unproven);
                start.held.mapped - after.mapped - after.cached
            }
        };
        let freed = fall - (after.zram - start.held.zram);
        // Each page is written once, and again if the program changes it meanwhile.
        let most = ByteSize(expected.saturating_mul(2));
        let written = match (start.written, swap.written_to_disks(&self.root)) {
            _ if !swap.is_disk() => ByteSize::ZERO,
            (Some(before), Some(now)) => most.min(now - before),
            _ => most,
        };
        Ok(PagedOut {
            before: start.held,
            after,
            freed,
            expected: ByteSize(expected),
            written,
            left,
            completed,
            took: limit.took(),
        })
    }
}

/// Whether pages that were paged out are on their way to a disk. With both a disk and zram the kernel fills the device with
/// the higher priority first; pages in zram leave nothing in the swap cache, and reading them would compress them twice.
fn is_written_to_disk(swap: &Swap, cgroup: Option<&MemoryCgroup>, unmapped: ByteSize) -> bool {
    let cached = cgroup.and_then(|c| c.unmapped_swap_cache().ok());
    match cached {
        Some(cached) if swap.is_mixed() => cached > unmapped.scaled(0.05).max(ROOM),
        None if swap.is_mixed() => swap.used_on_disks() > ByteSize::ZERO,
        _ => swap.is_disk(),
    }
}

/// Prefetched pages that the kernel has evicted again would be read from the disk only to be freed. The swap cache of the
/// cgroup shows whether most of them are still there.
fn forget_evicted(parts: &mut [Part<'_>], cached: Option<ByteSize>) {
    let untouched: u64 = parts.iter().map(|part| total(&part.untouched)).sum();
    if cached.is_some_and(|cached| cached.0 < untouched / 2) {
        parts.iter_mut().for_each(|part| part.untouched.clear());
    }
}

/// `mapped` is the memory of all processes, in which shared pages count once.
fn left(parts: &[Part<'_>], mapped: ByteSize) -> Left {
    let mut left = Left { kept: ByteSize(Pager::kept(parts)), ..Left::default() };
    let mut most_of_one = ByteSize::ZERO;
    for part in parts {
        let mappings = &part.map.mappings;
        left.locked += ByteSize(mappings.iter().map(Mapping::locked).sum());
        left.sparse += ByteSize(mappings.iter().map(Mapping::sparse).sum());
        left.mapped_shared += ByteSize(mappings.iter().map(Mapping::shared_memory).sum());
        let shared =
            part.map.find_in(Mapping::may_be_paged, |page| page.is_anonymous() && !page.is_own());
        // The page of zeroes looks like a shared one, but is not counted as anonymous memory.
        let anonymous = mappings.iter().filter(|m| m.may_be_paged()).map(|m| m.anonymous).sum();
        let most = ByteSize(anonymous) - ByteSize(total(&part.own));
        let shared = most.min(ByteSize(shared.map_or(0, |ranges| total(&ranges))));
        most_of_one = most_of_one.max(shared);
        left.shared += shared;
    }
    // Each process has counted what it shares with others of them.
    left.shared = left.shared.min(mapped.max(most_of_one));
    left
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use majordomo_memory::CgroupVersion;

    use super::*;
    use crate::pager::Means;

    /// A machine with 1 GiB of swap, of which so much is in use.
    fn pager(name: &str, used_kib: u64, advises: bool) -> (Pager, PathBuf) {
        let root =
            std::env::temp_dir().join(format!("majordomo-page-out-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("proc")).unwrap();
        let swaps = format!("Filename Type Size Used Priority\n/s file 1048576 {used_kib} -2\n");
        fs::write(root.join("proc/swaps"), swaps).unwrap();
        fs::write(root.join("proc/meminfo"), "MemTotal: 1 kB\n").unwrap();
        let means = Means { advises, reads_by_advice: advises, reads: true, reclaims: !advises };
        (Pager::new(&root, means), root)
    }

    #[test]
    fn page_out_without_room_or_means_is_refused_with_the_reason() {
        let refused = |pager: &Pager, cgroup: Option<&MemoryCgroup>| {
            let out = pager.page_out(&[], cgroup, None, Duration::from_secs(1));
            out.unwrap_err().to_string()
        };
        let (full, root) = pager("full", 1_048_000, true);
        assert!(refused(&full, None).contains("swap is full (576 KiB of 1 GiB free)"));

        let (limited, other) = pager("limited", 0, true);
        let cgroup = MemoryCgroup::at(CgroupVersion::V2, other.clone(), other.join("app"));
        fs::create_dir_all(cgroup.dir()).unwrap();
        fs::write(cgroup.dir().join("cgroup.procs"), "").unwrap();
        fs::write(cgroup.dir().join("memory.swap.max"), "0\n").unwrap();
        assert!(refused(&limited, Some(&cgroup)).contains("raise its memory.swap.max"));
        fs::write(cgroup.dir().join("memory.swap.max"), "max\n").unwrap();
        assert!(refused(&limited, Some(&cgroup)).contains("have ended"));

        let (unprivileged, third) = pager("unprivileged", 0, false);
        assert!(refused(&unprivileged, None).contains("no cgroup of their own"));
        for root in [root, other, third] {
            let _ = fs::remove_dir_all(root);
        }
    }

    #[test]
    fn only_pages_on_their_way_to_a_disk_take_the_second_pass() {
        let dir =
            std::env::temp_dir().join(format!("majordomo-second-pass-{}", std::process::id()));
        let cgroup = MemoryCgroup::at(CgroupVersion::V2, dir.clone(), dir.join("app"));
        fs::create_dir_all(cgroup.dir()).unwrap();
        fs::write(cgroup.dir().join("memory.current"), (100 << 20).to_string()).unwrap();
        let cached = |mib: u64| {
            fs::write(cgroup.dir().join("memory.stat"), format!("swapcached {}\n", mib << 20))
                .unwrap();
        };
        let swaps = |disk: &str, zram: &str| {
            fs::create_dir_all(dir.join("proc")).unwrap();
            let head = "Filename Type Size Used Priority";
            fs::write(dir.join("proc/swaps"), format!("{head}\n{disk}\n{zram}\n")).unwrap();
            fs::write(dir.join("proc/meminfo"), "MemTotal: 1 kB\n").unwrap();
            Swap::read(&dir).unwrap()
        };
        let (disk, zram) = ("/s file 1048576 8192 -2", "/dev/zram0 partition 1048576 8192 100");
        let unmapped = ByteSize::mib(64);
        cached(0);
        assert!(is_written_to_disk(&swaps(disk, ""), Some(&cgroup), unmapped));
        assert!(!is_written_to_disk(&swaps("", zram), Some(&cgroup), unmapped));
        assert!(!is_written_to_disk(&swaps(disk, zram), Some(&cgroup), unmapped));
        cached(20);
        assert!(is_written_to_disk(&swaps(disk, zram), Some(&cgroup), unmapped));
        assert!(is_written_to_disk(&swaps(disk, zram), None, unmapped));
        let unused = swaps("/s file 1048576 0 -2", zram);
        assert!(!is_written_to_disk(&unused, None, unmapped));
        let _ = fs::remove_dir_all(dir);
    }
}
