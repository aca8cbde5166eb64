//! Keywords: which components a text names outright.
//!
//! Owns the table from words and phrases to components and the search in it. Does not know what a
//! component is, nor how its evidence is weighed against the model's. Invariant: what a search finds
//! depends on the set of entries only, not on their order.
//!
//! The search is leftmost-longest over *words* (a trie whose alphabet is the folded words of all
//! phrases), so a keyword never matches inside another word and a failed longer phrase never hides a
//! shorter keyword. It visits each word of the text once, or up to the length of the longest phrase
//! where phrases begin with it.

use majordomo_core::{ComponentKey, Confidence};
use majordomo_text::Words;

use self::table::WordTable;

mod table;

/// Why a list of keywords makes no matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeywordError {
    /// A phrase without a letter, a digit or a symbol.
    #[error(
        "keyword {} of component {component} has no word in it; remove it or write a word",
        majordomo_core::quoted(phrase)
    )]
    NoWord {
        /// The component it belongs to.
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

/// A keyword found in a text, for one of the components that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeywordHit {
    /// The component.
    pub component: ComponentKey,
    /// First byte of the match in the text.
    pub start: u32,
    /// One past the last byte of the match in the text.
    pub end: u32,
    /// How many components share the keyword, at least 1.
    pub n_sharing: u32,
}

impl KeywordHit {
    /// The byte range of the match in the text.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// `1 / n_sharing`.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        Confidence::saturating(1.0 / self.n_sharing as f32)
    }
}

/// The hits of one component in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentHits<'a> {
    /// The component.
    pub component: ComponentKey,
    /// Its hits by position; never empty.
    pub hits: &'a [KeywordHit],
}

impl ComponentHits<'_> {
    /// The confidence of its strongest hit.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        self.hits.iter().map(KeywordHit::confidence).max().unwrap_or(Confidence::ZERO)
    }
}

/// What a search found: hits grouped by component, in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeywordMatches<'a> {
    hits: &'a [KeywordHit],
}

impl<'a> KeywordMatches<'a> {
    /// Hits sorted by component and position.
    pub(crate) fn new(hits: &'a [KeywordHit]) -> Self {
        Self { hits }
    }

    /// Every hit, by component and then by position.
    #[must_use]
    pub fn hits(&self) -> &'a [KeywordHit] {
        self.hits
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// The components hit, in key order.
    pub fn components(&self) -> impl Iterator<Item = ComponentHits<'a>> + use<'a> {
        self.hits
            .chunk_by(|a, b| a.component == b.component)
            .map(|hits| ComponentHits { component: hits[0].component, hits })
    }
}

/// Buffers of a search, kept between searches so that they do not allocate.
#[derive(Clone, Debug, Default)]
pub struct KeywordScratch {
    pub(crate) words: Words,
    found: Vec<Found>,
    pub(crate) hits: Vec<KeywordHit>,
}

/// A word of the text that some phrase contains.
#[derive(Clone, Copy, Debug)]
struct Found {
    word_idx: u32,
    word: u32,
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
    table: WordTable,
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
        table.finish();
        let n_words = table.len();
        let mut matcher = Self { table, roots: vec![0; n_words], ..Self::default() };
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
            // A phrase that ends at this node sorts before those that go on.
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

    /// How many different phrases the matcher knows.
    #[must_use]
    pub fn n_phrases(&self) -> usize {
        self.n_phrases
    }

    /// Heap memory of the tables, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
            + size_of_val(self.roots.as_slice())
            + size_of_val(self.nodes.as_slice())
            + size_of_val(self.edges.as_slice())
            + size_of_val(self.owners.as_slice())
    }

    /// Finds every keyword in `text` (of which at most 2^32 - 1 bytes are read). Matches do not
    /// overlap: the leftmost wins, then the longest. Allocates nothing once `scratch` has grown.
    pub fn find<'s>(&self, text: &str, scratch: &'s mut KeywordScratch) -> KeywordMatches<'s> {
        scratch.words.split(text);
        self.find_in_words(scratch)
    }

    /// Finds keywords in the words that `scratch` already holds.
    pub(crate) fn find_in_words<'s>(&self, scratch: &'s mut KeywordScratch) -> KeywordMatches<'s> {
        let KeywordScratch { words, found, hits } = scratch;
        hits.clear();
        found.clear();
        for word_idx in 0..words.len() {
            if let Some(word) = self.table.get(words.folded(word_idx)) {
                found.push(Found { word_idx: word_idx as u32, word });
            }
        }
        let mut i = 0;
        while i < found.len() {
            let Some((node, n_words)) = self.longest(&found[i..]) else {
                i += 1;
                continue;
            };
            let (start, _) = words.source(found[i].word_idx as usize);
            let (_, end) = words.source(found[i + n_words - 1].word_idx as usize);
            let owners = &self.owners[node.owners.0 as usize..node.owners.1 as usize];
            let n_sharing = owners.len() as u32;
            hits.extend(owners.iter().map(|&component| KeywordHit {
                component,
                start,
                end,
                n_sharing,
            }));
            i += n_words;
        }
        // Stable order; sort_unstable does not allocate and the key is unique.
        hits.sort_unstable_by_key(|h| (h.component, h.start));
        KeywordMatches { hits }
    }

    /// The node and length of the longest phrase at the start of `found`.
    fn longest(&self, found: &[Found]) -> Option<(Node, usize)> {
        let root = self.roots[found[0].word as usize];
        if root == 0 {
            return None;
        }
        let mut node = self.nodes[root as usize];
        let mut best = None;
        let mut n_words = 1;
        loop {
            if node.owners.0 != node.owners.1 {
                best = Some((node, n_words));
            }
            let edges = &self.edges[node.edges.0 as usize..node.edges.1 as usize];
            let Some(next) = found.get(n_words).filter(|_| !edges.is_empty()) else { break };
            if next.word_idx != found[n_words - 1].word_idx + 1 {
                break;
            }
            let Ok(at) = edges.binary_search_by_key(&next.word, |e| e.0) else { break };
            node = self.nodes[edges[at].1 as usize];
            n_words += 1;
        }
        best
    }
}
