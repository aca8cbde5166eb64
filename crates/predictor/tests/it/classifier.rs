//! The text model over numbered labels: learning, unusual texts, and refused training data.

use std::sync::atomic::AtomicBool;

use majordomo_predictor::{
    Example, ParamError, Prior, TextClassifier, TextParams, TextValidParams, TrainError,
};

const TEXTS: [(&str, u32); 12] = [
    ("play some jazz music", 0),
    ("play the next song", 0),
    ("put on a playlist with rock songs", 0),
    ("music please, something calm", 0),
    ("wake me up at seven", 1),
    ("set an alarm for six", 1),
    ("alarm at eight tomorrow", 1),
    ("remove the alarm for monday", 1),
    ("will it rain today", 2),
    ("what is the weather like in paris", 2),
    ("weather forecast for sunday", 2),
    ("is it going to snow tomorrow", 2),
];

fn examples(labels: &[[u32; 1]]) -> Vec<Example<'_>> {
    TEXTS.iter().zip(labels).map(|((text, _), l)| Example { text, labels: l }).collect()
}

fn fit(n_labels: usize, rows: &[Example<'_>]) -> Result<TextClassifier, TrainError> {
    TextValidParams::default().fit_texts(n_labels, rows, &[], None, &AtomicBool::new(false))
}

#[test]
fn classifier_generalises_and_repeats_exactly() {
    let labels = TEXTS.map(|(_, l)| [l]);
    let model = fit(3, &examples(&labels)).expect("sound rows");
    let again = fit(3, &examples(&labels)).expect("sound rows");
    assert!(model.is_exclusive());
    let mut scratch = model.scratch();
    for (text, expected) in [("play a song", 0), ("an alarm at nine", 1), ("weather in rome", 2)] {
        let mut labels_of_text = Vec::new();
        model.predict(text, &mut scratch, &mut labels_of_text);
        assert_eq!(labels_of_text, [expected], "{text}");
        let (none, p) = model.predict_proba(text, &mut scratch);
        assert!((none + p.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let first = p.to_vec();
        assert_eq!(again.predict_proba(text, &mut scratch).1, first);
    }
}

#[test]
fn classifier_works_with_and_without_a_prior() {
    let labels = TEXTS.map(|(_, l)| [l]);
    let rows = examples(&labels);
    let with = TextValidParams::default()
        .fit_texts(3, &rows, &[], Some(&Prior::shipped()), &AtomicBool::new(false))
        .expect("sound rows");
    let mut scratch = with.scratch();
    // The rows have no n-gram of these words.
    let (_, p) = with.predict_proba("thunderstorms expected", &mut scratch);
    assert!(p.iter().all(|p| p.is_finite()));
    let without = fit(3, &rows).expect("sound rows");
    let plain = without.predict_proba("qqqq", &mut scratch).1.to_vec();
    assert!(plain.iter().all(|p| *p < 0.9), "{plain:?}");
}

#[test]
fn texts_with_several_labels_make_labels_independent() {
    let texts: Vec<(String, Vec<u32>)> = TEXTS
        .iter()
        .flat_map(|(a, la)| {
            TEXTS.iter().map(move |(b, lb)| {
                let mut labels = vec![*la, *lb];
                labels.sort_unstable();
                labels.dedup();
                (format!("{a} and {b}"), labels)
            })
        })
        .collect();
    let rows: Vec<Example<'_>> =
        texts.iter().map(|(text, labels)| Example { text, labels }).collect();
    let (held_out, train) = rows.split_at(30);
    let model = TextValidParams::default()
        .fit_texts(3, train, held_out, None, &AtomicBool::new(false))
        .expect("sound rows");
    assert!(!model.is_exclusive());
    let mut labels_of_text = Vec::new();
    model.predict("play music and set an alarm", &mut model.scratch(), &mut labels_of_text);
    assert_eq!(labels_of_text, [0, 1]);
}

#[test]
fn unusual_texts_give_probabilities() {
    let labels = TEXTS.map(|(_, l)| [l]);
    let model = fit(3, &examples(&labels)).expect("sound rows");
    let mut scratch = model.scratch();
    let megabyte = "play music ".repeat(100_000);
    let long_word = "x".repeat(1 << 20);
    let strange = [
        "",
        " ",
        "\0\u{1}\u{7f}",
        "\u{202e}בוקר טוב\u{202c}",
        "🎵🎵👩‍👩‍👧‍👦",
        "e\u{301}\u{301}\u{301}",
        "\u{feff}play",
        &megabyte,
        &long_word,
    ];
    for text in strange {
        let (none, p) = model.predict_proba(text, &mut scratch);
        let all = p.iter().chain([&none]);
        assert!(all.clone().all(|p| (0.0..=1.0).contains(p)), "{:?}", &text[..text.len().min(20)]);
    }
}

#[test]
fn degenerate_labels_are_accepted() {
    let texts = ["play", "stop", "go", "play"];
    let check = |n_labels: usize, labels: [&[u32]; 4]| {
        let rows: Vec<Example<'_>> =
            texts.iter().zip(labels).map(|(text, labels)| Example { text, labels }).collect();
        let model = fit(n_labels, &rows).expect("sound rows");
        let mut scratch = model.scratch();
        let (none, p) = model.predict_proba("play stop", &mut scratch);
        assert!(p.iter().chain([&none]).all(|p| (0.0..=1.0).contains(p)));
    };
    check(1, [&[0], &[0], &[0], &[0]]);
    check(2, [&[0], &[0], &[0], &[0]]);
    check(1, [&[], &[], &[], &[]]);
    check(0, [&[], &[], &[], &[]]);
    check(2, [&[0], &[0], &[0], &[1]]);
    check(2, [&[0, 1], &[0, 1], &[0, 1], &[0, 1]]);
}

#[test]
fn bad_training_data_is_refused() {
    let check = |n_labels: usize, rows: &[Example<'_>], expected: TrainError| {
        assert_eq!(fit(n_labels, rows).expect_err("refused"), expected);
    };
    check(1, &[], TrainError::NoExample);
    let unknown = TrainError::UnknownLabel { row: 0, label: 3, n_labels: 2 };
    check(2, &[Example { text: "x", labels: &[3] }], unknown);
    let repeated = TrainError::RepeatedLabel { row: 0, label: 1 };
    check(2, &[Example { text: "x", labels: &[1, 1] }], repeated);
    let cancelled = TextValidParams::default().fit_texts(
        1,
        &[Example { text: "x", labels: &[0] }],
        &[],
        None,
        &AtomicBool::new(true),
    );
    assert_eq!(cancelled.expect_err("cancelled"), TrainError::Cancelled);
}

#[test]
fn settings_out_of_range_are_named() {
    let check = |change: fn(&mut TextParams), name: &str| {
        let mut params = TextParams::default();
        change(&mut params);
        let error: ParamError = params.check().expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    };
    check(|p| p.bits = 20, "bits");
    check(|p| p.linear.c = f32::NAN, "linear.c");
    check(|p| p.mlp.n_whole = 3, "mlp.n_whole");
    check(|p| p.mlp.dropout = 1.0, "mlp.dropout");
    check(|p| p.mlp.learning_rate = f32::INFINITY, "mlp.learning_rate");
    check(|p| p.mlp.windows[0].1 = 0, "mlp.windows");
}
