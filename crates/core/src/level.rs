//! Priorities of components and levels of memory pressure.

use std::fmt;
use std::str::FromStr;

use crate::quoted;

/// A word that names no value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The word given.
    pub word: String,
    /// The words that are allowed.
    pub allowed: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown value {}; use one of {}", quoted(&self.word), self.allowed.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(rename_all = "UPPERCASE"))]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The words of [`Self::ALL`], in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value, in capitals as configuration files write it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s)
                    .ok_or_else(|| UnknownWord { word: s.to_owned(), allowed: Self::WORDS })
            }
        }
    };
}

words! {
    /// How much a component matters. The order is from most to least important.
    Priority {
        /// Loaded at start and never let go.
        Core = "CORE",
        /// Kept when anything else can go.
        High = "HIGH",
        /// The usual case.
        Medium = "MEDIUM",
        /// The first to go.
        Low = "LOW",
    }
}

words! {
    /// How scarce memory is. The order is from calm to the worst.
    PressureLevel {
        /// Plenty.
        Low = "LOW",
        /// Speculation stops.
        Medium = "MEDIUM",
        /// Idle components of low priority go.
        High = "HIGH",
        /// Idle components of medium priority go too.
        Critical = "CRITICAL",
        /// Everything not CORE, pinned or leased goes; loads are refused.
        Emergency = "EMERGENCY",
    }
}

impl Priority {
    /// One tier up, but never above `ceiling` (nor down, if already above it).
    #[must_use]
    pub fn raised(self, tiers: u32, ceiling: Self) -> Self {
        if self <= ceiling {
            return self;
        }
        let index = (self as usize).saturating_sub(tiers as usize).max(ceiling as usize);
        Self::ALL[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_stops_at_the_ceiling() {
        assert_eq!(Priority::Low.raised(1, Priority::High), Priority::Medium);
        assert_eq!(Priority::Low.raised(9, Priority::High), Priority::High);
        assert_eq!(Priority::Core.raised(9, Priority::High), Priority::Core);
    }

    #[test]
    fn words_round_trip() {
        for p in Priority::ALL {
            assert_eq!(p.as_str().parse(), Ok(*p));
        }
        let err = "core".parse::<Priority>().unwrap_err();
        assert_eq!(err.to_string(), "unknown value \"core\"; use one of CORE, HIGH, MEDIUM, LOW");
    }
}
