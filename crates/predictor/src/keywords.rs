//! Keywords: which components a text names outright.
//!
//! Owns the table from words and phrases to components and the search in it. Does not know what a
//! component is, nor how keyword evidence is weighed against the model's. Invariant: the hits
//! depend on the set of entries only, not on their order.
//!
//! A word of a text may match several words of phrases: itself, a looser spelling, a stem without particles, a
//! part of a compound ([`Fit`]). Of two matches of the same words the one that fits better counts, so that
//! `papá` and `papa` of two components stay distinct while either is found where it occurs alone.
//!
//! The search is leftmost-longest over *words* (a trie whose alphabet is the folded words of all
//! phrases), so a keyword never matches inside another word and a failed longer phrase never hides a
//! shorter keyword. It visits each word of the text once, or up to the length of the longest phrase
//! where phrases begin with it.

use majordomo_core::ComponentKey;
use majordomo_text::{Negation, Words};

use self::candidates::{Candidates, Variants};
use self::table::WordTable;

mod candidates;
mod hits;
mod table;

pub(crate) use hits::NEGATED_SHARE;
pub use hits::{ComponentHits, Fit, KeywordHit, KeywordMatches};

/// Why a matcher cannot be built from a list of keywords.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum KeywordError {
    /// A phrase without a letter, a digit or a symbol.
    #[error(
        "keyword {} of component {component} has no word in it; remove it or write a word",
        majordomo_core::quoted(phrase)
    )]
    NoWord {
        component: ComponentKey,
        /// The phrase as given.
        phrase: String,
    },
    /// More words than the table can number.
    #[error("the keywords have {bytes} bytes of text, at most {} are allowed", u32::MAX)]
    TooMany {
        /// The length of all phrases.
        bytes: usize,
    },
}

/// Buffers of a search, kept between searches so that a search does not allocate.
#[derive(Clone, Debug, Default)]
pub struct KeywordScratch {
    pub(crate) words: Words,
    pub(crate) negation: Negation,
    candidates: Candidates,
    walk: Walk,
    owners: Vec<ComponentKey>,
    pub(crate) hits: Vec<KeywordHit>,
}

/// The state of a search in the trie: nodes reached by the words so far, and how well these words fit.
#[derive(Clone, Debug, Default)]
struct Walk {
    at: Vec<(u32, Fit)>,
    next: Vec<(u32, Fit)>,
    /// Nodes where the longest match ends.
    best: Vec<u32>,
}

/// A longest match; its nodes are in [`Walk::best`].
#[derive(Clone, Copy, Debug)]
struct Longest {
    n_words: u32,
    fit: Fit,
}

/// A state of the trie. Node 0 is the root, whose children are indexed by word.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Range in [`KeywordMatcher::owners`]; empty unless a phrase ends here.
    owners: (u32, u32),
    /// Range in [`KeywordMatcher::edges`].
    edges: (u32, u32),
}

/// Finds the keywords of a catalog in texts.
#[derive(Clone, Debug, Default)]
pub struct KeywordMatcher {
    /// The words of phrases, then the variants that are not words of phrases.
    table: WordTable,
    variants: Variants,
    /// Node of the phrase prefix of one word, by word; 0 where no phrase starts with it.
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// (word, node) pairs, sorted by word within a node.
    edges: Vec<(u32, u32)>,
    owners: Vec<ComponentKey>,
    n_phrases: usize,
}

impl KeywordMatcher {
    /// Builds a matcher from the keywords and triggers of components. Case, white space between the
    /// words of a phrase, punctuation and repeated entries do not matter.
    ///
    /// # Errors
    /// [`KeywordError::NoWord`] for a phrase without any word.
    pub fn build<'a>(
        entries: impl IntoIterator<Item = (ComponentKey, &'a str)>,
    ) -> Result<Self, KeywordError> {
        let mut table = WordTable::default();
        let mut phrases: Vec<(Vec<u32>, ComponentKey)> = Vec::new();
        let mut words = Words::default();
        let mut bytes = 0usize;
        for (component, phrase) in entries {
            bytes = bytes.saturating_add(phrase.len());
            // Folding can lengthen a text, at most threefold in UTF-8.
            if bytes > u32::MAX as usize / 3 {
                return Err(KeywordError::TooMany { bytes });
            }
            words.split(phrase);
            if words.is_empty() {
                return Err(KeywordError::NoWord { component, phrase: phrase.to_owned() });
            }
            let ids = (0..words.len()).map(|i| table.insert(words.folded(i))).collect();
            phrases.push((ids, component));
        }
        phrases.sort_unstable();
        phrases.dedup();
        let n_words = table.len();
        let variants = Variants::build(&mut table);
        table.finish();
        let mut matcher = Self { table, variants, roots: vec![0; n_words], ..Self::default() };
        matcher.n_phrases = phrases.chunk_by(|a, b| a.0 == b.0).count();
        matcher.grow(&phrases);
        Ok(matcher)
    }

