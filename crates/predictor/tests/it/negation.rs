//! Negation: evidence against a component, from keywords and from what was learned.

use std::sync::atomic::AtomicBool;

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Decision, IntentScratch, KeywordMatcher, PredictorConfig, TextPredictor,
};

const NAMES: [&str; 3] = ["music", "clock", "weather"];

fn predictor(names: &[&str], keywords: &[(u32, &str)]) -> TextPredictor {
    let mut out = TextPredictor::new(PredictorConfig::default());
    let ids: Vec<ComponentId> =
        names.iter().map(|n| ComponentId::new(n).expect("a name")).collect();
    let entries = keywords.iter().map(|&(c, word)| (ComponentKey(c), word));
    let matcher = KeywordMatcher::build(entries).expect("words");
    out.set_catalog((0..names.len()).map(ComponentKey::from_index).zip(&ids), matcher);
    out
}

/// The decision, and the components that a text needs.
fn needed(predictor: &TextPredictor, text: &str) -> (Decision, Vec<u32>) {
    let mut scratch = IntentScratch::default();
    let found = predictor.intents(text, &mut scratch);
    (found.decision, found.components.iter().map(|i| i.component.0).collect())
}

/// Three components that were learned from commands without a keyword.
fn taught() -> TextPredictor {
    let mut out = predictor(&NAMES, &[]);
    let ways = ["please", "now", "quickly", "again", "for me", "today", "once more"];
    let what = [
        ["play some jazz", "start the playlist", "louder tunes", "put on the radio"],
        ["wake me at six", "set a timer", "what time is it", "remind me at noon"],
        ["will it rain", "is it cold outside", "do i need an umbrella", "how hot is it"],
    ];
    for i in 0..252 {
        let text = format!("{} {} {}", what[i % 3][(i / 3) % 4], ways[(i / 12) % 7], i / 84);
        out.learn(&text, &[ComponentKey(i as u32 % 3)]).expect("a known component");
    }
    let candidate = out.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
    out.install(candidate);
    out
}

/// At most 2 of 100 commands may be lost to a false negation; `majordomo-lab intents --languages` prints the figures.
#[test]
fn negated_commands_need_nothing_and_similar_ones_do() {
    let rows: Vec<Vec<&str>> = include_str!("../data/negation.tsv")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.split('\t').collect())
        .collect();
    let lists: Vec<_> = rows.iter().filter(|r| r[0] == "keywords").collect();
    let names: Vec<&str> = lists.iter().map(|r| r[2]).collect();
    let keywords: Vec<(u32, &str)> =
        (0..).zip(&lists).flat_map(|(i, r)| r[3].split(',').map(move |word| (i, word))).collect();
    let predictor = predictor(&names, &keywords);
    let wrong = |kind: &str| -> Vec<&str> {
        let own = rows.iter().filter(|r| r[0] == kind);
        own.filter(|r| {
            let (_, found) = needed(&predictor, r[3]);
            let has = found.iter().any(|&c| names[c as usize] == r[2]);
            has != (kind == "positive")
        })
        .map(|r| r[3])
        .collect()
    };
    let (loaded, lost) = (wrong("negated"), wrong("positive"));
    assert!(loaded.len() <= 5, "negated and loaded: {loaded:?}");
    assert!(lost.len() <= 2, "not negated and not loaded: {lost:?}");
}

#[test]
fn keyword_in_a_negated_clause_is_evidence_against_its_component() {
    let predictor = predictor(&NAMES, &[(0, "music"), (1, "alarm"), (2, "do not disturb")]);
    let mut scratch = IntentScratch::default();
    let found = predictor.intents("do not play music", &mut scratch);
    assert_eq!((found.decision, found.components.len()), (Decision::None, 0));
    assert_eq!(found.candidates.len(), 1, "a candidate below its threshold");
    assert!(found.candidates[0].confidence < found.candidates[0].threshold);
    assert!(found.keywords.hits()[0].is_negated);
    // A component that is also named without a negation is needed.
    assert_eq!(needed(&predictor, "don't stop there, play music").1, [0]);
    assert_eq!(needed(&predictor, "no music, set an alarm").1, [1]);
    // A negation inside a keyword is part of the keyword.
    assert_eq!(needed(&predictor, "turn on do not disturb").1, [2]);
}

#[test]
fn negation_also_applies_to_learned_components() {
    let predictor = taught();
    for (text, component) in
        [("play some jazz", 0), ("wake me at six", 1), ("is it cold outside", 2)]
    {
        assert_eq!(needed(&predictor, text).1, [component], "{text}");
    }
    for text in ["do not play some jazz", "please don't wake me at six", "never put on the radio"] {
        assert_eq!(needed(&predictor, text), (Decision::None, vec![]), "{text}");
    }
    assert_eq!(needed(&predictor, "don't put on the radio, wake me at six").1, [1]);
    assert_eq!(needed(&predictor, "don't forget to wake me at six").1, [1]);
}

#[test]
fn outcomes_of_negated_texts_teach_what_negation_means() {
    let mut predictor = taught();
    let nights = ["on monday", "on tuesday", "on friday", "this week", "tomorrow", "on sunday"];
    for night in nights {
        // The user wants the alarm removed, for which the clock is needed.
        predictor.learn(&format!("do not wake me {night}"), &[ComponentKey(1)]).expect("known");
    }
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
    predictor.install(candidate);
    assert_eq!(needed(&predictor, "do not wake me on thursday").1, [1]);
    assert_eq!(needed(&predictor, "do not play some jazz").0, Decision::None);
}
