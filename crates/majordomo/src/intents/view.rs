//! The snapshot that queries read: components, keywords, model and settings of one moment, immutable.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Confidence};
use majordomo_predictor::{
    Decision, Intent, IntentScratch, KeywordMatcher, KeywordScratch, TextSnapshot,
};
use majordomo_registry::Catalog;

use super::answer::{Evidence, IntentsAnswer, NGram, Need, Needs, Prediction, Scored};
use super::settings::Settings;

/// Candidates that are shown.
const MAX_CANDIDATES: usize = 8;

/// Figures of the learner, published with each view.
#[derive(Clone, Debug, Default)]
pub(crate) struct LearnerFigures {
    /// Outcomes learned in this process.
    pub learned: u64,
    /// The outcomes among them whose components were exactly the predicted ones.
    pub right: u64,
    /// The same of the last hundred at most.
    pub recent: (u64, u64),
    pub retraining: bool,
    pub retrains: u64,
    pub rejected: u64,
    pub outcomes: usize,
    pub bytes: usize,
    /// Writes of the state that succeeded.
    pub writes: u64,
    /// Where the state is kept, in words.
    pub state: String,
}

/// The state of one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub catalog: Arc<Catalog>,
    pub triggers: Arc<KeywordMatcher>,
    pub text: Arc<TextSnapshot>,
    pub settings: Settings,
    pub learner: LearnerFigures,
}

impl View {
    /// Decides. Allocates nothing once `scratch` and `into` have grown.
    pub(crate) fn predict(&self, text: &str, scratch: &mut IntentScratch, into: &mut Prediction) {
        let found = self.text.intents(text, scratch);
        let scored = |i: &Intent| Scored {
            key: i.component,
            confidence: i.confidence,
            threshold: i.threshold,
        };
        into.version = found.version;
        into.decision = found.decision;
        into.needed.clear();
        into.needed.extend(found.components.iter().map(scored));
        into.candidates.clear();
        let others = found
            .candidates
            .iter()
            .filter(|c| !found.components.iter().any(|n| n.component == c.component));
        into.candidates.extend(others.take(MAX_CANDIDATES).map(scored));
    }

    /// A prediction by name, with the evidence for it. `scratch` is the one that `prediction` was made with.
    pub(crate) fn needs(
        &self,
        text: &str,
        scratch: &IntentScratch,
        prediction: &Prediction,
    ) -> Needs {
        let with_n_grams = self.settings.intents.evidence;
        let unsure = prediction.decision == Decision::Unsure;
        let need = |s: &Scored, with_n_grams: bool| self.need(text, scratch, s, with_n_grams);
        let needed = prediction.needed.iter().map(|s| need(s, with_n_grams)).collect();
        let candidates =
            prediction.candidates.iter().map(|s| need(s, with_n_grams && unsure)).collect();
        let follows = self.triggered(text);
        let (decision, version) = (prediction.decision, prediction.version);
        Needs { answer: IntentsAnswer { decision, needed, candidates, version }, follows }
    }

    fn need(&self, text: &str, scratch: &IntentScratch, scored: &Scored, n_grams: bool) -> Need {
        let keywords = |hits: &[majordomo_predictor::KeywordHit]| {
            hits.iter()
                .map(|h| Evidence {
                    keyword: text.get(h.range()).unwrap_or_default().to_owned(),
                    shared_by: h.n_sharing,
                    fit: h.fit,
                    negated: h.is_negated,
                })
                .collect()
        };
        let (evidence, n_grams, confirmed) = if n_grams {
            let why = self.text.explain_last(scored.key, scratch);
            let gram = |(text, weight)| NGram { text, weight };
            (keywords(&why.keywords), why.n_grams.into_iter().map(gram).collect(), why.confirmed)
        } else {
            (keywords(scratch.keywords_of(scored.key)), Vec::new(), None)
        };
        Need {
            id: self.catalog.id(scored.key).clone(),
            key: scored.key,
            confidence: scored.confidence,
            threshold: scored.threshold,
            evidence,
            n_grams,
            confirmed,
        }
    }

    /// Components that are likely to be needed after such a text.
    fn triggered(&self, text: &str) -> Vec<(ComponentKey, Confidence)> {
        if self.triggers.n_phrases() == 0 {
            return Vec::new();
        }
        let mut scratch = KeywordScratch::default();
        let found = self.triggers.find(text, &mut scratch);
        found.components().map(|hits| (hits.component, hits.confidence())).collect()
    }
}
