//! The learned predictor without a running manager: for programs that teach or query a state directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, Config, NameError, StateStore};
use majordomo_predictor::{IntentScratch, Verdict};
use majordomo_registry::{Catalog, ComponentSpec, Problem, Problems};
use majordomo_runtime::state::RedbStore;

use super::answer::{IntentsAnswer, Prediction};
use super::brain::{Brain, Matchers};
use super::error::IntentError;
use super::learned::{LearnReport, Learned};
use super::settings::Settings;
use super::spoken::cut;
use super::view::LearnerFigures;
use crate::error::BuildError;
use crate::problems::of_catalog;

/// The learned predictor, opened from a state directory or empty. Nothing is written before [`Self::save`].
pub struct OfflineIntents {
    brain: Brain,
    scratch: IntentScratch,
}

impl std::fmt::Debug for OfflineIntents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfflineIntents").finish_non_exhaustive()
    }
}

impl OfflineIntents {
    /// Opens the predictor of a state directory, which no other process may be using; without one it is empty and
    /// cannot be saved. Blocking.
    ///
    /// # Errors
    /// [`BuildError::State`] when the directory cannot be used.
    pub fn open(state_dir: Option<&Path>, config: &Config) -> Result<Self, BuildError> {
        let store = match state_dir {
            None => None,
            Some(dir) => {
                let failed = |why: String| BuildError::State { path: dir.to_owned(), why };
                let (store, set_aside) = RedbStore::open(dir).map_err(|e| failed(e.to_string()))?;
                if let Some(set_aside) = set_aside {
                    tracing::warn!("{set_aside}");
                }
                Some(Arc::new(store) as Arc<dyn StateStore>)
            }
        };
        Self::on(store, config)
    }

    /// [`Self::open`] for queries only: nothing in the directory is changed, and no permission to write there is needed.
    /// New outcomes cannot be saved.
    ///
    /// # Errors
    /// [`BuildError::State`] when the directory cannot be read.
    pub fn open_to_ask(state_dir: Option<&Path>, config: &Config) -> Result<Self, BuildError> {
        let store = match state_dir {
            None => None,
            Some(dir) => {
                let failed = |why: String| BuildError::State { path: dir.to_owned(), why };
                let store = RedbStore::open_copy(dir).map_err(|e| failed(e.to_string()))?;
                store.map(|store| Arc::new(store) as Arc<dyn StateStore>)
            }
        };
        Self::on(store, config)
    }

    fn on(store: Option<Arc<dyn StateStore>>, config: &Config) -> Result<Self, BuildError> {
        let brain = Brain::remembering(Settings::from(config), store);
        let mut out = Self { brain, scratch: IntentScratch::default() };
        out.know_learned()?;
        Ok(out)
    }

    /// Sets the components to those that outcomes name.
    fn know_learned(&mut self) -> Result<(), BuildError> {
        let ids = self.brain.predictor.labels().iter();
        let specs =
            ids.map(|id| ComponentSpec::builtin(id.as_str())).collect::<Result<_, _>>().map_err(
                |e: NameError| Problems::new(vec![Problem::in_code("bad-name", e.to_string(), "")]),
            )?;
        let catalog = Catalog::build(specs, Vec::new(), None);
        self.set_catalog(catalog.map_err(|e| Problems::new(vec![of_catalog(&e)]))?)
    }

    /// Sets the components to those of a configuration, with their keywords.
    ///
    /// # Errors
    /// [`BuildError::Config`].
    pub fn set_catalog(&mut self, catalog: Catalog) -> Result<(), BuildError> {
        let matchers = Matchers::new(Arc::new(catalog)).map_err(|p| Problems::new(vec![p]))?;
        self.brain.set_catalog(matchers);
        Ok(())
    }

    /// The components that a text needs, with evidence.
    pub fn explain(&mut self, text: &str) -> IntentsAnswer {
        let view = self.brain.view(LearnerFigures::default());
        let mut prediction = Prediction::default();
        view.predict(cut(text), &mut self.scratch, &mut prediction);
        view.needs(cut(text), &self.scratch, &prediction).answer
    }

    /// Learns which components a text used (none is an outcome too), at once and for the next [`Self::train`].
    ///
    /// # Errors
    /// [`IntentError::NoWord`].
    pub fn learn(&mut self, text: &str, used: &[ComponentId]) -> Result<(), IntentError> {
        // With names, a text without a word is all that can be wrong.
        self.brain.predictor.learn_named(cut(text), used).map_err(|_| IntentError::NoWord)
    }

    /// Whether enough is new for a training to be worth its time.
    #[must_use]
    pub fn train_due(&self) -> bool {
        self.brain.predictor.retrain_due()
    }

    /// Trains on every outcome that is kept; a model that does worse does not take over. Blocking, for seconds
    /// where there are thousands of outcomes; looks at `cancel` before each.
    ///
    /// # Errors
    /// [`IntentError::NoOutcome`] or [`IntentError::Cancelled`].
    pub fn train(&mut self, cancel: &AtomicBool) -> Result<LearnReport, IntentError> {
        let candidate = self.brain.predictor.retrain_job().run(cancel)?;
        let report = *candidate.report();
        let accepted = matches!(self.brain.predictor.install(candidate), Verdict::Accepted { .. });
        Ok(LearnReport::new(&report, accepted))
    }

    /// Forgets a text. False when it was not known.
    pub fn forget(&mut self, text: &str) -> bool {
        self.brain.predictor.forget(cut(text))
    }

    /// Forgets all outcomes, and the model that was trained on them.
    pub fn forget_everything(&mut self) {
        self.brain.predictor.forget_everything();
    }

    /// Figures of the outcomes and of the model.
    #[must_use]
    pub fn learned(&self) -> Learned {
        self.brain.learned()
    }

    /// The dense layers of the text model as a Core ML file; see [`Intents::export`](crate::Intents::export).
    ///
    /// # Errors
    /// [`IntentExportError`](crate::IntentExportError), such as no model yet.
    #[cfg(feature = "coreml")]
    pub fn export(
        &mut self,
        settings: majordomo_coreml::ExportSettings,
    ) -> Result<majordomo_coreml::Exported, super::IntentExportError> {
        super::export::export(&self.brain.predictor.snapshot(), settings)
    }

    /// The outcomes that are kept: each text with the components that it used.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, Vec<&ComponentId>)> {
        self.brain.predictor.outcomes()
    }

    /// The names of all components.
    #[must_use]
    pub fn components(&self) -> Vec<ComponentId> {
        let catalog = self.brain.catalog();
        catalog.keys().map(|k| catalog.id(k).clone()).collect()
    }

    /// Writes all of it. Blocking.
    ///
    /// # Errors
    /// [`IntentError::Store`]; the state is as it was then.
    pub fn save(&self) -> Result<(), IntentError> {
        self.brain.save().map_err(|e| IntentError::Store(e.to_string()))
    }

    /// [`Self::save`], with everything that was forgotten or replaced erased from the file.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_without_trace(&self) -> Result<(), IntentError> {
        self.brain.save_without_trace().map_err(|e| IntentError::Store(e.to_string()))
    }
}
