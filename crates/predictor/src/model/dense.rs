//! The dense layers behind the first one: ReLU and one output a label.
//!
//! They are separate behind [`DenseForward`], so that another back end can replace them: the layers
//! before them are sparse and irregular, while they are a small fixed graph.

use majordomo_simd::Kernels;

use crate::rng::Rng;

/// Computes output scores from the pooled hidden units of a text.
pub trait DenseForward: Send + Sync {
    /// Number of hidden units.
    fn n_hidden(&self) -> usize;

    /// Number of scores: one for "no component" and one a label.
    fn n_outputs(&self) -> usize;

    /// Adds the bias to `units` (of length `n_hidden`), clips them at 0 in place, and writes the scores
    /// into `scores` (of length `n_outputs`).
    fn forward(&self, units: &mut [f32], scores: &mut [f32]);
}

/// The dense layers on the CPU, through the kernels of `majordomo-simd`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    pub(crate) hidden_bias: Vec<f32>,
    /// `n_outputs × n_hidden`, row-major.
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl DenseForward for Dense {
    fn n_hidden(&self) -> usize {
        self.hidden_bias.len()
    }

    fn n_outputs(&self) -> usize {
        self.bias.len()
    }

    fn forward(&self, units: &mut [f32], scores: &mut [f32]) {
        let kernels = Kernels::active();
        kernels.axpy(1.0, &self.hidden_bias, units);
        kernels.relu(units);
        self.output(kernels, units, scores);
    }
}

impl Dense {
    pub(crate) fn new(n_hidden: usize, n_outputs: usize, rng: &mut Rng) -> Self {
        let sd = (1.0 / n_hidden as f32).sqrt();
        Self {
            hidden_bias: vec![0.0; n_hidden],
            weights: (0..n_hidden * n_outputs).map(|_| sd * rng.normal()).collect(),
            bias: vec![0.0; n_outputs],
        }
    }

    pub(crate) fn output(&self, kernels: Kernels, activations: &[f32], scores: &mut [f32]) {
        kernels.matvec(&self.weights, activations, scores);
        kernels.axpy(1.0, &self.bias, scores);
    }

    pub(crate) fn row_mut(&mut self, output: usize) -> &mut [f32] {
        let n = self.hidden_bias.len();
        &mut self.weights[output * n..][..n]
    }

    /// A step down the gradient `errors` (probability minus target) of the outputs alone.
    pub(crate) fn learn(
        &mut self,
        kernels: Kernels,
        activations: &[f32],
        errors: &[f32],
        rate: f32,
    ) {
        for (output, &error) in errors.iter().enumerate() {
            kernels.axpy(-rate * error, activations, self.row_mut(output));
            self.bias[output] -= rate * error;
        }
    }

    /// The same layers for `n_outputs` outputs: output `i` from `from(i)`, or a new one.
    pub(crate) fn remap(&self, n_outputs: usize, from: impl Fn(usize) -> Option<usize>) -> Self {
        let n = self.hidden_bias.len();
        let mut out = Self {
            hidden_bias: self.hidden_bias.clone(),
            weights: vec![0.0; n * n_outputs],
            bias: vec![NEW_LABEL_BIAS; n_outputs],
        };
        for output in 0..n_outputs {
            if let Some(source) = from(output) {
                out.row_mut(output).copy_from_slice(&self.weights[source * n..][..n]);
                out.bias[output] = self.bias[source];
            }
        }
        out
    }
}

/// Score of a label without examples: unlikely, and quickly outweighed.
const NEW_LABEL_BIAS: f32 = -2.0;
