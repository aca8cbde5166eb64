//! The cues of negation, read once from `data/negation.txt`, which describes their format.

use std::sync::OnceLock;

static SOURCE: &str = include_str!("../../data/negation.txt");

/// The meaning of a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The clause is negated; in English only the rest of it, where a verb of command precedes the cue.
    Clause,
    /// The rest of the clause is negated.
    Rest,
    /// The part of the clause before the cue is negated, and the clause ends here.
    Before,
    /// No negation.
    Affirms,
    /// No negation in the clause: a question why not.
    AffirmsClause,
}

/// A cue with its conditions.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) reading: Reading,
    pub(super) at_start: bool,
    pub(super) at_end: bool,
    pub(super) tokens: Vec<&'static str>,
    /// The number of tokens that belong to the cue; the others must follow it.
    pub(super) n_taken: usize,
}

impl Row {
    fn new(reading: Reading, text: &'static str) -> Self {
        let (at_start, at_end, tokens) = (false, false, Vec::new());
        let mut row = Self { reading, at_start, at_end, tokens, n_taken: usize::MAX };
        for token in text.split(' ') {
            match token {
                "^" => row.at_start = true,
                "$" => row.at_end = true,
                "|" => row.n_taken = row.tokens.len(),
                token => row.tokens.push(token),
            }
        }
        row.n_taken = row.n_taken.min(row.tokens.len());
        row
    }
}

const N_BITS: usize = 1024;

fn bit_of(word: &[u8]) -> usize {
    let (first, last) = (word.first().copied().unwrap_or(0), word.last().copied().unwrap_or(0));
    (usize::from(first) * 31 + usize::from(last) * 133 + word.len() * 17) % N_BITS
}

/// All cues, and the lists of words that clauses and cues refer to.
#[derive(Debug)]
pub(super) struct Cues {
    /// Sorted by their first word.
    pub(super) rows: Vec<Row>,
    /// Sorted.
    negators: Vec<&'static str>,
    /// Bit [`bit_of`] of every negator, which rejects most other words by one look.
    filter: [u64; N_BITS / 64],
    pub(super) but: Vec<&'static str>,
    pub(super) and: Vec<&'static str>,
    pub(super) or: Vec<&'static str>,
    pub(super) that: Vec<&'static str>,
    pub(super) english_verbs: Vec<&'static str>,
    pub(super) other_verbs: Vec<&'static str>,
    pub(super) fillers: Vec<&'static str>,
}

impl Cues {
    pub(super) fn get() -> &'static Self {
        static CUES: OnceLock<Cues> = OnceLock::new();
        CUES.get_or_init(|| {
            let mut out = Self::new();
            for line in SOURCE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
                out.read(line);
            }
            out.rows.sort_by_key(|row| row.tokens[0]);
            out.negators.sort_unstable();
            for word in &out.negators {
                let bit = bit_of(word.as_bytes());
                out.filter[bit / 64] |= 1 << (bit % 64);
            }
            out
        })
    }

    fn new() -> Self {
        Self {
            rows: Vec::new(),
            negators: Vec::new(),
            filter: [0; N_BITS / 64],
            but: Vec::new(),
            and: Vec::new(),
            or: Vec::new(),
            that: Vec::new(),
            english_verbs: Vec::new(),
            other_verbs: Vec::new(),
            fillers: Vec::new(),
        }
    }

    /// Whether a folded word is a negator.
    #[inline]
    pub(super) fn negates(&self, word: &[u8]) -> bool {
        let bit = bit_of(word);
        self.filter[bit / 64] >> (bit % 64) & 1 == 1
            && self.negators.binary_search_by(|w| w.as_bytes().cmp(word)).is_ok()
    }

    /// Whether two words are neighbours in a cue.
    pub(super) fn joins(&self, a: &str, b: &str) -> bool {
        self.rows.iter().any(|row| row.tokens.windows(2).any(|pair| pair == [a, b]))
    }

    fn read(&mut self, line: &'static str) {
        let Some((key, list)) = line.split_once(": ") else { return };
        let items = list.split(", ");
        let reading = match key {
            "clause" => Reading::Clause,
            "rest" => Reading::Rest,
            "before" => Reading::Before,
            "affirms" => Reading::Affirms,
            "affirms-clause" => Reading::AffirmsClause,
            "negators" => return self.negators.extend(items),
            "but" => return self.but.extend(items),
            "and" => return self.and.extend(items),
            "or" => return self.or.extend(items),
            "that" => return self.that.extend(items),
            "english-verbs" => return self.english_verbs.extend(items),
            "other-verbs" => return self.other_verbs.extend(items),
            "fillers" => return self.fillers.extend(items),
            _ => return,
        };
        self.rows.extend(items.map(|text| Row::new(reading, text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_source_is_read() {
        let lines = SOURCE.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        for line in lines {
            let mut cues = Cues::new();
            cues.read(line);
            let Cues {
                rows,
                negators,
                but,
                and,
                or,
                that,
                english_verbs,
                other_verbs,
                fillers,
                ..
            } = &cues;
            let lists = [negators, but, and, or, that, english_verbs, other_verbs, fillers];
            let n: usize = rows.len() + lists.iter().map(|list| list.len()).sum::<usize>();
            assert_eq!(n, line.split(", ").count(), "{line}");
            assert!(rows.iter().all(|row| !row.tokens.is_empty()), "{line}");
        }
    }
}
