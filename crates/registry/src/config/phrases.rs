//! Keywords and triggers as texts are matched with them: what is left of each after folding.
//!
//! Owns the warnings about phrases that cannot match, say the same twice, or match too much. How a phrase
//! is read belongs to [`Words`].

use std::collections::BTreeMap;

use majordomo_text::{Words, is_han};

use super::node::{Node, Value};
use super::sections::Declared;
use super::source::{Report, shorten};
use crate::problem::Severity;

/// The keys that hold phrases, of both formats.
const KEYS: [&str; 3] = ["keywords", "intent_keywords", "preload_triggers"];

/// Whether a phrase has a word, so that it can be found in a text.
pub(super) fn has_word(phrase: &str) -> bool {
    let mut words = Words::default();
    words.split(phrase);
    !words.is_empty()
}

/// Reports a phrase that has no word: blank is an error, a phrase of which nothing is left after folding a
/// warning.
pub(super) fn report_no_word(report: &mut Report<'_>, key: &str, item: &Node<'_>, phrase: &str) {
    if phrase.trim().is_empty() {
        let message = format!("a phrase in {key} is empty and would match nothing");
        report.error("empty-phrase", &item.span, message, Some("take it out".into()));
    } else if !has_word(phrase) {
        let shown = shorten(phrase);
        let message =
            format!("{shown:?} in {key} has no letter, digit or symbol, so it matches nothing");
        let help = Some("write a word, or take it out".to_owned());
        report.add(Severity::Warning, "phrase-without-word", &item.span, message, help);
    }
}

/// Warns about phrases of every component that say the same twice or match too much.
pub(super) fn check(reports: &mut [Report<'_>], components: &[Declared<'_>]) {
    let mut words = Words::default();
    for component in components {
        for key in KEYS {
            let Some(Value::List(items)) = component.node.get(key).map(|m| &m.node.value) else {
                continue;
            };
            let name = component.spec.id.as_str();
            list(&mut reports[component.file], name, key, items, &mut words);
        }
    }
}

fn list(
    report: &mut Report<'_>,
    component: &str,
    key: &str,
    items: &[Node<'_>],
    words: &mut Words,
) {
    let mut seen: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for item in items {
        // Other types and phrases without a word are told where they are read.
        let Value::Text(phrase) = &item.value else { continue };
        words.split(phrase);
        if words.is_empty() {
            continue;
        }
        let mut warn = |code, message: String, help: &str| {
            report.add(Severity::Warning, code, &item.span, message, Some(help.to_owned()));
        };
        let shown = shorten(phrase);
        let folded = folded(words);
        if is_han(&folded) {
            let message = format!(
                "{shown:?} in {key} of component \"{component}\" is a single Han character, which matches inside every longer word that has it"
            );
            warn("single-han", message, "write words of two or more characters");
        }
        if let Some(first) = seen.get(&folded) {
            let message = format!(
                "{shown:?} in {key} of component \"{component}\" is the same as {:?} to the matcher, for which case, punctuation and invisible characters do not count",
                shorten(first)
            );
            warn("same-phrase", message, "take one of them out");
        } else {
            seen.insert(folded, phrase);
        }
    }
}

/// The folded words, separated as no word can be.
fn folded(words: &Words) -> Vec<u8> {
    let words: Vec<&[u8]> = (0..words.len()).map(|i| words.folded(i)).collect();
    words.join(&b' ')
}
