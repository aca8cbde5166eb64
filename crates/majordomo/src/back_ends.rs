//! Back ends of the text model's dense layers in the product: injected here, chosen by measurement, used for batches.
//!
//! Owns what follows a change of the model: calibration of the new weights off the hot path, then a re-scoring of the kept outcomes
//! with the back end that was chosen. Single queries are answered by the kernels, always. Invariants: no failure here
//! touches a query or the learner; what was made of a forgotten text is dropped and removed: jobs, models, calibrations.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use majordomo_core::{StateStore, StatusValue, StoreOp};
use majordomo_coreml::{
    BUCKETS, CHILD_ARG, CalibrationStore, ChildCommand, Children, Maker, Part, PartReport, Plan,
    RealTime, Selected, Service, ServiceConfig, child_main,
};
use majordomo_predictor::{Backend, RescoreBackends, RescoreError, RescoreJob, Rescored};

use crate::intents::AfterRetrain;

const NAMESPACE: &str = "back_ends";
/// Outcomes whose units a back end is checked with.
const PROBES: usize = 256;

/// The back ends that a manager may choose from, and the child process that measures them.
pub struct BackEnds {
    maker: Arc<dyn Maker>,
    child: ChildCommand,
    plan: Plan,
}

impl std::fmt::Debug for BackEnds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackEnds").field("names", &self.maker.names()).finish_non_exhaustive()
    }
}

impl BackEnds {
    /// The back ends of this platform: Core ML on macOS, none besides the kernels elsewhere. The child is `program`, whose
    /// `main` must begin with [`calibration_main`].
    #[must_use]
    pub fn of_program(program: impl Into<PathBuf>) -> Self {
        Self::new(majordomo_coreml::platform_maker(), ChildCommand::hidden(program))
    }

    /// Other back ends, such as an adapter's. The child must have the same maker.
    #[must_use]
    pub fn new(maker: Arc<dyn Maker>, child: ChildCommand) -> Self {
        Self { maker, child, plan: Plan::default() }
    }

    /// How back ends are measured.
    #[must_use]
    pub fn plan(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }
}

/// Runs a calibration child of this platform's back ends when the arguments (without the program's name) ask for one; else
/// returns none at once. Comes first in `main`, beside [`hidden_main`](crate::hidden_main).
#[must_use]
pub fn calibration_main(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mode = args.into_iter().next()?;
    (mode == CHILD_ARG)
        .then(|| child_main(&*majordomo_coreml::platform_maker(), &RealTime::start()))
}

/// Calibrations in the state store. Weak, so that a calibration under way keeps no closed store open.
struct Kept(Option<Weak<dyn StateStore>>);

impl CalibrationStore for Kept {
    fn read(&self, part: &str) -> Option<Vec<u8>> {
        self.0.as_ref()?.upgrade()?.get(NAMESPACE, part).ok()?
    }

    fn write(&self, part: &str, value: Vec<u8>) {
        let Some(store) = self.0.as_ref().and_then(Weak::upgrade) else { return };
        let (namespace, key) = (NAMESPACE.to_owned(), part.to_owned());
        if let Err(error) = store.apply(&[StoreOp::Put { namespace, key, value }]) {
            tracing::debug!(%error, "a calibration was not kept");
        }
    }

    fn clear(&self) {
        let Some(store) = self.0.as_ref().and_then(Weak::upgrade) else { return };
        if let Err(error) = store.apply(&[StoreOp::Clear { namespace: NAMESPACE.to_owned() }]) {
            tracing::warn!(%error, "kept calibrations were not removed");
        }
    }
}

/// Children that the reaper of adopted processes does not touch.
struct OwnChildren;

impl Children for OwnChildren {
    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        majordomo_runtime::children::spawn(command)
    }

    fn reaped(&self, pid: u32) {
        if let Ok(pid) = i32::try_from(pid) {
            majordomo_runtime::children::forget(pid);
        }
    }
}

/// The last re-scoring.
#[derive(Debug, Default)]
struct Last {
    /// Rises whenever something is forgotten, and with each job.
    epoch: u64,
    job: Option<RescoreJob>,
    /// Ends the re-scoring that runs.
    cancel: Arc<AtomicBool>,
    result: Option<Result<Rescored, String>>,
}

/// The service behind the learner.
pub(crate) struct BackEndService {
    service: Arc<Service>,
    last: Arc<Mutex<Last>>,
}

