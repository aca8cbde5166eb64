//! The replay buffer: the outcomes that the model is trained from.
//!
//! Bounded, without duplicates (the latest outcome of a text stands), balanced: when full, the oldest
//! example of the most frequent component goes. Knows labels by number only. Invariant: never more than
//! `capacity` examples, each text at most once.

use std::collections::BTreeMap;

use majordomo_simd::hash_bytes;
use majordomo_text::{Negation, Words};

use crate::rng::Rng;

/// Bytes of a text that are kept; no learner reads more of it.
const MAX_TEXT_BYTES: usize = 2048;
const TEXT_SEED: u64 = 0x7465_7874;

/// One outcome.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) text: Box<str>,
    /// Hash of the folded text.
    pub(crate) hash: u64,
    /// Sorted; empty when no component was used.
    pub(crate) labels: Vec<u32>,
    /// Whether a clause of the text is negated; read again when the outcome is read from a state.
    pub(crate) is_negated: bool,
    /// Rises with every outcome learned.
    pub(crate) order: u64,
    /// Log-loss and confidence of the answer before this was learned, where there was a model.
    pub(crate) before: Option<Judgement>,
}

/// How good an answer was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) log_loss: f32,
    /// Probability of the likeliest output.
    pub(crate) confidence: f32,
    pub(crate) is_right: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayBuffer {
    capacity: usize,
    outcomes: Vec<Outcome>,
    by_hash: BTreeMap<u64, usize>,
    next_order: u64,
}

/// The hash by which texts are the same: of their folded words.
pub(crate) fn text_hash(words: &Words) -> u64 {
    (0..words.len()).fold(TEXT_SEED, |hash, i| hash_bytes(words.folded(i), hash))
}

/// The part of a text that is kept.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Whether a clause of a text is negated.
pub(crate) fn has_negation(text: &str) -> bool {
    let (mut words, mut negation) = (Words::default(), Negation::default());
    words.split(text);
    negation.read(text, &words, |_| false);
    !negation.is_empty()
}

