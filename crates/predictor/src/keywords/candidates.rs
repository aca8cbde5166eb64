//! Which words of phrases a word of a text may match, and how well each fits.
//!
//! Owns the looser forms of keywords beside the table of words, and the order in which a text's words are
//! looked up. Does not know phrases. Invariant: an ASCII word without an apostrophe costs one look-up, or a
//! few more where the text reads like a language that joins words.

use majordomo_text::{Words, affixes, compounds, loose};

use super::hits::Fit;
use super::table::WordTable;

/// The looser forms of the words of phrases.
#[derive(Clone, Debug, Default)]
pub(super) struct Variants {
    /// Number of words of phrases; greater word numbers in the table are variants only.
    n_words: u32,
    /// (word of the table, word of a phrase that may be written like it, fit), sorted.
    pairs: Vec<(u32, u32, Fit)>,
    /// Whether a word of a phrase is long enough to be part of a compound.
    has_parts: bool,
}

impl Variants {
    /// Adds the variants of every word in the table.
    pub(super) fn build(table: &mut WordTable) -> Self {
        let n_words = table.len() as u32;
        let mut out = Self { n_words, ..Self::default() };
        let mut variant = Vec::new();
        for word in 0..n_words {
            let folded = table.word(word).to_vec();
            out.has_parts |= compounds::may_be_part(&folded);
            if folded.is_ascii() {
                continue;
            }
            if loose::loosen(&folded, &mut variant) {
                out.add(table, &variant, word, Fit::Spelling);
            }
            if let Some(bare) = affixes::without_article(&variant) {
                out.add(table, bare, word, Fit::Affix);
            }
            if loose::spell_out(&folded, &mut variant) {
                out.add(table, &variant, word, Fit::Spelling);
            }
        }
        out.pairs.sort_unstable();
        out.pairs.shrink_to_fit();
        out
    }

    fn add(&mut self, table: &mut WordTable, variant: &[u8], word: u32, fit: Fit) {
        self.pairs.push((table.insert(variant), word, fit));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.pairs.as_slice())
    }

    fn of(&self, word: u32) -> impl Iterator<Item = (u32, Fit)> {
        let start = self.pairs.partition_point(|p| p.0 < word);
        self.pairs[start..].iter().take_while(move |p| p.0 == word).map(|p| (p.1, p.2))
    }
}

/// The candidates for every word of a text; kept between texts so that a search does not allocate.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    /// (word of a phrase, fit), in the order of the text's words.
    found: Vec<(u32, Fit)>,
    /// (word of the text, end of its candidates), for words with candidates.
    ends: Vec<(u32, u32)>,
    loose: Vec<u8>,
}

impl Candidates {
    /// Finds the candidates for all words.
    pub(super) fn find(&mut self, words: &Words, table: &WordTable, variants: &Variants) {
        self.found.clear();
        self.ends.clear();
        let mut joins = None;
        for i in 0..words.len() {
            let start = self.found.len();
            let folded = words.folded(i);
            let mut loose = std::mem::take(&mut self.loose);
            let mut look = LookUp { table, variants, found: &mut self.found, start };
            look.up(folded, Fit::Exact);
            let mut base = folded;
            if !folded.is_ascii() {
                if loose::spell_out(folded, &mut loose) {
                    look.up(&loose, Fit::Spelling);
                }
                if loose::loosen(folded, &mut loose) {
                    look.up(&loose, Fit::Spelling);
                    base = &loose;
                }
            }
            if variants.n_words > 0 {
                affixes::stems(base, |stem| look.up(stem, Fit::Affix));
            }
            if variants.has_parts
                && look.found.len() == start
                && compounds::may_be_compound(base)
                && *joins.get_or_insert_with(|| compounds::joins_words(words))
            {
                compounds::parts(base, |part| look.up(part, Fit::Compound));
            }
            self.loose = loose;
            if self.found.len() > start {
                self.ends.push((i as u32, self.found.len() as u32));
            }
        }
    }

    /// The first word from `from` on that has candidates.
    pub(super) fn next_word(&self, from: u32) -> Option<u32> {
        let at = self.ends.partition_point(|e| e.0 < from);
        self.ends.get(at).map(|e| e.0)
    }

    /// The candidates for a word.
    pub(super) fn of(&self, word_idx: u32) -> &[(u32, Fit)] {
        let Ok(at) = self.ends.binary_search_by_key(&word_idx, |e| e.0) else { return &[] };
        let start = if at == 0 { 0 } else { self.ends[at - 1].1 };
        &self.found[start as usize..self.ends[at].1 as usize]
    }
}

/// Looks up the forms of one word of a text.
struct LookUp<'a> {
    table: &'a WordTable,
    variants: &'a Variants,
    found: &'a mut Vec<(u32, Fit)>,
    /// Where the candidates of this word start.
    start: usize,
}

impl LookUp<'_> {
    /// Adds the words that a form may match; `fit` is how well the form itself fits the text's word.
    #[inline]
    fn up(&mut self, form: &[u8], fit: Fit) {
        let Some(word) = self.table.get(form) else { return };
        if word < self.variants.n_words {
            self.add(word, fit);
        }
        for (word, own) in self.variants.of(word) {
            self.add(word, fit.max(own));
        }
    }

    /// Adds a word once, with its best fit.
    fn add(&mut self, word: u32, fit: Fit) {
        match self.found[self.start..].iter_mut().find(|f| f.0 == word) {
            Some(known) => known.1 = known.1.min(fit),
            None => self.found.push((word, fit)),
        }
    }
}
