//! Free blocks inside slabs: first fit, neighbours merged. Knows numbers only, no memory.
//!
//! Invariant: blocks of one slab neither overlap nor touch.

use std::collections::BTreeMap;

/// Free blocks by slab and offset.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<(usize, usize), usize>);

impl Blocks {
    /// Adds a block, merged with its neighbours.
    pub(super) fn give(&mut self, slab: usize, offset: usize, size: usize) {
        let (mut start, mut end) = (offset, offset + size);
        if let Some((&(s, o), &len)) = self.0.range(..(slab, offset)).next_back()
            && s == slab
            && o + len == start
        {
            self.0.remove(&(s, o));
            start = o;
        }
        if let Some(len) = self.0.remove(&(slab, end)) {
            end += len;
        }
        self.0.insert((slab, start), end - start);
    }

    /// Takes the first place of this size: its slab and offset.
    pub(super) fn take(&mut self, size: usize) -> Option<(usize, usize)> {
        let (&(slab, offset), &len) = self.0.iter().find(|(_, len)| **len >= size)?;
        self.0.remove(&(slab, offset));
        if len > size {
            self.0.insert((slab, offset + size), len - size);
        }
        Some((slab, offset))
    }

    /// Takes the free blocks right below `end`; returns where the lowest of them begins.
    pub(super) fn take_all_ending_at(&mut self, slab: usize, mut end: usize) -> usize {
        while let Some((&(s, offset), &len)) = self.0.range(..(slab, end)).next_back()
            && s == slab
            && offset + len == end
        {
            self.0.remove(&(slab, offset));
            end = offset;
        }
        end
    }

    /// Slab, offset and size of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.0.iter().map(|(&(slab, offset), &len)| (slab, offset, len))
    }
}
