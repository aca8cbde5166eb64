//! Back ends of the dense layers: the kernels, batches, and a back end that serves its own snapshot only.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Backend, BackendError, Capabilities, DenseWeights, Head, IntentScratch, KeywordMatcher,
    PredictorConfig, Probes, RescoreBackends, RescoreError, SimdBackend, TextPredictor, Verdict,
    WeightsId,
};

static NEVER: AtomicBool = AtomicBool::new(false);

fn trained() -> TextPredictor {
    let mut out = TextPredictor::new(PredictorConfig::default());
    let names = ["music", "clock"].map(|name| ComponentId::new(name).expect("a name"));
    let keys = [ComponentKey(0), ComponentKey(1)];
    out.set_catalog(keys.into_iter().zip(&names), KeywordMatcher::default());
    for i in 0..60 {
        out.learn(&format!("play some jazz number {i}"), &keys[..1]).expect("a text");
        out.learn(&format!("wake me up at {i}"), &keys[1..]).expect("a text");
    }
    let candidate = out.retrain_job().run(&NEVER).expect("outcomes");
    assert!(matches!(out.install(candidate), Verdict::Accepted { .. }));
    out
}

/// Answers as the kernels do, in batches of at most seven, and counts its rows.
struct Counting {
    simd: SimdBackend,
    rows: Mutex<usize>,
    fails: bool,
}

impl Backend for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn weights_id(&self) -> WeightsId {
        self.simd.weights_id()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { max_rows: 7, bits: 32 }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        assert!(rows <= 7);
        *self.rows.lock().expect("not poisoned") += rows;
        if self.fails {
            return Err(BackendError::Failed("planted".to_owned()));
        }
        self.simd.infer_batch(units, rows, out)
    }
}

fn counting(weights: DenseWeights, fails: bool) -> Counting {
    Counting { simd: SimdBackend::new(weights), rows: Mutex::new(0), fails }
}

#[test]
fn rescoring_by_batches_equals_the_kernels() {
    let mut predictor = trained();
    let job = predictor.rescore_job().expect("a model");
    let alone = job.run(RescoreBackends::default(), &NEVER).expect("an answer");
    assert_eq!(alone.n, 120);
    assert!(alone.n_right >= 110, "{alone:?}");
    let model = counting(job.dense().expect("a model"), false);
    let prior = counting(job.prior().expect("the shipped prior"), false);
    let back_ends = RescoreBackends { model: Some(&model), prior: Some(&prior) };
    assert_eq!(job.run(back_ends, &NEVER).expect("an answer"), alone);
    assert_eq!(*model.rows.lock().expect("not poisoned"), 120);
    assert!(*prior.rows.lock().expect("not poisoned") > 0);
    assert_eq!(job.run(back_ends, &AtomicBool::new(true)), Err(RescoreError::Cancelled));
}

#[test]
fn back_end_serves_its_own_snapshot_only() {
    let mut predictor = trained();
    let model = counting(predictor.snapshot().dense().expect("a model"), true);
    let stale = RescoreBackends { model: Some(&model), prior: None };
    let same = predictor.rescore_job().expect("a model");
    let failed = same.run(stale, &NEVER).expect_err("the planted failure");
    assert!(failed.to_string().contains("planted"), "{failed}");
    // An online step makes other weights; the same catalog again does not.
    let names = ["music", "clock"].map(|name| ComponentId::new(name).expect("a name"));
    let keys = [ComponentKey(0), ComponentKey(1)];
    predictor.set_catalog(keys.into_iter().zip(&names), KeywordMatcher::default());
    let unchanged = predictor.snapshot().dense().expect("a model");
    assert_eq!(unchanged.id(), model.weights_id());
    predictor.learn("play something new", &[ComponentKey(0)]).expect("a text");
    let job = predictor.rescore_job().expect("a model");
    assert_ne!(job.dense().expect("a model").id(), model.weights_id());
    assert!(job.run(stale, &NEVER).is_ok(), "the kernels answer for other weights");
}

