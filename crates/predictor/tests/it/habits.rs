//! The weight of one outcome: a few false outcomes do not overturn a habit, and a new habit is still learned.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Decision, IntentScratch, KeywordMatcher, PredictorConfig, TextPredictor,
};

const NAMES: [&str; 4] = ["music", "clock", "weather", "lights"];
const MUSIC: u32 = 0;
const CLOCK: u32 = 1;
const LIGHTS: u32 = 3;
const PHRASE: &str = "start my evening programme";

fn learn(predictor: &mut TextPredictor, text: &str, component: u32) {
    predictor.learn(text, &[ComponentKey(component)]).expect("a known component");
}

fn retrain(predictor: &mut TextPredictor) {
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
    predictor.install(candidate);
}

fn retrain_if_due(predictor: &mut TextPredictor) {
    if predictor.retrain_due() {
        retrain(predictor);
    }
}

fn set_catalog(predictor: &mut TextPredictor) {
    let ids = NAMES.map(|n| ComponentId::new(n).expect("a name"));
    let keywords = KeywordMatcher::build([(ComponentKey(LIGHTS), "lamp")]).expect("words");
    predictor.set_catalog((0..NAMES.len()).map(ComponentKey::from_index).zip(&ids), keywords);
}

/// Four components, learned from 120 commands.
fn taught() -> TextPredictor {
    static STATE: OnceLock<Vec<u8>> = OnceLock::new();
    let state = STATE.get_or_init(|| teach().encode());
    let mut out = TextPredictor::decode(PredictorConfig::default(), state).expect("its own state");
    set_catalog(&mut out);
    out
}

fn teach() -> TextPredictor {
    let mut out = TextPredictor::new(PredictorConfig::default());
    set_catalog(&mut out);
    let what = [
        ["play some jazz", "start the playlist", "louder tunes", "put on the radio"],
        ["wake me at six", "set a timer", "what time is it", "remind me at noon"],
        ["will it rain", "is it cold outside", "do i need an umbrella", "how hot is it"],
        ["dim the lamp", "more light in here", "switch the bulbs on", "make it dark"],
    ];
    let ways = ["please", "now", "quickly", "again", "for me", "today", "once more", "right away"];
    for i in 0..120 {
        let text = format!("{} {}", what[i % 4][(i / 4) % 4], ways[(i / 16) % 8]);
        learn(&mut out, &text, i as u32 % 4);
    }
    retrain(&mut out);
    out
}

/// A predictor after `n` outcomes that confirm the phrase.
fn confirmed(n: usize) -> TextPredictor {
    let mut out = taught();
    for _ in 0..n {
        learn(&mut out, PHRASE, MUSIC);
        retrain_if_due(&mut out);
    }
    out
}

fn needs(predictor: &TextPredictor, text: &str, component: u32) -> bool {
    let mut scratch = IntentScratch::default();
    let found = predictor.intents(text, &mut scratch);
    found.decision == Decision::Confident
        && found.components.iter().map(|i| i.component.0).eq([component])
}

#[track_caller]
fn check(predictor: &TextPredictor, text: &str, component: u32, when: &str) {
    let mut scratch = IntentScratch::default();
    let found = predictor.intents(text, &mut scratch);
    assert!(needs(predictor, text, component), "{text:?} {when}: {found:?}");
}

#[test]
fn confirmed_phrase_withstands_five_contrary_outcomes() {
    for n_confirmed in [3, 8, 120] {
        let mut predictor = confirmed(n_confirmed);
        for n_false in 1..=n_confirmed.min(5) {
            learn(&mut predictor, PHRASE, CLOCK);
            check(&predictor, PHRASE, MUSIC, &format!("{n_confirmed} against {n_false}"));
        }
        retrain(&mut predictor);
        check(&predictor, PHRASE, MUSIC, &format!("{n_confirmed}, after a retrain"));
    }
}

#[test]
fn changed_habit_is_learned_within_ten_outcomes() {
    for n_confirmed in [1, 2, 120] {
        let mut predictor = confirmed(n_confirmed);
        for _ in 0..10 {
            learn(&mut predictor, PHRASE, CLOCK);
        }
        check(&predictor, PHRASE, CLOCK, &format!("after {n_confirmed}"));
        retrain(&mut predictor);
        check(&predictor, PHRASE, CLOCK, &format!("after {n_confirmed} and a retrain"));
    }
}

#[test]
fn single_outcome_is_overturned_by_its_correction() {
    let mut predictor = taught();
    learn(&mut predictor, PHRASE, MUSIC);
    for _ in 0..2 {
        learn(&mut predictor, PHRASE, CLOCK);
    }
    check(&predictor, PHRASE, CLOCK, "after a correction");
}

/// The keyword supports the component that was used before, not the one that is used now.
#[test]
fn changed_habit_outweighs_a_keyword_of_the_former_component() {
    let mut predictor = taught();
    for _ in 0..20 {
        learn(&mut predictor, "the lamp scene", LIGHTS);
    }
    for _ in 0..10 {
        learn(&mut predictor, "the lamp scene", MUSIC);
    }
    check(&predictor, "the lamp scene", MUSIC, "after ten outcomes");
}

#[test]
fn false_outcomes_of_a_few_phrases_keep_the_decisions_of_similar_phrases() {
    let rooms = ["kitchen", "bedroom", "hall", "garden", "office", "attic", "cellar", "garage"];
    let times = ["at dawn", "at noon", "tonight", "later", "on sunday", "after work", "soon"];
    let phrase =
        |i: usize| format!("prepare the {} scene {}", rooms[i % 8], times[(i / 8 + i) % 7]);
    for n_confirmed in [1, 3] {
        let mut predictor = taught();
        for _ in 0..n_confirmed {
            (0..40).for_each(|i| learn(&mut predictor, &phrase(i), LIGHTS));
            retrain_if_due(&mut predictor);
        }
        let right = |predictor: &TextPredictor, from: usize| {
            (from..from + 40).filter(|&i| needs(predictor, &phrase(i % 56), LIGHTS)).count()
        };
        let before = right(&predictor, 0);
        assert!(before >= 39, "{before} of 40 are right before the false outcomes");
        for i in 40..55 {
            learn(&mut predictor, &phrase(i), CLOCK);
            let n = right(&predictor, 0);
            assert!(
                n >= 35,
                "confirmed {n_confirmed} times: {n} of 40 after {} false outcomes",
                i - 39
            );
        }
        retrain(&mut predictor);
        let n = right(&predictor, 0);
        assert!(n >= 35, "confirmed {n_confirmed} times: {n} of 40 after a retrain");
    }
}
