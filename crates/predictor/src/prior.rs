//! The prior: a first layer trained on public command text, which new users start from.
//!
//! A compact table (8-bit rows with a scale each, document frequencies, hidden biases) that is made by
//! `majordomo-lab pretrain` and shipped in the crate. Used only by a model of the same features, buckets
//! and hidden units. Invariant: a decoded prior holds finite numbers only.

use std::borrow::Cow;

use crate::codec::{DecodeError, Reader, Writer};
use crate::features::FEATURE_VERSION;
use crate::model::first_layer::{FirstLayer, Pool};
use crate::model::tfidf::TfIdf;

const MAGIC: &[u8; 4] = b"MJDP";
const FORMAT: u32 = 1;
const CHECKSUM_SEED: u64 = 0x7072_696f_7200_0001;
/// One text of the prior counts as this share of one of the user's, in document frequencies.
const TEXT_SHARE: f32 = 0.1;

static SHIPPED: &[u8] = include_bytes!("../data/prior.bin");

/// A pre-trained first layer.
#[derive(Clone, Debug)]
pub struct Prior {
    bytes: Cow<'static, [u8]>,
    n_buckets: usize,
    n_hidden: usize,
    pools: [Pool; 3],
    n_texts: u32,
    df_at: usize,
    scales_at: usize,
    bias_at: usize,
    rows_at: usize,
}

impl Prior {
    /// The table that comes with the crate; see `data/ATTRIBUTION.md` for what it was trained on.
    ///
    /// # Panics
    /// Never: a test decodes it.
    #[must_use]
    pub fn shipped() -> Self {
        Self::read(Cow::Borrowed(SHIPPED)).expect("the shipped prior is sound")
    }

    /// Reads a table that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes are no prior, are damaged, or belong to another version of the features.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(Cow::Owned(bytes.to_vec()))
    }

    /// The bytes of the table.
    #[must_use]
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// Quantises a trained first layer.
    pub(crate) fn quantise(first: &FirstLayer, hidden_bias: &[f32], tfidf: &TfIdf) -> Self {
        let (n_texts, df) = tfidf.counts();
        let n = first.n_hidden;
        let mut w = Writer::new(MAGIC, FORMAT);
        w.u32(FEATURE_VERSION);
        w.u32(df.len() as u32);
        for (units, width) in first.pools {
            w.u32(units as u32);
            w.u32(width as u32);
        }
        w.u32(n_texts);
        for &count in df {
            w.bytes(&(count.min(u32::from(u16::MAX)) as u16).to_le_bytes());
        }
        let largest = |row: &[f32]| row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for row in first.weights.chunks_exact(n) {
            w.f32(largest(row) / 127.0);
        }
        for &bias in hidden_bias {
            w.f32(bias);
        }
        for row in first.weights.chunks_exact(n) {
            let scale = 127.0 / largest(row).max(f32::MIN_POSITIVE);
            let quantised: Vec<u8> = row.iter().map(|x| (x * scale).round() as i8 as u8).collect();
            w.bytes(&quantised);
        }
        Self::read(Cow::Owned(w.finish(CHECKSUM_SEED))).expect("what was written can be read")
    }

    fn read(bytes: Cow<'static, [u8]>) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&bytes, MAGIC, FORMAT, CHECKSUM_SEED)?;
        let features = r.u32()?;
        if features != FEATURE_VERSION {
            return Err(DecodeError::FeatureVersion { found: features, want: FEATURE_VERSION });
        }
        let n_buckets = r.u32()? as usize;
        let mut pools = [(0, 0); 3];
        for pool in &mut pools {
            *pool = (r.u32()? as usize, r.u32()? as usize);
        }
        let n_hidden = pools.iter().map(|p| p.0).fold(0, usize::saturating_add);
        if n_buckets > 1 << 16 || n_hidden > 1024 {
            return Err(DecodeError::Damaged { what: "the sizes of the prior are absurd" });
        }
        let n_texts = r.u32()?;
        let df_at = r.skip(2 * n_buckets)?;
        let scales_at = r.position();
        for _ in 0..n_buckets {
            r.f32()?;
        }
        let bias_at = r.position();
        for _ in 0..n_hidden {
            r.f32()?;
        }
        let rows_at = r.skip(n_buckets * n_hidden)?;
        r.end()?;
        Ok(Self { n_buckets, n_hidden, pools, n_texts, df_at, scales_at, bias_at, rows_at, bytes })
    }

    pub(crate) fn fits(&self, n_buckets: usize, pools: [Pool; 3]) -> bool {
        self.n_buckets == n_buckets && self.pools == pools
    }

    pub(crate) fn pools(&self) -> [Pool; 3] {
        self.pools
    }

    fn df(&self, bucket: usize) -> u16 {
        let at = self.df_at + 2 * bucket;
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn f32_at(&self, at: usize) -> f32 {
        f32::from_le_bytes([
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ])
    }

    /// Overwrites the start of a first layer where the prior knows the bucket, and the hidden biases.
    pub(crate) fn start(&self, first: &mut FirstLayer, hidden_bias: &mut [f32]) {
        for bucket in 0..self.n_buckets {
            if self.df(bucket) == 0 {
                continue;
            }
            let scale = self.f32_at(self.scales_at + 4 * bucket);
            let row = &self.bytes[self.rows_at + bucket * self.n_hidden..][..self.n_hidden];
            for (w, &q) in first.row_mut(bucket).iter_mut().zip(row) {
                *w = f32::from(q as i8) * scale;
            }
        }
        for (i, bias) in hidden_bias.iter_mut().enumerate() {
            *bias = self.f32_at(self.bias_at + 4 * i);
        }
    }

    /// Document frequencies to start from.
    pub(crate) fn tfidf(&self) -> TfIdf {
        let share = |n: f32| (n * TEXT_SHARE).ceil() as u32;
        let df = (0..self.n_buckets).map(|b| share(f32::from(self.df(b)))).collect();
        TfIdf::from_counts(share(self.n_texts as f32), df)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_prior_is_sound_and_small() {
        let prior = Prior::shipped();
        assert!(prior.bytes.len() <= 2 << 20);
        assert!(prior.fits(1 << 14, [(32, 0), (32, 5), (32, 3)]));
        assert!(prior.n_texts > 10_000);
        let decoded = Prior::decode(prior.encode()).expect("round trip");
        assert_eq!(decoded.encode(), prior.encode());
    }
}
