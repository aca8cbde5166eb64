//! The same figures of the product: outcomes are learned, written, read and asked through the facade.
//!
//! Knows no model and no row but the train rows before the first question. Figures beside those of the batch:
//! `exact`, the share of rows whose components are exactly those that would be loaded ("unsure" is wrong),
//! `unsure` and `wrong_load`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use majordomo::{ComponentId, Config, Decision, IntentsAnswer, OfflineIntents};
use rustix::time::{ClockId, clock_gettime};

use super::batch::{cpu_seconds, drawn, in_scope, quality, rejected};
use super::data::{DataSet, Row};
use super::metrics::{self, Judged, Report, number};

/// A state directory of this run, removed at the end.
struct StateDir(PathBuf);

impl StateDir {
    fn new() -> anyhow::Result<Self> {
        let dir =
            std::env::temp_dir().join(format!("majordomo-lab-intents-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn name(label: usize) -> anyhow::Result<ComponentId> {
    Ok(ComponentId::new(&format!("label-{label}"))?)
}

fn label(id: &ComponentId) -> anyhow::Result<u32> {
    let number = id.as_str().strip_prefix("label-").context("a component of another name")?;
    Ok(number.parse()?)
}

/// Learns the rows and writes the state.
fn learn(dir: &Path, config: &Config, train: &[Row]) -> anyhow::Result<f64> {
    let mut intents = OfflineIntents::open(Some(dir), config)?;
    let start = cpu_seconds();
    for row in train {
        let used: Vec<ComponentId> =
            row.labels.iter().map(|l| name(*l as usize)).collect::<Result<_, _>>()?;
        intents.learn(&row.text, &used).with_context(|| format!("{:?}", row.text))?;
    }
    let report = intents.train(&AtomicBool::new(false))?;
    anyhow::ensure!(report.accepted, "the model was rejected: {report:?}");
    let cpu_s = cpu_seconds() - start;
    intents.save()?;
    Ok(cpu_s)
}

fn judge(answer: &IntentsAnswer, row: &Row) -> anyhow::Result<Judged> {
    let mut said: Vec<u32> =
        answer.needed.iter().map(|n| label(&n.id)).collect::<Result<_, _>>()?;
    said.sort_unstable();
    let all = answer.needed.iter().chain(&answer.candidates);
    let best = all.max_by(|a, b| a.confidence.cmp(&b.confidence));
    let best = best.map(|n| anyhow::Ok((label(&n.id)?, n.confidence.get()))).transpose()?;
    // No component at all is no label: one that no row has.
    Ok(Judged { meant: row.labels.clone(), said, best: best.unwrap_or((u32::MAX, 0.0)) })
}

/// Learns and scores. `draw` is the seed of the choice of rows.
pub(crate) fn score(
    set: &DataSet,
    n_train: Option<usize>,
    draw: u64,
    prior: bool,
) -> anyhow::Result<Report> {
    let train = drawn(set, n_train, draw);
    let mut config = Config::default();
    config.intents.prior = prior;
    config.intents.evidence = false;
    config.intents.max_outcomes = config.intents.max_outcomes.max(train.len());
    let dir = StateDir::new()?;
    let train_cpu_s = learn(&dir.0, &config, &train)?;
    let mut intents = OfflineIntents::open(Some(&dir.0), &config)?;
    let rows = set.scored();
    let (mut judged, mut unsure, mut times) = (Vec::new(), 0usize, Vec::new());
    for pass in 0..2 {
        for row in rows {
            let start = clock_gettime(ClockId::Monotonic);
            let answer = intents.explain(&row.text);
            let end = clock_gettime(ClockId::Monotonic);
            if pass == 0 {
                unsure += usize::from(answer.decision == Decision::Unsure);
                judged.push(judge(&answer, row)?);
            } else {
                let seconds = (end.tv_sec - start.tv_sec) as f64;
                times.push(seconds * 1e6 + (end.tv_nsec - start.tv_nsec) as f64 * 1e-3);
            }
        }
    }
    let mut out: Report =
        vec![("data".into(), set.name.clone().into()), ("train".into(), train.len().into())];
    let mut push = |name: &str, x: f64| out.push((name.to_owned(), number(x)));
    quality(&train, &judged, set.labels.len(), &mut push);
    if set.has_out_of_scope {
        let mut score = |row: &Row| Ok(judge(&intents.explain(&row.text), row)?.best.1);
        let mut scores = |rows: &[Row], none: bool| -> anyhow::Result<Vec<f32>> {
            rows.iter().filter(|r| r.labels.is_empty() == none).map(&mut score).collect()
        };
        in_scope(&judged, &mut push);
        let (high, low) = (scores(rows, false)?, scores(rows, true)?);
        rejected(&high, &low, scores(&set.valid, false)?, &mut push);
    }
    push("train_cpu_s", train_cpu_s);
    push("query_p50_us", metrics::quantile(&mut times.clone(), 0.5));
    push("query_p99_us", metrics::quantile(&mut times, 0.99));
    let share = |n: usize| n as f64 / judged.len().max(1) as f64;
    if !out.iter().any(|(name, _)| name == "exact") {
        out.push((
            "exact".into(),
            number(share(judged.iter().filter(|j| j.said == j.meant).count())),
        ));
    }
    let n_wrong = judged.iter().filter(|j| !j.said.is_empty() && j.said != j.meant).count();
    out.push(("unsure".into(), number(share(unsure))));
    out.push(("wrong_load".into(), number(share(n_wrong))));
    out.push(("model_bytes".into(), intents.learned().bytes.0.into()));
    Ok(out)
}
