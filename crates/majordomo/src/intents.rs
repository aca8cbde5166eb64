//! From a command's text to the components it needs, learned from what commands really used.
//!
//! Owns the way to the one thread that learns and the snapshot that every query reads, lock-free. Knows no
//! lease and no engine. Invariants: the learner alone replaces the snapshot; a text is never logged.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use majordomo_core::{ComponentId, ComponentKey, Confidence, IntentConfig, Refusal, StatusValue};
use majordomo_predictor::{IntentScratch, LearnError, TrainError};
use majordomo_runtime::clock::Clock;
use tokio::sync::{oneshot, watch};

use crate::outcome::Need;

mod brain;
mod figures;
mod learner;
mod offline;
mod saved;
mod view;

pub(crate) use brain::{Brain, Matchers, Settings};
use figures::Figures;
use learner::{Learner, Message};
pub use offline::{IntentsAnswer, LearnReport, OfflineIntents};
pub(crate) use view::View;

/// Bytes of a text that are read; the rest of a longer one changes nothing.
pub const MAX_TEXT: usize = 64 << 10;
/// Outcomes that may wait to be learned; more are dropped, and counted in the status.
const MAX_QUEUED: u64 = 1024;

/// What a text is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Decision {
    /// It needs the components named.
    Confident,
    /// It may need the candidates, but too little speaks for any of them: nothing is loaded on a guess.
    Unsure,
    /// It needs no component.
    #[default]
    None,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confident => "confident",
            Self::Unsure => "unsure",
            Self::None => "none",
        })
    }
}

/// A component by key, and how sure it is that a text needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The component; [`Manager::name_of`](crate::Manager::name_of) gives its name.
    pub key: ComponentKey,
    /// Calibrated probability that the text needs it.
    pub confidence: Confidence,
    /// What the confidence must reach.
    pub threshold: Confidence,
}

/// An answer without names and evidence, to be filled again and again.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// Whether to act.
    pub decision: Decision,
    /// What the text needs, likeliest first.
    pub needed: Vec<Scored>,
    /// What else is not unlikely, likeliest first.
    pub candidates: Vec<Scored>,
    /// Version of the model that answered.
    pub version: u64,
}

/// What was learned, in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Learned {
    /// Outcomes that are kept to learn from.
    pub outcomes: usize,
    /// Of those, how many used each component, by name; a component that is gone is remembered too.
    pub components: Vec<(ComponentId, usize)>,
    /// Of those, how many used no component.
    pub without: usize,
    /// Version of the model; rises with every change.
    pub version: u64,
    /// Whether there is a model yet; until then keywords answer alone.
    pub has_model: bool,
    /// Retrains that took over, ever.
    pub retrains: u64,
    /// Retrains that did worse than what answered before and were turned away, ever.
    pub retrains_rejected: u64,
    /// Memory of models, keywords and kept outcomes, in bytes.
    pub bytes: majordomo_core::ByteSize,
}

/// Why nothing was learned or forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// A component that does not exist.
    #[error(transparent)]
    Unknown(#[from] Refusal),
    /// A text without a word.
    #[error("the text has no word to learn from")]
    NoWord,
    /// The settings forbid it.
    #[error("learning is switched off; set enabled and learn in [intents] to true")]
    Off,
    /// Nothing to train on.
    #[error("nothing was learned yet, so there is nothing to train on")]
    NoOutcome,
    /// The caller broke it off.
    #[error("training was broken off; nothing was changed")]
    Cancelled,
    /// Too many outcomes wait already.
    #[error("{MAX_QUEUED} outcomes wait to be learned already; try again in a moment")]
    Busy,
    /// The manager has ended.
    #[error("the manager is shutting down")]
    ShuttingDown,
    /// The state cannot be read or written; what is in memory has changed all the same.
    #[error("{0}")]
    Store(String),
}

impl From<TrainError> for IntentError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Cancelled => Self::Cancelled,
            _ => Self::NoOutcome,
        }
    }
}

/// A text on its way to be learned. Shown nowhere.
pub(crate) struct Spoken(pub Box<str>);

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of text", self.0.len())
    }
}

/// The part of a text that is read.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// What a text needs, by name and with evidence.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub decision: Decision,
    pub needed: Vec<Need>,
    pub candidates: Vec<Need>,
    /// What is likely to be needed after such a text.
    pub follows: Vec<(ComponentKey, Confidence)>,
    pub version: u64,
}

/// A way to tell what was used, for outcomes that live longer than the call that made them.
#[derive(Clone, Debug)]
pub(crate) struct Teacher {
    to: flume::Sender<Message>,
    figures: Arc<Figures>,
    /// The name of the client that the outcomes come from; none = it did not say.
    client: Option<Arc<str>>,
}

impl Teacher {
    /// Has an outcome learned some time; false when too many wait already.
    pub(crate) fn tell(&self, text: Spoken, used: Vec<ComponentKey>) -> bool {
        self.send(text, used, None)
    }

    fn send(
        &self,
        text: Spoken,
        used: Vec<ComponentKey>,
        reply: Option<oneshot::Sender<Result<(), LearnError>>>,
    ) -> bool {
        if !self.figures.enqueue(MAX_QUEUED) {
            return false;
        }
        let client = self.client.clone();
        self.to.send(Message::Learn { client, text, used, reply }).is_ok()
    }
}

thread_local! {
    /// Buffers of queries: no two on one thread at a time, and none across an `.await`.
    static SCRATCH: RefCell<IntentScratch> = RefCell::default();
}

