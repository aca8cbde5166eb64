//! Experiments with the predictor as a whole: prequential learning, self-training, keywords.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Decision, IntentScratch, KeywordMatcher, PredictorConfig, Prior, TextPredictor, Verdict,
};

use super::batch::{cpu_seconds, shuffle};
use super::data::{DataSet, Row};
use super::metrics::{Report, number};

/// Seed of the order of rows.
const ORDER: u64 = 7;
/// True outcomes before self-training begins.
const SEEDED: usize = 1000;
/// Keywords a label.
const N_KEYWORDS: usize = 12;

fn predictor(
    set: &DataSet,
    prior: Option<&Prior>,
) -> anyhow::Result<(TextPredictor, Vec<ComponentId>)> {
    let config = PredictorConfig { prior: prior.cloned(), ..PredictorConfig::default() };
    let ids: Vec<ComponentId> = (0..set.labels.len())
        .map(|l| ComponentId::new(&format!("label-{l}")))
        .collect::<Result<_, _>>()?;
    let mut out = TextPredictor::new(config);
    set_keywords(&mut out, &ids, KeywordMatcher::default());
    Ok((out, ids))
}

fn set_keywords(predictor: &mut TextPredictor, ids: &[ComponentId], keywords: KeywordMatcher) {
    let keys = (0..ids.len()).map(ComponentKey::from_index);
    predictor.set_catalog(keys.zip(ids), keywords);
}

fn used(row: &Row) -> Vec<ComponentKey> {
    row.labels.iter().map(|&l| ComponentKey(l)).collect()
}

/// Whether the likeliest component is one that was meant.
fn is_right(predictor: &TextPredictor, row: &Row, scratch: &mut IntentScratch) -> bool {
    let intents = predictor.intents(&row.text, scratch);
    match intents.candidates.first() {
        Some(best) => row.labels.contains(&best.component.0),
        None => row.labels.is_empty(),
    }
}

fn accuracy(predictor: &TextPredictor, rows: &[Row]) -> f64 {
    let mut scratch = IntentScratch::default();
    let n_right = rows.iter().filter(|r| is_right(predictor, r, &mut scratch)).count();
    n_right as f64 / rows.len().max(1) as f64
}

fn retrain_if_due(predictor: &mut TextPredictor) -> anyhow::Result<()> {
    if predictor.retrain_due() {
        let candidate = predictor.retrain_job().run(&AtomicBool::new(false))?;
        predictor.install(candidate);
    }
    Ok(())
}

/// Predict, then learn the true labels, row by row.
pub(crate) fn prequential(set: &DataSet, prior: Option<&Prior>) -> anyhow::Result<Report> {
    let (mut predictor, _) = predictor(set, prior)?;
    let mut rows = set.train.clone();
    shuffle(&mut rows, ORDER);
    rows.truncate(4000);
    let mut scratch = IntentScratch::default();
    let mut right = Vec::with_capacity(rows.len());
    let start = cpu_seconds();
    for row in &rows {
        right.push(is_right(&predictor, row, &mut scratch));
        predictor.learn(&row.text, &used(row)).context("a row without a word")?;
        retrain_if_due(&mut predictor)?;
    }
    let share = |from: usize, to: usize| {
        let part = &right[from.min(right.len())..to.min(right.len())];
        part.iter().filter(|r| **r).count() as f64 / part.len().max(1) as f64
    };
    let mut out: Report =
        vec![("data".into(), set.name.clone().into()), ("train".into(), rows.len().into())];
    for (from, to) in [(0, 100), (100, 200), (200, 500), (500, 1000), (1000, 2000), (2000, 4000)] {
        out.push((format!("prequential_{from}_{to}"), number(share(from, to))));
    }
    out.push(("prequential_mean_2000".into(), number(share(0, 2000))));
    out.push(("prequential_mean_4000".into(), number(share(0, 4000))));
    out.push(("retrains_rejected".into(), predictor.prequential().n_rejected.into()));
    out.push(("cpu_s".into(), number(cpu_seconds() - start)));
    out.push(("memory_bytes".into(), predictor.memory_bytes().into()));
    Ok(out)
}

