//! Hashes of short strings: the same value on every platform, in every build and version.
//!
//! Learned state holds these hashes, so a change of any value is a change of format, which the golden
//! tests of this crate detect. None of the hashes resists an attacker who chooses the input.

/// The first bits of the fraction of π (as in Blowfish), made odd: constants without hidden structure.
const K: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

/// Bernstein's djb2: `h = 33 h + byte` from 5381, wrapping at 32 bits.
///
/// For compatibility only. It is weak by structure: `33·a + b` collides with `33·(a-1) + (b+33)`,
/// which costs two fifths of the distinct 3-grams of letters and digits. Use [`hash_bytes`].
#[must_use]
pub fn fast_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

/// A sound 64-bit hash of a string, fastest up to 8 bytes.
///
/// All bits are usable: take the low or the high ones as a bucket. Up to 8 bytes cost two
/// 64×64→128-bit multiplications, the halves of each folded together (as in Wang Yi's wyhash);
/// beyond that, one per 16 bytes and three more.
#[inline]
#[must_use]
pub fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    match bytes.len() {
        0..=8 => hash_word(load_short(bytes), bytes.len(), seed),
        _ => hash_long(bytes, seed),
    }
}

/// [`hash_bytes`] of the `len` bytes of `buffer` from `start`, for many short windows of one buffer
/// (character n-grams).
///
/// Where 8 bytes follow `start`, a window of up to 8 is one load and a mask, whatever its length.
///
/// # Panics
/// If the window does not lie within the buffer.
#[inline]
#[must_use]
pub fn hash_window(buffer: &[u8], start: usize, len: usize, seed: u64) -> u64 {
    let tail = &buffer[start..];
    match tail.first_chunk::<8>() {
        Some(word) if len <= 8 => {
            // A mask of 8·len ones, without the shift by 64 that would overflow.
            let mask = if len == 0 { 0 } else { u64::MAX >> (64 - 8 * len) };
            hash_word(u64::from_le_bytes(*word) & mask, len, seed)
        }
        _ => hash_bytes(&tail[..len], seed),
    }
}

/// Up to 8 bytes as a little-endian word, with zeros in the missing bytes.
#[inline]
fn load_short(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Both overlap by 8 - n bytes, which are equal.
        return u64::from(u32::from_le_bytes(*low))
            | u64::from(u32::from_le_bytes(*high)) << (8 * (n - 4));
    }
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The length is mixed in with the seed, so that "a" and "a\0" differ. Folding twice is needed: after a
/// single product with a constant some output bits follow some input bits almost always.
#[inline]
fn hash_word(word: u64, len: usize, seed: u64) -> u64 {
    let once = fold(word ^ K[0] ^ seed, K[1] ^ (len as u64) << 56 ^ seed.rotate_left(32));
    fold(once, K[2])
}

fn hash_long(bytes: &[u8], seed: u64) -> u64 {
    let mut state = fold(seed ^ K[2], K[1] ^ bytes.len() as u64);
    let (blocks, _) = bytes.as_chunks::<16>();
    for block in blocks {
        state = fold(state ^ word_at(block, 0), K[1] ^ word_at(block, 8));
    }
    // The last 16 bytes, or all of 9 to 15 in two overlapping words; repeats what the blocks had.
    let n = bytes.len();
    let (low, high) = (word_at(bytes, n.saturating_sub(16)), word_at(bytes, n - 8));
    fold(fold(state ^ low, K[0] ^ high), K[2])
}

#[inline]
fn word_at(bytes: &[u8], start: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(word)
}

/// The 128-bit product, its halves xored.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
