//! The replay buffer: the outcomes that the model is trained from.
//!
//! Bounded, without duplicates (all outcomes of a text are one entry, see [`Standing`]), balanced: a full buffer drops
//! the oldest entry of the most frequent component. Knows labels by number only. Invariant: at most `capacity` entries,
//! each text at most once.

use std::collections::BTreeMap;

use majordomo_simd::hash_bytes;
use majordomo_text::{Negation, Words};

use crate::rng::Rng;
use crate::standing::{Origin, Standing, Weight};

/// Bytes of a text that are kept; no learner reads more of it.
const MAX_TEXT_BYTES: usize = 2048;
const TEXT_SEED: u64 = 0x7465_7874;
/// The share of words in common from which on two texts are neighbours, in 256ths.
const MIN_LIKENESS: u32 = 64;

/// The outcomes of one text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) text: Box<str>,
    /// Hash of the folded text.
    pub(crate) hash: u64,
    pub(crate) standing: Standing,
    /// One bit a word, by its hash; not part of a state.
    pub(crate) signature: Signature,
    /// Whether a clause of the text is negated; not part of a state.
    pub(crate) is_negated: bool,
    /// Rises with every outcome of any text; that of the latest outcome.
    pub(crate) order: u64,
    /// Judgement of the answer before the first outcome was learned, where there was a model.
    pub(crate) before: Option<Judgement>,
}

/// The quality of an answer.
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
    /// Rises whenever a confirmed text may have changed.
    n_changes: u64,
}

/// The words of a text, as bits.
pub(crate) type Signature = u128;

pub(crate) fn signature(words: &Words) -> Signature {
    (0..words.len()).fold(0, |bits, i| bits | 1 << (hash_bytes(words.folded(i), TEXT_SEED) >> 57))
}

/// The share of words that two texts have in common, in 256ths.
fn likeness(a: Signature, b: Signature) -> u32 {
    512 * (a & b).count_ones() / (a.count_ones() + b.count_ones()).max(1)
}

