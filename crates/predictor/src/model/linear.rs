//! The linear part: one linear support vector machine an output, all outputs in lockstep.
//!
//! Dual coordinate descent for the squared hinge loss (Hsieh et al., ICML 2008; what LIBLINEAR does) with
//! the weights of one bucket for all outputs side by side, so that one pass over a text's buckets serves
//! every output. No learning rate; deterministic given the seed. The online step is the same step on an
//! example that is new, which is the passive-aggressive update (Crammer et al., 2006, PA-II).

use std::sync::atomic::{AtomicBool, Ordering};

use majordomo_simd::Kernels;

use crate::model::tfidf::TextVector;
use crate::model::weighed::Weighed;
use crate::params::{LinearParams, OnlineParams};
use crate::rng::Rng;

/// Outputs are padded to a multiple of this, so that a row is whole vectors.
const LANES: usize = 8;

/// Up to this number of rows an error costs 1 + [`COST_OF_FEW`] times as much.
const FEW_ROWS: f32 = 100.0;
const COST_OF_FEW: f32 = 2.0;

/// Cost of an error against the size of the weights: few rows are seldom wrong, and each has n-grams of its own.
fn cost(c: f32, n_rows: usize) -> f32 {
    c * (1.0 + COST_OF_FEW * (FEW_ROWS / n_rows.max(1) as f32).min(1.0))
}

/// Weights and biases of all outputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    n_outputs: usize,
    /// Outputs and padding.
    stride: usize,
    /// `n_features × stride`, row-major; the topics come behind the buckets.
    pub(crate) weights: Vec<f32>,
    /// `stride` long.
    pub(crate) bias: Vec<f32>,
}

impl Linear {
    pub(crate) fn new(n_features: usize, n_outputs: usize) -> Self {
        let stride = n_outputs.next_multiple_of(LANES);
        Self { n_outputs, stride, weights: vec![0.0; n_features * stride], bias: vec![0.0; stride] }
    }

    /// Length of the buffers that [`margins`](Self::margins) takes.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Writes the margin of every output into `out`, which is `stride` long.
    pub(crate) fn margins(&self, kernels: Kernels, text: &TextVector, out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        kernels.gather_accumulate(&self.weights, &text.row_buckets, &text.row_weights, out);
    }

    /// The score that one bucket of weight 1 adds to an output.
    pub(crate) fn weight(&self, bucket: usize, output: usize) -> f32 {
        self.weights[bucket * self.stride + output]
    }

    fn add(&mut self, kernels: Kernels, text: &TextVector, bias_share: f32, steps: &[f32]) {
        kernels.axpy(bias_share, steps, &mut self.bias);
        for (&bucket, &weight) in text.row_buckets.iter().zip(&text.row_weights) {
            let row = &mut self.weights[bucket as usize * self.stride..][..self.stride];
            kernels.axpy(weight, steps, row);
        }
    }

    /// One step towards a new example, whose targets are the outputs with `is_on(output)`.
    pub(crate) fn learn(
        &mut self,
        kernels: Kernels,
        text: &TextVector,
        params: &OnlineParams,
        is_on: impl Fn(usize) -> bool,
        margins: &mut [f32],
    ) {
        self.margins(kernels, text, margins);
        let square: f32 = kernels.dot(&text.row_weights, &text.row_weights);
        let curvature = params.bias_share + square + 0.5 / params.c;
        for (output, m) in margins.iter_mut().enumerate() {
            let y = if is_on(output) { 1.0 } else { -1.0 };
            let loss = (1.0 - y * *m).max(0.0);
            *m = if output < self.n_outputs { y * loss / curvature } else { 0.0 };
        }
        self.add(kernels, text, params.bias_share, margins);
    }

