//! Negation in Korean, where particles are attached to the words.

use super::cues::Reading;
use crate::script::is_hangul;

/// Verbs whose negation is a request: forget, stop, miss.
const REQUESTING: [&str; 5] = ["잊지", "까먹지", "멈추지", "그치지", "놓치지"];

/// Whether a word may be part of a Korean negation.
pub(super) fn may_negate(word: &str) -> bool {
    word.chars().next().is_some_and(is_hangul)
        && (["마", "말", "않", "없", "안", "아니"].iter().any(|start| word.starts_with(start))
            || ["지마", "지말", "말고", "필요없", "아니라", "없이"]
                .iter()
                .any(|part| word.contains(part)))
}

/// The meaning of the words from `at` on, and the number of words that it takes.
pub(super) fn read<'a>(
    word: impl Fn(usize) -> Option<&'a str>,
    at: usize,
) -> Option<(Reading, usize)> {
    let this = word(at).filter(|w| w.chars().next().is_some_and(is_hangul))?;
    let next = word(at + 1).unwrap_or_default();
    let requests = REQUESTING.iter().any(|verb| this.starts_with(verb));
    let is_verb = this.ends_with('지');
    if this.contains("말고") || (is_verb && next.starts_with("말고")) {
        let taken = if this.contains("말고") { 1 } else { 2 };
        return Some((if requests { Reading::Affirms } else { Reading::Before }, taken));
    }
    if is_verb && (next.starts_with('마') || next.starts_with('말')) {
        return Some((if requests { Reading::Affirms } else { Reading::Clause }, 2));
    }
    if this.contains("지마") || this.contains("지말") {
        return Some((if requests { Reading::Affirms } else { Reading::Clause }, 1));
    }
    if this.ends_with("없이") {
        return Some((Reading::Before, 1));
    }
    // "Wouldn't you like to hear music?" is a request.
    let is_question = ["않니", "않냐", "않을", "않으세"].iter().any(|form| next.starts_with(form));
    if this == "싶지" && next.starts_with('않') && !is_question {
        return Some((Reading::Clause, 2));
    }
    let is_released = ["아도", "게", "았으면", "도록"].iter().any(|form| next.contains(form));
    if is_verb && next.starts_with('않') && is_released {
        return Some((Reading::Clause, 2));
    }
    if this.contains("필요없") {
        return Some((Reading::Clause, 1));
    }
    if this.starts_with("필요") && next.starts_with('없') {
        return Some((Reading::Clause, 2));
    }
    let after = word(at + 2).unwrap_or_default();
    if this == "안"
        && next.ends_with('도')
        && ["돼", "되", "괜"].iter().any(|w| after.starts_with(w))
    {
        return Some((Reading::Clause, 3));
    }
    if this == "아니라" {
        let before = at.checked_sub(1).and_then(&word).unwrap_or_default();
        let is_only = before.ends_with("만");
        return Some((if is_only { Reading::Affirms } else { Reading::Before }, 1));
    }
    (this == "왜").then_some((Reading::AffirmsClause, 1))
}
