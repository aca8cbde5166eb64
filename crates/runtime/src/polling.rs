//! How often a component that is loading is asked whether it is ready.
//!
//! A pause is as long as the answer may be late: 5 ms, or 2 % of the time that its load takes, whichever is longer. At most one question
//! is open at a time, so that the cost has a bound: fewer than 300 questions a second, and fewer the longer a load takes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A pause may end a millisecond late, and the question takes its time: together less than 5 ms.
const SHORTEST: Duration = Duration::from_millis(3);
/// With the same room, of 2 %.
const SHARE: f64 = 0.015;
/// A load that takes longer than so many times what is known is of another kind: nothing is known of it.
const UNUSUAL: u32 = 4;

/// The pauses between the questions of one load.
#[derive(Debug)]
pub(crate) struct Pauses {
    since: Instant,
    usual: Option<Duration>,
}

impl Pauses {
    /// Begins now. `usual` is the learned time of such a load.
    pub(crate) fn begin(usual: Option<Duration>) -> Self {
        Self { since: Instant::now(), usual }
    }

    /// Waits until the next question.
    pub(crate) async fn pause(&self) {
        sleep(pause(self.since.elapsed(), self.usual)).await;
    }
}

/// The pause after so much time. A load that takes less than usual is asked as if its time so far were all.
fn pause(elapsed: Duration, usual: Option<Duration>) -> Duration {
    let takes = usual.filter(|usual| elapsed <= *usual * UNUSUAL);
    takes.map_or(elapsed, |usual| usual.min(elapsed)).mul_f64(SHARE).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pause_is_below_5_ms_or_2_percent_of_the_learned_load_time() {
        for usual in [10, 50, 250, 500, 3_000, 60_000].map(Duration::from_millis) {
            let bound = (5 * MS).max(usual / 50);
            for percent in [0, 10, 50, 99, 100, 150, 400] {
                let pause = pause(usual * percent / 100, Some(usual));
                assert!(pause + MS < bound, "{usual:?} at {percent} %: {pause:?}");
            }
        }
    }

    #[test]
    fn without_a_learned_time_the_time_so_far_counts() {
        assert_eq!(pause(Duration::ZERO, None), SHORTEST);
        assert_eq!(pause(1000 * MS, None), 15 * MS);
        assert_eq!(pause(1000 * MS, Some(100 * MS)), 15 * MS, "ten times as long as usual");
    }

    #[test]
    fn number_of_questions_is_bounded() {
        let (mut elapsed, mut n) = (Duration::ZERO, 0);
        while elapsed < 60_000 * MS {
            elapsed += pause(elapsed, None);
            n += 1;
        }
        assert!(n < 500, "{n} questions in a minute");
    }
}
