//! The one thread that learns: outcomes in, views out, retrains beside it, the state on disk.
//!
//! Owns the brain. Queries never wait for it: they read the view that it published last. Invariants: one
//! retrain at a time, on a thread of its own that ends before this one does; the reply to a message is sent
//! after its effect is in the view; memory that a retrain or a write freed is returned to the system.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use flume::RecvTimeoutError;
use majordomo_core::{ComponentId, ComponentKey, Moment};
use majordomo_memory::{release_program, trim_allocator};
use majordomo_predictor::{Candidate, IntentScratch, LearnError, TrainError, Verdict};
use majordomo_runtime::clock::Clock;
use majordomo_runtime::log_throttle::LogThrottle;
use tokio::sync::{oneshot, watch};

use super::after_retrain::AfterRetrain;
use super::brain::{Brain, Matchers};
use super::error::IntentError;
use super::figures::Figures;
use super::learned::Learned;
use super::pace::Pace;
use super::settings::Settings;
use super::spoken::Spoken;
use super::view::{LearnerFigures, View};

/// Messages taken before a new view is published.
const BATCH: usize = 64;
/// Pause before a retrain whose thread could not be started is tried again.
const NO_THREAD: Duration = Duration::from_secs(1);
/// Outcomes that the recent accuracy is of.
const RECENT: usize = 100;

pub(super) type Outcomes = Vec<(String, Vec<ComponentId>)>;

/// Messages to the learner.
#[derive(Debug)]
pub(crate) enum Message {
    /// A text and what it really used.
    Learn {
        /// The client that said so, by name.
        client: Option<Arc<str>>,
        text: Spoken,
        used: Vec<ComponentKey>,
        reply: Option<oneshot::Sender<Result<(), LearnError>>>,
    },
    /// Other components or settings.
    Configure {
        configured: Box<(Matchers, Settings)>,
        reply: oneshot::Sender<()>,
    },
    /// Forget a text, or everything.
    Forget {
        text: Option<Spoken>,
        reply: oneshot::Sender<Result<bool, IntentError>>,
    },
    /// Back to the model before.
    RollBack(oneshot::Sender<bool>),
    Learned(oneshot::Sender<Learned>),
    /// The outcomes that are kept.
    Outcomes(oneshot::Sender<Outcomes>),
    /// A retrain is over: its number and what it made.
    Trained(u64, Box<Result<Candidate, TrainError>>),
    /// The end.
    Stop,
}

/// A retrain that runs.
struct Retraining {
    number: u64,
    started: Moment,
    cancel: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The state of the thread.
pub(super) struct Learner {
    brain: Brain,
    clock: Clock,
    figures: Arc<Figures>,
    to: flume::Sender<Message>,
    inbox: flume::Receiver<Message>,
    view: Arc<ArcSwap<View>>,
    own: LearnerFigures,
    recent: VecDeque<bool>,
    retraining: Option<Retraining>,
    n_retrainings: u64,
    pace: Pace,
    /// Since when something is not written.
    dirty: Option<Moment>,
    /// Why writes fail, until one succeeds.
    failing: LogThrottle,
    /// A retrain or a write has freed its buffers, or a model was replaced.
    has_freed: bool,
    /// The program's code is unmapped after them, too.
    pub(super) releases_program: bool,
    pub(super) after_retrain: Option<Box<dyn AfterRetrain>>,
    scratch: IntentScratch,
}

impl Learner {
    pub(super) fn new(
        mut brain: Brain,
        clock: Clock,
        figures: Arc<Figures>,
        to: flume::Sender<Message>,
        inbox: flume::Receiver<Message>,
    ) -> (Self, Arc<ArcSwap<View>>) {
        let view = Arc::new(ArcSwap::from_pointee(brain.view(LearnerFigures::default())));
        let mut out = Self {
            brain,
            clock,
            figures,
            to,
            inbox,
            view: Arc::clone(&view),
            own: LearnerFigures::default(),
            recent: VecDeque::with_capacity(RECENT),
            retraining: None,
            n_retrainings: 0,
            pace: Pace::default(),
            dirty: None,
            failing: LogThrottle::default(),
            has_freed: false,
            releases_program: false,
            after_retrain: None,
            scratch: IntentScratch::default(),
        };
        out.publish();
        (out, view)
    }

    /// Starts the thread; `ending` is set when it has ended and the state is closed.
    pub(super) fn start(self, ending: watch::Sender<bool>) -> std::io::Result<()> {
        std::thread::Builder::new().name("majordomo-learn".into()).spawn(move || {
            self.run();
            ending.send_replace(true);
        })?;
        Ok(())
    }

