//! The enumerations among the settings, and the budget.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::words::words;
use crate::{ByteSize, ByteSizeError, quoted, start_of};

/// The memory budget. Written as a size (`4GiB`) or as a share (`60%`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(missing_docs, reason = "a size")]
pub enum BudgetSetting {
    /// A share, in `0.0..=1.0`, of the effective limit: the smaller of the machine's memory and the own cgroup's limit.
    Share(f64),
    Bytes(ByteSize),
}

/// A text that is no [`BudgetSetting`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetSettingError {
    /// A percent sign without a number before it.
    Share(String),
    /// Not a size.
    Size(ByteSizeError),
}

impl fmt::Display for BudgetSettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(text) => write!(f, "{} is not a share", quoted(&start_of(text))),
            Self::Size(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BudgetSettingError {}

/// Reads the text; the range is checked by the setting's declaration.
impl FromStr for BudgetSetting {
    type Err = BudgetSettingError;

    fn from_str(text: &str) -> Result<Self, BudgetSettingError> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            return text.parse().map(Self::Bytes).map_err(BudgetSettingError::Size);
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) => Ok(Self::Share(percent / 100.0)),
            Err(_) => Err(BudgetSettingError::Share(percent.to_owned())),
        }
    }
}

impl fmt::Display for BudgetSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rounded, so that 0.07 is 7% and not 7.000000000000001%.
            Self::Share(share) => write!(f, "{}%", (share * 1e8).round() / 1e6),
            Self::Bytes(size) => size.fmt(f),
        }
    }
}

impl ByteSize {
    /// The sizes that a setting may have: from one page to more memory than any machine has.
    pub const SETTING: RangeInclusive<Self> = Self::kib(4)..=Self::gib(16 << 10);
}

words! {
    /// The order in which components are evicted.
    #[non_exhaustive]
    PolicyKind {
        /// By the predicted use for each byte, the least first. As LRU while no use has been recorded, and while LRU
        /// does better.
        Vrank = "vrank",
        /// As vrank, with the predicted use weighted by the load time.
        VrankWait = "vrank-wait",
        /// Least recently used first.
        Lru = "lru",
        /// Greedy-dual-size-frequency.
        Gdsf = "gdsf",
    }
}

words! {
    /// The rule that turns available memory into a pressure level.
    #[non_exhaustive]
    PressureProfile {
        /// By share of the effective limit, with floors.
        Share = "share",
        /// The predecessor's absolute figures: 4, 2, 1 and 0.5 GiB available.
        Legacy = "legacy",
    }
}

words! {
    /// Whether components are parked.
    #[derive(Default)]
    #[non_exhaustive]
    ParkChoice {
        /// Where the machine offers a rung.
        #[default]
        Auto = "auto",
        /// Unloads are the only way to free memory.
        Never = "never",
    }
}

words! {
    /// When idle memory is given back.
    #[expect(missing_docs, reason = "a word")]
    #[non_exhaustive]
    IdleTrimWhen {
        Never = "never",
        /// On battery, or while memory pressure is MEDIUM or higher.
        Pressed = "pressed",
        /// After every idle period.
        Always = "always",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_read_as_size_or_share() {
        let check = |text: &str, want: Result<BudgetSetting, &str>| {
            let got = text.parse::<BudgetSetting>().map_err(|e| e.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        };
        check("60%", Ok(BudgetSetting::Share(0.6)));
        check(" 12.5 % ", Ok(BudgetSetting::Share(0.125)));
        check("4GiB", Ok(BudgetSetting::Bytes(ByteSize::gib(4))));
        check("most%", Err("\"most\" is not a share"));
        check(
            "lots",
            Err(
                "\"lots\" is not a size; write a number and a unit, such as \"300MiB\" or \"1.5GiB\"",
            ),
        );
    }

    #[test]
    fn budget_is_written_as_it_is_read() {
        for text in ["60%", "0.1%", "7%", "100%", "1.5 GiB"] {
            assert_eq!(text.parse::<BudgetSetting>().unwrap().to_string(), text);
        }
    }
}
