//! Back ends by measurement, through real child processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo_coreml::{
    BUCKETS, CalibrationStore, ChildCommand, NoStore, Part, PartReport, Rejection, Selected,
    Service, ServiceConfig,
};
use majordomo_predictor::{Backend, DenseWeights, SimdBackend};

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
        folder: folder.0.clone(),
        plan: plan(DEADLINE),
        store: Box::new(NoStore),
    }
}

fn part(weights: &DenseWeights) -> Part {
    let probes = vec![0.5, 0.25, -1.0, 3.0];
    Part { name: "model", weights: weights.clone(), probes, thresholds: Vec::new() }
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

fn rejection(report: &PartReport, name: &str) -> Option<Rejection> {
    let candidate = report.candidates.iter().find(|candidate| candidate.name == name);
    candidate.expect("it was measured").result.clone().err()
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
    let fast = report.timing("fast", 32).expect("measured");
    assert_eq!((fast.hot, fast.idle), (Duration::from_micros(10), Duration::from_micros(10)));
    answers_right(&selected);
    let (by_kernels, by_others) = selected.rows_answered();
    assert_eq!((by_kernels, by_others), (0, 610));
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
    calibrate(&service, &old);
    assert!(service.back_end(old.id()).is_some());
    assert!(service.back_end(new.id()).is_none(), "a back end serves its own snapshot");
    let (selected, report) = calibrate(&service, &new);
    assert_eq!((selected.weights_id(), report.version), (new.id(), 2));
    assert!(service.back_end(old.id()).is_none());
    answers_right(&selected);
    assert_eq!(service.n_calibrations(), 2);
    // The same weights again are not measured again.
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
    assert!(service.back_end(weights(1, 1.0).id()).is_none());
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
fn calibration_is_kept_for_the_same_weights_only() {
    let folder = Folder::new("kept");
    let kept = Kept::default();
    let start = |child: Result<ChildCommand, String>| {
        let config = config(&folder, Fakes::new(&["fast", "crashing"]));
        let config = ServiceConfig { store: Box::new(kept.clone()), child, ..config };
        Service::start(config).expect("a thread")
    };
    let (_, first) = calibrate(&start(Ok(child())), &weights(1, 1.0));
    assert!(!first.is_cached);
    // Another start, whose child could not even be started: nothing is measured.
    let nowhere = ChildCommand::hidden("/nowhere/at/all");
    let service = start(Ok(nowhere.clone()));
    let (selected, second) = calibrate(&service, &weights(9, 1.0));
    assert!(second.is_cached && service.n_calibrations() == 0);
    assert_eq!(selected.names(), ["fast"; BUCKETS.len()]);
    assert_eq!(second.candidates, first.candidates);
    answers_right(&selected);
    let (selected, other) = calibrate(&start(Ok(nowhere)), &weights(1, 2.0));
    assert!(!other.is_cached);
    assert_eq!(selected.names(), ["simd"; BUCKETS.len()]);
    assert!(matches!(rejection(&other, "fast"), Some(Rejection::Failed(_))), "{other:?}");
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
