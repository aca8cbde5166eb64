//! A back end on a thread of its own: queue, batching, time-outs, swapping of models.
//!
//! Frameworks such as Core ML give objects that may not leave their thread, and calls that may never return. This half of
//! the runtime is the same on every platform. Owns the thread and the queue; does not know what a [`Session`] does.
//! Invariants: a caller waits no longer than its time-out; a session is replaced only by one that was made; after a panic
//! or [`MAX_TIME_OUTS`] time-outs in a row nothing is asked any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use majordomo_predictor::{Backend, BackendError, Capabilities, WeightsId};

/// Time-outs in a row after which the thread counts as hung.
pub const MAX_TIME_OUTS: u32 = 3;

/// A loaded model on the thread that made it.
pub trait Session {
    /// Length of an input row.
    fn n_inputs(&self) -> usize;

    /// Length of an output row.
    fn n_outputs(&self) -> usize;

    /// As [`Backend::weights_id`], for the loaded model.
    fn weights_id(&self) -> WeightsId;

    /// Most rows of one call, from 1.
    fn max_rows(&self) -> usize;

    /// Computes the outputs of `rows` rows; the lengths fit.
    ///
    /// # Errors
    /// Whatever the platform reports.
    fn predict(&mut self, rows: usize, inputs: &[f32], out: &mut [f32])
    -> Result<(), BackendError>;
}

/// Makes a session on the thread that keeps it.
pub type Opening = Box<dyn FnOnce() -> Result<Box<dyn Session>, BackendError> + Send>;

/// How much may wait at a [`QueuedBackend`], and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Batches that wait. Range 1.., default 64.
    pub waiting: usize,
    /// Time from a call to its answer. Default 1 s.
    pub time_out: Duration,
    /// Time to make a session. Default 60 s: a model may be compiled for a device.
    pub opening: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { waiting: 64, time_out: Duration::from_secs(1), opening: Duration::from_secs(60) }
    }
}

enum Work {
    Infer {
        /// Rows for another model are refused.
        weights: WeightsId,
        rows: usize,
        inputs: Vec<f32>,
        reply: Sender<Result<Vec<f32>, BackendError>>,
    },
    Open(Opening, Sender<Result<(), BackendError>>),
}

/// The sizes of the session in use, read without asking its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    weights: WeightsId,
    n_inputs: usize,
    n_outputs: usize,
    max_rows: usize,
}

#[derive(Debug, Default)]
struct Shared {
    sizes: Mutex<Option<Sizes>>,
    /// Why nothing is asked any more.
    ended: OnceLock<String>,
    /// Time-outs since the last answer. A statistic that decides when to give up: `Relaxed` suffices.
    n_time_outs: AtomicU32,
    /// Calls of the session, for tests and figures.
    n_calls: AtomicUsize,
    /// Pieces of work that were sent and not taken.
    n_waiting: AtomicUsize,
}

