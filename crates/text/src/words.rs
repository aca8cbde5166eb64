//! Splits a text into folded words, for keywords and features alike.
//!
//! Characters that are ignored are removed first, so that they neither break a word nor belong to one.
//! Words follow the default word boundaries of Unicode (UAX #29), so `o'clock` is one word; separators
//! and punctuation are dropped, symbols such as `+` or an emoji are words of their own. Folding is NFKC
//! and full case folding. Invariant: an ASCII text gives the same words on the fast path as on the
//! general one, and a text the same words with or without ignored characters.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use crate::fold::{fold_char, is_ignored};

/// The positions of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// Byte range in [`Words::folded`].
    folded: (u32, u32),
    /// Byte range in the text.
    source: (u32, u32),
}

/// A text's words; kept between texts so that splitting does not allocate.
#[derive(Clone, Debug, Default)]
pub struct Words {
    folded: Vec<u8>,
    words: Vec<Word>,
    /// The text without ignored characters; used only where it has some.
    kept: String,
    /// (position in `kept` where characters were removed, bytes removed up to there)
    removed: Vec<(u32, u32)>,
}

/// The class of an ASCII byte in the word boundary rules.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    /// White space, control characters, punctuation.
    Separator,
    /// Each symbol is a word.
    Symbol,
    /// `.` and `'`: inside a word between two letters or two digits.
    MidNumLet,
    /// `:`: inside a word between two letters.
    MidLetter,
    /// `,` and `;`: inside a word between two digits.
    MidNum,
    /// `_`, which joins letters and digits.
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

/// Whether a character is a word by itself: a symbol, as opposed to letters, digits, punctuation, white space, marks
/// and unassigned code points.
fn is_symbol(c: char) -> bool {
    if c.is_ascii() {
        return class_of(c as u8) == Class::Symbol;
    }
    !(c.is_alphanumeric()
        || c.is_whitespace()
        || c.is_control()
        || is_ignored(c)
        || is_punctuation(c))
}

/// Punctuation and combining marks outside ASCII, in blocks.
fn is_punctuation(c: char) -> bool {
    matches!(c,
        '\u{a0}'..='\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}'..='\u{b7}' | '\u{bb}' | '\u{bf}'
        | '\u{300}'..='\u{36f}' | '\u{37e}' | '\u{387}' | '\u{55a}'..='\u{55f}' | '\u{589}'..='\u{58a}'
        | '\u{5be}' | '\u{5c0}' | '\u{5c3}' | '\u{5c6}' | '\u{5f3}'..='\u{5f4}' | '\u{60c}'..='\u{60d}'
        | '\u{61b}'..='\u{61f}' | '\u{653}'..='\u{655}' | '\u{66a}'..='\u{66d}' | '\u{6d4}'
        | '\u{700}'..='\u{70d}' | '\u{964}'..='\u{965}' | '\u{970}' | '\u{e4f}' | '\u{e5a}'..='\u{e5b}'
        | '\u{10fb}' | '\u{1360}'..='\u{1368}' | '\u{17d4}'..='\u{17da}' | '\u{1800}'..='\u{180a}'
        | '\u{2000}'..='\u{206f}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{303f}' | '\u{30fb}'
        | '\u{fe00}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}'
        | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}' | '\u{fff0}'..='\u{ffff}'
        | '\u{e0000}'..='\u{e0fff}')
}

