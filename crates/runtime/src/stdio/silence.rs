//! When a program that does not answer is given up. Pure: moments in, a verdict out.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row have no answer.
const CALLS: u32 = 3;
/// The program had requests for so many of its call deadlines, and answered none: callers with short deadlines do not make it a
/// program that hangs.
const CALL_DEADLINES: u32 = 2;

/// The calls without an answer since the last answer.
#[derive(Debug, Default)]
pub(super) struct Silence {
    n_calls: u32,
    /// The time in which at least one of them was with the program.
    time: Duration,
    /// The end of the time that is counted, or the last answer.
    counted_to: Option<Instant>,
}

impl Silence {
    /// The program answered, be it too late or with an error.
    pub(super) fn answered(&mut self, now: Instant) {
        *self = Self { counted_to: Some(now), ..Self::default() };
    }

    /// A request that the program could read since then has no answer by its deadline. Whether the program hangs.
    pub(super) fn unanswered(
        &mut self,
        since: Instant,
        now: Instant,
        call_deadline: Duration,
    ) -> bool {
        let from = self.counted_to.map_or(since, |at| at.max(since));
        self.n_calls += 1;
        self.time += now.saturating_duration_since(from);
        self.counted_to = Some(now);
        self.n_calls >= CALLS && self.time >= call_deadline.saturating_mul(CALL_DEADLINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL_DEADLINE: Duration = Duration::from_secs(60);

    /// Whether a program hangs after requests from and to these seconds, or an answer: none.
    fn hangs(calls: &[Option<(u64, u64)>]) -> bool {
        let (start, mut silence, mut at) = (Instant::now(), Silence::default(), 0);
        let mut hangs = false;
        for call in calls {
            if let Some((from, end)) = *call {
                let moment = |s| start + Duration::from_secs(s);
                at = end;
                hangs = silence.unanswered(moment(from), moment(end), CALL_DEADLINE);
            } else {
                silence.answered(start + Duration::from_secs(at));
                hangs = false;
            }
        }
        hangs
    }

    #[test]
    fn third_call_without_an_answer_counts_when_the_time_does() {
        let calls = [Some((0, 60)), Some((60, 120)), Some((120, 180))];
        assert!(hangs(&calls) && !hangs(&calls[..2]));
        assert!(!hangs(&[calls[0], calls[1], None, calls[2]]), "an answer in between");
        let short: Vec<_> = (0..120).map(|s| Some((s, s + 1))).collect();
        assert!(hangs(&short) && !hangs(&short[..119]));
        assert!(!hangs(&[Some((0, 1)), Some((1000, 1001)), Some((2000, 2001))]), "idle in between");
        assert!(!hangs(&[Some((0, 60)); 4]), "at the same time");
    }
}
