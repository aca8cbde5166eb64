//! Rate limit for the log of a repeated failure: logged at first, when the reason changes, and then ever more seldom.
//!
//! Pure: time comes in. The owner decides what is logged, and where.

use std::time::Duration;

use majordomo_core::Moment;

/// The pause after a failure was logged for the first time; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// A failure that is going on, or none.
#[derive(Debug, Default)]
pub struct LogThrottle {
    going_on: Option<GoingOn>,
}

#[derive(Debug)]
struct GoingOn {
    why: String,
    pause: Duration,
    /// The failure is not logged again before.
    next: Moment,
    /// Failures since it was logged.
    suppressed: u64,
}

impl LogThrottle {
    /// Records a failure. Returns whether to log it now: the number of failures that were not logged since the last log.
    pub fn failed(&mut self, why: &str, now: Moment) -> Option<u64> {
        match &mut self.going_on {
            Some(same) if same.why == why && now < same.next => {
                same.suppressed += 1;
                None
            }
            Some(same) if same.why == why => {
                same.pause = (same.pause * 2).min(LONGEST);
                same.next = now + same.pause;
                Some(std::mem::take(&mut same.suppressed))
            }
            other => {
                let why = why.to_owned();
                *other = Some(GoingOn { why, pause: FIRST, next: now + FIRST, suppressed: 0 });
                Some(0)
            }
        }
    }

    /// Records a success. True when it follows a failure: the recovery is to be logged.
    pub fn succeeded(&mut self) -> bool {
        self.going_on.take().is_some()
    }

    /// Why it fails, while it does.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        Some(&self.going_on.as_ref()?.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_that_lasts_a_day_is_logged_some_thirty_times() {
        let mut log_throttle = LogThrottle::default();
        let at = |s: u64| Moment::ZERO + Duration::from_secs(s);
        let reported: Vec<_> = (0..24 * 360)
            .filter_map(|i| Some((i * 10, log_throttle.failed("no space", at(i * 10))?)))
            .collect();
        // After 1, 2, 4, 8, 16, 32 minutes and then each hour; failures that were not logged are counted.
        assert_eq!(reported[..4], [(0, 0), (60, 5), (180, 11), (420, 23)]);
        assert_eq!(reported.len(), 29);
        let all = reported.iter().map(|t| t.1 + 1).sum::<u64>();
        assert!(24 * 360 - all < 360, "{all}");
    }

    #[test]
    fn new_reason_and_recovery_are_logged_at_once() {
        let mut log_throttle = LogThrottle::default();
        assert!(!log_throttle.succeeded());
        assert_eq!(log_throttle.failed("no space", Moment::ZERO), Some(0));
        assert_eq!(log_throttle.failed("no space", Moment::ZERO), None);
        assert_eq!(log_throttle.failed("read-only", Moment::ZERO), Some(0));
        assert_eq!(log_throttle.why(), Some("read-only"));
        assert!(log_throttle.succeeded());
        assert_eq!(log_throttle.why(), None);
        assert!(!log_throttle.succeeded());
        assert_eq!(log_throttle.failed("read-only", Moment::ZERO), Some(0));
    }
}
