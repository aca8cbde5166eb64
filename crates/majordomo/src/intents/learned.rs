//! Figures of the texts that were learned.

use majordomo_core::{ByteSize, ComponentId};
use majordomo_predictor::CandidateReport;

/// Figures of the texts that were learned.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Learned {
    /// Outcomes that are kept to learn from.
    pub outcomes: usize,
    /// Of those, how many used each component, by name; a removed component is listed too.
    pub components: Vec<(ComponentId, usize)>,
    /// Of those, how many used no component.
    pub without: usize,
    /// Version of the model; rises with every change.
    pub version: u64,
    /// Whether there is a model yet; until then keywords answer alone.
    pub has_model: bool,
    /// Retrains that took over, ever.
    pub retrains: u64,
    /// Retrains that did worse than what answered before and were turned away, ever.
    pub retrains_rejected: u64,
    /// Memory of models, keywords and kept outcomes, in bytes.
    pub bytes: ByteSize,
}

/// The result of a training.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LearnReport {
    /// Outcomes that the model was trained on.
    pub trained: usize,
    /// Outcomes held out that could be compared with what was answered before; none for a first model.
    pub compared: usize,
    /// Mean log-loss on them: of the new model, and of the answers before.
    pub log_loss: (f64, f64),
    /// Whether the new model took over. If not, it did worse; the outcomes are kept all the same.
    pub accepted: bool,
}

impl LearnReport {
    pub(super) fn new(report: &CandidateReport, accepted: bool) -> Self {
        Self {
            trained: report.n_train,
            compared: report.n_compared,
            log_loss: report.log_loss,
            accepted,
        }
    }
}