    /// Fits from scratch to `rows`; stops early when cancelled.
    pub(crate) fn fit(
        texts: &Weighed<'_>,
        rows: &[u32],
        params: &LinearParams,
        rng: &mut Rng,
        cancel: &AtomicBool,
    ) -> Self {
        let kernels = Kernels::active();
        let set = texts.set;
        let n_outputs = set.n_outputs();
        let mut model = Self::new(texts.n_features(), n_outputs);
        let stride = model.stride;
        let mut alphas = vec![0.0f32; rows.len() * stride];
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let mut margins = vec![0.0; stride];
        let mut targets = vec![-1.0f32; stride];
        let mut text = TextVector::default();
        let diagonal = 0.5 / cost(params.c, rows.len());
        // The bias counts as a feature of value 1.
        let curvature = 1.0 + texts.square() + diagonal;
        for _ in 0..params.max_epochs {
            rng.shuffle(&mut order);
            let mut largest = 0.0f32;
            for &at in &order {
                if cancel.load(Ordering::Relaxed) {
                    return model;
                }
                let row = rows[at as usize] as usize;
                texts.vector(row, &mut text);
                model.margins(kernels, &text, &mut margins);
                for &output in set.outputs(row) {
                    targets[output as usize] = 1.0;
                }
                let alpha = &mut alphas[at as usize * stride..][..stride];
                for ((m, y), a) in margins.iter_mut().zip(&targets).zip(alpha).take(n_outputs) {
                    let gradient = y * *m - 1.0 + diagonal * *a;
                    let step = (*a - gradient / curvature).max(0.0) - *a;
                    *a += step;
                    *m = step * y;
                    largest = largest.max(step.abs());
                }
                margins[n_outputs..].fill(0.0);
                for &output in set.outputs(row) {
                    targets[output as usize] = -1.0;
                }
                model.add(kernels, &text, 1.0, &margins);
            }
            if largest < params.tolerance {
                break;
            }
        }
        model
    }

    /// The same weights for `n_outputs` outputs: output `i` from `from(i)`, or zero.
    pub(crate) fn remap(&self, n_outputs: usize, from: impl Fn(usize) -> Option<usize>) -> Self {
        let n_features = self.weights.len() / self.stride.max(1);
        let mut out = Self::new(n_features, n_outputs);
        for output in 0..n_outputs {
            let Some(source) = from(output) else {
                // A label without examples is off: the margin of a class without examples.
                out.bias[output] = -1.0;
                continue;
            };
            out.bias[output] = self.bias[source];
            for bucket in 0..n_features {
                out.weights[bucket * out.stride + output] =
                    self.weights[bucket * self.stride + source];
            }
        }
        out
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.weights.as_slice()) + size_of_val(self.bias.as_slice())
    }

    pub(crate) fn pack(&self) -> PackedLinear {
        let n_features = self.weights.len() / self.stride;
        let mut out = PackedLinear {
            bias: self.bias.clone(),
            n_outputs: self.n_outputs,
            scales: Vec::with_capacity(n_features),
            rows: Vec::with_capacity(n_features * self.n_outputs),
        };
        for row in self.weights.chunks_exact(self.stride) {
            let row = &row[..self.n_outputs];
            let largest = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            out.scales.push(largest / LARGEST_PACKED);
            let scale = LARGEST_PACKED / largest.max(f32::MIN_POSITIVE);
            out.rows.extend(row.iter().map(|x| (x * scale).round() as i16));
        }
        out
    }
}

const LARGEST_PACKED: f32 = 32767.0;

/// A linear part in 16 bits with one scale a row and without padding.
#[derive(Clone, Debug)]
pub(crate) struct PackedLinear {
    bias: Vec<f32>,
    n_outputs: usize,
    /// By row: the value of 1.
    scales: Vec<f32>,
    /// `n_features × n_outputs`, row-major.
    rows: Vec<i16>,
}

impl PackedLinear {
    pub(crate) fn unpack(self) -> Linear {
        let mut out = Linear::new(self.scales.len(), self.n_outputs);
        out.bias = self.bias;
        let packed = self.rows.chunks_exact(self.n_outputs).zip(&self.scales);
        for (row, (packed, scale)) in out.weights.chunks_exact_mut(out.stride).zip(packed) {
            for (x, q) in row.iter_mut().zip(packed) {
                *x = f32::from(*q) * scale;
            }
        }
        out
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = size_of_val(self.rows.as_slice()) + size_of_val(self.scales.as_slice());
        rows + size_of_val(self.bias.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_at_most_half_a_step() {
        let mut rng = Rng::new(1);
        let mut before = Linear::new(64, 5);
        for row in before.weights.chunks_exact_mut(before.stride).skip(1) {
            row[..5].iter_mut().for_each(|x| *x = rng.normal());
        }
        before.bias[3] = -0.3;
        let packed = before.pack();
        let scales = packed.scales.clone();
        let after = packed.unpack();
        assert_eq!((after.n_outputs, after.stride, &after.bias), (5, 8, &before.bias));
        let stride = before.stride;
        for (at, (a, b)) in before.weights.iter().zip(&after.weights).enumerate() {
            assert!((a - b).abs() <= 0.51 * scales[at / stride], "{a} {b}");
        }
    }
}
