//! The predictor's state as bytes: labels, outcomes and the current model.
//!
//! The model is written unchanged, and components by name. A damaged state, or one of
//! another format or a later feature version, is refused as a whole: nothing half-read remains. A state that was learned
//! with earlier features or another prior keeps its outcomes, and the next retrain builds the model again.

use std::sync::Arc;

use majordomo_core::ComponentId;
use majordomo_text::Words;

use super::{PredictorConfig, TextPredictor};
use crate::buffer::{Judgement, Outcome, ReplayBuffer, has_negation, signature, text_hash};
use crate::codec::{DecodeError, Reader, Writer};
use crate::features::FEATURE_VERSION;
use crate::model::Mode;
use crate::model::calibration::Calibration;
use crate::model::dense::Dense;
use crate::model::linear::Linear;
use crate::model::mlp::Mlp;
use crate::model::packed::PackedLayer;
use crate::model::text_model::TextModel;
use crate::model::tfidf::TfIdf;
use crate::prior::Prior;
use crate::standing::{Challenger, Origin, Standing};

const MAGIC: &[u8; 4] = b"MJDT";
const FORMAT: u32 = 4;
/// The first format with the weight of each text's outcomes; earlier formats have its latest outcome only.
const FORMAT_WITH_WEIGHTS: u32 = 3;
/// The first format with the components of a text's contrary outcomes.
const FORMAT_WITH_CHALLENGERS: u32 = 4;
const OLDEST_FORMAT: u32 = 2;
const SEED: u64 = 0x7374_6174_6500_0001;
/// A state with more labels or outcomes is refused.
const MAX_ITEMS: u32 = 1 << 24;

const BAD_SIZE: DecodeError = DecodeError::Damaged { what: "it holds a size out of range" };

impl TextPredictor {
    /// The state as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(MAGIC, FORMAT, self.memory_bytes());
        w.u32(FEATURE_VERSION);
        w.u32(self.current.bits);
        w.u64(self.current.version);
        w.u32(self.names.len() as u32);
        for name in &self.names {
            w.str(name.as_str());
        }
        w.u64(self.buffer.next_order());
        w.u32(self.n_new as u32);
        w.u8(u8::from(self.must_retrain));
        let p = self.prequential;
        for x in [p.n, p.n_right, p.n_retrains, p.n_rejected] {
            w.u64(x);
        }
        w.u32(self.buffer.outcomes().len() as u32);
        for outcome in self.buffer.outcomes() {
            write_outcome(&mut w, outcome);
        }
        match &self.current.model {
            None => w.u8(0),
            Some(model) => {
                w.u8(1);
                write_model(&mut w, model);
            }
        }
        w.finish(SEED)
    }

    /// A predictor from bytes that [`encode`](Self::encode) wrote. It has no catalog yet.
    ///
    /// # Errors
    /// When the bytes are of another kind or version, are damaged, or hold a number out of range.
    pub fn decode(config: PredictorConfig, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut r, format) = Reader::of_formats(bytes, MAGIC, OLDEST_FORMAT..=FORMAT, SEED)?;
        let features = r.u32()?;
        if features == 0 || features > FEATURE_VERSION {
            return Err(DecodeError::FeatureVersion { found: features, want: FEATURE_VERSION });
        }
        let mut out = Self::new(config);
        let bits = r.u32()?;
        if bits != out.current.bits {
            return Err(DecodeError::Damaged {
                what: "it was learned with another number of buckets",
            });
        }
        out.current.version = r.u64()?;
        for _ in 0..items(&mut r)? {
            let name = ComponentId::new(r.str()?).map_err(|_| DecodeError::Damaged {
                what: "it holds a component name that is not valid",
            })?;
            if out.names.contains(&name) {
                return Err(DecodeError::Damaged { what: "it holds a component twice" });
            }
            out.names.push(name);
        }
        let next_order = r.u64()?;
        out.n_new = r.u32()? as usize;
        out.must_retrain = r.u8()? != 0;
        let p = &mut out.prequential;
        (p.n, p.n_right, p.n_retrains, p.n_rejected) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let n_outcomes = items(&mut r)?;
        let mut outcomes = Vec::new();
        for _ in 0..n_outcomes {
            outcomes.push(read_outcome(&mut r, format, out.names.len())?);
        }
        if features != FEATURE_VERSION {
            rehash(&mut outcomes);
        }
        out.buffer = ReplayBuffer::restore(out.config.buffer_capacity, outcomes, next_order)
            .ok_or(DecodeError::Damaged { what: "it holds a text twice" })?;
        if r.u8()? != 0 {
            let prior = out.config.prior.as_ref();
            let model = read_model(&mut r, bits, out.names.len(), prior)?;
            let model = model.filter(|_| features == FEATURE_VERSION);
            out.current.model = model.map(Arc::new);
            if out.current.model.is_none() {
                out.n_new = out.buffer.outcomes().len();
            }
        }
        r.end()?;
        out.relabel();
        Ok(out)
    }
}

