//! Back ends by measurement, through real child processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo_coreml::{
    BUCKETS, CalibrationStore, Candidate, ChildCommand, NoStore, Part, PartReport, PlainChildren,
    Plan, Rejection, Selected, Service, ServiceConfig, Timing,
};
use majordomo_predictor::{Backend, DenseWeights, Probes, SimdBackend};

use crate::fakes::{Fakes, child, plan, weights};

/// Long enough for a child on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder of its own, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("majordomo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(folder: &Folder, maker: Fakes) -> ServiceConfig {
    ServiceConfig {
        maker: Arc::new(maker),
        child: Ok(child()),
        children: Box::new(PlainChildren),
        folder: folder.0.clone(),
        plan: plan(DEADLINE),
        store: Box::new(NoStore),
    }
}

fn part(weights: &DenseWeights) -> Part {
    let probes = Probes::of_scores(weights.clone(), vec![0.5, 0.25, -1.0, 3.0]);
    Part { name: "model", probes }
}

/// Hands in weights and waits until their back ends are in use.
fn calibrate(service: &Service, weights: &DenseWeights) -> (Arc<Selected>, PartReport) {
    let (to, done) = channel();
    let then = move |selected: &[Arc<Selected>]| {
        to.send(Arc::clone(&selected[0])).expect("the test waits");
    };
    service.submit(vec![part(weights)], Box::new(then));
    let selected = done.recv().expect("the service lives");
    let (parts, _) = service.report();
    (selected, parts[0].1.clone())
}

fn candidate<'a>(report: &'a PartReport, name: &str) -> &'a Candidate {
    let candidate = report.candidates.iter().find(|candidate| candidate.name == name);
    candidate.expect("it was measured")
}

fn rejection(report: &PartReport, name: &str) -> Option<Rejection> {
    candidate(report, name).result.clone().err()
}

/// The times of the bucket of 32 rows.
fn timing(report: &PartReport, name: &str) -> Timing {
    let measured = candidate(report, name).result.as_ref().expect("it has times");
    *measured.timings.iter().find(|timing| timing.rows == 32).expect("it was measured")
}

#[track_caller]
fn answers_right(selected: &Selected) {
    let simd = SimdBackend::new(selected.weights().clone());
    for rows in [1, 9, 600] {
        let units: Vec<f32> = (0..rows * 2).map(|i| (i % 7) as f32 - 3.0).collect();
        let (mut own, mut right) = (vec![0.0; rows * 3], vec![0.0; rows * 3]);
        selected.infer_batch(&units, rows, &mut own).expect("an answer");
        simd.infer_batch(&units, rows, &mut right).expect("an answer");
        assert_eq!(own, right);
    }
}

#[test]
fn fastest_right_back_end_wins_and_faulty_ones_are_rejected() {
    let folder = Folder::new("fastest");
    let names = [
        "slow",
        "slightly",
        "wrong",
        "no number",
        "wrong row by row",
        "crashing",
        "quitting",
        "unmakable",
        "fast only when hot",
        "fast",
    ];
    let service = Service::start(config(&folder, Fakes::new(&names))).expect("a thread");
    let (selected, report) = calibrate(&service, &weights(4, 1.0));
    assert_eq!(selected.names(), ["fast"; BUCKETS.len()]);
    assert_eq!((report.version, report.failure.as_deref()), (4, None));
    for right in ["simd", "slow", "slightly", "fast only when hot", "fast"] {
        assert_eq!(rejection(&report, right), None, "{right}");
    }
    let wrong =
        |name: &str| matches!(rejection(&report, name), Some(Rejection::WrongResult { .. }));
    assert!(wrong("wrong") && wrong("wrong row by row"), "{report:?}");
    assert!(matches!(rejection(&report, "no number"), Some(Rejection::NoNumber(_))), "{report:?}");
    let shown = |name: &str| rejection(&report, name).expect("rejected").to_string();
    assert_eq!(shown("crashing"), "its process ended: signal 6");
    assert!(shown("quitting").contains("exit code 0, without a report"), "{}", shown("quitting"));
    assert!(shown("unmakable").contains("cannot be made"), "{}", shown("unmakable"));
    let fast = timing(&report, "fast");
    assert_eq!((fast.hot, fast.idle), (Duration::from_micros(10), Duration::from_micros(10)));
    answers_right(&selected);
    assert_eq!(service.report().0[0].1.rows_answered, (0, 610), "by the kernels, by the other");
}

