//! From a word's bytes to its number: open addressing behind a one-hash bit filter.
//!
//! Most words of a text are not keywords. The filter (8 bits a word: 10 KiB for 10 000 words) rejects
//! them from the first-level cache, so that the number of keywords hardly affects the cost of a
//! search. A hit is verified byte by byte, so a hash collision costs time, never a wrong answer.

use majordomo_simd::hash_bytes;

const EMPTY: u32 = u32::MAX;
/// May change at any time: tables are never stored.
const SEED: u64 = 0x6b65_7977_6f72_6473;

/// Words numbered from 0 in order of first insertion.
#[derive(Clone, Debug, Default)]
pub(super) struct WordTable {
    /// Bit `hash % n_bits`; the count is a power of two.
    filter: Vec<u64>,
    /// (upper half of the hash, word); at most half full; the count is a power of two.
    slots: Vec<(u32, u32)>,
    /// End of each word in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl WordTable {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.filter.as_slice())
            + size_of_val(self.slots.as_slice())
            + size_of_val(self.ends.as_slice())
            + self.bytes.len()
    }

    pub(super) fn word(&self, word: u32) -> &[u8] {
        let start = if word == 0 { 0 } else { self.ends[word as usize - 1] as usize };
        &self.bytes[start..self.ends[word as usize] as usize]
    }

    /// The number of a word; a new word is added.
    pub(super) fn insert(&mut self, bytes: &[u8]) -> u32 {
        if self.slots.len() < 2 * (self.len() + 1) {
            self.resize();
        }
        let hash = hash_bytes(bytes, SEED);
        match self.probe(bytes, hash) {
            Ok(word) => word,
            Err(at) => {
                let word = self.len() as u32;
                self.bytes.extend_from_slice(bytes);
                self.ends.push(self.bytes.len() as u32);
                self.slots[at] = ((hash >> 32) as u32, word);
                word
            }
        }
    }

    fn resize(&mut self) {
        let n_slots = (4 * (self.len() + 1)).next_power_of_two().max(16);
        self.slots = vec![(0, EMPTY); n_slots];
        for word in 0..self.len() as u32 {
            let hash = hash_bytes(self.word(word), SEED);
            let mut at = hash as usize & (n_slots - 1);
            while self.slots[at].1 != EMPTY {
                at = (at + 1) & (n_slots - 1);
            }
            self.slots[at] = ((hash >> 32) as u32, word);
        }
    }

    /// Builds the filter and frees spare memory; no word may be added after that.
    pub(super) fn finish(&mut self) {
        let n_bits = (8 * self.len()).next_power_of_two().max(64);
        self.filter = vec![0; n_bits / 64];
        for word in 0..self.len() as u32 {
            let bit = filter_bit(hash_bytes(self.word(word), SEED), n_bits);
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    /// The number of a word, if the table has it.
    #[inline]
    pub(super) fn get(&self, bytes: &[u8]) -> Option<u32> {
        if self.filter.is_empty() {
            return None;
        }
        let hash = hash_bytes(bytes, SEED);
        let bit = filter_bit(hash, self.filter.len() * 64);
        if self.filter[bit / 64] >> (bit % 64) & 1 == 0 || self.slots.is_empty() {
            return None;
        }
        self.probe(bytes, hash).ok()
    }

    /// The number of the word, or the slot where it belongs.
    fn probe(&self, bytes: &[u8], hash: u64) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (tag, word) = self.slots[at];
            if word == EMPTY {
                return Err(at);
            }
            if tag == (hash >> 32) as u32 && self.word(word) == bytes {
                return Ok(word);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Uses other bits of the hash than the slot does.
#[inline]
fn filter_bit(hash: u64, n_bits: usize) -> usize {
    (hash >> 20) as usize & (n_bits - 1)
}
