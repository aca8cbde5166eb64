//! Folding of characters, so that the spellings of a word become the same text.
//!
//! Owns case folding and the set of characters that are ignored. Invariant: a character, its upper case
//! and its lower case fold to the same text.

/// Whether a character never distinguishes two words, so that it is removed before a text is split.
///
/// Default-ignorable code points (Unicode's derived property: soft hyphen, joiners, directional marks,
/// variation selectors, tags, byte order mark), Arabic vowel marks and tatweel, Hebrew points and
/// cantillation. Joiners can distinguish words in Persian and in Indic scripts; users omit them, so they are
/// ignored here.
#[inline]
pub(crate) fn is_ignored(c: char) -> bool {
    // Nothing below the soft hyphen is ignored, nor is any common script between the bounds.
    if c < '\u{ad}' {
        return false;
    }
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
        || is_vowel_mark(c)
}

/// Arabic vowel marks and tatweel, Hebrew points and cantillation. The Arabic madda and hamza that compose
/// with a letter (U+0653 to U+0655) are not among them: they are letters once composed.
#[inline]
fn is_vowel_mark(c: char) -> bool {
    matches!(c,
        '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{652}' | '\u{656}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{8ca}'..='\u{8e1}' | '\u{8e3}'..='\u{8ff}')
}

/// Appends the folded form of a character: full case folding, one form of apostrophe, no white space and no ignored
/// character.
///
/// Lower, upper, lower: the standard library's case tables give Unicode's full case folding this way
/// (`ẞ`, `ß` and `SS` become `ss`, a final sigma becomes `σ`). Of the Turkish letters `İ` and `ı` become
/// `i`: users may type without them, and no pair of commands differs by the dot alone.
#[inline]
pub(crate) fn fold_char(c: char, out: &mut Vec<u8>) {
    for lower in c.to_lowercase() {
        for upper in lower.to_uppercase() {
            for folded in upper.to_lowercase() {
                push(folded, out);
            }
        }
    }
}

#[inline]
fn push(c: char, out: &mut Vec<u8>) {
    if c.is_ascii() {
        out.push(c as u8);
        return;
    }
    match c {
        // Typographic apostrophes, and the Hebrew marks written like quotes.
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{5f3}' => out.push(b'\''),
        '\u{5f4}' => out.push(b'"'),
        // The dot of a folded `İ`.
        '\u{307}' if out.last() == Some(&b'i') => {}
        // A part of a decomposed compatibility form, or without a letter to compose with.
        '\u{653}'..='\u{655}' => {}
        c if is_ignored(c) || c.is_whitespace() => {}
        c => {
            let mut utf8 = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = Vec::new();
        text.chars().for_each(|c| fold_char(c, &mut out));
        String::from_utf8(out).expect("folded text is UTF-8")
    }

    #[test]
    fn case_variants_of_every_character_fold_alike() {
        for c in '\0'..=char::MAX {
            let own = folded(&c.to_string());
            assert_eq!(own, folded(&c.to_uppercase().to_string()), "upper case of {c:?}");
            assert_eq!(own, folded(&c.to_lowercase().to_string()), "lower case of {c:?}");
        }
    }

    #[test]
    fn folding_a_folded_text_changes_nothing() {
        for c in '\0'..=char::MAX {
            let once = folded(&c.to_string());
            assert_eq!(folded(&once), once, "{c:?}");
        }
    }
}
