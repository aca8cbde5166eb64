//! Writes to swap within a day: what the machine wrote since the manager runs, in intervals that expire.
//!
//! The machine's own count says how much was written, and not for whom: all of it is booked, as an upper bound of what
//! parks wrote. Pure: the wall clock and the count come in as arguments. The intervals outlive the manager.

use std::collections::BTreeMap;

use majordomo_core::{ByteSize, WallSeconds};

/// Where they stand in the state store: namespace and key.
pub(crate) const STORED: (&str, &str) = ("swap", "writes");

const VERSION: u8 = 1;
/// Seconds whose writes are summed and expire together.
const INTERVAL: i64 = 15 * 60;
const INTERVALS_A_DAY: i64 = 24 * 3600 / INTERVAL;

/// The writes of the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes {
    /// Bytes by the number of the interval since 1970.
    intervals: BTreeMap<i64, u64>,
    /// The machine's count at the last look.
    count: Option<ByteSize>,
}

impl Writes {
    /// Books the writes since the last look; the first look only takes the count. True when there were some.
    pub(crate) fn look(&mut self, count: ByteSize, now: WallSeconds) -> bool {
        let before = self.count.replace(count).unwrap_or(count);
        let written = count.0.saturating_sub(before.0);
        if written > 0 {
            let bytes = self.intervals.entry(interval(now)).or_default();
            *bytes = bytes.saturating_add(written);
        }
        self.forget(now);
        written > 0
    }

    /// The bytes of the last 24 hours.
    pub(crate) fn of_a_day(&self, now: WallSeconds) -> ByteSize {
        let now = interval(now);
        self.intervals
            .iter()
            .filter(|(at, _)| is_of_the_day(**at, now))
            .map(|(_, b)| ByteSize(*b))
            .sum()
    }

    /// Drops intervals of earlier days, and those that a clock which was wrong put into the future.
    fn forget(&mut self, now: WallSeconds) {
        let now = interval(now);
        self.intervals.retain(|at, _| is_of_the_day(*at, now));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for (at, bytes) in &self.intervals {
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        out
    }

    /// None for bytes of an unknown version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (words, []) = rest.as_chunks::<8>() else { return None };
        let (pairs, []) = words.as_chunks::<2>() else { return None };
        let pairs = pairs.iter().map(|[at, n]| (i64::from_le_bytes(*at), u64::from_le_bytes(*n)));
        Some(Self { intervals: pairs.collect(), count: None })
    }
}

fn interval(at: WallSeconds) -> i64 {
    at.0.div_euclid(INTERVAL)
}

fn is_of_the_day(at: i64, now: i64) -> bool {
    (now - INTERVALS_A_DAY..=now + INTERVALS_A_DAY).contains(&at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    #[test]
    fn writes_count_for_a_day_and_outlive_the_manager() {
        let at = |hours: i64| WallSeconds(1_700_000_000 + hours * HOUR);
        let mut writes = Writes::default();
        assert!(!writes.look(ByteSize::mib(500), at(0)), "written before the first look");
        assert!(writes.look(ByteSize::mib(600), at(1)));
        assert!(writes.look(ByteSize::mib(630), at(20)));
        assert!(!writes.look(ByteSize::mib(630), at(21)));
        assert_eq!(writes.of_a_day(at(21)), ByteSize::mib(130));
        let mut restored = Writes::decode(&writes.encode()).unwrap();
        assert_eq!(restored.of_a_day(at(21)), ByteSize::mib(130));
        // The machine was restarted meanwhile: its count is smaller.
        assert!(!restored.look(ByteSize::mib(5), at(22)));
        assert!(restored.look(ByteSize::mib(8), at(22)));
        assert_eq!(restored.of_a_day(at(26)), ByteSize::mib(33), "the first ones expired");
        assert_eq!(restored.of_a_day(at(80)), ByteSize::ZERO);
    }

    #[test]
    fn bytes_of_another_version_are_left_out() {
        for bad in [&[][..], &[2], &[VERSION, 1, 2, 3], &[VERSION, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Writes::decode(bad), None, "{bad:?}");
        }
        assert_eq!(Writes::decode(&[VERSION]), Some(Writes::default()));
    }
}
