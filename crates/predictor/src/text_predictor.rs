//! The predictor as a value: one owner learns, any number of readers query snapshots.
//!
//! Owns labels, replay buffer, current and previous model. Does not know threads, files or clocks: the
//! owner publishes [`snapshot`](TextPredictor::snapshot) where readers find it, and runs
//! [`retrain_job`](TextPredictor::retrain_job) where it likes. Invariant: components' names, not their
//! keys, are what is learned about; a new catalog changes keys without touching what was learned.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_text::Words;

use crate::buffer::{Judgement, Outcome, ReplayBuffer, cut, text_hash};
use crate::features::HashedTexts;
use crate::intents::{Explanation, IntentScratch, Intents, TextSnapshot, Thresholds};
use crate::keywords::KeywordMatcher;
use crate::model::TrainingSet;
use crate::model::mlp::Mlp;
use crate::model::packed::PackedLayer;
use crate::model::text_model::{ModelScratch, TextModel};
use crate::params::TextValidParams;
use crate::phrases::Phrases;
use crate::prior::Prior;
use crate::retrain::{Candidate, CandidateReport, RetrainJob, judge};
use crate::rng::Rng;
use crate::standing::{Origin, Weight};

mod state;

/// Outcomes at random that are replayed with an outcome learned online.
const N_REPLAYS: usize = 3;
/// Similar texts with other components that are replayed with it, so that it takes no more from them than a
/// retrain on all of them would.
const N_NEIGHBOURS: usize = 8;

/// Settings of a [`TextPredictor`].
#[derive(Clone, Debug)]
pub struct PredictorConfig {
    /// Settings of the model.
    pub params: TextValidParams,
    /// Outcomes that are kept to learn from. Range 1.., default 10 000.
    pub buffer_capacity: usize,
    /// New outcomes after which a full retrain is due; before the first hundred, growth by a half is
    /// enough. Range 1.., default 100.
    pub retrain_every: usize,
    /// What a model starts from. Default the shipped prior.
    pub prior: Option<Prior>,
    /// When an answer is acted upon.
    pub thresholds: Thresholds,
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self {
            params: TextValidParams::default(),
            buffer_capacity: 10_000,
            retrain_every: 100,
            prior: Some(Prior::shipped()),
            thresholds: Thresholds::default(),
        }
    }
}

/// From so many outcomes on the model may overrule a component's keywords, and from so many of negated texts on
/// a negation.
const N_KNOWN: usize = 5;
/// Outcomes before the first retrain.
const FIRST_RETRAIN: usize = 10;

/// Why an outcome cannot be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A key that is not in the catalog.
    #[error("component {0} is not in the catalog that the predictor was given")]
    UnknownComponent(ComponentKey),
    /// A text without a word.
    #[error("the text has no word to learn from")]
    NoWord,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It answers from now on, as this version.
    Accepted {
        /// The new version.
        version: u64,
    },
    /// It did worse than the answers given so far; the current model stays.
    Rejected(CandidateReport),
    /// Something was forgotten after the job was made, so the candidate knows too much.
    Stale,
}

/// How good the answers were: each judged before its outcome was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prequential {
    /// Outcomes judged.
    pub n: u64,
    /// Of those, how many whose likeliest component was used.
    pub n_right: u64,
    /// Retrains let in.
    pub n_retrains: u64,
    /// Retrains turned away.
    pub n_rejected: u64,
}

/// Learns which components texts need. One thread learns; any number ask its snapshots.
#[derive(Debug)]
pub struct TextPredictor {
    config: PredictorConfig,
    labels: Vec<ComponentId>,
    by_name: BTreeMap<ComponentId, ComponentKey>,
    now: TextSnapshot,
    published: Option<Arc<TextSnapshot>>,
    /// The model before the last accepted candidate, with its labels; the first layer in 8 bits.
    previous: Option<(Retired, Vec<ComponentId>)>,
    buffer: ReplayBuffer,
    /// As [`ReplayBuffer::n_changes`] when the confirmed phrases were last listed.
    n_listed: u64,
    n_new: usize,
    must_retrain: bool,
    /// Rises when something is forgotten.
    epoch: u64,
    prequential: Prequential,
    words: Words,
    texts: HashedTexts,
    scratch: ModelScratch,
}

