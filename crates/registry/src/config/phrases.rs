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

/// The keys of keywords, in both formats.
const KEYWORDS: &[&str] = &["keywords", "intent_keywords"];
/// The key of triggers.
const TRIGGERS: &[&str] = &["preload_triggers"];

/// Whether a phrase has a word, so that it can be found in a text.
pub(super) fn has_word(phrase: &str) -> bool {
    let mut words = Words::default();
    words.split(phrase);
    !words.is_empty()
}

/// Why a phrase can match nothing: how bad that is, a word for it, the message and the way out.
pub(crate) fn without_word(
    key: &str,
    phrase: &str,
) -> Option<(Severity, &'static str, String, &'static str)> {
    if phrase.trim().is_empty() {
        let message = format!("a phrase in {key} is empty and matches nothing");
        Some((Severity::Error, "empty-phrase", message, "remove it"))
    } else if !has_word(phrase) {
        let message = format!(
            "{:?} in {key} has no letter, digit or symbol, so it matches nothing",
            shorten(phrase)
        );
        let help = "write a word, or remove it";
        Some((Severity::Warning, "phrase-without-word", message, help))
    } else {
        None
    }
}

/// Reports a phrase that has no word: blank is an error, a phrase of which nothing is left after folding a
/// warning.
pub(super) fn report_no_word(report: &mut Report<'_>, key: &str, item: &Node<'_>, phrase: &str) {
    if let Some((severity, code, message, help)) = without_word(key, phrase) {
        report.add(severity, code, &item.span, message, Some(help.to_owned()));
    }
}

/// Warns about phrases of every component that say the same twice or match too much.
pub(super) fn check(reports: &mut [Report<'_>], components: &[Declared<'_>]) {
    let mut words = Words::default();
    for component in components {
        let spec = &component.spec;
        let lists = [(KEYWORDS, &spec.keywords), (TRIGGERS, &spec.preload_triggers)];
        for (keys, phrases) in lists {
            list(&mut reports[component.file], component, keys, phrases, &mut words);
        }
    }
}

fn list(
    report: &mut Report<'_>,
    component: &Declared<'_>,
    keys: &[&'static str],
    phrases: &[String],
    words: &mut Words,
) {
    let name = component.spec.id.as_str();
    let stated = keys.iter().find_map(|key| component.keys.get(key));
    let key = stated.map_or(keys[0], |member| &*member.key);
    let mut seen: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for (idx, phrase) in phrases.iter().enumerate() {
        words.split(phrase);
        if words.is_empty() {
            continue; // Reported where it was read.
        }
        let mut warn = |code, message: String, help: &str| {
            let item = stated.and_then(|list| phrase_item(&list.node, idx));
            let span = item.map_or(component.name_span, |item| &item.span);
            report.add(Severity::Warning, code, span, message, Some(help.to_owned()));
        };
        let shown = shorten(phrase);
        let folded = folded(words);
        if is_han(&folded) {
            let message = format!(
                "{shown:?} in {key} of component \"{name}\" is a single Han character, which matches inside every longer word that has it"
            );
            warn("single-han", message, "write words of two or more characters");
        }
        if let Some(first) = seen.get(&folded) {
            let message = format!(
                "{shown:?} in {key} of component \"{name}\" is the same as {:?} to the matcher, for which case, punctuation and invisible characters do not count",
                shorten(first)
            );
            warn("same-phrase", message, "remove one of them");
        } else {
            seen.insert(folded, phrase);
        }
    }
}

/// The item of a list with the phrase at a position; items without a word were left out of the phrases.
fn phrase_item<'n>(list: &'n Node<'n>, idx: usize) -> Option<&'n Node<'n>> {
    let Value::List(items) = &list.value else { return None };
    let is_phrase = |item: &&Node<'_>| match &item.value {
        Value::Text(text) => has_word(text),
        _ => false,
    };
    items.iter().filter(is_phrase).nth(idx)
}

/// The folded words, separated as no word can be.
fn folded(words: &Words) -> Vec<u8> {
    let words: Vec<&[u8]> = (0..words.len()).map(|i| words.folded(i)).collect();
    words.join(&b' ')
}
