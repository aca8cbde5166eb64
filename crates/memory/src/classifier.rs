//! From readings to one of five levels: thresholds, hysteresis and dwell.
//!
//! Pure: time and readings come in as arguments. Invariant: the level is never below what the reading at hand
//! demands (rising is immediate), and it falls one step at a time, each after a dwell in which every reading
//! was clearly above the threshold of the level to be left.

use std::time::Duration;

use majordomo_core::{ByteSize, Moment, PressureLevel, PressureProfile};

use crate::reading::PressureReading;

/// A threshold as a share of the limit with a floor, and a cap as a share: `min(max(share, floor), cap)`.
struct Threshold {
    share: f64,
    floor: ByteSize,
    cap: f64,
}

/// MEDIUM, HIGH, CRITICAL, EMERGENCY. The caps keep the order below 4 GiB, where the floors would put HIGH
/// above MEDIUM and a cgroup of 128 MiB into a lasting EMERGENCY (ADR 0012); at 2.5 GiB and above only
/// MEDIUM's can bind.
const SHARES: [Threshold; 4] = [
    Threshold { share: 0.125, floor: ByteSize::gib(1), cap: 0.25 },
    Threshold { share: 0.05, floor: ByteSize::mib(512), cap: 0.20 },
    Threshold { share: 0.025, floor: ByteSize::mib(256), cap: 0.15 },
    Threshold { share: 0.012, floor: ByteSize::mib(128), cap: 0.10 },
];

/// The absolute thresholds of the predecessor.
const LEGACY: [ByteSize; 4] =
    [ByteSize::gib(4), ByteSize::gib(2), ByteSize::gib(1), ByteSize::mib(512)];

/// A level is left only while this much more than its threshold is available.
const CLEARANCE: f64 = 1.125;

/// Bytes a second: faster than anything that fills memory with something useful.
const FASTEST_GROWTH: f64 = (1u64 << 30) as f64;

/// Below how many available bytes each level begins: MEDIUM, HIGH, CRITICAL, EMERGENCY. Descending.
#[must_use]
pub fn pressure_thresholds(profile: PressureProfile, limit: ByteSize) -> [ByteSize; 4] {
    match profile {
        PressureProfile::Legacy => LEGACY,
        _ => SHARES.map(|t| limit.scaled(t.share).max(t.floor).min(limit.scaled(t.cap))),
    }
}

/// The level for so many available bytes, whatever the earlier readings.
fn level_of(thresholds: [ByteSize; 4], available: ByteSize) -> PressureLevel {
    PressureLevel::ALL[thresholds.iter().filter(|t| available < **t).count()]
}

/// Turns readings into a level. One per manager.
#[derive(Clone, Debug)]
pub struct PressureClassifier {
    profile: PressureProfile,
    dwell: Duration,
    level: PressureLevel,
    calm_since: Option<Moment>,
}

impl PressureClassifier {
    /// Starts at LOW. `dwell` is how long a level must be clearly left before the next lower one holds.
    #[must_use]
    pub fn new(profile: PressureProfile, dwell: Duration) -> Self {
        Self { profile, dwell, level: PressureLevel::Low, calm_since: None }
    }

    /// Changes profile and dwell; the level stays until the next reading.
    pub fn configure(&mut self, profile: PressureProfile, dwell: Duration) {
        (self.profile, self.dwell) = (profile, dwell);
    }

    /// The level as of the last reading.
    #[must_use]
    pub fn level(&self) -> PressureLevel {
        self.level
    }

    /// When the level may fall if readings stay as they are; none while they do not allow it.
    #[must_use]
    pub fn falls_at(&self) -> Option<Moment> {
        self.calm_since.map(|since| since + self.dwell)
    }

    /// How soon to read again: before growth at 1 GiB/s could reach the next level, within 50 ms..=2 s. The
    /// fallback beside the kernel's own wake-ups, which come late or not at all on some systems.
    #[must_use]
    pub fn sample_within(&self, reading: &PressureReading) -> Duration {
        let thresholds = pressure_thresholds(self.profile, reading.limit);
        let next = thresholds.get(self.level as usize).copied().unwrap_or(ByteSize::ZERO);
        let seconds = (reading.available - next).bytes() as f64 / FASTEST_GROWTH;
        Duration::from_secs_f64(seconds.clamp(0.05, 2.0))
    }

