//! Numbers of things in words: `1 component`, `3 components`.

use std::fmt;

/// A number with its noun, in the plural unless the number is 1; for nouns whose plural ends in `s`.
#[must_use]
pub fn count<N>(number: N, noun: &str) -> Count<'_, N> {
    Count { number, noun }
}

/// A number with its noun, to be displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<'n, N> {
    number: N,
    noun: &'n str,
}

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Count<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.number == N::from(1) { "" } else { "s" };
        write!(f, "{} {}{plural}", self.number, self.noun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noun_is_in_the_plural_unless_the_number_is_one() {
        assert_eq!(count(0_usize, "component").to_string(), "0 components");
        assert_eq!(count(1_u32, "load wave").to_string(), "1 load wave");
        assert_eq!(count(2_u64, "lease").to_string(), "2 leases");
    }
}
