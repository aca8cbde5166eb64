//! The predictor in the hands of its owner: outcomes, answers, retrains, state, forgetting.

use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Decision, DecodeError, Example, IntentScratch, KeywordMatcher, LearnError, PredictorConfig,
    TextPredictor, TextValidParams, TrainError, Verdict,
};

const NAMES: [&str; 3] = ["music", "clock", "weather"];

fn id(name: &str) -> ComponentId {
    ComponentId::new(name).expect("a name")
}

fn key(k: u32) -> ComponentKey {
    ComponentKey(k)
}

/// Components `music`, `clock`, `weather` with keys 0, 1, 2 and a keyword each.
fn predictor() -> TextPredictor {
    let mut out = TextPredictor::new(PredictorConfig::default());
    catalog(&mut out, [0, 1, 2]);
    out
}

fn catalog(predictor: &mut TextPredictor, keys: [u32; 3]) {
    let ids = NAMES.map(id);
    let words = ["song", "alarm", "forecast"];
    let entries = keys.iter().zip(words).map(|(&k, w)| (key(k), w));
    let keywords = KeywordMatcher::build(entries).expect("words");
    predictor.set_catalog(keys.iter().map(|&k| key(k)).zip(&ids), keywords);
}

/// `n` outcomes of three components in turn.
fn teach(predictor: &mut TextPredictor, n: usize, keys: [u32; 3]) {
    let verbs = ["please", "now", "quickly", "again", "for me", "today", "once more"];
    let what = [
        ["play some jazz", "start the playlist", "louder music", "play the radio"],
        ["wake me at six", "set a timer", "what time is it", "remind me at noon"],
        ["will it rain", "is it cold outside", "do i need an umbrella", "how hot is it"],
    ];
    for i in 0..n {
        let (component, text) = (i % 3, what[i % 3][(i / 3) % 4]);
        let text = format!("{text} {} {}", verbs[(i / 12) % 7], i / 84);
        predictor.learn(&text, &[key(keys[component])]).expect("known component");
    }
}

fn retrain(predictor: &mut TextPredictor) -> Verdict {
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
    predictor.install(candidate)
}

#[track_caller]
fn check(predictor: &TextPredictor, text: &str, decision: Decision, expected: &[u32]) {
    let mut scratch = IntentScratch::default();
    let intents = predictor.intents(text, &mut scratch);
    let got: Vec<u32> = intents.components.iter().map(|i| i.component.0).collect();
    assert_eq!((intents.decision, got.as_slice()), (decision, expected), "{text:?}: {intents:?}");
}

#[test]
fn keywords_answer_before_anything_is_learned() {
    let predictor = predictor();
    check(&predictor, "another song", Decision::Confident, &[0]);
    check(&predictor, "a song and an alarm", Decision::Confident, &[0, 1]);
    check(&predictor, "good morning", Decision::None, &[]);
    check(&predictor, "", Decision::None, &[]);
}

#[test]
fn outcomes_are_learned_online_and_by_retrain() {
    let mut predictor = predictor();
    teach(&mut predictor, 9, [0, 1, 2]);
    assert!(!predictor.retrain_due());
    teach(&mut predictor, 84, [0, 1, 2]);
    assert!(predictor.retrain_due());
    let before = predictor.version();
    assert!(matches!(retrain(&mut predictor), Verdict::Accepted { version } if version > before));
    assert!(!predictor.retrain_due());
    check(&predictor, "play jazz", Decision::Confident, &[0]);
    check(&predictor, "is it going to rain", Decision::Confident, &[2]);
    // A new meaning is learned online, before any retrain.
    for _ in 0..4 {
        predictor.learn("qwertz uiop", &[key(1)]).expect("known");
    }
    check(&predictor, "qwertz uiop", Decision::Confident, &[1]);
    assert!(predictor.prequential().n >= 4);
}

#[test]
fn snapshot_is_immutable() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    let snapshot = predictor.snapshot();
    assert!(std::sync::Arc::ptr_eq(&snapshot, &predictor.snapshot()));
    let mut scratch = IntentScratch::default();
    let before = snapshot.intents("play jazz", &mut scratch).candidates.to_vec();
    predictor.forget_everything();
    assert_eq!(snapshot.intents("play jazz", &mut scratch).candidates, before);
    assert!(predictor.snapshot().version() > snapshot.version());
}

#[test]
fn components_may_be_added_removed_and_change_their_keys() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    catalog(&mut predictor, [7, 8, 9]);
    check(&predictor, "play jazz", Decision::Confident, &[7]);
    let keywords = KeywordMatcher::build([]).expect("nothing");
    let (music, lights) = (id("music"), id("lights"));
    predictor.set_catalog([(key(7), &music), (key(3), &lights)], keywords);
    check(&predictor, "play jazz", Decision::Confident, &[7]);
    for i in 0..6 {
        predictor.learn(&format!("dim the lamp number {i}"), &[key(3)]).expect("known");
    }
    check(&predictor, "dim the lamp number 9", Decision::Confident, &[3]);
    check(&predictor, "play jazz", Decision::Confident, &[7]);
    assert!(predictor.remove(&music) && !predictor.remove(&music));
    check(&predictor, "dim the lamp number 9", Decision::Confident, &[3]);
    let mut scratch = IntentScratch::default();
    assert!(
        predictor
            .intents("play jazz", &mut scratch)
            .candidates
            .iter()
            .all(|i| i.component != key(7))
    );
}

