//! Byte counts.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use crate::quoted;

/// A number of bytes. `MiB` is 2^20; decimal units (`MB`) are read but never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct ByteSize(pub u64);

/// Why a text is no byte count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// Not a number followed by a unit.
    Malformed(String),
    /// Below zero.
    Negative(String),
    /// 2^63 bytes or more.
    TooLarge(String),
}

impl fmt::Display for ByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(t) => write!(
                f,
                "{} is not a size; write a number and a unit, such as \"300MiB\" or \"1.5GiB\"",
                quoted(t)
            ),
            Self::Negative(t) => write!(f, "size {} is negative", quoted(t)),
            Self::TooLarge(t) => {
                write!(f, "size {} is larger than any memory (2^63 bytes)", quoted(t))
            }
        }
    }
}

impl std::error::Error for ByteSizeError {}

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `n` × 2^10 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` × 2^20 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` × 2^30 bytes.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size in MiB, for printing and scoring.
    #[must_use]
    pub fn as_mib_f64(self) -> f64 {
        self.0 as f64 / f64::from(1u32 << 20)
    }

    /// The size without rounding, in the largest unit that divides it: `64MiB`, `1500B`.
    #[must_use]
    pub fn exact(self) -> String {
        let divides = |(_, scale): &&(&str, u64)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        let (unit, scale) = UNITS.iter().find(divides).unwrap_or(&("B", 1));
        format!("{}{unit}", self.0 / scale)
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This size times a factor of at least 0, rounded to bytes and saturating.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        // `as` saturates, and turns NaN into 0.
        Self((self.0 as f64 * factor).round() as u64)
    }
}

impl Add for ByteSize {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self(self.0.saturating_add(o.0))
    }
}

impl AddAssign for ByteSize {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

/// Saturating: sizes never go below zero.
impl Sub for ByteSize {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self.saturating_sub(o)
    }
}

impl Sum for ByteSize {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = UNITS.iter().find(|(_, s)| self.0 >= *s).unwrap_or(&("B", 1));
        let text = if self.0.is_multiple_of(*scale) {
            format!("{} {unit}", self.0 / scale)
        } else {
            format!("{:.1} {unit}", self.0 as f64 / *scale as f64)
        };
        f.pad(&text)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let malformed = || ByteSizeError::Malformed(text.to_owned());
        let t = text.trim();
        let split = t.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(t.len());
        let (number, unit) = (t[..split].trim(), t[split..].trim());
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1u64 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(malformed()),
        };
        let value: f64 = number.parse().map_err(|_| malformed())?;
        if value < 0.0 {
            return Err(ByteSizeError::Negative(text.to_owned()));
        }
        let bytes = value * scale as f64;
        if !bytes.is_finite() || bytes >= 9.2e18 {
            return Err(ByteSizeError::TooLarge(text.to_owned()));
        }
        Ok(Self(bytes.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let check = |text: &str, want: Result<u64, ()>| {
            assert_eq!(text.parse::<ByteSize>().map(ByteSize::bytes).map_err(drop), want, "{text}");
        };
        check("300MiB", Ok(300 << 20));
        check("1.5 GiB", Ok(3 << 29));
        check("500MB", Ok(500_000_000));
        check("42", Ok(42));
        check("-1MiB", Err(()));
        check("9e30GiB", Err(()));
        check("NaN", Err(()));
        check("MiB", Err(()));
        check("3 parsecs", Err(()));
        assert_eq!(ByteSize::mib(1536).to_string(), "1.5 GiB");
        assert_eq!(ByteSize::mib(300).to_string(), "300 MiB");
        assert_eq!(ByteSize(0).to_string(), "0 B");
    }
}
