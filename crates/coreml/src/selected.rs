//! The back ends that a calibration chose, behind one [`Backend`], with the kernels under them.
//!
//! Owns the way of a batch to its back end and the fall-back. Invariants: every batch of the right length is answered; a back
//! end that failed once is not asked again, and gets no more rows at a time than it takes.

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
    others: Vec<Other>,
    /// Places in `others`.
    by_bucket: [Option<usize>; BUCKETS.len()],
    /// Rows answered by the kernels, and by another back end. Statistics: `Relaxed` suffices.
    rows: [AtomicU64; 2],
}

/// A chosen back end besides the kernels.
struct Other {
    back_end: Arc<dyn Backend>,
    /// Why it is not asked any more.
    failed: OnceLock<String>,
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
        let mut others: Vec<Other> = Vec::new();
        let by_bucket = by_bucket.map(|own| {
            let back_end = own?;
            let known = others.iter().position(|other| Arc::ptr_eq(&other.back_end, &back_end));
            Some(known.unwrap_or_else(|| {
                others.push(Other { back_end, failed: OnceLock::new() });
                others.len() - 1
            }))
        });
        Self { simd: SimdBackend::new(weights), others, by_bucket, rows: Default::default() }
    }

    /// The weights that it answers for.
    #[must_use]
    pub fn weights(&self) -> &DenseWeights {
        self.simd.weights()
    }

    /// By bucket, the name of the back end that answers now.
    #[must_use]
    pub fn names(&self) -> [&str; BUCKETS.len()] {
        std::array::from_fn(|bucket| {
            self.asked(bucket).map_or(SimdBackend::NAME, |other| other.back_end.name())
        })
    }

    /// The back end of a bucket besides the kernels, unless it has failed.
    fn asked(&self, bucket: usize) -> Option<&Other> {
        let other = self.others.get(self.by_bucket[bucket]?)?;
        other.failed.get().is_none().then_some(other)
    }

    /// Why a back end is not asked any more: the first that failed.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.others.iter().find_map(|other| other.failed.get()).map(String::as_str)
    }

    /// Rows answered: by the kernels, by another back end.
    #[must_use]
    pub fn rows_answered(&self) -> (u64, u64) {
        (self.rows[0].load(Ordering::Relaxed), self.rows[1].load(Ordering::Relaxed))
    }

    fn part(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        if let Some(other) = self.asked(bucket_of(rows)) {
            match self.by(&*other.back_end, units, out) {
                Ok(()) => {
                    self.rows[1].fetch_add(rows as u64, Ordering::Relaxed);
                    return Ok(());
                }
                Err(why) => {
                    let _ = other.failed.set(format!("{}: {why}", other.back_end.name()));
                }
            }
        }
        self.rows[0].fetch_add(rows as u64, Ordering::Relaxed);
        self.simd.infer_batch(units, rows, out)
    }

    /// Rows by another back end, as many at a time as it takes.
    fn by(&self, back_end: &dyn Backend, units: &[f32], out: &mut [f32]) -> Result<(), String> {
        let weights = self.simd.weights();
        let (n_hidden, n_outputs) = (weights.n_hidden(), weights.n_outputs());
        let most = back_end.capabilities().max_rows.clamp(1, BUCKETS[BUCKETS.len() - 1]);
        for (units, out) in units.chunks(most * n_hidden).zip(out.chunks_mut(most * n_outputs)) {
            back_end
                .infer_batch(units, units.len() / n_hidden, out)
                .map_err(|error| error.to_string())?;
            if !out.iter().all(|score| score.is_finite()) {
                return Err("a score is no number".to_owned());
            }
        }
        Ok(())
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