/// A model whose first layer is packed into 8 bits.
#[derive(Clone, Debug)]
pub(crate) struct Retired {
    /// Its first layer is empty.
    model: TextModel,
    table: PackedLayer,
}

impl Retired {
    fn pack(mut model: TextModel) -> Self {
        let table = PackedLayer::pack(&model.mlp.first);
        model.mlp = Mlp { first: Arc::new(model.mlp.first.emptied()), dense: model.mlp.dense };
        Self { model, table }
    }

    fn unpack(mut self) -> TextModel {
        self.model.mlp.first = Arc::new(self.table.unpack());
        self.model
    }
}

impl TextPredictor {
    /// A predictor that has learned nothing and knows no component.
    #[must_use]
    pub fn new(config: PredictorConfig) -> Self {
        let bits = config.params.params().bits;
        let thresholds = config.thresholds;
        Self {
            buffer: ReplayBuffer::new(config.buffer_capacity),
            config,
            labels: Vec::new(),
            by_name: BTreeMap::new(),
            now: TextSnapshot {
                bits,
                version: 0,
                thresholds,
                model: None,
                keywords: Arc::new(KeywordMatcher::default()),
                phrases: Arc::default(),
                key_of_label: Vec::new(),
                label_of_key: Vec::new(),
                is_new: Vec::new(),
                knows_negation: Vec::new(),
                can_tell: false,
            },
            published: None,
            previous: None,
            n_listed: 0,
            n_new: 0,
            must_retrain: false,
            epoch: 0,
            prequential: Prequential::default(),
            words: Words::default(),
            texts: HashedTexts::new(bits),
            scratch: ModelScratch::default(),
        }
    }

    /// Takes a new catalog: the components that exist now, and their keywords. What was learned about
    /// other components is kept, silent until they come back (or [`remove`](Self::remove) drops it).
    pub fn set_catalog<'a>(
        &mut self,
        components: impl IntoIterator<Item = (ComponentKey, &'a ComponentId)>,
        keywords: KeywordMatcher,
    ) {
        self.by_name = components.into_iter().map(|(key, id)| (id.clone(), key)).collect();
        self.now.keywords = Arc::new(keywords);
        self.rekey();
    }

    fn rekey(&mut self) {
        let keys: Vec<_> = self.labels.iter().map(|l| self.by_name.get(l).copied()).collect();
        let n_keys = self.by_name.values().map(|k| k.index() + 1).max().unwrap_or(0);
        let mut labels = vec![None; n_keys];
        for (label, key) in keys.iter().enumerate() {
            if let Some(key) = key {
                labels[key.index()] = Some(label as u32);
            }
        }
        self.now.key_of_label = keys;
        self.now.label_of_key = labels;
        self.changed();
    }

    fn changed(&mut self) {
        self.now.knows_negation = self.buffer.with_negated(N_KNOWN, self.labels.len());
        self.now.is_new = self.buffer.with_fewer_than(N_KNOWN, self.labels.len());
        let n_known = self.now.is_new.iter().filter(|is_new| !**is_new).count();
        if self.n_listed != self.buffer.n_changes() {
            self.n_listed = self.buffer.n_changes();
            self.now.phrases = Arc::new(Phrases::new(self.buffer.outcomes()));
        }
        self.now.can_tell = n_known > 1 || (n_known == 1 && self.buffer.has_others());
        self.now.version += 1;
        self.published = None;
    }

    /// The state for readers: cheap while nothing changed, else one copy of what online learning touches.
    pub fn snapshot(&mut self) -> Arc<TextSnapshot> {
        self.published.get_or_insert_with(|| Arc::new(self.now.clone())).clone()
    }

