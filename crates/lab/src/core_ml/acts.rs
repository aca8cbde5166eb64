//! Answers to a command, and whether two that differ were close to each other before.
//!
//! Owns what counts as close: every component that is needed by one answer alone was within the bound of its threshold, or
//! of a rival's or of "no component"'s probability, where both may have moved. Another component's closeness is no excuse.

use majordomo_core::ComponentKey;
use majordomo_predictor::{Decision, IntentScratch, Intents};

/// An answer, taken out of the buffers of its query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Acts {
    decision: Decision,
    /// Sorted; empty unless the decision is to act.
    needed: Vec<ComponentKey>,
    /// Component, confidence, threshold.
    candidates: Vec<(ComponentKey, f64, f64)>,
    /// Of "no component".
    none: f64,
}

impl Acts {
    /// The answer without the probability of "no component".
    pub(super) fn of(answer: &Intents<'_>) -> Self {
        let mut needed: Vec<_> = answer.components.iter().map(|intent| intent.component).collect();
        needed.sort_unstable();
        let number = |confidence: majordomo_core::Confidence| f64::from(confidence.get());
        let candidates = answer
            .candidates
            .iter()
            .map(|c| (c.component, number(c.confidence), number(c.threshold)))
            .collect();
        Self { decision: answer.decision, needed, candidates, none: 0.0 }
    }

    /// With the probability of "no component" that the query left.
    pub(super) fn with_none(self, scratch: &IntentScratch) -> Self {
        Self { none: scratch.probabilities().first().copied().unwrap_or(0.0).into(), ..self }
    }

    /// Whether the same is done.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        (self.decision, &self.needed) == (other.decision, &other.needed)
    }

    /// Whether an answer whose probabilities differ by at most `bound` may act as `other` does.
    pub(super) fn is_near(&self, other: &Self, bound: f64) -> bool {
        let by_one = |a: &Self, b: &Self| {
            let own = a.needed.iter().filter(|key| !b.needed.contains(key));
            own.copied().collect::<Vec<_>>()
        };
        let differing = [by_one(self, other), by_one(other, self)].concat();
        if differing.is_empty() {
            let likeliest = self.candidates.iter().map(|c| c.1).fold(0.0, f64::max);
            return self.decision == other.decision || (likeliest - self.none).abs() <= 2.0 * bound;
        }
        differing.into_iter().all(|key| {
            let Some((_, confidence, threshold)) = self.candidates.iter().find(|c| c.0 == key)
            else {
                return false;
            };
            let rivals = self.candidates.iter().filter(|c| c.0 != key).map(|c| c.1);
            let mut rivals = rivals.chain([self.none]);
            (confidence - threshold).abs() <= bound
                || rivals.any(|rival| (confidence - rival).abs() <= 2.0 * bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_component_that_changed_excuses_a_change() {
        let of = |needed: &[u32], candidates: &[(u32, f64)], none: f64| Acts {
            decision: if needed.is_empty() { Decision::Unsure } else { Decision::Confident },
            needed: needed.iter().map(|key| ComponentKey(*key)).collect(),
            candidates: candidates.iter().map(|(key, p)| (ComponentKey(*key), *p, 0.5)).collect(),
            none,
        };
        let none = of(&[], &[(1, 0.4995)], 0.2);
        assert!(none.is_near(&of(&[1], &[(1, 0.5)], 0.2), 1e-3));
        assert!(!none.is_near(&of(&[1], &[(1, 0.5)], 0.2), 1e-4));
        // Component 2 is at its threshold, component 1 is the one that changed.
        let far = of(&[2], &[(1, 0.8), (2, 0.5)], 0.1);
        assert!(!far.is_near(&of(&[1, 2], &[(1, 0.8), (2, 0.5)], 0.1), 1e-3));
        // A tie of two, and one with "no component".
        let tie = of(&[1], &[(1, 0.4501), (2, 0.45)], 0.1);
        assert!(tie.is_near(&of(&[2], &[(1, 0.45), (2, 0.4501)], 0.1), 1e-3));
        assert!(of(&[1], &[(1, 0.45)], 0.4499).is_near(&of(&[], &[(1, 0.45)], 0.4501), 1e-3));
        // A component that was no candidate at all.
        assert!(!none.is_near(&of(&[3], &[(3, 0.9)], 0.0), 1e-3));
        let unsure = of(&[], &[(1, 0.3)], 0.3);
        let decided = Acts { decision: Decision::None, ..unsure.clone() };
        assert!(unsure.is_near(&decided, 1e-3) && !unsure.agrees(&decided));
        assert!(!Acts { none: 0.6, ..unsure }.is_near(&decided, 1e-3));
    }
}
