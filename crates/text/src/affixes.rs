//! Words with particles: the stems of a word without the particles that its language attaches to it.
//!
//! Owns the particles of Korean, the proclitics and pronouns of Arabic, the proclitics of Hebrew, the
//! elided articles of Romance languages and the English possessive. Each gives *stems*, candidates that
//! count only where a keyword has the same spelling; there is no dictionary. Rules depend on the script
//! of the word alone.

use crate::script::{is_arabic, is_hangul, is_hebrew};

/// The syllable that must precede a Korean particle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// A syllable that ends in a consonant.
    Consonant,
    /// A syllable that ends in a vowel, or in ㄹ before `로`.
    Vowel,
    Any,
}

/// Korean particles and the endings of requests: the syllable before them, and whether a keyword of one
/// syllable may carry them (with others it would be another word: `나이` is not `나` + `이`).
const KOREAN: &[(&str, After, bool)] = {
    use After::{Any, Consonant, Vowel};
    &[
        ("을", Consonant, true),
        ("은", Consonant, true),
        ("이", Consonant, true),
        ("과", Consonant, false),
        ("으로", Consonant, true),
        ("이나", Consonant, false),
        ("이랑", Consonant, false),
        ("이라도", Consonant, false),
        ("를", Vowel, true),
        ("는", Vowel, true),
        ("가", Vowel, true),
        ("와", Vowel, false),
        ("로", Vowel, false),
        ("나", Vowel, false),
        ("랑", Vowel, false),
        ("라도", Vowel, false),
        ("의", Any, false),
        ("에", Any, true),
        ("에서", Any, true),
        ("에게", Any, false),
        ("도", Any, false),
        ("만", Any, false),
        ("까지", Any, true),
        ("부터", Any, true),
        ("처럼", Any, false),
        ("보다", Any, false),
        ("하고", Any, false),
        ("한테", Any, false),
        ("마다", Any, false),
        ("요", Any, false),
        ("좀", Any, true),
        ("들", Any, false),
        ("줘", Any, true),
        ("줘요", Any, true),
        ("주세요", Any, true),
        ("주십시오", Any, true),
        ("줄래", Any, true),
        ("줄래요", Any, true),
    ]
};

/// The syllables that make a verb ("to do ...") of a noun of at least two syllables: `재생해줘`.
const KOREAN_VERBS: [char; 4] = ['해', '하', '할', '합'];

/// Arabic proclitics with the article; a keyword of two letters may carry them.
const ARABIC_ARTICLES: [&str; 9] = ["وبال", "وال", "فال", "بال", "كال", "ولل", "فلل", "لل", "ال"];
/// Arabic proclitics without it; a keyword of three letters may carry them.
const ARABIC_PREFIXES: [&str; 9] = ["وب", "ول", "فب", "فل", "و", "ف", "ب", "ك", "ل"];
/// Arabic pronouns at the end, the alef of an accusative, and the Persian plural.
const ARABIC_SUFFIXES: [&str; 9] = ["هاي", "ها", "هم", "كم", "نا", "ي", "ك", "ه", "ا"];

const HEBREW_PREFIXES: [char; 7] = ['ו', 'ה', 'ב', 'כ', 'ל', 'מ', 'ש'];

/// The words that are elided before an apostrophe: French, Italian, Catalan.
const ELIDED: &[&str] = &[
    "l", "d", "j", "m", "t", "s", "n", "c", "qu", "jusqu", "lorsqu", "puisqu", "quelqu", "un",
    "dell", "all", "nell", "sull", "dall", "coll", "quell", "bell", "gl", "anch", "tutt",
];

/// Calls `each` with every stem of a loose word, without the word itself; a stem may occur twice.
pub fn stems(word: &[u8], mut each: impl FnMut(&[u8])) {
    if word.is_ascii() {
        return latin(word, &mut each);
    }
    let Ok(text) = std::str::from_utf8(word) else { return };
    match text.chars().next() {
        Some(c) if is_hangul(c) => korean(text, 2, &mut each),
        Some(c) if is_arabic(c) => arabic(text, &mut each),
        Some(c) if is_hebrew(c) => hebrew(text, &mut each),
        _ => latin(word, &mut each),
    }
}

/// A keyword without its Arabic article, which texts may omit; `None` without an article.
#[must_use]
pub fn without_article(word: &[u8]) -> Option<&[u8]> {
    let stem = std::str::from_utf8(word).ok()?.strip_prefix("ال")?;
    (stem.chars().count() >= 3).then_some(stem.as_bytes())
}

fn latin(word: &[u8], each: &mut impl FnMut(&[u8])) {
    let Some(at) = word.iter().position(|b| *b == b'\'') else { return };
    let (before, after) = (&word[..at], &word[at + 1..]);
    if ELIDED.iter().any(|e| e.as_bytes() == before) {
        each(after);
    } else if after == b"s" && before.len() >= 2 {
        each(before);
    }
}