/// The service: queries on any thread, learning on its own.
#[derive(Debug)]
pub(crate) struct Intents {
    view: Arc<ArcSwap<View>>,
    figures: Arc<Figures>,
    clock: Clock,
    // Unbounded, but bounded by construction: `MAX_QUEUED` outcomes, and one message a caller that waits.
    to: flume::Sender<Message>,
    ended: watch::Receiver<bool>,
}

impl Intents {
    /// Starts the learner.
    pub(crate) fn start(brain: Brain) -> std::io::Result<Self> {
        let clock = Clock::start();
        let figures = Arc::new(Figures::default());
        let (to, inbox) = flume::unbounded();
        let (ending, ended) = watch::channel(false);
        let (learner, view) = Learner::new(brain, clock, Arc::clone(&figures), to.clone(), inbox);
        learner.start(ending)?;
        Ok(Self { view, figures, clock, to, ended })
    }

    /// What the shell puts into the status.
    pub(crate) fn section(&self) -> impl Fn() -> (String, Vec<(String, StatusValue)>) + use<> {
        let (view, figures) = (Arc::clone(&self.view), Arc::clone(&self.figures));
        move || ("intents".to_owned(), figures.rows(&view.load()))
    }

    /// Fills `into`; allocates nothing once it and this thread's buffers have grown.
    pub(crate) fn predict(&self, text: &str, into: &mut Prediction) {
        let since = self.clock.elapsed();
        let view = self.view.load();
        SCRATCH.with_borrow_mut(|scratch| view.predict(cut(text), scratch, into));
        self.figures.answered(into.decision, self.clock.elapsed().saturating_sub(since));
    }

    /// What a text needs, by name and with evidence.
    pub(crate) fn needs(&self, text: &str) -> Needs {
        let since = self.clock.elapsed();
        let view = self.view.load();
        SCRATCH.with_borrow_mut(|scratch| {
            let mut prediction = Prediction::default();
            view.predict(cut(text), scratch, &mut prediction);
            // Evidence is put together for people, after the decision.
            let took = self.clock.elapsed().saturating_sub(since);
            self.figures.answered(prediction.decision, took);
            view.needs(cut(text), scratch, &prediction)
        })
    }

    /// The way to have outcomes of a client learned, if they are to be.
    pub(crate) fn teacher(&self, client: Option<Arc<str>>) -> Option<Teacher> {
        let learns = self.view.load().settings.learns();
        let teacher =
            || Teacher { to: self.to.clone(), figures: Arc::clone(&self.figures), client };
        learns.then(teacher)
    }

    /// Has an outcome learned and waits for it: every query after that knows it.
    pub(crate) async fn teach(
        &self,
        text: &str,
        used: Vec<ComponentKey>,
    ) -> Result<(), IntentError> {
        let teacher = self.teacher(None).ok_or(IntentError::Off)?;
        let (reply, answer) = oneshot::channel();
        if !teacher.send(Spoken(cut(text).into()), used, Some(reply)) {
            return Err(IntentError::Busy);
        }
        let learned = answer.await.map_err(|_| IntentError::ShuttingDown)?;
        learned.map_err(|error| match error {
            LearnError::UnknownComponent(key) => {
                let component = self.view.load().catalog.id(key).clone();
                IntentError::Unknown(Refusal::Removed { component })
            }
            _ => IntentError::NoWord,
        })
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.to.send(message(reply)).ok()?;
        answer.await.ok()
    }

    /// Takes over other components and settings; every query after that knows them.
    pub(crate) async fn configure(&self, matchers: Matchers, settings: Settings) -> Option<()> {
        let configured = Box::new((matchers, settings));
        self.ask(|reply| Message::Configure { configured, reply }).await
    }

    /// Forgets a text. False when it was not known.
    pub(crate) async fn forget(&self, text: &str) -> Result<bool, IntentError> {
        let text = Spoken(cut(text).into());
        let answer = self.ask(|reply| Message::Forget { text: Some(text), reply }).await;
        answer.ok_or(IntentError::ShuttingDown)?
    }

    /// Forgets everything.
    pub(crate) async fn forget_everything(&self) -> Result<(), IntentError> {
        let answer = self.ask(|reply| Message::Forget { text: None, reply }).await;
        answer.ok_or(IntentError::ShuttingDown)?.map(drop)
    }

    /// Goes back to the model before the last retrain. False when there is none.
    pub(crate) async fn roll_back(&self) -> Result<bool, IntentError> {
        self.ask(Message::RollBack).await.ok_or(IntentError::ShuttingDown)
    }

    /// What was learned. Outcomes told before are in it.
    pub(crate) async fn learned(&self) -> Result<Learned, IntentError> {
        self.ask(Message::Learned).await.ok_or(IntentError::ShuttingDown)
    }

    /// The outcomes that are kept: texts and what they used.
    pub(crate) async fn outcomes(&self) -> Result<Vec<(String, Vec<ComponentId>)>, IntentError> {
        self.ask(Message::Outcomes).await.ok_or(IntentError::ShuttingDown)
    }

    /// Breaks a retrain off, writes the state and ends. Returns at once; [`Self::ended`] waits.
    pub(crate) fn stop(&self) {
        // No receiver: it has ended already.
        drop(self.to.send(Message::Stop));
    }

    /// Waits until the learner has ended and given up the state.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        // A sender that is gone has ended, too.
        async move { drop(ended.wait_for(|ended| *ended).await) }
    }
}

impl Drop for Intents {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Settings {
    fn learns(&self) -> bool {
        let IntentConfig { enabled, learn, .. } = self.intents;
        enabled && learn
    }
}
