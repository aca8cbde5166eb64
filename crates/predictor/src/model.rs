//! The learned model of a text: shared features, a linear part, a perceptron, and their calibration.
//!
//! Works on numbered outputs: 0 stands for "no component", output `i + 1` for label `i`. Does not know
//! components' names, keys or keywords' texts; keyword evidence comes in as numbers.

pub(crate) mod calibration;
pub(crate) mod dense;
pub(crate) mod first_layer;
pub(crate) mod linear;
pub(crate) mod mlp;
pub(crate) mod packed;
pub(crate) mod recipe;
pub(crate) mod retired;
pub(crate) mod text_model;
pub(crate) mod tfidf;
pub(crate) mod training_set;
pub(crate) mod weighed;

pub(crate) use training_set::TrainingSet;

use majordomo_simd::Kernels;

/// The output that stands for "no component".
pub(crate) const NONE: usize = 0;

/// How scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One output at a time (softmax): commands that use one component or none.
    Exclusive,
    /// Every output by itself (sigmoid): commands that use several.
    Independent,
}

/// The model's answer to a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelAnswer<'a> {
    pub(crate) mode: Mode,
    /// The learned thresholds by label.
    pub(crate) thresholds: &'a [f32],
    /// By output.
    pub(crate) probabilities: &'a [f32],
}

impl Mode {
    /// Turns scores into probabilities.
    pub(crate) fn activate(self, kernels: Kernels, scores: &mut [f32]) {
        match self {
            Self::Exclusive => kernels.softmax(scores),
            Self::Independent => kernels.sigmoid(scores),
        }
    }
}
