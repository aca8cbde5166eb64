//! The manager's predictions, and its learning of texts.

use majordomo_core::ComponentId;

use super::Manager;
use crate::intents::{IntentError, IntentsAnswer, Learned, Prediction};

/// Predictions of a manager, and the learning of texts: [`Manager::intents`].
#[derive(Clone, Copy, Debug)]
pub struct Intents<'m> {
    manager: &'m Manager,
}

impl<'m> Intents<'m> {
    pub(super) fn new(manager: &'m Manager) -> Self {
        Self { manager }
    }

    /// Fills `into` with the components that a text needs, by key and without evidence; loads nothing. Takes
    /// microseconds, takes no lock, and allocates nothing once `into` and the calling thread's buffers have grown.
    pub fn predict(self, text: &str, into: &mut Prediction) {
        self.manager.inner.intents.predict(text, into);
    }

    /// The components that a text needs, with evidence; loads nothing and learns nothing.
    #[must_use]
    pub fn explain(self, text: &str) -> IntentsAnswer {
        self.manager.inner.intents.needs(text).answer
    }

    /// Learns which components a text used (none is an answer too), and waits until queries see it.
    ///
    /// # Errors
    /// An [`IntentError`]; nothing is learned then.
    pub async fn teach(self, text: &str, used: &[&str]) -> Result<(), IntentError> {
        let keys = self.manager.keys(used)?;
        self.manager.inner.intents.teach(text, keys).await
    }

    /// Forgets a text and what was learned from it, in the state file as well; the model that knew it is
    /// replaced by one trained without it in the background. Case and punctuation do not matter. False when the text
    /// was not known.
    ///
    /// # Errors
    /// [`IntentError::Store`] or [`IntentError::ShuttingDown`].
    pub async fn forget(self, text: &str) -> Result<bool, IntentError> {
        self.manager.inner.intents.forget(text).await
    }

    /// Forgets everything that was learned from texts, in the state file as well.
    ///
    /// # Errors
    /// [`IntentError::Store`] or [`IntentError::ShuttingDown`].
    pub async fn forget_everything(self) -> Result<(), IntentError> {
        self.manager.inner.intents.forget_everything().await
    }

    /// Restores the text model before the last retrain. False when there is none.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn roll_back(self) -> Result<bool, IntentError> {
        self.manager.inner.intents.roll_back().await
    }

    /// Figures of what was learned; all outcomes that were reported before are counted.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn learned(self) -> Result<Learned, IntentError> {
        self.manager.inner.intents.learned().await
    }

    /// The dense layers of the text model that answers now, as a Core ML file: from a text's pooled units to the scores of
    /// its components. The layers before and the decision after them are not in it (ADR 0033). Takes less than a millisecond;
    /// [`CoreMlExport::write`](crate::CoreMlExport::write) puts the files on disk.
    ///
    /// # Errors
    /// [`IntentExportError`](crate::IntentExportError), such as no model yet.
    #[cfg(feature = "coreml")]
    pub fn export(
        self,
        settings: majordomo_coreml::ExportSettings,
    ) -> Result<majordomo_coreml::Exported, crate::IntentExportError> {
        self.manager.inner.intents.export(settings)
    }

    /// The outcomes that are kept to learn from: users' texts, and the components that each used.
    ///
    /// # Errors
    /// [`IntentError::ShuttingDown`].
    pub async fn outcomes(self) -> Result<Vec<(String, Vec<ComponentId>)>, IntentError> {
        self.manager.inner.intents.outcomes().await
    }
}
