//! The multi-layer perceptron: hashed n-grams, pooled hidden units, one output a label.
//!
//! Trained example by example with Adagrad (Duchi et al., 2011) from near-zero first rows with nearly
//! empty accumulators, dropout on the hidden units (Srivastava et al., 2014) and early stopping on the
//! held-out log-loss; the passes' best state is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use majordomo_simd::Kernels;

use crate::model::dense::{Dense, DenseForward};
use crate::model::first_layer::{FirstLayer, Pooled, RowAdagrad};
use crate::model::tfidf::TextVector;
use crate::model::weighed::Weighed;
use crate::model::{Mode, TrainingSet};
use crate::params::MlpParams;
use crate::rng::Rng;

/// The first layer is shared between versions that differ in the dense layers only.
#[derive(Clone, Debug)]
pub(crate) struct Mlp {
    pub(crate) first: Arc<FirstLayer>,
    pub(crate) dense: Dense,
}

/// Passes where there are no held-out rows to stop by.
const BLIND_EPOCHS: usize = 15;

impl Mlp {
    /// Writes the scores of every output into `out`.
    pub(crate) fn scores(
        &self,
        kernels: Kernels,
        text: &TextVector,
        pooled: &mut Pooled,
        out: &mut [f32],
    ) {
        self.first.forward(kernels, text, pooled);
        self.dense.forward(&mut pooled.units, out);
    }

    /// Fits from scratch. Gives the perceptron and the passes made; stops when cancelled.
    pub(crate) fn fit(
        texts: &Weighed<'_>,
        rows: &[u32],
        held_out: &[u32],
        mode: Mode,
        params: &MlpParams,
        rng: &mut Rng,
        cancel: &AtomicBool,
    ) -> (Self, usize) {
        let kernels = Kernels::active();
        let pools = [(params.n_whole, 0), params.windows[0], params.windows[1]];
        let mut trainer = Trainer::new(texts.set, mode, params, pools, rng);
        let mut best: Option<(f64, usize, FirstLayer, Dense)> = None;
        let mut order = rows.to_vec();
        // A pass over few rows is few steps.
        let few = 1000 / rows.len().max(1);
        let patience = params.patience + few.min(7);
        let n_epochs = match held_out {
            [] => BLIND_EPOCHS.min(params.max_epochs),
            _ => params.max_epochs * (1 + few.min(4)),
        };
        let mut epoch = 0;
        while epoch < n_epochs {
            epoch += 1;
            rng.shuffle(&mut order);
            for &row in &order {
                if cancel.load(Ordering::Relaxed) {
                    epoch = n_epochs;
                    break;
                }
                trainer.step(kernels, texts, row as usize, params, rng);
            }
            if held_out.is_empty() {
                continue;
            }
            let loss = trainer.loss(kernels, texts, held_out);
            match &mut best {
                Some((lowest, at, ..)) if loss >= *lowest => {
                    if epoch - *at >= patience {
                        break;
                    }
                }
                Some((lowest, at, first, dense)) => {
                    (*lowest, *at) = (loss, epoch);
                    first.weights.copy_from_slice(&trainer.first.weights);
                    dense.clone_from(&trainer.dense);
                }
                None => best = Some((loss, epoch, trainer.first.clone(), trainer.dense.clone())),
            }
        }
        let Trainer { first, dense, .. } = trainer;
        let (n_epochs, mut first, dense) = match best {
            Some((_, at, best_first, best_dense)) => (at, best_first, best_dense),
            None => (epoch, first, dense),
        };
        // Rows without an example still hold the random start: they would only be noise.
        for bucket in 0..texts.set.n_buckets() {
            if !texts.tfidf.knows(bucket) {
                first.row_mut(bucket).fill(0.0);
            }
        }
        (Self { first: Arc::new(first), dense }, n_epochs)
    }
}

struct Trainer {
    mode: Mode,
    first: FirstLayer,
    dense: Dense,
    first_adagrad: RowAdagrad,
    hidden_squares: Vec<f32>,
    weight_squares: Vec<f32>,
    bias_squares: Vec<f32>,
    text: TextVector,
    pooled: Pooled,
    scores: Vec<f32>,
    mask: Vec<f32>,
    by_unit: Vec<f32>,
}

