//! TF-IDF with document frequencies that are learned online.
//!
//! Owns the number of texts with each bucket. Weight = (1 + ln count) · (ln((1 + n) / (1 + df)) + 1), the
//! smooth form that scikit-learn uses. Word and character n-grams are normalised separately and weigh the same:
//! otherwise the five times more numerous character n-grams would outweigh the words. A bucket that no learned text
//! had weighs nothing, since nothing was learned about it.

use crate::features::{HashedText, Topic};

/// Document frequencies by bucket and the weights that follow from them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TfIdf {
    n_texts: u32,
    /// Includes the background.
    df: Vec<u32>,
    /// 0 for a bucket that no learned text had.
    idf: Vec<f32>,
}

/// A text in the form that the models read; kept between texts so that weighing does not allocate.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextVector {
    /// Every n-gram, word by word: bucket, weight.
    pub(crate) buckets: Vec<u32>,
    pub(crate) weights: Vec<f32>,
    /// End in `buckets` by word.
    pub(crate) word_ends: Vec<u32>,
    /// Every different n-gram with the logarithm of its count; the squares of the weights sum to 1. After
    /// them the topics, if the model has a prior.
    pub(crate) row_buckets: Vec<u32>,
    pub(crate) row_weights: Vec<f32>,
    counts: Vec<u16>,
}

impl TfIdf {
    pub(crate) fn new(n_buckets: usize) -> Self {
        Self { n_texts: 0, df: vec![0; n_buckets], idf: vec![0.0; n_buckets] }
    }

    /// Starts from the counts of other texts, which make a bucket common, but not known.
    pub(crate) fn with_background(n_texts: u32, df: Vec<u32>) -> Self {
        Self { n_texts, idf: vec![0.0; df.len()], df }
    }

    /// From counts and which of the buckets are known.
    pub(crate) fn from_counts(
        n_texts: u32,
        df: Vec<u32>,
        is_known: impl Fn(usize) -> bool,
    ) -> Self {
        let known = |(b, &df): (usize, &u32)| if is_known(b) { weight(n_texts, df) } else { 0.0 };
        Self { n_texts, idf: df.iter().enumerate().map(known).collect(), df }
    }

    pub(crate) fn counts(&self) -> (u32, &[u32]) {
        (self.n_texts, &self.df)
    }

    pub(crate) fn knows(&self, bucket: usize) -> bool {
        self.idf[bucket] > 0.0
    }

    /// Counts one more text. The weights of its own buckets are updated at once, the others, which change by 1/n, at the
    /// next [`refresh`](Self::refresh).
    pub(crate) fn observe(&mut self, text: HashedText<'_>) {
        self.n_texts = self.n_texts.saturating_add(1);
        let mut buckets = text.buckets.to_vec();
        buckets.sort_unstable();
        buckets.dedup();
        for bucket in buckets {
            let df = &mut self.df[bucket as usize];
            *df = df.saturating_add(1);
            self.idf[bucket as usize] = weight(self.n_texts, *df);
        }
    }

    pub(crate) fn refresh(&mut self) {
        for (idf, &df) in self.idf.iter_mut().zip(&self.df).filter(|(idf, _)| **idf > 0.0) {
            *idf = weight(self.n_texts, df);
        }
    }

