//! The 64-bit hash of short byte strings that words and features are looked up by.
//!
//! The same bytes and seed give the same number on every platform (little-endian reads, no pointer
//! width). Not for untrusted tables in general: every use here verifies the bytes or tolerates a clash.

const P0: u64 = 0x9e37_79b9_7f4a_7c15;
const P1: u64 = 0xe703_7ed1_a0b4_28db;
const P2: u64 = 0x8ebc_6af0_9c88_c6e3;

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let m = u128::from(a) * u128::from(b);
    (m as u64) ^ ((m >> 64) as u64)
}

#[inline]
fn read_u64(b: &[u8]) -> u64 {
    u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

#[inline]
fn read_u32(b: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Hashes `bytes` (wyhash's construction: 64 × 64 → 128-bit multiply and fold).
#[inline]
pub(crate) fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    let n = bytes.len();
    let mut state = mix(seed ^ P0, P1 ^ n as u64);
    let (a, b) = if n <= 3 {
        let a = match n {
            0 => 0,
            _ => u64::from(bytes[0]) << 16 | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]),
        };
        (a, 0)
    } else if n < 8 {
        (read_u32(bytes), read_u32(&bytes[n - 4..]))
    } else {
        let mut at = 0;
        while n - at > 16 {
            state = mix(read_u64(&bytes[at..]) ^ P1, read_u64(&bytes[at + 8..]) ^ state);
            at += 16;
        }
        (read_u64(&bytes[at.min(n - 8)..]), read_u64(&bytes[n - 8..]))
    };
    mix(mix(a ^ P1, b ^ state), P2 ^ n as u64)
}
