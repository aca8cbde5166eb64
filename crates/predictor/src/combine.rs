//! What a text says of the next use of a component, merged with what the sequence of uses says.
//!
//! Knows neither model; takes their probabilities as given.

use majordomo_core::{Confidence, Value};

/// The prospects of a component of which a text says that the next command needs it with probability `text`.
///
/// The two are taken for independent reasons to need it (noisy-or, Pearl 1988): the merged probability is at
/// least the larger of them, and a text that says nothing (0) changes nothing. What is needed next is used
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
