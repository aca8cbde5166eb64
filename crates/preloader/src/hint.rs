//! Hints, answers and proposals. Tiers and sources are defined in `majordomo-core`.

use majordomo_core::{ComponentKey, Confidence};

pub use majordomo_core::{HintSource, HintTier as Tier};

/// A component that may be needed soon.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Hint {
    pub key: ComponentKey,
    /// Probability that the component is used before it would be evicted.
    pub confidence: Confidence,
    /// The urgency of the load.
    pub tier: Tier,
    pub source: HintSource,
}

/// Whether a hint waits, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintAnswer {
    /// The hint waits.
    Queued,
    /// A hint for the component waited already; the higher confidence and the more urgent tier are kept.
    Merged,
    /// The confidence is below the floor.
    BelowFloor,
    /// The tier was full of likelier hints.
    Full,
    /// The component is being preloaded, or is preloaded and not used yet.
    Present,
}

/// A preload that is worth starting now.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Proposal {
    pub key: ComponentKey,
    /// Probability that the component is used before it would be evicted.
    pub confidence: Confidence,
    /// The tier of its hint.
    pub tier: Tier,
    pub source: HintSource,
}
