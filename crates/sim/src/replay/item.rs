//! Size and load time of a trace's items, drawn from their names, the same on every machine.

use std::time::Duration;

/// FNV-1a, 64 bits (Fowler, Noll and Vo).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// One step of SplitMix64 (Steele, Lea and Flood 2014) from `seed`, as a number in `0.0..1.0`.
fn split_mix_unit(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// Size and load time of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ItemCost {
    /// Size in megabytes (10^6 bytes), 20 to 1500, log-uniform.
    pub size_mb: f64,
    /// Load time, 30 ms to 2 s, log-uniform.
    pub load_time: Duration,
}

impl ItemCost {
    /// Draws size and load time from a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let h = fnv1a(name.as_bytes());
        let size_mb = 20.0 * 75f64.powf(split_mix_unit(h ^ 1));
        let load_ms = 30.0 * (2000.0f64 / 30.0).powf(split_mix_unit(h ^ 2));
        Self { size_mb, load_time: Duration::from_micros((load_ms * 1e3).round() as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_their_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        // The first output of SplitMix64 from seed 0 is 0xe220a8397b1dcdaf.
        assert_eq!(split_mix_unit(0), (0xe220_a839_7b1d_cdafu64 >> 11) as f64 / 2f64.powi(53));
    }

    #[test]
    fn costs_stay_in_their_ranges() {
        for name in ["", "sh", "explorer.exe", "ü", "a very long name of an item"] {
            let c = ItemCost::of(name);
            assert!((20.0..1500.0).contains(&c.size_mb), "{name}: {c:?}");
            assert!((0.030..=2.0).contains(&c.load_time.as_secs_f64()), "{name}: {c:?}");
        }
    }
}