impl BackEndService {
    /// Starts the service; exported models are written into `folder`, and children have the variable `mark`.
    pub(crate) fn start(
        back_ends: BackEnds,
        folder: &Path,
        store: Option<&Arc<dyn StateStore>>,
        mark: Option<(&'static str, String)>,
    ) -> std::io::Result<Self> {
        let BackEnds { maker, mut child, plan } = back_ends;
        child.env.extend(mark.map(|(name, value)| (name.into(), value.into())));
        let config = ServiceConfig {
            maker,
            child: Ok(child),
            children: Box::new(OwnChildren),
            folder: folder.join("models"),
            plan,
            store: Box::new(Kept(store.map(Arc::downgrade))),
        };
        Ok(Self { service: Arc::new(Service::start(config)?), last: Arc::default() })
    }

    /// Rows about back ends for the status.
    pub(crate) fn section(&self) -> impl Fn() -> (String, Vec<(String, StatusValue)>) + use<> {
        let (service, last) = (Arc::clone(&self.service), Arc::clone(&self.last));
        move || ("back_ends".to_owned(), rows(&service, &lock(&last)))
    }
}

/// A thread that panicked left it whole: it is replaced in single steps.
fn lock(last: &Mutex<Last>) -> MutexGuard<'_, Last> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AfterRetrain for BackEndService {
    fn replaced(&self, job: RescoreJob) {
        let Some(probes) = job.probes(PROBES) else { return };
        let mut parts = vec![Part { name: "model", probes }];
        parts.extend(job.prior_probes(PROBES).map(|probes| Part { name: "prior", probes }));
        let last = Arc::clone(&self.last);
        let (epoch, cancel) = {
            let mut last = lock(&last);
            // A job that was not reached, or that runs, is of another model.
            last.cancel.store(true, Ordering::Relaxed);
            *last = Last { epoch: last.epoch + 1, job: Some(job), ..std::mem::take(&mut *last) };
            last.cancel = Arc::default();
            (last.epoch, Arc::clone(&last.cancel))
        };
        let then = move |selected: &[Arc<Selected>]| {
            // Another epoch: a text was forgotten since, or a newer model has its own job.
            let job = {
                let mut last = lock(&last);
                if last.epoch == epoch { last.job.take() } else { None }
            };
            let Some(job) = job else { return };
            let of = |at: usize| selected.get(at).map(|own| &**own as &dyn Backend);
            let chosen = RescoreBackends { model: of(0), prior: of(1) };
            let result = match job.run(chosen, &cancel) {
                Err(RescoreError::Backend(_)) => job.run(RescoreBackends::default(), &cancel),
                result => result,
            };
            let mut last = lock(&last);
            if last.epoch == epoch {
                last.result = Some(result.map_err(|error| error.to_string()));
            }
        };
        self.service.submit(parts, Box::new(then));
    }

    fn forget(&self) {
        let mut last = lock(&self.last);
        last.cancel.store(true, Ordering::Relaxed);
        *last = Last { epoch: last.epoch + 1, ..Last::default() };
        drop(last);
        self.service.forget();
    }
}

impl Drop for BackEndService {
    /// The state directory may belong to another manager afterwards.
    fn drop(&mut self) {
        self.service.end();
    }
}

fn rows(service: &Service, last: &Last) -> Vec<(String, StatusValue)> {
    let (parts, is_working) = service.report();
    let mut out = vec![
        ("calibrating".to_owned(), StatusValue::Bool(is_working)),
        ("calibrations".to_owned(), StatusValue::Count(service.n_calibrations())),
    ];
    for (name, report) in &parts {
        out.extend(part_rows(name, report));
    }
    match &last.result {
        Some(Ok(Rescored { version, n, n_right, log_loss, .. })) => {
            out.push(("rescored_version".to_owned(), StatusValue::Count(*version)));
            out.push(("rescored".to_owned(), StatusValue::Count(*n as u64)));
            out.push(("rescored_right".to_owned(), StatusValue::Count(*n_right as u64)));
            out.push(("rescored_log_loss".to_owned(), StatusValue::Number(*log_loss)));
        }
        Some(Err(why)) => out.push(("rescored_failure".to_owned(), StatusValue::Text(why.clone()))),
        None => {}
    }
    out
}

fn part_rows(name: &str, report: &PartReport) -> Vec<(String, StatusValue)> {
    let row = |what: &str, value| (format!("{name}_{what}"), value);
    let mut out = vec![
        row("version", StatusValue::Count(report.version)),
        row("back_end", StatusValue::Text(chosen(report))),
        row("from_cache", StatusValue::Bool(report.is_cached)),
        row("rows_by_kernels", StatusValue::Count(report.rows_answered.0)),
        row("rows_by_others", StatusValue::Count(report.rows_answered.1)),
    ];
    if let Some(why) = &report.failure {
        out.push(row("failure", StatusValue::Text(why.clone())));
    }
    for candidate in &report.candidates {
        let text = match &candidate.result {
            Err(why) => format!("rejected: {why}"),
            Ok(measured) => {
                let times = measured.timings.iter().map(|timing| {
                    let us = |time: std::time::Duration| time.as_nanos() as f64 / 1000.0;
                    let (hot, idle) = (us(timing.hot), us(timing.idle));
                    format!("{} rows {hot:.0} µs, after a pause {idle:.0} µs", timing.rows)
                });
                let devices = measured
                    .placement
                    .iter()
                    .map(|(device, n)| format!("{n} operations on {device}"));
                times.chain(devices).collect::<Vec<_>>().join("; ")
            }
        };
        out.push(row(&format!("candidate_{}", candidate.name), StatusValue::Text(text)));
    }
    out
}

/// The name of the back end, or the names by batch size where they differ.
fn chosen(report: &PartReport) -> String {
    match report.chosen.split_first() {
        Some((first, rest)) if rest.iter().all(|name| name == first) => first.clone(),
        _ => {
            let named = BUCKETS.iter().zip(&report.chosen);
            named
                .map(|(rows, name)| format!("from {rows} rows {name}"))
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_arguments_are_not_for_the_child() {
        assert!(calibration_main(["serve".into()]).is_none());
        assert!(calibration_main([]).is_none());
    }

    #[test]
    fn names_are_shown_once_where_they_are_the_same() {
        let report = |names: [&str; 5]| PartReport {
            chosen: names.map(str::to_owned).into(),
            ..PartReport::default()
        };
        assert_eq!(chosen(&report(["simd"; 5])), "simd");
        let mixed = chosen(&report(["simd", "simd", "simd", "ane", "ane"]));
        assert!(
            mixed.ends_with("from 32 rows simd, from 128 rows ane, from 512 rows ane"),
            "{mixed}"
        );
    }
}
