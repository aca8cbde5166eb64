//! The record of a program's parks and wakes, for the next ones and for measuring.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use majordomo_core::ByteSize;
use majordomo_paging::{PagedIn, Placement, WorkingSet};

/// Steps of one program between its rungs.
#[derive(Debug, Default)]
pub(crate) struct Stepping {
    /// Beginnings and ends of steps: odd while one is under way.
    turns: AtomicU64,
    was_paged: AtomicBool,
    record: Mutex<Record>,
    /// Held by what pages its memory out.
    paging: Mutex<()>,
}

/// The pages that a program touches.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Those of its answers after earlier wakes, or since its load.
    pub(crate) pages: Option<WorkingSet>,
    /// Wakes in a row that mapped its pages, which hides which of them it touched.
    pub(crate) n_mapped: u32,
    /// Its uses at its last park.
    pub(crate) uses: u64,
    /// Those that were read ahead since it was paged out, as long as they are kept.
    pub(crate) prefetched: Option<WorkingSet>,
    /// Looks in a row that found it used since its wake, and not in use.
    pub(crate) rests: u32,
    /// Its bytes in swap, by the report of its last park or by a later measurement.
    pub(crate) swap: ByteSize,
    /// The share of its memory that can be moved to swap, as it was before its first park.
    pub(crate) movable: Option<f64>,
}

impl Record {
    /// Where the pages belong that are read for a wake. A wake that maps them hides which of them the program touches, so
    /// after `max_mapped` of those in a row one does not; and none does before there is a record.
    pub(crate) fn placement(&self, max_mapped: u32) -> Placement {
        match self.pages.is_some() && self.n_mapped < max_mapped {
            true => Placement::Mapped,
            false => Placement::Cached,
        }
    }

    /// A wake has read pages.
    pub(crate) fn woken(&mut self, back: PagedIn) {
        self.n_mapped = match back.placement {
            Placement::Mapped => self.n_mapped + 1,
            Placement::Cached => 0,
        };
        (self.prefetched, self.rests) = (Some(back.prefetched), 0);
    }

    /// A wake has read nothing.
    pub(crate) fn woken_by_faults(&mut self) {
        (self.prefetched, self.rests, self.n_mapped) = (None, 0, 0);
    }
}

impl Stepping {
    /// Begins a step; it ends when the value is dropped.
    pub(crate) fn begin(&self) -> Step<'_> {
        self.turns.fetch_add(1, Ordering::AcqRel);
        Step(self)
    }

    /// Begins a step to the paged rung.
    pub(crate) fn begin_page_out(&self) -> Step<'_> {
        let step = self.begin();
        // Before the memory moves: figures of it from then on are of a program that is in swap.
        self.was_paged.store(true, Ordering::Release);
        step
    }

    /// Whether its memory has been in swap for a park.
    pub(crate) fn was_paged(&self) -> bool {
        self.was_paged.load(Ordering::Acquire)
    }

    /// A number that changes with each beginning and each end of a step.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Whether no step was under way, neither now nor at any time since the number was `turns`.
    pub(crate) fn is_undisturbed_since(&self, turns: u64) -> bool {
        turns.is_multiple_of(2) && self.turns() == turns
    }

    /// Records a measurement of its memory that began when the number was `turns`. Returns its bytes in swap if they are to be
    /// booked: it was parked, and no step was under way meanwhile, whose report says what it holds.
    pub(crate) fn measured_swap(&self, bytes: ByteSize, turns: u64) -> Option<ByteSize> {
        let counts = self.was_paged() && self.is_undisturbed_since(turns);
        counts.then(|| {
            self.record().swap = bytes;
            bytes
        })
    }

    /// Records how much of a footprint can be moved. Once it was parked, its parks say that.
    pub(crate) fn record_movable(&self, exact: ByteSize, own: Option<ByteSize>) {
        if let Some(own) = own.filter(|_| exact > ByteSize::ZERO && !self.was_paged()) {
            self.record().movable = Some((own.0 as f64 / exact.0 as f64).min(1.0));
        }
    }

    /// Waits until nothing else pages its memory out, and keeps others from it: a park that runs beside a release of pages
    /// reports as held what the release frees after it. Blocks.
    pub(crate) fn page_out_alone(&self) -> MutexGuard<'_, ()> {
        self.paging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without waiting; none while its memory is paged out.
    pub(crate) fn try_page_out_alone(&self) -> Option<MutexGuard<'_, ()>> {
        self.paging.try_lock().ok()
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step under way.
#[derive(Debug)]
pub(crate) struct Step<'a>(&'a Stepping);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_swap_are_those_of_the_last_measurement_that_no_step_overlaps() {
        let (stepping, mib) = (Stepping::default(), ByteSize::mib);
        assert_eq!(stepping.measured_swap(mib(1), stepping.turns()), None, "it was never parked");
        let before = stepping.turns();
        drop(stepping.begin_page_out());
        stepping.record().swap = mib(200);
        assert_eq!(stepping.measured_swap(mib(1), before), None, "a park is between");
        assert_eq!(stepping.record().swap, mib(200));
        // Swap was turned off, or the program touched its memory.
        assert_eq!(stepping.measured_swap(mib(3), stepping.turns()), Some(mib(3)));
        assert_eq!(stepping.record().swap, mib(3));
    }

    #[test]
    fn wake_maps_known_pages_and_leaves_them_once_in_a_while_to_record_them_again() {
        let mut record = Record::default();
        assert_eq!(record.placement(2), Placement::Cached, "there is no record");
        record.pages = Some(WorkingSet::default());
        for (n_mapped, want) in
            [(0, Placement::Mapped), (1, Placement::Mapped), (2, Placement::Cached)]
        {
            record.n_mapped = n_mapped;
            assert_eq!(record.placement(2), want, "{n_mapped}");
        }
        record.woken_by_faults();
        assert_eq!(record.placement(2), Placement::Mapped);
    }

    #[test]
    fn share_that_can_be_moved_is_that_before_the_first_park() {
        let stepping = Stepping::default();
        let movable = |exact, own: Option<u64>| {
            stepping.record_movable(ByteSize::mib(exact), own.map(ByteSize::mib));
            stepping.record().movable
        };
        assert_eq!(movable(100, None), None);
        assert_eq!(movable(0, Some(0)), None);
        assert_eq!(movable(100, Some(30)), Some(0.3));
        assert_eq!(movable(200, Some(150)), Some(0.75));
        drop(stepping.begin_page_out());
        assert_eq!(movable(40, Some(4)), Some(0.75), "the rest is in swap");
    }

    #[test]
    fn memory_is_paged_out_by_one_at_a_time() {
        let stepping = Stepping::default();
        let park = stepping.page_out_alone();
        assert!(stepping.try_page_out_alone().is_none());
        drop(park);
        assert!(stepping.try_page_out_alone().is_some());
    }

    #[test]
    fn measurement_that_a_step_overlaps_is_disturbed() {
        let stepping = Stepping::default();
        let before = stepping.turns();
        assert!(stepping.is_undisturbed_since(before));
        let step = stepping.begin_page_out();
        let during = stepping.turns();
        assert!(!stepping.is_undisturbed_since(before) && !stepping.is_undisturbed_since(during));
        drop(step);
        assert!(!stepping.is_undisturbed_since(before) && !stepping.is_undisturbed_since(during));
        assert!(stepping.is_undisturbed_since(stepping.turns()) && stepping.was_paged());
    }
}
