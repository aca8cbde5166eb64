//! The pauses between commands: which share of a preload is over before the next command begins.
//!
//! Learns from the end of a command to the beginning of the next; knows nothing of components. Invariant: a share is
//! within 0..=1, and 1 before the first pause.

use std::time::Duration;

use majordomo_core::Moment;

/// Pauses are counted by length: from a millisecond to half an hour, each the square root of two longer than the one before.
const N_LENGTHS: usize = 42;
const SHORTEST: f64 = 1e-3;
/// How fast old pauses are forgotten.
const RATE: f64 = 0.02;

/// Pauses between commands.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Decayed counts by length.
    counts: [f64; N_LENGTHS],
    /// When the last command ended, if none began since.
    ended: Option<Moment>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { counts: [0.0; N_LENGTHS], ended: None }
    }
}

fn seconds(length: usize) -> f64 {
    SHORTEST * 2f64.powf(length as f64 / 2.0)
}

impl Pace {
    /// A command ended.
    pub(crate) fn ended(&mut self, now: Moment) {
        self.ended = Some(now);
    }

    /// A command began.
    pub(crate) fn begun(&mut self, now: Moment) {
        let Some(ended) = self.ended.take() else { return };
        let pause = (now.since(ended).as_secs_f64() / SHORTEST).max(1.0);
        let length = (2.0 * pause.log2()).round() as usize;
        for count in &mut self.counts {
            *count *= 1.0 - RATE;
        }
        self.counts[length.min(N_LENGTHS - 1)] += RATE;
    }

    /// The expected share of a load, begun at the end of a command, that is over when the next command begins. A load that
    /// is begun while a command is at work has longer; that is not counted.
    pub(crate) fn share_before_next(&self, load_time: Duration) -> f64 {
        let load_time = load_time.as_secs_f64().max(1e-6);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (length, count) in self.counts.iter().enumerate() {
            sum += count * (seconds(length) / load_time).min(1.0);
            weight += count;
        }
        if weight > 0.0 { sum / weight } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pauses(pause_ms: u64) -> Pace {
        let mut pace = Pace::default();
        let mut now = Moment::ZERO;
        for _ in 0..20 {
            pace.ended(now);
            now += Duration::from_millis(pause_ms);
            pace.begun(now);
            now += Duration::from_secs(1);
        }
        pace
    }

    #[test]
    fn share_is_that_of_the_load_that_fits_into_the_usual_pause() {
        let share = |pause, load| with_pauses(pause).share_before_next(Duration::from_millis(load));
        assert_eq!(Pace::default().share_before_next(Duration::from_secs(9)), 1.0);
        assert_eq!(share(60_000, 2000), 1.0);
        assert!((0.4..=0.6).contains(&share(1000, 2000)), "{}", share(1000, 2000));
        assert!(share(0, 2000) < 0.01);
    }
}
