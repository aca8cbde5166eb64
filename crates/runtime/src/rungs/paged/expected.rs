//! The figures of a component at the paged rung that are expected until they are measured.
//!
//! The machine's rates begin with those of a plain disk, or of compressed memory, and follow the parks and wakes of all
//! components. Pure.

use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::RungFigures;

/// The share of a program's memory that no park moves (pages of files, shared and locked ones), where it was not measured yet.
const LEFT: f64 = 0.12;
/// The share of a program's memory that its first answer after a wake touches.
const TOUCHED: f64 = 0.4;
/// The time of a step that moves nothing.
const STEP: Duration = Duration::from_millis(20);
/// A park may take so long on a disk that is busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// The weight of a new rate beside the earlier ones.
const WEIGHT: f64 = 0.3;
/// Steps that move less say nothing of the rate.
const LEAST: ByteSize = ByteSize::mib(4);

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    out: f64,
    back: f64,
    /// The part of a swapped byte that is main memory.
    ram_share: f64,
}

impl Rates {
    /// Of a disk, or of compressed memory, where a swapped byte takes that part of main memory.
    pub(crate) fn expected(ram_share: f64) -> Self {
        let mib = |n: u64| ByteSize::mib(n).0 as f64;
        let back = if ram_share > 0.0 { mib(800) } else { mib(500) };
        Self { out: mib(350), back, ram_share }
    }

    pub(crate) fn set_ram_share(&mut self, ram_share: f64) {
        self.ram_share = ram_share;
    }

    /// Learns from a park that moved so many bytes.
    pub(crate) fn parked(&mut self, bytes: ByteSize, took: Duration) {
        mix(&mut self.out, bytes, took);
    }

    /// Learns from a wake that read so many bytes.
    pub(crate) fn woken(&mut self, bytes: ByteSize, took: Duration) {
        mix(&mut self.back, bytes, took);
    }

    /// The figures of a component with so many bytes, of which that share can be moved, if it was measured. Times are in coarse steps, so that a small change of a rate changes
    /// no offer.
    pub(crate) fn figures(&self, bytes: ByteSize, movable: Option<f64>) -> RungFigures {
        let swapped = movable.map_or(1.0 - LEFT, coarse_less);
        let time = |share: f64, rate: f64| {
            coarse(STEP + Duration::from_secs_f64(bytes.0 as f64 * share / rate))
        };
        RungFigures {
            stays: (1.0 - swapped + swapped * coarse_share(self.ram_share)).min(1.0),
            swapped,
            apart_stays: 1.0,
            moves: 0.0,
            enter: time(swapped, self.out),
            wake: time(swapped.min(TOUCHED), self.back),
            patience: PATIENCE,
        }
    }
}

fn mix(rate: &mut f64, bytes: ByteSize, took: Duration) {
    let moving = took.saturating_sub(STEP).max(Duration::from_millis(1));
    if bytes >= LEAST {
        *rate += WEIGHT * (bytes.0 as f64 / moving.as_secs_f64() - *rate);
    }
}

/// Rounded to a quarter of a power of two.
fn coarse(time: Duration) -> Duration {
    let steps = (time.as_secs_f64() * 1000.0).max(1.0).log2() * 4.0;
    Duration::from_millis((steps.round() / 4.0).exp2().round() as u64)
}

/// Rounded to a twentieth.
fn coarse_share(share: f64) -> f64 {
    (share * 20.0).round() / 20.0
}

/// Rounded down to a twentieth: a park must free what it was booked to free.
fn coarse_less(share: f64) -> f64 {
    (share * 20.0).floor() / 20.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_that_is_mostly_pages_of_files_is_expected_to_stay_but_for_what_can_be_moved() {
        let rates = Rates::expected(0.0);
        let of = |movable| rates.figures(ByteSize::mib(350), movable);
        let browser = of(Some(0.29));
        assert!((browser.swapped - 0.25).abs() < 1e-9, "{browser:?}");
        assert!((browser.stays - 0.75).abs() < 1e-9, "{browser:?}");
        assert!(browser.wake < of(None).wake && browser.enter < of(None).enter);
        assert_eq!(of(Some(0.28)), browser, "a small change changes no offer");
        let zram = Rates::expected(0.5).figures(ByteSize::mib(350), Some(0.5));
        assert!((zram.stays - 0.75).abs() < 1e-9, "{zram:?}");
    }

    #[test]
    fn memory_compressed_in_ram_stays_in_part_and_a_disk_keeps_only_what_cannot_be_moved() {
        let disk = Rates::expected(0.0).figures(ByteSize::mib(150), None);
        let zram = Rates::expected(0.5).figures(ByteSize::mib(150), None);
        assert!((disk.stays - 0.12).abs() < 1e-9, "{disk:?}");
        assert!((zram.stays - 0.56).abs() < 1e-9, "{zram:?}");
        assert!(zram.wake < disk.wake);
        assert_eq!(disk.apart_stays, 1.0, "memory on a card stays");
    }

    #[test]
    fn times_follow_measured_rates_and_small_changes_change_no_offer() {
        let mut rates = Rates::expected(0.0);
        let bytes = ByteSize::mib(100);
        let before = rates.figures(bytes, None);
        rates.parked(ByteSize::mib(1), Duration::from_secs(1));
        assert_eq!(rates.figures(bytes, None), before, "too little to say anything");
        for _ in 0..20 {
            rates.parked(bytes, Duration::from_millis(2020));
            rates.woken(bytes, Duration::from_millis(120));
        }
        let after = rates.figures(bytes, None);
        assert!(after.enter > Duration::from_millis(1500), "{after:?}");
        assert!(after.wake < before.wake, "{after:?}");
        rates.parked(bytes, Duration::from_millis(2030));
        assert_eq!(rates.figures(bytes, None), after);
    }
}
