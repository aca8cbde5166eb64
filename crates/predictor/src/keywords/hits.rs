//! The result of a search: hits, their fit, and how much each counts.

use majordomo_core::{ComponentKey, Confidence};

/// The probability that a text needs a component that it names in a negated clause, as a share of the probability
/// without the negation.
pub(crate) const NEGATED_SHARE: f32 = 0.05;

/// How well a text's words fit a keyword's, best first. A match of several words fits as its worst word does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fit {
    /// The same folded words.
    #[default]
    Exact,
    /// Other accents, spelled out umlauts, other forms of letters: `musica` for `música`.
    Spelling,
    /// With particles of its language: `음악을` for `음악`.
    Affix,
    /// Part of a compound: `Wohnzimmerlampe` for `Lampe`.
    Compound,
}

impl Fit {
    /// The highest confidence that a match may have.
    fn at_most(self) -> f32 {
        match self {
            Self::Exact => 1.0,
            Self::Spelling => 0.9,
            Self::Affix => 0.8,
            Self::Compound => 0.7,
        }
    }
}

/// A keyword found in a text, for one of the components that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct KeywordHit {
    pub component: ComponentKey,
    /// First byte of the match in the text.
    pub start: u32,
    /// One past the last byte of the match in the text.
    pub end: u32,
    /// How many components share the keyword, at least 1.
    pub n_sharing: u32,
    pub fit: Fit,
    /// Whether the clause is negated: evidence against the component.
    pub is_negated: bool,
}

impl KeywordHit {
    /// The byte range of the match in the text.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// `1 / n_sharing`, less than 1 where the fit is not exact, and next to nothing where the clause is negated.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        let p = (1.0 / self.n_sharing as f32).min(self.fit.at_most());
        Confidence::saturating(if self.is_negated { p * NEGATED_SHARE } else { p })
    }
}

/// The hits of one component in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the other name says it")]
pub struct ComponentHits<'a> {
    pub component: ComponentKey,
    /// By position; never empty.
    pub hits: &'a [KeywordHit],
}

impl ComponentHits<'_> {
    /// The confidence of its strongest hit.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        self.hits.iter().map(KeywordHit::confidence).max().unwrap_or(Confidence::ZERO)
    }

    /// Whether every hit stands in a negated clause.
    #[must_use]
    pub fn is_negated(&self) -> bool {
        self.hits.iter().all(|hit| hit.is_negated)
    }
}

/// The hits in a text, grouped by component, in key order.
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

    /// Whether no keyword was found.
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

    /// The hits of one component, if it has any.
    #[must_use]
    pub fn of(&self, component: ComponentKey) -> Option<ComponentHits<'a>> {
        let start = self.hits.partition_point(|hit| hit.component < component);
        let end = self.hits.partition_point(|hit| hit.component <= component);
        (start < end).then(|| ComponentHits { component, hits: &self.hits[start..end] })
    }
}
