//! Confirmed phrases: a text whose outcomes agreed needs the same components again, whatever a model says.
//!
//! Holds hashes, labels and certainties, no text. Invariant: sorted by hash, each hash once.

use std::sync::Arc;

use majordomo_core::Confidence;

use crate::buffer::Outcome;

/// A confirmed phrase.
#[derive(Clone, Debug)]
pub(crate) struct Phrase {
    hash: u64,
    /// Sorted; empty when no component is needed.
    pub(crate) labels: Arc<[u32]>,
    /// In 0.5..1.
    certainty: f32,
}

impl Phrase {
    /// Probability that the text needs the components of the phrase.
    pub(crate) fn certainty(&self) -> Confidence {
        Confidence::saturating(self.certainty)
    }

    /// The most that is left for a component that the phrase does not need.
    pub(crate) fn rest(&self) -> Confidence {
        Confidence::saturating(1.0 - self.certainty)
    }
}

/// The confirmed phrases of a buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phrases(Vec<Phrase>);

impl Phrases {
    pub(crate) fn new<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let phrase = |outcome: &Outcome| {
            let certainty = outcome.standing.certainty()?;
            let labels = (&*outcome.standing.labels).into();
            Some(Phrase { hash: outcome.hash, labels, certainty })
        };
        let mut phrases: Vec<Phrase> = outcomes.into_iter().filter_map(phrase).collect();
        phrases.sort_unstable_by_key(|p| p.hash);
        Self(phrases)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn find(&self, hash: u64) -> Option<&Phrase> {
        let at = self.0.binary_search_by_key(&hash, |p| p.hash).ok()?;
        self.0.get(at)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let labels: usize = self.0.iter().map(|p| 4 * p.labels.len() + 16).sum();
        labels + self.0.len() * size_of::<Phrase>()
    }
}
