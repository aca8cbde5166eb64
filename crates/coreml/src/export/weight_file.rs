//! The file of weights beside an ML Program: a head, then a record and the data of each constant, at multiples of 64 bytes.
//!
//! The head holds the number of records and the version of the form; a record holds a mark, the kind of number, the length
//! and the place of the data. The model states the place of the record.

use crate::half;
use crate::layout::{ALIGNMENT, HALF, MARK, Precision, SINGLE, VERSION};

/// The bytes so far.
pub(super) struct WeightFile {
    bytes: Vec<u8>,
    n_records: u32,
}

impl WeightFile {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; ALIGNMENT], n_records: 0 }
    }

    /// Appends a constant and returns the place of its record.
    pub(super) fn push(&mut self, values: &[f32], precision: Precision) -> u64 {
        let at = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(at, 0);
        let (kind, width) = match precision {
            Precision::Half => (HALF, 2),
            Precision::Single => (SINGLE, 4),
        };
        let n_bytes = (values.len() * width) as u64;
        let data_at = (at + ALIGNMENT) as u64;
        self.bytes.extend_from_slice(&MARK.to_le_bytes());
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&n_bytes.to_le_bytes());
        self.bytes.extend_from_slice(&data_at.to_le_bytes());
        self.bytes.resize(at + ALIGNMENT, 0);
        self.bytes.append(&mut raw(values, precision));
        self.n_records += 1;
        at as u64
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[..4].copy_from_slice(&self.n_records.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        self.bytes
    }
}

/// The numbers as bytes, least first.
pub(super) fn raw(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::Half => values.iter().flat_map(|&x| half::from_f32(x).to_le_bytes()).collect(),
        Precision::Single => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}
