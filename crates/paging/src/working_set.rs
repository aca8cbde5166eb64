//! The pages that a program touched after earlier wakes: what to read first next time.
//!
//! A page that was paged out and is mapped again was touched, unless a wake mapped it; a page that was only read ahead is
//! not mapped. So the record after a wake that maps nothing is exact, and needs neither soft-dirty bits nor idle page
//! tracking, which many kernels lack.

use std::collections::BTreeMap;

use majordomo_core::ByteSize;

use crate::range::Range;

/// A page that was touched after none of so many recorded wakes is forgotten.
const FORGOTTEN_AFTER: u64 = 4;

const AGE_BITS: u32 = 4;
const LEN_BITS: u32 = 16;
const MAX_LEN: u64 = (1 << LEN_BITS) - 1;

/// Pages of processes, with the number of recorded wakes since each was touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkingSet {
    processes: BTreeMap<u32, Box<[Span]>>,
}

/// Neighbouring pages of one age in eight bytes: number of the first page, number of pages, age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(u64);

impl Span {
    fn new(first: u64, len: u64, age: u64) -> Self {
        Self(first << (LEN_BITS + AGE_BITS) | len << AGE_BITS | age)
    }

    fn first(self) -> u64 {
        self.0 >> (LEN_BITS + AGE_BITS)
    }

    fn len(self) -> u64 {
        self.0 >> AGE_BITS & MAX_LEN
    }

    fn age(self) -> u64 {
        self.0 & ((1 << AGE_BITS) - 1)
    }

    fn range(self) -> Range {
        Range::new(self.first(), self.first() + self.len())
    }
}

/// Ranges of pages of one age as spans, appended to `out`.
fn pack(ranges: &[Range], age: u64, out: &mut Vec<Span>) {
    for range in ranges {
        let mut first = range.start;
        while first < range.end {
            let len = (range.end - first).min(MAX_LEN);
            out.push(Span::new(first, len, age));
            first += len;
        }
    }
}

fn page() -> u64 {
    rustix::param::page_size() as u64
}

impl WorkingSet {
    /// Records the touched pages of a process, which may be none.
    pub(crate) fn record(&mut self, pid: u32, touched: &[Range]) {
        let page = page();
        let pages: Vec<_> =
            touched.iter().map(|r| Range::new(r.start / page, r.end / page)).collect();
        let mut spans = Vec::new();
        pack(&pages, 0, &mut spans);
        self.processes.insert(pid, spans.into());
    }

    /// Whether it has no page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.values().all(|spans| spans.is_empty())
    }

    /// Bytes of its pages.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        let pages: u64 = self.processes.values().flatten().map(|span| span.len()).sum();
        ByteSize(pages * page())
    }

    /// Memory that the set itself takes, about.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        let spans = self.processes.values().map(|spans| size_of_val::<[Span]>(spans) as u64);
        ByteSize(spans.sum::<u64>() + (self.processes.len() * 64) as u64)
    }

    /// Adds the pages that were touched after the last wake. Those become the first to be read; others age by one wake,
    /// and are forgotten after four without a touch. Processes that `latest` does not name have ended, and are forgotten.
    pub fn merge(&mut self, latest: Self) {
        let mut earlier = std::mem::take(&mut self.processes);
        self.processes = latest.processes;
        for (pid, spans) in &mut self.processes {
            let Some(old) = earlier.remove(pid) else { continue };
            let new: Vec<_> = spans.iter().map(|span| span.range()).collect();
            let new = crate::range::union(new);
            let mut merged = spans.to_vec();
            for span in old.iter().filter(|span| span.age() + 1 < FORGOTTEN_AFTER) {
                pack(&without(span.range(), &new), span.age() + 1, &mut merged);
            }
            merged.sort_unstable_by_key(|span| span.first());
            *spans = merged.into();
        }
    }

    /// Adds the pages that were touched after a wake that mapped the known ones: those that it does not have become the first
    /// to be read, and all others keep their age, since a mapped page does not show whether it was touched. Processes that `latest` does
    /// not name have ended, and are forgotten.
    pub fn extend(&mut self, latest: Self) {
        let mut known = std::mem::take(&mut self.processes);
        self.processes = latest.processes;
        for (pid, spans) in &mut self.processes {
            let Some(old) = known.remove(pid) else { continue };
            let ranges: Vec<_> = old.iter().map(|span| span.range()).collect();
            let ranges = crate::range::union(ranges);
            let mut all = old.into_vec();
            for span in spans.iter() {
                pack(&without(span.range(), &ranges), 0, &mut all);
            }
            all.sort_unstable_by_key(|span| span.first());
            *spans = all.into();
        }
    }

    /// The addresses of a process to read, those that were touched last first. Ranges of one age are sorted.
    pub(crate) fn ranges(&self, pid: u32) -> Vec<Range> {
        let (page, mut out) = (page(), Vec::new());
        let spans = self.processes.get(&pid).map_or(&[][..], |spans| spans);
        for age in 0..FORGOTTEN_AFTER {
            let pages: Vec<_> =
                spans.iter().filter(|s| s.age() == age).map(|s| s.range()).collect();
            let pages = crate::range::union(pages);
            out.extend(pages.iter().map(|r| Range::new(r.start * page, r.end * page)));
        }
        out
    }
}

