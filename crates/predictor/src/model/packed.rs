//! A first layer in 8 bits with one scale a row, for states and retired models.
//!
//! Takes a quarter of the memory; its error is far below the changes of a retrain. Invariant: a decoded
//! layer holds finite numbers only and as many as its sizes say.

use crate::codec::{DecodeError, Reader, Writer};
use crate::model::first_layer::{FirstLayer, Pool};

/// The packed rows and the shape of the layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PackedLayer {
    pub(crate) n_hidden: usize,
    pub(crate) pools: [Pool; 3],
    /// By row: the value of 1.
    pub(crate) scales: Vec<f32>,
    /// `n_rows × n_hidden`, row-major.
    pub(crate) rows: Vec<i8>,
}

impl PackedLayer {
    pub(crate) fn pack(first: &FirstLayer) -> Self {
        let n = first.n_hidden;
        let mut scales = Vec::with_capacity(first.weights.len() / n.max(1));
        let mut rows = Vec::with_capacity(first.weights.len());
        for row in first.weights.chunks_exact(n) {
            let largest = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            scales.push(largest / 127.0);
            let scale = 127.0 / largest.max(f32::MIN_POSITIVE);
            rows.extend(row.iter().map(|x| (x * scale).round() as i8));
        }
        Self { n_hidden: n, pools: first.pools, scales, rows }
    }

    pub(crate) fn unpack(&self) -> FirstLayer {
        let rows = self.rows.chunks_exact(self.n_hidden).zip(&self.scales);
        let weights = rows.flat_map(|(row, s)| row.iter().map(move |q| f32::from(*q) * s));
        FirstLayer { n_hidden: self.n_hidden, pools: self.pools, weights: weights.collect() }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        for (units, width) in self.pools {
            w.u32(units as u32);
            w.u32(width as u32);
        }
        w.f32s(&self.scales);
        w.bytes(&self.rows.iter().map(|q| *q as u8).collect::<Vec<u8>>());
    }

    pub(crate) fn read(r: &mut Reader<'_>, n_rows: usize) -> Result<Self, DecodeError> {
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
        let rows = r.take(n_rows * n_hidden)?.iter().map(|q| *q as i8).collect();
        Ok(Self { n_hidden, pools, scales, rows })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.len() + size_of_val(self.scales.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn packing_loses_at_most_half_a_step() {
        let mut first = FirstLayer::new(256, [(8, 0), (8, 5), (8, 3)], 0.5, &mut Rng::new(1));
        first.row_mut(3).fill(0.0);
        let packed = PackedLayer::pack(&first);
        let back = packed.unpack();
        assert_eq!(back.pools, first.pools);
        for (row, (a, b)) in
            first.weights.chunks_exact(24).zip(back.weights.chunks_exact(24)).enumerate()
        {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 0.501 * packed.scales[row], "{a} {b}");
            }
        }
        let mut w = Writer::new(b"TEST", 1);
        packed.write(&mut w);
        let bytes = w.finish(1);
        let mut r = Reader::new(&bytes, b"TEST", 1, 1).expect("sound");
        assert_eq!(PackedLayer::read(&mut r, 256).expect("sound"), packed);
    }
}