fn korean(word: &str, depth: usize, each: &mut impl FnMut(&[u8])) {
    if depth == 0 || !word.chars().all(is_hangul) {
        return;
    }
    for (particle, after, even_short) in KOREAN {
        let Some(stem) = word.strip_suffix(particle) else { continue };
        let Some(last) = stem.chars().next_back() else { continue };
        // Syllables are in blocks of 28 by their final consonant, the first without one; ㄹ is the ninth.
        let ending = (last as u32 - '가' as u32) % 28;
        let fits = match after {
            After::Consonant => ending != 0,
            After::Vowel => ending == 0 || (*particle == "로" && ending == 8),
            After::Any => true,
        };
        if fits && (*even_short || stem.chars().count() >= 2) {
            each(stem.as_bytes());
            korean(stem, depth - 1, each);
        }
    }
    for (at, c) in word.char_indices().skip(2) {
        if KOREAN_VERBS.contains(&c) {
            each(&word.as_bytes()[..at]);
        }
    }
}

fn arabic(word: &str, each: &mut impl FnMut(&[u8])) {
    let mut of = |stem: &str, least: usize| {
        if stem.chars().count() < least {
            return;
        }
        each(stem.as_bytes());
        for suffix in ARABIC_SUFFIXES {
            let Some(inner) = stem.strip_suffix(suffix) else { continue };
            if inner.chars().count() >= 3 {
                each(inner.as_bytes());
                // A ta marbuta (ه in loose forms) opens before a pronoun.
                if let Some(open) = inner.strip_suffix('ت') {
                    each([open, "ه"].concat().as_bytes());
                }
            }
        }
    };
    of(word, 3);
    for prefix in ARABIC_ARTICLES {
        if let Some(stem) = word.strip_prefix(prefix) {
            of(stem, 2);
        }
    }
    for prefix in ARABIC_PREFIXES {
        if let Some(stem) = word.strip_prefix(prefix) {
            of(stem, 3);
        }
    }
}

fn hebrew(word: &str, each: &mut impl FnMut(&[u8])) {
    let n = word.chars().count();
    for (taken, (at, c)) in word.char_indices().take(4).enumerate() {
        if taken > 0 {
            let least = if taken == 1 && word.starts_with('ה') { 2 } else { 3 };
            if n - taken >= least {
                each(&word.as_bytes()[at..]);
            }
        }
        // "And" is always the first proclitic.
        if !HEBREW_PREFIXES.contains(&c) || (taken > 0 && c == 'ו') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, is: &[&str], is_not: &[&str]) {
        let mut found = Vec::new();
        stems(word.as_bytes(), |stem| {
            found.push(String::from_utf8(stem.to_vec()).expect("a stem is UTF-8"));
        });
        for stem in is {
            assert!(found.iter().any(|f| f == stem), "{word}: no {stem} in {found:?}");
        }
        for stem in is_not {
            assert!(!found.iter().any(|f| f == stem), "{word}: {stem} in {found:?}");
        }
    }

    #[test]
    fn korean_particles_fit_the_syllable_before_them() {
        check("음악을", &["음악"], &[]);
        check("음악를", &[], &["음악"]);
        check("뉴스를", &["뉴스"], &[]);
        check("거실에서는", &["거실에서", "거실"], &[]);
        check("불을", &["불"], &[]);
        check("차가", &["차"], &[]);
        check("불만", &[], &["불"]);
        check("나이", &[], &["나"]);
        check("재생해줘", &["재생"], &[]);
        check("지하철", &[], &["지"]);
    }

    #[test]
    fn arabic_and_hebrew_proclitics_are_removed() {
        check("الموسيقي", &["موسيقي"], &[]);
        check("للموسيقي", &["موسيقي"], &[]);
        check("والاضواء", &["اضواء"], &[]);
        check("وموسيقي", &["موسيقي"], &[]);
        check("غرفتي", &["غرفه"], &[]);
        check("باب", &[], &["اب"]);
        check("והמוזיקה", &["מוזיקה", "המוזיקה"], &[]);
        check("בסלון", &["סלון"], &[]);
        check("האור", &["אור"], &[]);
        check("לול", &[], &["ול", "ל"]);
        assert_eq!(without_article("الموسيقي".as_bytes()), Some("موسيقي".as_bytes()));
    }

    #[test]
    fn elided_articles_and_possessives_are_removed() {
        check("l'agenda", &["agenda"], &[]);
        check("dell'allarme", &["allarme"], &[]);
        check("weather's", &["weather"], &[]);
        check("o'clock", &[], &["clock", "o"]);
        check("don't", &[], &["don", "t"]);
    }
}
