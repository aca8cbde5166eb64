//! The forward pass of the dense layers for many rows at once, and the weights that it is for.
//!
//! Owns the trait that every back end implements and the default back end, the kernels of `majordomo-simd`. Knows no other
//! back end, and nothing of how one is chosen. Invariant: a back end answers for one set of weights only, which its
//! [`WeightsId`] names; callers compare it before every batch.

use std::sync::Arc;

use majordomo_simd::Kernels;

use crate::intents::TextSnapshot;
use crate::model::Mode;
use crate::model::dense::Dense;
use crate::prior::Prior;

/// Names the weights of a forward pass: different for weights of different content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightsId(pub u64);

/// How scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Head {
    /// The probabilities of a row sum to 1 (softmax).
    Exclusive,
    /// Every output by itself (sigmoid).
    Independent,
}

impl From<Mode> for Head {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Independent => Self::Independent,
        }
    }
}

/// Why weights do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dense layers of {n_hidden} units and {n_outputs} outputs cannot have {n_weights} weights")]
#[expect(missing_docs, reason = "the message says it")]
pub struct ShapeError {
    pub n_hidden: usize,
    pub n_outputs: usize,
    pub n_weights: usize,
}

/// The dense layers of one snapshot: from the pooled hidden units of a text to the scores of its outputs.
///
/// `scores = weights · max(0, units + hidden_bias) + bias`. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseWeights {
    id: WeightsId,
    version: u64,
    head: Head,
    hidden_bias: Arc<[f32]>,
    weights: Arc<[f32]>,
    bias: Arc<[f32]>,
}

impl DenseWeights {
    /// Weights of `hidden_bias.len()` units and `bias.len()` outputs; `weights` is `n_outputs × n_hidden`, row-major.
    /// `version` is the snapshot's, 0 where there is none.
    ///
    /// # Errors
    /// When there is no unit, no output, or another number of weights.
    pub fn new(
        version: u64,
        head: Head,
        hidden_bias: impl Into<Arc<[f32]>>,
        weights: impl Into<Arc<[f32]>>,
        bias: impl Into<Arc<[f32]>>,
    ) -> Result<Self, ShapeError> {
        let (hidden_bias, weights, bias) = (hidden_bias.into(), weights.into(), bias.into());
        let (n_hidden, n_outputs, n_weights) = (hidden_bias.len(), bias.len(), weights.len());
        if n_hidden == 0 || n_outputs == 0 || n_hidden.checked_mul(n_outputs) != Some(n_weights) {
            return Err(ShapeError { n_hidden, n_outputs, n_weights });
        }
        let mut bytes = Vec::with_capacity(4 * (n_weights + n_hidden + n_outputs) + 17);
        bytes.push(u8::from(head == Head::Exclusive));
        bytes.extend_from_slice(&(n_hidden as u64).to_le_bytes());
        bytes.extend_from_slice(&(n_outputs as u64).to_le_bytes());
        for x in hidden_bias.iter().chain(&*weights).chain(&*bias) {
            bytes.extend_from_slice(&x.to_le_bytes());
        }
        let id = WeightsId(majordomo_simd::hash_bytes(&bytes, ID_SEED));
        Ok(Self { id, version, head, hidden_bias, weights, bias })
    }

    fn of(dense: &Dense, version: u64, head: Head) -> Option<Self> {
        let Dense { hidden_bias, weights, bias } = dense;
        Self::new(version, head, &hidden_bias[..], &weights[..], &bias[..]).ok()
    }

    /// The name of these weights, by their content.
    #[must_use]
    pub fn id(&self) -> WeightsId {
        self.id
    }

    /// Version of the snapshot that they were taken from, as [`TextSnapshot::version`]; 0 for a prior.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How the scores become probabilities.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Number of hidden units, the length of an input row.
    #[must_use]
    pub fn n_hidden(&self) -> usize {
        self.hidden_bias.len()
    }