    /// Takes a reading in and returns the level that holds now.
    pub fn observe(&mut self, reading: &PressureReading, now: Moment) -> PressureLevel {
        let thresholds = pressure_thresholds(self.profile, reading.limit);
        let hint = reading.hint().unwrap_or(PressureLevel::Low);
        let demanded = level_of(thresholds, reading.available).max(hint);
        let clear = thresholds.map(|t| t.scaled(CLEARANCE));
        let allowed = level_of(clear, reading.available).max(hint);
        if demanded > self.level {
            self.level = demanded;
            self.calm_since = None;
        } else if allowed >= self.level {
            self.calm_since = None;
        } else {
            let since = *self.calm_since.get_or_insert(now);
            if now.since(since) >= self.dwell {
                self.level = PressureLevel::ALL[self.level as usize - 1];
                // The dwell starts again for the level below, unless the readings allow no further fall.
                self.calm_since = (allowed < self.level).then_some(now);
            }
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::{Hints, MachineMemory};
    use PressureLevel::{Critical, Emergency, High, Low, Medium};

    fn reading(available: ByteSize, limit: ByteSize) -> PressureReading {
        PressureReading::scripted(available, limit)
    }

    #[test]
    fn thresholds_by_limit() {
        let check = |limit: ByteSize, want: [u64; 4]| {
            let got = pressure_thresholds(PressureProfile::Share, limit).map(|t| t.0 >> 20);
            assert_eq!(got, want, "of {limit}");
        };
        check(ByteSize::gib(64), [8192, 3276, 1638, 786]);
        check(ByteSize::gib(16), [2048, 819, 409, 196]);
        check(ByteSize::gib(8), [1024, 512, 256, 128]);
        check(ByteSize::gib(4), [1024, 512, 256, 128]);
        check(ByteSize::gib(3), [768, 512, 256, 128]);
        check(ByteSize::gib(1), [256, 204, 153, 102]);
        check(ByteSize::mib(100), [25, 20, 15, 10]);
        assert_eq!(pressure_thresholds(PressureProfile::Legacy, ByteSize::gib(1)), LEGACY);
    }

    #[test]
    fn levels_of_an_eight_gib_machine() {
        let check = |mib: u64, want: PressureLevel| {
            let mut c = PressureClassifier::new(PressureProfile::Share, Duration::ZERO);
            let r = reading(ByteSize::mib(mib), ByteSize::gib(8));
            assert_eq!(c.observe(&r, Moment::ZERO), want, "{mib} MiB available");
        };
        check(8192, Low);
        check(1024, Low);
        check(1023, Medium);
        check(512, Medium);
        check(511, High);
        check(255, Critical);
        check(128, Critical);
        check(127, Emergency);
        check(0, Emergency);
    }

    #[test]
    fn falls_slowly_and_only_when_clear() {
        let mut c = PressureClassifier::new(PressureProfile::Share, Duration::from_secs(10));
        let mut at = |s: u64, mib: u64, want: PressureLevel| {
            let r = reading(ByteSize::mib(mib), ByteSize::gib(8));
            assert_eq!(c.observe(&r, Moment(s * 1_000_000)), want, "{mib} MiB at {s} s");
        };
        at(0, 100, Emergency);
        at(1, 8000, Emergency);
        at(10, 8000, Emergency);
        at(11, 8000, Critical);
        at(20, 8000, Critical);
        at(21, 8000, High);
        // 520 MiB is above HIGH's threshold of 512 MiB, but not clearly.
        at(30, 520, High);
        at(99, 520, High);
        at(100, 600, High);
        at(110, 600, Medium);
        // MEDIUM holds by itself at 600 MiB.
        at(300, 600, Medium);
        at(301, 2000, Medium);
        at(305, 200, Critical);
    }

    #[test]
    fn samples_faster_the_nearer_the_next_level_is() {
        let check = |mib: u64, want_ms: u128| {
            let mut c = PressureClassifier::new(PressureProfile::Share, Duration::ZERO);
            let r = reading(ByteSize::mib(mib), ByteSize::gib(8));
            c.observe(&r, Moment::ZERO);
            assert_eq!(c.sample_within(&r).as_millis(), want_ms, "{mib} MiB available");
        };
        check(8192, 2000);
        check(2048, 1000);
        check(1024, 50);
        check(1000, 476);
        check(100, 97);
        check(0, 50);
    }

    #[test]
    fn a_hint_raises_and_holds_but_never_lowers() {
        let mut c = PressureClassifier::new(PressureProfile::Share, Duration::from_secs(1));
        let own = |level| Hints { own: Some(level), ..Hints::default() };
        let plenty = reading(ByteSize::gib(7), ByteSize::gib(8));
        assert_eq!(c.observe(&plenty.with_hints(own(High)), Moment(0)), High);
        assert_eq!(c.observe(&plenty.with_hints(own(High)), Moment(9_000_000)), High);
        assert_eq!(c.falls_at(), None);
        let short = reading(ByteSize::mib(10), ByteSize::gib(8));
        assert_eq!(c.observe(&short.with_hints(own(Low)), Moment(9_000_001)), Emergency);
    }

    #[test]
    fn machine_stalls_raise_the_level_only_below_half_of_the_machines_memory() {
        let stalls = Hints { machine: Some(High), ..Hints::default() };
        let check = |machine_mib: u64, want: PressureLevel| {
            let mut c = PressureClassifier::new(PressureProfile::Share, Duration::ZERO);
            // The own cgroup has plenty left, whatever the machine has.
            let machine =
                MachineMemory { available: ByteSize::mib(machine_mib), total: ByteSize::gib(24) };
            let r = PressureReading { machine, ..reading(ByteSize::gib(3), ByteSize::gib(4)) };
            assert_eq!(c.observe(&r.with_hints(stalls), Moment::ZERO), want, "{machine_mib} MiB");
        };
        check(23_040, Low);
        check(12_288, Low);
        check(12_287, High);
    }

    #[test]
    fn stalls_of_the_own_cgroup_raise_the_level_only_below_half_of_the_effective_limit() {
        let stalls = Hints { own_stalls: Some(High), ..Hints::default() };
        let check = |available_mib: u64, want: PressureLevel| {
            let mut c = PressureClassifier::new(PressureProfile::Share, Duration::ZERO);
            // Of the machine's memory little is available: its own stalls would count.
            let machine = MachineMemory { available: ByteSize::gib(5), total: ByteSize::gib(24) };
            let reading = reading(ByteSize::mib(available_mib), ByteSize::gib(4));
            let r = PressureReading { machine, ..reading };
            assert_eq!(c.observe(&r.with_hints(stalls), Moment::ZERO), want, "{available_mib} MiB");
        };
        check(4_000, Low);
        check(2_048, Low);
        check(2_047, High);
    }
}