#[test]
fn kernels_stay_unless_another_is_a_fifth_faster_awake_and_asleep() {
    let folder = Folder::new("hysteresis");
    let names = ["slightly", "fast only when hot", "for large batches", "small"];
    let check = |names: &[&str], expected: [&str; BUCKETS.len()]| {
        let service = Service::start(config(&folder, Fakes::new(names))).expect("a thread");
        let (selected, _) = calibrate(&service, &weights(1, 1.0));
        assert_eq!(selected.names(), expected, "{names:?}");
        answers_right(&selected);
    };
    check(&names[..2], ["simd"; 5]);
    let large = "for large batches";
    check(&names[..3], ["simd", "simd", large, large, large]);
    check(&names, ["small", "small", large, large, large]);
}

#[test]
fn hanging_back_end_is_killed_at_the_deadline() {
    let folder = Folder::new("hanging");
    let deadline = Duration::from_secs(4);
    let config =
        ServiceConfig { plan: plan(deadline), ..config(&folder, Fakes::new(&["hanging"])) };
    let service = Service::start(config).expect("a thread");
    let (selected, report) = calibrate(&service, &weights(1, 1.0));
    assert_eq!(rejection(&report, "hanging"), Some(Rejection::TimedOut(deadline)));
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
    answers_right(&selected);
}

