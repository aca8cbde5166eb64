//! The step after a retrain, for parts of the product that follow the model.
//!
//! Owns the trait alone; the learner calls it and knows no implementation.

use majordomo_predictor::RescoreJob;

/// Follows the model. Its calls come from the learner's thread and must return soon.
pub(crate) trait AfterRetrain: Send {
    /// Another model answers from now on: retrained, read at the start, or the one before.
    fn replaced(&self, job: RescoreJob);

    /// Something was forgotten: jobs may hold its text.
    fn forget(&self);
}
