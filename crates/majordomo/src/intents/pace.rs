//! How often the model is retrained: a pause after each retrain, in proportion to its cost.
//!
//! Reads no clock. A retrain that forgetting requires does not wait; the learner starts one at a time, so that all
//! texts forgotten before it starts share it.

use std::time::Duration;

use majordomo_core::Moment;

/// Multiple of a retrain's own duration that passes before the next: retrains use at most a tenth of one processor.
const REST: u32 = 9;

/// The earliest moment of the next retrain.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Moment,
}

impl Pace {
    /// Records a retrain. `pause` is the shortest time until the next one; zero removes every limit.
    pub(super) fn ended(&mut self, started: Moment, now: Moment, pause: Duration) {
        let rest = now.since(started).saturating_mul(REST);
        self.next = if pause.is_zero() { now } else { now + pause.max(rest) };
    }

    /// Puts the next retrain off, because it cannot be started now.
    pub(super) fn put_off(&mut self, now: Moment, by: Duration) {
        self.next = now + by;
    }

    /// How long a retrain that is due has to wait.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        self.next.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retrains within a minute in which one is always due, each as long as `took`.
    fn n_in_a_minute(pause: Duration, took: Duration) -> usize {
        let (mut pace, mut now, mut n) = (Pace::default(), Moment::ZERO, 0);
        loop {
            now += pace.wait(now);
            if now >= Moment::ZERO + Duration::from_secs(60) {
                return n;
            }
            let started = now;
            now += took;
            pace.ended(started, now, pause);
            n += 1;
        }
    }

    #[test]
    fn retrains_rest_for_the_pause_and_for_nine_times_their_own_duration() {
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis);
        assert_eq!(n_in_a_minute(5 * second, ms(240)), 12);
        assert_eq!(n_in_a_minute(5 * second, 2 * second), 3);
        assert_eq!(n_in_a_minute(Duration::ZERO, ms(240)), 250);
    }

    #[test]
    fn first_retrain_does_not_wait() {
        assert_eq!(Pace::default().wait(Moment::ZERO), Duration::ZERO);
    }
}