#[test]
fn kernels_answer_rows_and_refuse_wrong_lengths() {
    let weights = DenseWeights::new(
        3,
        Head::Exclusive,
        vec![0.5, -1.0],
        vec![1.0, 2.0, -1.0, 0.0],
        vec![0.0, 4.0],
    );
    let simd = SimdBackend::new(weights.expect("they fit"));
    let mut out = [0.0; 4];
    simd.infer_batch(&[0.5, 3.0, -9.0, 0.0], 2, &mut out).expect("two rows");
    assert_eq!(out, [5.0, 3.0, 0.0, 4.0]);
    let wrong = simd.infer_batch(&[0.0; 3], 2, &mut out).expect_err("three units");
    assert_eq!(wrong, BackendError::Shape { rows: 2, n_units: 3, n_scores: 4 });
    assert!(simd.infer_batch(&[], usize::MAX, &mut out).is_err());
    let shape = DenseWeights::new(0, Head::Exclusive, vec![0.0; 2], vec![0.0; 3], vec![0.0; 2]);
    assert!(shape.is_err());
    simd.weights().activate(&mut out);
    assert!((out[0] + out[1] - 1.0).abs() < 1e-6);
}

/// The kernels' scores of probes.
fn scores(probes: &Probes) -> Vec<f32> {
    let mut out = vec![0.0; probes.n_rows() * probes.weights().n_outputs()];
    let simd = SimdBackend::new(probes.weights().clone());
    simd.infer_batch(probes.units(), probes.n_rows(), &mut out).expect("an answer");
    out
}

#[test]
fn answers_of_probes_are_those_of_queries() {
    let mut predictor = trained();
    // A text with a negation is read twice.
    predictor.learn("play jazz and do not wake me", &[ComponentKey(0)]).expect("a text");
    let job = predictor.rescore_job().expect("a model");
    let probes = job.probes(usize::MAX).expect("a model");
    assert!(probes.n_rows() >= 121, "{}", probes.n_rows());
    let answers = probes.answers(&scores(&probes));
    let snapshot = predictor.snapshot();
    let mut scratch = IntentScratch::default();
    let (mut probabilities, mut decisions) = (Vec::new(), Vec::new());
    for (text, _) in predictor.outcomes() {
        let answer = snapshot.intents(text, &mut scratch);
        let mut needed: Vec<_> = answer.components.iter().map(|i| i.component).collect();
        needed.sort_unstable();
        decisions.push((answer.decision, needed));
        probabilities.extend_from_slice(scratch.probabilities());
    }
    assert_eq!(answers.decisions, decisions);
    assert_eq!(answers.probabilities, probabilities);
    // The linear part decides beside the perceptron, whose bare probabilities are others.
    let bare = Probes::of_scores(probes.weights().clone(), probes.units().to_vec());
    assert_ne!(bare.answers(&scores(&bare)).probabilities, probabilities);
}

#[test]
fn probes_are_of_all_outcomes_and_filled_up_where_they_are_few() {
    let mut predictor = trained();
    let job = predictor.rescore_job().expect("a model");
    let few = job.probes(10).expect("a model");
    assert_eq!((few.n_rows(), few.answers(&scores(&few)).decisions.len()), (10, 10));
    let filled = few.clone().with_random_rows(64);
    let answers = filled.answers(&scores(&filled));
    assert_eq!((filled.n_rows(), answers.decisions.len()), (64, 10));
    assert_eq!(answers.probabilities.len(), 64 * filled.weights().n_outputs());
    assert_eq!(filled.units()[..few.units().len()], *few.units());
    let topics = job.prior_probes(10).expect("the shipped prior");
    assert!(topics.n_rows() > 0 && topics.n_rows() <= 10);
    let answers = topics.answers(&scores(&topics));
    let n_topics = topics.weights().n_outputs();
    let sums = answers.probabilities.chunks_exact(n_topics).map(|row| row.iter().sum::<f32>());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-4));
    assert_eq!(job.probes(0).expect("a model").n_rows(), 0);
}
