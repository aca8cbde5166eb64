//! Random operations, random texts and damaged states give an error or a sound answer, never a panic or NaN.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Decision, IntentScratch, KeywordMatcher, PredictorConfig, Prior, TextPredictor,
};
use majordomo_simd::hash_bytes;
use proptest::prelude::*;

const N_COMPONENTS: u32 = 4;

fn ids() -> Vec<ComponentId> {
    (0..N_COMPONENTS).map(|i| ComponentId::new(&format!("c{i}")).expect("a name")).collect()
}

fn set_catalog(predictor: &mut TextPredictor) {
    let ids = ids();
    let keys = (0..N_COMPONENTS).map(ComponentKey);
    let words = [(ComponentKey(0), "song"), (ComponentKey(1), "alarm")];
    let keywords = KeywordMatcher::build(words).expect("words");
    predictor.set_catalog(keys.zip(&ids), keywords);
}

/// Every number is a probability, and the decision agrees with the chosen components.
#[track_caller]
fn check_answer(predictor: &TextPredictor, text: &str) {
    let mut scratch = IntentScratch::default();
    let intents = predictor.intents(text, &mut scratch);
    assert_eq!(intents.decision == Decision::Confident, !intents.components.is_empty());
    for intent in intents.components.iter().chain(intents.candidates) {
        assert!((0.0..=1.0).contains(&intent.confidence.get()), "{text:?}: {intent:?}");
    }
    let why = predictor.explain(text, ComponentKey(0), &mut scratch);
    assert!(why.n_grams.iter().all(|(_, added)| added.is_finite()), "{text:?}: {why:?}");
}

fn retrain(predictor: &mut TextPredictor) {
    if let Ok(candidate) = predictor.retrain_job().run(&AtomicBool::new(false)) {
        predictor.install(candidate);
    }
}

/// A state with outcomes and a model.
fn state() -> &'static [u8] {
    static STATE: OnceLock<Vec<u8>> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut predictor = TextPredictor::new(PredictorConfig::default());
        set_catalog(&mut predictor);
        for i in 0..48u32 {
            let text = format!("{} number {i}", ["play", "wake me", "stop", "go"][i as usize % 4]);
            predictor.learn(&text, &[ComponentKey(i % N_COMPONENTS)]).expect("known");
        }
        retrain(&mut predictor);
        predictor.encode()
    })
}

/// Replaces the checksum of changed bytes by a valid one.
fn sealed(mut bytes: Vec<u8>, seed: u64) -> Vec<u8> {
    let end = bytes.len() - 8;
    let sum = hash_bytes(&bytes[..end], seed);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn changed(bytes: &[u8], changes: &[(usize, u8)], start: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for &(at, x) in changes {
        let at = start + at % (bytes.len() - start - 8);
        out[at] = x;
    }
    out
}

#[derive(Clone, Debug)]
enum Step {
    Learn(String, Vec<u32>),
    Forget(String),
    Remove(usize),
    Retrain,
    RollBack,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = || prop_oneof!["[a-c ]{0,12}", "\\PC{0,16}", Just("play a song".to_owned())];
    let labels = proptest::collection::vec(0..N_COMPONENTS, 0..3);
    let step = prop_oneof![
        30 => (text(), labels).prop_map(|(text, labels)| Step::Learn(text, labels)),
        2 => text().prop_map(Step::Forget),
        1 => (0..N_COMPONENTS as usize).prop_map(Step::Remove),
        1 => Just(Step::Retrain),
        1 => Just(Step::RollBack),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_sequence_of_operations_gives_sound_answers(steps in steps(), text in "\\PC{0,40}") {
        let mut predictor = TextPredictor::new(PredictorConfig::default());
        set_catalog(&mut predictor);
        let ids = ids();
        for step in steps {
            match step {
                Step::Learn(text, labels) => {
                    let used: Vec<ComponentKey> = labels.into_iter().map(ComponentKey).collect();
                    let known = predictor.n_outcomes();
                    if predictor.learn(&text, &used).is_err() {
                        prop_assert_eq!(predictor.n_outcomes(), known);
                    }
                }
                Step::Forget(text) => drop(predictor.forget(&text)),
                Step::Remove(at) => drop(predictor.remove(&ids[at])),
                Step::Retrain => retrain(&mut predictor),
                Step::RollBack => drop(predictor.roll_back()),
                Step::Restart => {
                    let bytes = predictor.encode();
                    predictor = TextPredictor::decode(PredictorConfig::default(), &bytes)
                        .expect("its own state");
                    set_catalog(&mut predictor);
                }
            }
            check_answer(&predictor, "play a song");
        }
        check_answer(&predictor, &text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With a valid checksum, as a faulty writer would leave it.
    #[test]
    fn changed_state_is_refused_or_sound(
        changes in proptest::collection::vec((0usize..4 << 20, any::<u8>()), 1..40),
        near in proptest::collection::vec((0usize..4096, any::<u8>()), 0..3),
    ) {
        let bytes = changed(&changed(state(), &changes, 4096), &near, 0);
        let bytes = sealed(bytes, 0x7374_6174_6500_0001);
        if let Ok(mut predictor) = TextPredictor::decode(PredictorConfig::default(), &bytes) {
            set_catalog(&mut predictor);
            check_answer(&predictor, "wake me number 7");
            predictor.learn("stop the song", &[ComponentKey(0)]).expect("known");
            check_answer(&predictor, "stop the song");
        }
    }

    #[test]
    fn changed_prior_is_refused_or_sound(
        changes in proptest::collection::vec((0usize..2 << 20, any::<u8>()), 1..40),
    ) {
        let bytes = sealed(changed(&Prior::shipped().encode(), &changes, 0), 0x7072_696f_7200_0001);
        if let Ok(prior) = Prior::decode(&bytes) {
            let config = PredictorConfig { prior: Some(prior), ..PredictorConfig::default() };
            let mut predictor = TextPredictor::new(config);
            set_catalog(&mut predictor);
            for i in 0..12u32 {
                predictor
                    .learn(&format!("word {i}"), &[ComponentKey(i % N_COMPONENTS)])
                    .expect("known");
            }
            retrain(&mut predictor);
            check_answer(&predictor, "another word");
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(TextPredictor::decode(PredictorConfig::default(), &bytes).is_err());
        prop_assert!(Prior::decode(&bytes).is_err());
    }
}
