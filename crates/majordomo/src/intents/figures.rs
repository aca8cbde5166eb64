//! Figures of intents for the status: counted by queries without a lock, and by the learner.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use majordomo_core::{ByteSize, StatusValue};
use majordomo_predictor::Decision;

use super::view::View;

/// Buckets of latency per octave.
const STEPS: u32 = 8;
/// Octaves of nanoseconds: up to some four seconds.
const OCTAVES: u32 = 32;

/// Counters that every thread adds to. All are statistics: nothing is decided by them but the bound of the queue,
/// and none orders other memory, so `Relaxed` suffices.
#[derive(Debug)]
pub(super) struct Figures {
    confident: AtomicU64,
    unsure: AtomicU64,
    none: AtomicU64,
    queued: AtomicU64,
    dropped: AtomicU64,
    /// Queries by the logarithm of their nanoseconds.
    latency: Box<[AtomicU64]>,
}

impl Default for Figures {
    fn default() -> Self {
        let latency = (0..OCTAVES * STEPS).map(|_| AtomicU64::new(0)).collect();
        let zero = || AtomicU64::new(0);
        Self {
            confident: zero(),
            unsure: zero(),
            none: zero(),
            queued: zero(),
            dropped: zero(),
            latency,
        }
    }
}

impl Figures {
    /// Counts a query.
    pub(super) fn answered(&self, decision: Decision, took: Duration) {
        let count = match decision {
            Decision::Confident => &self.confident,
            Decision::Unsure => &self.unsure,
            Decision::None => &self.none,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.latency[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an outcome into the queue. False, and counted as dropped, when `max` wait already.
    pub(super) fn enqueue(&self, max: u64) -> bool {
        let room = |n| (n < max).then_some(n + 1);
        let ok = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !ok {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        ok
    }

    /// Counts an outcome out of the queue.
    pub(super) fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// The time that a share of the queries did not exceed, to an eighth of an octave.
    fn percentile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self.latency.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let rank = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let at = counts.iter().position(|n| {
            seen += n;
            seen >= rank && seen > 0
        });
        at.map_or(Duration::ZERO, upper)
    }

    /// The section of the status.
    pub(super) fn rows(&self, view: &View) -> Vec<(String, StatusValue)> {
        let count = |n: &AtomicU64| StatusValue::Count(n.load(Ordering::Relaxed));
        let learner = &view.learner;
        let share = |right: u64, n: u64| {
            StatusValue::Number(if n == 0 { 0.0 } else { right as f64 / n as f64 })
        };
        let settings = &view.settings.intents;
        let rows = [
            ("enabled", StatusValue::Bool(settings.enabled)),
            ("learn", StatusValue::Bool(settings.enabled && settings.learn)),
            ("answered", count(&self.confident)),
            ("unsure", count(&self.unsure)),
            ("none", count(&self.none)),
            ("query_p50", StatusValue::Time(self.percentile(0.5))),
            ("query_p99", StatusValue::Time(self.percentile(0.99))),
            ("learned", StatusValue::Count(learner.learned)),
            ("accuracy", share(learner.right, learner.learned)),
            ("accuracy_last_100", share(learner.recent.0, learner.recent.1)),
            ("outcomes_kept", StatusValue::Count(learner.outcomes as u64)),
            ("outcomes_queued", count(&self.queued)),
            ("outcomes_dropped", count(&self.dropped)),
            ("retraining", StatusValue::Bool(learner.retraining)),
            ("retrains", StatusValue::Count(learner.retrains)),
            ("retrains_rejected", StatusValue::Count(learner.rejected)),
            ("model_version", StatusValue::Count(view.text.version())),
            ("model_bytes", StatusValue::Bytes(ByteSize(learner.bytes as u64))),
            ("state_writes", StatusValue::Count(learner.writes)),
            ("state", StatusValue::Text(learner.state.clone())),
        ];
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn bucket(took: Duration) -> usize {
    let ns = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX).max(STEPS);
    let octave = ns.ilog2();
    let step = (ns - (1 << octave)) >> (octave - STEPS.ilog2());
    (octave * STEPS + step) as usize
}

/// The longest time of a bucket.
fn upper(bucket: usize) -> Duration {
    let (octave, step) = (bucket as u32 / STEPS, bucket as u64 % u64::from(STEPS));
    Duration::from_nanos((1u64 << octave) + (((step + 1) << octave) / u64::from(STEPS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_an_eighth_of_an_octave() {
        let check = |ns: u64| {
            let shown = upper(bucket(Duration::from_nanos(ns))).as_nanos() as u64;
            assert!(shown >= ns && shown <= ns + ns / 8 + 1, "{ns} is shown as {shown}");
        };
        for ns in (8..100_000).chain([1 << 20, (1 << 31) + 5, u64::from(u32::MAX)]) {
            check(ns);
        }
        assert!(bucket(Duration::from_secs(3600)) < (OCTAVES * STEPS) as usize);
        let figures = Figures::default();
        assert_eq!(figures.percentile(0.5), Duration::ZERO);
        for us in 1..=100 {
            figures.answered(Decision::None, Duration::from_micros(us));
        }
        let p50 = figures.percentile(0.5).as_nanos();
        assert!((50_000..57_000).contains(&p50), "{p50}");
    }

    #[test]
    fn queue_of_outcomes_is_bounded() {
        let figures = Figures::default();
        assert!(figures.enqueue(2) && figures.enqueue(2) && !figures.enqueue(2));
        figures.dequeue();
        assert!(figures.enqueue(2));
        assert_eq!(figures.dropped.load(Ordering::Relaxed), 1);
    }
}
