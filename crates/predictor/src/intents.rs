//! The predictor's answer to a text, from an immutable snapshot that many readers share.
//!
//! Owns the reading of a text: keywords, the model's answer, negation and confirmed phrases.
//! [`decision`](crate::decision) decides by them. Does not learn. Invariant: the same snapshot and text give the same
//! answer.

use std::sync::Arc;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_text::Words;

use crate::buffer::text_hash;
use crate::decision::{Answer, Decision, Findings, Intent, Thresholds};
use crate::features::HashedTexts;
use crate::keywords::{KeywordHit, KeywordMatcher, KeywordMatches, KeywordScratch, NEGATED_SHARE};
use crate::labels::Labels;
use crate::model::calibration::Evidence;
use crate::model::dense::DenseForward;
use crate::model::text_model::{ModelScratch, TextModel};
use crate::model::{Mode, NONE};
use crate::phrases::{Phrase, Phrases};

mod explanation;

pub use explanation::Explanation;

/// The answer for one text.
#[derive(Clone, Copy, Debug)]
pub struct Intents<'s> {
    /// Whether to act.
    pub decision: Decision,
    /// The components that the text needs; empty unless the decision is [`Decision::Confident`]. Likeliest first.
    pub components: &'s [Intent],
    /// Every component that is not unlikely, needed ones included. Likeliest first.
    pub candidates: &'s [Intent],
    /// Keywords found.
    pub keywords: KeywordMatches<'s>,
    /// Version of the model that answered.
    pub version: u64,
}

/// Buffers of a query, kept between queries so that a query does not allocate.
#[derive(Clone, Debug)]
pub struct IntentScratch {
    keywords: KeywordScratch,
    texts: HashedTexts,
    model: ModelScratch,
    evidence: Vec<Evidence>,
    /// The words of clauses that are not negated, and the model's answer to these words.
    affirmed: Words,
    to_affirmed: Vec<f32>,
    answer: Answer,
}

impl IntentScratch {
    /// The model's probability of each output in the last query: "no component", then one a label; empty where keywords
    /// answered alone.
    #[must_use]
    pub fn probabilities(&self) -> &[f32] {
        &self.model.probabilities
    }

    /// The keywords of a component in the text of the last query.
    #[must_use]
    pub fn keywords_of(&self, component: ComponentKey) -> &[KeywordHit] {
        KeywordMatches::new(&self.keywords.hits).of(component).map_or(&[], |found| found.hits)
    }
}

impl Default for IntentScratch {
    fn default() -> Self {
        Self {
            keywords: KeywordScratch::default(),
            texts: HashedTexts::new(14),
            model: ModelScratch::default(),
            evidence: Vec::new(),
            affirmed: Words::default(),
            to_affirmed: Vec::new(),
            answer: Answer::default(),
        }
    }
}

/// An immutable predictor: the part that readers on any thread query.
#[derive(Clone, Debug)]
pub struct TextSnapshot {
    pub(crate) bits: u32,
    pub(crate) version: u64,
    pub(crate) thresholds: Thresholds,
    /// Shared until the next online step.
    pub(crate) model: Option<Arc<TextModel>>,
    pub(crate) keywords: Arc<KeywordMatcher>,
    pub(crate) phrases: Arc<Phrases>,
    pub(crate) labels: Labels,
    /// Outcomes of more than one kind are known. A model that knows one kind takes every text for it.
    pub(crate) can_discriminate: bool,
}

impl TextSnapshot {
    /// Version of the model; rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same keywords and thresholds without anything learned.
    #[must_use]
    pub fn without_model(&self) -> Self {
        Self { model: None, phrases: Arc::default(), ..self.clone() }
    }

