//! Hashed texts with their targets.
//!
//! Invariant: every text has at least one output that is on ([`NONE`] when it used no component).

use majordomo_text::Words;

use crate::buffer::text_hash;
use crate::features::HashedTexts;
use crate::model::{Mode, NONE};

/// Examples, numbered in order of addition.
#[derive(Clone, Debug)]
pub(crate) struct TrainingSet {
    pub(crate) texts: HashedTexts,
    n_buckets: usize,
    n_outputs: usize,
    outputs: Vec<u32>,
    ends: Vec<u32>,
    n_multi: usize,
    words: Words,
}

impl TrainingSet {
    pub(crate) fn new(bits: u32, n_labels: usize) -> Self {
        Self {
            texts: HashedTexts::new(bits),
            n_buckets: 1 << bits,
            n_outputs: n_labels + 1,
            outputs: Vec::new(),
            ends: Vec::new(),
            n_multi: 0,
            words: Words::default(),
        }
    }

    /// Builds a set from hashed texts and their labels.
    #[cfg(feature = "linfa")]
    pub(crate) fn from_hashed(
        texts: HashedTexts,
        bits: u32,
        n_labels: usize,
        labels: &[Vec<u32>],
    ) -> Self {
        let mut out = Self { texts, ..Self::new(bits, n_labels) };
        for labels in labels {
            out.push_labels(labels.iter().copied());
        }
        out
    }

    /// Adds an example; `labels` are numbers below `n_labels`, each at most once. Returns the hash of its text.
    pub(crate) fn push(&mut self, text: &str, labels: impl IntoIterator<Item = u32>) -> u64 {
        self.words.split(text);
        self.texts.push(&self.words);
        self.push_labels(labels);
        text_hash(&self.words)
    }

    fn push_labels(&mut self, labels: impl IntoIterator<Item = u32>) {
        let start = self.outputs.len();
        self.outputs.extend(labels.into_iter().map(|l| l + 1));
        match self.outputs.len() - start {
            0 => self.outputs.push(NONE as u32),
            1 => {}
            _ => self.n_multi += 1,
        }
        self.ends.push(self.outputs.len() as u32);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn n_buckets(&self) -> usize {
        self.n_buckets
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// The outputs that are on, at least one.
    pub(crate) fn outputs(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.outputs[start as usize..self.ends[row] as usize]
    }

    /// The target of an output that is on.
    pub(crate) fn target(&self, mode: Mode, row: usize) -> f32 {
        match mode {
            Mode::Exclusive => 1.0 / self.outputs(row).len() as f32,
            Mode::Independent => 1.0,
        }
    }

    /// Exclusive unless more than `multi_share` of the examples have several labels.
    pub(crate) fn mode(&self, multi_share: f32) -> Mode {
        if self.n_multi as f32 > multi_share * self.len() as f32 {
            Mode::Independent
        } else {
            Mode::Exclusive
        }
    }

    /// The log-loss of an example's probabilities: cross-entropy, or its sum over outputs.
    pub(crate) fn log_loss(&self, mode: Mode, row: usize, probabilities: &[f32]) -> f64 {
        Self::log_loss_of(mode, self.outputs(row), probabilities)
    }

    /// The log-loss of probabilities where the outputs `on` were meant.
    pub(crate) fn log_loss_of(mode: Mode, on: &[u32], probabilities: &[f32]) -> f64 {
        let ln = |p: f32| -f64::from(p.max(1e-7).ln());
        match mode {
            Mode::Exclusive => {
                let share = 1.0 / on.len() as f64;
                on.iter().map(|&o| share * ln(probabilities[o as usize])).sum()
            }
            Mode::Independent => {
                let is_on = |o: usize| on.contains(&(o as u32));
                let each = probabilities.iter().enumerate();
                each.map(|(o, &p)| ln(if is_on(o) { p } else { 1.0 - p })).sum()
            }
        }
    }
}
