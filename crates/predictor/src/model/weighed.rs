//! A training set in the form that the learners read: weighed, with the topics of the prior.
//!
//! Owns the strength of the topics. Invariant: the squares of a row's weights sum to at most
//! [`square`](Weighed::square), which bounds the learners' steps.

use crate::features::Topic;
use crate::model::TrainingSet;
use crate::model::tfidf::{TextVector, TfIdf};
use crate::prior::{Prior, TopicScratch};

/// Strength of the topics beside a text's n-grams at a hundred rows; n-grams need many rows, topics few.
const TOPIC_SCALE: f32 = 1.2;
/// The exponent by which the strength falls with the number of rows.
const TOPIC_DECAY: f32 = 0.3;

/// Texts of a set with the weights of a model.
#[derive(Debug)]
pub(crate) struct Weighed<'a> {
    pub(crate) set: &'a TrainingSet,
    pub(crate) tfidf: &'a TfIdf,
    /// Strength of the topics; 0 without a prior.
    pub(crate) topic_scale: f32,
    n_topics: usize,
    /// By row of `set`, computed once and not in every pass.
    topics: Vec<PackedTopic>,
    ends: Vec<u32>,
}

/// A topic in half the memory, since a set has a hundred for each text: its value, which is at most 1, in units of
/// 1 / 65535.
type PackedTopic = (u16, u16);

const UNITS: f32 = 65535.0;

impl<'a> Weighed<'a> {
    /// For training on `n_rows` of the rows.
    pub(crate) fn new(
        set: &'a TrainingSet,
        tfidf: &'a TfIdf,
        prior: Option<&Prior>,
        n_rows: usize,
    ) -> Self {
        let mut out = Self {
            set,
            tfidf,
            topic_scale: 0.0,
            n_topics: 0,
            topics: Vec::new(),
            ends: Vec::new(),
        };
        if let Some(prior) = prior {
            out.topic_scale = topic_scale(n_rows);
            out.n_topics = prior.n_topics();
            let mut scratch = TopicScratch::default();
            let mut topics: Vec<Topic> = Vec::new();
            for row in 0..set.len() {
                topics.clear();
                prior.topics(set.texts.get(row), &mut scratch, &mut topics);
                let packed = topics.iter().map(|(topic, x)| (*topic, (x * UNITS).round() as u16));
                out.topics.extend(packed);
                out.ends.push(out.topics.len() as u32);
            }
        }
        out
    }

    /// Buckets and topics.
    pub(crate) fn n_features(&self) -> usize {
        self.set.n_buckets() + self.n_topics
    }

    pub(crate) fn square(&self) -> f32 {
        1.0 + self.topic_scale * self.topic_scale
    }

    /// Writes the weighed row into `out`.
    pub(crate) fn vector(&self, row: usize, out: &mut TextVector) {
        self.tfidf.vector(self.set.texts.get(row), out);
        if let Some(&end) = self.ends.get(row) {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            let topics = &self.topics[start as usize..end as usize];
            let topics = topics.iter().map(|(topic, x)| (*topic, f32::from(*x) / UNITS));
            out.add_topics(self.set.n_buckets(), topics, self.topic_scale);
        }
    }
}

fn topic_scale(n_rows: usize) -> f32 {
    let scale = TOPIC_SCALE * (100.0 / n_rows.max(1) as f32).powf(TOPIC_DECAY);
    scale.min(1.5)
}
