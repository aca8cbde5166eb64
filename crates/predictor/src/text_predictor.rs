//! The predictor as a value: one owner learns, any number of readers query snapshots.
//!
//! Owns labels, replay buffer, current and previous model. Does not know threads, files or clocks: the
//! owner publishes [`snapshot`](TextPredictor::snapshot) where readers find it, and runs
//! [`retrain_job`](TextPredictor::retrain_job) where it likes. Invariant: what is learned belongs to the components'
//! names; a new catalog changes keys and leaves everything learned untouched.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_text::Words;

use crate::buffer::{Judgement, Outcome, ReplayBuffer, cut};
use crate::decision::Thresholds;
use crate::features::HashedTexts;
use crate::intents::{Explanation, IntentScratch, Intents, TextSnapshot};
use crate::keywords::KeywordMatcher;
use crate::labels::Labels;
use crate::model::TrainingSet;
use crate::model::retired::Retired;
use crate::model::text_model::{ModelScratch, TextModel};
use crate::params::TextValidParams;
use crate::phrases::Phrases;
use crate::prior::Prior;
use crate::retrain::judge;
use crate::rng::Rng;
use crate::standing::{Origin, Weight};

mod forget;
mod install;
mod state;

/// Random outcomes that are replayed with an outcome learned online.
const N_REPLAYS: usize = 3;
/// Similar texts of other components that are replayed with it, so that the online step takes no more from these
/// components than a retrain on all outcomes would.
const N_NEIGHBOURS: usize = 8;
/// Number of outcomes from which on the model may overrule a component's keywords, and number of outcomes of negated
/// texts from which on it may overrule a negation.
const N_KNOWN: usize = 5;

/// Settings of a [`TextPredictor`].
#[derive(Clone, Debug)]
pub struct PredictorConfig {
    /// Settings of the model.
    pub params: TextValidParams,
    /// Outcomes that are kept to learn from. Range 1.., default 10 000.
    pub buffer_capacity: usize,
    /// New outcomes after which a full retrain is due; a third of the outcomes kept, at least ten, is enough.
    /// Range 1.., default 100.
    pub retrain_every: usize,
    /// Where a model starts. Default the shipped prior.
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

/// The quality of the answers, each judged before its outcome was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prequential {
    /// Outcomes judged.
    pub n: u64,
    /// Judged outcomes whose likeliest component was used.
    pub n_right: u64,
    /// Candidates installed.
    pub n_retrains: u64,
    /// Candidates rejected.
    pub n_rejected: u64,
}

/// Learns which components texts need. One thread learns; any number query its snapshots.
#[derive(Debug)]
pub struct TextPredictor {
    config: PredictorConfig,
    /// By label.
    names: Vec<ComponentId>,
    by_name: BTreeMap<ComponentId, ComponentKey>,
    current: TextSnapshot,
    published: Option<Arc<TextSnapshot>>,
    /// The model before the last installed candidate, with the names of its labels.
    previous: Option<(Retired, Vec<ComponentId>)>,
    buffer: ReplayBuffer,
    /// [`ReplayBuffer::n_changes`] when the confirmed phrases were last listed.
    n_listed: u64,
    /// Outcomes since the last retrain job.
    n_new: usize,
    must_retrain: bool,
    /// Rises whenever something is forgotten.
    epoch: u64,
    prequential: Prequential,
    words: Words,
    texts: HashedTexts,
    scratch: ModelScratch,
}

impl TextPredictor {
    /// A predictor that has learned nothing and has an empty catalog.
    #[must_use]
    pub fn new(config: PredictorConfig) -> Self {
        let bits = config.params.params().bits;
        let thresholds = config.thresholds;
        Self {
            buffer: ReplayBuffer::new(config.buffer_capacity),
            config,
            names: Vec::new(),
            by_name: BTreeMap::new(),
            current: TextSnapshot {
                bits,
                version: 0,
                thresholds,
                model: None,
                keywords: Arc::new(KeywordMatcher::default()),
                phrases: Arc::default(),
                labels: Labels::default(),
                can_discriminate: false,
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

    /// Installs a new catalog: the components that exist from now on, and their keywords. Everything learned about
    /// other components is kept, and unused until they return (or [`remove`](Self::remove) drops it).
    pub fn set_catalog<'a>(
        &mut self,
        components: impl IntoIterator<Item = (ComponentKey, &'a ComponentId)>,
        keywords: KeywordMatcher,
    ) {
        self.by_name = components.into_iter().map(|(key, id)| (id.clone(), key)).collect();
        self.current.keywords = Arc::new(keywords);
        self.relabel();
    }

    /// Rebuilds the mapping between labels and keys.
    fn relabel(&mut self) {
        self.current.labels = Labels::new(&self.names, &self.by_name);
        self.changed();
    }

    /// Brings everything that follows from the outcomes up to date, as a new version.
    fn changed(&mut self) {
        let n_labels = self.names.len();
        let knows_negation = self.buffer.with_negated(N_KNOWN, n_labels);
        let is_new = self.buffer.with_fewer_than(N_KNOWN, n_labels);
        self.current.labels.set_facts(is_new, knows_negation);
        let n_known = self.current.labels.n_known();
        if self.n_listed != self.buffer.n_changes() {
            self.n_listed = self.buffer.n_changes();
            self.current.phrases = Arc::new(Phrases::new(self.buffer.outcomes()));
        }
        self.current.can_discriminate =
            n_known > 1 || (n_known == 1 && self.buffer.has_several_kinds());
        self.current.version += 1;
        self.published = None;
    }

    /// The state for readers. Cheap; the next online step copies what it touches while the snapshot lives.
    pub fn snapshot(&mut self) -> Arc<TextSnapshot> {
        self.published.get_or_insert_with(|| Arc::new(self.current.clone())).clone()
    }

    /// As [`TextSnapshot::intents`], for the owner.
    pub fn intents<'s>(&self, text: &str, scratch: &'s mut IntentScratch) -> Intents<'s> {
        self.current.intents(text, scratch)
    }

    /// As [`TextSnapshot::explain`], for the owner.
    #[must_use]
    pub fn explain(
        &self,
        text: &str,
        component: ComponentKey,
        scratch: &mut IntentScratch,
    ) -> Explanation {
        self.current.explain(text, component, scratch)
    }

    /// Version of the current model; rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.current.version
    }

