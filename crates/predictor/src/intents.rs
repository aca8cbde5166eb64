//! What a text needs: the answer of the predictor and the evidence for it.
//!
//! Owns the fusion of model and keywords into a decision, on an immutable snapshot that many readers can
//! share. Does not learn. Invariant: the same snapshot and text give the same answer.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Confidence};

use crate::classifier::Decision;
use crate::features::{HashedTexts, gram_sources};
use crate::keywords::{KeywordHit, KeywordMatcher, KeywordMatches, KeywordScratch};
use crate::model::calibration::Evidence;
use crate::model::text_model::{ModelScratch, TextModel};
use crate::model::{Mode, NONE};

/// What is less likely than this is no candidate.
const MIN_CANDIDATE: f32 = 0.05;
/// Strongest n-grams in an explanation.
const N_GRAMS: usize = 8;

/// From which confidence on an answer is acted upon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A component that nothing is learned about is needed when its keywords reach this. Default 0.5.
    pub keyword: Confidence,
    /// No learned answer below this is acted upon; where several components at a time are usual, each has a
    /// learned threshold as well. Default 0.4.
    pub min_confidence: Confidence,
    /// Where components exclude each other, the likeliest must be this much likelier than the next.
    /// Default 0.1.
    pub min_gap: Confidence,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            keyword: Confidence::saturating(0.5),
            min_confidence: Confidence::saturating(0.4),
            min_gap: Confidence::saturating(0.1),
        }
    }
}

/// One component and how sure the predictor is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intent {
    /// The component.
    pub component: ComponentKey,
    /// Calibrated probability that the text needs it.
    pub confidence: Confidence,
    /// What the confidence must reach.
    pub threshold: Confidence,
}

/// The answer for one text.
#[derive(Clone, Copy, Debug)]
pub struct Intents<'s> {
    /// Whether to act.
    pub decision: Decision,
    /// What the text needs; empty unless the decision is [`Decision::Confident`]. Likeliest first.
    pub components: &'s [Intent],
    /// Everything that is not unlikely, what is needed included. Likeliest first.
    pub candidates: &'s [Intent],
    /// Keywords found.
    pub keywords: KeywordMatches<'s>,
    /// Version of the model that answered.
    pub version: u64,
}

/// Why a component got its confidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The component.
    pub component: ComponentKey,
    /// Its confidence.
    pub confidence: Confidence,
    /// What the confidence must reach.
    pub threshold: Confidence,
    /// Its keywords in the text.
    pub keywords: Vec<KeywordHit>,
    /// What keywords added to its score.
    pub keyword_score: f32,
    /// The n-grams that spoke for it most, and what each added to its score through the linear part.
    /// Characters show the ends of words as `<` and `>`.
    pub n_grams: Vec<(String, f32)>,
    /// Version of the model.
    pub version: u64,
}

/// Buffers of a query, kept between queries so that they do not allocate.
#[derive(Clone, Debug)]
pub struct IntentScratch {
    keywords: KeywordScratch,
    texts: HashedTexts,
    model: ModelScratch,
    evidence: Vec<Evidence>,
    chosen: Vec<Intent>,
    candidates: Vec<Intent>,
}

impl Default for IntentScratch {
    fn default() -> Self {
        Self {
            keywords: KeywordScratch::default(),
            texts: HashedTexts::new(14),
            model: ModelScratch::default(),
            evidence: Vec::new(),
            chosen: Vec::new(),
            candidates: Vec::new(),
        }
    }
}