/// The parts of a range outside of others, which are sorted and free of overlaps.
fn without(range: Range, others: &[Range]) -> Vec<Range> {
    let (mut out, mut start) = (Vec::new(), range.start);
    let from = others.partition_point(|other| other.end <= range.start);
    for other in others.iter().skip(from).take_while(|other| other.start < range.end) {
        if start < other.start {
            out.push(Range::new(start, other.start));
        }
        start = start.max(other.end);
    }
    if start < range.end {
        out.push(Range::new(start, range.end));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn touched(pages: &[u64]) -> WorkingSet {
        let page = page();
        let ranges = pages.iter().map(|p| Range::new(p * page, (p + 1) * page)).collect();
        let mut set = WorkingSet::default();
        set.record(7, &crate::range::union(ranges));
        set
    }

    fn pages_by_age(set: &WorkingSet) -> BTreeMap<u64, u64> {
        let spans = set.processes.get(&7).map_or(&[][..], |spans| spans);
        spans.iter().flat_map(|s| (s.first()..s.range().end).map(|p| (p, s.age()))).collect()
    }

    proptest! {
        #[test]
        fn page_is_kept_with_the_wakes_since_its_last_touch(
            wakes in prop::collection::vec(prop::collection::btree_set(0_u64..60, 0..40), 1..8),
        ) {
            let mut set = WorkingSet::default();
            let mut ages: BTreeMap<u64, u64> = BTreeMap::new();
            for wake in &wakes {
                ages.values_mut().for_each(|age| *age += 1);
                ages.extend(wake.iter().map(|page| (*page, 0)));
                ages.retain(|_, age| *age < FORGOTTEN_AFTER);
                set.merge(touched(&wake.iter().copied().collect::<Vec<_>>()));
                prop_assert_eq!(&pages_by_age(&set), &ages);
                prop_assert_eq!(set.bytes(), ByteSize(ages.len() as u64 * page()));
                prop_assert_eq!(set.is_empty(), ages.is_empty());
            }
        }
    }

    #[test]
    fn pages_that_a_wake_mapped_keep_their_age() {
        let mut set = touched(&[1, 2, 9]);
        set.merge(touched(&[2]));
        set.extend(touched(&[1, 2, 9, 10]));
        assert_eq!(pages_by_age(&set), BTreeMap::from([(1, 1), (2, 0), (9, 1), (10, 0)]));
        let mut latest = WorkingSet::default();
        latest.record(8, &[Range::new(0, page())]);
        set.extend(latest);
        assert_eq!(set.ranges(7), [], "the process has ended");
        assert_eq!(set.bytes(), ByteSize(page()));
    }

    #[test]
    fn pages_touched_last_are_read_first() {
        let mut set = touched(&[1, 2, 9]);
        set.merge(touched(&[2, 3, 30]));
        let starts: Vec<_> = set.ranges(7).iter().map(|r| r.start / page()).collect();
        assert_eq!(starts, [2, 30, 1, 9]);
        assert_eq!(set.ranges(8), []);
    }

    #[test]
    fn process_that_is_not_recorded_any_more_is_forgotten() {
        let mut set = touched(&[1]);
        let mut latest = WorkingSet::default();
        latest.record(8, &[Range::new(0, page())]);
        set.merge(latest);
        assert_eq!(set.ranges(7), []);
        assert_eq!(set.bytes(), ByteSize(page()));
    }

    #[test]
    fn long_range_and_high_address_survive() {
        let page = page();
        let range = Range::new(0x7fff_0000_0000, 0x7fff_0000_0000 + 200_000 * page);
        let mut set = WorkingSet::default();
        set.record(7, &[range]);
        set.merge(set.clone());
        assert_eq!(set.ranges(7), [range]);
        assert!(set.size() < ByteSize(200));
    }
}
