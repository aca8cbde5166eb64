//! Hints and preloads: the urgency and the source of a hint, and the end of a preload.

/// The time at which a hint may become a preload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HintTier {
    /// At once.
    Immediate,
    /// After a short delay, so that an immediate demand is not disturbed.
    Delayed,
    /// Only while the manager is idle.
    Background,
}

impl HintTier {
    /// All tiers, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Immediate, Self::Delayed, Self::Background];

    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Delayed => "delayed",
            Self::Background => "background",
        }
    }
}

/// The model, text or application that gave a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HintSource {
    /// The sequence model. Replaced by the next observation, or when a command begins.
    Sequence,
    /// The triggers in the text of an observed command. Replaced like those of the model.
    Text,
    /// A declared trigger in the text of the command at hand. Replaced by the observation after its own.
    Trigger,
    /// A component unloaded by an idle trim. Replaced like those of the model.
    Refill,
    /// The application. Stays until it is preloaded or too old.
    Application,
}

impl HintSource {
    /// The name in tables.
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

/// The result of a preload, which its account counts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", tag = "end"))]
#[non_exhaustive]
pub enum PreloadEnd {
    /// The component was ready at its first request.
    Hit,
    /// The component was still loading at its first request.
    Late {
        /// Time since the load began, in microseconds: the most that the waiter saved.
        saved_us: u64,
    },
    /// The component was unloaded before its first use, or was not requested before the preload expired.
    Wasted {
        /// Memory times time held, in bytes times seconds.
        byte_seconds: f64,
    },
    /// The load failed.
    Failed,
}
