//! Models of components: named arrays in, named arrays out, on a thread of their own.
//!
//! Owns the thread and the time-outs; does not know the platform. Invariants: a prediction waits no longer than its time-out;
//! the model is dropped on the thread that opened it, and is gone when the handle is: its memory counts as free then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread::JoinHandle;
use std::time::Duration;

use majordomo_predictor::BackendError;

use crate::arrays::{ModelInput, Tensor};

/// The devices that Core ML may use. All of them at once is not among the values: it can abort the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputeUnits {
    /// The processor alone.
    CpuOnly,
    /// The processor and the graphics chip.
    CpuAndGpu,
    /// The processor and the Neural Engine.
    #[default]
    CpuAndNeuralEngine,
}

/// A loaded model on the thread that opened it.
pub trait TensorModel {
    /// Computes the outputs that are arrays, ordered by name.
    ///
    /// # Errors
    /// Inputs that the model does not have, and whatever the platform reports.
    fn predict(&mut self, inputs: &[ModelInput]) -> Result<Vec<Tensor>, BackendError>;
}

/// Opens a model on the thread that keeps it.
pub type OpenModel = Box<dyn FnOnce() -> Result<Box<dyn TensorModel>, BackendError> + Send>;

type Job = (Vec<ModelInput>, Sender<Result<Vec<Tensor>, BackendError>>);

/// Predictions that wait.
const WAITING: usize = 64;

/// A model of a component, ready to predict. Dropping it unloads the model and waits for that, and for a prediction that is
/// under way.
#[derive(Debug)]
pub struct TensorThread {
    /// Present until the drop.
    to: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl TensorThread {
    /// Starts the thread and opens the model on it. Blocks until it is open or has failed: a model that opens late takes memory
    /// until it is dropped.
    ///
    /// # Errors
    /// Those of the opening; [`BackendError::TimedOut`] when it took longer than `time_out`.
    pub fn start(time_out: Duration, open: OpenModel) -> Result<Self, BackendError> {
        let (to, inbox) = sync_channel::<Job>(WAITING);
        let (opened, answer) = channel();
        let thread = std::thread::Builder::new()
            .name("majordomo-model".into())
            .spawn(move || serve(open, &opened, &inbox))
            .map_err(|error| BackendError::Failed(format!("no thread: {error}")))?;
        // Dropped where the opening fails or is late.
        let model = Self { to: Some(to), thread: Some(thread) };
        wait(&answer, time_out)??;
        Ok(model)
    }

    /// Whether the model can be asked: its thread has not ended.
    ///
    /// # Errors
    /// [`BackendError::Ended`] after a panic.
    pub fn health(&self) -> Result<(), BackendError> {
        match &self.thread {
            Some(thread) if !thread.is_finished() => Ok(()),
            _ => Err(ended()),
        }
    }

    /// Computes the outputs for inputs. Blocks, at most for `time_out`.
    ///
    /// # Errors
    /// Inputs whose numbers do not fit their shape, and those of [`BackendError`].
    pub fn predict(
        &self,
        inputs: Vec<ModelInput>,
        time_out: Duration,
    ) -> Result<Vec<Tensor>, BackendError> {
        inputs.iter().try_for_each(ModelInput::check)?;
        let (reply, answer) = channel();
        let to = self.to.as_ref().ok_or_else(ended)?;
        to.try_send((inputs, reply)).map_err(|error| match error {
            TrySendError::Full(_) => BackendError::Busy(WAITING),
            TrySendError::Disconnected(_) => ended(),
        })?;
        wait(&answer, time_out)?
    }
}

impl Drop for TensorThread {
    fn drop(&mut self) {
        // The thread ends when no prediction can come any more.
        self.to = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was reported to the waiting callers.
            let _ = thread.join();
        }
    }
}

fn wait<T>(answer: &Receiver<T>, time_out: Duration) -> Result<T, BackendError> {
    answer.recv_timeout(time_out).map_err(|error| match error {
        RecvTimeoutError::Timeout => BackendError::TimedOut(time_out),
        RecvTimeoutError::Disconnected => ended(),
    })
}

fn ended() -> BackendError {
    BackendError::Ended("its thread panicked".to_owned())
}