    /// Whether there is a model; without one keywords answer alone.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.model.is_some()
    }

    /// The components that the model's outputs stand for, from the second on; empty without a model.
    #[must_use]
    pub fn output_names(&self) -> &[ComponentId] {
        let n = self.model.as_deref().map_or(0, |model| model.n_outputs() - 1);
        self.labels.names().get(..n).unwrap_or_default()
    }

    /// The components that a text needs. Allocates nothing once `scratch` has grown, but for Arabic stems.
    pub fn intents<'s>(&self, text: &str, scratch: &'s mut IntentScratch) -> Intents<'s> {
        self.read(None, text, scratch);
        self.decide(scratch)
    }

    /// As [`intents`](Self::intents), with the scores of other dense layers in place of the model's: to compare them. They must
    /// have as many units and outputs as [`dense`](Self::dense) has.
    pub fn intents_by<'s>(
        &self,
        dense: &dyn DenseForward,
        text: &str,
        scratch: &'s mut IntentScratch,
    ) -> Intents<'s> {
        self.read(Some(dense), text, scratch);
        self.decide(scratch)
    }

    fn decide<'s>(&self, scratch: &'s mut IntentScratch) -> Intents<'s> {
        let IntentScratch { keywords, model, answer, .. } = scratch;
        let decision = self.thresholds.decide(&self.findings(keywords, model), answer);
        Intents {
            decision,
            components: &answer.chosen,
            candidates: &answer.candidates,
            keywords: KeywordMatches::new(&keywords.hits),
            version: self.version,
        }
    }

    /// The model, if it may answer.
    fn answering(&self) -> Option<&TextModel> {
        self.model.as_deref().filter(|_| self.can_discriminate)
    }

    /// The label of a component that the model answers for.
    fn answered_label(&self, key: ComponentKey) -> Option<u32> {
        let model = self.answering()?;
        self.labels.label(key).filter(|label| (*label as usize) < model.n_outputs() - 1)
    }

    /// Fills `scratch` with keywords, evidence and probabilities.
    fn read(&self, dense: Option<&dyn DenseForward>, text: &str, scratch: &mut IntentScratch) {
        let IntentScratch { keywords, texts, model, evidence, affirmed, to_affirmed, .. } = scratch;
        let found = self.keywords.find(text, keywords);
        evidence.clear();
        evidence.extend(found.components().filter(|hits| !hits.is_negated()).filter_map(|hits| {
            Some((self.answered_label(hits.component)? + 1, hits.confidence().get()))
        }));
        model.probabilities.clear();
        if let Some(trained) = self.answering() {
            let predict = |texts: &HashedTexts, evidence: &[Evidence], model: &mut ModelScratch| {
                match dense {
                    None => trained.predict(texts.get(0), evidence, model),
                    Some(dense) => trained.predict_by(dense, texts.get(0), evidence, model),
                }
            };
            let KeywordScratch { words, negation, .. } = keywords;
            let of_rest = !negation.is_empty() && negation.has_other_content(words);
            if of_rest {
                affirmed.copy_if(words, |i| !negation.has(i));
                texts.reset(self.bits);
                texts.push(affirmed);
                predict(texts, evidence, model);
                to_affirmed.clone_from(&model.probabilities);
            }
            // The whole text last: an explanation is about its words.
            texts.reset(self.bits);
            texts.push(words);
            predict(texts, evidence, model);
            if !negation.is_empty() {
                let rest = of_rest.then_some(to_affirmed.as_slice());
                self.negate(trained.mode, rest, &mut model.probabilities);
            }
        }
    }

    /// The evidence that [`read`](Self::read) left.
    fn findings<'s>(
        &'s self,
        keywords: &'s KeywordScratch,
        model: &'s ModelScratch,
    ) -> Findings<'s> {
        Findings {
            keywords: KeywordMatches::new(&keywords.hits),
            labels: &self.labels,
            model: self.answering().map(|trained| trained.answer(model)),
            confirmed: self.confirmed(keywords),
        }
    }

    /// Takes negation into account: a component is as likely as without the negated clauses (`rest`), or next to
    /// unlikely where the text has no other clause. Components whose outcomes of negated texts have taught the model
    /// what a negation means keep their probability.
    fn negate(&self, mode: Mode, rest: Option<&[f32]>, probabilities: &mut [f32]) {
        for (output, p) in probabilities.iter_mut().enumerate().skip(NONE + 1) {
            if self.labels.knows_negation(output as u32 - 1) {
                continue;
            }
            *p = rest.map_or(*p * NEGATED_SHARE, |rest| rest[output]);
        }
        let components = &probabilities[NONE + 1..];
        let taken = match mode {
            Mode::Exclusive => components.iter().sum::<f32>(),
            Mode::Independent => components.iter().copied().fold(0.0, f32::max),
        };
        probabilities[NONE] = match (mode, rest) {
            (Mode::Independent, Some(rest)) => rest[NONE],
            _ => (1.0 - taken).max(0.0),
        };
    }

    /// The phrase that the text is, if outcomes have confirmed it. The outcomes of a negated text count only where its
    /// components know negation; no outcome counts while one of the components is not in the catalog.
    fn confirmed(&self, keywords: &KeywordScratch) -> Option<&Phrase> {
        if self.phrases.is_empty() {
            return None;
        }
        let phrase = self.phrases.find(text_hash(&keywords.words))?;
        let counts = |&label: &u32| {
            self.labels.key(label).is_some()
                && (keywords.negation.is_empty() || self.labels.knows_negation(label))
        };
        phrase.labels.iter().all(counts).then_some(phrase)
    }
}
