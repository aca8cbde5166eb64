//! Why a component got its confidence: keywords, n-grams, earlier outcomes of the same text.
//!
//! Confidence and threshold are those of the answer itself, never computed a second time. Off the hot path: allocates.

use majordomo_core::{ComponentKey, Confidence};

use super::{IntentScratch, TextSnapshot};
use crate::features::gram_sources;
use crate::keywords::KeywordHit;

/// Strongest n-grams in an explanation.
const N_GRAMS: usize = 8;

/// Why a component got its confidence.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Explanation {
    pub component: ComponentKey,
    pub confidence: Confidence,
    /// The confidence from which on the component is needed.
    pub threshold: Confidence,
    /// Probability that the text needs the component by the outcomes of this very text; `None` while they have not
    /// confirmed each other.
    pub confirmed: Option<Confidence>,
    /// The component's keywords in the text.
    pub keywords: Vec<KeywordHit>,
    /// The part of the score that its keywords added.
    pub keyword_score: f32,
    /// The n-grams with the largest positive parts of the score, and these parts, through the linear model.
    /// Characters show the ends of words as `<` and `>`.
    pub n_grams: Vec<(String, f32)>,
    /// Version of the model.
    pub version: u64,
}

impl TextSnapshot {
    /// Why `component` got its confidence for `text`.
    #[must_use]
    pub fn explain(
        &self,
        text: &str,
        component: ComponentKey,
        scratch: &mut IntentScratch,
    ) -> Explanation {
        self.intents(text, scratch);
        self.explain_last(component, scratch)
    }

    /// As [`explain`](Self::explain), for the text of the last query of this snapshot with `scratch`,
    /// without another query.
    #[must_use]
    pub fn explain_last(&self, component: ComponentKey, scratch: &IntentScratch) -> Explanation {
        let found = self.findings(&scratch.keywords, &scratch.model);
        let intent = self.thresholds.judge(&found, &scratch.answer, component);
        let label = self.labels.label(component);
        let confirmed = found.confirmed.zip(label).map(|(phrase, label)| {
            if phrase.labels.contains(&label) { phrase.certainty() } else { phrase.rest() }
        });
        let mut out = Explanation {
            component,
            confidence: intent.confidence,
            threshold: intent.threshold,
            confirmed,
            keywords: scratch.keywords_of(component).to_vec(),
            keyword_score: 0.0,
            n_grams: Vec::new(),
            version: self.version,
        };
        self.explain_score(component, scratch, &mut out);
        out
    }

    /// Fills in the parts of the model's score from keywords and n-grams.
    fn explain_score(
        &self,
        component: ComponentKey,
        scratch: &IntentScratch,
        out: &mut Explanation,
    ) {
        let (Some(trained), Some(label)) = (self.answering(), self.answered_label(component))
        else {
            return;
        };
        let output = label as usize + 1;
        if out.keywords.iter().any(|hit| !hit.is_negated) {
            let strongest = out.keywords.iter().map(|h| h.confidence().get()).fold(0.0, f32::max);
            out.keyword_score = trained.calibration.keyword_score(strongest);
        }
        let vector = &scratch.model.text;
        let factor = trained.calibration.linear_factor();
        let mut grams: Vec<(String, f32)> = Vec::new();
        for (source, (&bucket, &weight)) in gram_sources(&scratch.keywords.words)
            .into_iter()
            .zip(vector.buckets.iter().zip(&vector.weights))
        {
            let added = factor * weight * trained.linear.weight(bucket as usize, output);
            match grams.iter_mut().find(|g| g.0 == source) {
                Some(gram) => gram.1 = gram.1.max(added),
                None => grams.push((source, added)),
            }
        }
        grams.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        grams.retain(|g| g.1 > 0.0);
        grams.truncate(N_GRAMS);
        out.n_grams = grams;
    }
}
