//! Why a text was not learned or forgotten.

use majordomo_core::Refusal;
use majordomo_predictor::TrainError;

/// Outcomes that may wait to be learned; more are dropped, and counted in the status.
pub(super) const MAX_QUEUED: u64 = 1024;

/// Why a text was not learned or forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// A component that does not exist.
    #[error(transparent)]
    Unknown(#[from] Refusal),
    /// A text without a word.
    #[error("the text has no word to learn from")]
    NoWord,
    /// The settings forbid it.
    #[error("learning is switched off; set enabled and learn in [intents] to true")]
    Off,
    /// Nothing to train on.
    #[error("nothing was learned yet, so there is nothing to train on")]
    NoOutcome,
    /// The caller broke it off.
    #[error("training was broken off; nothing was changed")]
    Cancelled,
    /// Too many outcomes wait already.
    #[error("{MAX_QUEUED} outcomes are waiting to be learned; try again in a moment")]
    Busy,
    /// The manager has ended.
    #[error("the manager is shutting down")]
    ShuttingDown,
    /// The state cannot be read or written; what is in memory has changed all the same.
    #[error("{0}")]
    Store(String),
}

impl From<TrainError> for IntentError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Cancelled => Self::Cancelled,
            _ => Self::NoOutcome,
        }
    }
}
