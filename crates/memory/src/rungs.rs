//! How much of a component is left at a rung, and how long the ways there and back take.
//!
//! Knows no step that is under way. Figures are expected until they are measured.

use std::time::Duration;

use majordomo_core::ByteSize;

use crate::Need;

/// The weight of a new measurement beside the earlier ones.
const RATE: f64 = 0.3;

/// A park that frees a smaller share of a component's memory than this has failed its purpose.
const LEAST_FREED: f64 = 0.1;
/// So many such parks in a row end the parking at the rung.
const MAX_USELESS: u32 = 2;

/// Figures of a component at a rung. Shares are within 0 and 1. Those of its own pool are of all its bytes, in that pool and in
/// swap: what was not read back since a wake counts, so that a park soon after a wake teaches the same as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RungFigures {
    /// Share of the bytes of its own pool that stay there.
    pub stays: f64,
    /// Share of the bytes of its own pool that are written to swap.
    pub swapped: f64,
    /// Share of the bytes of other pools that stay there.
    pub apart_stays: f64,
    /// Share of the bytes of other pools that move to its own pool.
    pub moves: f64,
    /// How long a park takes.
    pub enter: Duration,
    /// How long a wake takes.
    pub wake: Duration,
    /// A park may always take this long, however quick earlier ones were.
    pub patience: Duration,
}

/// The figures of a component at a rung, as expected and as measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearnedRung {
    figures: RungFigures,
    parked: bool,
    woken: bool,
    /// Parks in a row that freed next to nothing.
    n_useless: u32,
    /// The footprint of the first use after the last wake.
    first_use: Option<ByteSize>,
}

impl LearnedRung {
    /// Figures that nothing was measured of yet.
    #[must_use]
    pub fn expected(figures: RungFigures) -> Self {
        Self { figures, ..Self::default() }
    }

    /// Figures that an earlier process measured: of parks, of wakes, or of both.
    #[must_use]
    pub fn restored(
        figures: RungFigures,
        parked: bool,
        woken: bool,
        first_use: Option<ByteSize>,
    ) -> Self {
        let frees_none =
            parked && figures.stays > 1.0 - LEAST_FREED && figures.apart_stays > 1.0 - LEAST_FREED;
        let n_useless = if frees_none { MAX_USELESS } else { 0 };
        Self { figures, parked, woken, n_useless, first_use }
    }

    /// Whether a park was measured.
    #[must_use]
    pub fn is_park_measured(&self) -> bool {
        self.parked
    }

    /// Whether a wake was measured.
    #[must_use]
    pub fn is_wake_measured(&self) -> bool {
        self.woken
    }

    /// Whether parks at the rung free memory, as far as they were measured.
    #[must_use]
    pub fn frees(&self) -> bool {
        self.n_useless < MAX_USELESS
    }

    /// Takes over other expectations, for what was not measured yet.
    pub fn expect(&mut self, figures: RungFigures) {
        let RungFigures { enter, wake, .. } = self.figures;
        if !self.parked {
            self.figures = RungFigures { wake, ..figures };
        } else {
            (self.figures.enter, self.figures.patience) = (enter, figures.patience);
        }
        if !self.woken {
            self.figures.wake = figures.wake;
        }
    }

    /// The figures now.
    #[must_use]
    pub fn figures(&self) -> &RungFigures {
        &self.figures
    }

    /// The bytes that a component holds there which has so many in its pool `own` and others.
    #[must_use]
    pub fn held(&self, ready: &Need, own: usize) -> Need {
        let f = &self.figures;
        let mut held = Need::new();
        let swap = ready.of(Need::SWAP);
        let all = ready.of(own) + swap;
        held.add(own, all.scaled(f.stays).min(ready.of(own)));
        // Bytes that are in swap already stay there.
        held.add(Need::SWAP, all.scaled(f.swapped).max(swap));
        for (pool, bytes) in ready.iter() {
            if pool != own && pool != Need::SWAP {
                held.add(pool, bytes.scaled(f.apart_stays));
                held.add(own, bytes.scaled(f.moves));
            }
        }
        held
    }

    /// Learns from a park that took so long and kept so much of the bytes before it, in swap or elsewhere.
    pub fn record_park(&mut self, ready: &Need, held: &Need, own: usize, took: Duration) {
        let apart = |need: &Need| -> ByteSize {
            let other = need.iter().filter(|(pool, _)| *pool != own && *pool != Need::SWAP);
            other.map(|(_, bytes)| bytes).sum()
        };
        let share = |part: ByteSize, of: ByteSize| {
            if of.0 == 0 { 0.0 } else { (part.0 as f64 / of.0 as f64).min(1.0) }
        };
        let (ram, others) = (ready.of(own), apart(ready));
        let all = ram + ready.of(Need::SWAP);
        // More than there was of its own pool has moved there.
        let seen = RungFigures {
            stays: share(held.of(own), all),
            swapped: share(held.of(Need::SWAP), all),
            apart_stays: share(apart(held), others),
            moves: share(held.of(own).saturating_sub(ram), others),
            enter: took,
            ..self.figures
        };
        let rate = if self.parked { RATE } else { 1.0 };
        let mix = |old: f64, new: f64| old + rate * (new - old);
        let old = self.figures;
        self.figures = RungFigures {
            stays: mix(old.stays, seen.stays),
            swapped: mix(old.swapped, seen.swapped),
            apart_stays: mix(old.apart_stays, seen.apart_stays),
            moves: mix(old.moves, seen.moves),
            enter: old.enter.mul_f64(1.0 - rate) + seen.enter.mul_f64(rate),
            ..old
        };
        self.parked = true;
        // A park right after a wake frees little because little has come back: all its memory is the measure.
        let stayed = held.of(own) + apart(held);
        let is_useless = stayed > (all + others).scaled(1.0 - LEAST_FREED);
        self.n_useless = if is_useless { self.n_useless.saturating_add(1) } else { 0 };
    }

