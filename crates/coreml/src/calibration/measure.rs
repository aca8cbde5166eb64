//! One back end, checked and timed: the work of a calibration child.
//!
//! Owns the order of the calls. Time comes from a [`Stopwatch`], so that tests run on a clock of their own. Judges nothing.

use std::time::Duration;

use majordomo_predictor::{Backend, BackendError, DenseWeights};
use serde::{Deserialize, Serialize};

use super::{BUCKETS, Plan, Timing};

/// Calls before the first that counts.
const WARM_UP: usize = 3;

/// The clock of a measurement.
pub trait Stopwatch {
    /// Time since a fixed moment.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn idle(&self, time: Duration);
}

/// The clock of the machine.
#[derive(Debug)]
pub struct RealTime(std::time::Instant);

impl RealTime {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Stopwatch for RealTime {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "a pause of the measured device")]
    fn idle(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The report of a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The scores of all probes: in batches of each bucket, and row by row again after the times were measured.
    pub(crate) scores: Vec<Vec<f32>>,
    pub(crate) timings: Vec<Timing>,
    pub(crate) placement: Vec<(String, u32)>,
}

/// Asks a back end for the scores of the probes: a model of a batch size may be a file of its own.
pub(crate) fn check(
    back_end: &dyn Backend,
    weights: &DenseWeights,
    probes: &[f32],
) -> Result<Report, BackendError> {
    let most = back_end.capabilities().max_rows.max(1);
    let served = BUCKETS.into_iter().filter(|rows| *rows <= most);
    let scores =
        served.map(|rows| answers(back_end, weights, probes, rows)).collect::<Result<_, _>>()?;
    Ok(Report { scores, timings: Vec::new(), placement: Vec::new() })
}

/// As [`check`], and times it.
pub(crate) fn measure(
    back_end: &dyn Backend,
    weights: &DenseWeights,
    probes: &[f32],
    plan: Plan,
    clock: &dyn Stopwatch,
) -> Result<Report, BackendError> {
    let plan = plan.clamped();
    let n_hidden = weights.n_hidden();
    let most = back_end.capabilities().max_rows.max(1);
    let mut report = check(back_end, weights, probes)?;
    for rows in BUCKETS.into_iter().filter(|rows| *rows <= most) {
        let units: Vec<f32> = probes.iter().copied().cycle().take(rows * n_hidden).collect();
        if units.len() < rows * n_hidden {
            return Err(BackendError::Failed("there is no row to measure with".to_owned()));
        }
        let mut out = vec![0.0; rows * weights.n_outputs()];
        let mut call = || {
            let since = clock.elapsed();
            back_end.infer_batch(&units, rows, &mut out)?;
            Ok::<_, BackendError>(clock.elapsed().saturating_sub(since))
        };
        for _ in 0..WARM_UP {
            call()?;
        }
        let mut hot = (0..plan.hot_calls).map(|_| call()).collect::<Result<Vec<_>, _>>()?;
        let mut idle = Vec::new();
        for _ in 0..plan.idle_calls {
            clock.idle(plan.idle);
            idle.push(call()?);
        }
        hot.sort_unstable();
        idle.sort_unstable();
        report.timings.push(Timing {
            rows: rows as u32,
            hot: percentile(&hot, 50),
            hot_p99: percentile(&hot, 99),
            idle: percentile(&idle, 50),
        });
    }
    report.scores.push(answers(back_end, weights, probes, 1)?);
    Ok(report)
}

/// The value of which this share is not above; `sorted` is not empty.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}

fn answers(
    back_end: &dyn Backend,
    weights: &DenseWeights,
    probes: &[f32],
    rows: usize,
) -> Result<Vec<f32>, BackendError> {
    let (n_hidden, n_outputs) = (weights.n_hidden(), weights.n_outputs());
    let mut out = vec![0.0; probes.len() / n_hidden * n_outputs];
    let batches = probes.chunks(rows * n_hidden).zip(out.chunks_mut(rows * n_outputs));
    for (units, out) in batches {
        back_end.infer_batch(units, units.len() / n_hidden, out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let ms: Vec<Duration> = (1..=4).map(Duration::from_millis).collect();
        for (percent, at) in [(0, 1), (25, 1), (50, 2), (51, 3), (99, 4), (100, 4)] {
            assert_eq!(percentile(&ms, percent), Duration::from_millis(at), "{percent}");
        }
    }
}
