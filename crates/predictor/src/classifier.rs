//! The text model for callers with labelled texts: fit, probabilities, labels. No components, no ndarray.
//!
//! Owns the checks of training data. Invariant: probabilities are finite and in `0..=1`, whatever the text.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use majordomo_text::Words;

use crate::decision::append_labels;
use crate::features::HashedTexts;
use crate::model::recipe::{HeldOut, Recipe};
use crate::model::text_model::{ModelScratch, TextModel};
use crate::model::{Mode, NONE, TrainingSet};
use crate::params::TextValidParams;
use crate::prior::Prior;

/// A text and the labels that apply to it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the other name says it")]
pub struct Example<'a> {
    pub text: &'a str,
    /// Numbers of labels, each at most once; empty when no label applies.
    pub labels: &'a [u32],
}

/// Why nothing was trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names and messages of the other variants and fields say it")]
pub enum TrainError {
    #[error("there is no example to train on; give at least one")]
    NoExample,
    /// A label of at least `n_labels`.
    #[error("example {row} has label {label}, but there are {n_labels} labels (from 0)")]
    UnknownLabel {
        /// Position of the example.
        row: usize,
        label: u32,
        n_labels: usize,
    },
    #[error("example {row} has label {label} twice")]
    RepeatedLabel {
        /// Position of the example.
        row: usize,
        label: u32,
    },
    #[error("training was cancelled")]
    Cancelled,
}

/// A trained model over numbered labels.
#[derive(Clone, Debug)]
pub struct TextClassifier {
    bits: u32,
    model: TextModel,
}

/// Buffers of a query, kept between queries so that a query does not allocate.
#[derive(Clone, Debug)]
pub struct TextScratch {
    pub(crate) words: Words,
    pub(crate) texts: HashedTexts,
    pub(crate) model: ModelScratch,
}

impl TextScratch {
    pub(crate) fn new(bits: u32) -> Self {
        Self {
            words: Words::default(),
            texts: HashedTexts::new(bits),
            model: ModelScratch::default(),
        }
    }
}

impl TextValidParams {
    /// Fits to `train`; `held_out` rows stop the training and tune calibration and thresholds (where there are
    /// none, folds of `train` do). The topics of `prior` are features.
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn fit_texts(
        &self,
        n_labels: usize,
        train: &[Example<'_>],
        held_out: &[Example<'_>],
        prior: Option<&Prior>,
        cancel: &AtomicBool,
    ) -> Result<TextClassifier, TrainError> {
        let params = self.params();
        if train.is_empty() {
            return Err(TrainError::NoExample);
        }
        let mut set = TrainingSet::new(params.bits, n_labels);
        let mut hashes = Vec::with_capacity(train.len());
        for (row, example) in train.iter().chain(held_out).enumerate() {
            check(row, example.labels, n_labels)?;
            hashes.push(set.push(example.text, example.labels.iter().copied()));
        }
        let rows: Vec<u32> = (0..set.len() as u32).collect();
        let (rows, held_out) = rows.split_at(train.len());
        let held_out = match held_out {
            [] => HeldOut::Folds(&|row| hashes[row as usize]),
            held_out => HeldOut::Apart(held_out),
        };
        let recipe = Recipe { set: &set, evidence: &|_| Vec::new(), params, prior, cancel };
        let model = recipe.fit(rows, held_out).ok_or(TrainError::Cancelled)?;
        Ok(TextClassifier { bits: params.bits, model })
    }

    /// Trains a [`Prior`] on public text, each label a topic. All hidden units read the whole text.
    ///
    /// # Errors
    /// As [`fit_texts`](Self::fit_texts).
    pub fn fit_prior(
        &self,
        n_labels: usize,
        train: &[Example<'_>],
        held_out: &[Example<'_>],
    ) -> Result<Prior, TrainError> {
        let n_units = self.params().mlp.n_hidden();
        let mut params = self.params().clone();
        (params.mlp.n_whole, params.mlp.windows) = (n_units, [(0, 5), (0, 3)]);
        let fitted = Self::unchecked(params).fit_texts(
            n_labels,
            train,
            held_out,
            None,
            &AtomicBool::new(false),
        )?;
        let TextModel { mlp, tfidf, .. } = fitted.model;
        Ok(Prior::new(Arc::unwrap_or_clone(mlp.first), mlp.dense, &tfidf))
    }
}

pub(crate) fn check(row: usize, labels: &[u32], n_labels: usize) -> Result<(), TrainError> {
    for (at, &label) in labels.iter().enumerate() {
        if label as usize >= n_labels {
            return Err(TrainError::UnknownLabel { row, label, n_labels });
        }
        if labels[..at].contains(&label) {
            return Err(TrainError::RepeatedLabel { row, label });
        }
    }
    Ok(())
}

#[cfg(feature = "linfa")]
impl TextClassifier {
    pub(crate) fn new(bits: u32, model: TextModel) -> Self {
        Self { bits, model }
    }

    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    pub(crate) fn model(&self) -> &TextModel {
        &self.model
    }

    pub(crate) fn model_mut(&mut self) -> &mut TextModel {
        &mut self.model
    }
}

impl TextClassifier {
    /// Buffers for [`predict_proba`](Self::predict_proba).
    #[must_use]
    pub fn scratch(&self) -> TextScratch {
        TextScratch::new(self.bits)
    }

    /// The number of labels.
    #[must_use]
    pub fn n_labels(&self) -> usize {
        self.model.n_outputs() - 1
    }

    /// Whether labels exclude each other: their probabilities and that of "no label" sum to 1.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.model.mode == Mode::Exclusive
    }

    /// Passes over the rows in the training of the perceptron.
    #[must_use]
    pub fn n_epochs(&self) -> usize {
        self.model.n_epochs
    }

    /// The probability of "no label", and that of each label. Allocates nothing once `scratch` has grown.
    pub fn predict_proba<'s>(&self, text: &str, scratch: &'s mut TextScratch) -> (f32, &'s [f32]) {
        scratch.words.split(text);
        scratch.texts.clear();
        scratch.texts.push(&scratch.words);
        self.model.predict(scratch.texts.get(0), &[], &mut scratch.model);
        let probabilities = &scratch.model.probabilities;
        (probabilities[NONE], &probabilities[NONE + 1..])
    }

    /// The learned thresholds by label.
    #[must_use]
    pub fn thresholds(&self) -> &[f32] {
        &self.model.calibration.thresholds
    }

    /// Appends the labels that a text is taken for: the likeliest unless "no label" is likelier; where labels do not
    /// exclude each other, every label that reaches its threshold, and the likeliest where none does.
    pub fn predict(&self, text: &str, scratch: &mut TextScratch, out: &mut Vec<u32>) {
        self.predict_proba(text, scratch);
        append_labels(&self.model.answer(&scratch.model), out);
    }

    /// Heap memory of the model, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.model.memory_bytes()
    }
}
