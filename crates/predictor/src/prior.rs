//! The prior: the start of a new user's model, learned from public command text.
//!
//! A frozen perceptron that compares a text with public intents (*topics*). Its answers are
//! features beside the text's own n-grams: the square roots of the topics' probabilities, whose inner
//! product is the Bhattacharyya coefficient of two texts' topics (as in probability product kernels, Jebara
//! et al., 2004). Made by `majordomo-lab pretrain`, shipped in the crate; used only with features of the
//! same version and number of buckets. Invariant: a decoded prior holds finite numbers only.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use majordomo_simd::Kernels;

use crate::codec::{DecodeError, Reader, Writer};
use crate::features::{FEATURE_VERSION, HashedText, Topic};
use crate::model::dense::{Dense, DenseForward};
use crate::model::packed::PackedLayer;
use crate::model::tfidf::{self, TfIdf};

const MAGIC: &[u8; 4] = b"MJDP";
const FORMAT: u32 = 2;
const CHECKSUM_SEED: u64 = 0x7072_696f_7200_0001;
/// One text of the prior counts as this share of one of the user's, in document frequencies.
const TEXT_SHARE: f32 = 0.1;
/// Factor on the scores of topics, below 1 so that a text has more than one topic.
const SHARPNESS: f32 = 0.7;
/// Topics less likely than this are left out.
const MIN_TOPIC: f32 = 1e-3;

static SHIPPED: &[u8] = include_bytes!("../data/prior.bin");

/// A pre-trained model of public intents; cheap to clone.
#[derive(Clone, Debug)]
pub struct Prior(Arc<Tables>);

#[derive(Debug)]
struct Tables {
    id: u64,
    n_texts: u32,
    df: Vec<u16>,
    idf: Vec<f32>,
    first: PackedLayer,
    dense: Dense,
}

/// Buffers, kept between texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicScratch {
    buckets: Vec<u32>,
    weights: Vec<f32>,
    units: Vec<f32>,
    scores: Vec<f32>,
}

impl Prior {
    /// The model that comes with the crate; see `data/ATTRIBUTION.md` for what it was trained on.
    ///
    /// # Panics
    /// Never: a test decodes it.
    #[must_use]
    pub fn shipped() -> Self {
        static DECODED: OnceLock<Prior> = OnceLock::new();
        // Its rows are read where they are: in the program's file, which the system maps and can drop.
        DECODED.get_or_init(|| Self::read(SHIPPED, Cow::Borrowed).expect("a sound prior")).clone()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes are of another kind, are damaged, or belong to another version of the features.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(bytes, |rows| rows.to_vec().into())
    }

