//! One version of the learned model: from a text's words to its probabilities.
//!
//! Invariant: its parts agree on buckets, hidden units and outputs, and all its numbers are finite.

use std::sync::atomic::{AtomicBool, Ordering};

use majordomo_simd::Kernels;

use crate::features::{HashedText, Topic};
use crate::model::calibration::{Calibration, Evidence, HeldOutScores};
use crate::model::dense::DenseForward;
use crate::model::first_layer::Pooled;
use crate::model::linear::Linear;
use crate::model::mlp::{Mlp, Stop};
use crate::model::tfidf::{TextVector, TfIdf};
use crate::model::weighed::Weighed;
use crate::model::{Mode, ModelAnswer, NONE, TrainingSet};
use crate::params::{OnlineParams, TextParams};
use crate::prior::{Prior, TopicScratch};
use crate::rng::Rng;

/// Number of held-out rows that calibration uses.
const MAX_CALIBRATION_ROWS: usize = 4000;

/// Buffers of a query, kept between queries so that a query does not allocate.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelScratch {
    pub(crate) text: TextVector,
    topics: Vec<Topic>,
    topic_scratch: TopicScratch,
    pooled: Pooled,
    linear: Vec<f32>,
    mlp: Vec<f32>,
    /// Probability by output, after a query.
    pub(crate) probabilities: Vec<f32>,
}

/// All learned parts, with the prior that they were trained with.
#[derive(Clone, Debug)]
pub(crate) struct TextModel {
    pub(crate) mode: Mode,
    /// The prior whose topics are among the features.
    pub(crate) prior: Option<Prior>,
    /// The strength of the topics.
    pub(crate) topic_scale: f32,
    pub(crate) tfidf: TfIdf,
    pub(crate) linear: Linear,
    pub(crate) mlp: Mlp,
    pub(crate) calibration: Calibration,
    /// Passes in the training of the perceptron, for reports.
    pub(crate) n_epochs: usize,
}

impl TextModel {
    /// Fits every trained part to `rows` of `set`, with the initial calibration. Returns the passes by
    /// network too; `None` when cancelled.
    pub(crate) fn fit_parts(
        set: &TrainingSet,
        rows: &[u32],
        stop: &Stop<'_>,
        mode: Mode,
        params: &TextParams,
        prior: Option<&Prior>,
        cancel: &AtomicBool,
    ) -> Option<(Self, Vec<usize>)> {
        let prior = prior.filter(|p| p.n_buckets() == set.n_buckets());
        let mut tfidf = prior.map_or_else(|| TfIdf::new(set.n_buckets()), Prior::tfidf);
        for &row in rows {
            tfidf.observe(set.texts.get(row as usize));
        }
        tfidf.refresh();
        let mut rng = Rng::new(params.seed);
        let texts = Weighed::new(set, &tfidf, prior, rows.len());
        let linear = Linear::fit(&texts, rows, &params.linear, &mut rng, cancel);
        let (mlp, passes) = Mlp::fit(&texts, rows, stop, mode, &params.mlp, &mut rng, cancel);
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        let calibration = Calibration::start(mode, set.n_outputs() - 1);
        let topic_scale = texts.topic_scale;
        let prior = prior.cloned();
        let n_epochs = passes.iter().copied().max().unwrap_or(0);
        let model = Self { mode, prior, topic_scale, tfidf, linear, mlp, calibration, n_epochs };
        Some((model, passes))
    }

    /// The scores of rows that this model was not fitted to.
    pub(crate) fn held_out_scores(
        &self,
        set: &TrainingSet,
        rows: &[u32],
        evidence: &dyn Fn(u32) -> Vec<Evidence>,
    ) -> HeldOutScores {
        let mut scratch = ModelScratch::default();
        let mut out = HeldOutScores::default();
        for &row in rows.iter().take(MAX_CALIBRATION_ROWS) {
            self.parts(set.texts.get(row as usize), &mut scratch);
            out.rows.push(row);
            out.linear.extend_from_slice(&scratch.linear[..self.n_outputs()]);
            out.mlp.extend_from_slice(&scratch.mlp);
            out.evidence.push(evidence(row));
        }
        out
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.mlp.dense.n_outputs()
    }

    /// The answer that [`predict`](Self::predict) left in `scratch`.
    pub(crate) fn answer<'a>(&'a self, scratch: &'a ModelScratch) -> ModelAnswer<'a> {
        ModelAnswer {
            mode: self.mode,
            thresholds: &self.calibration.thresholds,
            probabilities: &scratch.probabilities,
        }
    }

    /// Computes the scores of both parts.
    fn parts(&self, text: HashedText<'_>, scratch: &mut ModelScratch) {
        self.parts_by(&self.mlp.dense, text, scratch);
    }

    /// As [`parts`](Self::parts), with other dense layers.
    fn parts_by<D: DenseForward + ?Sized>(
        &self,
        dense: &D,
        text: HashedText<'_>,
        scratch: &mut ModelScratch,
    ) {
        let kernels = Kernels::active();
        self.weigh(text, scratch);
        let ModelScratch { text: vector, pooled, linear, mlp, .. } = scratch;
        linear.resize(self.linear.stride(), 0.0);
        self.linear.margins(kernels, vector, linear);
        mlp.resize(self.n_outputs(), 0.0);
        self.mlp.scores_by(dense, kernels, vector, pooled, mlp);
    }