/// Hashes texts as this build folds them. Where two texts have become the same, the latest outcome is kept.
fn rehash(outcomes: &mut Vec<Outcome>) {
    let mut words = Words::default();
    for outcome in outcomes.iter_mut() {
        words.split(&outcome.text);
        outcome.hash = text_hash(&words);
    }
    outcomes.sort_by_key(|o| (o.hash, std::cmp::Reverse(o.order)));
    outcomes.dedup_by_key(|o| o.hash);
    outcomes.sort_by_key(|o| o.order);
}

fn items(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let n = r.u32()?;
    if n > MAX_ITEMS { Err(BAD_SIZE) } else { Ok(n) }
}

fn write_labels(w: &mut Writer, labels: &[u32]) {
    w.u32(labels.len() as u32);
    labels.iter().for_each(|label| w.u32(*label));
}

fn read_labels(r: &mut Reader<'_>, n_labels: usize) -> Result<Vec<u32>, DecodeError> {
    let mut labels = Vec::new();
    for _ in 0..items(r)? {
        let label = r.u32()?;
        if label as usize >= n_labels || labels.last().is_some_and(|l| *l >= label) {
            return Err(DecodeError::Damaged { what: "it holds a label that does not exist" });
        }
        labels.push(label);
    }
    Ok(labels)
}

fn write_origin(w: &mut Writer, origin: Option<Origin>) {
    w.u8(u8::from(origin.is_some()));
    w.u32(origin.map_or(0, Origin::number));
}

fn read_origin(r: &mut Reader<'_>) -> Result<Option<Origin>, DecodeError> {
    let (is_known, number) = (r.u8()? != 0, r.u32()?);
    Ok(is_known.then(|| Origin::of_number(number)))
}

fn read_weight(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    u16::try_from(r.u32()?).map_err(|_| BAD_SIZE)
}

fn read_standing(
    r: &mut Reader<'_>,
    format: u32,
    n_labels: usize,
) -> Result<Standing, DecodeError> {
    let labels = read_labels(r, n_labels)?;
    let mut standing = Standing::new(labels, Origin::default());
    if format >= FORMAT_WITH_WEIGHTS {
        standing.n_confirmed = r.u8()?;
        standing.contrary = read_weight(r)?;
        standing.origin = read_origin(r)?;
    }
    if format >= FORMAT_WITH_CHALLENGERS && r.u8()? != 0 {
        let labels = read_labels(r, n_labels)?;
        let lead = read_weight(r)?;
        let challenger = Challenger { labels, lead, origin: read_origin(r)? };
        standing.challenger = Some(Box::new(challenger));
    }
    standing.restored().ok_or(BAD_SIZE)
}

fn write_outcome(w: &mut Writer, outcome: &Outcome) {
    w.str(&outcome.text);
    w.u64(outcome.hash);
    w.u64(outcome.order);
    let standing = &outcome.standing;
    write_labels(w, &standing.labels);
    w.u8(standing.n_confirmed);
    w.u32(standing.contrary.into());
    write_origin(w, standing.origin);
    w.u8(u8::from(standing.challenger.is_some()));
    if let Some(challenger) = &standing.challenger {
        write_labels(w, &challenger.labels);
        w.u32(challenger.lead.into());
        write_origin(w, challenger.origin);
    }
    match outcome.before {
        None => w.u8(0),
        Some(before) => {
            w.u8(1 + u8::from(before.is_right));
            w.f32(before.log_loss);
            w.f32(before.confidence);
        }
    }
}

