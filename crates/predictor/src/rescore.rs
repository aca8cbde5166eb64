//! Batch re-scoring: how well a snapshot answers the outcomes that are kept.
//!
//! Owns the order of the work in a batch, so that a [`Backend`] computes the dense layers of many texts at once, those of
//! the frozen prior included. Answers without keyword evidence, as an outcome is judged before it is learned. Invariant:
//! the result depends on the job and the answers of the back ends alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use majordomo_simd::Kernels;
use majordomo_text::Words;

use crate::backend::{Backend, BackendError, DenseWeights};
use crate::features::{HashedTexts, Topic};
use crate::intents::TextSnapshot;
use crate::model::TrainingSet;
use crate::model::dense::{Dense, DenseForward};
use crate::model::text_model::{ModelScratch, TextModel};
use crate::prior::{Prior, TopicScratch, topics_of};
use crate::probes::Probes;
use crate::retrain::judge;
use crate::text_predictor::{TextPredictor, outputs_of};

/// Texts of one batch.
const CHUNK: usize = 512;

/// The kept outcomes and the snapshot that answers them.
#[derive(Debug)]
pub struct RescoreJob {
    snapshot: Arc<TextSnapshot>,
    model: Arc<TextModel>,
    /// Text, and the labels that it stands for.
    outcomes: Vec<(Box<str>, Box<[u32]>)>,
}

/// The back ends of a job. None, and one for other weights, stand for the kernels.
#[derive(Clone, Copy, Default)]
pub struct RescoreBackends<'a> {
    /// For the dense layers of the snapshot ([`RescoreJob::dense`]).
    pub model: Option<&'a dyn Backend>,
    /// For the dense layers of its prior ([`RescoreJob::prior`]).
    pub prior: Option<&'a dyn Backend>,
}

/// The answers of a snapshot to the outcomes that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rescored {
    /// Version of the snapshot that answered.
    pub version: u64,
    /// Outcomes answered.
    pub n: usize,
    /// Outcomes whose likeliest component was used, or none where none was.
    pub n_right: usize,
    /// Mean log-loss in nats; 0 without an outcome.
    pub log_loss: f64,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RescoreError {
    /// It was cancelled.
    #[error("the re-scoring was cancelled")]
    Cancelled,
    /// A back end failed in the middle; asked again with the kernels, the job answers.
    #[error("the back end failed: {0}")]
    Backend(#[from] BackendError),
}

impl TextPredictor {
    /// Everything that a re-scoring of the kept outcomes needs; none without a model.
    pub fn rescore_job(&mut self) -> Option<RescoreJob> {
        let snapshot = self.snapshot();
        let model = Arc::clone(snapshot.model.as_ref()?);
        let outcomes = self
            .kept()
            .iter()
            .map(|outcome| (outcome.text.clone(), outcome.standing.labels.to_vec().into()))
            .collect();
        Some(RescoreJob { snapshot, model, outcomes })
    }
}

impl RescoreJob {
    /// The snapshot that answers.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<TextSnapshot> {
        &self.snapshot
    }

    /// The dense layers of the snapshot.
    #[must_use]
    pub fn dense(&self) -> Option<DenseWeights> {
        self.snapshot.dense()
    }

    /// The dense layers of the snapshot's prior; none without a prior.
    #[must_use]
    pub fn prior(&self) -> Option<DenseWeights> {
        self.model.prior.as_ref().and_then(Prior::dense_weights)
    }

    /// Inputs to check a back end of the snapshot's dense layers with: at most `n` outcomes, from all of them.
    #[must_use]
    pub fn probes(&self, n: usize) -> Option<Probes> {
        let texts = self.spread(n).map(Box::from).collect();
        Probes::of_texts(&self.snapshot, texts)
    }

    /// The same for the dense layers of the prior; none without a prior.
    #[must_use]
    pub fn prior_probes(&self, n: usize) -> Option<Probes> {
        let prior = self.model.prior.as_ref()?;
        let (mut texts, mut words) = (HashedTexts::new(self.snapshot.bits), Words::default());
        let (mut scratch, mut row, mut units) = (TopicScratch::default(), Vec::new(), Vec::new());
        for text in self.spread(n) {
            words.split(text);
            texts.clear();
            texts.push(&words);
            if prior.units(texts.get(0), &mut scratch, &mut row) {
                units.extend_from_slice(&row);
            }
        }
        Some(Probes::of_topics(self.prior()?, units))
    }

    /// At most `n` kept texts, from all of them.
    fn spread(&self, n: usize) -> impl Iterator<Item = &str> {
        let step = self.outcomes.len().div_ceil(n.max(1)).max(1);
        self.outcomes.iter().step_by(step).take(n).map(|(text, _)| &**text)
    }

    /// Answers all outcomes. Looks at `cancel` before every batch of 512.
    ///
    /// # Errors
    /// See [`RescoreError`].
    pub fn run(
        &self,
        back_ends: RescoreBackends<'_>,
        cancel: &AtomicBool,
    ) -> Result<Rescored, RescoreError> {
        let model = &*self.model;
        let n_outputs = model.n_outputs();
        let kernels = Kernels::active();
        // Those for other weights are left out. The weights are hashed for it, once for all batches.
        let serves = |weights: Option<DenseWeights>, back_end: &&dyn Backend| {
            weights.is_some_and(|weights| weights.id() == back_end.weights_id())
        };
        let own = back_ends.model.filter(|back_end| serves(self.dense(), back_end));
        let of_prior = back_ends.prior.filter(|back_end| serves(self.prior(), back_end));
        let mut out = Rescored { version: self.snapshot.version(), ..Rescored::default() };
        let mut chunk = Chunk::new(self.snapshot.bits);
        let mut fused = vec![0.0; n_outputs];
        for outcomes in self.outcomes.chunks(CHUNK) {
            if cancel.load(Ordering::Relaxed) {
                return Err(RescoreError::Cancelled);
            }
            self.before_dense(outcomes, of_prior, &mut chunk)?;
            chunk.scores.clear();
            chunk.scores.resize(outcomes.len() * n_outputs, 0.0);
            forward(own, &model.mlp.dense, &mut chunk.units, outcomes.len(), &mut chunk.scores)?;
            let rows =
                chunk.linear.chunks_exact(n_outputs).zip(chunk.scores.chunks_exact(n_outputs));
            for ((_, labels), (linear, mlp)) in outcomes.iter().zip(rows) {
                model.calibration.fuse(linear, mlp, &[], &mut fused);
                model.mode.activate(kernels, &mut fused);
                let outputs = outputs_of(labels);
                let log_loss = TrainingSet::log_loss_of(model.mode, &outputs, &fused);
                out.n += 1;
                out.n_right += usize::from(judge(&fused, &outputs, log_loss).is_right);
                out.log_loss += log_loss;
            }
        }
        out.log_loss /= out.n.max(1) as f64;
        Ok(out)
    }

    /// Fills the units and margins of a chunk of texts, topics by batch.
    fn before_dense(
        &self,
        outcomes: &[(Box<str>, Box<[u32]>)],
        prior_backend: Option<&dyn Backend>,
        chunk: &mut Chunk,
    ) -> Result<(), BackendError> {
        let model = &*self.model;
        let Chunk { texts, words, scratch, topics, units, linear, .. } = chunk;
        texts.reset(self.snapshot.bits);
        for (text, _) in outcomes {
            words.split(text);
            texts.push(words);
        }
        topics.clear();
        topics.resize(outcomes.len(), Vec::new());
        if let Some(prior) = &model.prior {
            topics_by_batch(prior, prior_backend, texts, topics)?;
        }
        units.clear();
        linear.clear();
        for (row, topics) in topics.iter().enumerate() {
            model.before_dense(texts.get(row), topics, scratch, linear, units);
        }
        Ok(())
    }
}