    /// Builds the nodes breadth first from phrases sorted by their words, so that the children of a
    /// node lie together. Iterative: a phrase may have thousands of words.
    fn grow(&mut self, phrases: &[(Vec<u32>, ComponentKey)]) {
        self.nodes.push(Node::default());
        // (node, depth, range of phrases below it)
        let mut queue = std::collections::VecDeque::from([(0usize, 0usize, 0usize, phrases.len())]);
        while let Some((node_idx, depth, start, end)) = queue.pop_front() {
            // A phrase that ends at this node sorts before the phrases that continue.
            let own = phrases[start..end].partition_point(|(ids, _)| ids.len() == depth);
            let owners_start = self.owners.len() as u32;
            self.owners.extend(phrases[start..start + own].iter().map(|(_, c)| *c));
            self.nodes[node_idx].owners = (owners_start, self.owners.len() as u32);
            let edges_start = self.edges.len() as u32;
            let mut at = start + own;
            for below in phrases[at..end].chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                let (word, child) = (below[0].0[depth], self.nodes.len());
                self.nodes.push(Node::default());
                if depth == 0 {
                    self.roots[word as usize] = child as u32;
                } else {
                    self.edges.push((word, child as u32));
                }
                queue.push_back((child, depth + 1, at, at + below.len()));
                at += below.len();
            }
            self.nodes[node_idx].edges = (edges_start, self.edges.len() as u32);
        }
        self.owners.shrink_to_fit();
        self.nodes.shrink_to_fit();
        self.edges.shrink_to_fit();
    }

    /// Number of different phrases.
    #[must_use]
    pub fn n_phrases(&self) -> usize {
        self.n_phrases
    }

    /// Heap memory of the tables, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
            + self.variants.memory_bytes()
            + size_of_val(self.roots.as_slice())
            + size_of_val(self.nodes.as_slice())
            + size_of_val(self.edges.as_slice())
            + size_of_val(self.owners.as_slice())
    }

    /// Finds every keyword in `text` (of which at most 2^32 - 1 bytes are read). Matches do not
    /// overlap: the leftmost wins, then the longest, then the best fit. Allocates nothing once `scratch` has
    /// grown, but for Arabic stems.
    pub fn find<'s>(&self, text: &str, scratch: &'s mut KeywordScratch) -> KeywordMatches<'s> {
        scratch.words.split(text);
        let KeywordScratch { words, negation, candidates, walk, owners, hits } = scratch;
        hits.clear();
        candidates.find(words, &self.table, &self.variants);
        let mut at = 0;
        while let Some(first) = candidates.next_word(at) {
            let Some(longest) = self.longest(first, candidates, walk) else {
                at = first + 1;
                continue;
            };
            let (start, _) = words.source(first as usize);
            let (_, end) = words.source((first + longest.n_words - 1) as usize);
            owners.clear();
            for &node in &walk.best {
                let (from, to) = self.nodes[node as usize].owners;
                owners.extend_from_slice(&self.owners[from as usize..to as usize]);
            }
            if walk.best.len() > 1 {
                owners.sort_unstable();
                owners.dedup();
            }
            let n_sharing = owners.len() as u32;
            let fit = longest.fit;
            let hit = |&component: &ComponentKey| KeywordHit {
                component,
                start,
                end,
                n_sharing,
                fit,
                is_negated: false,
            };
            hits.extend(owners.iter().map(hit));
            at = first + longest.n_words;
        }
        // A negation inside a phrase, as in "do not disturb", belongs to the phrase.
        negation.read(text, words, |word_idx| {
            let (start, end) = words.source(word_idx);
            hits.iter()
                .any(|h| h.start <= start && end <= h.end && (h.start, h.end) != (start, end))
        });
        if !negation.is_empty() {
            for hit in hits.iter_mut() {
                let within =
                    |i: &usize| words.source(*i).0 >= hit.start && words.source(*i).1 <= hit.end;
                hit.is_negated = (0..words.len()).filter(within).any(|i| negation.has(i));
            }
        }
        // Stable order; sort_unstable does not allocate and the key is unique.
        hits.sort_unstable_by_key(|h| (h.component, h.start));
        KeywordMatches::new(hits)
    }

    /// The longest match that starts at a word, of the best fit among those of its length.
    fn longest(&self, first: u32, candidates: &Candidates, walk: &mut Walk) -> Option<Longest> {
        walk.at.clear();
        for &(word, fit) in candidates.of(first) {
            let root = self.roots[word as usize];
            if root != 0 {
                walk.at.push((root, fit));
            }
        }
        let mut best = None;
        let mut n_words = 1;
        while !walk.at.is_empty() {
            let ends = |node: u32| {
                self.nodes[node as usize].owners.0 != self.nodes[node as usize].owners.1
            };
            if let Some(fit) =
                walk.at.iter().filter(|(node, _)| ends(*node)).map(|(_, fit)| *fit).min()
            {
                best = Some(Longest { n_words, fit });
                walk.best.clear();
                walk.best
                    .extend(walk.at.iter().filter(|(n, f)| *f == fit && ends(*n)).map(|(n, _)| *n));
            }
            walk.next.clear();
            let words = candidates.of(first + n_words);
            for &(node, so_far) in &walk.at {
                let (from, to) = self.nodes[node as usize].edges;
                let edges = &self.edges[from as usize..to as usize];
                if edges.is_empty() {
                    continue;
                }
                for &(word, fit) in words {
                    if let Ok(at) = edges.binary_search_by_key(&word, |e| e.0) {
                        walk.next.push((edges[at].1, so_far.max(fit)));
                    }
                }
            }
            std::mem::swap(&mut walk.at, &mut walk.next);
            n_words += 1;
        }
        best
    }
}