    fn run(mut self) {
        self.report_model();
        let _ = self.retrain_if_due();
        loop {
            let first = match self.wake_after() {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(left) => self.inbox.recv_timeout(left),
            };
            match first {
                Ok(message) => {
                    let inbox = self.inbox.clone();
                    for message in std::iter::once(message).chain(inbox.try_iter().take(BATCH)) {
                        if matches!(message, Message::Stop) {
                            return self.finish();
                        }
                        self.take(message);
                    }
                    let _ = self.retrain_if_due();
                    self.publish();
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.retrain_if_due() {
                        self.publish();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            let after = self.brain.settings.write_after;
            if self.dirty.is_some_and(|since| self.clock.now().since(since) >= after) {
                self.save();
            }
            // After the view before is gone, since it may hold the last of a model.
            if std::mem::take(&mut self.has_freed) {
                trim_allocator();
                if self.releases_program {
                    release_program();
                }
            }
        }
    }

    /// A reply without a receiver is dropped.
    fn take(&mut self, message: Message) {
        match message {
            Message::Learn { client, text, used, reply } => {
                self.figures.dequeue();
                let result = self.learn(client.as_deref(), &text.0, &used);
                if let Err(error) = &result {
                    tracing::debug!(%error, "an outcome was not learned");
                }
                if let Some(reply) = reply {
                    self.publish();
                    drop(reply.send(result));
                }
            }
            Message::Configure { configured, reply } => {
                self.brain.configure(configured.0, configured.1);
                self.publish();
                let _ = reply.send(());
            }
            Message::Forget { text, reply } => {
                let result = self.forget(text.as_ref());
                self.publish();
                drop(reply.send(result));
            }
            Message::RollBack(reply) => {
                let done = self.brain.predictor.roll_back();
                self.changed();
                if done {
                    self.report_model();
                }
                self.publish();
                let _ = reply.send(done);
            }
            Message::Learned(reply) => {
                self.publish();
                drop(reply.send(self.brain.learned()));
            }
            Message::Outcomes(reply) => {
                let outcomes = self.brain.predictor.outcomes();
                let owned = |(text, used): (&str, Vec<&ComponentId>)| {
                    (text.to_owned(), used.into_iter().cloned().collect())
                };
                drop(reply.send(outcomes.map(owned).collect()));
            }
            Message::Trained(number, result) => self.trained(number, *result),
            // Seen before.
            Message::Stop => {}
        }
    }

    fn changed(&mut self) {
        if self.brain.is_kept() && self.dirty.is_none() {
            self.dirty = Some(self.clock.now());
        }
    }

    fn learn(
        &mut self,
        client: Option<&str>,
        text: &str,
        used: &[ComponentKey],
    ) -> Result<(), LearnError> {
        // Judged by what was known before.
        let decided = self.brain.predictor.intents(text, &mut self.scratch).components;
        let right = decided.len() == used.len()
            && decided.iter().all(|intent| used.contains(&intent.component));
        self.brain.predictor.learn_from(client, text, used)?;
        self.own.learned += 1;
        self.own.right += u64::from(right);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(right);
        self.changed();
        Ok(())
    }

    fn forget(&mut self, text: Option<&Spoken>) -> Result<bool, IntentError> {
        let known = match text {
            Some(text) => self.brain.predictor.forget(&text.0),
            None => {
                self.brain.predictor.forget_everything();
                self.own = LearnerFigures { writes: self.own.writes, ..LearnerFigures::default() };
                self.recent.clear();
                true
            }
        };
        if let Some(after) = &self.after_retrain {
            after.forget();
        }
        // Even a text that is not learned from any more may stand in the file.
        if known {
            self.cancel_retrain();
        }
        self.has_freed = true;
        self.brain.save_without_trace().map_err(|e| IntentError::Store(e.to_string()))?;
        self.dirty = None;
        self.failing.succeeded();
        Ok(known)
    }

    /// The time until the state is to be written or a retrain that is due may start.
    fn wake_after(&self) -> Option<Duration> {
        let now = self.clock.now();
        let after = self.brain.settings.write_after;
        let write = self.dirty.map(|since| after.saturating_sub(now.since(since)));
        let waits = self.retraining.is_none() && self.is_retrain_due();
        let retrain = waits.then(|| self.pace.wait(now));
        write.into_iter().chain(retrain).min()
    }

    fn is_retrain_due(&self) -> bool {
        self.brain.settings.learns() && self.brain.predictor.retrain_due()
    }

    /// Starts a retrain, if one is due and may start. Returns whether it did.
    fn retrain_if_due(&mut self) -> bool {
        if let Some(running) = &self.retraining {
            // Its last act is to send what it made; without that it has come to grief.
            if !(running.thread.is_finished() && self.inbox.is_empty()) {
                return false;
            }
            tracing::error!("a retrain ended without a result");
            self.retraining = None;
        }
        let started = self.clock.now();
        let may_start =
            self.brain.predictor.retrain_required() || self.pace.wait(started).is_zero();
        if !self.is_retrain_due() || !may_start {
            return false;
        }
        let job = self.brain.predictor.retrain_job();
        self.n_retrainings += 1;
        let number = self.n_retrainings;
        let cancel = Arc::new(AtomicBool::new(false));
        let (to, cancelled) = (self.to.clone(), Arc::clone(&cancel));
        let spawned = std::thread::Builder::new().name("majordomo-train".into()).spawn(move || {
            let result = job.run(&cancelled);
            // No receiver: the manager has ended.
            drop(to.send(Message::Trained(number, Box::new(result))));
        });
        match spawned {
            Ok(thread) => self.retraining = Some(Retraining { number, started, cancel, thread }),
            Err(error) => {
                tracing::warn!(%error, "no thread for a retrain");
                self.pace.put_off(started, NO_THREAD);
            }
        }
        self.retraining.is_some()
    }

    fn trained(&mut self, number: u64, result: Result<Candidate, TrainError>) {
        // A cancelled retrain may still send its result.
        let Some(running) = self.retraining.take_if(|r| r.number == number) else { return };
        drop(running.thread.join());
        self.has_freed = true;
        let pause = self.brain.settings.intents.retrain_pause;
        self.pace.ended(running.started, self.clock.now(), pause);
        match result {
            Ok(candidate) => match self.brain.predictor.install(candidate) {
                Verdict::Accepted { version } => {
                    tracing::debug!(version, "a retrained model answers from now on");
                    self.changed();
                    self.report_model();
                }
                Verdict::Rejected(report) => {
                    tracing::debug!(?report, "a retrained model did worse and was turned away");
                    self.changed();
                }
                Verdict::Stale => {}
            },
            Err(error) => tracing::debug!(%error, "a retrain was broken off"),
        }
    }

    /// Reports the model and the kept outcomes to the follower, if there are both.
    fn report_model(&mut self) {
        if let Some(after) = &self.after_retrain
            && let Some(job) = self.brain.predictor.rescore_job()
        {
            after.replaced(job);
        }
    }

    /// Breaks a retrain off and waits for its thread, which looks before every example.
    fn cancel_retrain(&mut self) {
        if let Some(running) = self.retraining.take() {
            running.cancel.store(true, Ordering::Relaxed);
            drop(running.thread.join());
        }
    }

    /// Shows queries and the status what there is now.
    fn publish(&mut self) {
        let predictor = &self.brain.predictor;
        let ever = predictor.prequential();
        self.own.retrains = ever.n_retrains;
        self.own.rejected = ever.n_rejected;
        self.own.outcomes = predictor.n_outcomes();
        self.own.bytes = predictor.memory_bytes();
        self.own.retraining = self.retraining.is_some();
        self.own.recent =
            (self.recent.iter().filter(|r| **r).count() as u64, self.recent.len() as u64);
        self.own.state = match (self.brain.is_kept(), self.dirty, self.failing.why()) {
            (false, ..) => "none: what is learned is forgotten at the end".to_owned(),
            (true, None, _) => "up to date".to_owned(),
            (true, Some(_), None) => "to be written".to_owned(),
            (true, Some(_), Some(why)) => format!("to be written, after a failure: {why}"),
        };
        let view = self.brain.view(self.own.clone());
        self.view.store(Arc::new(view));
    }

    fn save(&mut self) {
        self.has_freed = true;
        match self.brain.save() {
            Ok(()) => {
                self.dirty = None;
                self.own.writes += 1;
                if self.failing.succeeded() {
                    tracing::info!("what was learned from texts is written again");
                }
            }
            // Tried again after the usual pause.
            Err(error) => {
                let now = self.clock.now();
                self.dirty = Some(now);
                let why = error.to_string();
                if let Some(suppressed) = self.failing.failed(&why, now) {
                    tracing::warn!(
                        why,
                        suppressed,
                        "what was learned from texts cannot be written; it is kept and tried again"
                    );
                }
            }
        }
        self.publish();
    }

    /// The last writes. Outcomes that wait still are learned first.
    fn finish(mut self) {
        self.cancel_retrain();
        for message in self.inbox.clone().try_iter() {
            if let Message::Learn { .. } = message {
                self.take(message);
            }
        }
        if self.dirty.is_some() {
            self.save();
        }
    }
}