/// An immutable predictor: what readers on any thread query.
#[derive(Clone, Debug)]
pub struct TextSnapshot {
    pub(crate) bits: u32,
    pub(crate) version: u64,
    pub(crate) thresholds: Thresholds,
    pub(crate) model: Option<TextModel>,
    pub(crate) keywords: Arc<KeywordMatcher>,
    /// Component key by label; labels of components that are gone have none.
    pub(crate) key_of_label: Vec<Option<ComponentKey>>,
    /// Label by component key.
    pub(crate) label_of_key: Vec<Option<u32>>,
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
        Self { model: None, ..self.clone() }
    }

    /// Whether there is a model; without one keywords answer alone.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.model.is_some()
    }

    fn label(&self, key: ComponentKey) -> Option<u32> {
        let model = self.model.as_ref()?;
        let label = self.label_of_key.get(key.index()).copied().flatten()?;
        ((label as usize) < model.n_outputs() - 1).then_some(label)
    }

    /// Fills `scratch` with keywords, evidence and probabilities.
    fn run(&self, text: &str, scratch: &mut IntentScratch) {
        let IntentScratch { keywords, texts, model, evidence, .. } = scratch;
        let found = self.keywords.find(text, keywords);
        evidence.clear();
        evidence.extend(
            found.components().filter_map(|hits| {
                Some((self.label(hits.component)? + 1, hits.confidence().get()))
            }),
        );
        model.probabilities.clear();
        if let Some(trained) = &self.model {
            texts.reset(self.bits);
            texts.push(&keywords.words);
            trained.predict(texts.get(0), evidence, model);
        }
    }

    /// What a text needs. Allocates nothing once `scratch` has grown.
    pub fn intents<'s>(&self, text: &str, scratch: &'s mut IntentScratch) -> Intents<'s> {
        self.run(text, scratch);
        let IntentScratch { keywords, model, chosen, candidates, .. } = scratch;
        let probabilities = &model.probabilities;
        chosen.clear();
        candidates.clear();
        let intent = |component, confidence: f32, threshold: f32| Intent {
            component,
            confidence: Confidence::saturating(confidence),
            threshold: Confidence::saturating(threshold),
        };
        let hits = KeywordMatches::new(&keywords.hits);
        let keyword_threshold = self.thresholds.keyword.get();
        // Components that the model does not know yet stand on their keywords alone.
        for hit in hits.components().filter(|h| self.label(h.component).is_none()) {
            let found = intent(hit.component, hit.confidence().get(), keyword_threshold);
            candidates.push(found);
            if found.confidence >= found.threshold {
                chosen.push(found);
            }
        }
        let mut is_none = candidates.is_empty();
        if let Some(trained) = &self.model {
            is_none &= self.choose(trained, probabilities, &intent, chosen, candidates);
        }
        let by_confidence = |a: &Intent, b: &Intent| {
            b.confidence.cmp(&a.confidence).then(a.component.cmp(&b.component))
        };
        candidates.sort_unstable_by(by_confidence);
        chosen.sort_unstable_by(by_confidence);
        let decision = match (chosen.is_empty(), is_none) {
            (false, _) => Decision::Confident,
            (true, true) => Decision::None,
            (true, false) => Decision::Unsure,
        };
        Intents { decision, components: chosen, candidates, keywords: hits, version: self.version }
    }

    /// Adds the model's components; tells whether the model holds that none is needed.
    fn choose(
        &self,
        trained: &TextModel,
        probabilities: &[f32],
        intent: &dyn Fn(ComponentKey, f32, f32) -> Intent,
        chosen: &mut Vec<Intent>,
        candidates: &mut Vec<Intent>,
    ) -> bool {
        let keyed = self.key_of_label.iter().zip(&probabilities[NONE + 1..]);
        let keyed = keyed
            .zip(&trained.calibration.thresholds)
            .filter_map(|((k, p), t)| Some(((*k)?, *p, *t)));
        let n_before = chosen.len();
        let min_confidence = self.thresholds.min_confidence.get();
        let min_gap = self.thresholds.min_gap.get();
        match trained.mode {
            Mode::Independent => {
                let mut best: Option<(ComponentKey, f32)> = None;
                for (key, p, threshold) in keyed {
                    let threshold = threshold.max(min_confidence);
                    if p >= threshold {
                        chosen.push(intent(key, p, threshold));
                    }
                    if best.is_none_or(|(_, top)| p > top) {
                        best = Some((key, p));
                    }
                    if p >= MIN_CANDIDATE || p >= threshold {
                        candidates.push(intent(key, p, threshold));
                    }
                }
                // That something is needed is clearer than what: then the likeliest.
                let floor = probabilities[NONE].max(min_confidence);
                if let Some((key, p)) = best.filter(|(_, p)| chosen.len() == n_before && *p > floor)
                {
                    chosen.push(intent(key, p, min_confidence));
                }
            }
            Mode::Exclusive => {
                let (mut best, mut second): (Option<(ComponentKey, f32)>, f32) =
                    (None, probabilities[NONE]);
                for (key, p, _) in keyed {
                    if p >= MIN_CANDIDATE {
                        candidates.push(intent(key, p, min_confidence));
                    }
                    match best {
                        Some((_, top)) if p <= top => second = second.max(p),
                        _ => second = second.max(best.replace((key, p)).map_or(0.0, |b| b.1)),
                    }
                }
                if let Some((key, p)) =
                    best.filter(|(_, p)| *p >= min_confidence && p - second >= min_gap)
                {
                    chosen.push(intent(key, p, min_confidence));
                }
            }
        }
        let likeliest = probabilities[NONE + 1..].iter().copied().fold(0.0, f32::max);
        chosen.len() == n_before && probabilities[NONE] > likeliest
    }

    /// Why `component` got its confidence for `text`. Off the hot path: allocates.
    #[must_use]
    pub fn explain(
        &self,
        text: &str,
        component: ComponentKey,
        scratch: &mut IntentScratch,
    ) -> Explanation {
        self.run(text, scratch);
        self.explain_last(component, scratch)
    }

    /// As [`explain`](Self::explain), for the text of the last query of this snapshot with `scratch`,
    /// without another query.
    #[must_use]
    pub fn explain_last(&self, component: ComponentKey, scratch: &IntentScratch) -> Explanation {
        let keywords: Vec<KeywordHit> =
            scratch.keywords.hits.iter().filter(|h| h.component == component).copied().collect();
        let strength = keywords.iter().map(|h| h.confidence().get()).fold(0.0, f32::max);
        let mut out = Explanation {
            component,
            confidence: Confidence::saturating(strength),
            threshold: self.thresholds.keyword,
            keywords,
            keyword_score: 0.0,
            n_grams: Vec::new(),
            version: self.version,
        };
        let (Some(trained), Some(label)) = (&self.model, self.label(component)) else { return out };
        let output = label as usize + 1;
        out.confidence = Confidence::saturating(scratch.model.probabilities[output]);
        let floor = self.thresholds.min_confidence;
        out.threshold = match trained.mode {
            Mode::Exclusive => floor,
            Mode::Independent => {
                floor.max(Confidence::saturating(trained.calibration.thresholds[label as usize]))
            }
        };
        out.keyword_score = trained.calibration.keyword_score(strength);
        let vector = &scratch.model.text;
        let factor = trained.calibration.linear_factor();
        let mut grams: Vec<(String, f32)> = Vec::new();
        for (source, (&bucket, &weight)) in gram_sources(&scratch.keywords.words)
            .into_iter()
            .zip(vector.buckets.iter().zip(&vector.weights))
        {
            let added = factor * weight * trained.linear.weight(bucket as usize, output);
            match grams.iter_mut().find(|g| g.0 == source.text) {
                Some(gram) => gram.1 = gram.1.max(added),
                None => grams.push((source.text, added)),
            }
        }
        grams.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        grams.retain(|g| g.1 > 0.0);
        grams.truncate(N_GRAMS);
        out.n_grams = grams;
        out
    }
}
