//! Inputs to check a back end with, and the answers that the product makes of its scores.
//!
//! Owns the way from scores to answers for texts that are kept: keywords, the linear part, calibration, thresholds and
//! negation included, as in a query. Knows no limit: who compares answers decides how far they may differ. Invariant:
//! there are as many probabilities and decisions for any scores of the right length.

use std::slice::ChunksExact;
use std::sync::{Arc, Mutex, PoisonError};

use majordomo_core::ComponentKey;

use crate::backend::DenseWeights;
use crate::decision::Decision;
use crate::intents::{IntentScratch, TextSnapshot};
use crate::model::dense::DenseForward;
use crate::prior::topic_probabilities;

/// Rows of units for the dense layers of one set of weights.
#[derive(Clone, Debug)]
pub struct Probes {
    weights: DenseWeights,
    /// Row by row: those of the reading, then rows that are read as bare scores.
    units: Vec<f32>,
    n_read: usize,
    reading: Reading,
}

#[derive(Clone, Debug)]
enum Reading {
    /// Rows of texts, one or two each: a text with a negation is read twice.
    Texts {
        snapshot: Arc<TextSnapshot>,
        texts: Vec<Box<str>>,
    },
    /// Rows of texts for the topics of a prior.
    Topics,
    Scores,
}

/// The answers to all probes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeAnswers {
    /// The probabilities of all outputs, probe by probe.
    pub probabilities: Vec<f32>,
    /// By text: whether to act, and the components that are needed, by key. Empty where the probes are no texts.
    pub decisions: Vec<(Decision, Vec<ComponentKey>)>,
}

impl Probes {
    /// Rows whose scores are turned into probabilities alone; a part of a row at the end is dropped.
    #[must_use]
    pub fn of_scores(weights: DenseWeights, mut units: Vec<f32>) -> Self {
        let n_read = units.len() / weights.n_hidden();
        units.truncate(n_read * weights.n_hidden());
        Self { weights, units, n_read, reading: Reading::Scores }
    }

    /// The rows of texts, as a query asks the dense layers for them; none without a model.
    pub(crate) fn of_texts(snapshot: &Arc<TextSnapshot>, texts: Vec<Box<str>>) -> Option<Self> {
        let weights = snapshot.dense()?;
        let recorder = Recorder { weights: &weights, units: Mutex::default() };
        let mut scratch = IntentScratch::default();
        for text in &texts {
            snapshot.intents_by(&recorder, text, &mut scratch);
        }
        let units = recorder.units.into_inner().unwrap_or_else(PoisonError::into_inner);
        let n_read = units.len() / weights.n_hidden();
        let reading = Reading::Texts { snapshot: Arc::clone(snapshot), texts };
        Some(Self { weights, units, n_read, reading })
    }

    /// Rows of a prior, whose scores become topics.
    pub(crate) fn of_topics(weights: DenseWeights, units: Vec<f32>) -> Self {
        Self { reading: Reading::Topics, ..Self::of_scores(weights, units) }
    }

    /// The same with pseudo-random rows, until there are `n`; their scores are read as with [`of_scores`](Self::of_scores). The
    /// seed is fixed.
    #[must_use]
    pub fn with_random_rows(mut self, n: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        while self.units.len() < n * self.weights.n_hidden() {
            // SplitMix64 (Steele et al., 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.units.push(((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0);
        }
        self
    }

    /// The weights that the rows are for.
    #[must_use]
    pub fn weights(&self) -> &DenseWeights {
        &self.weights
    }

    /// The rows, before bias and clipping: `n_rows × n_hidden`.
    #[must_use]
    pub fn units(&self) -> &[f32] {
        &self.units
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.units.len() / self.weights.n_hidden()
    }

    /// The answers that the product makes of the rows' scores (`n_rows × n_outputs`).
    #[must_use]
    pub fn answers(&self, scores: &[f32]) -> ProbeAnswers {
        let n_outputs = self.weights.n_outputs();
        let (read, bare) = scores.split_at((self.n_read * n_outputs).min(scores.len()));
        let mut out = match &self.reading {
            Reading::Texts { snapshot, texts } => replayed(&self.weights, snapshot, texts, read),
            Reading::Topics => {
                let mut probabilities = read.to_vec();
                probabilities.chunks_exact_mut(n_outputs).for_each(topic_probabilities);
                ProbeAnswers { probabilities, decisions: Vec::new() }
            }
            Reading::Scores => {
                let mut probabilities = read.to_vec();
                self.weights.activate(&mut probabilities);
                ProbeAnswers { probabilities, decisions: Vec::new() }
            }
        };
        let mut bare = bare.to_vec();
        self.weights.activate(&mut bare);
        out.probabilities.append(&mut bare);
        out
    }
}

/// The answers to texts, with these scores in place of those of the dense layers.
fn replayed(
    weights: &DenseWeights,
    snapshot: &TextSnapshot,
    texts: &[Box<str>],
    scores: &[f32],
) -> ProbeAnswers {
    let player = Player { weights, rows: Mutex::new(scores.chunks_exact(weights.n_outputs())) };
    let mut scratch = IntentScratch::default();
    let mut out = ProbeAnswers::default();
    for text in texts {
        let answer = snapshot.intents_by(&player, text, &mut scratch);
        let mut needed: Vec<_> = answer.components.iter().map(|intent| intent.component).collect();
        needed.sort_unstable();
        out.decisions.push((answer.decision, needed));
        out.probabilities.extend_from_slice(scratch.probabilities());
    }
    out
}

/// Takes the units down that it is asked for.
struct Recorder<'a> {
    weights: &'a DenseWeights,
    units: Mutex<Vec<f32>>,
}

impl DenseForward for Recorder<'_> {
    fn n_hidden(&self) -> usize {
        self.weights.n_hidden()
    }

    fn n_outputs(&self) -> usize {
        self.weights.n_outputs()
    }

    fn forward(&self, units: &mut [f32], scores: &mut [f32]) {
        let mut taken = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend_from_slice(units);
        scores.fill(0.0);
    }
}

/// Gives scores in the order in which their units were recorded.
struct Player<'a> {
    weights: &'a DenseWeights,
    rows: Mutex<ChunksExact<'a, f32>>,
}

impl DenseForward for Player<'_> {
    fn n_hidden(&self) -> usize {
        self.weights.n_hidden()
    }

    fn n_outputs(&self) -> usize {
        self.weights.n_outputs()
    }

    fn forward(&self, _units: &mut [f32], scores: &mut [f32]) {
        match self.rows.lock().unwrap_or_else(PoisonError::into_inner).next() {
            Some(row) => scores.copy_from_slice(row),
            None => scores.fill(0.0),
        }
    }
}
