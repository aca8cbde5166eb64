//! Back ends for the current model, off every hot path: exports, calibrates, swaps.
//!
//! Owns one thread and the back ends that are in use. The newest job replaces one that still waits. Invariants: readers get
//! a back end with its weights, never a half-made one; after any failure, a panic of the maker included, the kernels
//! answer, and the reason is shown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo_predictor::{Backend, DenseWeights, Probes, WeightsId};

use crate::calibration::run::{Chosen, Run};
use crate::calibration::spawn::{ChildCommand, Children, is_child};
use crate::calibration::{Candidate, Maker, Plan};
use crate::selected::Selected;

/// A caller that wants the thread to be done with the exported models waits so long at most: a framework may hang.
const END: Duration = Duration::from_secs(5);

/// Where calibrations are kept; bytes by the part of the model.
pub trait CalibrationStore: Send {
    /// The calibration that was kept last for this part of the model.
    fn read(&self, part: &str) -> Option<Vec<u8>>;

    /// Keeps a calibration; the one before it is replaced. A failure costs another calibration, no more.
    fn write(&self, part: &str, bytes: Vec<u8>);

    /// Removes all of them.
    fn clear(&self);
}

/// A store that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl CalibrationStore for NoStore {
    fn read(&self, _part: &str) -> Option<Vec<u8>> {
        None
    }

    fn write(&self, _part: &str, _bytes: Vec<u8>) {}

    fn clear(&self) {}
}

/// The parts that the service works with.
pub struct ServiceConfig {
    /// Makes the back ends, as the maker of the child does.
    pub maker: Arc<dyn Maker>,
    /// The calibration child; none = no back end but the kernels, with the reason given here.
    pub child: Result<ChildCommand, String>,
    /// Starts the children.
    pub children: Box<dyn Children>,
    /// Exported models, which no other user may read; emptied for each set of weights.
    pub folder: PathBuf,
    /// How back ends are measured.
    pub plan: Plan,
    /// Where calibrations are kept.
    pub store: Box<dyn CalibrationStore + Sync>,
}

impl std::fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceConfig").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// One set of weights of a job.
#[derive(Clone, Debug)]
pub struct Part {
    /// `model` or `prior`; a folder's name.
    pub name: &'static str,
    /// The dense layers, with rows to check and measure with; where there are few, pseudo-random ones are added.
    pub probes: Probes,
}

/// Runs when the back ends of a job are in use, with one for each of its parts.
pub type Then = Box<dyn FnOnce(&[Arc<Selected>]) + Send>;

/// The state of one part, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartReport {
    /// Version of the snapshot that the weights were taken from.
    pub version: u64,
    /// Which weights.
    pub weights: WeightsId,
    /// Rows that were answered with these weights: by the kernels, by another back end.
    pub rows_answered: (u64, u64),
    /// By bucket of [`BUCKETS`](crate::BUCKETS), the name of the back end.
    pub chosen: Vec<String>,
    /// Whether the times were read instead of measured.
    pub is_cached: bool,
    /// Back ends that were measured, and those that were rejected with the reason.
    pub candidates: Vec<Candidate>,
    /// Why only the kernels answer, where something failed.
    pub failure: Option<String>,
}

/// The thread and what it made.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    config: Arc<ServiceConfig>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Option<(Vec<Part>, Then)>,
    is_working: bool,
    is_ending: bool,
    has_ended: bool,
    /// Rises when models are forgotten: a job that began before is dropped.
    epoch: u64,
    current: Vec<(&'static str, Arc<Selected>, PartReport)>,
    n_calibrations: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("current", &self.current).finish_non_exhaustive()
    }
}

impl State {
    /// Whether a job of this epoch is dropped.
    fn is_over(&self, epoch: u64) -> bool {
        self.is_ending || self.epoch != epoch
    }
}

impl Shared {
    /// A thread that panicked left the state whole: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Starts the thread. In a calibration child it starts no children: its `main` lacks the call that ends it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(mut config: ServiceConfig) -> std::io::Result<Self> {
        if is_child() {
            config.child = Err("a calibration child starts no other".to_owned());
        }
        let shared = Arc::new(Shared::default());
        let config = Arc::new(config);
        let worker = Worker { config: Arc::clone(&config), shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("majordomo-backend".into()).spawn(move || worker.run())?;
        Ok(Self { shared, config })
    }

    /// Hands in the weights of a new model; `then` runs on the service's thread when their back ends are in use. Returns at
    /// once. A job that still waits is dropped.
    pub fn submit(&self, parts: Vec<Part>, then: Then) {
        self.shared.lock().waiting = Some((parts, then));
        self.shared.wake.notify_all();
    }

    /// Drops all jobs and back ends, and removes exported models and kept calibrations: they were made of what is forgotten. The
    /// kernels answer until the next job. Waits for a step that is under way, a few seconds at most.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.epoch += 1;
        state.waiting = None;
        state.current.clear();
        let done = self.shared.wake.wait_timeout_while(state, END, |state| state.is_working);
        drop(done);
        self.config.remove_models();
        self.config.store.clear();
    }

    /// Ends the thread and its child. Waits until it is done with the exported models, a few seconds at most.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        state.is_ending = true;
        self.shared.wake.notify_all();
        drop(self.shared.wake.wait_timeout_while(state, END, |state| !state.has_ended));
    }

    /// The state of all parts, and whether a calibration is under way. Failures since the choice are among the reasons.
    #[must_use]
    pub fn report(&self) -> (Vec<(&'static str, PartReport)>, bool) {
        let state = self.shared.lock();
        let parts = state.current.iter().map(|(name, selected, report)| {
            let mut report = report.clone();
            report.chosen = selected.names().map(str::to_owned).into();
            report.rows_answered = selected.rows_answered();
            report.failure = selected.failure().map(str::to_owned).or(report.failure);
            (*name, report)
        });
        (parts.collect(), state.is_working || state.waiting.is_some())
    }

    /// Calibrations whose times were measured and not read.
    #[must_use]
    pub fn n_calibrations(&self) -> u64 {
        self.shared.lock().n_calibrations
    }
}

