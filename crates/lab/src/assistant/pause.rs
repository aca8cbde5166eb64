//! Pauses of a day: each has its length in the trace, and a shorter time for which it is played.
//!
//! Invariant: what an idle timeout does depends on lengths in the trace alone, so pauses may be
//! shortened freely.

use std::time::Duration;

/// The time after which peers unload an idle component, on the clock of the trace.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How pauses are shortened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// Pauses are divided by this.
    pub(super) compress: f64,
    /// Then no pause is longer.
    pub(super) longest: Duration,
}

impl Pauses {
    pub(super) fn shorten(&self, length: Duration) -> Pause {
        Pause { length, played: length.div_f64(self.compress).min(self.longest) }
    }
}

/// A pause before a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// In the trace.
    pub(super) length: Duration,
    /// For so long the player rests.
    pub(super) played: Duration,
}

impl Pause {
    /// Whether an idle timeout expires in the pause of a component that was used just before it.
    pub(super) fn is_long(&self) -> bool {
        self.length > IDLE_TIMEOUT
    }

    /// The played time that corresponds to a point of the pause.
    pub(super) fn played_until(&self, point: Duration) -> Duration {
        let share = point.as_secs_f64() / self.length.as_secs_f64();
        if share.is_finite() { self.played.mul_f64(share.min(1.0)) } else { self.played }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_compressed_then_cut_and_their_points_keep_their_place() {
        let pauses = Pauses { compress: 10.0, longest: Duration::from_secs(2) };
        let of = |seconds| pauses.shorten(Duration::from_secs(seconds));
        assert_eq!(of(10).played, Duration::from_secs(1));
        assert_eq!((of(300).played, of(86_400).played), (pauses.longest, pauses.longest));
        assert!(!of(300).is_long() && of(301).is_long());
        let until = |seconds, point| of(seconds).played_until(Duration::from_secs(point));
        assert_eq!((until(10, 5), until(10, 10)), (Duration::from_millis(500), of(10).played));
        assert_eq!(until(3_000, 300), Duration::from_millis(200));
        assert_eq!(until(0, 0), Duration::ZERO);
    }
}