impl ReplayBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ..Self::default() }
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The order that the next outcome gets.
    pub(crate) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Adds an outcome, or replaces that of the same text. Tells whether the text is new.
    pub(crate) fn push(
        &mut self,
        text: &str,
        hash: u64,
        labels: Vec<u32>,
        before: Option<Judgement>,
    ) -> bool {
        let order = self.next_order;
        self.next_order += 1;
        let is_negated = has_negation(cut(text));
        let outcome = Outcome { text: cut(text).into(), hash, labels, is_negated, order, before };
        if let Some(&at) = self.by_hash.get(&hash) {
            // An answer to a text that was learned before is no fair judgement.
            let before = self.outcomes[at].before;
            self.outcomes[at] = Outcome { before, ..outcome };
            return false;
        }
        if self.outcomes.len() >= self.capacity {
            self.evict();
        }
        self.by_hash.insert(hash, self.outcomes.len());
        self.outcomes.push(outcome);
        true
    }

    /// Drops the oldest outcome of the most frequent label (none counts as one).
    fn evict(&mut self) {
        let key = |o: &Outcome| o.labels.first().map_or(0, |l| l + 1);
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for outcome in &self.outcomes {
            *counts.entry(key(outcome)).or_default() += 1;
        }
        let Some((&most, _)) =
            counts.iter().max_by_key(|(label, n)| (**n, std::cmp::Reverse(**label)))
        else {
            return;
        };
        let oldest = (0..self.outcomes.len())
            .filter(|&i| key(&self.outcomes[i]) == most)
            .min_by_key(|&i| self.outcomes[i].order);
        if let Some(at) = oldest {
            self.remove_at(at);
        }
    }

    fn remove_at(&mut self, at: usize) {
        let gone = self.outcomes.swap_remove(at);
        self.by_hash.remove(&gone.hash);
        if let Some(moved) = self.outcomes.get(at) {
            self.by_hash.insert(moved.hash, at);
        }
    }

    /// Removes a text. Tells whether it was there.
    pub(crate) fn forget(&mut self, hash: u64) -> bool {
        let Some(&at) = self.by_hash.get(&hash) else { return false };
        self.remove_at(at);
        true
    }

    /// Takes a label out of every outcome and renumbers the labels above it. Outcomes that used nothing
    /// else go: that they used nothing would be a lie.
    pub(crate) fn remove_label(&mut self, label: u32) {
        self.outcomes.retain(|o| o.labels != [label]);
        for outcome in &mut self.outcomes {
            outcome.labels.retain(|l| *l != label);
            for l in outcome.labels.iter_mut().filter(|l| **l > label) {
                *l -= 1;
            }
        }
        self.by_hash = self.outcomes.iter().enumerate().map(|(i, o)| (o.hash, i)).collect();
    }

    /// By label: whether fewer than `n` outcomes used it.
    pub(crate) fn with_fewer_than(&self, n: usize, n_labels: usize) -> Vec<bool> {
        let mut counts = vec![0; n_labels];
        let mut n_open = n_labels;
        // Usually every label is found often enough long before the end.
        for outcome in self.outcomes.iter().rev() {
            for &label in &outcome.labels {
                counts[label as usize] += 1;
                n_open -= usize::from(counts[label as usize] == n);
            }
            if n_open == 0 {
                break;
            }
        }
        counts.into_iter().map(|count| count < n).collect()
    }

    /// By label: whether at least `n` outcomes of negated texts used it.
    pub(crate) fn with_negated(&self, n: usize, n_labels: usize) -> Vec<bool> {
        let mut counts = vec![0; n_labels];
        for outcome in self.outcomes.iter().filter(|o| o.is_negated) {
            outcome.labels.iter().for_each(|l| counts[*l as usize] += 1);
        }
        counts.into_iter().map(|count| count >= n).collect()
    }

    /// Whether two outcomes have different labels.
    pub(crate) fn has_others(&self) -> bool {
        self.outcomes.first().is_some_and(|a| self.outcomes.iter().any(|b| a.labels != b.labels))
    }

    /// An outcome for replay: a label at random among those that occur, then one of its outcomes.
    pub(crate) fn sample(&self, rng: &mut Rng) -> Option<&Outcome> {
        if self.outcomes.is_empty() {
            return None;
        }
        // Rejection towards balance: of a few at random, the one whose label was drawn least often.
        let pick = |rng: &mut Rng| &self.outcomes[rng.below(self.outcomes.len())];
        let (a, b) = (pick(rng), pick(rng));
        let rarity = |o: &Outcome| {
            self.outcomes.iter().rev().take(256).filter(|x| x.labels == o.labels).count()
        };
        Some(if rarity(a) <= rarity(b) { a } else { b })
    }

    pub(crate) fn restore(
        capacity: usize,
        outcomes: Vec<Outcome>,
        next_order: u64,
    ) -> Option<Self> {
        let by_hash: BTreeMap<u64, usize> =
            outcomes.iter().enumerate().map(|(i, o)| (o.hash, i)).collect();
        let mut out = Self { capacity: capacity.max(1), outcomes, by_hash, next_order };
        if out.by_hash.len() != out.outcomes.len() {
            return None;
        }
        while out.outcomes.len() > out.capacity {
            out.evict();
        }
        Some(out)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let texts: usize = self.outcomes.iter().map(|o| o.text.len() + 4 * o.labels.len()).sum();
        texts + self.outcomes.len() * (size_of::<Outcome>() + 3 * size_of::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_bounded_balanced_and_without_duplicates() {
        let mut buffer = ReplayBuffer::new(10);
        for i in 0..50u64 {
            buffer.push("common", i, vec![0], None);
        }
        for i in 50..53u64 {
            buffer.push("rare", i, vec![1], None);
        }
        assert_eq!(buffer.outcomes().len(), 10);
        assert_eq!(buffer.outcomes().iter().filter(|o| o.labels == [1]).count(), 3);
        assert!(!buffer.push("again", 52, vec![0], None));
        assert_eq!(buffer.outcomes().len(), 10);
        assert!(buffer.forget(52) && !buffer.forget(52));
        buffer.remove_label(0);
        assert!(buffer.outcomes().iter().all(|o| o.labels == [0]));
        assert!(buffer.forget(50) && buffer.forget(51));
        assert!(buffer.outcomes().is_empty());
    }
}
