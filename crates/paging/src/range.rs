//! Ranges of addresses of one process, and how they are cut into calls of bounded size.

/// Addresses from `start` up to `end`, both at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Range {
    pub(crate) fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    pub(crate) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The part inside of `other`; none when they do not meet.
    pub(crate) fn within(self, other: Self) -> Option<Self> {
        let both = Self::new(self.start.max(other.start), self.end.min(other.end));
        (both.start < both.end).then_some(both)
    }
}

/// Bytes of all of them.
pub(crate) fn total(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| range.len()).sum()
}

/// The address of each page.
pub(crate) fn pages(ranges: &[Range]) -> Vec<u64> {
    let page = rustix::param::page_size();
    ranges.iter().flat_map(|range| (range.start..range.end).step_by(page)).collect()
}

/// The parts of `ranges` that are inside of `other`. Both are sorted and free of overlaps.
pub(crate) fn common(ranges: &[Range], other: &[Range]) -> Vec<Range> {
    let mut out = Vec::new();
    let mut others = other.iter().peekable();
    for &range in ranges {
        while others.next_if(|o| o.end <= range.start).is_some() {}
        let mut rest = others.clone();
        while let Some(o) = rest.next_if(|o| o.start < range.end) {
            out.extend(range.within(*o));
        }
    }
    out
}

/// Sorts and joins ranges that overlap or touch.
pub(crate) fn union(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// Calls `each` with pieces of the ranges in order, of at most `bytes` and `n` ranges each, until it returns false.
pub(crate) fn in_pieces(
    ranges: &[Range],
    bytes: u64,
    n: usize,
    mut each: impl FnMut(&[Range]) -> bool,
) -> bool {
    let mut piece = Vec::new();
    let mut room = bytes;
    for &range in ranges {
        let mut rest = range;
        while rest.len() > 0 {
            let taken = rest.len().min(room);
            piece.push(Range::new(rest.start, rest.start + taken));
            rest.start += taken;
            room -= taken;
            if room == 0 || piece.len() == n {
                if !each(&piece) {
                    return false;
                }
                piece.clear();
                room = bytes;
            }
        }
    }
    piece.is_empty() || each(&piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(u64, u64)]) -> Vec<Range> {
        list.iter().map(|&(start, end)| Range::new(start, end)).collect()
    }

    #[test]
    fn common_parts_of_two_lists() {
        let check = |a: &[(u64, u64)], b: &[(u64, u64)], want: &[(u64, u64)]| {
            assert_eq!(common(&ranges(a), &ranges(b)), ranges(want));
            assert_eq!(common(&ranges(b), &ranges(a)), ranges(want));
        };
        check(&[(0, 10)], &[(2, 4), (6, 12)], &[(2, 4), (6, 10)]);
        check(&[(0, 4), (4, 8), (20, 30)], &[(2, 25)], &[(2, 4), (4, 8), (20, 25)]);
        check(&[(0, 4)], &[(4, 8)], &[]);
        check(&[], &[(4, 8)], &[]);
    }

    #[test]
    fn overlapping_and_adjacent_ranges_are_joined() {
        let joined = union(ranges(&[(8, 9), (0, 4), (4, 6), (2, 3), (20, 21)]));
        assert_eq!(joined, ranges(&[(0, 6), (8, 9), (20, 21)]));
    }

    #[test]
    fn pieces_are_bounded_in_bytes_and_number_and_lose_nothing() {
        let all = ranges(&[(0, 10), (20, 21), (30, 31), (40, 41), (50, 75)]);
        let mut pieces = Vec::new();
        assert!(in_pieces(&all, 8, 3, |piece| {
            assert!(total(piece) <= 8 && piece.len() <= 3 && !piece.is_empty());
            pieces.extend_from_slice(piece);
            true
        }));
        assert_eq!(union(pieces), all);
        let mut n = 0;
        assert!(!in_pieces(&all, 8, 3, |_| {
            n += 1;
            n < 2
        }));
        assert_eq!(n, 2, "nothing follows a piece that ended it");
    }
}
