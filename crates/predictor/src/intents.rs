//! What a text needs: the answer of the predictor and the evidence for it.
//!
//! Owns the fusion of model and keywords into a decision, on an immutable snapshot that many readers can
//! share. Does not learn. Invariant: the same snapshot and text give the same answer.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Confidence};
use majordomo_text::Words;

use crate::buffer::text_hash;
use crate::decision::Decision;
use crate::features::{HashedTexts, gram_sources};
use crate::keywords::{KeywordHit, KeywordMatcher, KeywordMatches, KeywordScratch, NEGATED_SHARE};
use crate::model::calibration::Evidence;
use crate::model::text_model::{ModelScratch, TextModel};
use crate::model::{Mode, NONE};
use crate::phrases::{Phrase, Phrases};

/// What is less likely than this is no candidate.
const MIN_CANDIDATE: f32 = 0.05;
/// A component that is named is needed beside a likelier one that is named if it has this share of its
/// probability.
const NAMED_SHARE: f32 = 0.005;
/// Strongest n-grams in an explanation.
const N_GRAMS: usize = 8;

/// From which confidence on an answer is acted upon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A component that nothing is learned about is needed when its keywords reach this. Default 0.5.
    pub keyword: Confidence,
    /// How sure an answer must be. A model learns its thresholds from outcomes (where components exclude each
    /// other one, of the least expected cost, else one a component); their odds are multiplied by the odds of
    /// this. Default 0.5, which leaves them as they are.
    pub min_confidence: Confidence,
    /// Where components exclude each other, the likeliest must be this much likelier than the next.
    /// Default 0: likelier.
    pub min_gap: Confidence,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            keyword: Confidence::saturating(0.5),
            min_confidence: Confidence::saturating(0.5),
            min_gap: Confidence::ZERO,
        }
    }
}

impl Thresholds {
    /// A learned threshold, moved by the odds of the least confidence: 0.5 leaves it as it is.
    fn moved(&self, learned: f32) -> f32 {
        let p = self.min_confidence.get();
        let (odds, learned_odds) = (p * learned, (1.0 - p) * (1.0 - learned));
        if odds + learned_odds > 0.0 { odds / (odds + learned_odds) } else { learned }
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
    /// Probability that the text needs it by the outcomes of this very text; `None` while they have not confirmed
    /// each other.
    pub confirmed: Option<Confidence>,
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

fn intent(component: ComponentKey, confidence: f32, threshold: f32) -> Intent {
    Intent {
        component,
        confidence: Confidence::saturating(confidence),
        threshold: Confidence::saturating(threshold),
    }
}

/// What keywords of a text say.
struct Seen<'a> {
    hits: &'a [KeywordHit],
    /// The strongest keyword of a component that the model knows too little of.
    taken: f32,
}

impl Seen<'_> {
    fn has(&self, component: ComponentKey) -> bool {
        self.hits.binary_search_by_key(&component, |h| h.component).is_ok()
    }

    /// The strongest keyword of a component.
    fn strength(&self, component: ComponentKey) -> f32 {
        let own = self.hits.iter().filter(|h| h.component == component);
        own.map(|h| h.confidence().get()).fold(0.0, f32::max)
    }
}

/// Buffers of a query, kept between queries so that they do not allocate.
#[derive(Clone, Debug)]
pub struct IntentScratch {
    keywords: KeywordScratch,
    texts: HashedTexts,
    model: ModelScratch,
    evidence: Vec<Evidence>,
    /// The words of clauses that are not negated, and the model's answer to them.
    affirmed: Words,
    to_affirmed: Vec<f32>,
    chosen: Vec<Intent>,
    candidates: Vec<Intent>,
}

