//! The value of a setting, whatever its type, and its text.

use std::fmt;
use std::time::Duration;

use crate::{BudgetSetting, ByteSize};

/// The value of a setting. `Display` writes it as a configuration file does, without quotation marks.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the types")]
#[non_exhaustive]
pub enum SettingValue {
    /// An optional setting without a value.
    Unset,
    Bool(bool),
    /// One of the words of an enumeration.
    Word(&'static str),
    Count(u64),
    Number(f64),
    Duration(Duration),
    Size(ByteSize),
    Budget(BudgetSetting),
}

impl SettingValue {
    /// The value in TOML; none for [`Self::Unset`]. Sizes are exact here, and rounded by `Display`.
    #[must_use]
    pub fn to_toml(&self) -> Option<String> {
        match self {
            Self::Unset => None,
            Self::Bool(_) | Self::Count(_) | Self::Number(_) => Some(self.to_string()),
            Self::Size(size) | Self::Budget(BudgetSetting::Bytes(size)) => {
                Some(format!("\"{}\"", size.exact()))
            }
            Self::Word(_) | Self::Duration(_) | Self::Budget(_) => Some(format!("\"{self}\"")),
        }
    }

    /// Whether it is larger than another value of the same type.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => a > b,
            (Self::Number(a), Self::Number(b)) => a > b,
            (Self::Duration(a), Self::Duration(b)) => a > b,
            (Self::Size(a), Self::Size(b)) => a > b,
            _ => false,
        }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("none"),
            Self::Bool(v) => v.fmt(f),
            Self::Word(v) => v.fmt(f),
            Self::Count(v) => v.fmt(f),
            Self::Number(v) => v.fmt(f),
            Self::Duration(v) => f.write_str(&duration_text(*v)),
            Self::Size(v) => v.fmt(f),
            Self::Budget(v) => v.fmt(f),
        }
    }
}

/// `1h 30min`: whole numbers of the largest units, as a configuration file states a duration.
pub(crate) fn duration_text(duration: Duration) -> String {
    const UNITS: [(&str, u128); 6] = [
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    const DAY: u128 = 86_400_000_000_000;
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut parts = Vec::new();
    match rest / DAY {
        0 => {}
        1 => parts.push("1day".to_owned()),
        days => parts.push(format!("{days}days")),
    }
    rest %= DAY;
    for (unit, nanos) in UNITS {
        if rest >= nanos {
            parts.push(format!("{}{unit}", rest / nanos));
            rest %= nanos;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_whole_units() {
        let check = |duration: Duration, want: &str| assert_eq!(duration_text(duration), want);
        check(Duration::ZERO, "0s");
        check(Duration::from_millis(80), "80ms");
        check(Duration::from_secs(300), "5min");
        check(Duration::from_millis(5_401_001), "1h 30min 1s 1ms");
        check(Duration::from_secs(86_400), "1day");
        check(Duration::from_secs(30 * 86_400 + 60), "30days 1min");
        check(Duration::from_nanos(1_500), "1us 500ns");
    }

    #[test]
    fn toml_text_of_a_size_is_exact() {
        let toml = |size| SettingValue::Size(size).to_toml().unwrap();
        assert_eq!(toml(ByteSize::mib(64)), "\"64MiB\"");
        assert_eq!(toml(ByteSize(1500)), "\"1500B\"");
        assert_eq!(SettingValue::Budget(BudgetSetting::Share(0.6)).to_toml().unwrap(), "\"60%\"");
        assert_eq!(SettingValue::Unset.to_toml(), None);
    }
}
