//! Pages that were read ahead and not touched are freed again.

use std::time::Duration;

use majordomo_core::ByteSize;

use crate::pagemap::PageMap;
use crate::pager::Pager;
use crate::process::Process;
use crate::range::union;
use crate::second_pass;
use crate::working_set::WorkingSet;

impl Pager {
    /// Frees the pages of a page-in that the processes have not touched since: they are in the swap cache, which is RAM that
    /// no process maps. Nothing is written. Returns the bytes; none where advice or reading is not permitted, or swap is so
    /// full that the kernel would write the pages again.
    pub fn release(
        &self,
        members: &[Process],
        prefetched: &WorkingSet,
        limit: Duration,
    ) -> ByteSize {
        let limit = self.limit(limit);
        let is_half_full = self.swap().map_or(true, |swap| swap.free.0 <= swap.total.0 / 2);
        if !self.means.reads || !self.means.advises || is_half_full {
            return ByteSize::ZERO;
        }
        let free = |process: &Process| {
            let map = PageMap::open(&self.root, process).ok()?;
            let pages = union(prefetched.ranges(process.pid()));
            second_pass::free(process, &map, &pages, &limit).ok()
        };
        ByteSize(members.iter().filter_map(free).sum())
    }
}