    /// Number of outputs, the length of an output row: "no component", then one a label.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.bias.len()
    }

    /// Added to the units before they are clipped at 0; by unit.
    #[must_use]
    pub fn hidden_bias(&self) -> &[f32] {
        &self.hidden_bias
    }

    /// `n_outputs × n_hidden`, row-major.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// By output.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Checks the lengths of a batch of `rows` rows.
    ///
    /// # Errors
    /// [`BackendError::Shape`].
    pub fn check(&self, units: &[f32], rows: usize, out: &[f32]) -> Result<(), BackendError> {
        let fits = rows.checked_mul(self.n_hidden()) == Some(units.len())
            && rows.checked_mul(self.n_outputs()) == Some(out.len());
        fits.then_some(()).ok_or(BackendError::Shape {
            rows,
            n_units: units.len(),
            n_scores: out.len(),
        })
    }

    /// Turns rows of scores into rows of probabilities, in place.
    pub fn activate(&self, scores: &mut [f32]) {
        let kernels = Kernels::active();
        for row in scores.chunks_exact_mut(self.n_outputs()) {
            match self.head {
                Head::Exclusive => kernels.softmax(row),
                Head::Independent => kernels.sigmoid(row),
            }
        }
    }
}

const ID_SEED: u64 = 0x4445_4e53;

/// Why a back end did not answer. The caller asks the default back end instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BackendError {
    /// The lengths of the buffers do not belong to the number of rows.
    #[error("{n_units} units and {n_scores} scores are not a batch of {rows} rows")]
    Shape { rows: usize, n_units: usize, n_scores: usize },
    /// No answer within the time that the back end has.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// Its queue is full.
    #[error("{0} batches wait already")]
    Busy(usize),
    /// It has ended or was given up.
    #[error("the back end has ended: {0}")]
    Ended(String),
    /// The platform reported a failure.
    #[error("{0}")]
    Failed(String),
}

/// Limits of a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Most rows of one batch, from 1; callers split longer ones.
    pub max_rows: usize,
    /// Bits of the numbers that it computes with.
    pub bits: u8,
}

/// Computes the dense forward pass for batches. Calls may come from several threads.
pub trait Backend: Send + Sync {
    /// A short name for people, such as `simd`.
    fn name(&self) -> &str;

    /// The weights that it answers for.
    fn weights_id(&self) -> WeightsId;

    /// Its limits.
    fn capabilities(&self) -> Capabilities;

    /// Computes the scores of `rows` rows: `units` is `rows × n_hidden` (before bias and clipping), `out` is
    /// `rows × n_outputs`, both row-major.
    ///
    /// # Errors
    /// See [`BackendError`]; `out` is undefined then.
    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError>;
}

/// The default back end: the kernels of `majordomo-simd`, row by row, with the results of a single query bit for bit.
#[derive(Clone, Debug)]
pub struct SimdBackend {
    weights: DenseWeights,
}

impl SimdBackend {
    /// The name of this back end.
    pub const NAME: &'static str = "simd";

    /// The back end of these weights.
    #[must_use]
    pub fn new(weights: DenseWeights) -> Self {
        Self { weights }
    }

    /// The weights that its answers are computed from.
    #[must_use]
    pub fn weights(&self) -> &DenseWeights {
        &self.weights
    }
}

impl Backend for SimdBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn weights_id(&self) -> WeightsId {
        self.weights.id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { max_rows: usize::MAX, bits: 32 }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        self.weights.check(units, rows, out)?;
        let w = &self.weights;
        let kernels = Kernels::active();
        let mut active = vec![0.0; w.n_hidden()];
        let rows = units.chunks_exact(w.n_hidden()).zip(out.chunks_exact_mut(w.n_outputs()));
        for (units, scores) in rows {
            active.copy_from_slice(units);
            kernels.axpy(1.0, &w.hidden_bias, &mut active);
            kernels.relu(&mut active);
            kernels.matvec(&w.weights, &active, scores);
            kernels.axpy(1.0, &w.bias, scores);
        }
        Ok(())
    }
}

impl TextSnapshot {
    /// The dense layers of the model; none without a model.
    #[must_use]
    pub fn dense(&self) -> Option<DenseWeights> {
        let model = self.model.as_deref()?;
        DenseWeights::of(&model.mlp.dense, self.version, model.mode.into())
    }
}

impl Prior {
    /// The dense layers, which never change: one output a topic.
    #[must_use]
    pub fn dense_weights(&self) -> Option<DenseWeights> {
        DenseWeights::of(self.dense(), 0, Head::Exclusive)
    }
}
