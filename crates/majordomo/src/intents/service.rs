//! Queries about texts, lock-free on any thread, and the messages to the thread that learns.
//!
//! Owns the way to the learner and the snapshot that every query reads. Invariant: the learner alone replaces the
//! snapshot.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use majordomo_core::{ComponentId, ComponentKey, Refusal, StatusValue};
use majordomo_predictor::{IntentScratch, LearnError};
use majordomo_runtime::clock::Clock;
use tokio::sync::{oneshot, watch};

use super::after_retrain::AfterRetrain;
use super::answer::{Needs, Prediction};
use super::brain::{Brain, Matchers};
use super::error::{IntentError, MAX_QUEUED};
use super::figures::Figures;
use super::learned::Learned;
use super::learner::{Learner, Message};
use super::settings::Settings;
use super::spoken::{Spoken, cut};
use super::view::View;

/// Reports used components to the learner, for outcomes that live longer than the call that made them.
#[derive(Clone, Debug)]
pub(crate) struct Teacher {
    to: flume::Sender<Message>,
    figures: Arc<Figures>,
    /// The name of the client that the outcomes come from; none = not known.
    client: Option<Arc<str>>,
}

impl Teacher {
    /// Queues an outcome to be learned; false when the queue is full.
    pub(crate) fn report(&self, text: Spoken, used: Vec<ComponentKey>) -> bool {
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

/// Queries on any thread; a thread of its own that learns.
#[derive(Debug)]
pub(crate) struct IntentService {
    view: Arc<ArcSwap<View>>,
    figures: Arc<Figures>,
    clock: Clock,
    // Unbounded, but bounded by construction: `MAX_QUEUED` outcomes, and one message a caller that waits.
    to: flume::Sender<Message>,
    ended: watch::Receiver<bool>,
}

impl IntentService {
    /// Starts the learner. With `releases_program` it unmaps the program's code after a retrain or a write.
    /// `after_retrain` follows the model.
    pub(crate) fn start(
        brain: Brain,
        releases_program: bool,
        after_retrain: Option<Box<dyn AfterRetrain>>,
    ) -> std::io::Result<Self> {
        let clock = Clock::start();
        let figures = Arc::new(Figures::default());
        let (to, inbox) = flume::unbounded();
        let (ending, ended) = watch::channel(false);
        let (mut learner, view) =
            Learner::new(brain, clock, Arc::clone(&figures), to.clone(), inbox);
        learner.releases_program = releases_program;
        learner.after_retrain = after_retrain;
        learner.start(ending)?;
        Ok(Self { view, figures, clock, to, ended })
    }

    /// Rows about texts for the status, which the shell reads.
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

    /// The components that a text needs, by name and with evidence.
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

    /// A teacher for the outcomes of a client, if outcomes are learned.
    pub(crate) fn teacher(&self, client: Option<Arc<str>>) -> Option<Teacher> {
        let learns = self.view.load().settings.learns();
        let teacher =
            || Teacher { to: self.to.clone(), figures: Arc::clone(&self.figures), client };
        learns.then(teacher)
    }

    /// Learns an outcome and waits for that: every query after it sees the outcome.
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

    /// Replaces components and settings; every query after it sees them.
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

    pub(crate) async fn forget_everything(&self) -> Result<(), IntentError> {
        let answer = self.ask(|reply| Message::Forget { text: None, reply }).await;
        answer.ok_or(IntentError::ShuttingDown)?.map(drop)
    }

    /// Restores the model before the last retrain. False when there is none.
    pub(crate) async fn roll_back(&self) -> Result<bool, IntentError> {
        self.ask(Message::RollBack).await.ok_or(IntentError::ShuttingDown)
    }

    /// Figures of the learned state, with all outcomes reported before.
    pub(crate) async fn learned(&self) -> Result<Learned, IntentError> {
        self.ask(Message::Learned).await.ok_or(IntentError::ShuttingDown)
    }

    /// The outcomes that are kept: texts and what they used.
    pub(crate) async fn outcomes(&self) -> Result<Vec<(String, Vec<ComponentId>)>, IntentError> {
        self.ask(Message::Outcomes).await.ok_or(IntentError::ShuttingDown)
    }

    /// The model that answers now, as a Core ML file.
    #[cfg(feature = "coreml")]
    pub(crate) fn export(
        &self,
        settings: majordomo_coreml::ExportSettings,
    ) -> Result<majordomo_coreml::Exported, super::IntentExportError> {
        super::export::export(&self.view.load().text, settings)
    }

    /// Cancels a retrain, writes the state and ends. Returns at once; [`Self::ended`] waits.
    pub(crate) fn stop(&self) {
        // No receiver: it has ended already.
        drop(self.to.send(Message::Stop));
    }

    /// Waits until the learner has ended and closed the state.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        // A closed channel is an ended learner, too.
        async move { drop(ended.wait_for(|ended| *ended).await) }
    }
}

impl Drop for IntentService {
    fn drop(&mut self) {
        self.stop();
    }
}