/// Waits until `check` is true; the caller of the tests bounds the time.
#[expect(clippy::disallowed_methods, reason = "the one helper that waits")]
fn eventually(mut check: impl FnMut() -> bool) {
    while !check() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn child_ends_with_the_service() {
    let folder = Folder::new("ending");
    let service = Service::start(config(&folder, Fakes::new(&["hanging"]))).expect("a thread");
    service.submit(vec![part(&weights(1, 1.0))], Box::new(|_| ()));
    let file = folder.0.join("model").join("pid of hanging");
    let mut pid = String::new();
    eventually(|| {
        pid = std::fs::read_to_string(&file).unwrap_or_default();
        !pid.is_empty()
    });
    drop(service);
    let lives = || {
        let mut kill = std::process::Command::new("kill");
        let kill = kill.args(["-0", &pid]).stderr(std::process::Stdio::null());
        kill.status().expect("a program").success()
    };
    eventually(|| !lives());
}

#[test]
fn failure_after_the_choice_falls_back_to_the_kernels() {
    let folder = Folder::new("breaking");
    let service = Service::start(config(&folder, Fakes::new(&["breaking"]))).expect("a thread");
    let (selected, report) = calibrate(&service, &weights(1, 1.0));
    assert_eq!((selected.names()[0], report.failure), ("breaking", None));
    answers_right(&selected);
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
    let (parts, _) = service.report();
    assert_eq!(parts[0].1.failure.as_deref(), Some("breaking: the device is gone"));
    assert_eq!(parts[0].1.chosen, ["simd"; BUCKETS.len()]);
}

#[test]
fn retrained_model_takes_the_place_of_the_one_before() {
    let folder = Folder::new("retrained");
    let maker = Fakes::new(&["fast"]);
    let service = Service::start(config(&folder, maker)).expect("a thread");
    let (old, new) = (weights(1, 1.0), weights(2, 1.5));
    let (before, _) = calibrate(&service, &old);
    let (selected, report) = calibrate(&service, &new);
    assert_eq!((selected.weights_id(), report.version), (new.id(), 2));
    // Its users keep a complete one, of its own weights.
    assert_eq!(before.weights_id(), old.id());
    answers_right(&before);
    answers_right(&selected);
    assert_eq!(service.n_calibrations(), 2, "without a store everything is measured again");
    // The same weights again are not.
    calibrate(&service, &new);
    assert_eq!(service.n_calibrations(), 2);
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl CalibrationStore for Kept {
    fn read(&self, part: &str) -> Option<Vec<u8>> {
        self.0.lock().expect("not poisoned").get(part).cloned()
    }

    fn write(&self, part: &str, bytes: Vec<u8>) {
        self.0.lock().expect("not poisoned").insert(part.to_owned(), bytes);
    }

    fn clear(&self) {
        self.0.lock().expect("not poisoned").clear();
    }
}

#[test]
fn forgotten_models_and_calibrations_are_removed_and_the_kernels_answer() {
    let folder = Folder::new("forgotten");
    let kept = Kept::default();
    let config = config(&folder, Fakes::new(&["fast", "hanging"]));
    let config = ServiceConfig {
        store: Box::new(kept.clone()),
        plan: plan(Duration::from_secs(4)),
        ..config
    };
    let service = Service::start(config).expect("a thread");
    kept.write("model", vec![1]);
    // The job is under way: a child hangs.
    service.submit(vec![part(&weights(1, 1.0))], Box::new(|_| panic!("it was forgotten")));
    let file = folder.0.join("model").join("pid of hanging");
    eventually(|| file.exists());
    service.forget();
    assert!(!folder.0.exists() && kept.0.lock().expect("not poisoned").is_empty());
    assert_eq!(service.report(), (Vec::new(), false));
    service.end();
    assert!(!folder.0.exists(), "nothing is written later");
}

#[test]
fn panic_after_a_calibration_is_reported_and_the_next_job_runs() {
    let folder = Folder::new("panicking");
    let service = Service::start(config(&folder, Fakes::new(&["fast"]))).expect("a thread");
    let panicking = |_: &[Arc<Selected>]| panic!("planted");
    service.submit(vec![part(&weights(1, 1.0))], Box::new(panicking));
    eventually(|| !service.report().1);
    let failure = service.report().0[0].1.failure.clone();
    assert_eq!(failure.as_deref(), Some("the work after the calibration panicked"));
    let (selected, report) = calibrate(&service, &weights(2, 1.0));
    assert_eq!((selected.names(), report.failure), (["fast"; BUCKETS.len()], None));
}

#[test]
fn folder_of_exported_models_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("private");
    let models = folder.0.join("models");
    let config = ServiceConfig { folder: models.clone(), ..config(&folder, Fakes::new(&["fast"])) };
    calibrate(&Service::start(config).expect("a thread"), &weights(1, 1.0));
    for folder in [&models, &models.join("model")] {
        assert_eq!(folder.metadata().expect("it is there").permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn times_are_kept_and_other_weights_are_only_checked() {
    let folder = Folder::new("kept");
    let kept = Kept::default();
    let start = |child: ChildCommand, maker: Fakes| {
        let config = config(&folder, maker);
        let config = ServiceConfig { store: Box::new(kept.clone()), child: Ok(child), ..config };
        Service::start(config).expect("a thread")
    };
    let fakes = || Fakes::new(&["fast", "crashing"]);
    // A child that could not even be started: nothing is measured or checked.
    let nowhere = || ChildCommand::hidden("/nowhere/at/all");
    let (_, first) = calibrate(&start(child(), fakes()), &weights(1, 1.0));
    assert!(!first.is_cached);

    let service = start(nowhere(), fakes());
    let (selected, same) = calibrate(&service, &weights(9, 1.0));
    assert!(same.is_cached && service.n_calibrations() == 0);
    assert_eq!(selected.names(), ["fast"; BUCKETS.len()]);
    assert_eq!(same.candidates, first.candidates);
    answers_right(&selected);

    // Online steps made other weights: the times are read, the results are checked.
    let service = start(child(), fakes());
    let (selected, other) = calibrate(&service, &weights(2, 2.0));
    assert!(other.is_cached && service.n_calibrations() == 0);
    assert_eq!(timing(&other, "fast"), timing(&first, "fast"));
    assert_eq!(selected.names(), ["fast"; BUCKETS.len()]);
    answers_right(&selected);
    let (selected, unchecked) = calibrate(&start(nowhere(), fakes()), &weights(3, 3.0));
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
    assert!(matches!(rejection(&unchecked, "fast"), Some(Rejection::Failed(_))), "{unchecked:?}");

    // The check of the weights before was kept, for the files that they were exported to.
    let (selected, _) = calibrate(&start(nowhere(), fakes()), &weights(2, 2.0));
    assert_eq!(selected.names(), ["fast"; BUCKETS.len()]);
    let changed = Fakes { exports_more: true, ..fakes() };
    let (selected, _) = calibrate(&start(nowhere(), changed), &weights(2, 2.0));
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()], "other files are checked again");
}

#[test]
fn times_are_measured_again_for_other_back_ends_and_shapes() {
    let folder = Folder::new("kept-key");
    let kept = Kept::default();
    let is_cached = |maker: Fakes, plan: Plan, weights: &DenseWeights| {
        let store = Box::new(kept.clone());
        let config = ServiceConfig { store, plan, ..config(&folder, maker) };
        calibrate(&Service::start(config).expect("a thread"), weights).1.is_cached
    };
    let (usual, own) = (plan(DEADLINE), weights(1, 1.0));
    let fakes = || Fakes::new(&["slow"]);
    assert!(!is_cached(fakes(), usual, &own));
    assert!(is_cached(fakes(), usual, &own));
    assert!(!is_cached(Fakes { settings: "fp32", ..fakes() }, usual, &own));
    assert!(!is_cached(Fakes::new(&["slow", "slightly"]), usual, &own));
    assert!(!is_cached(fakes(), Plan { hot_calls: 6, ..usual }, &own));
}

#[test]
fn nothing_is_exported_where_the_kernels_are_known_to_be_fastest() {
    let folder = Folder::new("fastest-kernels");
    let kept = Kept::default();
    let start = |maker: &Arc<Fakes>| {
        let config = config(&folder, Fakes::new(&[]));
        let maker: Arc<dyn majordomo_coreml::Maker> = maker.clone();
        Service::start(ServiceConfig { maker, store: Box::new(kept.clone()), ..config })
            .expect("a thread")
    };
    let maker = Arc::new(Fakes::new(&["slow"]));
    calibrate(&start(&maker), &weights(1, 1.0));
    let n_prepared = || maker.prepared.lock().expect("not poisoned").len();
    assert_eq!(n_prepared(), 1);
    let (selected, report) = calibrate(&start(&maker), &weights(2, 2.0));
    assert_eq!((selected.names(), n_prepared()), (["simd"; BUCKETS.len()], 1));
    assert!(report.is_cached && rejection(&report, "slow").is_none(), "{report:?}");
}

#[test]
fn wrong_results_for_new_weights_leave_the_next_fastest() {
    let folder = Folder::new("turned-wrong");
    let kept = Kept::default();
    let start = || {
        let config = config(&folder, Fakes::new(&["wrong for others", "for large batches"]));
        Service::start(ServiceConfig { store: Box::new(kept.clone()), ..config }).expect("a thread")
    };
    let (selected, _) = calibrate(&start(), &weights(1, 1.0));
    assert_eq!(selected.names(), ["wrong for others"; BUCKETS.len()]);
    let service = start();
    let (selected, report) = calibrate(&service, &weights(2, 2.0));
    let large = "for large batches";
    assert_eq!(selected.names(), ["simd", "simd", large, large, large]);
    let why = rejection(&report, "wrong for others");
    assert!(matches!(why, Some(Rejection::WrongResult { .. })), "{why:?}");
    assert_eq!(service.n_calibrations(), 0);
    answers_right(&selected);
}

#[test]
fn wrong_results_of_one_batch_size_are_found() {
    let folder = Folder::new("wrong-size");
    let service = Service::start(config(&folder, Fakes::new(&["wrong for 8 rows"])));
    let (selected, report) = calibrate(&service.expect("a thread"), &weights(1, 1.0));
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
    let why = rejection(&report, "wrong for 8 rows");
    assert!(matches!(why, Some(Rejection::WrongResult { .. })), "{why:?}");
}

#[test]
fn kernels_answer_with_the_reason_where_nothing_can_be_measured() {
    let folder = Folder::new("reason");
    let check = |config: ServiceConfig, reason: &str| {
        let service = Service::start(config).expect("a thread");
        let (selected, report) = calibrate(&service, &weights(1, 1.0));
        assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
        assert_eq!(report.failure.as_deref(), Some(reason).filter(|reason| !reason.is_empty()));
        answers_right(&selected);
    };
    let no_child = Err("no program to start".to_owned());
    let fakes = || Fakes::new(&["fast"]);
    check(ServiceConfig { child: no_child, ..config(&folder, fakes()) }, "no program to start");
    let unprepared = Fakes { cannot_prepare: true, ..fakes() };
    check(config(&folder, unprepared), "the model was not exported: planted");
    check(config(&folder, Fakes::new(&[])), "");
    let file = Folder::new("reason-file");
    std::fs::write(file.0.join("model"), "in the way").expect("a file");
    let blocked = ServiceConfig { folder: file.0.join("model"), ..config(&folder, fakes()) };
    let service = Service::start(blocked).expect("a thread");
    let (_, report) = calibrate(&service, &weights(1, 1.0));
    let failure = report.failure.expect("no folder");
    assert!(failure.starts_with("no folder for exported models"), "{failure}");
}
