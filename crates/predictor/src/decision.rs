//! From evidence to a decision: every comparison with a threshold is made in this file.
//!
//! Owns the thresholds and the order in which evidence counts: keywords of components that the model knows too
//! little about, then the model, then the confirmed outcomes of the text itself. The thresholds of a model are
//! learned in [`calibration`](crate::model::calibration); this file applies them. Does not read texts. Invariant: the
//! decision is [`Decision::Confident`] exactly when a component is chosen.

use std::fmt;

use majordomo_core::{ComponentKey, Confidence};
use serde::Serialize;

use crate::keywords::{ComponentHits, KeywordMatches};
use crate::labels::Labels;
use crate::model::{Mode, ModelAnswer, NONE};
use crate::phrases::Phrase;

/// A component less likely than this is no candidate.
const MIN_CANDIDATE: f32 = 0.05;
/// Of several components that a text names, those with at least this share of the likeliest one's probability are
/// needed too.
const NAMED_SHARE: f32 = 0.005;

/// Whether an answer is acted upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The text needs the components named, which stand well apart from the others.
    Confident,
    /// The text may need the candidates, but no component reaches its threshold: the caller should ask or wait.
    Unsure,
    /// The text needs no component.
    #[default]
    None,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confident => "confident",
            Self::Unsure => "unsure",
            Self::None => "none",
        })
    }
}

/// Confidences that an answer must reach to be acted upon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// For the keywords of a component that too few outcomes have used. Default 0.5.
    pub keyword: Confidence,
    /// For the confirmed outcomes of a text. Also shifts the thresholds that a model learns from outcomes (one of least
    /// expected cost where components exclude each other, else one a component): their odds are multiplied by the odds
    /// of this value. Default 0.5, which leaves the learned thresholds unchanged.
    pub min_confidence: Confidence,
    /// Where components exclude each other, the likeliest must be this much likelier than the next.
    /// Default 0: any lead is enough.
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

/// One component and how sure the predictor is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the other name says it")]
pub struct Intent {
    pub component: ComponentKey,
    /// Calibrated probability that the text needs the component.
    pub confidence: Confidence,
    /// The confidence from which on the component is needed.
    pub threshold: Confidence,
}

impl Intent {
    fn new(component: ComponentKey, confidence: f32, threshold: f32) -> Self {
        Self {
            component,
            confidence: Confidence::saturating(confidence),
            threshold: Confidence::saturating(threshold),
        }
    }
}

/// The evidence that was found for a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) keywords: KeywordMatches<'a>,
    pub(crate) labels: &'a Labels,
    /// `None` while there is no model, or none that may answer.
    pub(crate) model: Option<ModelAnswer<'a>>,
    /// The phrase that the text is, if outcomes have confirmed it.
    pub(crate) confirmed: Option<&'a Phrase>,
}

impl<'a> Findings<'a> {
    /// The model's probability that the text needs a component; `None` for a component without a label.
    fn learned(&self, key: ComponentKey) -> Option<f32> {
        let model = self.model.as_ref()?;
        let label = self.labels.label(key)?;
        model.probabilities.get(label as usize + 1).copied()
    }

    /// Whether the keywords of a component decide without the model.
    fn stands_alone(&self, key: ComponentKey) -> bool {
        let label = self.labels.label(key).filter(|_| self.learned(key).is_some());
        label.is_none_or(|label| self.labels.is_new(label))
    }

    /// The components named by the text whose keywords decide without the model.
    fn standalone(&self) -> impl Iterator<Item = ComponentHits<'a>> {
        self.keywords.components().filter(|hits| self.stands_alone(hits.component))
    }
}

/// The components of an answer; kept between queries so that a query does not allocate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The components needed, likeliest first.
    pub(crate) chosen: Vec<Intent>,
    /// Every component that is not unlikely, likeliest first.
    pub(crate) candidates: Vec<Intent>,
}

impl Answer {
    /// The answer about one component; `None` when it is no candidate.
    fn about(&self, component: ComponentKey) -> Option<Intent> {
        let mut all = self.chosen.iter().chain(&self.candidates);
        all.find(|intent| intent.component == component).copied()
    }
}

