//! From folded words to hashed n-grams: the input of every model.
//!
//! Word uni- and bigrams and character 2- to 5-grams inside words (with marks at both ends) are hashed
//! into a power of two of buckets. Does not know weights or labels. Invariant: a text always has the same
//! buckets within one [`FEATURE_VERSION`], whatever the platform, build or process.

use majordomo_simd::hash_bytes;
use majordomo_text::Words;

/// Changes whenever a text gets other buckets: with the hash, the folding or the set of n-grams.
/// Version 2 folds more (ignored characters, vowel marks, full case folding).
pub const FEATURE_VERSION: u32 = 2;

/// Hash seed by kind of n-gram, so that the word `on` and the characters `on` differ.
const SEED_WORD: u64 = 0x01;
const SEED_PAIR: u64 = 0x02;
const SEED_CHARS: u64 = 0x03;
/// The hash of the missing word before the first and after the last.
const EDGE: u64 = 0x04;

/// Words read of one text; the rest is ignored (a long command has fifty).
pub const MAX_WORDS: usize = 512;
/// Characters read of one word for its character n-grams.
const MAX_WORD_CHARS: usize = 48;
/// The longest character n-gram.
const MAX_GRAM: usize = 5;

/// The number of n-grams of each kind of a word; its word n-grams come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WordGrams {
    pub(crate) n_words: u16,
    pub(crate) n_chars: u16,
}

impl WordGrams {
    pub(crate) fn len(self) -> usize {
        self.n_words as usize + self.n_chars as usize
    }

    /// The word n-grams (kind 0) or character n-grams (kind 1) of a word whose n-grams start at `at`.
    pub(crate) fn range(self, at: usize, kind: usize) -> std::ops::Range<usize> {
        let middle = at + self.n_words as usize;
        if kind == 0 { at..middle } else { middle..middle + self.n_chars as usize }
    }
}

/// The hashed n-grams of texts, text after text; 16-bit buckets, since a learner keeps thousands of them.
#[derive(Clone, Debug)]
pub(crate) struct HashedTexts {
    bits: u32,
    buckets: Vec<u16>,
    words: Vec<WordGrams>,
    /// End in `buckets` and in `words`, by text.
    ends: Vec<(u32, u32)>,
    marked: Vec<u8>,
}

/// One text's n-grams, word by word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedText<'a> {
    pub(crate) buckets: &'a [u16],
    pub(crate) words: &'a [WordGrams],
}

/// A feature beside the n-grams: the number of a topic of the prior, and the square root of its probability.
pub(crate) type Topic = (u16, f32);

impl HashedTexts {
    /// `bits` in 8..=16: the logarithm of the number of buckets.
    pub(crate) fn new(bits: u32) -> Self {
        debug_assert!((8..=16).contains(&bits));
        Self { bits, buckets: Vec::new(), words: Vec::new(), ends: Vec::new(), marked: Vec::new() }
    }

    /// Removes all texts and sets the number of buckets.
    pub(crate) fn reset(&mut self, bits: u32) {
        self.bits = bits;
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        self.words.clear();
        self.ends.clear();
    }

    pub(crate) fn get(&self, text_idx: usize) -> HashedText<'_> {
        let (b0, w0) = if text_idx == 0 { (0, 0) } else { self.ends[text_idx - 1] };
        let (b1, w1) = self.ends[text_idx];
        HashedText {
            buckets: &self.buckets[b0 as usize..b1 as usize],
            words: &self.words[w0 as usize..w1 as usize],
        }
    }

    /// Appends a text.
    pub(crate) fn push(&mut self, words: &Words) {
        let n_words = words.len().min(MAX_WORDS);
        let bucket = |hash: u64, bits: u32| (hash >> (64 - bits)) as u16;
        let mut before = EDGE;
        for word_idx in 0..n_words {
            let start = self.buckets.len();
            let word = words.folded(word_idx);
            let hash = hash_bytes(word, SEED_WORD);
            self.buckets.push(bucket(hash, self.bits));
            self.buckets.push(bucket(pair(before, hash), self.bits));
            if word_idx + 1 == n_words {
                self.buckets.push(bucket(pair(hash, EDGE), self.bits));
            }
            before = hash;
            let middle = self.buckets.len();
            mark(word, &mut self.marked);
            let (buckets, bits, marked) = (&mut self.buckets, self.bits, &self.marked);
            each_gram(marked, |start, end| {
                buckets.push(bucket(hash_bytes(&marked[start..end], SEED_CHARS), bits));
            });
            self.words.push(WordGrams {
                n_words: (middle - start) as u16,
                n_chars: (self.buckets.len() - middle) as u16,
            });
        }
        self.ends.push((self.buckets.len() as u32, self.words.len() as u32));
    }
}