impl Trainer {
    fn new(
        set: &TrainingSet,
        mode: Mode,
        params: &MlpParams,
        pools: [(usize, usize); 3],
        rng: &mut Rng,
    ) -> Self {
        let n_outputs = set.n_outputs();
        let first = FirstLayer::new(set.n_buckets(), pools, params.start_sd, rng);
        let n_hidden = first.n_hidden;
        let dense = Dense::new(n_hidden, n_outputs, rng);
        Self {
            mode,
            first_adagrad: RowAdagrad {
                rate: params.learning_rate,
                epsilon: params.epsilon,
                squares: vec![0.0; set.n_buckets()],
            },
            hidden_squares: vec![0.0; n_hidden],
            weight_squares: vec![0.0; n_hidden * n_outputs],
            bias_squares: vec![0.0; n_outputs],
            first,
            dense,
            text: TextVector::default(),
            pooled: Pooled::default(),
            scores: vec![0.0; n_outputs],
            mask: vec![0.0; n_hidden],
            by_unit: vec![0.0; n_hidden],
        }
    }

    fn step(
        &mut self,
        kernels: Kernels,
        texts: &Weighed<'_>,
        row: usize,
        params: &MlpParams,
        rng: &mut Rng,
    ) {
        let rate = params.learning_rate;
        let epsilon = params.epsilon;
        let set = texts.set;
        texts.vector(row, &mut self.text);
        self.first.forward(kernels, &self.text, &mut self.pooled);
        let kept = 1.0 / (1.0 - params.dropout);
        let units = &mut self.pooled.units;
        for ((unit, mask), bias) in
            units.iter_mut().zip(&mut self.mask).zip(&self.dense.hidden_bias)
        {
            let on = rng.unit() >= params.dropout;
            *mask = if on && *unit + bias > 0.0 { kept } else { 0.0 };
            *unit = (*unit + bias) * *mask;
        }
        self.dense.output(kernels, units, &mut self.scores);
        self.mode.activate(kernels, &mut self.scores);
        for &output in set.outputs(row) {
            self.scores[output as usize] -= set.target(self.mode, row);
        }
        self.by_unit.fill(0.0);
        let n_hidden = self.first.n_hidden;
        for (output, &error) in self.scores.iter().enumerate() {
            if error.abs() < 1e-4 {
                continue;
            }
            let weights = self.dense.row_mut(output);
            kernels.axpy(error, weights, &mut self.by_unit);
            let squares = &mut self.weight_squares[output * n_hidden..][..n_hidden];
            for ((w, s), u) in weights.iter_mut().zip(squares).zip(units.iter()) {
                let gradient = error * u;
                *s += gradient * gradient;
                *w -= rate * gradient / (*s + epsilon).sqrt();
            }
            let square = &mut self.bias_squares[output];
            *square += error * error;
            self.dense.bias[output] -= rate * error / (*square + epsilon).sqrt();
        }
        kernels.mul_assign(&mut self.by_unit, &self.mask);
        let biases = self.dense.hidden_bias.iter_mut().zip(&mut self.hidden_squares);
        for ((bias, square), gradient) in biases.zip(&self.by_unit) {
            *square += gradient * gradient;
            *bias -= rate * gradient / (*square + epsilon).sqrt();
        }
        self.first.backward(
            kernels,
            &self.text,
            &mut self.pooled,
            &self.by_unit,
            &mut self.first_adagrad,
        );
    }

    fn loss(&mut self, kernels: Kernels, texts: &Weighed<'_>, rows: &[u32]) -> f64 {
        let mut sum = 0.0;
        for &row in rows {
            texts.vector(row as usize, &mut self.text);
            self.first.forward(kernels, &self.text, &mut self.pooled);
            self.dense.forward(&mut self.pooled.units, &mut self.scores);
            self.mode.activate(kernels, &mut self.scores);
            sum += texts.set.log_loss(self.mode, row as usize, &self.scores);
        }
        sum / rows.len() as f64
    }
}