fn read_outcome(r: &mut Reader<'_>, format: u32, n_labels: usize) -> Result<Outcome, DecodeError> {
    let text: Box<str> = r.str()?.into();
    let is_negated = has_negation(&text);
    let mut words = Words::default();
    words.split(&text);
    let signature = signature(&words);
    let (hash, order) = (r.u64()?, r.u64()?);
    let standing = read_standing(r, format, n_labels)?;
    let before = match r.u8()? {
        0 => None,
        right => {
            let (log_loss, confidence) = (r.f32()?, r.f32()?);
            Some(Judgement { log_loss, confidence, is_right: right == 2 })
        }
    };
    Ok(Outcome { text, hash, standing, signature, is_negated, order, before })
}

fn write_model(w: &mut Writer, model: &TextModel) {
    w.u8(u8::from(model.mode == Mode::Independent));
    w.u32(model.n_outputs() as u32);
    w.u32(model.n_epochs as u32);
    w.u64(model.prior.as_ref().map_or(0, Prior::id));
    w.u32(model.prior.as_ref().map_or(0, Prior::n_topics) as u32);
    w.f32(model.topic_scale);
    let (n_texts, df) = model.tfidf.counts();
    w.u32(n_texts);
    for (bucket, &count) in df.iter().enumerate() {
        w.u32(count.min(u32::MAX >> 1) << 1 | u32::from(model.tfidf.knows(bucket)));
    }
    w.f32s(&model.linear.bias);
    let stride = model.linear.stride();
    let rows = || model.linear.weights.chunks_exact(stride).enumerate();
    let is_set = |row: &[f32]| row.iter().any(|x| *x != 0.0);
    w.u32(rows().filter(|(_, row)| is_set(row)).count() as u32);
    for (bucket, row) in rows().filter(|(_, row)| is_set(row)) {
        w.u32(bucket as u32);
        w.f32s(row);
    }
    let dense = &model.mlp.dense;
    w.u32(dense.hidden_bias.len() as u32);
    for xs in [&dense.hidden_bias, &dense.weights, &dense.bias] {
        w.f32s(xs);
    }
    w.f32s(&model.calibration.factors);
    w.f32s(&model.calibration.thresholds);
    model.mlp.first.write(w);
}

/// `None` when the model was trained with another prior, whose topics have other meanings.
fn read_model(
    r: &mut Reader<'_>,
    bits: u32,
    n_labels: usize,
    prior: Option<&Prior>,
) -> Result<Option<TextModel>, DecodeError> {
    let mode = if r.u8()? == 0 { Mode::Exclusive } else { Mode::Independent };
    let n_outputs = r.u32()? as usize;
    if n_outputs != n_labels + 1 {
        return Err(DecodeError::Damaged { what: "its model and its list of components differ" });
    }
    let n_epochs = r.u32()? as usize;
    let n_buckets = 1usize << bits;
    let prior_id = r.u64()?;
    let n_topics = r.u32()? as usize;
    if n_topics > 4096 {
        return Err(BAD_SIZE);
    }
    let topic_scale = r.f32()?;
    let n_texts = r.u32()?;
    let df = (0..n_buckets).map(|_| r.u32()).collect::<Result<Vec<u32>, _>>()?;
    let mut linear = Linear::new(n_buckets + n_topics, n_outputs);
    linear.bias = r.f32s(linear.stride())?;
    for _ in 0..items(r)? {
        let bucket = r.u32()? as usize;
        if bucket >= n_buckets + n_topics {
            return Err(BAD_SIZE);
        }
        let stride = linear.stride();
        linear.weights[bucket * stride..][..stride].copy_from_slice(&r.f32s(stride)?);
    }
    let n_hidden = r.u32()? as usize;
    if n_hidden > 1024 {
        return Err(BAD_SIZE);
    }
    let dense = Dense {
        hidden_bias: r.f32s(n_hidden)?,
        weights: r.f32s(n_hidden * n_outputs)?,
        bias: r.f32s(n_outputs)?,
    };
    let mut calibration = Calibration::start(mode, n_labels);
    for factor in &mut calibration.factors {
        *factor = r.f32()?;
    }
    calibration.thresholds = r.f32s(n_labels)?;
    let first = PackedLayer::read(r, n_buckets, |rows| rows.to_vec().into())?;
    if first.n_hidden != n_hidden {
        return Err(DecodeError::Damaged { what: "its first layer does not fit the others" });
    }
    let prior = prior.filter(|p| p.id() == prior_id).cloned();
    if prior_id != 0 && prior.as_ref().is_none_or(|p| p.n_topics() != n_topics) {
        return Ok(None);
    }
    let tfidf =
        TfIdf::from_counts(n_texts, df.iter().map(|x| x >> 1).collect(), |b| df[b] & 1 == 1);
    let mlp = Mlp { first: Arc::new(first), dense };
    Ok(Some(TextModel { mode, prior, topic_scale, tfidf, linear, mlp, calibration, n_epochs }))
}

