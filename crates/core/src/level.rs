//! Priorities of components and levels of memory pressure.

use crate::words::words;

words! {
    /// How important a component is, from the most to the least important.
    Priority {
        /// Loaded at start and never unloaded.
        Core = "CORE",
        /// Evicted only after MEDIUM and LOW components.
        High = "HIGH",
        /// The default.
        Medium = "MEDIUM",
        /// Evicted first.
        Low = "LOW",
    }
}

words! {
    /// How scarce memory is, from plenty to exhausted. The actions at each level are the defaults of
    /// [`MemoryConfig`](crate::MemoryConfig).
    PressureLevel {
        /// No action.
        Low = "LOW",
        /// No preloads; components are asked to trim.
        Medium = "MEDIUM",
        /// Idle LOW components are unloaded.
        High = "HIGH",
        /// Idle MEDIUM components are unloaded too.
        Critical = "CRITICAL",
        /// Every component that is not CORE, pinned or leased is unloaded; loads are refused.
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
