//! Tokens: the words of a text in the spelling of the cues.

use crate::Words;

/// A word as the cues are spelled: a contraction may be two words of the text, and one word two tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) belongs: bool,
}

/// Empties tokens and keeps their memory.
pub(super) fn emptied<'b>(mut tokens: Vec<Token<'_>>) -> Vec<Token<'b>> {
    tokens.clear();
    // Collects in place, since only the lifetime changes.
    tokens.into_iter().map(|token| Token { text: "", ..token }).collect()
}

pub(super) fn text_of(words: &Words, i: usize) -> &str {
    std::str::from_utf8(words.folded(i)).unwrap_or_default()
}

/// English verbs and their contractions with "not".
const CONTRACTIONS: &[(&str, &str)] = &[
    ("do", "don't"),
    ("does", "doesn't"),
    ("did", "didn't"),
    ("should", "shouldn't"),
    ("must", "mustn't"),
    ("need", "needn't"),
    ("is", "isn't"),
    ("are", "aren't"),
    ("was", "wasn't"),
    ("were", "weren't"),
    ("have", "haven't"),
    ("has", "hasn't"),
    ("had", "hadn't"),
    ("can", "can't"),
    ("could", "couldn't"),
    ("will", "won't"),
    ("would", "wouldn't"),
];

/// Spellings of one word.
const SPELLINGS: &[(&str, &str)] =
    &[("cannot", "can't"), ("nao", "não"), ("im", "i'm"), ("ive", "i've")];

pub(super) fn push_tokens<'a>(
    words: &'a Words,
    belongs: &impl Fn(usize) -> bool,
    out: &mut Vec<Token<'a>>,
) {
    let mut i = 0;
    while i < words.len() {
        let text = text_of(words, i);
        let next = if i + 1 < words.len() { text_of(words, i + 1) } else { "" };
        let mut push = |text, last| out.push(Token { text, first: i, last, belongs: belongs(i) });
        let joined = CONTRACTIONS.iter().find(|(verb, short)| {
            let apart = short.strip_suffix("'t").unwrap_or_default();
            (*verb == text && ["not", "n't"].contains(&next)) || (apart == text && next == "t")
        });
        if let Some((_, short)) = joined {
            push(short, i + 1);
            i += 2;
            continue;
        }
        // `dont`; the only other word of such a spelling is `wont`, which is not used.
        let without = |short: &str| {
            short.len() == text.len() + 1
                && short.ends_with("'t")
                && text.ends_with('t')
                && short[..short.len() - 2] == text[..text.len() - 1]
        };
        if let Some((_, short)) = CONTRACTIONS.iter().find(|(_, short)| without(short)) {
            push(short, i);
        } else if let Some((_, usual)) = SPELLINGS.iter().find(|(other, _)| *other == text) {
            push(usual, i);
        } else if let Some(rest) = text.strip_prefix("n'").filter(|rest| !rest.is_empty()) {
            push("ne", i);
            push(rest, i);
        } else {
            push(text, i);
        }
        i += 1;
    }
}
