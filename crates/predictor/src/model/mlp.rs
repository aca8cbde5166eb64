//! The multi-layer perceptron: hashed n-grams, pooled hidden units, one output a label.
//!
//! Trained example by example with Adagrad (Duchi et al., 2011) from near-zero first rows with nearly
//! empty accumulators, dropout on the hidden units (Srivastava et al., 2014) and early stopping on the
//! held-out log-loss; the best state of all passes is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use majordomo_simd::Kernels;

use crate::model::dense::{Dense, DenseForward};
use crate::model::first_layer::{FirstLayer, Pool, Pooled, RowAdagrad};
use crate::model::packed::PackedLayer;
use crate::model::tfidf::TextVector;
use crate::model::weighed::Weighed;
use crate::model::{Mode, TrainingSet};
use crate::params::MlpParams;
use crate::rng::Rng;

/// The first layer is shared between versions that differ in the dense layers only.
#[derive(Clone, Debug)]
pub(crate) struct Mlp {
    pub(crate) first: Arc<PackedLayer>,
    pub(crate) dense: Dense,
}

/// Number of passes without held-out rows to stop by.
const BLIND_EPOCHS: usize = 15;

/// The end of a training.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop<'a> {
    /// When the loss of these rows, at least one, no longer falls; the best state is kept.
    HeldOut(&'a [u32]),
    /// After this number of passes, by network; after [`BLIND_EPOCHS`] where it has none.
    After(&'a [usize]),
}

impl Mlp {
    /// Writes the scores of every output into `out`, computed by these dense layers.
    pub(crate) fn scores_by<D: DenseForward + ?Sized>(
        &self,
        dense: &D,
        kernels: Kernels,
        text: &TextVector,
        pooled: &mut Pooled,
        out: &mut [f32],
    ) {
        self.first.forward(kernels, text, pooled);
        dense.forward(&mut pooled.units, out);
    }

    /// Fits from scratch. Several networks are trained separately, each with its share of the units, and joined
    /// into one whose scores are the mean of theirs. Returns the passes by network too; stops when cancelled.
    pub(crate) fn fit(
        texts: &Weighed<'_>,
        rows: &[u32],
        stop: &Stop<'_>,
        mode: Mode,
        params: &MlpParams,
        rng: &mut Rng,
        cancel: &AtomicBool,
    ) -> (Self, Vec<usize>) {
        let n = params.n_networks;
        let pools = [(params.n_whole, 0), params.windows[0], params.windows[1]];
        let share = pools.map(|(units, width)| (units / n, width));
        let mut networks = Vec::with_capacity(n);
        let mut passes = Vec::with_capacity(n);
        for network in 0..n {
            let stop = match stop {
                Stop::HeldOut(rows) => Until::Held(rows),
                Stop::After(passes) => {
                    let usual = BLIND_EPOCHS.min(params.max_epochs);
                    Until::Passes(passes.get(network).copied().unwrap_or(usual))
                }
            };
            let trainer = Trainer::new(texts.set, mode, params, share, rng);
            let (first, dense, made) = trainer.fit(texts, rows, stop, params, rng, cancel);
            networks.push((first, dense));
            passes.push(made);
        }
        let (first, dense) = joined(&networks, pools, &|bucket| texts.tfidf.knows(bucket));
        (Self { first: Arc::new(first), dense }, passes)
    }
}

/// One network with the units of all of `networks`, whose scores are the mean of theirs. Rows that are not known hold
/// nothing but the random start, which is noise, and become 0.
fn joined(
    networks: &[(FirstLayer, Dense)],
    pools: [Pool; 3],
    is_known: &dyn Fn(usize) -> bool,
) -> (PackedLayer, Dense) {
    let share = 1.0 / networks.len() as f32;
    let join = |rows: &[&[f32]], into: &mut Vec<f32>, scale: f32| {
        // Units are ordered by pool, then by network.
        let mut at = 0;
        for (units, _) in pools {
            let end = at + units / rows.len();
            for row in rows {
                into.extend(row[at..end].iter().map(|x| scale * x));
            }
            at = end;
        }
    };
    let n_hidden: usize = pools.iter().map(|p| p.0).sum();
    let each = n_hidden / networks.len();
    let n_rows = networks[0].0.weights.len() / each;
    let n_outputs = networks[0].1.bias.len();
    let rows = (0..n_rows).map(|bucket| {
        let mut row = Vec::with_capacity(n_hidden);
        if is_known(bucket) {
            let rows: Vec<&[f32]> = networks.iter().map(|n| n.0.row(bucket)).collect();
            join(&rows, &mut row, 1.0);
        } else {
            row.resize(n_hidden, 0.0);
        }
        row
    });
    let first = PackedLayer::pack(pools, n_rows, rows);
    let mut dense =
        Dense { hidden_bias: Vec::new(), weights: Vec::new(), bias: vec![0.0; n_outputs] };
    let biases: Vec<&[f32]> = networks.iter().map(|n| &n.1.hidden_bias[..]).collect();
    join(&biases, &mut dense.hidden_bias, 1.0);
    for output in 0..n_outputs {
        let weights: Vec<&[f32]> =
            networks.iter().map(|n| &n.1.weights[output * each..][..each]).collect();
        join(&weights, &mut dense.weights, share);
        dense.bias[output] = share * networks.iter().map(|n| n.1.bias[output]).sum::<f32>();
    }
    (first, dense)
}

/// The end of the training of one network.
#[derive(Clone, Copy)]
enum Until<'a> {
    Held(&'a [u32]),
    Passes(usize),
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

    /// Trains, and returns the layers and the passes that made them.
    fn fit(
        mut self,
        texts: &Weighed<'_>,
        rows: &[u32],
        until: Until<'_>,
        params: &MlpParams,
        rng: &mut Rng,
        cancel: &AtomicBool,
    ) -> (FirstLayer, Dense, usize) {
        let kernels = Kernels::active();
        let mut order = rows.to_vec();
        let mut pass = |trainer: &mut Self| {
            rng.shuffle(&mut order);
            for &row in &order {
                if cancel.load(Ordering::Relaxed) {
                    return false;
                }
                trainer.step(kernels, texts, row as usize, params, rng);
            }
            true
        };
        let held_out = match until {
            Until::Held(held_out) => held_out,
            Until::Passes(n) => {
                let _ = (0..n).all(|_| pass(&mut self));
                return (self.first, self.dense, n);
            }
        };
        // A pass over few rows has few steps.
        let few = 1000 / rows.len().max(1);
        let patience = params.patience + few.min(7);
        let n_epochs = params.max_epochs * (1 + few.min(4));
        let mut best = (f64::INFINITY, 0, self.first.clone(), self.dense.clone());
        for epoch in 1..=n_epochs {
            if !pass(&mut self) {
                break;
            }
            let loss = self.loss(kernels, texts, held_out);
            let (lowest, at, first, dense) = &mut best;
            if loss < *lowest {
                (*lowest, *at) = (loss, epoch);
                first.weights.copy_from_slice(&self.first.weights);
                dense.clone_from(&self.dense);
            } else if epoch - *at >= patience {
                break;
            }
        }
        let (_, at, first, dense) = best;
        (first, dense, at)
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

#[cfg(test)]
mod tests {
    use majordomo_text::Words;

    use super::*;
    use crate::features::HashedTexts;
    use crate::model::tfidf::TfIdf;

    #[test]
    fn joined_networks_score_the_mean_of_each() {
        let mut rng = Rng::new(3);
        let share = [(8, 0), (8, 5), (8, 3)];
        let networks: Vec<(FirstLayer, Dense)> = (0..2)
            .map(|_| {
                let first = FirstLayer::new(1 << 14, share, 0.5, &mut rng);
                let mut dense = Dense::new(24, 3, &mut rng);
                dense.hidden_bias.iter_mut().chain(&mut dense.bias).for_each(|b| *b = rng.normal());
                (first, dense)
            })
            .collect();
        let mut words = Words::default();
        words.split("please play the second song of the list in the kitchen");
        let mut texts = HashedTexts::new(14);
        texts.push(&words);
        let mut tfidf = TfIdf::new(1 << 14);
        tfidf.observe(texts.get(0));
        let mut vector = TextVector::default();
        tfidf.vector(texts.get(0), &mut vector);
        let scores = |first: PackedLayer, dense: &Dense| {
            let mlp = Mlp { first: Arc::new(first), dense: dense.clone() };
            let mut out = vec![0.0; 3];
            mlp.scores_by(dense, Kernels::active(), &vector, &mut Pooled::default(), &mut out);
            out
        };
        let pack = |first: &FirstLayer| {
            PackedLayer::pack(share, 1 << 14, first.weights.chunks_exact(first.n_hidden))
        };
        let each: Vec<Vec<f32>> = networks.iter().map(|(f, d)| scores(pack(f), d)).collect();
        let (first, dense) = joined(&networks, [(16, 0), (16, 5), (16, 3)], &|_| true);
        let both = scores(first, &dense);
        for output in 0..3 {
            let mean = (each[0][output] + each[1][output]) / 2.0;
            // A joined row has one scale for both networks.
            assert!((both[output] - mean).abs() < 0.02, "{both:?} {each:?}");
        }
    }
}