impl Drop for Service {
    /// Ends the thread and its child, within a moment. Not waited for: see [`end`](Self::end).
    fn drop(&mut self) {
        self.shared.lock().is_ending = true;
        self.shared.wake.notify_all();
    }
}

impl ServiceConfig {
    /// A folder that is missing is no failure; one that stays is seen when it is made again.
    fn remove_models(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Worker {
    config: Arc<ServiceConfig>,
    shared: Arc<Shared>,
}

/// Says that the thread has ended, however it ends.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.is_working, state.has_ended) = (false, true);
        drop(state);
        self.0.wake.notify_all();
    }
}

impl Worker {
    fn run(self) {
        let _ending = Ending(&self.shared);
        while let Some((parts, then, epoch)) = self.next() {
            let made: Vec<_> = parts.into_iter().map(|part| self.part(part, epoch)).collect();
            let selected: Vec<Arc<Selected>> = made.iter().map(|m| Arc::clone(&m.1)).collect();
            let mut state = self.shared.lock();
            if state.is_over(epoch) {
                drop(state);
                self.config.remove_models();
                continue;
            }
            state.current = made;
            drop(state);
            if catch_unwind(AssertUnwindSafe(|| then(&selected))).is_err() {
                let why = "the work after the calibration panicked".to_owned();
                let mut state = self.shared.lock();
                state
                    .current
                    .iter_mut()
                    .for_each(|(.., report)| report.failure = Some(why.clone()));
            }
        }
    }

    /// The next job, with its epoch; none at the end.
    fn next(&self) -> Option<(Vec<Part>, Then, u64)> {
        let mut state = self.shared.lock();
        state.is_working = false;
        self.shared.wake.notify_all();
        loop {
            if state.is_ending {
                return None;
            }
            if let Some((parts, then)) = state.waiting.take() {
                state.is_working = true;
                return Some((parts, then, state.epoch));
            }
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn part(&self, part: Part, epoch: u64) -> (&'static str, Arc<Selected>, PartReport) {
        if let Some(kept) = self.in_use(&part) {
            return kept;
        }
        let Part { name, probes } = part;
        let weights = probes.weights().clone();
        let report = PartReport {
            version: weights.version(),
            weights: weights.id(),
            ..PartReport::default()
        };
        let made = catch_unwind(AssertUnwindSafe(|| {
            let chosen = self.chosen(name, probes, epoch)?;
            Ok(self.made(name, &weights, chosen, report.clone()))
        }));
        let failure = match made {
            Ok(Ok((selected, report))) => return (name, Arc::new(selected), report),
            Ok(Err(why)) => why,
            Err(_) => "making the back ends panicked".to_owned(),
        };
        let selected = Arc::new(Selected::kernels(weights));
        (name, selected, PartReport { failure: Some(failure), ..report })
    }

    fn chosen(&self, name: &'static str, probes: Probes, epoch: u64) -> Result<Chosen, String> {
        let Self { config, shared } = self;
        let run = Run {
            maker: &*config.maker,
            child: config.child.as_ref(),
            children: &*config.children,
            plan: config.plan,
            folder: config.folder.join(name),
            kept: &|| config.store.read(name),
            keep: &|bytes| {
                // Held while it is written: nothing is kept after it was forgotten.
                let state = shared.lock();
                if !state.is_over(epoch) {
                    config.store.write(name, bytes);
                }
            },
            is_cancelled: &|| shared.lock().is_over(epoch),
        };
        let chosen = run.choose(probes)?;
        shared.lock().n_calibrations += u64::from(chosen.simd.is_some() && !chosen.is_cached);
        Ok(chosen)
    }

    /// The back end in use, if it has these weights and did not fail: the prior stays while models change.
    fn in_use(&self, part: &Part) -> Option<(&'static str, Arc<Selected>, PartReport)> {
        let state = self.shared.lock();
        let (name, selected, report) = state.current.iter().find(|(name, selected, report)| {
            *name == part.name
                && selected.weights_id() == part.probes.weights().id()
                && selected.failure().is_none()
                && report.failure.is_none()
        })?;
        Some((*name, Arc::clone(selected), report.clone()))
    }

    /// Makes the chosen back ends in this process.
    fn made(
        &self,
        name: &'static str,
        weights: &DenseWeights,
        chosen: Chosen,
        mut report: PartReport,
    ) -> (Selected, PartReport) {
        let Chosen { by_bucket, simd, others, is_cached } = chosen;
        let folder = self.config.folder.join(name);
        let mut made: Vec<Option<Arc<dyn Backend>>> = vec![None; others.len()];
        for (at, candidate) in others.iter().enumerate() {
            if by_bucket.contains(&Some(at)) {
                match self.config.maker.make(&candidate.name, weights, &folder) {
                    Ok(back_end) => made[at] = Some(back_end),
                    Err(error) => report.failure = Some(format!("{}: {error}", candidate.name)),
                }
            }
        }
        let by_bucket = by_bucket.map(|at| at.and_then(|at| made[at].clone()));
        let selected = Selected::new(weights.clone(), by_bucket);
        report.chosen = selected.names().map(str::to_owned).into();
        report.is_cached = is_cached;
        report.candidates = simd.into_iter().chain(others).collect();
        (selected, report)
    }
}
