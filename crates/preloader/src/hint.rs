//! The words of the preloader: hints, answers, proposals. Tiers and sources are the vocabulary's.

use majordomo_core::{ComponentKey, Confidence};

pub use majordomo_core::{HintSource, HintTier as Tier};

/// A component that may be needed soon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hint {
    /// The component.
    pub key: ComponentKey,
    /// Probability that it is used before it would go again.
    pub confidence: Confidence,
    /// When it may be loaded.
    pub tier: Tier,
    /// Who says so.
    pub source: HintSource,
}

/// What became of a hint that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintAnswer {
    /// It waits.
    Queued,
    /// The component waited already; the higher confidence and the more urgent tier stay.
    Merged,
    /// Its confidence is below the floor.
    BelowFloor,
    /// Its tier was full of likelier ones.
    Full,
    /// It is being loaded ahead, or was and has not been used yet.
    Present,
}

/// A load that is worth a try now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// The component.
    pub key: ComponentKey,
    /// Probability that it is used before it would go again.
    pub confidence: Confidence,
    /// The tier it comes from.
    pub tier: Tier,
    /// Who hinted at it.
    pub source: HintSource,
}