    /// Weighs the features of a text, topics included.
    fn weigh(&self, text: HashedText<'_>, scratch: &mut ModelScratch) {
        let ModelScratch { topics, topic_scratch, .. } = scratch;
        topics.clear();
        if let Some(prior) = &self.prior {
            prior.topics(text, topic_scratch, topics);
        }
        let topics = std::mem::take(topics);
        self.weigh_with(text, &topics, scratch);
        scratch.topics = topics;
    }

    /// As [`weigh`](Self::weigh), with topics that are known already.
    fn weigh_with(&self, text: HashedText<'_>, topics: &[Topic], scratch: &mut ModelScratch) {
        let vector = &mut scratch.text;
        self.tfidf.vector(text, vector);
        if let Some(prior) = &self.prior {
            vector.add_topics(prior.n_buckets(), topics.iter().copied(), self.topic_scale);
        }
    }

    /// Computes everything before the dense layers for a text whose topics are known: appends the linear margins by
    /// output and the pooled units.
    pub(crate) fn before_dense(
        &self,
        text: HashedText<'_>,
        topics: &[Topic],
        scratch: &mut ModelScratch,
        linear: &mut Vec<f32>,
        units: &mut Vec<f32>,
    ) {
        let kernels = Kernels::active();
        self.weigh_with(text, topics, scratch);
        let ModelScratch { text: vector, pooled, linear: margins, .. } = scratch;
        margins.resize(self.linear.stride(), 0.0);
        self.linear.margins(kernels, vector, margins);
        linear.extend_from_slice(&margins[..self.n_outputs()]);
        self.mlp.first.forward(kernels, vector, pooled);
        units.extend_from_slice(&pooled.units);
    }

    /// Writes the probability of every output into `scratch.probabilities`.
    pub(crate) fn predict(
        &self,
        text: HashedText<'_>,
        evidence: &[Evidence],
        scratch: &mut ModelScratch,
    ) {
        self.predict_by(&self.mlp.dense, text, evidence, scratch);
    }

    /// As [`predict`](Self::predict), with other dense layers.
    pub(crate) fn predict_by<D: DenseForward + ?Sized>(
        &self,
        dense: &D,
        text: HashedText<'_>,
        evidence: &[Evidence],
        scratch: &mut ModelScratch,
    ) {
        self.parts_by(dense, text, scratch);
        let ModelScratch { linear, mlp, probabilities, .. } = scratch;
        probabilities.resize(self.n_outputs(), 0.0);
        self.calibration.fuse(linear, mlp, evidence, probabilities);
        self.mode.activate(Kernels::active(), probabilities);
    }

    /// Takes one step towards an example at once; `outputs` are those that are on, never empty.
    pub(crate) fn learn(
        &mut self,
        text: HashedText<'_>,
        outputs: &[u32],
        is_new: bool,
        params: &OnlineParams,
        scratch: &mut ModelScratch,
    ) {
        let kernels = Kernels::active();
        if is_new {
            self.tfidf.observe(text);
        }
        self.parts(text, scratch);
        let ModelScratch { text: vector, pooled, linear, mlp, .. } = scratch;
        let is_on = |output: usize| outputs.contains(&(output as u32));
        self.mode.activate(kernels, mlp);
        let target = match self.mode {
            Mode::Exclusive => 1.0 / outputs.len() as f32,
            Mode::Independent => 1.0,
        };
        for &output in outputs {
            mlp[output as usize] -= target;
        }
        self.mlp.dense.learn(kernels, &pooled.units, mlp, params.dense_rate);
        self.linear.learn(kernels, vector, params, is_on, linear);
    }

    /// The same model for other labels: label `i` is the old label `from(i)`, or a new one.
    pub(crate) fn remap(&self, n_labels: usize, from: impl Fn(usize) -> Option<usize>) -> Self {
        let output = |o: usize| if o == NONE { Some(NONE) } else { from(o - 1).map(|l| l + 1) };
        let start = Calibration::start(self.mode, n_labels);
        let thresholds = (0..n_labels)
            .map(|l| from(l).map_or(start.thresholds[l], |old| self.calibration.thresholds[old]))
            .collect();
        Self {
            mode: self.mode,
            prior: self.prior.clone(),
            topic_scale: self.topic_scale,
            tfidf: self.tfidf.clone(),
            linear: self.linear.remap(n_labels + 1, output),
            mlp: Mlp {
                first: self.mlp.first.clone(),
                dense: self.mlp.dense.remap(n_labels + 1, output),
            },
            calibration: Calibration { thresholds, ..self.calibration.clone() },
            n_epochs: self.n_epochs,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let counts = 8 * self.tfidf.counts().1.len();
        let dense = 4 * self.mlp.dense.weights.len();
        counts + dense + self.linear.memory_bytes() + self.mlp.first.memory_bytes()
    }
}
