//! Merges the predictions of a component's next use from a text and from the sequence of uses.
//!
//! Knows neither model, only their probabilities.

use majordomo_core::{Confidence, Value};

/// Merges the values of a component with the probability `text` that the next command needs it.
///
/// Both are independent reasons to need the component (noisy-or, Pearl 1988): the merged probability is at
/// least the larger one, and a `text` of 0 changes nothing. A component that is needed next is used
/// soon, so the probability of reuse is at least as high.
///
/// ```
/// use majordomo_core::{Confidence, Value};
/// let p = |x| Confidence::saturating(x);
/// let sequence = Value { next: p(0.5), reuse: p(0.25) };
/// assert_eq!(majordomo_predictor::combine(sequence, p(0.5)), Value { next: p(0.75), reuse: p(0.75) });
/// assert_eq!(majordomo_predictor::combine(sequence, p(0.0)), sequence);
/// ```
#[must_use]
pub fn combine(sequence: Value, text: Confidence) -> Value {
    if text.get() <= 0.0 {
        return sequence;
    }
    let next = Confidence::saturating(1.0 - (1.0 - sequence.next.get()) * (1.0 - text.get()));
    Value { next, reuse: sequence.reuse.max(next) }
}
