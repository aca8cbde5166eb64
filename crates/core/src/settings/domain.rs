//! The allowed values of a setting.

use std::time::Duration;

use super::SettingValue;
use super::value::duration_text;
use crate::{BudgetSetting, ByteSize};

/// The allowed values of a setting. Bounds are inclusive.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the types, and `min` and `max` the bounds")]
#[non_exhaustive]
pub enum Domain {
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    Count {
        min: u64,
        max: u64,
    },
    /// A finite number.
    Number {
        min: f64,
        max: f64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: ByteSize,
        max: ByteSize,
    },
    /// A share within the bounds, in `0.0..=1.0`, or a size within [`ByteSize::SETTING`].
    Budget {
        min: f64,
        max: f64,
    },
}

impl Domain {
    /// Whether a value is of the type and within the bounds.
    #[must_use]
    pub fn contains(&self, value: &SettingValue) -> bool {
        match (self, value) {
            (Self::Bool, SettingValue::Bool(_)) => true,
            (Self::Word(words), SettingValue::Word(v)) => words.contains(v),
            (Self::Count { min, max }, SettingValue::Count(v)) => (min..=max).contains(&v),
            // NaN and infinities lie in no range.
            (Self::Number { min, max }, SettingValue::Number(v)) => (min..=max).contains(&v),
            (Self::Duration { min, max }, SettingValue::Duration(v)) => (min..=max).contains(&v),
            (Self::Size { min, max }, SettingValue::Size(v)) => (min..=max).contains(&v),
            (Self::Budget { min, max }, SettingValue::Budget(v)) => match v {
                BudgetSetting::Share(share) => (min..=max).contains(&share),
                BudgetSetting::Bytes(size) => ByteSize::SETTING.contains(size),
            },
            _ => false,
        }
    }

    /// The nearest allowed value; NaN becomes the lowest. A value of another type, or without bounds, stays.
    #[must_use]
    pub fn clamp(&self, value: SettingValue) -> SettingValue {
        fn number(value: f64, min: f64, max: f64) -> f64 {
            if value.is_nan() { min } else { value.clamp(min, max) }
        }
        match (self, value) {
            (Self::Count { min, max }, SettingValue::Count(v)) => {
                SettingValue::Count(v.clamp(*min, *max))
            }
            (Self::Number { min, max }, SettingValue::Number(v)) => {
                SettingValue::Number(number(v, *min, *max))
            }
            (Self::Duration { min, max }, SettingValue::Duration(v)) => {
                SettingValue::Duration(v.clamp(*min, *max))
            }
            (Self::Size { min, max }, SettingValue::Size(v)) => {
                SettingValue::Size(v.clamp(*min, *max))
            }
            (Self::Budget { min, max }, SettingValue::Budget(v)) => SettingValue::Budget(match v {
                BudgetSetting::Share(share) => BudgetSetting::Share(number(share, *min, *max)),
                BudgetSetting::Bytes(size) => {
                    let (min, max) = ByteSize::SETTING.into_inner();
                    BudgetSetting::Bytes(size.clamp(min, max))
                }
            }),
            (_, value) => value,
        }
    }

    /// The rule after "must": `lie within 1 and 64`.
    #[must_use]
    pub fn rule(&self) -> String {
        match self {
            Self::Bool => "be true or false".to_owned(),
            Self::Word(words) => format!("be one of {}", words.join(", ")),
            Self::Budget { .. } => {
                let (low, high) = ByteSize::SETTING.into_inner();
                format!("lie within {}, or within {low} and {high}", self.range())
            }
            _ => format!("lie within {}", self.range()),
        }
    }

    /// The bounds in words, `1 and 64`; the shares of a budget; empty when there are none.
    #[must_use]
    pub fn range(&self) -> String {
        let share = |share| BudgetSetting::Share(share).to_string();
        let (min, max) = match self {
            Self::Bool | Self::Word(_) => return String::new(),
            Self::Count { min, max } => (min.to_string(), max.to_string()),
            Self::Number { min, max } => (min.to_string(), max.to_string()),
            Self::Duration { min, max } => (duration_text(*min), duration_text(*max)),
            Self::Size { min, max } => (min.to_string(), max.to_string()),
            Self::Budget { min, max } => (share(*min), share(*max)),
        };
        format!("{min} and {max}")
    }
}
