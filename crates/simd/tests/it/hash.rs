//! The hashes: golden values (learned state depends on them), windows, spread, collisions.

use std::collections::BTreeSet;

use majordomo_simd::{fast_hash, hash_bytes, hash_window};

const TEXT: &[u8] = b"turn the kitchen lights off";

#[test]
fn golden_values() {
    let cases: [(&[u8], u64, u64); 9] = [
        (b"", 0, 0x480f_e496_6428_8f5d),
        (b"a", 0, 0x016f_dce0_efbc_25d0),
        (b"a", 1, 0xd6ab_d797_9e75_649d),
        (b"abc", 0, 0x57e8_1d8f_1adf_18f9),
        (b"lights", 0, 0x48b4_0f41_f9b7_4bd6),
        (b"12345678", 0, 0x579d_ab60_4006_15f6),
        (b"123456789", 0, 0x9d48_43bf_ad0d_48ad),
        (b"0123456789abcdef", 0, 0x2057_6e0b_b0c9_f00d),
        (TEXT, 7, 0x223f_1f00_32ea_5b03),
    ];
    let found: Vec<String> =
        cases.iter().map(|(bytes, seed, _)| format!("{:#x}", hash_bytes(bytes, *seed))).collect();
    let golden: Vec<String> = cases.iter().map(|(_, _, hash)| format!("{hash:#x}")).collect();
    assert_eq!(found, golden, "a changed hash makes all learned state worthless");
}

#[test]
fn fast_hash_is_djb2_as_published() {
    assert_eq!(fast_hash(b""), 5381);
    assert_eq!(fast_hash(b"a"), 177_670);
    assert_eq!(fast_hash(b"hello world"), 894_552_257);
    // The structural collision in the documentation.
    assert_eq!(fast_hash(b"b0"), fast_hash(b"aQ"));
}

#[test]
fn window_has_the_hash_of_its_bytes() {
    for start in 0..=TEXT.len() {
        for len in 0..=TEXT.len() - start {
            let bytes = &TEXT[start..start + len];
            assert_eq!(hash_window(TEXT, start, len, 3), hash_bytes(bytes, 3), "{start} {len}");
        }
    }
}

#[test]
#[should_panic(expected = "out of range")]
fn window_outside_the_buffer_panics() {
    let _ = hash_window(TEXT, TEXT.len() - 2, 3, 0);
}

#[test]
fn length_and_seed_change_the_hash() {
    let zeros = [0; 40];
    let hashes: BTreeSet<u64> = (0..=40)
        .flat_map(|len| (0..16).map(move |seed| (len, seed)))
        .map(|(len, seed)| hash_bytes(&zeros[..len], seed))
        .collect();
    assert_eq!(hashes.len(), 41 * 16);
}

/// All 3-grams over `[a-z0-9 _]`: no collision at 64 bits, and in 2^16 buckets, taken from either
/// end, a spread like that of a random function.
#[test]
fn three_grams_neither_collide_nor_cluster() {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz0123456789 _";
    let mut hashes = Vec::new();
    for &a in alphabet {
        for &b in alphabet {
            for &c in alphabet {
                hashes.push(hash_bytes(&[a, b, c], 0));
            }
        }
    }
    let distinct: BTreeSet<u64> = hashes.iter().copied().collect();
    assert_eq!(distinct.len(), hashes.len());

    let n_buckets = 1usize << 16;
    for shift in [0, 24, 48] {
        let mut counts = vec![0u32; n_buckets];
        for hash in &hashes {
            counts[(hash >> shift) as usize % n_buckets] += 1;
        }
        // Chi-square with 65535 degrees of freedom: mean 65535, standard deviation 362.
        let expected = hashes.len() as f64 / n_buckets as f64;
        let chi: f64 = counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        let deviations = (chi - 65_535.0) / 362.0;
        assert!(deviations.abs() < 5.0, "shift {shift}: {deviations} standard deviations");
    }
}

/// Flipping any input bit flips each output bit about half of the time.
#[test]
fn every_input_bit_reaches_every_output_bit() {
    let mut random = 1;
    for len in [3usize, 6, 8, 12, 27] {
        let n_texts = 1000u32;
        for bit in 0..len * 8 {
            let mut flips = [0u32; 64];
            for _ in 0..n_texts {
                let mut bytes: Vec<u8> = (0..len).map(|_| letter(&mut random)).collect();
                let before = hash_bytes(&bytes, 0);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut changed = before ^ hash_bytes(&bytes, 0);
                while changed != 0 {
                    flips[changed.trailing_zeros() as usize] += 1;
                    changed &= changed - 1;
                }
            }
            for (output, &n) in flips.iter().enumerate() {
                assert!(
                    (300..=700).contains(&n),
                    "length {len}: input bit {bit} flips output bit {output} {n} times of {n_texts}"
                );
            }
        }
    }
}

/// A linear congruential generator (Knuth's MMIX constants); its high bits are good.
fn letter(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    b'a' + ((*state >> 40) % 26) as u8
}
