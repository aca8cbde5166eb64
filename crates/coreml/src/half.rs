//! Numbers of 16 bits (IEEE 754 binary16), as Core ML stores and computes them in half precision.

/// The nearest number of 16 bits, ties to even; infinite from 65 520 on.
pub(crate) fn from_f32(x: f32) -> u16 {
    let sign = ((x.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    if magnitude > f32::INFINITY.to_bits() {
        return sign | 0x7e00;
    }
    if magnitude >= 65_520.0f32.to_bits() {
        return sign | 0x7c00;
    }
    if magnitude < SMALLEST_NORMAL {
        // Beside 0.5 a number of 32 bits has steps of 2^-24, as the subnormal numbers of 16 bits have.
        let steps = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
        return sign | steps as u16;
    }
    let rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    sign | ((rounded - EXPONENTS) >> 13) as u16
}

/// The same number in 32 bits.
pub(crate) fn to_f32(x: u16) -> f32 {
    let sign = u32::from(x & 0x8000) << 16;
    let magnitude = u32::from(x & 0x7fff);
    let bits = if magnitude >= 0x7c00 {
        0x7f80_0000 | (magnitude & 0x3ff) << 13
    } else if magnitude < 0x400 {
        (magnitude as f32 * STEP).to_bits()
    } else {
        (magnitude << 13) + EXPONENTS
    };
    f32::from_bits(sign | bits)
}

/// Rounds to 16 bits.
pub(crate) fn round(x: f32) -> f32 {
    to_f32(from_f32(x))
}

/// The bits of 2^-14.
const SMALLEST_NORMAL: u32 = 0x3880_0000;
/// The difference of the exponents' offsets, 127 - 15, in its place.
const EXPONENTS: u32 = 112 << 23;
/// 2^-24.
const STEP: f32 = 1.0 / 16_777_216.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_itself_and_every_other_number_its_nearest() {
        let finite: Vec<u16> = (0..0x7c00).collect();
        for &x in &finite {
            assert_eq!(from_f32(to_f32(x)), x);
            assert_eq!(from_f32(-to_f32(x)), x | 0x8000);
        }
        for pair in finite.windows(2) {
            let (low, high) = (f64::from(to_f32(pair[0])), f64::from(to_f32(pair[1])));
            let middle = ((low + high) / 2.0) as f32;
            assert_eq!(from_f32(middle), pair[pair[0] as usize % 2], "{middle}");
            assert_eq!(from_f32(f32::from_bits(middle.to_bits() - 1)), pair[0]);
            assert_eq!(from_f32(f32::from_bits(middle.to_bits() + 1)), pair[1]);
        }
        assert_eq!(to_f32(0x3c00), 1.0);
        assert_eq!(from_f32(65_519.9), 0x7bff);
        assert_eq!(from_f32(65_520.0), 0x7c00);
        assert_eq!(to_f32(0xfc00), f32::NEG_INFINITY);
        assert!(to_f32(from_f32(f32::NAN)).is_nan());
    }
}