#[test]
fn explanations_name_keywords_and_n_grams() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    let mut scratch = IntentScratch::default();
    let why = predictor.explain("play a song", key(0), &mut scratch);
    assert_eq!(why.keywords.len(), 1);
    assert!(why.keyword_score > 0.0 && why.confidence >= why.threshold);
    assert!(
        why.n_grams.iter().any(|(gram, added)| gram.contains("play") && *added > 0.0),
        "{why:?}"
    );
    assert_eq!(why.version, predictor.version());
}

#[test]
fn outcomes_without_a_word_or_of_unknown_components_are_refused() {
    let mut predictor = predictor();
    assert_eq!(predictor.learn("play", &[key(9)]), Err(LearnError::UnknownComponent(key(9))));
    assert_eq!(predictor.learn("  ", &[key(0)]), Err(LearnError::NoWord));
    assert_eq!(predictor.n_outcomes(), 0);
    let error = predictor.retrain_job().run(&AtomicBool::new(false)).expect_err("nothing");
    assert_eq!(error, TrainError::NoExample);
}

#[test]
fn contradictory_and_long_outcomes_are_accepted() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    for i in 0..20 {
        predictor.learn("one and the same", &[key(i % 3)]).expect("known");
        predictor.learn(&"word ".repeat(200_000), &[key(0), key(0)]).expect("known");
        predictor.learn("nothing at all", &[]).expect("an outcome");
    }
    assert_eq!(predictor.n_outcomes(), 87);
    retrain(&mut predictor);
    let mut scratch = IntentScratch::default();
    let intents = predictor.intents("one and the same", &mut scratch);
    assert!(intents.candidates.iter().all(|i| i.confidence.get().is_finite()));
}

#[test]
fn forgetting_reaches_buffer_model_and_running_jobs() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    for _ in 0..5 {
        predictor.learn("my secret phrase", &[key(0)]).expect("known");
    }
    retrain(&mut predictor);
    let stale = predictor.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
    assert!(predictor.forget("MY secret  phrase") && !predictor.forget("my secret phrase"));
    assert_eq!(predictor.install(stale), Verdict::Stale);
    assert!(predictor.retrain_due());
    assert!(matches!(retrain(&mut predictor), Verdict::Accepted { .. }));
    assert!(!predictor.roll_back(), "the model that knew the text must be dropped");
    let bytes = predictor.encode();
    assert!(!bytes.windows(6).any(|w| w == b"secret"));
    predictor.forget_everything();
    assert_eq!(predictor.n_outcomes(), 0);
    check(&predictor, "play jazz", Decision::None, &[]);
}

#[test]
fn cancelled_job_changes_nothing_and_roll_back_restores_the_model_before() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    let job = predictor.retrain_job();
    assert_eq!(job.run(&AtomicBool::new(true)).expect_err("cancelled"), TrainError::Cancelled);
    assert!(!predictor.roll_back());
    retrain(&mut predictor);
    assert!(predictor.roll_back());
    check(&predictor, "play jazz", Decision::Confident, &[0]);
    assert!(!predictor.roll_back());
}

#[test]
fn state_is_restored_and_a_damaged_state_is_refused() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    let bytes = predictor.encode();
    let mut restored =
        TextPredictor::decode(PredictorConfig::default(), &bytes).expect("own state");
    catalog(&mut restored, [0, 1, 2]);
    assert_eq!(restored.n_outcomes(), 84);
    check(&restored, "is it going to rain", Decision::Confident, &[2]);
    teach(&mut restored, 10, [0, 1, 2]);
    assert!(matches!(retrain(&mut restored), Verdict::Accepted { .. }));

    let decode = |bytes: &[u8]| TextPredictor::decode(PredictorConfig::default(), bytes).map(drop);
    assert!(matches!(decode(b"other"), Err(DecodeError::Foreign { .. })));
    assert!(matches!(decode(&[]), Err(DecodeError::Foreign { .. })));
    for at in [4, 9, 40, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(decode(&damaged).is_err(), "byte {at}");
        assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
    }
    let empty = TextPredictor::new(PredictorConfig::default()).encode();
    assert!(decode(&empty).is_ok());
}

#[test]
fn memory_stays_within_its_bounds() {
    let mut predictor = predictor();
    teach(&mut predictor, 252, [0, 1, 2]);
    retrain(&mut predictor);
    retrain(&mut predictor);
    assert!(predictor.memory_bytes() <= 16 << 20, "{}", predictor.memory_bytes());
}

#[test]
fn text_that_names_several_components_needs_all_of_them() {
    let mut predictor = predictor();
    check(&predictor, "a song and an alarm", Decision::Confident, &[0, 1]);
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    check(&predictor, "a song and an alarm", Decision::Confident, &[1, 0]);
    check(&predictor, "a song", Decision::Confident, &[0]);
}

