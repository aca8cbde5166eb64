//! The learned predictor with its components and its store.
//!
//! Owns the predictor and its reading and writing. One owner at a time: the learner's thread, or a program
//! that works on a state directory without a manager. Knows no thread.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentId, StateStore, StoreError, quoted};
use majordomo_predictor::{KeywordError, KeywordMatcher, TextPredictor, TextSnapshot};
use majordomo_registry::{Catalog, ComponentSpec, Problem};

use super::learned::Learned;
use super::saved;
use super::settings::Settings;
use super::view::{LearnerFigures, View};

/// The components and their words.
#[derive(Debug)]
pub(crate) struct Matchers {
    pub catalog: Arc<Catalog>,
    pub keywords: KeywordMatcher,
    pub triggers: KeywordMatcher,
}

impl Matchers {
    /// Reads the words of a catalog's components.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Result<Self, Problem> {
        let build = |phrases: fn(&ComponentSpec) -> &[String]| {
            let entries = catalog.keys().flat_map(|key| {
                let spec = catalog.spec(key).map(|s| phrases(s)).unwrap_or_default();
                spec.iter().map(move |phrase| (key, phrase.as_str()))
            });
            KeywordMatcher::build(entries).map_err(|error| match error {
                KeywordError::NoWord { component, phrase } => {
                    let id = catalog.id(component);
                    let message =
                        format!("keyword {} of component {id} has no word in it", quoted(&phrase));
                    Problem::in_code("no-word", message, "remove it or write a word")
                }
                other => {
                    Problem::in_code("no-word", other.to_string(), "remove it or write a word")
                }
            })
        };
        let keywords = build(|s| &s.keywords)?;
        let triggers = build(|s| &s.preload_triggers)?;
        Ok(Self { catalog, keywords, triggers })
    }
}

/// The predictor and what belongs to it.
pub(crate) struct Brain {
    pub predictor: TextPredictor,
    pub settings: Settings,
    catalog: Arc<Catalog>,
    triggers: Arc<KeywordMatcher>,
    store: Option<Arc<dyn StateStore>>,
    /// The last snapshot that was published without its model, and the snapshot that it was made from.
    plain: Option<(Arc<TextSnapshot>, Arc<TextSnapshot>)>,
}

impl Brain {
    /// Reads the learned state. A state that cannot be used is set aside, with a warning.
    pub(crate) fn open(
        matchers: Matchers,
        settings: Settings,
        store: Option<Arc<dyn StateStore>>,
    ) -> Self {
        let mut out = Self::remembering(settings, store);
        out.set_catalog(matchers);
        out
    }

    /// [`Self::open`] without components yet.
    pub(crate) fn remembering(settings: Settings, store: Option<Arc<dyn StateStore>>) -> Self {
        let predictor = match &store {
            Some(store) => saved::read(&**store, &|| settings.predictor()),
            None => TextPredictor::new(settings.predictor()),
        };
        let (catalog, triggers) = (Arc::default(), Arc::default());
        Self { predictor, settings, catalog, triggers, store, plain: None }
    }

    pub(crate) fn set_catalog(&mut self, matchers: Matchers) {
        let Matchers { catalog, keywords, triggers } = matchers;
        self.predictor.set_catalog(catalog.keys().map(|k| (k, catalog.id(k))), keywords);
        self.catalog = catalog;
        self.triggers = Arc::new(triggers);
    }

    pub(crate) fn configure(&mut self, matchers: Matchers, settings: Settings) {
        self.predictor.configure(settings.thresholds(), settings.intents.retrain_every);
        self.settings = settings;
        self.set_catalog(matchers);
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The snapshot that queries read from now on.
    pub(crate) fn view(&mut self, learner: LearnerFigures) -> View {
        let full = self.predictor.snapshot();
        let text = if self.settings.intents.enabled {
            full
        } else {
            match &self.plain {
                Some((of, plain)) if Arc::ptr_eq(of, &full) => Arc::clone(plain),
                _ => {
                    let plain = Arc::new(full.without_model());
                    self.plain = Some((full, Arc::clone(&plain)));
                    plain
                }
            }
        };
        View {
            catalog: Arc::clone(&self.catalog),
            triggers: Arc::clone(&self.triggers),
            text,
            settings: self.settings.clone(),
            learner,
        }
    }

    pub(crate) fn learned(&self) -> Learned {
        let p = &self.predictor;
        let mut components: Vec<(ComponentId, usize)> =
            p.labels().iter().map(|id| (id.clone(), 0)).collect();
        let mut without = 0;
        for (_, used) in p.outcomes() {
            without += usize::from(used.is_empty());
            for id in used {
                if let Some(known) = components.iter_mut().find(|c| c.0 == *id) {
                    known.1 += 1;
                }
            }
        }
        components.sort();
        let ever = p.prequential();
        Learned {
            outcomes: p.n_outcomes(),
            components,
            without,
            version: p.version(),
            has_model: p.has_model(),
            retrains: ever.n_retrains,
            retrains_rejected: ever.n_rejected,
            bytes: ByteSize(p.memory_bytes() as u64),
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Writes the state, if it is kept anywhere.
    pub(crate) fn save(&self) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => saved::write(&**store, &self.predictor),
            None => Ok(()),
        }
    }

    /// Writes the state so that nothing that was in it before is left in the file.
    pub(crate) fn save_without_trace(&self) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => saved::write_without_trace(&**store, &self.predictor),
            None => Ok(()),
        }
    }
}
