//! The back ends that a calibration chose, behind one [`Backend`], with the kernels under them.
//!
//! Owns the way of a batch to its back end and the fall-back. Invariant: every batch of the right length is answered; a back
//! end that failed once is not asked again.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use majordomo_predictor::{
    Backend, BackendError, Capabilities, DenseWeights, SimdBackend, WeightsId,
};

use crate::calibration::{BUCKETS, bucket_of};

/// The chosen back ends of one set of weights.
pub struct Selected {
    simd: SimdBackend,
    by_bucket: [Option<Arc<dyn Backend>>; BUCKETS.len()],
    /// Why the back ends are not asked any more.
    failed: OnceLock<String>,
    /// Rows answered by the kernels, and by another back end. Statistics: `Relaxed` suffices.
    rows: [AtomicU64; 2],
}

impl std::fmt::Debug for Selected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selected").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Selected {
    /// The kernels for every batch.
    #[must_use]
    pub fn kernels(weights: DenseWeights) -> Self {
        Self::new(weights, Default::default())
    }

    /// By bucket a back end, or the kernels. A back end for other weights is left out.
    #[must_use]
    pub fn new(
        weights: DenseWeights,
        mut by_bucket: [Option<Arc<dyn Backend>>; BUCKETS.len()],
    ) -> Self {
        for own in &mut by_bucket {
            own.take_if(|back_end| back_end.weights_id() != weights.id());
        }
        Self {
            simd: SimdBackend::new(weights),
            by_bucket,
            failed: OnceLock::new(),
            rows: Default::default(),
        }
    }

    /// The weights that it answers for.
    #[must_use]
    pub fn weights(&self) -> &DenseWeights {
        self.simd.weights()
    }

    /// By bucket, the name of the back end that answers now.
    #[must_use]
    pub fn names(&self) -> [&str; BUCKETS.len()] {
        let of = |own: &'_ Option<Arc<dyn Backend>>| own.is_some() && self.failed.get().is_none();
        let mut out = [SimdBackend::NAME; BUCKETS.len()];
        for (out, own) in out.iter_mut().zip(&self.by_bucket) {
            if of(own) {
                *out = own.as_ref().map_or(SimdBackend::NAME, |back_end| back_end.name());
            }
        }
        out
    }

    /// Why the back ends are not asked any more.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Rows answered: by the kernels, by another back end.
    #[must_use]
    pub fn rows_answered(&self) -> (u64, u64) {
        (self.rows[0].load(Ordering::Relaxed), self.rows[1].load(Ordering::Relaxed))
    }

    fn part(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        if let Some(back_end) =
            self.by_bucket[bucket_of(rows)].as_ref().filter(|_| self.failed.get().is_none())
        {
            match back_end.infer_batch(units, rows, out) {
                Ok(()) if out.iter().all(|score| score.is_finite()) => {
                    self.rows[1].fetch_add(rows as u64, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(()) => {
                    let why = format!("{}: a score is no number", back_end.name());
                    let _ = self.failed.set(why);
                }
                Err(error) => {
                    let _ = self.failed.set(format!("{}: {error}", back_end.name()));
                }
            }
        }
        self.rows[0].fetch_add(rows as u64, Ordering::Relaxed);
        self.simd.infer_batch(units, rows, out)
    }
}

impl Backend for Selected {
    fn name(&self) -> &str {
        self.names()[BUCKETS.len() - 1]
    }

    fn weights_id(&self) -> WeightsId {
        self.simd.weights_id()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { max_rows: usize::MAX, bits: 32 }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        let weights = self.simd.weights();
        weights.check(units, rows, out)?;
        let most = BUCKETS[BUCKETS.len() - 1];
        let (n_hidden, n_outputs) = (weights.n_hidden(), weights.n_outputs());
        let parts = units.chunks(most * n_hidden).zip(out.chunks_mut(most * n_outputs));
        for (units, out) in parts {
            self.part(units, units.len() / n_hidden, out)?;
        }
        Ok(())
    }
}