    /// As [`TextSnapshot::intents`], for the owner.
    pub fn intents<'s>(&self, text: &str, scratch: &'s mut IntentScratch) -> Intents<'s> {
        self.now.intents(text, scratch)
    }

    /// As [`TextSnapshot::explain`], for the owner.
    #[must_use]
    pub fn explain(
        &self,
        text: &str,
        component: ComponentKey,
        scratch: &mut IntentScratch,
    ) -> Explanation {
        self.now.explain(text, component, scratch)
    }

    /// Version of the current model; rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.now.version
    }

    /// How good the answers were so far.
    #[must_use]
    pub fn prequential(&self) -> Prequential {
        self.prequential
    }

    /// Other thresholds and another interval of retrains, as in [`PredictorConfig`].
    pub fn configure(&mut self, thresholds: Thresholds, retrain_every: usize) {
        self.config.thresholds = thresholds;
        self.config.retrain_every = retrain_every.max(1);
        self.now.thresholds = thresholds;
        self.published = None;
    }

    /// Whether there is a model yet; without one keywords answer alone.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.now.model.is_some()
    }

    /// The components that something was learned about, in the order of their first outcome.
    #[must_use]
    pub fn labels(&self) -> &[ComponentId] {
        &self.labels
    }

    /// The outcomes that are kept: each text with the components it used.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, Vec<&ComponentId>)> {
        let name = |&label: &u32| &self.labels[label as usize];
        self.buffer.outcomes().iter().map(move |outcome| {
            (&*outcome.text, outcome.standing.labels.iter().map(name).collect())
        })
    }

    /// Outcomes that are kept.
    #[must_use]
    pub fn n_outcomes(&self) -> usize {
        self.buffer.outcomes().len()
    }

    /// Learns which components a text really used (none is an outcome too), at once and for later
    /// retrains. Only outcomes belong here, never the predictor's own answers. One outcome that contradicts
    /// what was confirmed before is kept in mind and changes nothing yet.
    ///
    /// # Errors
    /// An unknown component or a text without a word; nothing is learned then.
    pub fn learn(&mut self, text: &str, used: &[ComponentKey]) -> Result<(), LearnError> {
        self.learn_from(None, text, used)
    }

    /// As [`learn`](Self::learn), from a client of some name: outcomes of one client overturn what others
    /// confirmed later than what it confirmed itself. Clients without a name are one.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    pub fn learn_from(
        &mut self,
        client: Option<&str>,
        text: &str,
        used: &[ComponentKey],
    ) -> Result<(), LearnError> {
        let mut names = Vec::with_capacity(used.len());
        for &key in used {
            let name = self.by_name.iter().find(|(_, k)| **k == key).map(|(name, _)| name.clone());
            names.push(name.ok_or(LearnError::UnknownComponent(key))?);
        }
        self.take(client, text, &names)
    }

    /// As [`learn`](Self::learn), for names; components that are not in the catalog are learned too.
    ///
    /// # Errors
    /// A text without a word.
    pub fn learn_named(&mut self, text: &str, used: &[ComponentId]) -> Result<(), LearnError> {
        self.take(None, text, used)
    }

    fn take(
        &mut self,
        client: Option<&str>,
        text: &str,
        used: &[ComponentId],
    ) -> Result<(), LearnError> {
        let mut words = std::mem::take(&mut self.words);
        words.split(cut(text));
        let has_word = !words.is_empty();
        if has_word {
            let mut labels: Vec<u32> = used.iter().map(|name| self.label(name)).collect();
            labels.sort_unstable();
            labels.dedup();
            let before = self.judge(&words, &labels);
            let origin = Origin::new(client);
            let (weight, stands_for) = self.buffer.push(text, &words, labels, origin, before);
            let stands_for = stands_for.to_vec();
            self.step(&words, &stands_for, weight);
            self.n_new += usize::from(weight != Weight::Withheld);
            self.changed();
        }
        self.words = words;
        if has_word { Ok(()) } else { Err(LearnError::NoWord) }
    }

    /// How good the model's answer is, before the outcome is learned.
    fn judge(&mut self, words: &Words, labels: &[u32]) -> Option<Judgement> {
        let model = self.now.model.as_ref()?;
        self.texts.clear();
        self.texts.push(words);
        model.predict(self.texts.get(0), &[], &mut self.scratch);
        let judgement = judge_now(model, &self.scratch.probabilities, labels);
        self.prequential.n += 1;
        self.prequential.n_right += u64::from(judgement.is_right);
        Some(judgement)
    }

    /// Takes the steps of an outcome, then some towards others, which it must not take along.
    fn step(&mut self, words: &Words, labels: &[u32], weight: Weight) {
        let Some(model) = &mut self.now.model else { return };
        if weight.n_steps() == 0 {
            return;
        }
        let online = &self.config.params.params().online;
        self.texts.clear();
        self.texts.push(words);
        let outputs = outputs_of(labels);
        for step in 0..weight.n_steps() {
            model.learn(self.texts.get(0), &outputs, step == 0, online, &mut self.scratch);
        }
        let mut rng = Rng::new(self.buffer.next_order() - 1);
        let replayed = (0..N_REPLAYS).map_while(|_| self.buffer.sample(&mut rng));
        let near = self.buffer.contrary_neighbours(words, labels, N_NEIGHBOURS);
        let mut words = Words::default();
        for outcome in replayed.chain(near) {
            words.split(&outcome.text);
            self.texts.clear();
            self.texts.push(&words);
            let outputs = outputs_of(&outcome.standing.labels);
            model.learn(self.texts.get(0), &outputs, false, online, &mut self.scratch);
        }
    }

    /// The label of a name; a new one is added to the model, silent until it is learned.
    fn label(&mut self, name: &ComponentId) -> u32 {
        if let Some(at) = self.labels.iter().position(|l| l == name) {
            return at as u32;
        }
        self.labels.push(name.clone());
        let n = self.labels.len();
        if let Some(model) = &mut self.now.model {
            *model = model.remap(n, |label| (label + 1 < n).then_some(label));
        }
        self.rekey();
        n as u32 - 1
    }

    /// Whether enough is new for a full retrain.
    #[must_use]
    pub fn retrain_due(&self) -> bool {
        let n = self.buffer.outcomes().len();
        let enough = match self.now.model {
            None => FIRST_RETRAIN,
            Some(_) => self.config.retrain_every.min((n / 3).max(FIRST_RETRAIN)),
        };
        (self.must_retrain || self.n_new >= enough) && n > 0
    }

    /// Everything a full retrain needs. Give what it makes to [`install`](Self::install).
    pub fn retrain_job(&mut self) -> RetrainJob {
        self.n_new = 0;
        RetrainJob {
            params: self.config.params.clone(),
            labels: self.labels.clone(),
            outcomes: self.buffer.outcomes().to_vec(),
            keywords: self.now.keywords.clone(),
            label_of_key: self.now.label_of_key.clone(),
            prior: self.config.prior.clone(),
            is_required: self.must_retrain,
            epoch: self.epoch,
            next_order: self.buffer.next_order(),
        }
    }

    /// Lets a candidate in if it is not worse than what answered so far, after it has learned what came
    /// since its job was made. The model before it is kept for [`roll_back`](Self::roll_back).
    pub fn install(&mut self, candidate: Candidate) -> Verdict {
        if candidate.epoch != self.epoch {
            return Verdict::Stale;
        }
        let Candidate { model, labels, next_order, report, .. } = candidate;
        // After forgetting, the current model must go whatever the candidate is worth: then there is one.
        let Some(model) = model else {
            self.prequential.n_rejected += 1;
            return Verdict::Rejected(report);
        };
        let mut model = self.fit_labels(model, &labels);
        let online = &self.config.params.params().online;
        let mut since: Vec<&Outcome> =
            self.buffer.outcomes().iter().filter(|o| o.order >= next_order).collect();
        since.sort_by_key(|o| o.order);
        for outcome in since {
            self.words.split(&outcome.text);
            self.texts.clear();
            self.texts.push(&self.words);
            let outputs = outputs_of(&outcome.standing.labels);
            model.learn(self.texts.get(0), &outputs, true, online, &mut self.scratch);
        }
        if let Some(old) = self.now.model.replace(model) {
            self.previous = (!self.must_retrain).then(|| (Retired::pack(old), self.labels.clone()));
        }
        self.must_retrain = false;
        self.prequential.n_retrains += 1;
        self.changed();
        Verdict::Accepted { version: self.now.version }
    }

    /// A model for `labels` made to fit the labels of today.
    fn fit_labels(&self, model: TextModel, labels: &[ComponentId]) -> TextModel {
        if labels == self.labels {
            return model;
        }
        let from = |l: usize| labels.iter().position(|name| *name == self.labels[l]);
        model.remap(self.labels.len(), from)
    }

    /// Goes back to the model before the last accepted candidate. `false` when there is none.
    pub fn roll_back(&mut self) -> bool {
        let Some((retired, labels)) = self.previous.take() else { return false };
        self.now.model = Some(self.fit_labels(retired.unpack(), &labels));
        self.changed();
        true
    }

    /// Drops what was learned about a component. `false` when nothing was.
    pub fn remove(&mut self, name: &ComponentId) -> bool {
        let Some(gone) = self.labels.iter().position(|l| l == name) else { return false };
        let old = self.labels.clone();
        self.labels.remove(gone);
        self.buffer.remove_label(gone as u32);
        self.now.model = self.now.model.take().map(|model| self.fit_labels(model, &old));
        self.epoch += 1;
        self.rekey();
        true
    }

    /// Forgets a text. It goes from the buffer at once, and from the model with the retrain that is then
    /// due; the previous model goes too. `false` when the text was not known.
    pub fn forget(&mut self, text: &str) -> bool {
        self.words.split(cut(text));
        let known = self.buffer.forget(text_hash(&self.words));
        if known {
            self.previous = None;
            self.must_retrain = true;
            self.epoch += 1;
            self.changed();
            if self.buffer.outcomes().is_empty() {
                self.forget_everything();
            }
        }
        known
    }

    /// Forgets all that was learned: labels, outcomes, models. The prior and the catalog stay.
    pub fn forget_everything(&mut self) {
        self.labels.clear();
        self.buffer = ReplayBuffer::new(self.config.buffer_capacity);
        self.n_listed = 0;
        self.now.phrases = Arc::default();
        self.now.model = None;
        self.previous = None;
        self.n_new = 0;
        self.must_retrain = false;
        self.epoch += 1;
        self.prequential = Prequential::default();
        self.rekey();
    }

    /// Heap memory of models, keywords and buffer, in bytes; published snapshots not counted.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let model = self.now.model.as_ref().map_or(0, TextModel::memory_bytes);
        let previous = self
            .previous
            .as_ref()
            .map_or(0, |(retired, _)| retired.model.memory_bytes() + retired.table.memory_bytes());
        let phrases = self.now.phrases.memory_bytes();
        model + previous + phrases + self.buffer.memory_bytes() + self.now.keywords.memory_bytes()
    }
}

fn outputs_of(labels: &[u32]) -> Vec<u32> {
    if labels.is_empty() { vec![0] } else { labels.iter().map(|l| l + 1).collect() }
}

fn judge_now(model: &TextModel, probabilities: &[f32], labels: &[u32]) -> Judgement {
    let outputs = outputs_of(labels);
    judge(probabilities, &outputs, TrainingSet::log_loss_of(model.mode, &outputs, probabilities))
}
