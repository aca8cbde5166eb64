//! A back end on a thread of its own: queue, batching, time-outs.
//!
//! Frameworks such as Core ML give objects that may not leave their thread, and calls that may never return. This half of
//! the runtime is the same on every platform. Owns the thread and the queue; does not know what a [`Session`] does. Another
//! model has another back end, which takes its place in [`Selected`](crate::Selected). Invariants: a caller waits no longer
//! than its time-out; after a panic or [`MAX_TIME_OUTS`] time-outs in a row nothing is asked any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use majordomo_predictor::{Backend, BackendError, Capabilities, WeightsId};

/// Time-outs in a row after which the thread counts as hung. Callers that wait at the same time have one time-out together.
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

/// A batch that waits.
struct Work {
    rows: usize,
    inputs: Vec<f32>,
    reply: Sender<Result<Vec<f32>, BackendError>>,
}

/// The sizes of the session, read without asking its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    weights: WeightsId,
    n_inputs: usize,
    n_outputs: usize,
    max_rows: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// Why nothing is asked any more.
    ended: OnceLock<String>,
    /// Time-outs since the last answer. A statistic that decides when to give up: `Relaxed` suffices.
    n_time_outs: AtomicU32,
}

/// A back end whose session lives on one thread.
#[derive(Debug)]
pub struct QueuedBackend {
    name: String,
    bits: u8,
    limits: QueueLimits,
    sizes: Sizes,
    to: SyncSender<Work>,
    shared: Arc<Shared>,
}

impl QueuedBackend {
    /// Starts the thread and opens the session on it.
    ///
    /// # Errors
    /// When there is no thread, and those of the opening; [`BackendError::TimedOut`] when it took longer than the limit.
    pub fn start(
        name: &str,
        bits: u8,
        limits: QueueLimits,
        opening: Opening,
    ) -> Result<Self, BackendError> {
        let (to, inbox) = sync_channel(limits.waiting.max(1));
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let (reply, opened) = channel();
        std::thread::Builder::new()
            .name("majordomo-coreml".into())
            .spawn(move || serve(opening, &reply, &inbox, &own))
            .map_err(|error| BackendError::Failed(format!("no thread: {error}")))?;
        let sizes = opened.recv_timeout(limits.opening).map_err(|error| match error {
            RecvTimeoutError::Timeout => BackendError::TimedOut(limits.opening),
            RecvTimeoutError::Disconnected => ended(&shared),
        })??;
        Ok(Self { name: name.to_owned(), bits, limits, sizes, to, shared })
    }

    fn send(&self, work: Work) -> Result<(), BackendError> {
        if let Some(why) = self.shared.ended.get() {
            return Err(BackendError::Ended(why.clone()));
        }
        self.to.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => BackendError::Busy(self.limits.waiting.max(1)),
            TrySendError::Disconnected(_) => ended(&self.shared),
        })
    }

    /// Waits for the answer of a batch, which was sent after `n_before` time-outs in a row.
    fn wait(
        &self,
        answer: &Receiver<Result<Vec<f32>, BackendError>>,
        n_before: u32,
    ) -> Result<Vec<f32>, BackendError> {
        let (shared, time) = (&self.shared, self.limits.time_out);
        match answer.recv_timeout(time) {
            Ok(answer) => {
                shared.n_time_outs.store(0, Ordering::Relaxed);
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                // Another caller that waited beside this one has counted it.
                let counted = shared.n_time_outs.compare_exchange(
                    n_before,
                    n_before + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if counted.is_ok() && n_before + 1 >= MAX_TIME_OUTS {
                    let _ = shared.ended.set(format!("{MAX_TIME_OUTS} time-outs in a row"));
                }
                Err(BackendError::TimedOut(time))
            }
            Err(RecvTimeoutError::Disconnected) => Err(ended(shared)),
        }
    }
}

fn ended(shared: &Shared) -> BackendError {
    let why = shared.ended.get().cloned();
    BackendError::Ended(why.unwrap_or_else(|| "its thread has ended".to_owned()))
}

impl Backend for QueuedBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn weights_id(&self) -> WeightsId {
        self.sizes.weights
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { max_rows: self.sizes.max_rows, bits: self.bits }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        if rows.checked_mul(self.sizes.n_inputs) != Some(units.len())
            || rows.checked_mul(self.sizes.n_outputs) != Some(out.len())
        {
            return Err(BackendError::Shape { rows, n_units: units.len(), n_scores: out.len() });
        }
        if rows == 0 {
            return Ok(());
        }
        let (reply, answer) = channel();
        let n_time_outs = self.shared.n_time_outs.load(Ordering::Relaxed);
        self.send(Work { rows, inputs: units.to_vec(), reply })?;
        out.copy_from_slice(&self.wait(&answer, n_time_outs)?);
        Ok(())
    }
}

type Waiting = (usize, Sender<Result<Vec<f32>, BackendError>>);

/// The thread: opens the session, then takes work until every sender is gone.
fn serve(
    opening: Opening,
    opened: &Sender<Result<Sizes, BackendError>>,
    inbox: &Receiver<Work>,
    shared: &Shared,
) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let mut session = match opening() {
            Ok(session) => session,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let sizes = Sizes {
            weights: session.weights_id(),
            n_inputs: session.n_inputs(),
            n_outputs: session.n_outputs(),
            max_rows: session.max_rows().max(1),
        };
        // No receiver: the time to open it has passed.
        if opened.send(Ok(sizes)).is_ok() {
            take_work(&mut *session, sizes, inbox);
        }
    }));
    if let Err(panic) = served {
        // Its replies were dropped with it, which their receivers see.
        let _ = shared.ended.set(format!("its thread panicked: {}", words(&*panic)));
    }
}

fn take_work(session: &mut dyn Session, sizes: Sizes, inbox: &Receiver<Work>) {
    let mut next = None;
    while let Some(work) = next.take().or_else(|| inbox.recv().ok()) {
        let Work { rows, inputs: mut all, reply } = work;
        let (mut waiting, mut n_rows) = (vec![(rows, reply)], rows);
        // Batches that wait already are answered by the same call.
        while n_rows < sizes.max_rows {
            match inbox.try_recv() {
                Ok(work) if n_rows + work.rows <= sizes.max_rows => {
                    all.extend_from_slice(&work.inputs);
                    waiting.push((work.rows, work.reply));
                    n_rows += work.rows;
                }
                Ok(longer) => {
                    next = Some(longer);
                    break;
                }
                Err(_) => break,
            }
        }
        answer(session, sizes, &all, n_rows, waiting);
    }
}

/// One call or, where a single batch is longer than the session takes, several.
fn answer(
    session: &mut dyn Session,
    sizes: Sizes,
    inputs: &[f32],
    n_rows: usize,
    waiting: Vec<Waiting>,
) {
    let Sizes { n_inputs, n_outputs, max_rows: most, .. } = sizes;
    let mut out = vec![0.0; n_rows * n_outputs];
    let calls = inputs.chunks(most * n_inputs).zip(out.chunks_mut(most * n_outputs));
    let mut result = Ok(());
    for (inputs, out) in calls {
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
