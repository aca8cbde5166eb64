//! Splits a text into folded words: the one reading of a text that keywords and features share.
//!
//! Words follow the default word boundaries of Unicode (UAX #29), so `o'clock` is one word; separators
//! and punctuation are dropped, symbols such as `+` or an emoji are words of their own. Folding is NFKC
//! and full case folding as far as the standard library's case tables give it (upper case, then lower).
//! Invariant: an ASCII text gives the same words on the fast path as on the general one.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

/// A word of a text: where its folded form and where its source stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Byte range in [`Words::folded`].
    folded: (u32, u32),
    /// Byte range in the text.
    source: (u32, u32),
}

/// A text's words; kept between texts so that splitting does not allocate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    folded: Vec<u8>,
    words: Vec<Word>,
}

/// What a byte of folded ASCII text is to the word boundary rules.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    /// White space, control characters, punctuation.
    Separator,
    /// A word by itself.
    Symbol,
    /// `.` and `'`: inside a word between two letters or two digits.
    MidNumLet,
    /// `:`: inside a word between two letters.
    MidLetter,
    /// `,` and `;`: inside a word between two digits.
    MidNum,
    /// `_`.
    Extend,
    Digit,
    Letter,
}

const fn class_of(b: u8) -> Class {
    match b {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b'_' => Class::Extend,
        b'.' | b'\'' => Class::MidNumLet,
        b':' => Class::MidLetter,
        b',' | b';' => Class::MidNum,
        b'#' | b'$' | b'%' | b'&' | b'*' | b'+' | b'<' | b'=' | b'>' | b'@' | b'^' | b'`'
        | b'|' | b'~' => Class::Symbol,
        _ => Class::Separator,
    }
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Separator; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = class_of(b as u8);
        b += 1;
    }
    table
};

