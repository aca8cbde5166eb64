//! Constants: numbers in the model or in the file of weights, checked against the bytes that are there.
//!
//! Invariant: all constants together have at most twice the file's bytes, however often a graph reads one.

use super::error::{ReadError, fault};
use crate::graph::Constant;
use crate::half;
use crate::layout::{ALIGNMENT, HALF, MARK, SINGLE, VERSION};

/// How many bytes constants may still have.
pub(super) struct Constants {
    left: usize,
}

impl Constants {
    /// For files of `n_bytes` bytes together.
    pub(super) fn new(n_bytes: usize) -> Self {
        Self { left: n_bytes.saturating_mul(2) }
    }

    /// A constant of `count` numbers with this shape, of 32 bits unless the caller says otherwise.
    pub(super) fn take(
        &mut self,
        at: &str,
        shape: &[u64],
        count: usize,
        values: impl Iterator<Item = f32>,
    ) -> Result<Constant, ReadError> {
        let (rows, columns) = match *shape {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => return fault(at, "a constant has one or two dimensions here"),
        };
        let size = rows.checked_mul(columns).filter(|n| *n > 0);
        if size != Some(count as u64) {
            return fault(at, format_args!("{count} numbers are not {rows} x {columns}"));
        }
        let n_bytes = count.saturating_mul(4);
        let Some(left) = self.left.checked_sub(n_bytes) else {
            return fault(
                at,
                "the constants that are read are larger than the file: one is read again and again",
            );
        };
        self.left = left;
        let mut out = Vec::with_capacity(count);
        out.extend(values.take(count));
        if out.iter().any(|x| !x.is_finite()) {
            return fault(at, "a number in it is not finite");
        }
        let (rows, columns) = (rows as usize, columns as usize);
        Ok(Constant { is_half: false, rows, columns, values: out })
    }
}

/// The head of a file of weights.
pub(super) fn check_head(file: &[u8]) -> Result<(), ReadError> {
    let words = file.first_chunk::<ALIGNMENT>().map(|head| head.as_chunks::<4>().0);
    match words {
        Some([_, version, ..]) if u32::from_le_bytes(*version) == VERSION => Ok(()),
        Some([_, version, ..]) => {
            let version = u32::from_le_bytes(*version);
            fault("the file of weights", format_args!("its version is {version}, not {VERSION}"))
        }
        _ => fault("the file of weights", "it ends before its head does"),
    }
}

/// The data of a record: whether it is half, and its bytes.
pub(super) fn record(file: &[u8], offset: u64) -> Result<(bool, &[u8]), ReadError> {
    let at = format_args!("the file of weights, record at {offset}").to_string();
    let start = usize::try_from(offset).ok().filter(|start| start % ALIGNMENT == 0);
    let head = start.and_then(|start| file.get(start..)?.first_chunk::<ALIGNMENT>());
    let Some(head) = head else {
        return fault(at, format_args!("there is no record in {} bytes", file.len()));
    };
    let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    let long = |i: usize| u64::from(word(i)) | u64::from(word(i + 4)) << 32;
    if word(0) != MARK {
        return fault(at, "it has no mark of a record");
    }
    let (is_half, width) = match word(4) {
        HALF => (true, 2),
        SINGLE => (false, 4),
        other => return fault(at, format_args!("its numbers are of the unknown kind {other}")),
    };
    let (n_bytes, data_at) = (long(8), long(16));
    let end = data_at.checked_add(n_bytes).and_then(|end| usize::try_from(end).ok());
    let data = end.and_then(|end| file.get(usize::try_from(data_at).ok()?..end));
    match data {
        Some(data) if data.len() % width == 0 && data_at % ALIGNMENT as u64 == 0 => {
            Ok((is_half, data))
        }
        _ => fault(
            at,
            format_args!("{n_bytes} bytes at {data_at} are not in its {} bytes", file.len()),
        ),
    }
}

/// Numbers from bytes.
pub(super) fn numbers(data: &[u8], is_half: bool) -> (usize, impl Iterator<Item = f32> + '_) {
    let width = if is_half { 2 } else { 4 };
    let number = move |bytes: &[u8]| match *bytes {
        [a, b] => half::to_f32(u16::from_le_bytes([a, b])),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        _ => f32::NAN,
    };
    (data.len() / width, data.chunks_exact(width).map(number))
}
