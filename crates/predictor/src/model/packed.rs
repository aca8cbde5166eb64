//! A first layer in 8 bits with one scale a row: what a trained layer is kept, answers and is written as.
//!
//! Takes a quarter of the memory; its error is far below the changes of a retrain. Invariant: a decoded
//! layer holds finite numbers only and as many as its sizes say.

use std::borrow::Cow;

use majordomo_simd::{Kernels, as_signed};

use crate::codec::{DecodeError, Reader, Writer};
use crate::model::first_layer::{Pool, Pooled};
use crate::model::tfidf::TextVector;

/// The packed rows and the shape of the layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PackedLayer {
    pub(crate) n_hidden: usize,
    pub(crate) pools: [Pool; 3],
    /// By row: the value of 1.
    pub(crate) scales: Vec<f32>,
    /// `n_rows × n_hidden`, row-major; those of the shipped prior stay in the program's file.
    pub(crate) rows: Cow<'static, [i8]>,
}

impl PackedLayer {
    /// A layer of `rows`, each of which has a weight for each unit of `pools`.
    pub(crate) fn pack<R: AsRef<[f32]>>(
        pools: [Pool; 3],
        n_rows: usize,
        rows: impl Iterator<Item = R>,
    ) -> Self {
        let n_hidden = pools.iter().map(|p| p.0).sum();
        let mut scales = Vec::with_capacity(n_rows);
        let mut packed = Vec::with_capacity(n_rows * n_hidden);
        for row in rows {
            let row = row.as_ref();
            let largest = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            scales.push(largest / 127.0);
            let scale = 127.0 / largest.max(f32::MIN_POSITIVE);
            packed.extend(row.iter().map(|x| (x * scale).round() as i8));
        }
        Self { n_hidden, pools, scales, rows: packed.into() }
    }

    /// The pooled answers of the units to a text.
    pub(crate) fn forward(&self, kernels: Kernels, text: &TextVector, out: &mut Pooled) {
        let mut scaled = std::mem::take(&mut out.scaled);
        scaled.clear();
        let weights = text.weights.iter().zip(&text.buckets);
        scaled.extend(weights.map(|(weight, bucket)| weight * self.scales[*bucket as usize]));
        out.read(&self.pools, text, |range, sum| {
            let (buckets, weights) = (&text.buckets[range.clone()], &scaled[range]);
            kernels.gather_accumulate_i8(&self.rows, buckets, weights, sum);
        });
        out.scaled = scaled;
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        for (units, width) in self.pools {
            w.u32(units as u32);
            w.u32(width as u32);
        }
        w.f32s(&self.scales);
        self.rows.iter().for_each(|q| w.u8(*q as u8));
    }

    /// Reads a layer; `rows` decides whether its rows are copied.
    pub(crate) fn read<'a>(
        r: &mut Reader<'a>,
        n_rows: usize,
        rows: impl FnOnce(&'a [i8]) -> Cow<'static, [i8]>,
    ) -> Result<Self, DecodeError> {
        let mut pools = [(0, 0); 3];
        for pool in &mut pools {
            *pool = (r.u32()? as usize, r.u32()? as usize);
        }
        let n_hidden = pools.iter().map(|p| p.0).fold(0, usize::saturating_add);
        if n_hidden == 0 || n_hidden > 1024 || pools.iter().any(|p| p.1 > 64) {
            return Err(DecodeError::Damaged {
                what: "the sizes of its first layer are out of range",
            });
        }
        let scales = r.f32s(n_rows)?;
        let rows = rows(as_signed(r.take(n_rows * n_hidden)?));
        Ok(Self { n_hidden, pools, scales, rows })
    }

    /// Heap memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = match &self.rows {
            Cow::Borrowed(_) => 0,
            Cow::Owned(rows) => rows.len(),
        };
        rows + size_of_val(self.scales.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::first_layer::FirstLayer;
    use crate::rng::Rng;

    #[test]
    fn packing_loses_at_most_half_a_step() {
        let mut first = FirstLayer::new(256, [(8, 0), (8, 5), (8, 3)], 0.5, &mut Rng::new(1));
        first.weights[3 * 24..4 * 24].fill(0.0);
        let packed = PackedLayer::pack(first.pools, 256, first.weights.chunks_exact(24));
        let back = packed.rows.chunks_exact(24).zip(&packed.scales);
        for (row, (packed, scale)) in first.weights.chunks_exact(24).zip(back) {
            for (a, b) in row.iter().zip(packed) {
                let b = f32::from(*b) * scale;
                assert!((a - b).abs() <= 0.501 * scale, "{a} {b}");
            }
        }
        let mut w = Writer::new(b"TEST", 1);
        packed.write(&mut w);
        let bytes = w.finish(1);
        let mut r = Reader::new(&bytes, b"TEST", 1, 1).expect("sound");
        let read = PackedLayer::read(&mut r, 256, |rows| rows.to_vec().into());
        assert_eq!(read.expect("sound"), packed);
    }
}