fn serve(open: OpenModel, opened: &Sender<Result<(), BackendError>>, inbox: &Receiver<Job>) {
    // A panic drops the replies, which their receivers see.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut model = match open() {
            Ok(model) => model,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        if opened.send(Ok(())).is_err() {
            return;
        }
        for (inputs, reply) in inbox {
            // No receiver: the caller's time-out has passed.
            let _ = reply.send(model.predict(&inputs));
        }
    }));
}

#[cfg(test)]
mod tests {
    use crate::arrays::TensorData;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Reverses its inputs; panics for an input called `panic`, waits for one called `wait`.
    struct Reverse(Receiver<()>);

    impl TensorModel for Reverse {
        fn predict(&mut self, inputs: &[ModelInput]) -> Result<Vec<Tensor>, BackendError> {
            let tensors = inputs.iter().filter_map(|input| match input {
                ModelInput::Tensor(tensor) => Some(tensor),
                ModelInput::Image { .. } => None,
            });
            let reversed = |tensor: &Tensor| {
                assert_ne!(tensor.name, "panic", "planted");
                if tensor.name == "wait" {
                    let _ = self.0.recv();
                }
                let data = match &tensor.data {
                    TensorData::F32(data) => data.iter().rev().copied().collect::<Vec<_>>().into(),
                    data => data.clone(),
                };
                Tensor { data, ..tensor.clone() }
            };
            Ok(tensors.map(reversed).collect())
        }
    }

    fn of_shape(name: &str, shape: &[usize]) -> ModelInput {
        let data = vec![1.0, 2.0].into();
        Tensor { name: name.to_owned(), shape: shape.into(), data }.into()
    }

    fn tensor(name: &str) -> ModelInput {
        of_shape(name, &[1, 2])
    }

    fn start() -> (TensorThread, Sender<()>) {
        let (word, gate) = channel();
        let open: OpenModel = Box::new(move || Ok(Box::new(Reverse(gate))));
        (TensorThread::start(LONG, open).expect("it opens"), word)
    }

    #[test]
    fn predictions_are_made_on_the_models_thread() {
        let (model, _word) = start();
        let out = model.predict(vec![tensor("x")], LONG).expect("an answer");
        assert_eq!(out[0].data.as_f32(), Some(&[2.0, 1.0][..]));
        for wrong in [&[3][..], &[usize::MAX, 2]] {
            let refused = model.predict(vec![of_shape("x", wrong)], LONG);
            assert!(matches!(refused, Err(BackendError::Failed(_))), "{refused:?}");
        }
    }

    #[test]
    fn model_is_gone_when_its_handle_is() {
        struct Reporting(Sender<()>);
        impl TensorModel for Reporting {
            fn predict(&mut self, _: &[ModelInput]) -> Result<Vec<Tensor>, BackendError> {
                Ok(Vec::new())
            }
        }
        impl Drop for Reporting {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (dropped, is_dropped) = channel();
        let open: OpenModel = Box::new(move || Ok(Box::new(Reporting(dropped))));
        drop(TensorThread::start(LONG, open).expect("it opens"));
        assert_eq!(is_dropped.try_recv(), Ok(()));
        // One that opens late is gone when the failure is known.
        let (dropped, is_dropped) = channel();
        let (word, gate) = channel::<()>();
        let open: OpenModel = Box::new(move || {
            let _ = gate.recv();
            Ok(Box::new(Reporting(dropped)))
        });
        let short = Duration::from_millis(5);
        let late = std::thread::spawn(move || TensorThread::start(short, open).err());
        drop(word);
        let _ = late.join().expect("no panic");
        assert_eq!(is_dropped.try_recv(), Ok(()));
    }

    #[test]
    fn time_outs_panics_and_failed_openings_are_errors() {
        let (model, word) = start();
        let short = Duration::from_millis(5);
        let late = model.predict(vec![tensor("wait")], short);
        assert_eq!(late, Err(BackendError::TimedOut(short)));
        drop(word);
        assert!(model.predict(vec![tensor("x")], LONG).is_ok());
        assert_eq!(model.health(), Ok(()));
        assert_eq!(model.predict(vec![tensor("panic")], LONG), Err(ended()));
        assert_eq!(model.predict(vec![tensor("x")], LONG), Err(ended()));
        while model.health().is_ok() {
            std::thread::yield_now();
        }
        let failing: OpenModel = Box::new(|| Err(BackendError::Failed("no model".to_owned())));
        let failed = TensorThread::start(LONG, failing);
        assert_eq!(failed.err(), Some(BackendError::Failed("no model".to_owned())));
    }
}