    /// Writes the weighed text into `out`.
    pub(crate) fn vector(&self, text: HashedText<'_>, out: &mut TextVector) {
        let TextVector { buckets, weights, word_ends, row_buckets, row_weights, counts } = out;
        counts.resize(self.df.len(), 0);
        for list in [&mut *buckets, &mut *word_ends, &mut *row_buckets] {
            list.clear();
        }
        weights.clear();
        row_weights.clear();
        buckets.extend(text.buckets.iter().map(|&b| u32::from(b)));
        weights.extend(text.buckets.iter().map(|&b| self.idf[b as usize]));
        let mut squares = [0.0f32; 2];
        let mut row_squares = [0.0f32; 2];
        let mut row_starts = [0; 2];
        for kind in 0..2 {
            row_starts[kind] = row_buckets.len();
            let mut at = 0;
            for word in text.words {
                let range = word.range(at, kind);
                at += word.len();
                for (&bucket, &idf) in buckets[range.clone()].iter().zip(&weights[range]) {
                    if idf > 0.0 {
                        let count = &mut counts[bucket as usize];
                        if *count == 0 {
                            row_buckets.push(bucket);
                        }
                        *count = count.saturating_add(1);
                        squares[kind] += idf * idf;
                    }
                }
            }
            for &bucket in &row_buckets[row_starts[kind]..] {
                let count = std::mem::take(&mut counts[bucket as usize]);
                let tf = if count == 1 { 1.0 } else { 1.0 + f32::from(count).ln() };
                let weight = tf * self.idf[bucket as usize];
                row_squares[kind] += weight * weight;
                row_weights.push(weight);
            }
        }
        let (scale, row_scale) = (scales(squares), scales(row_squares));
        let mut at = 0;
        for word in text.words {
            for kind in 0..2 {
                weights[word.range(at, kind)].iter_mut().for_each(|w| *w *= scale[kind]);
            }
            at += word.len();
            word_ends.push(at as u32);
        }
        let (words, chars) = row_weights.split_at_mut(row_starts[1]);
        words.iter_mut().for_each(|w| *w *= row_scale[0]);
        chars.iter_mut().for_each(|w| *w *= row_scale[1]);
    }
}

impl TextVector {
    /// Adds the topics of the text, times `scale`, as rows after those of the buckets.
    pub(crate) fn add_topics(
        &mut self,
        n_buckets: usize,
        topics: impl IntoIterator<Item = Topic>,
        scale: f32,
    ) {
        for (topic, value) in topics {
            self.row_buckets.push(n_buckets as u32 + u32::from(topic));
            self.row_weights.push(scale * value);
        }
    }
}

/// The factors that make the squares of two groups sum to one half each, or to 1 where one is empty.
fn scales(squares: [f32; 2]) -> [f32; 2] {
    let share = if squares[0] > 0.0 && squares[1] > 0.0 { 0.5 } else { 1.0 };
    squares.map(|s| if s > 0.0 { (share / s).sqrt() } else { 0.0 })
}

/// The weight of a bucket that `df` of `n_texts` texts have; 0 where none has.
pub(crate) fn weight(n_texts: u32, df: u32) -> f32 {
    if df == 0 {
        return 0.0;
    }
    // Contradictory counts, as in a damaged state, must not give a negative weight.
    ((1.0 + n_texts as f32) / (1.0 + df as f32)).ln().max(0.0) + 1.0
}

#[cfg(test)]
mod tests {
    use majordomo_text::Words;

    use super::*;
    use crate::features::HashedTexts;

    fn hashed(texts: &[&str]) -> HashedTexts {
        let mut words = Words::default();
        let mut out = HashedTexts::new(14);
        for text in texts {
            words.split(text);
            out.push(&words);
        }
        out
    }

    #[test]
    fn rows_are_normalised_and_unseen_buckets_weigh_nothing() {
        let texts = hashed(&["play some music", "play music music music", "zzz qqq", ""]);
        let mut tfidf = TfIdf::new(1 << 14);
        tfidf.observe(texts.get(0));
        tfidf.observe(texts.get(1));
        let mut vector = TextVector::default();
        for text_idx in 0..2 {
            tfidf.vector(texts.get(text_idx), &mut vector);
            let square: f32 = vector.row_weights.iter().map(|w| w * w).sum();
            assert!((square - 1.0).abs() < 1e-5, "{square}");
            assert_eq!(vector.row_buckets.len(), vector.row_weights.len());
            assert_eq!(vector.buckets.len(), vector.weights.len());
        }
        let n_words = vector.word_ends.len();
        assert_eq!(n_words, 4);
        for text_idx in 2..4 {
            tfidf.vector(texts.get(text_idx), &mut vector);
            assert!(vector.weights.iter().all(|w| *w == 0.0));
            assert!(vector.row_buckets.is_empty());
        }
    }
}
