//! The types that a setting may have.

use std::time::Duration;

use super::{Domain, SettingValue};
use crate::{
    BudgetSetting, ByteSize, Confidence, IdleTrimWhen, ParkChoice, PolicyKind, PressureLevel,
    PressureProfile, Priority,
};

/// A type that a setting may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of a setting",
    label = "implement `SettingType` for it, with `WithRange` or `WithoutRange`, in `core/src/settings/types.rs`"
)]
pub trait SettingType: Sized {
    /// The type of a default in a declaration.
    type Written;
    /// Whether there may be no value.
    const OPTIONAL: bool = false;

    /// The value of a default.
    fn written(value: Self::Written) -> Self;

    /// As a value of any type.
    fn to_value(&self) -> SettingValue;

    /// From a value; none when the type cannot hold it.
    fn from_value(value: &SettingValue) -> Option<Self>;
}

/// A type whose values a declaration bounds.
#[diagnostic::on_unimplemented(
    message = "a setting of type `{Self}` has no range",
    label = "remove `range` from the declaration"
)]
pub trait WithRange: SettingType {
    /// The type of a bound in a declaration.
    type Bound;

    /// The values from `min` to `max`.
    fn within(min: Self::Bound, max: Self::Bound) -> Domain;
}

/// A type whose values need no bounds.
#[diagnostic::on_unimplemented(
    message = "a setting of type `{Self}` needs a range",
    label = "add `range min..=max` to the declaration"
)]
pub trait WithoutRange: SettingType {
    /// All values.
    fn domain() -> Domain;
}

/// A type whose default is written as itself: the way into a [`SettingValue`], and back.
macro_rules! setting_type {
    ($Type:ty, |$own:ident| $to:expr, $value:pat => $from:expr) => {
        impl SettingType for $Type {
            type Written = Self;

            fn written(value: Self) -> Self {
                value
            }

            fn to_value(&self) -> SettingValue {
                let $own = *self;
                $to
            }

            fn from_value(value: &SettingValue) -> Option<Self> {
                match value {
                    $value => $from,
                    _ => None,
                }
            }
        }
    };
}

/// A type with bounds that is one variant of [`SettingValue`] and of [`Domain`].
macro_rules! ranged {
    ($Type:ty, $Variant:ident) => {
        setting_type!($Type, |v| SettingValue::$Variant(v), SettingValue::$Variant(v) => Some(*v));

        impl WithRange for $Type {
            type Bound = Self;

            fn within(min: Self, max: Self) -> Domain {
                Domain::$Variant { min, max }
            }
        }
    };
}

ranged!(f64, Number);
ranged!(Duration, Duration);
ranged!(ByteSize, Size);
setting_type!(bool, |v| SettingValue::Bool(v), SettingValue::Bool(v) => Some(*v));
setting_type!(BudgetSetting, |v| SettingValue::Budget(v), SettingValue::Budget(v) => Some(*v));

impl WithoutRange for bool {
    fn domain() -> Domain {
        Domain::Bool
    }
}

/// Bounds are shares.
impl WithRange for BudgetSetting {
    type Bound = Self;

    fn within(min: Self, max: Self) -> Domain {
        let share = |bound| match bound {
            Self::Share(share) => share,
            Self::Bytes(_) => f64::NAN,
        };
        Domain::Budget { min: share(min), max: share(max) }
    }
}

/// The same number in 64 bits.
fn wide<T: TryInto<u64>>(number: T) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

macro_rules! count {
    ($Type:ty) => {
        setting_type!(
            $Type,
            |v| SettingValue::Count(wide(v)),
            SettingValue::Count(v) => Self::try_from(*v).ok()
        );

        impl WithRange for $Type {
            type Bound = Self;

            fn within(min: Self, max: Self) -> Domain {
                Domain::Count { min: wide(min), max: wide(max) }
            }
        }
    };
}

count!(u32);
count!(usize);

/// A number from 0 to 1, which the type guarantees.
impl SettingType for Confidence {
    type Written = f32;

    fn written(value: f32) -> Self {
        Self::saturating(value)
    }

    fn to_value(&self) -> SettingValue {
        // By the shortest decimal text, so that 0.12 stays 0.12.
        let number = self.get().to_string().parse();
        SettingValue::Number(number.unwrap_or_else(|_| f64::from(self.get())))
    }

    fn from_value(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Number(value) => Self::new(*value as f32).ok(),
            _ => None,
        }
    }
}

impl WithoutRange for Confidence {
    fn domain() -> Domain {
        Domain::Number { min: 0.0, max: 1.0 }
    }
}

macro_rules! word {
    ($Type:ty) => {
        setting_type!(
            $Type,
            |v| SettingValue::Word(v.as_str()),
            SettingValue::Word(word) => word.parse().ok()
        );

        impl WithoutRange for $Type {
            fn domain() -> Domain {
                Domain::Word(Self::WORDS)
            }
        }
    };
}

word!(IdleTrimWhen);
word!(ParkChoice);
word!(PolicyKind);
word!(PressureLevel);
word!(PressureProfile);
word!(Priority);

impl<T: SettingType> SettingType for Option<T> {
    type Written = Self;
    const OPTIONAL: bool = true;

    fn written(value: Self) -> Self {
        value
    }

    fn to_value(&self) -> SettingValue {
        self.as_ref().map_or(SettingValue::Unset, T::to_value)
    }

    fn from_value(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Unset => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: WithRange> WithRange for Option<T> {
    type Bound = T::Bound;

    fn within(min: T::Bound, max: T::Bound) -> Domain {
        T::within(min, max)
    }
}
