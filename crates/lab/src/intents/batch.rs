//! One batch experiment: fit to train rows, tune on valid rows, score the rest.

use std::sync::atomic::AtomicBool;

use anyhow::Context;
use majordomo_predictor::{Example, Prior, TextClassifier, TextParams};
use rustix::time::{ClockId, clock_gettime};

use super::data::{DataSet, Row};
use super::metrics::{self, Judged, Report, number};

/// CPU seconds of this thread.
pub(crate) fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// A fixed generator for draws and shuffles (SplitMix64).
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for i in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let j = ((u128::from(z ^ (z >> 31)) * (i as u128 + 1)) >> 64) as usize;
        items.swap(i, j);
    }
}

fn examples(rows: &[Row]) -> Vec<Example<'_>> {
    rows.iter().map(|r| Example { text: &r.text, labels: &r.labels }).collect()
}

/// The train rows, or so many of them, drawn at random.
pub(crate) fn drawn(set: &DataSet, n_train: Option<usize>, draw: u64) -> Vec<Row> {
    let mut train = set.train.clone();
    if let Some(n) = n_train {
        shuffle(&mut train, draw + 1);
        train.truncate(n);
    }
    train
}

/// Fits and scores. `draw` is the seed of the choice of rows.
pub(crate) fn score(
    set: &DataSet,
    n_train: Option<usize>,
    draw: u64,
    prior: Option<&Prior>,
) -> anyhow::Result<Report> {
    let train = drawn(set, n_train, draw);
    let params = TextParams::default().check().context("default settings")?;
    let start = cpu_seconds();
    let model = params.fit_texts(
        set.labels.len(),
        &examples(&train),
        &examples(&set.valid),
        prior,
        &AtomicBool::new(false),
    )?;
    let train_cpu_s = cpu_seconds() - start;
    let rows = set.scored();
    let judged = judge(&model, rows);
    let mut out: Report = vec![
        ("data".into(), set.name.clone().into()),
        ("train".into(), train.len().into()),
        ("epochs".into(), model.n_epochs().into()),
    ];
    let mut push = |name: &str, x: f64| out.push((name.to_owned(), number(x)));
    quality(&train, &judged, set.labels.len(), &mut push);
    if set.has_out_of_scope {
        out_of_scope(&model, set, &judged, &mut push);
    }
    push("train_cpu_s", train_cpu_s);
    let (p50, p99) = latency(&model, rows);
    push("query_p50_us", p50);
    push("query_p99_us", p99);
    out.push(("model_bytes".into(), model.memory_bytes().into()));
    Ok(out)
}

/// Accuracy or F1, and how much confident answers are worth.
pub(crate) fn quality(
    train: &[Row],
    judged: &[Judged],
    n_labels: usize,
    push: &mut impl FnMut(&str, f64),
) {
    if train.iter().all(|r| r.labels.len() <= 1) {
        let in_scope: Vec<&Judged> = judged.iter().filter(|j| !j.meant.is_empty()).collect();
        let n_right = in_scope.iter().filter(|j| j.meant.contains(&j.best.0)).count();
        push("accuracy", n_right as f64 / in_scope.len() as f64);
        let likeliest = |j: &Judged| Some(j.best.0).filter(|l| (*l as usize) < n_labels);
        let best: Vec<Judged> = in_scope
            .iter()
            .map(|j| Judged { said: likeliest(j).into_iter().collect(), ..(*j).clone() })
            .collect();
        push("macro_f1", metrics::multi(&best, n_labels).1);
    } else {
        let (micro, of_labels, exact) = metrics::multi(judged, n_labels);
        push("micro_f1", micro);
        push("macro_f1", of_labels);
        push("exact", exact);
    }
    for (name, floor) in [("50", 0.5), ("85", 0.85)] {
        let (share, precision) = metrics::coverage(judged, floor);
        push(&format!("coverage_{name}"), share);
        push(&format!("precision_{name}"), precision);
    }
}

fn judge(model: &TextClassifier, rows: &[Row]) -> Vec<Judged> {
    let mut scratch = model.scratch();
    rows.iter()
        .map(|row| {
            let mut said = Vec::new();
            model.predict(&row.text, &mut scratch, &mut said);
            let (_, labels) = model.predict_proba(&row.text, &mut scratch);
            let best =
                (0..labels.len()).max_by(|&a, &b| labels[a].total_cmp(&labels[b])).unwrap_or(0);
            Judged { meant: row.labels.clone(), said, best: (best as u32, labels[best]) }
        })
        .collect()
}

fn out_of_scope(
    model: &TextClassifier,
    set: &DataSet,
    judged: &[Judged],
    push: &mut impl FnMut(&str, f64),
) {
    in_scope(judged, push);
    let scores = |rows: &[Row], none: bool| -> Vec<f32> {
        let mut scratch = model.scratch();
        rows.iter()
            .filter(|r| r.labels.is_empty() == none)
            .map(|r| 1.0 - model.predict_proba(&r.text, &mut scratch).0)
            .collect()
    };
    let (high, low) = (scores(set.scored(), false), scores(set.scored(), true));
    rejected(&high, &low, scores(&set.valid, false), push);
}

/// Decisions on rows inside of the scope and outside.
pub(crate) fn in_scope(judged: &[Judged], push: &mut impl FnMut(&str, f64)) {
    let (inside, outside): (Vec<&Judged>, Vec<&Judged>) =
        judged.iter().partition(|j| !j.meant.is_empty());
    let n_right = inside.iter().filter(|j| j.said == j.meant).count();
    let n_rejected = outside.iter().filter(|j| j.said.is_empty()).count();
    push("in_scope_accuracy", n_right as f64 / inside.len().max(1) as f64);
    push("oos_recall", n_rejected as f64 / outside.len().max(1) as f64);
}

/// How well scores of rows inside of the scope stand above those outside; `valid` are inside.
pub(crate) fn rejected(
    high: &[f32],
    low: &[f32],
    valid: Vec<f32>,
    push: &mut impl FnMut(&str, f64),
) {
    push("auroc", metrics::auroc(high, low));
    let mut valid: Vec<f64> = valid.into_iter().map(f64::from).collect();
    let floor = metrics::quantile(&mut valid, 0.05);
    let n_below = low.iter().filter(|&&s| f64::from(s) < floor).count();
    push("oos_rejected_at_95", n_below as f64 / low.len().max(1) as f64);
}

/// (p50, p99) of one query in microseconds, after one warm-up pass.
fn latency(model: &TextClassifier, rows: &[Row]) -> (f64, f64) {
    let mut scratch = model.scratch();
    let mut times = Vec::with_capacity(rows.len());
    for pass in 0..2 {
        for row in rows {
            let start = clock_gettime(ClockId::Monotonic);
            std::hint::black_box(model.predict_proba(&row.text, &mut scratch).0);
            let end = clock_gettime(ClockId::Monotonic);
            if pass > 0 {
                let seconds = (end.tv_sec - start.tv_sec) as f64;
                times.push(seconds * 1e6 + (end.tv_nsec - start.tv_nsec) as f64 * 1e-3);
            }
        }
    }
    (metrics::quantile(&mut times.clone(), 0.5), metrics::quantile(&mut times, 0.99))
}
