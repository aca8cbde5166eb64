//! The step after a retrain, for parts of the product that follow the model.
//!
//! Owns the trait alone; the learner calls it and knows no implementation.

use majordomo_predictor::RescoreJob;

/// Follows the model. Its calls come from the learner's thread and must return soon.
pub(crate) trait AfterRetrain: Send {
    /// A retrained model answers from now on, or the model that was read at the start.
    fn retrained(&self, job: RescoreJob);

    /// Something was forgotten: jobs may hold its text.
    fn forget(&self);
}