impl Thresholds {
    /// Fills `answer` with the components that are needed and those that may be, and decides.
    pub(crate) fn decide(&self, found: &Findings<'_>, answer: &mut Answer) -> Decision {
        answer.chosen.clear();
        answer.candidates.clear();
        let claimed = self.choose_by_keywords(found, answer);
        // A component that is named in negated clauses only is a candidate without support.
        let mut is_none = found.standalone().all(|hits| hits.is_negated());
        if let Some(model) = &found.model {
            is_none &= self.choose_by_model(found, model, claimed, answer);
        }
        if let Some(phrase) = found.confirmed {
            self.choose_by_outcomes(found, phrase, answer);
            is_none = phrase.labels.is_empty();
        }
        let by_confidence = |a: &Intent, b: &Intent| {
            b.confidence.cmp(&a.confidence).then(a.component.cmp(&b.component))
        };
        answer.candidates.sort_unstable_by(by_confidence);
        answer.chosen.sort_unstable_by(by_confidence);
        match (answer.chosen.is_empty(), is_none) {
            (false, _) => Decision::Confident,
            (true, true) => Decision::None,
            (true, false) => Decision::Unsure,
        }
    }

    /// Confidence and threshold of a component in an answer, also where it is no candidate.
    pub(crate) fn judge(
        &self,
        found: &Findings<'_>,
        answer: &Answer,
        component: ComponentKey,
    ) -> Intent {
        answer.about(component).unwrap_or_else(|| {
            let threshold = match (&found.model, found.labels.label(component)) {
                (Some(model), Some(label)) => {
                    model.thresholds.get(label as usize).map(|learned| self.shifted(*learned))
                }
                _ => None,
            };
            let mut out = Intent::new(
                component,
                found.learned(component).unwrap_or(0.0),
                threshold.unwrap_or_else(|| self.keyword.get()),
            );
            if let Some(phrase) = found.confirmed {
                out.confidence = out.confidence.min(phrase.rest());
            }
            out
        })
    }

    /// A learned threshold, shifted by the odds of the least confidence: 0.5 leaves it unchanged.
    fn shifted(&self, learned: f32) -> f32 {
        let p = self.min_confidence.get();
        let (odds, learned_odds) = (p * learned, (1.0 - p) * (1.0 - learned));
        if odds + learned_odds > 0.0 { odds / (odds + learned_odds) } else { learned }
    }

    /// Adds the components that stand on their keywords. Returns the strongest of these keywords.
    fn choose_by_keywords(&self, found: &Findings<'_>, answer: &mut Answer) -> f32 {
        let mut claimed = 0.0f32;
        for hits in found.standalone() {
            let learned = found.learned(hits.component).unwrap_or(0.0);
            let strength = hits.confidence().get();
            claimed = claimed.max(strength);
            let intent = Intent::new(hits.component, strength.max(learned), self.keyword.get());
            answer.candidates.push(intent);
            if intent.confidence >= intent.threshold {
                answer.chosen.push(intent);
            }
        }
        claimed
    }

    /// Adds the model's components. Returns whether the model holds that none is needed.
    fn choose_by_model(
        &self,
        found: &Findings<'_>,
        model: &ModelAnswer<'_>,
        claimed: f32,
        answer: &mut Answer,
    ) -> bool {
        let none = model.probabilities[NONE];
        let keyed = found.labels.keys().iter().zip(&model.probabilities[NONE + 1..]);
        let keyed = keyed
            .zip(model.thresholds)
            .filter_map(|((k, p), t)| Some(((*k)?, *p, *t)))
            .filter(|(key, ..)| !(found.keywords.of(*key).is_some() && found.stands_alone(*key)));
        let n_before = answer.chosen.len();
        match model.mode {
            Mode::Independent => self.choose_independent(keyed, none, answer),
            Mode::Exclusive => {
                let strength = |key| found.keywords.of(key).map_or(0.0, |h| h.confidence().get());
                let is_named = |key| strength(key) >= self.keyword.get();
                let learned = model.thresholds.first().copied().unwrap_or(0.5);
                // The share of the probability that the keyword of a component unknown to the model claims is not
                // left for the others.
                let keyed = keyed.map(|(key, p, _)| {
                    let named = is_named(key);
                    (key, if named { p } else { p * (1.0 - claimed) }, named)
                });
                self.choose_exclusive(self.shifted(learned), &keyed, none, answer);
            }
        }
        let likeliest = model.probabilities[NONE + 1..].iter().copied().fold(0.0, f32::max);
        answer.chosen.len() == n_before && none > likeliest
    }