#[cfg(test)]
mod tests {
    use majordomo_simd::hash_bytes;

    use super::*;

    #[test]
    fn state_of_earlier_features_keeps_its_outcomes_by_current_hashes() {
        let mut before = TextPredictor::new(PredictorConfig::default());
        let names = ["music", "clock"].map(|n| ComponentId::new(n).expect("a name"));
        for (text, name) in [("play a song", 0), ("set an alarm", 1), ("play\u{200e} jazz", 0)] {
            before.learn_named(text, &names[name..=name]).expect("a text");
        }
        // The text with a mark as an earlier build hashed it: with current folding it is the same text as another one.
        let last = before.buffer.outcomes().last().expect("three outcomes").clone();
        let twin = Outcome { text: "play jazz".into(), hash: 7, order: last.order + 1, ..last };
        let outcomes = [before.buffer.outcomes(), &[twin]].concat();
        before.buffer = ReplayBuffer::restore(100, outcomes, 4).expect("different hashes");
        let mut bytes = before.encode();
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        let after = TextPredictor::decode(PredictorConfig::default(), &sealed(bytes));
        let mut after = after.expect("sound");
        let texts: Vec<&str> = after.outcomes().map(|o| o.0).collect();
        assert_eq!(texts, ["play a song", "set an alarm", "play jazz"]);
        assert!(after.forget("play\u{2060} jazz"));
    }

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len() - 8;
        let sum = hash_bytes(&bytes[..body], SEED);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn weights_of_outcomes_survive_a_restart() {
        let mut before = TextPredictor::new(PredictorConfig::default());
        let [music, clock] = ["music", "clock"].map(|n| [ComponentId::new(n).expect("a name")]);
        for _ in 0..4 {
            before.learn_named("the usual", &music).expect("a text");
        }
        before.learn_named("the usual", &clock).expect("a text");
        let after = TextPredictor::decode(PredictorConfig::default(), &before.encode());
        let mut after = after.expect("its own state");
        assert_eq!(after.buffer.outcomes()[0].standing, before.buffer.outcomes()[0].standing);
        for n in 2..=5 {
            after.learn_named("the usual", &clock).expect("a text");
            let label = after.buffer.outcomes()[0].standing.labels[0];
            assert_eq!(label == 1, n == 5, "{n} contrary outcomes");
        }
    }

    #[test]
    fn state_of_an_earlier_format_keeps_its_outcomes() {
        let mut before = TextPredictor::new(PredictorConfig::default());
        let music = [ComponentId::new("music").expect("a name")];
        before.learn_named("the usual", &music).expect("a text");
        let bytes = before.encode();
        let text =
            bytes.windows(9).position(|w| w == b"the usual").expect("the text is in the state");
        // The text is followed by its hash, its order, its one label, and the fields that earlier formats lack.
        let standing = text + 9 + 8 + 8 + 4 + 4;
        for (format, n_bytes_less) in [(FORMAT_WITH_CHALLENGERS - 1, 1), (OLDEST_FORMAT, 11)] {
            let mut bytes = bytes.clone();
            let end = standing + 11;
            bytes.drain(end - n_bytes_less..end);
            bytes[4..8].copy_from_slice(&format.to_le_bytes());
            let after = TextPredictor::decode(PredictorConfig::default(), &sealed(bytes));
            let after = after.expect("a state of an earlier format");
            assert_eq!(after.buffer.outcomes(), before.buffer.outcomes(), "{format}");
        }
    }
}