/// Feeds confident answers back as if they were outcomes, after a start with true ones.
pub(crate) fn self_training(set: &DataSet, prior: Option<&Prior>) -> anyhow::Result<Report> {
    let (mut predictor, _) = predictor(set, prior)?;
    let mut rows = set.train.clone();
    shuffle(&mut rows, ORDER);
    rows.truncate(4 * SEEDED);
    let (seed, rest) = rows.split_at(SEEDED.min(rows.len()));
    for row in seed {
        predictor.learn(&row.text, &used(row)).context("a row without a word")?;
    }
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false))?;
    predictor.install(candidate);
    let before = accuracy(&predictor, set.scored());
    let mut scratch = IntentScratch::default();
    let mut n_fed = 0usize;
    for row in rest {
        let intents = predictor.intents(&row.text, &mut scratch);
        if intents.decision != Decision::Confident {
            continue;
        }
        let said: Vec<ComponentKey> = intents.components.iter().map(|i| i.component).collect();
        predictor.learn(&row.text, &said).context("a row without a word")?;
        n_fed += 1;
        retrain_if_due(&mut predictor)?;
    }
    Ok(vec![
        ("data".into(), set.name.clone().into()),
        ("train".into(), seed.len().into()),
        ("fed_back".into(), n_fed.into()),
        ("accuracy_before".into(), number(before)),
        ("accuracy_after".into(), number(accuracy(&predictor, set.scored()))),
        ("retrains_rejected".into(), predictor.prequential().n_rejected.into()),
    ])
}

/// Keywords alone, the model alone and both, on the valid rows; keyword lists come from the train rows.
pub(crate) fn keywords(
    set: &DataSet,
    prior: Option<&Prior>,
    n_train: Option<usize>,
) -> anyhow::Result<Report> {
    let lists = keyword_lists(set);
    let entries = lists
        .iter()
        .flat_map(|(label, words)| words.iter().map(|w| (ComponentKey(*label), w.as_str())));
    let matcher = KeywordMatcher::build(entries)?;
    let (mut predictor, ids) = predictor(set, prior)?;
    set_keywords(&mut predictor, &ids, matcher.clone());
    let alone = accuracy(&predictor, &set.valid);
    let mut rows = set.train.clone();
    shuffle(&mut rows, ORDER);
    rows.truncate(n_train.unwrap_or(rows.len()));
    for row in &rows {
        predictor.learn(&row.text, &used(row)).context("a row without a word")?;
    }
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false))?;
    anyhow::ensure!(
        matches!(predictor.install(candidate), Verdict::Accepted { .. }),
        "the model was rejected"
    );
    let fused = accuracy(&predictor, &set.valid);
    set_keywords(&mut predictor, &ids, KeywordMatcher::default());
    let model = accuracy(&predictor, &set.valid);
    Ok(vec![
        ("data".into(), set.name.clone().into()),
        ("train".into(), rows.len().into()),
        ("keywords".into(), matcher.n_phrases().into()),
        ("accuracy_keywords".into(), number(alone)),
        ("accuracy_model".into(), number(model)),
        ("accuracy_fused".into(), number(fused)),
    ])
}

/// The words by label that a person would write: frequent in its texts and rare elsewhere. A word may
/// belong to several labels.
fn keyword_lists(set: &DataSet) -> BTreeMap<u32, Vec<String>> {
    let mut counts: BTreeMap<&str, BTreeMap<u32, usize>> = BTreeMap::new();
    for row in &set.train {
        let words = row
            .text
            .split_whitespace()
            .filter(|w| w.len() > 3 && w.chars().all(char::is_alphabetic));
        for word in words {
            for &label in &row.labels {
                *counts.entry(word).or_default().entry(label).or_default() += 1;
            }
        }
    }
    let mut out: BTreeMap<u32, Vec<(f64, &str)>> = BTreeMap::new();
    for (word, by_label) in &counts {
        let all: usize = by_label.values().sum();
        for (&label, &n) in by_label {
            let purity = n as f64 / all as f64;
            if n >= 5 && purity >= 0.4 {
                out.entry(label).or_default().push((n as f64 * purity * purity, word));
            }
        }
    }
    out.into_iter()
        .map(|(label, mut words)| {
            words.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            (label, words.into_iter().take(N_KEYWORDS).map(|w| w.1.to_owned()).collect())
        })
        .collect()
}