    fn read<'a>(
        bytes: &'a [u8],
        rows: impl FnOnce(&'a [i8]) -> Cow<'static, [i8]>,
    ) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes, MAGIC, FORMAT, CHECKSUM_SEED)?;
        let id = majordomo_simd::hash_bytes(bytes, CHECKSUM_SEED);
        let features = r.u32()?;
        if features != FEATURE_VERSION {
            return Err(DecodeError::FeatureVersion { found: features, want: FEATURE_VERSION });
        }
        let n_buckets = r.u32()? as usize;
        let n_topics = r.u32()? as usize;
        if !n_buckets.is_power_of_two() || !(256..=1 << 16).contains(&n_buckets) || n_topics > 4096
        {
            return Err(DecodeError::Damaged { what: "the sizes of the prior are out of range" });
        }
        let n_texts = r.u32()?;
        let df: Vec<u16> = r
            .take(2 * n_buckets)?
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        let first = PackedLayer::read(&mut r, n_buckets, rows)?;
        let n = first.n_hidden;
        let dense = Dense {
            hidden_bias: r.f32s(n)?,
            weights: r.f32s(n * n_topics)?,
            bias: r.f32s(n_topics)?,
        };
        r.end()?;
        let idf = df.iter().map(|&df| tfidf::weight(n_texts, df.into())).collect();
        Ok(Self(Arc::new(Tables { id, n_texts, df, idf, first, dense })))
    }

    /// The model as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Tables { n_texts, df, first, dense, .. } = &*self.0;
        let mut w = Writer::new(MAGIC, FORMAT);
        w.u32(FEATURE_VERSION);
        w.u32(df.len() as u32);
        w.u32(dense.n_outputs() as u32);
        w.u32(*n_texts);
        for &count in df {
            w.bytes(&count.to_le_bytes());
        }
        first.write(&mut w);
        for xs in [&dense.hidden_bias, &dense.weights, &dense.bias] {
            w.f32s(xs);
        }
        w.finish(CHECKSUM_SEED)
    }

    /// From a trained perceptron whose units all read the whole text.
    pub(crate) fn new(first: PackedLayer, dense: Dense, tfidf: &TfIdf) -> Self {
        let (n_texts, df) = tfidf.counts();
        let df: Vec<u16> = df.iter().map(|&n| n.min(u16::MAX.into()) as u16).collect();
        let idf = df.iter().map(|&df| tfidf::weight(n_texts, df.into())).collect();
        let tables = Tables { id: 0, n_texts, df, idf, first, dense };
        let bytes = Self(Arc::new(tables)).encode();
        Self::decode(&bytes).expect("an encoded prior can be decoded")
    }

    /// Different for different priors.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn n_buckets(&self) -> usize {
        self.0.df.len()
    }

    pub(crate) fn n_topics(&self) -> usize {
        self.0.dense.n_outputs()
    }

    pub(crate) fn dense(&self) -> &Dense {
        &self.0.dense
    }

    /// Appends the topics of a text to `out`; the squares of their values sum to 1 at most. A text without a
    /// known n-gram has no topic.
    pub(crate) fn topics(
        &self,
        text: HashedText<'_>,
        scratch: &mut TopicScratch,
        out: &mut Vec<Topic>,
    ) {
        let mut units = std::mem::take(&mut scratch.units);
        if self.units(text, scratch, &mut units) {
            let mut scores = std::mem::take(&mut scratch.scores);
            scores.clear();
            scores.resize(self.n_topics(), 0.0);
            self.0.dense.forward(&mut units, &mut scores);
            topics_of(&mut scores, out);
            scratch.scores = scores;
        }
        scratch.units = units;
    }

    /// Writes the hidden units of a text, before bias and clipping, into `units`. False for a text without a known
    /// n-gram, which has no topic.
    pub(crate) fn units(
        &self,
        text: HashedText<'_>,
        scratch: &mut TopicScratch,
        units: &mut Vec<f32>,
    ) -> bool {
        let Tables { idf, first, .. } = &*self.0;
        let TopicScratch { buckets, weights, .. } = scratch;
        buckets.clear();
        weights.clear();
        for kind in 0..2 {
            let start = weights.len();
            let mut at = 0;
            let mut square = 0.0;
            for word in text.words {
                for &bucket in &text.buckets[word.range(at, kind)] {
                    let idf = idf[bucket as usize];
                    if idf > 0.0 {
                        buckets.push(bucket.into());
                        weights.push(idf);
                        square += idf * idf;
                    }
                }
                at += word.len();
            }
            if square > 0.0 {
                let scale = (0.5 / square).sqrt();
                for (w, &b) in weights[start..].iter_mut().zip(&buckets[start..]) {
                    *w *= scale * first.scales[b as usize];
                }
            }
        }
        units.clear();
        units.resize(first.n_hidden, 0.0);
        if buckets.is_empty() {
            return false;
        }
        Kernels::active().gather_accumulate_i8(&first.rows, buckets, weights, units);
        true
    }

    /// The document frequencies that a model starts from.
    pub(crate) fn tfidf(&self) -> TfIdf {
        let share = |n: f32| (n * TEXT_SHARE).ceil() as u32;
        let df = self.0.df.iter().map(|&n| share(n.into())).collect();
        TfIdf::with_background(share(self.0.n_texts as f32), df)
    }
}

/// Turns the scores of the dense layers into the probabilities of topics, in place.
pub(crate) fn topic_probabilities(scores: &mut [f32]) {
    scores.iter_mut().for_each(|s| *s *= SHARPNESS);
    Kernels::active().softmax(scores);
}

/// Appends the topics that are likely enough by the scores of the dense layers.
pub(crate) fn topics_of(scores: &mut [f32], out: &mut Vec<Topic>) {
    topic_probabilities(scores);
    let likely = scores.iter().enumerate().filter(|(_, p)| **p >= MIN_TOPIC);
    out.extend(likely.map(|(topic, p)| (topic as u16, p.sqrt())));
}

#[cfg(test)]
mod tests {
    use majordomo_text::Words;

    use super::*;
    use crate::features::HashedTexts;

    #[test]
    fn shipped_prior_is_sound_and_small() {
        let prior = Prior::shipped();
        assert!(SHIPPED.len() <= 2 << 20);
        assert_eq!(prior.n_buckets(), 1 << 14);
        assert!(prior.0.n_texts > 10_000 && prior.n_topics() > 100);
        assert_eq!(prior.encode(), SHIPPED);
    }

    #[test]
    fn texts_of_one_topic_are_alike() {
        let prior = Prior::shipped();
        let topics = |text: &str| {
            let mut words = Words::default();
            words.split(text);
            let mut texts = HashedTexts::new(14);
            texts.push(&words);
            let mut out = Vec::new();
            prior.topics(texts.get(0), &mut TopicScratch::default(), &mut out);
            out
        };
        let alike = |a: &[Topic], b: &[Topic]| -> f32 {
            a.iter().flat_map(|x| b.iter().filter(|y| y.0 == x.0).map(|y| x.1 * y.1)).sum()
        };
        let (rain, umbrella, alarm) = (
            topics("is it going to rain"),
            topics("weather forecast"),
            topics("wake me up at six"),
        );
        assert!(alike(&rain, &umbrella) > 5.0 * alike(&rain, &alarm));
        assert!(topics("").is_empty());
    }
}
