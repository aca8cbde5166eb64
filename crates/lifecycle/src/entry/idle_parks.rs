//! When a component is parked for want of use, beyond its `idle_park`: no earlier than after a pause that doubles.
//!
//! A try counts whether the component was parked or not: a park that something undoes without a use is no better than one that is
//! refused. Invariant: the next try is later than the last.

use std::time::Duration;

use majordomo_core::Moment;

/// However short `idle_park` is, the first pause lasts this long.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause, unless `idle_park` is longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// The tries of one component since its last use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdleParks {
    tries: u32,
    not_before: Moment,
}

impl IdleParks {
    pub(super) fn not_before(&self) -> Moment {
        self.not_before
    }

    pub(super) fn tried(&mut self, idle_park: Duration, now: Moment) {
        self.tries = self.tries.saturating_add(1);
        let factor = 2u32.saturating_pow(self.tries);
        let pause = idle_park.max(SHORTEST).saturating_mul(factor);
        self.not_before = now + pause.min(idle_park.max(LONGEST));
    }

    /// It was in use until now.
    pub(super) fn begin_again(&mut self, idle_park: Duration, now: Moment) {
        *self = Self { tries: 0, not_before: now + idle_park.max(SHORTEST) };
    }

    pub(super) fn used(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_a_use_ends_them() {
        let mut parks = IdleParks::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            parks.tried(Duration::from_secs(100), Moment::ZERO);
            pauses.push(parks.not_before().since(Moment::ZERO).as_secs());
        }
        assert_eq!(pauses[..6], [200, 400, 800, 1600, 3200, 3600]);
        assert!(pauses[6..].iter().all(|pause| *pause == 3600));
        parks.used();
        assert_eq!(parks.not_before(), Moment::ZERO);
    }

    #[test]
    fn short_idle_park_is_tried_again_after_two_seconds() {
        let mut parks = IdleParks::default();
        parks.tried(Duration::from_millis(1), Moment::ZERO);
        assert_eq!(parks.not_before(), Moment::ZERO + 2 * SHORTEST);
    }
}