/// Whether a character outside ASCII that is no letter or digit counts as a word.
fn is_symbol(c: char) -> bool {
    if c.is_ascii() {
        return class_of(c as u8) == Class::Symbol;
    }
    !(c.is_alphanumeric()
        || c.is_whitespace()
        || c.is_control()
        || matches!(c,
            '\u{a0}'..='\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{ad}' | '\u{b6}'..='\u{b7}' | '\u{bb}' | '\u{bf}'
            | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{6d4}'
            | '\u{2000}'..='\u{206f}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{303f}'
            | '\u{fe00}'..='\u{fe6f}' | '\u{feff}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}'
            | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}'))
}

impl Words {
    /// Replaces the content by the words of `text`, of which at most `u32::MAX` bytes are read.
    pub(crate) fn split(&mut self, text: &str) {
        self.folded.clear();
        self.words.clear();
        let text = &text[..text.floor_char_boundary(u32::MAX as usize)];
        if text.is_ascii() {
            self.split_ascii(text);
        } else {
            self.split_unicode(text);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// The folded form of a word, valid UTF-8.
    pub(crate) fn folded(&self, word_idx: usize) -> &[u8] {
        let (start, end) = self.words[word_idx].folded;
        &self.folded[start as usize..end as usize]
    }

    /// The byte range of a word in the text.
    pub(crate) fn source(&self, word_idx: usize) -> (u32, u32) {
        self.words[word_idx].source
    }

    fn split_ascii(&mut self, text: &str) {
        self.folded.extend_from_slice(text.as_bytes());
        self.folded.make_ascii_lowercase();
        let bytes = self.folded.as_slice();
        let mut push = |start: usize, end: usize| {
            let range = (start as u32, end as u32);
            self.words.push(Word { folded: range, source: range });
        };
        let class = |i: usize| bytes.get(i).map_or(Class::Separator, |&b| CLASSES[b as usize]);
        let mut i = 0;
        while i < bytes.len() {
            let first = class(i);
            if first < Class::Extend {
                if first == Class::Symbol {
                    push(i, i + 1);
                }
                i += 1;
                continue;
            }
            let start = i;
            let mut last = first;
            let mut any = first != Class::Extend;
            loop {
                i += 1;
                let now = class(i);
                if now >= Class::Extend {
                    any |= now != Class::Extend;
                    last = now;
                    continue;
                }
                let (in_word, in_number) = match now {
                    Class::MidNumLet => (true, true),
                    Class::MidLetter => (true, false),
                    Class::MidNum => (false, true),
                    _ => break,
                };
                let next = class(i + 1);
                let joined = match last {
                    Class::Letter => in_word && next == Class::Letter,
                    Class::Digit => in_number && next == Class::Digit,
                    _ => false,
                };
                if !joined {
                    break;
                }
            }
            if any {
                push(start, i);
            }
        }
    }

    fn split_unicode(&mut self, text: &str) {
        for (start, segment) in text.split_word_bound_indices() {
            if !segment.chars().any(|c| c.is_alphanumeric() || is_symbol(c)) {
                continue;
            }
            let folded_start = self.folded.len() as u32;
            if is_nfkc_quick(segment.chars()) == IsNormalized::Yes {
                self.fold(segment.chars());
            } else {
                self.fold(segment.nfkc());
            }
            self.words.push(Word {
                folded: (folded_start, self.folded.len() as u32),
                source: (start as u32, (start + segment.len()) as u32),
            });
        }
    }

    fn fold(&mut self, chars: impl Iterator<Item = char>) {
        let mut utf8 = [0; 4];
        for c in chars {
            if c == '\u{2019}' {
                self.folded.push(b'\'');
                continue;
            }
            for folded in c.to_uppercase().flat_map(char::to_lowercase) {
                self.folded.extend_from_slice(folded.encode_utf8(&mut utf8).as_bytes());
            }
        }
    }
}

impl PartialOrd for Class {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words_of(text: &str, path: fn(&mut Words, &str)) -> Vec<(String, u32, u32)> {
        let mut words = Words::default();
        path(&mut words, text);
        (0..words.len())
            .map(|i| {
                let folded = String::from_utf8(words.folded(i).to_vec()).expect("folded is UTF-8");
                let (start, end) = words.source(i);
                (folded, start, end)
            })
            .collect()
    }

    #[test]
    fn texts_are_split_and_folded() {
        let check = |text: &str, want: &[&str]| {
            let got: Vec<String> = words_of(text, Words::split).into_iter().map(|w| w.0).collect();
            assert_eq!(got, want, "{text:?}");
        };
        check("", &[]);
        check(" \t\r\n\0", &[]);
        check("Wake me at 7 O'Clock!", &["wake", "me", "at", "7", "o'clock"]);
        check("wake me at 7 o\u{2019}clock", &["wake", "me", "at", "7", "o'clock"]);
        check("'quoted' words", &["quoted", "words"]);
        check("3.5 8:30 1,000 a.m.", &["3.5", "8", "30", "1,000", "a.m"]);
        check("snake_case __ c++", &["snake_case", "c", "+", "+"]);
        check("STRASSE Straße", &["strasse", "strasse"]);
        check("ＦＵＬＬ ﬁne Σίσυφος", &["full", "fine", "σίσυφοσ"]);
        check("cafe\u{301} café", &["café", "café"]);
        check("play 🎵 now…", &["play", "🎵", "now"]);
        check("הדלק אור", &["הדלק", "אור"]);
        check("播放", &["播", "放"]);
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_general_one(text in "[a-cA-C0-2_.':,;+\\- \\x00-\\x7f]{0,24}") {
            prop_assert_eq!(words_of(&text, Words::split_ascii), words_of(&text, Words::split_unicode));
        }

        #[test]
        fn any_text_gives_ordered_ranges(text in "\\PC{0,40}") {
            let mut last = 0;
            for (_, start, end) in words_of(&text, Words::split) {
                prop_assert!(start >= last && end > start);
                prop_assert!(text.get(start as usize..end as usize).is_some());
                last = end;
            }
        }
    }
}