    /// The quality of the answers so far.
    #[must_use]
    pub fn prequential(&self) -> Prequential {
        self.prequential
    }

    /// Replaces thresholds and retrain interval, as in [`PredictorConfig`].
    pub fn configure(&mut self, thresholds: Thresholds, retrain_every: usize) {
        self.config.thresholds = thresholds;
        self.config.retrain_every = retrain_every.max(1);
        self.current.thresholds = thresholds;
        self.published = None;
    }

    /// Whether there is a model yet; without one keywords answer alone.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.current.has_model()
    }

    /// The components that outcomes have used, in the order of their first outcome.
    #[must_use]
    pub fn labels(&self) -> &[ComponentId] {
        &self.names
    }

    /// The outcomes that are kept: each text with the components it used.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, Vec<&ComponentId>)> {
        let name = |&label: &u32| &self.names[label as usize];
        self.buffer.outcomes().iter().map(move |outcome| {
            (&*outcome.text, outcome.standing.labels.iter().map(name).collect())
        })
    }

    pub(crate) fn kept(&self) -> &[Outcome] {
        self.buffer.outcomes()
    }

    /// Number of outcomes that are kept.
    #[must_use]
    pub fn n_outcomes(&self) -> usize {
        self.buffer.outcomes().len()
    }

    /// Learns which components a text really used (none is an outcome too), at once and for later
    /// retrains. Only outcomes belong here, never the predictor's own answers. A single outcome that contradicts
    /// confirmed ones is counted and changes nothing yet.
    ///
    /// # Errors
    /// An unknown component or a text without a word; nothing is learned then.
    pub fn learn(&mut self, text: &str, used: &[ComponentKey]) -> Result<(), LearnError> {
        self.learn_from(None, text, used)
    }

    /// As [`learn`](Self::learn), from a named client: it takes more outcomes of one client to overturn outcomes that
    /// others confirmed than to overturn its own. All clients without a name count as one.
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
        self.learn_outcome(client, text, &names)
    }

    /// As [`learn`](Self::learn), by name; components that are not in the catalog are learned too.
    ///
    /// # Errors
    /// A text without a word.
    pub fn learn_named(&mut self, text: &str, used: &[ComponentId]) -> Result<(), LearnError> {
        self.learn_outcome(None, text, used)
    }

    fn learn_outcome(
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

    /// Judges the model's answer before the outcome is learned.
    fn judge(&mut self, words: &Words, labels: &[u32]) -> Option<Judgement> {
        let model = self.current.model.as_ref()?;
        self.texts.clear();
        self.texts.push(words);
        model.predict(self.texts.get(0), &[], &mut self.scratch);
        let (outputs, probabilities) = (outputs_of(labels), &self.scratch.probabilities);
        let log_loss = TrainingSet::log_loss_of(model.mode, &outputs, probabilities);
        let judgement = judge(probabilities, &outputs, log_loss);
        self.prequential.n += 1;
        self.prequential.n_right += u64::from(judgement.is_right);
        Some(judgement)
    }

    /// Takes the online steps of an outcome, then steps towards other outcomes, which keep their components.
    fn step(&mut self, words: &Words, labels: &[u32], weight: Weight) {
        let Some(model) = self.current.model.as_mut().map(Arc::make_mut) else { return };
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

    /// The label of a name. A new label is added to the model and stays unlikely until an outcome has used it.
    fn label(&mut self, name: &ComponentId) -> u32 {
        if let Some(at) = self.names.iter().position(|l| l == name) {
            return at as u32;
        }
        self.names.push(name.clone());
        let n = self.names.len();
        if let Some(model) = &mut self.current.model {
            *model = Arc::new(model.remap(n, |label| (label + 1 < n).then_some(label)));
        }
        self.relabel();
        n as u32 - 1
    }

    /// Heap memory of models, keywords and buffer, in bytes; published snapshots not counted.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let model = self.current.model.as_deref().map_or(0, TextModel::memory_bytes);
        let previous = self.previous.as_ref().map_or(0, |(retired, _)| retired.memory_bytes());
        let phrases = self.current.phrases.memory_bytes();
        let keywords = self.current.keywords.memory_bytes();
        model + previous + phrases + self.buffer.memory_bytes() + keywords
    }
}

/// The outputs that are on for the labels of an outcome.
pub(crate) fn outputs_of(labels: &[u32]) -> Vec<u32> {
    if labels.is_empty() { vec![0] } else { labels.iter().map(|l| l + 1).collect() }
}