/// Texts of the same hash count as the same text; hashes the folded words.
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

    /// Rises whenever a confirmed text may have changed.
    pub(crate) fn n_changes(&self) -> u64 {
        self.n_changes
    }

    /// Adds an outcome, or weighs it against those of the same text. Returns its weight and the labels that the
    /// text stands for after it.
    pub(crate) fn push(
        &mut self,
        text: &str,
        words: &Words,
        labels: Vec<u32>,
        origin: Origin,
        before: Option<Judgement>,
    ) -> (Weight, &[u32]) {
        let hash = text_hash(words);
        let order = self.next_order;
        self.next_order += 1;
        if let Some(&at) = self.by_hash.get(&hash) {
            // The answer to a text that was learned before is no fair judgement, so `before` stays.
            let outcome = &mut self.outcomes[at];
            outcome.order = order;
            self.n_changes += 1;
            let weight = outcome.standing.weigh(labels, origin);
            return (weight, &outcome.standing.labels);
        }
        if self.outcomes.len() >= self.capacity {
            self.evict();
        }
        let text = cut(text);
        self.by_hash.insert(hash, self.outcomes.len());
        self.outcomes.push(Outcome {
            text: text.into(),
            hash,
            standing: Standing::new(labels, origin),
            signature: signature(words),
            is_negated: has_negation(text),
            order,
            before,
        });
        let added = self.outcomes.last();
        (Weight::First, added.map_or(&[], |o| &o.standing.labels))
    }

    /// The texts most like the words of another one that stand for other components than `labels`, at most `n`.
    pub(crate) fn contrary_neighbours(
        &self,
        words: &Words,
        labels: &[u32],
        n: usize,
    ) -> Vec<&Outcome> {
        let signature = signature(words);
        let others = self.outcomes.iter().filter(|o| *o.standing.labels != *labels);
        let mut near: Vec<(u32, &Outcome)> = others
            .map(|o| (likeness(signature, o.signature), o))
            .filter(|(likeness, _)| *likeness >= MIN_LIKENESS)
            .collect();
        let by_likeness = |a: &(u32, &Outcome), b: &(u32, &Outcome)| {
            b.0.cmp(&a.0).then(b.1.order.cmp(&a.1.order))
        };
        if near.len() > n {
            near.select_nth_unstable_by(n, by_likeness);
            near.truncate(n);
        }
        near.sort_unstable_by(by_likeness);
        near.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Drops the oldest outcome of the most frequent label (none counts as one).
    fn evict(&mut self) {
        let key = |o: &Outcome| o.standing.labels.first().map_or(0, |l| l + 1);
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
        let removed = self.outcomes.swap_remove(at);
        self.n_changes += 1;
        self.by_hash.remove(&removed.hash);
        if let Some(moved) = self.outcomes.get(at) {
            self.by_hash.insert(moved.hash, at);
        }
    }

    /// Removes a text. Returns whether the buffer held it.
    pub(crate) fn forget(&mut self, hash: u64) -> bool {
        let Some(&at) = self.by_hash.get(&hash) else { return false };
        self.remove_at(at);
        true
    }

    /// Takes a label out of every outcome and renumbers the labels above it. Drops the outcomes that used nothing
    /// else: without the label they would state that nothing was used, which is false.
    pub(crate) fn remove_label(&mut self, label: u32) {
        self.n_changes += 1;
        self.outcomes.retain(|o| *o.standing.labels != [label]);
        self.outcomes.iter_mut().for_each(|o| o.standing.remove_label(label));
        self.by_hash = self.outcomes.iter().enumerate().map(|(i, o)| (o.hash, i)).collect();
    }

    /// By label: whether fewer than `n` outcomes used it.
    pub(crate) fn with_fewer_than(&self, n: usize, n_labels: usize) -> Vec<bool> {
        let mut counts = vec![0; n_labels];
        let mut n_open = n_labels;
        // Usually the count of every label reaches `n` long before the end.
        for outcome in self.outcomes.iter().rev() {
            for &label in &*outcome.standing.labels {
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
            outcome.standing.labels.iter().for_each(|l| counts[*l as usize] += 1);
        }
        counts.into_iter().map(|count| count >= n).collect()
    }

    /// Whether two outcomes have different labels.
    pub(crate) fn has_several_kinds(&self) -> bool {
        let differ = |a: &Outcome, b: &Outcome| a.standing.labels != b.standing.labels;
        self.outcomes.first().is_some_and(|a| self.outcomes.iter().any(|b| differ(a, b)))
    }

    /// A random outcome for replay: of two, the one whose labels are rarer among the latest outcomes.
    pub(crate) fn sample(&self, rng: &mut Rng) -> Option<&Outcome> {
        if self.outcomes.is_empty() {
            return None;
        }
        let pick = |rng: &mut Rng| &self.outcomes[rng.below(self.outcomes.len())];
        let (a, b) = (pick(rng), pick(rng));
        let rarity = |o: &Outcome| {
            let latest = self.outcomes.iter().rev().take(256);
            latest.filter(|x| x.standing.labels == o.standing.labels).count()
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
        let mut out =
            Self { capacity: capacity.max(1), outcomes, by_hash, next_order, n_changes: 1 };
        if out.by_hash.len() != out.outcomes.len() {
            return None;
        }
        while out.outcomes.len() > out.capacity {
            out.evict();
        }
        Some(out)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let texts: usize =
            self.outcomes.iter().map(|o| o.text.len() + o.standing.labels.memory_bytes()).sum();
        texts + self.outcomes.len() * (size_of::<Outcome>() + 3 * size_of::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &mut ReplayBuffer, text: &str, labels: &[u32]) -> Weight {
        let mut words = Words::default();
        words.split(text);
        buffer.push(text, &words, labels.to_vec(), Origin::default(), None).0
    }

    #[test]
    fn buffer_is_bounded_balanced_and_without_duplicates() {
        let mut buffer = ReplayBuffer::new(10);
        for i in 0..50 {
            assert_eq!(push(&mut buffer, &format!("common {i}"), &[0]), Weight::First);
        }
        for i in 0..3 {
            push(&mut buffer, &format!("rare {i}"), &[1]);
        }
        let n_rare = |buffer: &ReplayBuffer| {
            buffer.outcomes().iter().filter(|o| *o.standing.labels == [1]).count()
        };
        assert_eq!((buffer.outcomes().len(), n_rare(&buffer)), (10, 3));
        assert_eq!(push(&mut buffer, "RARE 2", &[0]), Weight::Overturns { n: 1 });
        assert_eq!((buffer.outcomes().len(), n_rare(&buffer)), (10, 2));
        let hash = buffer.outcomes().iter().find(|o| &*o.text == "rare 2").expect("kept").hash;
        assert!(buffer.forget(hash) && !buffer.forget(hash));
        buffer.remove_label(0);
        assert!(buffer.outcomes().iter().all(|o| *o.standing.labels == [0]));
        assert_eq!(buffer.outcomes().len(), 2);
    }

    #[test]
    fn contrary_neighbours_share_words_and_have_other_components() {
        let mut buffer = ReplayBuffer::new(10);
        for (text, label) in [
            ("play the blue song", 0),
            ("play the red song", 1),
            ("the weather on sunday afternoon in town", 0),
            ("play a red song now", 0),
        ] {
            push(&mut buffer, text, &[label]);
        }
        let mut words = Words::default();
        words.split("play the green song");
        let near = |labels: &[u32], n: usize| -> Vec<&str> {
            let found = buffer.contrary_neighbours(&words, labels, n);
            found.into_iter().map(|o| &*o.text).collect()
        };
        assert_eq!(near(&[1], 5), ["play the blue song", "play a red song now"]);
        assert_eq!(near(&[1], 1), ["play the blue song"]);
        assert_eq!(near(&[0], 5), ["play the red song"]);
    }
}
