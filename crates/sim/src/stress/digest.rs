//! A hash of all effects of a run: two runs with the same decisions have the same digest.

use std::fmt::{self, Write};

use majordomo_core::Moment;
use majordomo_engine::Effect;

/// Mixes the text of effects as FNV-1a does, eight bytes at a time with a rotation. Not for adversaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds an effect and its time.
    pub(super) fn record(&mut self, at: Moment, effect: &Effect) {
        // Writing to it cannot fail.
        let _ = write!(self, "{} {effect:?}", at.0);
    }

    /// Adds the digest of another run.
    pub(super) fn add(&mut self, other: Self) {
        self.mix(other.0);
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ chunk.len() as u64);
        }
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
