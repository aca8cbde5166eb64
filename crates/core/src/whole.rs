//! Whole numbers that are written as floating-point numbers, as some languages do.

/// From here on a floating-point number may stand for a neighbour of the whole number that was written.
const INEXACT: f64 = (1_u64 << 53) as f64;

/// The whole number that a floating-point number stands for; none if it has a fraction, is negative, or is not exact.
#[must_use]
pub fn whole_number(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..INEXACT).contains(&number)).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_whole_only_where_no_other_whole_number_is_written_alike() {
        for (number, want) in [
            (7.0, Some(7)),
            (6e4, Some(60_000)),
            (-0.0, Some(0)),
            (9_007_199_254_740_991.0, Some((1 << 53) - 1)),
            (9_007_199_254_740_992.0, None),
            (7.5, None),
            (-1.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(whole_number(number), want, "{number}");
        }
    }
}
