//! From a command's text to the components that it needs: keywords, and triggers for what comes next.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Confidence};
use majordomo_predictor::{KeywordMatcher, KeywordScratch};
use majordomo_registry::Catalog;

use crate::error::BuildError;
use crate::outcome::{Evidence, Need};

/// The matchers of one catalog.
#[derive(Debug)]
pub(crate) struct Needs {
    catalog: Arc<Catalog>,
    keywords: KeywordMatcher,
    triggers: KeywordMatcher,
    threshold: Confidence,
}

impl Needs {
    pub(crate) fn new(catalog: Arc<Catalog>, threshold: Confidence) -> Result<Self, BuildError> {
        let build = |phrases: fn(&majordomo_registry::ComponentSpec) -> &[String]| {
            let entries = catalog.keys().flat_map(|key| {
                let spec = catalog.spec(key).map(|s| phrases(s)).unwrap_or_default();
                spec.iter().map(move |phrase| (key, phrase.as_str()))
            });
            KeywordMatcher::build(entries).map_err(|e| BuildError::Keyword(e.to_string()))
        };
        let keywords = build(|s| &s.keywords)?;
        let triggers = build(|s| &s.preload_triggers)?;
        Ok(Self { catalog, keywords, triggers, threshold })
    }

    /// The components that a text needs, most confident first, and those below the threshold.
    pub(crate) fn of(&self, text: &str) -> (Vec<Need>, Vec<Need>) {
        let mut scratch = KeywordScratch::default();
        let found = self.keywords.find(text, &mut scratch);
        let mut needs: Vec<Need> = found
            .components()
            .map(|hits| Need {
                id: self.catalog.id(hits.component).clone(),
                key: hits.component,
                confidence: hits.confidence(),
                evidence: hits
                    .hits
                    .iter()
                    .map(|h| Evidence {
                        keyword: text.get(h.range()).unwrap_or_default().to_owned(),
                        shared_by: h.n_sharing,
                    })
                    .collect(),
            })
            .collect();
        needs.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.key.cmp(&b.key)));
        needs.into_iter().partition(|n| n.confidence >= self.threshold)
    }

    /// Components that are likely to be needed after such a text.
    pub(crate) fn triggered(&self, text: &str) -> Vec<(ComponentKey, Confidence)> {
        let mut scratch = KeywordScratch::default();
        let found = self.triggers.find(text, &mut scratch);
        found.components().map(|hits| (hits.component, hits.confidence())).collect()
    }
}
