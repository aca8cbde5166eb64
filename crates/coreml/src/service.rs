//! Back ends for the current model, off every hot path: exports, calibrates, swaps.
//!
//! Owns one thread and the back ends that are in use. The newest job replaces one that still waits. Invariants: readers get
//! a back end with its weights, never a half-made one; after any failure, a panic of the maker included, the kernels
//! answer, and the reason is shown.

use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo_predictor::{Backend, DenseWeights, SimdBackend, WeightsId};

use crate::calibration::cache::{Calibration, CalibrationKey, machine};
use crate::calibration::check::Judge;
use crate::calibration::child::{ChildCommand, ask};
use crate::calibration::choice::choose;
use crate::calibration::{BUCKETS, Candidate, Maker, Measured, Plan, Rejection, Timing};
use crate::selected::Selected;

/// Rows that a back end is checked with where the caller has fewer.
const MIN_PROBES: usize = 64;
/// A caller that wants the thread to be done with the exported models waits so long at most: a framework may hang.
const END: Duration = Duration::from_secs(5);

/// Where calibrations are kept; bytes by the weights that they are of.
pub trait CalibrationStore: Send {
    /// The calibration that was kept last for these weights' part of the model.
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
    /// The dense layers.
    pub weights: DenseWeights,
    /// Rows of units to check and measure with; where there are few, pseudo-random ones are added.
    pub probes: Vec<f32>,
    /// By label; 0.5 where they are missing.
    pub thresholds: Vec<f32>,
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
    /// By bucket of [`BUCKETS`], the name of the back end.
    pub chosen: Vec<String>,
    /// Whether the calibration was read instead of made.
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
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(config: ServiceConfig) -> std::io::Result<Self> {
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

    /// The back end of these weights; none when those in use are for others, and the kernels answer.
    #[must_use]
    pub fn back_end(&self, weights: WeightsId) -> Option<Arc<Selected>> {
        let state = self.shared.lock();
        let found = state.current.iter().find(|(_, selected, _)| selected.weights_id() == weights);
        found.map(|(_, selected, _)| Arc::clone(selected))
    }

    /// The state of all parts, and whether a calibration is under way. Failures since the choice are among the reasons.
    #[must_use]
    pub fn report(&self) -> (Vec<(&'static str, PartReport)>, bool) {
        let state = self.shared.lock();
        let parts = state.current.iter().map(|(name, selected, report)| {
            let mut report = report.clone();
            report.chosen = selected.names().map(str::to_owned).into();
            report.failure = selected.failure().map(str::to_owned).or(report.failure);
            (*name, report)
        });
        (parts.collect(), state.is_working || state.waiting.is_some())
    }

    /// Calibrations that were made and not read.
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
            let made: Vec<_> = parts.iter().map(|part| self.part(part, epoch)).collect();
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

    fn part(&self, part: &Part, epoch: u64) -> (&'static str, Arc<Selected>, PartReport) {
        let weights = &part.weights;
        if let Some(kept) = self.kept(part) {
            return kept;
        }
        let report = PartReport {
            version: weights.version(),
            weights: weights.id(),
            ..PartReport::default()
        };
        let made = catch_unwind(AssertUnwindSafe(|| {
            let (calibration, is_cached) = self.calibrated(part, epoch)?;
            Ok(self.in_use(part, &calibration, is_cached))
        }));
        let failure = match made {
            Ok(Ok(made)) => return made,
            Ok(Err(why)) => why,
            Err(_) => "making the back ends panicked".to_owned(),
        };
        let selected = Arc::new(Selected::kernels(weights.clone()));
        (part.name, selected, PartReport { failure: Some(failure), ..report })
    }

    /// # Errors
    /// When the job is dropped: the service ends, or its model was forgotten.
    fn check(&self, epoch: u64) -> Result<(), String> {
        match self.shared.lock().is_over(epoch) {
            true => Err("the calibration was cancelled".to_owned()),
            false => Ok(()),
        }
    }

    /// The back end in use, if it has these weights and did not fail: the prior stays while models change.
    fn kept(&self, part: &Part) -> Option<(&'static str, Arc<Selected>, PartReport)> {
        let state = self.shared.lock();
        let (name, selected, report) = state.current.iter().find(|(name, selected, report)| {
            *name == part.name
                && selected.weights_id() == part.weights.id()
                && selected.failure().is_none()
                && report.failure.is_none()
        })?;
        Some((*name, Arc::clone(selected), report.clone()))
    }

    /// The calibration of these weights: read, or made by children.
    fn calibrated(&self, part: &Part, epoch: u64) -> Result<(Calibration, bool), String> {
        self.check(epoch)?;
        let names = self.config.maker.names();
        let (os_build, chip) = machine();
        let key = CalibrationKey {
            weights: part.weights.id().0,
            os_build,
            chip,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let folder = self.config.folder.join(part.name);
        if names.is_empty() {
            let none = Rejection::Failed("not measured: there is no other back end".to_owned());
            let simd = Candidate { name: SimdBackend::NAME.to_owned(), result: Err(none) };
            return Ok((Calibration { key, simd, others: Vec::new() }, false));
        }
        let child = self.config.child.as_ref().map_err(Clone::clone)?;
        // Models of other weights are of no use any more, and must not be taken for those of these.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("no folder for exported models: {error}"));
            }
            _ => {}
        }
        // Weights are learned from what users said.
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private
            .create(&folder)
            .map_err(|error| format!("no folder for exported models: {error}"))?;
        self.config
            .maker
            .prepare(&part.weights, &folder)
            .map_err(|error| format!("the model was not exported: {error}"))?;
        let kept = self.config.store.read(part.name);
        if let Some(kept) = kept.and_then(|bytes| Calibration::decode(&bytes, &key)) {
            return Ok((kept, true));
        }
        let is_over = || self.shared.lock().is_over(epoch);
        let probes = with_random_rows(&part.probes, part.weights.n_hidden());
        let judge = Judge::new(&part.weights, &part.thresholds, &probes);
        let measure = |name: &str| {
            let result =
                ask(child, name, &part.weights, &probes, &folder, self.config.plan, &is_over);
            let result = result.and_then(|report| {
                let [before, after] = &report.scores;
                let difference = judge.judge(before)?.max(judge.judge(after)?);
                let (timings, placement) = (report.timings, report.placement);
                Ok(Measured { name: name.to_owned(), difference, timings, placement })
            });
            Candidate { name: name.to_owned(), result }
        };
        let simd = measure(SimdBackend::NAME);
        let mut others = Vec::new();
        for name in &names {
            self.check(epoch)?;
            others.push(measure(name));
        }
        let calibration = Calibration { key, simd, others };
        let state = self.shared.lock();
        if state.is_over(epoch) {
            return Err("the calibration was cancelled".to_owned());
        }
        // A result that a busy machine or a missing program spoiled may be otherwise next time.
        if calibration.is_final() {
            self.config.store.write(part.name, calibration.encode());
        }
        drop(state);
        self.shared.lock().n_calibrations += 1;
        Ok((calibration, false))
    }

    /// Makes the chosen back ends in this process.
    fn in_use(
        &self,
        part: &Part,
        calibration: &Calibration,
        is_cached: bool,
    ) -> (&'static str, Arc<Selected>, PartReport) {
        let chosen = choose(&calibration.simd, &calibration.others);
        let folder = self.config.folder.join(part.name);
        let mut made: Vec<Option<Arc<dyn Backend>>> = vec![None; calibration.others.len()];
        let mut failure = None;
        for (at, candidate) in calibration.others.iter().enumerate() {
            if chosen.contains(&Some(at)) {
                match self.config.maker.make(&candidate.name, &part.weights, &folder) {
                    Ok(back_end) => made[at] = Some(back_end),
                    Err(error) => failure = Some(format!("{}: {error}", candidate.name)),
                }
            }
        }
        let by_bucket = chosen.map(|at| at.and_then(|at| made[at].clone()));
        let selected = Arc::new(Selected::new(part.weights.clone(), by_bucket));
        let simd = calibration.simd.result.is_ok() || !calibration.others.is_empty();
        let candidates =
            simd.then(|| calibration.simd.clone()).into_iter().chain(calibration.others.clone());
        let report = PartReport {
            version: part.weights.version(),
            weights: part.weights.id(),
            chosen: selected.names().map(str::to_owned).into(),
            is_cached,
            candidates: candidates.collect(),
            failure,
        };
        (part.name, selected, report)
    }
}

impl PartReport {
    /// The times of a measured back end at a bucket.
    #[must_use]
    pub fn timing(&self, name: &str, rows: usize) -> Option<&Timing> {
        let candidate = self.candidates.iter().find(|candidate| candidate.name == name)?;
        candidate.result.as_ref().ok()?.timings.iter().find(|t| t.rows as usize == rows)
    }
}

/// The caller's rows, and pseudo-random ones where they are few; the seed is fixed.
fn with_random_rows(probes: &[f32], n_hidden: usize) -> Vec<f32> {
    let whole = probes.len() / n_hidden * n_hidden;
    let mut out = probes[..whole].to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    while out.len() < MIN_PROBES * n_hidden {
        // SplitMix64 (Steele et al., 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.push(((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0);
    }
    out
}

const _: () = assert!(BUCKETS[0] == 1, "every batch has a bucket");
