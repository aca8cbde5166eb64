//! What a manager learns from texts: predictions, outcomes, forgetting.

use majordomo_core::ComponentId;

use super::Manager;
use crate::intents::{IntentError, IntentsAnswer, Learned, Prediction};

impl Manager {
    /// Which components a text needs, by key and without evidence, loading nothing. Takes microseconds, waits for
    /// nobody, and allocates nothing once `into` and the calling thread's buffers have grown.
    pub fn predict(&self, text: &str, into: &mut Prediction) {
        self.inner.intents.predict(text, into);
    }

    /// What a text is taken for, with evidence; loads nothing and learns nothing.
    #[must_use]
    pub fn intents(&self, text: &str) -> IntentsAnswer {
        let needs = self.inner.intents.needs(text);
        IntentsAnswer {
            decision: needs.decision,
            needed: needs.needed,
            candidates: needs.candidates,
            version: needs.version,
        }
    }

    /// Learns which components a text used (none is an answer too), and waits until it is known.
    ///
    /// # Errors
    /// An [`IntentError`]; nothing is learned then.
    pub async fn teach(&self, text: &str, used: &[&str]) -> Result<(), IntentError> {
        let keys = self.keys(used)?;
        self.inner.intents.teach(text, keys).await
    }

    /// Forgets a text and what was learned from it, in the state file as well; the model that knew it is
    /// replaced by one trained without it in the background. Case and punctuation do not matter. False when it
    /// was not known.
    ///
    /// # Errors
    /// [`IntentError::Store`] or [`IntentError::ShuttingDown`].
    pub async fn forget(&self, text: &str) -> Result<bool, IntentError> {
        self.inner.intents.forget(text).await
    }

    /// Forgets everything that was learned from texts, in the state file as well.
    ///
    /// # Errors
    /// [`IntentError::Store`] or [`IntentError::ShuttingDown`].
    pub async fn forget_everything(&self) -> Result<(), IntentError> {
        self.inner.intents.forget_everything().await
    }

    /// Goes back to the text model before the last retrain. False when there is none.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn roll_back(&self) -> Result<bool, IntentError> {
        self.inner.intents.roll_back().await
    }

    /// What was learned from texts, in numbers. Outcomes told before are in it.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn learned(&self) -> Result<Learned, IntentError> {
        self.inner.intents.learned().await
    }

    /// The outcomes that are kept to learn from: users' texts, and the components that each used.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn outcomes(&self) -> Result<Vec<(String, Vec<ComponentId>)>, IntentError> {
        self.inner.intents.outcomes().await
    }
}