impl IntentScratch {
    /// The keywords of a component in the text of the last query.
    #[must_use]
    pub fn keywords_of(&self, component: ComponentKey) -> &[KeywordHit] {
        let hits = &self.keywords.hits;
        let start = hits.partition_point(|h| h.component < component);
        let end = hits.partition_point(|h| h.component <= component);
        &hits[start..end]
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
    /// Phrases that were confirmed: they need what they needed before.
    pub(crate) phrases: Arc<Phrases>,
    /// Component key by label; labels of components that are gone have none.
    pub(crate) key_of_label: Vec<Option<ComponentKey>>,
    /// Label by component key.
    pub(crate) label_of_key: Vec<Option<u32>>,
    /// By label: whether too few outcomes used it for the model to overrule its keywords.
    pub(crate) is_new: Vec<bool>,
    /// By label: whether outcomes of negated texts have taught what a negation means for it.
    pub(crate) knows_negation: Vec<bool>,
    /// Whether outcomes of more than one kind are known: who knows one only takes everything for that.
    pub(crate) can_tell: bool,
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

    fn label(&self, key: ComponentKey) -> Option<u32> {
        let model = self.answering()?;
        let label = self.label_of_key.get(key.index()).copied().flatten()?;
        ((label as usize) < model.n_outputs() - 1).then_some(label)
    }

    /// The model, if it may answer.
    fn answering(&self) -> Option<&TextModel> {
        self.model.as_ref().filter(|_| self.can_tell)
    }

    /// Whether a component's keywords count by themselves.
    fn stands_alone(&self, key: ComponentKey) -> bool {
        self.label(key).is_none_or(|l| self.is_new.get(l as usize).copied().unwrap_or(true))
    }

    /// Fills `scratch` with keywords, evidence and probabilities.
    fn run(&self, text: &str, scratch: &mut IntentScratch) {
        let IntentScratch { keywords, texts, model, evidence, affirmed, to_affirmed, .. } = scratch;
        let found = self.keywords.find(text, keywords);
        evidence.clear();
        evidence.extend(
            found.components().filter(|hits| !hits.is_negated()).filter_map(|hits| {
                Some((self.label(hits.component)? + 1, hits.confidence().get()))
            }),
        );
        model.probabilities.clear();
        if let Some(trained) = self.answering() {
            let KeywordScratch { words, negation, .. } = keywords;
            let of_rest = !negation.is_empty() && negation.leaves_content(words);
            if of_rest {
                affirmed.copy_if(words, |i| !negation.has(i));
                texts.reset(self.bits);
                texts.push(affirmed);
                trained.predict(texts.get(0), evidence, model);
                to_affirmed.clone_from(&model.probabilities);
            }
            // The whole text last: an explanation is about its words.
            texts.reset(self.bits);
            texts.push(words);
            trained.predict(texts.get(0), evidence, model);
            if !negation.is_empty() {
                let rest = of_rest.then_some(to_affirmed.as_slice());
                self.negate(trained.mode, rest, &mut model.probabilities);
            }
        }
    }

    /// Takes negation into account: components are as likely as without the negated clauses (`rest`), or next to
    /// unlikely where these are all there is. Components for which outcomes of negated texts have taught what
    /// negation means stay as likely as the model holds them.
    fn negate(&self, mode: Mode, rest: Option<&[f32]>, probabilities: &mut [f32]) {
        for (output, p) in probabilities.iter_mut().enumerate().skip(NONE + 1) {
            if self.knows_negation.get(output - 1).copied().unwrap_or(false) {
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

    /// What a text needs. Allocates nothing once `scratch` has grown, but for Arabic stems.
    pub fn intents<'s>(&self, text: &str, scratch: &'s mut IntentScratch) -> Intents<'s> {
        self.run(text, scratch);
        let IntentScratch { keywords, model, chosen, candidates, .. } = scratch;
        let probabilities = &model.probabilities;
        chosen.clear();
        candidates.clear();
        let hits = KeywordMatches::new(&keywords.hits);
        let keyword_threshold = self.thresholds.keyword.get();
        // Components that the model knows nothing of, or too little, stand on their keywords too.
        let mut taken = 0.0f32;
        for hit in hits.components().filter(|h| self.stands_alone(h.component)) {
            let learned = self.label(hit.component).map_or(0.0, |l| probabilities[l as usize + 1]);
            let strength = hit.confidence().get();
            taken = taken.max(strength);
            let found = intent(hit.component, strength.max(learned), keyword_threshold);
            candidates.push(found);
            if found.confidence >= found.threshold {
                chosen.push(found);
            }
        }
        // What is named in negated clauses only is shown, and speaks for nothing.
        let mut is_none =
            hits.components().filter(|h| self.stands_alone(h.component)).all(|h| h.is_negated());
        if let Some(trained) = self.answering() {
            let seen = Seen { hits: &keywords.hits, taken };
            is_none &= self.choose(trained, probabilities, &seen, chosen, candidates);
        }
        if let Some(phrase) = self.confirmed(keywords) {
            self.decide_by(phrase, chosen, candidates);
            is_none = phrase.labels.is_empty();
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

    /// The text, if it was confirmed. What outcomes said of a negated text counts by the components that know
    /// negation alone, and nothing counts while one of its components is gone.
    fn confirmed(&self, keywords: &KeywordScratch) -> Option<&Phrase> {
        if self.phrases.is_empty() {
            return None;
        }
        let phrase = self.phrases.find(text_hash(&keywords.words))?;
        let knows = |&label: &u32| {
            let at = label as usize;
            let knows_negation = || self.knows_negation.get(at).copied().unwrap_or(false);
            self.key_of_label.get(at).is_some_and(Option::is_some)
                && (keywords.negation.is_empty() || knows_negation())
        };
        phrase.labels.iter().all(knows).then_some(phrase)
    }

    /// Puts what a confirmed phrase stands for in the place of what was chosen. Components about which nothing was
    /// learned at all still stand on their keywords.
    fn decide_by(&self, phrase: &Phrase, chosen: &mut Vec<Intent>, candidates: &mut Vec<Intent>) {
        let label_of = |key: ComponentKey| self.label_of_key.get(key.index()).copied().flatten();
        chosen.retain(|c| label_of(c.component).is_none());
        for &label in &*phrase.labels {
            let Some(key) = self.key_of_label[label as usize] else { continue };
            let at = candidates.iter().position(|c| c.component == key);
            let learned = at.map_or(Confidence::ZERO, |at| candidates.swap_remove(at).confidence);
            let certainty = Confidence::saturating(phrase.certainty).max(learned);
            let threshold = self.thresholds.min_confidence;
            let found = Intent { component: key, confidence: certainty, threshold };
            candidates.push(found);
            if certainty >= threshold {
                chosen.push(found);
            }
        }
        let rest = Confidence::saturating(1.0 - phrase.certainty);
        for other in candidates.iter_mut() {
            let is_meant = |label: u32| phrase.labels.contains(&label);
            if label_of(other.component).is_some_and(|label| !is_meant(label)) {
                other.confidence = other.confidence.min(rest);
            }
        }
    }

    /// Adds the model's components; tells whether the model holds that none is needed.
    fn choose(
        &self,
        trained: &TextModel,
        probabilities: &[f32],
        seen: &Seen<'_>,
        chosen: &mut Vec<Intent>,
        candidates: &mut Vec<Intent>,
    ) -> bool {
        let keyed = self.key_of_label.iter().zip(&probabilities[NONE + 1..]);
        let keyed = keyed
            .zip(&trained.calibration.thresholds)
            .filter_map(|((k, p), t)| Some(((*k)?, *p, *t)))
            .filter(|(key, ..)| !(seen.has(*key) && self.stands_alone(*key)));
        let n_before = chosen.len();
        match trained.mode {
            Mode::Independent => {
                let mut best: Option<(ComponentKey, f32)> = None;
                for (key, p, threshold) in keyed {
                    let threshold = self.thresholds.moved(threshold);
                    let found = intent(key, p, threshold);
                    if p >= threshold {
                        chosen.push(found);
                    }
                    if best.is_none_or(|(_, top)| p > top) {
                        best = Some((key, p));
                    }
                    if p >= MIN_CANDIDATE || p >= threshold {
                        candidates.push(found);
                    }
                }
                // That something is needed is clearer than what: then the likeliest.
                let min_confidence = self.thresholds.min_confidence.get();
                let floor = probabilities[NONE].max(min_confidence);
                if let Some((key, p)) = best.filter(|(_, p)| chosen.len() == n_before && *p > floor)
                {
                    chosen.push(intent(key, p, min_confidence));
                }
            }
            Mode::Exclusive => {
                let is_named = |key| seen.strength(key) >= self.thresholds.keyword.get();
                // What a keyword of a component unknown to the model takes is not there for the others.
                let learned = trained.calibration.thresholds.first();
                let threshold = self.thresholds.moved(learned.copied().unwrap_or(0.5));
                let keyed = keyed.map(|(key, p, _)| {
                    let named = is_named(key);
                    (key, if named { p } else { p * (1.0 - seen.taken) }, named)
                });
                self.choose_exclusive(threshold, &keyed, probabilities[NONE], chosen, candidates);
            }
        }
        let likeliest = probabilities[NONE + 1..].iter().copied().fold(0.0, f32::max);
        chosen.len() == n_before && probabilities[NONE] > likeliest
    }

    /// The likeliest, if it stands well apart. Components that the text names by strong keywords do not exclude
    /// each other: a text that names two needs both.
    fn choose_exclusive(
        &self,
        threshold: f32,
        keyed: &(impl Iterator<Item = (ComponentKey, f32, bool)> + Clone),
        none: f32,
        chosen: &mut Vec<Intent>,
        candidates: &mut Vec<Intent>,
    ) {
        let min_gap = self.thresholds.min_gap.get();
        let best = keyed.clone().fold(0.0, |best: f32, (_, p, _)| best.max(p));
        let all_named: f32 = keyed.clone().filter(|k| k.2).map(|k| k.1).sum();
        for (at, (key, p, named)) in keyed.clone().enumerate() {
            let rival = |(i, (_, q, other_named)): (usize, (ComponentKey, f32, bool))| {
                if i == at || (named && other_named) { 0.0 } else { q }
            };
            let is_likely = if named { p >= best * NAMED_SHARE } else { p >= best };
            let share = if named { (1.0 - (all_named - p)).max(p) } else { 1.0 };
            let confidence = if is_likely { p / share } else { p };
            let found = intent(key, confidence, threshold);
            if confidence >= MIN_CANDIDATE {
                candidates.push(found);
            }
            if is_likely && confidence >= threshold {
                let second = keyed.clone().enumerate().map(rival).fold(none, f32::max);
                let gap = confidence - second / share;
                if gap > 0.0 && gap >= min_gap {
                    chosen.push(found);
                }
            }
        }
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
        let keywords = scratch.keywords_of(component).to_vec();
        let strength = keywords.iter().map(|h| h.confidence().get()).fold(0.0, f32::max);
        let mut out = Explanation {
            component,
            confidence: Confidence::saturating(strength),
            threshold: self.thresholds.keyword,
            confirmed: None,
            keywords,
            keyword_score: 0.0,
            n_grams: Vec::new(),
            version: self.version,
        };
        self.explain_learned(component, scratch, strength, &mut out);
        if let Some(phrase) = self.confirmed(&scratch.keywords) {
            let label = self.label_of_key.get(component.index()).copied().flatten();
            let certainty = Confidence::saturating(phrase.certainty);
            match label.map(|l| phrase.labels.contains(&l)) {
                Some(true) => {
                    out.confidence = out.confidence.max(certainty);
                    out.threshold = self.thresholds.min_confidence;
                    out.confirmed = Some(certainty);
                }
                Some(false) => {
                    let rest = Confidence::saturating(1.0 - phrase.certainty);
                    out.confidence = out.confidence.min(rest);
                    out.confirmed = Some(rest);
                }
                None => {}
            }
        }
        out
    }

    /// Adds what the model says.
    fn explain_learned(
        &self,
        component: ComponentKey,
        scratch: &IntentScratch,
        strength: f32,
        out: &mut Explanation,
    ) {
        let (Some(trained), Some(label)) = (self.answering(), self.label(component)) else {
            return;
        };
        let output = label as usize + 1;
        out.confidence = Confidence::saturating(scratch.model.probabilities[output]);
        let learned = trained.calibration.thresholds[label as usize];
        out.threshold = Confidence::saturating(self.thresholds.moved(learned));
        let is_negated = out.keywords.iter().all(|hit| hit.is_negated);
        let score = trained.calibration.keyword_score(strength);
        out.keyword_score = if is_negated { 0.0 } else { score };
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
    }
}
