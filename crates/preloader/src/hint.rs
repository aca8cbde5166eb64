//! The words of the preloader: tiers, hints, answers, proposals.

use majordomo_core::{ComponentKey, Confidence};

/// When a hint may become a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// At once.
    Immediate,
    /// After a short delay, so that a demand that comes at once is not disturbed.
    Delayed,
    /// Only while nothing else happens.
    Background,
}

impl Tier {
    /// All tiers, first the most urgent.
    pub const ALL: [Self; 3] = [Self::Immediate, Self::Delayed, Self::Background];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Delayed => "delayed",
            Self::Background => "background",
        }
    }
}

/// Where a hint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintSource {
    /// The sequence model. Replaced by the next observation.
    Sequence,
    /// The text of a command, by the predictor. Replaced by the next observation.
    Text,
    /// A declared trigger. Replaced by the next observation.
    Trigger,
    /// Trimmed while idle and wanted back. Replaced by the next observation.
    Refill,
    /// The application. Stays until it is done or too old.
    Application,
}

impl HintSource {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Text => "text",
            Self::Trigger => "trigger",
            Self::Refill => "refill",
            Self::Application => "application",
        }
    }
}

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