impl Shared {
    fn sizes(&self) -> Option<Sizes> {
        *self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A back end whose sessions live on one thread.
#[derive(Debug)]
pub struct QueuedBackend {
    name: String,
    bits: u8,
    limits: QueueLimits,
    to: SyncSender<Work>,
    shared: Arc<Shared>,
}

impl QueuedBackend {
    /// Starts the thread and opens the first session on it.
    ///
    /// # Errors
    /// When there is no thread, and those of the opening.
    pub fn start(
        name: &str,
        bits: u8,
        limits: QueueLimits,
        opening: Opening,
    ) -> Result<Self, BackendError> {
        let (to, inbox) = sync_channel(limits.waiting.max(1));
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("majordomo-coreml".into())
            .spawn(move || serve(&inbox, &own))
            .map_err(|error| BackendError::Failed(format!("no thread: {error}")))?;
        let out = Self { name: name.to_owned(), bits, limits, to, shared };
        out.swap(opening)?;
        Ok(out)
    }

    /// Opens another session; the one in use answers until it is open, and stays where the opening fails.
    ///
    /// # Errors
    /// Those of the opening; [`BackendError::TimedOut`].
    pub fn swap(&self, opening: Opening) -> Result<(), BackendError> {
        let (reply, answer) = channel();
        self.send(Work::Open(opening, reply))?;
        self.wait(&answer, self.limits.opening)?
    }

    /// Calls of sessions so far: fewer than batches where these were joined.
    #[must_use]
    pub fn n_calls(&self) -> usize {
        self.shared.n_calls.load(Ordering::Relaxed)
    }

    fn send(&self, work: Work) -> Result<(), BackendError> {
        if let Some(why) = self.shared.ended.get() {
            return Err(BackendError::Ended(why.clone()));
        }
        self.shared.n_waiting.fetch_add(1, Ordering::Relaxed);
        self.to.try_send(work).map_err(|error| {
            self.shared.n_waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => BackendError::Busy(self.limits.waiting.max(1)),
                TrySendError::Disconnected(_) => self.ended(),
            }
        })
    }

    fn wait<T>(&self, answer: &Receiver<T>, time: Duration) -> Result<T, BackendError> {
        match answer.recv_timeout(time) {
            Ok(answer) => {
                self.shared.n_time_outs.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Err(RecvTimeoutError::Timeout) => {
                if self.shared.n_time_outs.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_TIME_OUTS {
                    let _ = self.shared.ended.set(format!("{MAX_TIME_OUTS} time-outs in a row"));
                }
                Err(BackendError::TimedOut(time))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    fn ended(&self) -> BackendError {
        let why = self.shared.ended.get().cloned();
        BackendError::Ended(why.unwrap_or_else(|| "its thread has ended".to_owned()))
    }
}

impl Backend for QueuedBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn weights_id(&self) -> WeightsId {
        self.shared.sizes().map(|sizes| sizes.weights).unwrap_or_default()
    }

    fn capabilities(&self) -> Capabilities {
        let max_rows = self.shared.sizes().map_or(1, |sizes| sizes.max_rows.max(1));
        Capabilities { max_rows, bits: self.bits }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        let sizes = self.shared.sizes().ok_or_else(|| self.ended())?;
        if rows.checked_mul(sizes.n_inputs) != Some(units.len())
            || rows.checked_mul(sizes.n_outputs) != Some(out.len())
        {
            return Err(BackendError::Shape { rows, n_units: units.len(), n_scores: out.len() });
        }
        if rows == 0 {
            return Ok(());
        }
        let (reply, answer) = channel();
        let inputs = units.to_vec();
        self.send(Work::Infer { weights: sizes.weights, rows, inputs, reply })?;
        out.copy_from_slice(&self.wait(&answer, self.limits.time_out)??);
        Ok(())
    }
}

type Waiting = (usize, Sender<Result<Vec<f32>, BackendError>>);

/// The thread: takes work until every sender is gone.
fn serve(inbox: &Receiver<Work>, shared: &Shared) {
    let mut session: Option<Box<dyn Session>> = None;
    let mut next = None;
    loop {
        let taken = |work| {
            shared.n_waiting.fetch_sub(1, Ordering::Relaxed);
            work
        };
        let Some(work) = next.take().or_else(|| inbox.recv().ok().map(taken)) else { return };
        let result = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Open(opening, reply) => {
                let _ =
                    reply.send(opening().map(|opened| use_session(&mut session, opened, shared)));
            }
            Work::Infer { weights, rows, inputs, reply } => {
                let Some(session) = session.as_deref_mut() else {
                    let _ = reply.send(Err(BackendError::Ended("no model is open".to_owned())));
                    return;
                };
                if session.weights_id() != weights {
                    let _ = reply.send(Err(replaced()));
                    return;
                }
                let (mut all, mut waiting) = (inputs, vec![(rows, reply)]);
                let mut n_rows = rows;
                // Batches that wait already are answered by the same call.
                while n_rows < session.max_rows() {
                    match inbox.try_recv().map(taken) {
                        Ok(Work::Infer { weights: of, rows, inputs, reply })
                            if of == weights && n_rows + rows <= session.max_rows() =>
                        {
                            all.extend_from_slice(&inputs);
                            waiting.push((rows, reply));
                            n_rows += rows;
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                answer(session, n_rows, &all, waiting, shared);
            }
        }));
        if let Err(panic) = result {
            // The session's state is unknown after a panic; its replies were dropped with it.
            let _ = shared.ended.set(format!("its thread panicked: {}", words(&*panic)));
            return;
        }
    }
}

fn use_session(current: &mut Option<Box<dyn Session>>, opened: Box<dyn Session>, shared: &Shared) {
    let sizes = Sizes {
        weights: opened.weights_id(),
        n_inputs: opened.n_inputs(),
        n_outputs: opened.n_outputs(),
        max_rows: opened.max_rows().max(1),
    };
    *current = Some(opened);
    *shared.sizes.lock().unwrap_or_else(PoisonError::into_inner) = Some(sizes);
}

fn replaced() -> BackendError {
    BackendError::Ended("the model was replaced".to_owned())
}

/// One call or, where a single batch is longer than the session takes, several.
fn answer(
    session: &mut dyn Session,
    n_rows: usize,
    inputs: &[f32],
    waiting: Vec<Waiting>,
    shared: &Shared,
) {
    let (n_inputs, n_outputs) = (session.n_inputs(), session.n_outputs());
    let most = session.max_rows().max(1);
    let mut out = vec![0.0; n_rows * n_outputs];
    let calls = inputs.chunks(most * n_inputs).zip(out.chunks_mut(most * n_outputs));
    let mut result = Ok(());
    for (inputs, out) in calls {
        shared.n_calls.fetch_add(1, Ordering::Relaxed);
        result = session.predict(inputs.len() / n_inputs, inputs, out);
        if result.is_err() {
            break;
        }
    }
    let mut at = 0;
    for (rows, reply) in waiting {
        let own = &out[at..at + rows * n_outputs];
        at += own.len();
        // No receiver: the caller's time-out has passed.
        let _ = reply.send(result.clone().map(|()| own.to_vec()));
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
