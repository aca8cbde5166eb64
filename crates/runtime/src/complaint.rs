//! When a failure that repeats is told: at first, when it becomes another one, and then ever more seldom.
//!
//! Pure: time comes in. What is told, and where, is the owner's.

use std::time::Duration;

use majordomo_core::Moment;

/// The pause after a failure was told for the first time; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// A failure that is going on, or none.
#[derive(Debug, Default)]
pub struct Complaint {
    going_on: Option<GoingOn>,
}

#[derive(Debug)]
struct GoingOn {
    why: String,
    pause: Duration,
    /// It is not told again before.
    next: Moment,
    /// How often it happened since it was told.
    untold: u64,
}

impl Complaint {
    /// It failed. Some when that is to be told now, with how often it happened unsaid since it was told last.
    pub fn failed(&mut self, why: &str, now: Moment) -> Option<u64> {
        match &mut self.going_on {
            Some(same) if same.why == why && now < same.next => {
                same.untold += 1;
                None
            }
            Some(same) if same.why == why => {
                same.pause = (same.pause * 2).min(LONGEST);
                same.next = now + same.pause;
                Some(std::mem::take(&mut same.untold))
            }
            other => {
                let why = why.to_owned();
                *other = Some(GoingOn { why, pause: FIRST, next: now + FIRST, untold: 0 });
                Some(0)
            }
        }
    }

    /// It succeeded. True when it had failed before, which is to be told.
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
    fn a_disk_that_stays_full_for_a_day_is_told_of_some_thirty_times() {
        let mut complaint = Complaint::default();
        let at = |s: u64| Moment::ZERO + Duration::from_secs(s);
        let told: Vec<_> = (0..24 * 360)
            .filter_map(|i| Some((i * 10, complaint.failed("no space", at(i * 10))?)))
            .collect();
        // After 1, 2, 4, 8, 16, 32 minutes and then each hour; what was not told is counted.
        assert_eq!(told[..4], [(0, 0), (60, 5), (180, 11), (420, 23)]);
        assert_eq!(told.len(), 29);
        let all = told.iter().map(|t| t.1 + 1).sum::<u64>();
        assert!(24 * 360 - all < 360, "{all}");
    }

    #[test]
    fn another_reason_and_the_end_are_told_at_once() {
        let mut complaint = Complaint::default();
        assert!(!complaint.succeeded());
        assert_eq!(complaint.failed("no space", Moment::ZERO), Some(0));
        assert_eq!(complaint.failed("no space", Moment::ZERO), None);
        assert_eq!(complaint.failed("read-only", Moment::ZERO), Some(0));
        assert_eq!(complaint.why(), Some("read-only"));
        assert!(complaint.succeeded());
        assert_eq!(complaint.why(), None);
        assert!(!complaint.succeeded());
        assert_eq!(complaint.failed("read-only", Moment::ZERO), Some(0));
    }
}