/// The text of every n-gram, for explanations, in the order of the buckets of [`HashedTexts::push`]: words joined by a
/// space, or characters; `<` and `>` stand for the ends of the text or word.
pub(crate) fn gram_sources(words: &Words) -> Vec<String> {
    let n_words = words.len().min(MAX_WORDS);
    let text = |i: usize| String::from_utf8_lossy(words.folded(i)).into_owned();
    let mut out = Vec::new();
    let mut marked = Vec::new();
    for word_idx in 0..n_words {
        out.push(text(word_idx));
        let before = if word_idx == 0 { "<".to_owned() } else { text(word_idx - 1) };
        out.push(format!("{before} {}", text(word_idx)));
        if word_idx + 1 == n_words {
            out.push(format!("{} >", text(word_idx)));
        }
        mark(words.folded(word_idx), &mut marked);
        each_gram(&marked, |start, end| {
            out.push(String::from_utf8_lossy(&marked[start..end]).into_owned());
        });
    }
    out
}

fn pair(a: u64, b: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    hash_bytes(&bytes, SEED_PAIR)
}

/// Writes `<word>`, of which at most [`MAX_WORD_CHARS`] characters are read.
fn mark(word: &[u8], marked: &mut Vec<u8>) {
    let end = if word.len() <= MAX_WORD_CHARS {
        word.len()
    } else {
        let mut starts = word.iter().enumerate().filter(|(_, b)| is_char_start(**b));
        starts.nth(MAX_WORD_CHARS).map_or(word.len(), |(at, _)| at)
    };
    marked.clear();
    marked.push(b'<');
    marked.extend_from_slice(&word[..end]);
    marked.push(b'>');
}

/// Every run of 2 to [`MAX_GRAM`] characters, as byte ranges.
fn each_gram(marked: &[u8], mut each: impl FnMut(usize, usize)) {
    if marked.is_ascii() {
        for start in 0..marked.len() - 1 {
            for end in start + 2..=(start + MAX_GRAM).min(marked.len()) {
                each(start, end);
            }
        }
        return;
    }
    for start in (0..marked.len()).filter(|&at| is_char_start(marked[at])) {
        let ends = (start + 1..=marked.len())
            .filter(|&at| at == marked.len() || is_char_start(marked[at]));
        for end in ends.skip(1).take(MAX_GRAM - 1) {
            each(start, end);
        }
    }
}

fn is_char_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(text: &str) -> (Vec<u16>, Vec<(u16, u16)>, Vec<String>) {
        let mut words = Words::default();
        words.split(text);
        let mut texts = HashedTexts::new(14);
        texts.push(&words);
        let text = texts.get(0);
        let counts = text.words.iter().map(|w| (w.n_words, w.n_chars)).collect();
        (text.buckets.to_vec(), counts, gram_sources(&words))
    }

    /// Learned state and the shipped table hold these buckets: a change needs a new [`FEATURE_VERSION`].
    #[test]
    fn buckets_never_change() {
        let (buckets, counts, sources) = hashed("Play ñu!");
        assert_eq!(counts, [(2, 14), (3, 6)]);
        assert_eq!(
            sources,
            [
                "play", "< play", "<p", "<pl", "<pla", "<play", "pl", "pla", "play", "play>", "la",
                "lay", "lay>", "ay", "ay>", "y>", "ñu", "play ñu", "ñu >", "<ñ", "<ñu", "<ñu>",
                "ñu", "ñu>", "u>"
            ]
        );
        assert_eq!(buckets, GOLDEN);
    }

    const GOLDEN: [u16; 25] = [
        8515, 6014, 7264, 15698, 9321, 10, 13196, 8402, 10121, 13208, 7193, 16297, 3087, 12628,
        2800, 14975, 15319, 16108, 255, 6631, 5490, 11498, 3957, 3786, 6889,
    ];

    #[test]
    fn long_texts_and_words_are_cut() {
        let (buckets, counts, _) = hashed(&format!("{} {}", "x".repeat(1000), "y ".repeat(5000)));
        assert_eq!(counts.len(), MAX_WORDS);
        assert!(buckets.len() < 5000);
        assert!(hashed("").0.is_empty());
    }
}
