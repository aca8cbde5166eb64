//! The memory of components as their memory group counts it, alike for every policy.
//!
//! RAM = usage of the group with swap cache and the kernel's memory for the processes, and what zram holds of them, without
//! page cache that no process has mapped and without the manager's own memory. PSS sees neither swap cache nor zram.

use serde::{Deserialize, Serialize};

use super::processes::Memory;
use crate::short::{GroupUsage, Zram};

/// The memory of components as their group counts it; sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupSample {
    /// Everything but droppable page cache and the manager's own memory, with `zram`.
    pub(super) ram: u64,
    /// The part of it that zram holds.
    pub(super) zram: u64,
    pub(super) swap_cache: u64,
    pub(super) droppable: u64,
}

impl GroupSample {
    pub(super) fn new(usage: GroupUsage, memory: &Memory, zram: Zram) -> Self {
        let zram = zram.held_for(memory.swapped);
        Self {
            ram: usage.held().saturating_sub(memory.own_anonymous) + zram,
            zram,
            swap_cache: usage.swap_cache,
            droppable: usage.droppable,
        }
    }
}

/// Memory of components as their group counts it, in bytes: with swap cache, the kernel's memory for them and what zram holds
/// of them, without page cache that no process has mapped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ram {
    /// Over time.
    pub(super) mean: f64,
    pub(super) peak: u64,
    /// The part of the mean that zram holds.
    pub(super) zram_mean: f64,
    /// Droppable page cache, which is not in the mean.
    pub(super) cache_mean: f64,
    /// Proportional size of what is in swap.
    pub(super) swapped_mean: f64,
    /// Bytes that the machine wrote to swap meanwhile.
    pub(super) written: u64,
    /// Processes that the kernel killed for want of memory.
    pub(super) n_killed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_group_has_swap_cache_and_zram_and_not_the_manager() {
        let usage = GroupUsage { usage: 1_000, droppable: 300, swap_cache: 90 };
        let memory = Memory { swapped: 500, own_anonymous: 60, ..Memory::default() };
        let group = GroupSample::new(usage, &memory, Zram::default());
        assert_eq!(group, GroupSample { ram: 640, zram: 0, swap_cache: 90, droppable: 300 });
        let zram = Zram::new(1_000, 400);
        let group = GroupSample::new(usage, &memory, zram);
        assert_eq!((group.ram, group.zram), (840, 200));
    }
}
