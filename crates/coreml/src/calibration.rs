//! Back ends chosen by measurement: what is measured, what a measurement says, and the choice.
//!
//! Every back end is checked and measured in a child process of its own ([`child`]), since the frameworks behind one can
//! abort or hang the process that asks them. Owns the plan of a measurement and its results. Does not know how a back end
//! computes. Invariant: a back end is chosen only if its results were compared with the kernels' here, in the parent.

pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod choice;
pub(crate) mod measure;
pub(crate) mod run;
pub(crate) mod spawn;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use majordomo_predictor::{Backend, BackendError, DenseWeights};
use serde::{Deserialize, Serialize};

/// Rows of the batches that are measured. A batch belongs to the largest bucket that it fills.
pub const BUCKETS: [usize; 5] = [1, 8, 32, 128, 512];

/// The position of the bucket of a batch of `rows` rows.
#[must_use]
pub fn bucket_of(rows: usize) -> usize {
    BUCKETS.iter().rposition(|&bucket| bucket <= rows).unwrap_or(0)
}

/// How a back end is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Calls of each bucket one after the other. Range 1..=10 000, default 30.
    pub hot_calls: u32,
    /// Calls of each bucket after a pause. Range 1..=100, default 3.
    pub idle_calls: u32,
    /// The pause before each of them; accelerators fall asleep within it. Default 2 s.
    pub idle: Duration,
    /// The child of one back end is killed after this long. Default 2 minutes.
    pub deadline: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            hot_calls: 30,
            idle_calls: 3,
            idle: Duration::from_secs(2),
            deadline: Duration::from_secs(120),
        }
    }
}

impl Plan {
    /// The plan with every value in its range.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            hot_calls: self.hot_calls.clamp(1, 10_000),
            idle_calls: self.idle_calls.clamp(1, 100),
            ..self
        }
    }
}

/// The times of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Rows of the batch.
    pub rows: u32,
    /// Median of the calls one after the other.
    pub hot: Duration,
    /// The time that 99 % of them did not exceed.
    pub hot_p99: Duration,
    /// Median of the calls after a pause.
    pub idle: Duration,
}

/// Why a back end is not chosen at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Rejection {
    #[error("wrong result: probabilities differ by {difference:.4} (at most {allowed} is allowed)")]
    WrongResult { difference: f32, allowed: f32 },
    #[error("wrong result: {flips} of {rows} decisions differ")]
    WrongDecision { flips: u32, rows: u32 },
    #[error("wrong result: {0}")]
    NoNumber(String),
    #[error("its process ended: {0}")]
    Crashed(String),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Failed(String),
}

/// One back end after its measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The name of the back end.
    pub name: String,
    /// Largest difference of a probability from the kernels'; none where it was not checked with the current weights, since
    /// another is faster.
    pub difference: Option<f32>,
    /// By bucket; a bucket that the back end does not serve is missing.
    pub timings: Vec<Timing>,
    /// Operations of the model by the device that runs them, where the platform reports it.
    pub placement: Vec<(String, u32)>,
}

/// A back end with the result of its calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name of the back end.
    pub name: String,
    /// The measurement, or why there is none to go by.
    pub result: Result<Measured, Rejection>,
}

/// Makes back ends by name, in the manager and in its calibration children.
pub trait Maker: Send + Sync {
    /// The names of the back ends besides the kernels, in the order of preference among equals.
    fn names(&self) -> Vec<String>;

    /// The facts besides its name that the times of a back end depend on: precision, devices, the version of a library. A change makes
    /// kept times invalid.
    fn settings(&self, name: &str) -> String {
        let _ = name;
        String::new()
    }

    /// Writes what [`make`](Self::make) needs into `folder`, such as a model's file: the same files for the same weights. May be
    /// slow; called off every hot path, once for each set of weights that another back end than the kernels may answer.
    ///
    /// # Errors
    /// When the files cannot be written; no back end of these weights is made then.
    fn prepare(&self, weights: &DenseWeights, folder: &Path) -> Result<(), BackendError>;

    /// Makes a back end, from the files of [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// An unknown name, or whatever the platform reports.
    fn make(
        &self,
        name: &str,
        weights: &DenseWeights,
        folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError>;

    /// Operations of the model by device, after [`make`](Self::make); empty where the platform does not report it.
    fn placement(&self, name: &str, folder: &Path) -> Vec<(String, u32)> {
        let _ = (name, folder);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_belong_to_the_largest_bucket_that_they_fill() {
        for (rows, bucket) in [(0, 0), (1, 0), (7, 0), (8, 1), (127, 2), (128, 3), (9999, 4)] {
            assert_eq!(bucket_of(rows), bucket, "{rows}");
        }
    }
}
