//! Compounds of Germanic languages: `Wohnzimmerlampe` contains `Lampe`.
//!
//! Owns the rule for texts that may have compounds, and for the parts of a word that count. Without a dictionary a
//! part counts as a word only where the text reads like a language that joins words, and both the part and the rest
//! are long: `Beispiel` does not contain `Spiel`. English words such as `highlight` and `lightning` have no
//! parts.

use crate::Words;

/// Letters of the shortest part.
const LEAST_PART: usize = 5;
/// Letters of the shortest rest.
const LEAST_REST: usize = 4;
/// Endings that the last part may have.
const ENDINGS: [&str; 6] = ["", "n", "en", "e", "er", "s"];

/// Words that German, Dutch, Swedish, Danish and Norwegian commands have and others do not; sorted.
const JOINING: &[&str] = &[
    "aan",
    "abend",
    "abspielen",
    "af",
    "anmachen",
    "anschalten",
    "auch",
    "auf",
    "aus",
    "ausmachen",
    "ausschalten",
    "beende",
    "beim",
    "bitte",
    "das",
    "dass",
    "dein",
    "deine",
    "dem",
    "der",
    "det",
    "dimme",
    "dimmen",
    "een",
    "eine",
    "einem",
    "einen",
    "einer",
    "einschalten",
    "erinnere",
    "erzähl",
    "ett",
    "gibt",
    "het",
    "heute",
    "ich",
    "ikke",
    "inte",
    "ist",
    "jeg",
    "jetzt",
    "kannst",
    "kein",
    "keine",
    "keinen",
    "können",
    "könntest",
    "lauter",
    "leiser",
    "lies",
    "läuft",
    "mach",
    "mache",
    "machen",
    "mein",
    "meine",
    "meinem",
    "meinen",
    "meiner",
    "mich",
    "mijn",
    "mir",
    "morgen",
    "möchte",
    "nicht",
    "niet",
    "noch",
    "och",
    "oder",
    "og",
    "ohne",
    "på",
    "schalt",
    "schalte",
    "schalten",
    "schliesse",
    "schon",
    "sind",
    "sluk",
    "släck",
    "slå",
    "spela",
    "spiel",
    "spiele",
    "spielen",
    "starte",
    "starten",
    "stell",
    "stelle",
    "stoppe",
    "sätt",
    "tänd",
    "tænd",
    "uit",
    "und",
    "uns",
    "unser",
    "unsere",
    "von",
    "wann",
    "warum",
    "weck",
    "welche",
    "wie",
    "wieder",
    "wir",
    "wird",
    "zeig",
    "zeige",
    "zet",
    "zum",
    "zur",
    "öffne",
    "öffnen",
    "über",
];

/// Words of English commands, which are evidence against; sorted.
const APART: &[&str] = &[
    "and", "are", "can", "for", "i", "is", "it", "me", "my", "of", "off", "on", "play", "please",
    "set", "show", "the", "this", "to", "turn", "what", "with", "you",
];

/// Whether a text reads like a language that joins words.
#[must_use]
pub fn joins_words(words: &Words) -> bool {
    let mut score = 0i32;
    for i in 0..words.len() {
        let word = words.folded(i);
        let is_in = |list: &[&str]| list.binary_search_by_key(&word, |w| w.as_bytes()).is_ok();
        score += i32::from(is_in(JOINING)) - i32::from(is_in(APART));
    }
    score > 0
}

/// Whether a word of a keyword may be part of a compound.
#[must_use]
pub fn may_be_part(word: &[u8]) -> bool {
    word.len() >= LEAST_PART
}

/// Whether a loose word may be a compound.
#[must_use]
pub fn may_be_compound(word: &[u8]) -> bool {
    word.len() >= LEAST_PART + LEAST_REST && word.iter().all(u8::is_ascii_lowercase)
}

/// Calls `each` with every part of a loose word that may be a word: the first part, and the last part with or
/// without an ending.
pub fn parts(word: &[u8], mut each: impl FnMut(&[u8])) {
    if !may_be_compound(word) {
        return;
    }
    for at in LEAST_PART..=word.len() - LEAST_REST {
        each(&word[..at]);
    }
    for ending in ENDINGS {
        let Some(stem) = word.strip_suffix(ending.as_bytes()) else { continue };
        for at in LEAST_REST..=stem.len().saturating_sub(LEAST_PART) {
            each(&stem[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_joining_languages_have_compounds() {
        let joins = |text: &str| {
            let mut words = Words::default();
            words.split(text);
            joins_words(&words)
        };
        assert!(joins("schalte die wohnzimmerlampe ein"));
        assert!(joins("bitte küchenlicht aus"));
        assert!(joins("tänd vardagsrumslampan och spela musik"));
        assert!(!joins("turn on the flashlight"));
        assert!(!joins("highlight"));
        assert!(!joins("pon la música"));
    }

    #[test]
    fn lists_are_sorted() {
        assert!(JOINING.is_sorted() && APART.is_sorted());
    }

    #[test]
    fn long_parts_beside_long_rests_count() {
        let has = |word: &str, part: &str| {
            let mut found = false;
            parts(word.as_bytes(), |p| found |= p == part.as_bytes());
            found
        };
        assert!(has("wohnzimmerlampe", "lampe") && has("kuchenlampen", "lampe"));
        assert!(has("lichtschalter", "licht") && has("hintergrundmusik", "musik"));
        assert!(!has("beispiel", "spiel") && !has("pflicht", "licht") && !has("musikant", "musik"));
    }
}