impl Words {
    /// Replaces the content by the words of `text`, of which at most `u32::MAX` bytes are read.
    pub fn split(&mut self, text: &str) {
        self.folded.clear();
        self.words.clear();
        let text = &text[..text.floor_char_boundary(u32::MAX as usize)];
        if text.is_ascii() {
            self.split_ascii(text);
        } else if text.chars().any(is_ignored) {
            self.split_without_ignored(text);
        } else {
            self.split_unicode(text);
        }
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether the text has no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The folded form of a word, valid UTF-8.
    #[must_use]
    pub fn folded(&self, word_idx: usize) -> &[u8] {
        let (start, end) = self.words[word_idx].folded;
        &self.folded[start as usize..end as usize]
    }

    /// The byte range of a word in the text.
    #[must_use]
    pub fn source(&self, word_idx: usize) -> (u32, u32) {
        self.words[word_idx].source
    }

    /// Replaces the content by the words of another text for which `keep` is true.
    pub fn copy_if(&mut self, other: &Self, keep: impl Fn(usize) -> bool) {
        self.folded.clear();
        self.words.clear();
        for i in (0..other.len()).filter(|i| keep(*i)) {
            let start = self.folded.len() as u32;
            self.folded.extend_from_slice(other.folded(i));
            let folded = (start, self.folded.len() as u32);
            self.words.push(Word { folded, source: other.source(i) });
        }
    }

    /// Splits the text without ignored characters, and maps the words back to the original text.
    fn split_without_ignored(&mut self, text: &str) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        self.removed.clear();
        for (at, c) in text.char_indices() {
            if !is_ignored(c) {
                kept.push(c);
                continue;
            }
            let bytes = (at + c.len_utf8() - kept.len()) as u32;
            match self.removed.last_mut().filter(|last| last.0 == kept.len() as u32) {
                Some(last) => last.1 = bytes,
                None => self.removed.push((kept.len() as u32, bytes)),
            }
        }
        if kept.is_ascii() {
            self.split_ascii(&kept);
        } else {
            self.split_unicode(&kept);
        }
        self.kept = kept;
        let removed = &self.removed;
        // Removed characters before the first character of a word count, those after its last do not.
        let before = |n: usize| if n == 0 { 0 } else { removed[n - 1].1 };
        for word in &mut self.words {
            let (start, end) = word.source;
            let at_start = before(removed.partition_point(|r| r.0 <= start));
            let at_end = before(removed.partition_point(|r| r.0 < end));
            word.source = (start + at_start, end + at_end);
        }
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
            if self.folded.len() as u32 == folded_start {
                continue; // Only compatibility forms of white space.
            }
            self.words.push(Word {
                folded: (folded_start, self.folded.len() as u32),
                source: (start as u32, (start + segment.len()) as u32),
            });
        }
    }

    fn fold(&mut self, chars: impl Iterator<Item = char>) {
        for c in chars {
            fold_char(c, &mut self.folded);
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
        let check = |text: &str, expected: &[&str]| {
            let got: Vec<String> = words_of(text, Words::split).into_iter().map(|w| w.0).collect();
            assert_eq!(got, expected, "{text:?}");
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
        check("בית־ספר צה״ל", &["בית", "ספר", "צה\"ל"]);
        check("STRAẞE İstanbul ısı", &["strasse", "istanbul", "isi"]);
    }

    #[test]
    fn ignored_characters_neither_break_a_word_nor_belong_to_it() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let got = words_of(text, Words::split);
            let got: Vec<(&str, &str)> =
                got.iter().map(|w| (w.0.as_str(), &text[w.1 as usize..w.2 as usize])).collect();
            assert_eq!(got, expected, "{text:?}");
        };
        check(
            "\u{feff}play\u{200e} mu\u{ad}sic\u{fe0f}",
            &[("play", "play"), ("music", "mu\u{ad}sic")],
        );
        check("\u{2066}音\u{200b}乐\u{2069}", &[("音", "音"), ("乐", "乐")]);
        check("❤\u{fe0f}", &[("❤", "❤")]);
        check("مُوسِيقَى", &[("موسيقى", "مُوسِيقَى")]);
        check("موســـيقى", &[("موسيقى", "موســـيقى")]);
        check("מוּזִיקָה \u{fb4b}", &[("מוזיקה", "מוּזִיקָה"), ("ו", "\u{fb4b}")]);
        check("\u{200b}\u{200d}", &[]);
        // Composed or not, a letter with hamza is one letter.
        check("ا\u{654}غنية", &[("أغنية", "ا\u{654}غنية")]);
    }

    proptest! {
        #[test]
        fn fast_path_agrees_with_the_general_one(text in "[a-cA-C0-2_.':,;+\\- \\x00-\\x7f]{0,24}") {
            prop_assert_eq!(words_of(&text, Words::split_ascii), words_of(&text, Words::split_unicode));
        }

        #[test]
        fn ignored_characters_change_no_word(
            text in "[a-c é音ا.'\u{301}]{0,12}",
            mark in prop::sample::select(vec!['\u{200e}', '\u{200d}', '\u{ad}', '\u{fe0f}', '\u{feff}', '\u{2067}', '\u{64e}']),
            at in prop::collection::vec(0usize..13, 1..4),
        ) {
            let mut chars: Vec<char> = text.chars().collect();
            at.iter().for_each(|&at| chars.insert(at.min(chars.len()), mark));
            let marked: String = chars.into_iter().collect();
            let folded = |t: &str| -> Vec<String> { words_of(t, Words::split).into_iter().map(|w| w.0).collect() };
            prop_assert_eq!(folded(&marked), folded(&text));
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