#[test]
fn model_does_not_overrule_a_keyword_of_a_new_component() {
    let mut predictor = predictor();
    for i in 0..60 {
        predictor.learn(&format!("play number {i}"), &[key(0)]).expect("known");
        predictor.learn(&format!("wake me at {i}"), &[key(1)]).expect("known");
    }
    retrain(&mut predictor);
    // The third component has no outcome, then one.
    check(&predictor, "the forecast", Decision::Confident, &[2]);
    predictor.learn("will it rain", &[key(2)]).expect("known");
    check(&predictor, "the forecast", Decision::Confident, &[2]);
    // An unknown text has candidates of any confidence up to 1.
    let mut scratch = IntentScratch::default();
    let intents = predictor.intents("xylophone zebra", &mut scratch);
    assert!(intents.candidates.iter().all(|i| i.confidence.get() <= 1.0));
}

#[test]
fn model_of_a_single_component_does_not_answer() {
    let mut predictor = predictor();
    for i in 0..40 {
        predictor.learn(&format!("play number {i}"), &[key(0)]).expect("known");
    }
    retrain(&mut predictor);
    check(&predictor, "good morning", Decision::None, &[]);
    check(&predictor, "a song", Decision::Confident, &[0]);
    for i in 0..10 {
        predictor.learn(&format!("good morning {i}"), &[]).expect("an outcome");
    }
    retrain(&mut predictor);
    check(&predictor, "play number nine", Decision::Confident, &[0]);
    check(&predictor, "good morning", Decision::None, &[]);
}

/// 150 commands, some of which contradict the others.
fn rows() -> Vec<(String, u32)> {
    let what = ["play the radio", "wake me at noon", "will it rain today"];
    let label = |i: usize| if i.is_multiple_of(11) { (i + 1) % 3 } else { i % 3 };
    (0..150).map(|i| (format!("{} {}", what[i % 3], i / 3), label(i) as u32)).collect()
}

#[test]
fn retrained_predictor_is_the_classifier_fitted_to_the_same_rows() {
    let rows = rows();
    let mut predictor =
        TextPredictor::new(PredictorConfig { prior: None, ..PredictorConfig::default() });
    let ids = NAMES.map(id);
    predictor.set_catalog((0..3).map(key).zip(&ids), KeywordMatcher::default());
    // Labels are numbered in the order of first use.
    let mut order: Vec<u32> = Vec::new();
    for (text, label) in &rows {
        if !order.contains(label) {
            order.push(*label);
        }
        predictor.learn(text, &[key(*label)]).expect("known");
    }
    assert!(matches!(retrain(&mut predictor), Verdict::Accepted { .. }));
    let labels: Vec<[u32; 1]> = rows
        .iter()
        .map(|r| [order.iter().position(|l| *l == r.1).expect("listed") as u32])
        .collect();
    let examples: Vec<Example<'_>> =
        rows.iter().zip(&labels).map(|(r, l)| Example { text: &r.0, labels: l }).collect();
    let classifier = TextValidParams::default()
        .fit_texts(3, &examples, &[], None, &AtomicBool::new(false))
        .expect("sound rows");
    let (mut scratch, mut texts) = (IntentScratch::default(), classifier.scratch());
    for text in ["play the radio 3", "wake me", "will it rain on sunday", "play at noon"] {
        let (_, p) = classifier.predict_proba(text, &mut texts);
        for (label, &component) in order.iter().enumerate() {
            let p_component =
                predictor.explain(text, key(component), &mut scratch).confidence.get();
            assert!((p_component - p[label]).abs() < 1e-6, "{text}: {p_component} and {p:?}");
        }
    }
}

#[test]
fn explanation_reports_confidence_and_threshold_of_the_answer() {
    let mut predictor = predictor();
    teach(&mut predictor, 84, [0, 1, 2]);
    retrain(&mut predictor);
    let lights = id("lights");
    let ids: Vec<ComponentId> = NAMES.map(id).into_iter().chain([lights]).collect();
    let words = [(key(0), "song"), (key(1), "alarm"), (key(3), "lamp")];
    let keywords = KeywordMatcher::build(words).expect("words");
    predictor.set_catalog((0..4).map(key).zip(&ids), keywords);
    // One outcome is too little for the model to overrule the keyword.
    predictor.learn("dim it", &[key(3)]).expect("known");
    for _ in 0..3 {
        predictor.learn("good night", &[key(3)]).expect("known");
    }
    let mut scratch = IntentScratch::default();
    for text in ["dim the lamp", "a song and an alarm", "play jazz", "good night"] {
        let answer = predictor.intents(text, &mut scratch);
        let candidates = answer.candidates.to_vec();
        assert!(!candidates.is_empty(), "{text}");
        for intent in candidates {
            let why = predictor.explain(text, intent.component, &mut scratch);
            assert_eq!(
                (why.confidence, why.threshold),
                (intent.confidence, intent.threshold),
                "{text}"
            );
        }
    }
}