    /// Chooses every component that reaches its threshold. Where the text needs something for sure and no component
    /// reaches its own, chooses the likeliest.
    fn choose_independent(
        &self,
        keyed: impl Iterator<Item = (ComponentKey, f32, f32)>,
        none: f32,
        answer: &mut Answer,
    ) {
        let n_before = answer.chosen.len();
        let mut best: Option<(ComponentKey, f32)> = None;
        for (key, p, learned) in keyed {
            let threshold = self.shifted(learned);
            let intent = Intent::new(key, p, threshold);
            if p >= threshold {
                answer.chosen.push(intent);
            }
            if best.is_none_or(|(_, top)| p > top) {
                best = Some((key, p));
            }
            if p >= MIN_CANDIDATE || p >= threshold {
                answer.candidates.push(intent);
            }
        }
        let min_confidence = self.min_confidence.get();
        let floor = none.max(min_confidence);
        if let Some((key, p)) = best.filter(|(_, p)| answer.chosen.len() == n_before && *p > floor)
        {
            answer.chosen.push(Intent::new(key, p, min_confidence));
        }
    }

    /// Chooses the likeliest component, if it stands well apart. Components that the text names by strong keywords do
    /// not exclude each other: a text that names two needs both.
    fn choose_exclusive(
        &self,
        threshold: f32,
        keyed: &(impl Iterator<Item = (ComponentKey, f32, bool)> + Clone),
        none: f32,
        answer: &mut Answer,
    ) {
        let min_gap = self.min_gap.get();
        let best = keyed.clone().fold(0.0, |best: f32, (_, p, _)| best.max(p));
        let all_named: f32 = keyed.clone().filter(|k| k.2).map(|k| k.1).sum();
        for (at, (key, p, named)) in keyed.clone().enumerate() {
            let rival = |(i, (_, q, other_named)): (usize, (ComponentKey, f32, bool))| {
                if i == at || (named && other_named) { 0.0 } else { q }
            };
            let is_likely = if named { p >= best * NAMED_SHARE } else { p >= best };
            let share = if named { (1.0 - (all_named - p)).max(p) } else { 1.0 };
            let confidence = if is_likely { p / share } else { p };
            let intent = Intent::new(key, confidence, threshold);
            if confidence >= MIN_CANDIDATE {
                answer.candidates.push(intent);
            }
            if is_likely && confidence >= threshold {
                let second = keyed.clone().enumerate().map(rival).fold(none, f32::max);
                let gap = confidence - second / share;
                if gap > 0.0 && gap >= min_gap {
                    answer.chosen.push(intent);
                }
            }
        }
    }

    /// Replaces what was chosen by the components of a confirmed phrase. Components without any outcome still stand
    /// on their keywords.
    fn choose_by_outcomes(&self, found: &Findings<'_>, phrase: &Phrase, answer: &mut Answer) {
        let Answer { chosen, candidates } = answer;
        chosen.retain(|c| found.labels.label(c.component).is_none());
        for &label in &*phrase.labels {
            let Some(key) = found.labels.key(label) else { continue };
            let at = candidates.iter().position(|c| c.component == key);
            let learned = at.map_or(Confidence::ZERO, |at| candidates.swap_remove(at).confidence);
            let confidence = phrase.certainty().max(learned);
            let intent = Intent { component: key, confidence, threshold: self.min_confidence };
            candidates.push(intent);
            if confidence >= intent.threshold {
                chosen.push(intent);
            }
        }
        for other in candidates.iter_mut() {
            let is_meant = |label: u32| phrase.labels.contains(&label);
            if found.labels.label(other.component).is_some_and(|label| !is_meant(label)) {
                other.confidence = other.confidence.min(phrase.rest());
            }
        }
    }
}

/// Appends the labels that a model without keywords and settings takes a text for: the likeliest unless "no label" is
/// likelier; where labels do not exclude each other, every label that reaches its learned threshold, and the likeliest
/// where none does.
pub(crate) fn append_labels(model: &ModelAnswer<'_>, out: &mut Vec<u32>) {
    match model.mode {
        Mode::Exclusive => out.extend(likeliest(model.probabilities)),
        Mode::Independent => {
            let labels = model.probabilities[NONE + 1..].iter().zip(model.thresholds).enumerate();
            let n_before = out.len();
            out.extend(labels.filter(|(_, (p, t))| p >= t).map(|(label, _)| label as u32));
            if out.len() == n_before {
                out.extend(likeliest(model.probabilities));
            }
        }
    }
}

/// The likeliest label, unless "no label" is likelier.
fn likeliest(probabilities: &[f32]) -> Option<u32> {
    let best = (0..probabilities.len())
        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]).then(b.cmp(&a)));
    best.filter(|&b| b != NONE).map(|b| b as u32 - 1)
}
