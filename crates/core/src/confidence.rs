//! Probabilities.

use std::fmt;

/// A probability in `0.0..=1.0`; never NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Confidence(f32);

/// A number that is no probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceError(pub f32);

impl fmt::Display for ConfidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a probability; it must lie between 0 and 1", self.0)
    }
}

impl std::error::Error for ConfidenceError {}

impl Confidence {
    /// Impossible.
    pub const ZERO: Self = Self(0.0);
    /// Certain.
    pub const ONE: Self = Self(1.0);

    /// Checks that a number is a probability.
    ///
    /// # Errors
    /// When it is below 0, above 1 or NaN.
    pub fn new(p: f32) -> Result<Self, ConfidenceError> {
        if (0.0..=1.0).contains(&p) { Ok(Self(p)) } else { Err(ConfidenceError(p)) }
    }

    /// The nearest probability; NaN becomes 0.
    #[must_use]
    pub fn saturating(p: f32) -> Self {
        if p.is_nan() { Self(0.0) } else { Self(p.clamp(0.0, 1.0)) }
    }

    /// The number, in `0.0..=1.0`.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

// Sound because NaN cannot be constructed.
impl Eq for Confidence {}

impl Ord for Confidence {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Confidence {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Confidence {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Checked before it is rounded: 1.00000001 is no probability.
        let p = f64::deserialize(d)?;
        match (0.0..=1.0).contains(&p) {
            true => Ok(Self(p as f32)),
            false => Err(serde::de::Error::custom(ConfidenceError(p as f32))),
        }
    }
}