    /// Learns from a wake that took so long.
    pub fn record_wake(&mut self, took: Duration) {
        let rate = if self.woken { RATE } else { 1.0 };
        self.figures.wake = self.figures.wake.mul_f64(1.0 - rate) + took.mul_f64(rate);
        self.woken = true;
    }

    /// The footprint of the first use after a wake, where one was measured.
    #[must_use]
    pub fn first_use(&self) -> Option<ByteSize> {
        self.first_use
    }

    /// Records the highest footprint of the first use after a wake.
    pub fn record_first_use(&mut self, bytes: ByteSize) {
        self.first_use = Some(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(parts: &[(usize, u64)]) -> Need {
        parts.iter().map(|&(pool, mib)| (pool, ByteSize::mib(mib))).collect()
    }

    #[test]
    fn measured_park_replaces_the_expectation_and_later_ones_are_mixed_in() {
        let expected = RungFigures { stays: 0.5, swapped: 0.5, ..RungFigures::default() };
        let mut rung = LearnedRung::expected(expected);
        let booked = need(&[(0, 100)]);
        assert_eq!(rung.held(&booked, 0), need(&[(0, 50), (Need::SWAP, 50)]));
        let held = need(&[(0, 10), (Need::SWAP, 80)]);
        rung.record_park(&booked, &held, 0, Duration::from_secs(1));
        assert_eq!(rung.held(&booked, 0), held);
        rung.record_park(&booked, &need(&[(0, 20), (Need::SWAP, 80)]), 0, Duration::from_secs(1));
        assert_eq!(rung.held(&booked, 0), need(&[(0, 13), (Need::SWAP, 80)]));
        let (figures, enter) = (rung.figures().stays, rung.figures().enter);
        rung.expect(RungFigures { wake: Duration::from_secs(3), ..expected });
        assert_eq!((rung.figures().stays, rung.figures().enter), (figures, enter));
        assert_eq!(rung.figures().wake, Duration::from_secs(3), "no wake was measured yet");
    }

    #[test]
    fn park_of_a_component_that_is_half_awake_teaches_the_same_as_one_of_all_its_memory() {
        let mut rung = LearnedRung::expected(RungFigures::default());
        let held = need(&[(0, 10), (Need::SWAP, 90)]);
        rung.record_park(&need(&[(0, 100)]), &held, 0, Duration::ZERO);
        rung.record_park(&need(&[(0, 40), (Need::SWAP, 60)]), &held, 0, Duration::ZERO);
        assert_eq!(rung.held(&need(&[(0, 100)]), 0), held);
        assert_eq!(rung.held(&need(&[(0, 40), (Need::SWAP, 60)]), 0), held);
        let rest = need(&[(0, 5), (Need::SWAP, 95)]);
        assert_eq!(rung.held(&rest, 0), rest, "no more than it has, and swap is not read back");
    }

    #[test]
    fn second_park_in_a_row_that_frees_nothing_gives_the_rung_up() {
        let mut rung = LearnedRung::expected(RungFigures::default());
        let (ready, locked) = (need(&[(0, 100)]), need(&[(0, 95), (Need::SWAP, 5)]));
        rung.record_park(&ready, &locked, 0, Duration::ZERO);
        assert!(rung.frees());
        rung.record_park(&ready, &need(&[(0, 50), (Need::SWAP, 50)]), 0, Duration::ZERO);
        rung.record_park(&ready, &locked, 0, Duration::ZERO);
        assert!(rung.frees(), "the row was interrupted");
        rung.record_park(&ready, &locked, 0, Duration::ZERO);
        assert!(!rung.frees());
        let figures = RungFigures { stays: 0.95, apart_stays: 1.0, ..RungFigures::default() };
        assert!(!LearnedRung::restored(figures, true, true, None).frees());
        assert!(LearnedRung::restored(figures, false, true, None).frees(), "only expected");
    }

    #[test]
    fn memory_that_leaves_a_card_is_expected_where_it_moved() {
        let mut rung = LearnedRung::expected(RungFigures::default());
        let (booked, held) = (need(&[(0, 100), (3, 400)]), need(&[(0, 200), (3, 40)]));
        rung.record_park(&booked, &held, 0, Duration::ZERO);
        assert_eq!(rung.held(&booked, 0), held);
    }

    #[test]
    fn wake_time_follows_measurements() {
        let mut rung = LearnedRung::expected(RungFigures::default());
        rung.record_wake(Duration::from_secs(1));
        rung.record_wake(Duration::from_secs(2));
        assert_eq!(rung.figures().wake, Duration::from_millis(1300));
    }
}
