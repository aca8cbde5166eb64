//! The words of loading ahead: how urgent a hint is, who gives it, and how a load ahead ends.

/// When a hint may become a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HintTier {
    /// At once.
    Immediate,
    /// After a short delay, so that a demand that comes at once is not disturbed.
    Delayed,
    /// Only while nothing else happens.
    Background,
}

impl HintTier {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HintSource {
    /// The sequence model. Replaced by the next observation, or when a command begins.
    Sequence,
    /// The text of a command that was observed, by its triggers. Replaced like those of the model.
    Text,
    /// A declared trigger in the text of the command at hand. Replaced by the observation after its own.
    Trigger,
    /// Trimmed while idle and wanted back. Replaced like those of the model.
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

/// How a load ahead ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", tag = "end"))]
#[non_exhaustive]
pub enum PreloadEnd {
    /// It was used, and ready when it was first asked for.
    Hit,
    /// It was used, and still loaded when it was first asked for.
    Late {
        /// How long it had been under way, in microseconds: what the waiter was spared at most.
        saved_us: u64,
    },
    /// It went before its first use, or nobody asked for it in the time that it may wait.
    Wasted {
        /// Bytes times seconds that it held.
        byte_seconds: f64,
    },
    /// Its load failed.
    Failed,
}
