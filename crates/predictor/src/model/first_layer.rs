//! The first layer: hashed n-grams to hidden units, pooled over words.
//!
//! Units that read the full text sum the rows of all its n-grams. A windowed unit does so for every run
//! of a few words and keeps the strongest answer, as a convolution with max-pooling does (Collobert et
//! al., 2011); a command inside a longer sentence then has the same answer as alone. Each sum is divided by
//! the norm of its weights, so that it does not depend on length. The rows are read once for both. This layer is
//! trained; a trained one answers from its rows in 8 bits ([`PackedLayer`](super::packed::PackedLayer)).

use std::ops::Range;

use majordomo_simd::Kernels;

use crate::model::tfidf::TextVector;
use crate::rng::Rng;

/// (units, words); 0 words stands for the full text.
pub(crate) type Pool = (usize, usize);

/// Rows by bucket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FirstLayer {
    pub(crate) n_hidden: usize,
    pub(crate) pools: [Pool; 3],
    /// `n_buckets × n_hidden`, row-major.
    pub(crate) weights: Vec<f32>,
}

/// The result of the forward pass, for the dense layers and for the backward pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pooled {
    /// Sums over the first words: `(n_words + 1) × n_hidden`.
    sums: Vec<f32>,
    squares: Vec<f32>,
    /// By unit: the pooled answer, the first word of its window, and the factor on its sum.
    pub(crate) units: Vec<f32>,
    first_words: Vec<u32>,
    factors: Vec<f32>,
    /// Gradient by word, of the backward pass.
    deltas: Vec<f32>,
    /// Weights of the n-grams, times the scales of their packed rows.
    pub(crate) scaled: Vec<f32>,
}

/// Adagrad with one accumulator a row.
#[derive(Clone, Debug)]
pub(crate) struct RowAdagrad {
    pub(crate) rate: f32,
    pub(crate) epsilon: f32,
    /// Sum of mean squares of gradients by bucket.
    pub(crate) squares: Vec<f32>,
}

fn factor(square: f32) -> f32 {
    if square > 1e-9 { 1.0 / square.sqrt() } else { 0.0 }
}

impl FirstLayer {
    pub(crate) fn new(n_buckets: usize, pools: [Pool; 3], sd: f32, rng: &mut Rng) -> Self {
        let n_hidden = pools.iter().map(|p| p.0).sum();
        let weights = (0..n_buckets * n_hidden).map(|_| sd * rng.normal()).collect();
        Self { n_hidden, pools, weights }
    }

    pub(crate) fn row(&self, bucket: usize) -> &[f32] {
        &self.weights[bucket * self.n_hidden..][..self.n_hidden]
    }

    pub(crate) fn forward(&self, kernels: Kernels, text: &TextVector, out: &mut Pooled) {
        out.read(&self.pools, text, |range, sum| {
            let (buckets, weights) = (&text.buckets[range.clone()], &text.weights[range]);
            kernels.gather_accumulate(&self.weights, buckets, weights, sum);
        });
    }

    /// Takes an Adagrad step (one accumulator a row) down the gradient `by_unit` of the pooled answers.
    pub(crate) fn backward(
        &mut self,
        kernels: Kernels,
        text: &TextVector,
        pooled: &mut Pooled,
        by_unit: &[f32],
        adagrad: &mut RowAdagrad,
    ) {
        let RowAdagrad { rate, epsilon, squares } = adagrad;
        let n = self.n_hidden;
        let n_words = text.word_ends.len();
        let Pooled { first_words, factors, deltas, .. } = pooled;
        // A window adds its gradient at its first word and takes it back after its last.
        deltas.clear();
        deltas.resize((n_words + 1) * n, 0.0);
        let mut unit = 0;
        for (n_units, width) in self.pools {
            for unit in unit..unit + n_units {
                let delta = by_unit[unit] * factors[unit];
                if width == 0 || n_words <= width {
                    deltas[unit] += delta;
                } else {
                    let first = first_words[unit] as usize;
                    deltas[first * n + unit] += delta;
                    deltas[(first + width) * n + unit] -= delta;
                }
            }
            unit += n_units;
        }
        let mut start = 0;
        for (word, &end) in text.word_ends.iter().enumerate() {
            if word > 0 {
                let (before, delta) = deltas[(word - 1) * n..(word + 1) * n].split_at_mut(n);
                kernels.axpy(1.0, before, delta);
            }
            let delta = &deltas[word * n..][..n];
            let mean_square = kernels.dot(delta, delta) / n as f32;
            let range = start..end as usize;
            start = end as usize;
            if mean_square == 0.0 {
                continue;
            }
            for (&bucket, &weight) in text.buckets[range.clone()].iter().zip(&text.weights[range]) {
                if weight == 0.0 {
                    continue;
                }
                let square = &mut squares[bucket as usize];
                *square += weight * weight * mean_square;
                let step = -*rate * weight / (*square + *epsilon).sqrt();
                let row = &mut self.weights[bucket as usize * n..][..n];
                kernels.axpy(step, delta, row);
            }
        }
    }
}

impl Pooled {
    /// Reads a text word by word and pools the sums; `add` adds the weighed rows of a range of the text's n-grams.
    pub(crate) fn read(
        &mut self,
        pools: &[Pool; 3],
        text: &TextVector,
        add: impl Fn(Range<usize>, &mut [f32]),
    ) {
        let n = pools.iter().map(|p| p.0).sum();
        let n_words = text.word_ends.len();
        self.sums.clear();
        self.sums.resize((n_words + 1) * n, 0.0);
        self.squares.clear();
        self.squares.push(0.0);
        let mut start = 0;
        for (word, &end) in text.word_ends.iter().enumerate() {
            let range = start..end as usize;
            start = end as usize;
            let (before, sum) = self.sums[word * n..(word + 2) * n].split_at_mut(n);
            sum.copy_from_slice(before);
            add(range.clone(), sum);
            let square: f32 = text.weights[range].iter().map(|w| w * w).sum();
            self.squares.push(self.squares[word] + square);
        }
        self.units.clear();
        self.units.resize(n, 0.0);
        self.first_words.clear();
        self.first_words.resize(n, 0);
        self.factors.clear();
        self.factors.resize(n, 0.0);
        let mut unit = 0;
        for &(n_units, width) in pools {
            self.pool(n, unit..unit + n_units, width, n_words);
            unit += n_units;
        }
    }

    fn pool(&mut self, n: usize, units: Range<usize>, width: usize, n_words: usize) {
        if width == 0 || n_words <= width {
            let factor = factor(self.squares[n_words]);
            let sums = &self.sums[n_words * n..][units.clone()];
            for (out, sum) in self.units[units.clone()].iter_mut().zip(sums) {
                *out = sum * factor;
            }
            self.factors[units].fill(factor);
            return;
        }
        self.units[units.clone()].fill(f32::MIN);
        for first in 0..=n_words - width {
            let factor = factor(self.squares[first + width] - self.squares[first]);
            let low = &self.sums[first * n..][units.clone()];
            let high = &self.sums[(first + width) * n..][units.clone()];
            let out = self.units[units.clone()].iter_mut();
            let which = self.first_words[units.clone()].iter_mut();
            let by = self.factors[units.clone()].iter_mut();
            for ((((low, high), out), which), by) in
                low.iter().zip(high).zip(out).zip(which).zip(by)
            {
                let x = (high - low) * factor;
                if x > *out {
                    (*out, *which, *by) = (x, first as u32, factor);
                }
            }
        }
    }
}