/// Buffers of a chunk of texts.
struct Chunk {
    texts: HashedTexts,
    words: Words,
    scratch: ModelScratch,
    topics: Vec<Vec<Topic>>,
    units: Vec<f32>,
    linear: Vec<f32>,
    scores: Vec<f32>,
}

impl Chunk {
    fn new(bits: u32) -> Self {
        Self {
            texts: HashedTexts::new(bits),
            words: Words::default(),
            scratch: ModelScratch::default(),
            topics: Vec::new(),
            units: Vec::new(),
            linear: Vec::new(),
            scores: Vec::new(),
        }
    }
}

/// The topics of all texts; those without a known n-gram have none. The back end is for the prior's weights.
fn topics_by_batch(
    prior: &Prior,
    back_end: Option<&dyn Backend>,
    texts: &HashedTexts,
    out: &mut [Vec<Topic>],
) -> Result<(), BackendError> {
    let mut scratch = TopicScratch::default();
    let (mut row, mut units, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for text_idx in 0..out.len() {
        if prior.units(texts.get(text_idx), &mut scratch, &mut row) {
            units.extend_from_slice(&row);
            known.push(text_idx);
        }
    }
    let n_topics = prior.n_topics();
    let mut scores = vec![0.0; known.len() * n_topics];
    forward(back_end, prior.dense(), &mut units, known.len(), &mut scores)?;
    for (&text_idx, scores) in known.iter().zip(scores.chunks_exact_mut(n_topics)) {
        topics_of(scores, &mut out[text_idx]);
    }
    Ok(())
}

/// The forward pass of rows: by the back end, in batches that it takes, or by the kernels.
fn forward(
    back_end: Option<&dyn Backend>,
    dense: &Dense,
    units: &mut [f32],
    rows: usize,
    out: &mut [f32],
) -> Result<(), BackendError> {
    let (n_hidden, n_outputs) = (dense.n_hidden(), dense.n_outputs());
    let Some(back_end) = back_end else {
        let both = units.chunks_exact_mut(n_hidden).zip(out.chunks_exact_mut(n_outputs));
        both.for_each(|(units, scores)| dense.forward(units, scores));
        return Ok(());
    };
    let most = back_end.capabilities().max_rows.clamp(1, rows.max(1));
    let both = units.chunks(most * n_hidden).zip(out.chunks_mut(most * n_outputs));
    for (units, out) in both {
        back_end.infer_batch(units, units.len() / n_hidden, out)?;
    }
    Ok(())
}
